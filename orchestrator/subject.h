/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * subject.h - from what a client asks to be moved to the change set that does it.
 *
 *	nothing named	the whole instance: its slots, its pins, its rules
 *	slots		these; each must be owned by `from`
 *	flow		these, as pins; each must be owned by `from`
 *	flows N		N of those that have state there now, as pins
 *	filter		a conjunction becomes a rule, which also takes flows that begin later; anything
 *			richer takes the existing flows as pins, and `note` says so
 *
 * No I/O: request_wants_flows() says what must be fetched from the source's agent, and the caller
 * brings it to request_resolve().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

#include "lib/error.h"
#include "orchestrator/model.h"

#define REQUEST_NOTE_MAX	   400
#define REQUEST_PARK_LIMIT_DEFAULT 8192	 /* 40 ms at 200,000 packets/s; 32 MiB of kernel memory */
#define REQUEST_PARK_LIMIT_MAX	   65536 /* 256 MiB */

enum request_what {
	REQUEST_INSTANCE,
	REQUEST_SLOTS,
	REQUEST_COUNT,
	REQUEST_FLOWS,
	REQUEST_FILTER,
};

struct move_request {
	const char *service;
	const char *from;
	const char *to;
	const char *guarantee;	 /* "none", "loss-free", "order-preserving" */
	const char *on_overflow; /* "abort", "drop", "reorder" */
	uint32_t park_limit;
	bool no_precopy; /* stop and copy: everything in the last round, for which flows wait */
	enum request_what what;
	const char *slots;
	uint32_t count;
	const json_t *flows;
	const char *filter;
	struct ff_match match; /* of the filter, where exact */
	bool exact;
};

/* Reads a body of POST /v1/moves; strings are borrowed from it. */
int request_parse(const json_t *body, struct move_request *ret, struct ff_error *err);

/* Whether flows of `from` are needed, by which filter (NULL: any), and at most how many. */
bool request_wants_flows(const struct move_request *request, const struct owners *table,
			 uint16_t from, const char **ret_filter, unsigned int *ret_limit);

/* What an agent has answered to that. */
struct request_flows {
	const json_t *list; /* API.md's "flows" */
	bool truncated;
};

/*
 * Works the change set out. @rules_taken: indexes that running operations are about to use, a bit
 * each. *ret_note is "" when there is nothing that a reader must know.
 */
int request_resolve(const struct move_request *request, const struct model *model,
		    const struct service *service, uint16_t from, const struct request_flows *flows,
		    uint32_t rules_taken, struct change **ret_change,
		    char ret_note[REQUEST_NOTE_MAX], struct ff_error *err);

/* -EBUSY with the id of the operation in the way, if one touches the same flows. */
int request_check_overlap(const struct model *model, const struct service *service,
			  const struct change *change, struct ff_error *err);

/* Rule indexes in use by running operations of a service. */
uint32_t request_rules_taken(const struct model *model, const struct service *service);
