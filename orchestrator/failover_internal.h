/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* failover_internal.h - for failover*.c only. */
#pragma once

#include <pthread.h>

#include "orchestrator/detect.h"
#include "orchestrator/failover.h"
#include "orchestrator/lease.h"

#define FAILOVER_PUSH_MS 2000 /* a host that takes longer gets it from its monitor */

#define FAILOVER_LOST_MAX                                                                          \
	64 /* instances that were given up, remembered until their hosts are back */

/* What was known of an instance when it was given up. */
struct failover_lost {
	uint16_t instance; /* 0: unused */
	uint16_t host;
	char name[FF_NAME_MAX], service[FF_NAME_MAX];
	uint64_t packets; /* that it had processed, by its last sample */
};

struct failover {
	struct orchestrator *orch;
	pthread_t thread;
	bool started;
	unsigned int running; /* recoveries */
	struct detector detector;
	struct leases leases;
	bool dead[FF_HOSTS_MAX];
	uint64_t verdict_ns[FF_HOSTS_MAX]; /* when what is thought of it last changed */
	uint64_t silent_ms[FF_HOSTS_MAX];  /* how long it had been silent then */
	struct failover_lost lost[FAILOVER_LOST_MAX];
	size_t lost_next;
	struct failover_count count;
};

/*
 * failover_run.c: begins the recovery of an instance that is lost and has a standby. The lock is held; what
 * fails is told, and tried again at the next step.
 */
void recovery_begin(struct failover *failover, const struct instance *owner,
		    const struct instance *standby, const char *why);

/* failover_push.c: a configuration on its way to one host. */
struct push {
	struct orchestrator *orch;
	struct host *host;
	uint64_t version;
	json_t *config; /* NULL: no memory */
	pthread_t thread;
	bool started;
	uint64_t done_ns; /* when the host has taken it; 0: it hasn't */
	struct ff_error err;
};

/* Makes the configuration as the model is now. The lock is held. */
void push_make(struct push *push, struct orchestrator *orch, struct host *host);
/* Sends them all at the same time, and waits until each was answered. The lock isn't held. */
void push_all(struct push *pushes, size_t n);
void push_done(struct push *push);
