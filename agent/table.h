/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * table.h - edits of the steering table, each visible to packets in one atomic step.
 *
 * A service's slots, rules and pins exist in two banks; services[].active names the one that
 * packets read. An edit brings the other bank up to date, changes it there, and stores the bank's
 * number: the one step. The bank that was left may still be read by packets under way, so the next
 * edit first waits until those are done (cpus_quiesce()).
 *
 * Threads: any; a mutex lets one edit at a time through. Packets are the only other readers.
 */
#pragma once

#include <stdbool.h>

#include "agent/cpus.h"
#include "agent/datapath.h"
#include "agent/subject.h"

struct table;

int table_new(struct datapath *dp, struct cpus *cpus, struct table **ret, struct ff_error *err);
void table_free(struct table *table);
DEFINE_CLEANUP(struct table *, table_free);

/* What to make of an entry. */
struct table_entry {
	uint16_t owner;
	uint16_t here;
	uint8_t flags; /* FF_STEER_PARK, FF_STEER_LOG */
	uint8_t lane;
};

static inline bool table_entry_equal(const struct table_entry *a, const struct table_entry *b)
{
	return a->owner == b->owner && a->here == b->here && a->flags == b->flags &&
	       a->lane == b->lane;
}

/*
 * Gives all entries of the subject this content; pins and rules that don't exist are made.
 * *ret_switched_ns (may be NULL): when the bank was switched, CLOCK_MONOTONIC.
 * When it returns, packets that begin see the new content; those under way may have seen the old:
 * call cpus_quiesce() where that matters.
 */
int table_edit(struct table *table, const struct subject *subject, const struct table_entry *entry,
	       uint64_t *ret_switched_ns, struct ff_error *err);

/* Takes those pins and rules of the subject away that aren't in @keep: a move that was rolled back
 * leaves no trace. Slots get @entry. */
int table_revert(struct table *table, const struct subject *subject, const struct subject *keep,
		 const struct table_entry *entry, uint64_t *ret_switched_ns, struct ff_error *err);

/* The subject's pins and rules that exist now: for table_revert(). subject_done() it. */
int table_existing(struct table *table, const struct subject *subject, struct subject *ret,
		   struct ff_error *err);

/* One service's owners as the orchestrator wants them: what PUT /v1/config brings. */
struct table_owner {
	unsigned int first, last;
	uint16_t owner;
};

struct table_desired {
	uint16_t service;
	const struct table_owner *owners;
	size_t owners_count;
	const struct ff_flow_key *pins; /* with pin_owners beside them */
	const uint16_t *pin_owners;
	size_t pins_count;
	const struct subject_rule *rules;
	const uint16_t *rule_owners;
	size_t rules_count;
	/* entries under a move, to be left alone */
	bool (*busy)(const void *ctx, const struct ff_flow_key *key, uint32_t slot, int rule);
	const void *ctx;
};

/* Makes the service's table so, in one step; entries that are busy stay as they are. */
int table_sync(struct table *table, const struct table_desired *desired, struct ff_error *err);

/*
 * Follows what an instance of this host owns: from here on each of its entries has the log flag, with
 * `lane`, as long as no move holds the entry; whoever writes it. One watch for an instance.
 */
int table_watch(struct table *table, uint16_t service, uint16_t instance, uint8_t lane,
		struct ff_error *err);

/* No more; when it returns, call cpus_quiesce(): then nothing is logged in the lane. */
int table_unwatch(struct table *table, uint16_t instance, struct ff_error *err);

/* The same for a lane of an earlier agent. */
int table_unlog(struct table *table, uint8_t lane, struct ff_error *err);

/* Slots of which flows came to the instance, or left it, since the last call: no log tells of them. */
void table_watch_take(struct table *table, uint16_t instance, struct slotset *ret_changed);

/* The slots that packets find at an instance here; true: no pin or rule makes exceptions. */
bool table_slots_of(struct table *table, uint16_t service, uint16_t instance,
		    struct slotset *ret_slots);

/* Removes all of a service. */
void table_clear(struct table *table, uint16_t service);

/* The entry that decides for a flow now; *ret_how: "slot", "pin" or "rule". */
struct ff_steer table_lookup(struct table *table, uint16_t service, const struct ff_flow_key *key,
			     const char **ret_how);
