/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * agent.h - what the parts of the agent share.
 *
 * Threads and locks, in the order in which they are taken:
 *	move.ends	one ends a move; see move.h.
 *	agent.lock	one at a time changes hosts, services, instances or lanes. It may take seconds:
 *			an NF is loaded, rings are made, all grace periods are waited for. So no step
 *			of a move takes it between the switch and the release, while packets are held;
 *			only its beginning and its end do. Who takes longer than a second counts
 *			its steps (watchdog.h).
 *	instances_lock	write: the moment in which those lists change, under agent.lock; read: whoever
 *			looks at them, or uses an instance, without agent.lock. Instances of a move
 *			need neither: they stay as long as the move is in `moves`.
 *	standbys.lock	which instances are standbys, and the writing of their state.
 *	replicas.lock	the list of replicas, for microseconds.
 *	moves_lock	the lists of moves and neighbours, for microseconds: the last round of a move finds its move
 *			by it. Nothing but memory is touched under it.
 *	move.lock	one move's phases and results; see move.h.
 * The epoch is atomic. The data path's maps have their own rules: table.h, lane.h.
 */
#pragma once

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "agent/config.h"
#include "agent/cpus.h"
#include "agent/datapath.h"
#include "agent/desired.h"
#include "agent/health.h"
#include "agent/instance.h"
#include "agent/replica.h"
#include "agent/standby.h"
#include "agent/table.h"
#include "agent/watchdog.h"
#include "lib/http_client.h"
#include "lib/http_server.h"

struct heartbeat;
struct monitor;
struct move;

struct agent_service {
	char name[FF_NAME_MAX];
	char nf[FF_NAME_MAX];
	json_t *config; /* of the NF, as its instances here have it; NULL: none */
	bool changed;	/* in the configuration that is being applied */
};

/* Moves that have ended here: a request to prepare one that was long on its way comes too late. */
#define AGENT_ENDED_MAX 64
struct agent_ended {
	char ids[AGENT_ENDED_MAX][25];
	unsigned int next;
};

/* Clients of other hosts' agents; see neighbours.h. */
struct agent_neighbours {
	struct http_client *list[FF_HOSTS_MAX];
	size_t next; /* to be replaced */
};

struct agent {
	struct agent_config *config;
	struct datapath *dp;
	struct cpus *cpus;
	struct table *table;
	struct http_server *server;
	struct monitor *monitor;
	struct heartbeat *heartbeat;
	struct health health;
	uint64_t started_ns;

	pthread_mutex_t lock;
	struct watchdog watchdog;
	struct agent_service services[FF_SERVICES_MAX];
	bool moves_waiting; /* some could not be taken up yet: */
	struct move
		*waiting[FF_LANES_MAX]; /* of these it is known what they are about; see move.h */
	uint64_t routes_rest_ns;	/* until then routes_vouch() doesn't look */
	struct replicas replicas;	/* see replica.h */
	struct standbys standbys;	/* see standby.h */

	pthread_rwlock_t instances_lock;
	struct desired_host hosts[FF_HOSTS_MAX];
	struct instance *instances[FF_INSTANCES_MAX]; /* those of this host, by number */
	/* names of those that another version has pinned: they aren't among the above */
	char *foreign[FF_INSTANCES_MAX];

	pthread_mutex_t moves_lock;
	struct move *moves[FF_LANES_MAX];
	struct agent_ended ended;
	struct agent_neighbours neighbours;

	atomic_bool cpus_unfit; /* a gap, or too many: see online.h */
	atomic_bool again;	/* to be run anew */

	pthread_mutex_t stop_lock;
	pthread_cond_t stopping;
	bool stop; /* guarded by stop_lock */
};

/* The instance of that name or number on this host; NULL: none. Under agent.lock or instances_lock. */
struct instance *agent_instance_named(struct agent *agent, const char *name);
struct instance *agent_instance(struct agent *agent, uint16_t number);
