/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * replica.h - instances of this host whose state is copied, again and again, to a standby elsewhere.
 *
 * One thread for each. While it lasts, all entries of the instance that no move holds note changes in a
 * lane of its own (table_watch()), as a move's do. First all flows are sent, then twice in each lag_ms a
 * round: what the log names, and the whole of those slots of which the table says that flows came
 * or went. So the standby has, of each flow, what it was at the beginning of the last round that was
 * acknowledged, or later; the lag is the age of that moment. Whatever fails, the next round sends all.
 *
 * Nothing of it is kept: an agent that starts takes the flags of an earlier one's lanes away, and begins
 * anew.
 *
 * Locks: the list changes under agent.lock and replicas.lock; either is enough to read it. An instance
 * with a replica stays. replica.lock guards what the sample tells. The thread takes neither of the
 * agent's locks, so that whoever holds agent.lock may wait for its end: a second, if it sends to a host
 * that is gone.
 */
#pragma once

#include <jansson.h>
#include <pthread.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "lib/error.h"

struct agent;
struct desired;
struct instance;
struct replica;

/* What the configuration wants of an instance of this host. */
struct replica_spec {
	uint16_t from, to; /* 0: nothing */
	uint16_t service;
	uint16_t pad; /* named, and so 0: they are compared as they are */
	uint32_t lag_ms;
	char name[FF_NAME_MAX]; /* of the standby */
	char url[128];		/* of its host */
};

struct replicas {
	pthread_mutex_t lock;
	struct replica *list[FF_REPLICAS_MAX];
	struct replica_spec wanted[FF_REPLICAS_MAX]; /* guarded by agent.lock */
	size_t wanted_count;
	size_t refused; /* there is no more room for so many */
};

/* Before anything uses the lanes: what an earlier agent's replicas left in tables. */
int replicas_clean(struct agent *agent, struct ff_error *err);

/* Notes what is wanted; replicas_sync() does it. Under agent.lock. */
void replicas_want(struct agent *agent, const struct desired *desired);

/*
 * Ends what isn't wanted any more, without waiting, and begins what is; what can't be yet, because the
 * last one is still ending, is for the next call. Under agent.lock; now and then.
 */
void replicas_sync(struct agent *agent);

/* Ends the one that uses the instance, and waits. Under agent.lock. */
void replicas_leave(struct agent *agent, const struct instance *instance);

/* Ends all, and waits; under agent.lock. */
void replicas_stop(struct agent *agent);

/* The member "standby" of an instance's part of a sample (API.md); NULL: it has none. */
json_t *replica_json(struct agent *agent, uint16_t instance, uint64_t now_ns);
