/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * replica_rig.h - an instance and its standby, of two agents in one process, and the table that
 * tells which flows are whose: what a packet finds is looked up in the table, so what isn't flagged
 * there isn't logged. See state_rig.h, too.
 */
#pragma once

#include "agent/move.h"
#include "agent/replica_internal.h"
#include "tests/prog/state_rig.h"

#define OWNER	  1 /* instance of host 1 */
#define STANDBY	  2 /* of host 2 */
#define OTHER	  3 /* an owner elsewhere */
#define MOVE_LANE 7 /* another one than the replica's */
#define FLOWS	  500

extern struct ff_instance places[FF_INSTANCES_MAX]; /* where instances are, by the table */
extern struct agent agents[2];			    /* of the owner, of the standby */
extern struct replica replica;

/* What the standby was told to drop: requests, slots in all of them and in the largest. */
extern struct drops {
	unsigned int requests, slots, most;
} drops;

/* For a test suite's .init. */
void replica_rig_init(void);

/* What the standby's agent is told; `of` 0: it is none. */
void standby_tell(uint16_t of, uint16_t owns);
/* All slots are that instance's. */
void owner_all(uint16_t owner);

struct subject slots_of(const char *slots);
struct ff_steer entry_of(uint32_t flow);
void edit(const struct subject *subject, uint16_t here, uint8_t flags);

/* As the agents list a move of the owner's, from before its first entry until after its last. */
extern struct move moving;
void move_list(const struct subject *subject);

/* Packets of these flows, as the table has them. */
void packets(uint32_t first, uint32_t count);
void round_run(void);

struct copy {
	uint64_t packets[FLOWS + 1]; /* 0: not there */
	uint32_t count;
};
void copy_of(struct instance *instance, struct copy *ret);
/* The standby has the flows of the owner's slots with the owner's figures, and no others. */
void equal_expect(const char *when);
