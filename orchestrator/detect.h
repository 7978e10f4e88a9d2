/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * detect.h - is a host dead? What its own agent and the other hosts' data paths say, and what follows.
 *
 *	its agent	witnesses			verdict
 *	talks		at least one hears it, or none	alive
 *	talks		all: silent, for long		dead: cut off from the fabric, or lying
 *	silent		at least one hears it		suspect: its data path forwards; nothing is taken
 *	silent		all: silent			dead
 *	silent		none that can tell		deaf: we may be the ones who are cut off
 *
 * A witness is another host whose own agent talks: its data path asks the others' 40 times a second
 * (heartbeats), and its agent tells how long each hasn't answered. One that hears nobody at all, of
 * several, is cut off itself, and no witness. So a host is dead only if two independent ways to it are.
 *
 * Pure: facts and their times in, changes out. An orchestrator that was stopped has old facts: after a
 * gap between two steps nobody is found dead until fresh ones had the time to come.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

#define DETECT_START_MS                                                                            \
	3000 /* an agent that we haven't heard since our own start isn't silent yet */
#define DETECT_PERIOD_MS 100 /* samples come so often: what is older by this is still fresh */
#define DETECT_CUT_TIMES 3   /* failure_ms, before an agent that talks isn't believed any more */
#define DETECT_WHY_MAX	 200

enum detect_verdict {
	DETECT_UNKNOWN, /* not heard since our start */
	DETECT_ALIVE,
	DETECT_SUSPECT,
	DETECT_DEAF,
	DETECT_DEAD,
};

/* What a host has told of another one's data path. */
struct detect_peer {
	uint64_t told_ns;   /* when, by our clock; 0: never */
	uint64_t silent_ns; /* for how long, then, it hadn't answered; UINT64_MAX: it never did */
	bool silent;	    /* it says itself that this was for too long */
};

struct detect_host {
	uint16_t id;
	char name[FF_NAME_MAX];
	uint64_t heard_ns;			/* when its agent last said anything; 0: never */
	bool open;				/* its agent's stream is; a closed one is silent */
	bool steers;				/* user traffic to the others */
	bool cut;				/* it says that its fabric link is down */
	struct detect_peer peers[FF_HOSTS_MAX]; /* by their numbers */
};

struct detect_facts {
	uint64_t now_ns;
	uint64_t failure_ms; /* 0: nobody is to be found dead */
	const struct detect_host *hosts;
	size_t hosts_n;
};

struct detect_change {
	uint16_t host;
	enum detect_verdict before, now;
	uint64_t silent_ms; /* of DEAD: since it was last heard by anybody */
	char why[DETECT_WHY_MAX];
};

/* What is remembered; all zero at first. */
struct detector {
	uint64_t started_ns, stepped_ns;
	uint64_t resumed_ns; /* since when steps come one after the other */
	enum detect_verdict verdicts[FF_HOSTS_MAX];
};

/* Returns how many have changed, at most FF_HOSTS_MAX. */
size_t detect_step(struct detector *detector, const struct detect_facts *facts,
		   struct detect_change ret_changes[FF_HOSTS_MAX]);

/*
 * A steering host that doesn't hear the data path of this one, which others do: what it sends there is lost, though
 * nobody is dead. NULL: none.
 */
const struct detect_host *detect_unheard_by(const struct detector *detector,
					    const struct detect_facts *facts,
					    const struct detect_host *host);

/* When the next step is due if no new fact comes; at most a failure_ms ahead, for facts age. */
uint64_t detect_due(const struct detector *detector, const struct detect_facts *facts);

const char *detect_verdict_name(enum detect_verdict verdict);
