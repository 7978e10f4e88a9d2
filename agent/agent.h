/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * agent.h - what the parts of the agent share.
 *
 * Threads and locks:
 *	agent.lock	guards moves, hosts, instances and their lists. Control handlers take it for
 *			short; nobody waits for the network or for packets under it.
 *	instances_lock	read: whoever uses an instance beyond agent.lock (sweep, dumps, moves'
 *			threads by way of move.refs); write: whoever removes one. Taken after agent.lock.
 *	move.lock	one move's phases and results; see move.h. Taken after agent.lock.
 * The data path's maps have their own rules: table.h, lane.h.
 */
#pragma once

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "agent/config.h"
#include "agent/cpus.h"
#include "agent/datapath.h"
#include "agent/instance.h"
#include "agent/table.h"
#include "lib/addr.h"
#include "lib/http_client.h"
#include "lib/http_server.h"

#define AGENT_VERSION "0.1.0"

struct move;

struct agent_host {
	bool	       known;
	char	       name[FF_NAME_MAX];
	char	       url[128];
	struct ff_addr ipv4, ipv6; /* zero: none */
};

struct agent_service {
	char	name[FF_NAME_MAX];
	char	nf[FF_NAME_MAX];
	json_t *config; /* of the NF, as its instances here have it; NULL: none */
	bool	changed; /* in the configuration that is being applied */
};

/* Moves that have ended here: a request to prepare one that was long on its way comes too late. */
#define AGENT_ENDED_MAX 64
struct agent_ended {
	char	     ids[AGENT_ENDED_MAX][25];
	unsigned int next;
};

struct agent {
	struct agent_config *config;
	struct datapath	    *dp;
	struct cpus	    *cpus;
	struct table	    *table;
	struct http_server  *server;
	uint64_t	     started_ns;

	pthread_mutex_t	     lock;
	uint64_t	     config_version; /* of the last configuration, in the host's epoch */
	struct agent_host    hosts[FF_HOSTS_MAX];
	struct agent_service services[FF_SERVICES_MAX];
	struct instance	    *instances[FF_INSTANCES_MAX]; /* those of this host, by number */
	struct move	    *moves[FF_LANES_MAX];
	struct agent_ended   ended;
	pthread_rwlock_t     instances_lock;

	atomic_bool stop;
};

/* The instance of that name or number on this host; NULL: none. Under agent.lock. */
struct instance *agent_instance_named(struct agent *agent, const char *name);
struct instance *agent_instance(struct agent *agent, uint16_t number);
