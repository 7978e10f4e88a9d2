/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lane.h - this host's part in one move, as the data path sees it: parking ring, change log, fence
 * board.
 *
 * Who writes what in struct ff_lane is told in bpf/abi.h. On this side: lane_open() and
 * lane_close() are called under the agent's lock; all else by the one thread that drives the move.
 * A lane lives in pinned maps: a restarted agent finds it, with its phase.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/cpus.h"
#include "agent/datapath.h"

/* Flows that may change in one round without a rescan: 5 MiB for each of the two logs. */
#define LANE_LOG_RECORDS 131072u

/* Packets parked, if the request doesn't say: 20 ms at 200,000 packets/s. */
#define LANE_PARK_LIMIT	    4096u
#define LANE_PARK_LIMIT_MAX 65536u /* a ring of 256 MiB */

struct lane {
	struct datapath *dp;
	struct cpus *cpus;
	uint32_t number;
	struct ff_lane *map; /* the shared part */
};

struct lane_spec {
	const char *op;
	uint64_t token;
	uint16_t service, from, to;
	uint16_t overflow; /* FF_OVERFLOW_* */
	bool park;	   /* it needs a parking ring, of at least park_limit packets */
	bool log;	   /* it needs a change log */
	uint32_t park_limit;
};

/* Takes a free lane. -EBUSY: all are taken. */
int lane_open(struct datapath *dp, struct cpus *cpus, const struct lane_spec *spec,
	      struct lane *ret, struct ff_error *err);

/* Takes up the lane of a move that an earlier agent began. -ENOENT. */
int lane_adopt(struct datapath *dp, struct cpus *cpus, uint64_t token, struct lane *ret,
	       struct ff_error *err);

/* Gives a lane that has none a parking ring: a source that takes its flows back needs one. */
int lane_park_open(struct lane *lane, uint32_t limit, struct ff_error *err);

/*
 * Frees it. No table entry may name it any more, and cpus_quiesce() must have followed. Its rings
 * stay for the next move, until lanes_trim().
 */
void lane_close(struct lane *lane);

/* Frees one by number that nobody knows any more, rings and all. One that is free is fine. */
void lane_sweep(struct datapath *dp, uint32_t number);

/* Deletes rings that no move has used for a minute. Called now and then, under the agent's lock. */
void lanes_trim(struct datapath *dp);

/* At the agent's end. The lanes stay as they are in the pinned maps. */
void lanes_unmap(struct datapath *dp);

/* ---- source: rounds ------------------------------------------------------------------------ */

/*
 * Ends the current round and begins the next: afterwards every change that was made under the old
 * one is in its log. *ret_keys, *ret_count: that log, valid until the round after next begins;
 * *ret_full: the log was too small, so anything may have changed.
 */
void lane_round(struct lane *lane, const struct ff_flow_key **ret_keys, size_t *ret_count,
		bool *ret_full);

/* What has been logged in the current round so far. */
size_t lane_logged(const struct lane *lane);

/* ---- fences -------------------------------------------------------------------------------- */

struct lane_fence {
	uint16_t service;
	uint16_t from; /* own place in the move's list */
	uint32_t host; /* to */
	uint64_t token;
	uint64_t switched_ns;
	uint64_t paths[FF_PATHS / 64];
	bool only_cpu; /* from this one alone: */
	int cpu;
};

/* Sends fences from every CPU along every path, behind what was sent before. A fence to this very
 * host is a grace period, noted on the board of the lane with that token. */
int lane_fence_send(struct datapath *dp, struct cpus *cpus, const struct lane_fence *fence);

/* Have all fences of these hosts arrived? cpus[i]: how many CPUs steering host i has; 0: none. */
bool lane_fences_complete(const struct lane *lane, const uint16_t cpus[FF_STEERING_MAX],
			  const uint64_t paths[FF_PATHS / 64]);
/* Have those of one host arrived that sends from one CPU, whichever it is? */
bool lane_fence_complete(const struct lane *lane, uint16_t from,
			 const uint64_t paths[FF_PATHS / 64]);
void lane_fences_clear(struct lane *lane);

/*
 * The CPU on which parked packets are released: the one that parked last. Packets that come after the
 * release are forwarded by the CPU on which they arrive; released ones take the same way, so that
 * none is overtaken in another queue.
 */
int lane_release_cpu(const struct lane *lane);

/* ---- target, or a source that takes back: release -------------------------------------------- */

/*
 * Hands all parked packets, in order, to `instance` of this host, or (host not 0) back to another
 * host, until none is left, and opens the ring: whoever still finds the parking flag goes on at
 * once. *ret_parked (may be NULL): how many there were.
 */
int lane_release(struct lane *lane, uint16_t instance, uint32_t host, uint64_t *ret_parked,
		 struct ff_error *err);
