/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * agent_client.h - speaking to one agent (API.md, southbound). None of these may be called with the
 * model's lock held: an agent may take seconds to answer.
 */
#pragma once

#include <jansson.h>

#include "orchestrator/orchestrator.h"

#define AGENT_QUICK_MS 2000  /* reading something that is at hand */
#define AGENT_PUSH_MS  15000 /* a configuration: may load and verify NF objects */
#define AGENT_SCAN_MS  60000 /* reading the flows of an instance: millions */

/* Makes host->client from host->url. */
int agent_connect(const struct orchestrator *orch, struct host *host, struct ff_error *err);

/* One call, with the epoch; errors begin with the host's name. @body is borrowed, may be NULL. */
int agent_call(struct orchestrator *orch, struct host *host, const char *method, const char *path,
	       json_t *body, unsigned int timeout_ms, json_t **ret_reply, struct ff_error *err);

/*
 * The flows of an instance, as the agent gives them: {"flows","scanned","truncated"}. @filter may be
 * NULL. @brief: their texts are enough, without their state.
 */
int agent_flows(struct orchestrator *orch, struct host *host, const char *instance,
		const char *filter, unsigned int limit, bool brief, json_t **ret_reply,
		struct ff_error *err);

/* The same, of all its flows whose age is known: {"flow","age_ms"} each. */
int agent_ages(struct orchestrator *orch, struct host *host, const char *instance,
	       unsigned int limit, json_t **ret_reply, struct ff_error *err);

/* The flow of an item of "flows", which is its text or an object with it; NULL: neither. */
const char *agent_flow_text(const json_t *item);

/* Puts `text`, percent-encoded, into a query. NULL: out of memory. */
char *query_encode(const char *text);
