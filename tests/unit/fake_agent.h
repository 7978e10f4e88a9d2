/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fake_agent.h - a few agents in one process, on unix sockets, for tests of the orchestrator.
 *
 * They speak the southbound API, keep the phases of moves as real agents do, and fail where a
 * script says so. What they were asked is kept in one log: "nf1 prepare", "gw switch" ...
 */
#pragma once

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>

#include "lib/http_server.h"

#define FAKE_AGENTS_MAX 4
#define FAKE_MOVES_MAX	32
#define FAKE_LOG_MAX	512
#define FAKE_SCRIPT_MAX 16

enum fake_fault {
	FAKE_REFUSE,	   /* does nothing, answers an error */
	FAKE_LOSE_REQUEST, /* does nothing, and the caller can't know */
	FAKE_LOSE_REPLY,   /* does it, and the caller can't know */
	FAKE_BLOCK,	   /* doesn't answer until fake_unblock() */
};

struct fake_rule {
	const char *agent;
	const char *call;
	enum fake_fault fault;
	int times; /* left */
};

struct fake_move {
	char id[32];
	char phase[16];
	bool source, target, steering, switched;
	struct fake_agent *peer; /* of the source: the target */
};

struct fake_agent {
	struct fake_world *world;
	const char *name;
	char socket[108];
	bool steers;
	struct http_server *server;
	uint64_t epoch;
	uint64_t known; /* the version, in it, below which a configuration is refused */
	int uptime_s;
	json_t *config;
	json_t *flows; /* what GET /v1/flows answers */
	json_t *dead;  /* what GET /v1/pins/dead answers */
	struct fake_move moves[FAKE_MOVES_MAX];
	int configs;	       /* how many it was put */
	uint64_t path_dead_ns; /* since when nobody hears its data path; 0: it is heard */
	bool hung;	       /* answers nothing, and closes nothing */
	unsigned int unheard;  /* packets that each other host has sent to it in vain */
	const char *failed;    /* an instance of its that has failed; NULL: none */
	const char *foreign;   /* one that another version of it has pinned; likewise */
	unsigned int leases;   /* renewals */
};

struct fake_world {
	pthread_mutex_t lock;
	pthread_cond_t unblocked;
	bool blocking;
	char dir[64];
	struct fake_agent agents[FAKE_AGENTS_MAX];
	size_t agents_n;
	struct fake_rule script[FAKE_SCRIPT_MAX];
	size_t script_n;
	char log[FAKE_LOG_MAX][64];
	size_t log_n;
	pthread_t ticker; /* samples are due */
	bool ticking;
};

/* A directory of its own under /tmp. Exits on failure: these are tests. */
void fake_world_init(struct fake_world *world);
void fake_world_done(struct fake_world *world);
struct fake_agent *fake_agent_add(struct fake_world *world, const char *name, bool steers);
void fake_agent_start(struct fake_agent *agent);
void fake_agent_stop(struct fake_agent *agent);

/* Agents send samples, at the period that real ones have, from now on. */
void fake_samples_begin(struct fake_world *world);
/* The host loses its power: whoever has asked it anything waits. fake_unblock() gives it back. */
void fake_host_die(struct fake_agent *agent);
/* The host's data path isn't heard any more, or (dead false) again. */
void fake_path(struct fake_agent *agent, bool dead);

/* The next @times calls of that name to that agent fail so. */
void fake_script(struct fake_world *world, const char *agent, const char *call,
		 enum fake_fault fault, int times);
void fake_unblock(struct fake_world *world);

/* How often the log has this line, and where it is first (-1: nowhere). */
int fake_count(struct fake_world *world, const char *line);
int fake_index(struct fake_world *world, const char *line);
/* The phase of a move there; "" if it knows none of that id. Copied into @buf. */
const char *fake_phase(struct fake_agent *agent, const char *id, char buf[16]);
