/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* replica_internal.h - what replica.c (one's life) and replica_round.c (its rounds) share. */
#pragma once

#include <stdatomic.h>

#include "agent/agent.h"
#include "agent/lane.h"

#define REPLICA_LANE "replica-" /* beginning of the lane's op; an instance's number follows */

struct replica {
	struct agent *agent;
	struct replica_spec spec;
	struct instance *instance;
	struct http_client *standby;
	struct lane lane;
	pthread_t thread;
	atomic_bool cancel;

	/* the thread's own */
	bool all; /* of its state the standby may have anything: everything is sent */
	struct slotset
		whole; /* to be sent whole, in the next round or when a move has let go of them */
	struct slotset now;   /* sent whole in the round under way, */
	struct slotset held;  /* and those that moves from here have got hold of */
	uint64_t life;	      /* of the standby, as it said; another one knows nothing */
	uint64_t answered_ns; /* it lived */
	uint32_t round;
	uint64_t sent; /* flows, in the round under way */

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	bool done;	    /* the thread has nothing more to do with the lane or the instance */
	uint64_t synced_ns; /* what the standby has is as new as this; 0: it has not all */
	uint64_t rounds, bytes, flows, resends;
	bool broken;
	struct ff_error why;
};

/* One round. From a failure on, the next one sends everything. */
int replica_round(struct replica *replica, struct ff_error *err);
