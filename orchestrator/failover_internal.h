/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* failover_internal.h - for failover*.c only. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "orchestrator/detect.h"
#include "orchestrator/failover.h"
#include "orchestrator/lease.h"
#include "orchestrator/sample.h"

#define FAILOVER_PUSH_MS 2000 /* a host that takes longer gets it from its monitor */
#define FAILOVER_PUSH_NEWER                                                                        \
	8 /* configurations in turn, each overtaken: then its monitor goes on, too */

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
	atomic_bool dead[FF_HOSTS_MAX]; /* read without the lock, too: by calls to that host */
	/* was dead, and hasn't the configuration that it must have now */
	bool returning[FF_HOSTS_MAX];
	uint16_t unheard_by[FF_HOSTS_MAX]; /* a steering host that doesn't hear it; 0: none */
	/* the model's version by which something was last taken from it; 0: that has got there */
	uint64_t taken[FF_HOSTS_MAX];
	uint64_t verdict_ns[FF_HOSTS_MAX]; /* when what is thought of it last changed */
	uint64_t silent_ms[FF_HOSTS_MAX];  /* how long it had been silent then */
	struct failover_lost lost[FAILOVER_LOST_MAX];
	size_t lost_next;
	struct failover_count count;
};

/* failover.c: what the thread that watches alone uses. */
struct watch {
	struct failover *f;
	struct detect_host *hosts; /* as model.hosts */
	struct detect_change changes[FF_HOSTS_MAX];
	struct http_multi *multi; /* for leases: nobody waits for their answers */
	uint64_t failure_ms;
};

/* failover_lease.c: renews what is due; nobody waits for the answers. The lock isn't held. */
void leases_renew(struct watch *watch, uint64_t now_ns);

/* One recovery: its thread's alone, but for the operation, which is the model's. */
struct run {
	struct failover *f;
	struct orchestrator *orch;
	struct operation *op;
	struct host *host, *standby_host; /* the lost owner's, and its heir's */
	uint64_t found_ns, silent_ms;	  /* when it was found lost; how long it had been silent */
	bool host_dead;
	bool resumed; /* after a restart: the owners have changed already */
	uint64_t
		switched_ns; /* when the last steering host had taken its configuration; 0: none has */
	char from[FF_NAME_MAX], to[FF_NAME_MAX], service[FF_NAME_MAX];
};

/* failover_run.c: a thread's function; arg: its struct run. */
void *recovery_main(void *arg);
/* Writes the operation as it is; with @service, its owners and instances too. The lock is held. */
void recovery_journal(struct run *run, const struct service *service);

/* failover_rejoin.c: remembers what is given up, by what it told last. The lock is held. */
void rejoin_note(const struct run *run, const struct sample_instance *told);

/*
 * failover_begin.c: begins the recovery of an instance that is lost and has a standby. The lock is held; what
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
/* Sends them all at the same time, and waits until each was answered or is known to be dead. The lock isn't held. */
void push_all(struct push *pushes, size_t n);
void push_done(struct push *push);
