/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * owners.h - who owns what in one service: slots, and the exceptions to them.
 *
 * Precedence, as in the data path: pin > rule > slot; of several rules that apply to a slot and
 * match, the one with the lowest index. No I/O, no locks: the model guards it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>
#include <linux/types.h>

#include "bpf/abi.h"
#include "lib/cleanup.h"
#include "lib/error.h"
#include "lib/flow.h"
#include "lib/match.h"
#include "lib/slotset.h"

/* Pins of one service: what a host's map of pins holds, and 12 MB of JSON in a configuration. */
#define OWNERS_PINS_MAX 131072

struct rule {
	bool used;
	uint16_t instance;
	struct ff_match match;
	struct slotset slots; /* that it applies to */
};

struct pin {
	struct ff_flow_key key; /* service 0: the table is one service's */
	uint16_t instance;
};

struct owners {
	uint32_t slots; /* a power of two */
	uint64_t seed[2];
	uint64_t version; /* counts changes */
	uint16_t owners[FF_SLOTS_MAX];
	struct rule rules[FF_RULES_MAX];
	struct pin *pins; /* sorted by key */
	size_t pins_n;
};

/* A change set: all of it becomes owned by one instance (API.md, "subject"). */
struct change_rule {
	unsigned int index;
	struct ff_match match;
	struct slotset slots;
};

struct change {
	struct slotset slots;
	struct ff_flow_key *flows;
	size_t flows_n;
	struct change_rule rules[FF_RULES_MAX];
	size_t rules_n;
};

enum owners_how { OWNERS_SLOT, OWNERS_RULE, OWNERS_PIN };

/* ret: *slots a power of two within bounds; a random seed; no owners. -EINVAL, -EIO. */
int owners_init(struct owners *table, uint32_t slots);
void owners_done(struct owners *table);

unsigned int owners_slot(const struct owners *table, const struct ff_flow_key *key);

/* The owner of a flow (0: none) and, where not NULL, what says so and which rule. */
uint16_t owners_find(const struct owners *table, const struct ff_flow_key *key,
		     enum owners_how *ret_how, unsigned int *ret_rule);

/* NULL if the flow isn't pinned. */
const struct pin *owners_pin(const struct owners *table, const struct ff_flow_key *key);

/* The slots that an instance owns, and how many slots, pins and rules. */
void owners_slots_of(const struct owners *table, uint16_t instance, struct slotset *ret_slots);
void owners_count(const struct owners *table, uint16_t instance, unsigned int *ret_slots,
		  size_t *ret_pins, unsigned int *ret_rules);

/* Gives all slots evenly to these instances, in contiguous ranges. */
void owners_spread(struct owners *table, const uint16_t *instances, size_t n);

/*
 * Makes @to the owner of the whole subject and removes the pins and rules that say nothing any
 * more because what is below them says the same. -ENOMEM, -ENOSPC; nothing has changed then.
 */
int owners_apply(struct owners *table, const struct change *subject, uint16_t to);

/*
 * Pins flows to their owner, by keys in order, though that says nothing yet: so they stay there when their
 * slot moves. -ENOMEM.
 */
int owners_hold(struct owners *table, const struct ff_flow_key *keys, size_t n, uint16_t instance);

/* Removes these pins where they belong to @instance; returns how many. */
size_t owners_unpin(struct owners *table, const struct ff_flow_key *keys, size_t n,
		    uint16_t instance);

/* Whether two subjects of one service touch each other: moving both at once is refused. */
bool change_overlaps(const struct owners *table, const struct change *x, const struct change *y);

bool change_is_empty(const struct change *subject);
/* Adds a flow; -ENOMEM. change_sort() brings the flows in order, without duplicates. */
int change_add_flow(struct change *subject, const struct ff_flow_key *key);
void change_sort(struct change *subject);
/* Fills an empty one with all that an instance owns: slots, pins, rules. -ENOMEM. */
int change_add_owned(struct change *subject, const struct owners *table, uint16_t instance);
void change_free(struct change *subject);
DEFINE_CLEANUP(struct change *, change_free);
#define _cleanup_change_ _cleanup_(change_freep)

/* API.md's form. At most @flows_max flows are written. NULL: out of memory. */
json_t *change_to_json(const struct change *subject, size_t flows_max);
int change_from_json(const json_t *json, uint32_t slots, struct change **ret_subject,
		     struct ff_error *err);
