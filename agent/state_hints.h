/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * state_hints.h - finding the flows of slots that have few of them without reading their maps: a map
 * has as many buckets as it may take flows, and to look at empty ones is what a move of few would
 * mostly do. For agent/state*.c only.
 *
 * The data path counts each slot's flows, and keeps the keys of those that came last. Where it has
 * kept as many as there are, they are all; that is checked, never believed (hints_slot_whole()).
 */
#pragma once

#include "agent/state.h"
#include "bpf/state_abi.h"

struct hinted_slot {
	uint32_t slot;
	uint32_t flows, born;  /* as they were before its keys were read */
	uint32_t first, count; /* its keys */
};

/* As many keys as one run of a program takes, and their slots, group by group. */
struct hints {
	struct ff_flow_key keys[FF_STAGING_RECORDS];
	struct hinted_slot slots[FF_STAGING_RECORDS];
	uint32_t count;
	uint32_t slots_count;
};

enum hints_answer {
	HINTS_EMPTY,  /* no flow is in the group's selected slots */
	HINTS_TAKEN,  /* the keys that may be them are added */
	HINTS_FULL,   /* they don't fit in: look up what is there, then ask again */
	HINTS_SEARCH, /* too many flows: the map must be read */
};

/* Which flows the group may have in @slots (NULL: all). */
enum hints_answer hints_add_group(struct hints *hints, const struct state *state,
				  const struct slotset *slots, uint32_t group);

/* Whether @found flows, looked up by the slot's keys, are all that it had. */
bool hints_slot_whole(const struct state *state, const struct hinted_slot *slot, uint32_t found);
