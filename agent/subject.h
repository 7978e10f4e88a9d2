/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * subject.h - what a move moves: a change set of slots, pinned flows and rules (API.md).
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "bpf/abi.h"
#include "lib/error.h"
#include "lib/slotset.h"

struct subject_rule {
	uint32_t index;
	struct ff_match match;
	struct slotset slots; /* to which it applies */
};

struct subject {
	uint16_t service;
	uint32_t slots_count; /* of the service */
	__u64 seed[2];
	struct ff_slot_keys slot_keys; /* made of the seed */
	struct slotset slots;
	struct ff_flow_key *keys; /* sorted; service set */
	size_t keys_count;
	struct subject_rule *rules;
	size_t rules_count;
};

/* Reads {"slots","flows","rules"}. `service` says how many slots there are, and their seed. */
int subject_parse(const json_t *json, uint16_t number, const struct ff_service *service,
		  struct subject *ret, struct ff_error *err);
void subject_done(struct subject *subject);

uint32_t subject_slot(const struct subject *subject, const struct ff_flow_key *key);

/* Is this flow moved? The signature of state_select.wants. */
bool subject_wants(const void *subject, const struct ff_flow_key *key);

/* Does it name that flow as a pin? */
bool subject_has_key(const struct subject *subject, const struct ff_flow_key *key);

/* Might some flow be in both? */
bool subject_overlaps(const struct subject *x, const struct subject *y);

/* The slots in which its flows are. */
void subject_slots(const struct subject *subject, struct slotset *ret);

/* The tunnel paths that its packets take: a bit each. */
void subject_paths(const struct subject *subject, uint64_t ret[FF_PATHS / 64]);

/* Whether a state walk has to look at each entry (false: whole slots, nothing else). */
bool subject_is_slots(const struct subject *subject);
