/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * state_rig.h - instances of the NF `counter`
 * (tests/prog/nf/counter.h) on a bpffs of the test's own.
 *
 * No data path is loaded: the maps that an NF shares with it are made here. Criterion runs each
 * test in a process of its own, so a rig needs no end; whatever fails here ends the test.
 */
#pragma once

#include <stdint.h>

#include "agent/instance.h"

#define RIG_SERVICE_NO 3
#define RIG_SLOT_COUNT 4096

/* A mount namespace, a bpffs, and the shared maps. For a test suite's .init. */
void state_rig_init(void);

/* What instance_load() is told; tests change it before they load. */
struct instance_spec state_rig_spec(const char *name, const char *nf, uint16_t id);

struct instance *state_rig_load(const char *name, const char *nf, uint16_t id);
struct instance *state_rig_adopt(const char *name);

/* Flow number i: a key as packets would make it. */
struct ff_flow_key state_rig_key(uint32_t i);

/* Element @index of a field in a value of the instance's per-flow state, as a number. */
uint64_t state_rig_get(const struct instance *instance, const void *value, const char *field,
		       uint32_t index);
void state_rig_set(const struct instance *instance, void *value, const char *field, uint32_t index,
		   uint64_t number);

/*
 * Puts flows first .. first + count - 1 in, by state_restore(), as if they came in a stream from an
 * instance of the same NF: expiring at @expires_ns, packets[0] = i + 1, hits = 2 i.
 */
void state_rig_fill(struct instance *instance, uint32_t first, uint32_t count, uint64_t expires_ns);
/* The same of flows whose lives are so long then; UINT64_MAX: not known when they began. */
void state_rig_fill_lived(struct instance *instance, uint32_t first, uint32_t count,
			  uint64_t expires_ns, uint64_t lived_ns);

/* Entries in the maps themselves, live or not, counted one by one. */
uint64_t state_rig_entries(const struct instance *instance);

/* Both the count that the NF keeps and the maps themselves have so many entries. */
void state_rig_agree(const struct instance *instance, uint64_t entries);

/* Which flow a key is of, of those that state_rig_key() makes; UINT32_MAX: none. */
uint32_t state_rig_number(const struct ff_flow_key *key);

/* Checks that what is visited are flows 0 .. STATE_RIG_MANY - 1, with their own numbers. */
#define STATE_RIG_MANY 100000
struct state_tally {
	const struct instance *instance;
	uint8_t seen[STATE_RIG_MANY];
	uint32_t visits, wrong, absent;
};
struct state_tally *state_tally_new(const struct instance *instance); /* free() */
int state_tally_visit(void *tally, const struct ff_flow_key *key, const void *value);
/* How many flows were seen exactly once. */
uint32_t state_tally_once(const struct state_tally *tally);

/* With which flags and lane of their entry packets come from here on; none at first. */
void state_rig_steer(const struct ff_steer *steer);

/* One packet of that flow through the NF on this CPU, to which the caller is pinned. */
void state_rig_packet(const struct instance *instance, const struct ff_flow_key *key,
		      uint64_t now_ns);

/* `dropped` and `flows_refused` only, over all CPUs. */
struct ff_instance_stats state_rig_stats(const struct instance *instance);
