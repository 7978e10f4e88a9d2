/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * move_world.h - a move with a small model of its hosts, the messages between them and the journal,
 * for a walk through all states that these can be in together.
 *
 * Everything that can happen next is a step: a request is executed, a reply arrives, time passes;
 * and, within a budget of faults, a request or reply is lost, a lost request is executed later all
 * the same, a host refuses, a stream breaks, an agent dies, a client cancels, the orchestrator dies
 * and recovers from its journal.
 */
#pragma once

#include <criterion/criterion.h>
#include <stdint.h>

#include "lib/cleanup.h"
#include "orchestrator/move.h"

#define HOSTS_MAX 4

enum source_phase { S_NONE, S_PREPARED, S_CONVERGED, S_HANDOVER, S_DONE, S_HOLDING, S_RESUMED };
enum target_phase { T_NONE, T_PREPARED, T_RELEASED, T_RETURNED };
enum reply { NO_REPLY, REPLY_OK, REPLY_COPIED, REPLY_COMMITTED, REPLY_REFUSED, REPLY_GONE };
enum stream { STREAM_NONE, STREAM_SENT, STREAM_ACKED, STREAM_BROKEN };

/*
 * Bits, as millions of these are kept and compared: a move's millions of states differ by the byte,
 * so what is left of one has a name and is 0.
 */
struct host {
	uint16_t known : 1; /* has the move */
	uint16_t source : 3;
	uint16_t target : 2;
	uint16_t switched : 1;
	uint16_t unswitched : 1; /* or stays: refuses switch from then on */
	uint16_t fenced : 1;	 /* its fences have reached the source */
	uint16_t deleted : 1;	 /* source: its state */
	uint16_t dead : 1;	 /* for good, */
	uint16_t found : 1;	 /* and the orchestrator knows */
	uint16_t orphan : 1; /* prepared late, when nobody waits for it: monitor.c has it dropped */
	uint16_t pad : 3;
};

/* One call's messages. A ghost is a request whose caller has given up on this attempt. */
struct wire {
	uint8_t request : 1; /* on its way */
	uint8_t waiting : 1; /* executing: final waits for the target */
	uint8_t ghost : 1;
	uint8_t fence : 1; /* its parameter */
	uint8_t reply : 3; /* enum reply, on its way */
	uint8_t pad : 1;
	uint8_t tag; /* of request, waiting or reply */
};

/* What the coordinator keeps of a call. */
struct slot {
	uint8_t state : 3;
	uint8_t attempts : 5;
	uint8_t tag;
};

struct world {
	struct host host[HOSTS_MAX];
	struct wire wire[HOSTS_MAX][MOVE_CALLS];
	struct slot slot[HOSTS_MAX][MOVE_CALLS];
	uint8_t stream;
	uint8_t unfenced;  /* the source need not wait */
	uint8_t committed; /* the target has, ever */
	uint8_t journal;   /* enum move_phase */
	uint8_t journal_doubt;
	uint8_t faults; /* left */
	uint8_t restarts;
	uint8_t cancels;
	uint8_t deaths;
	uint8_t phase, outcome, copied, held, returns, doubt, decides, recovered;
	uint8_t restless; /* a steering host has not promised to stay */
	uint8_t pad[6];
};

_Static_assert(sizeof(struct world) % (2 * sizeof(uint64_t)) == 0, "hashed by pairs of words");

struct layout {
	const char *name;
	uint32_t hosts;
	uint8_t roles[HOSTS_MAX];
	bool fence;
	uint8_t faults, restarts, cancels, deaths;
};

/* Whose states are walked through. */
extern const struct layout *layout;

/* Fails the test, and shows how it came to this. */
#define check(condition, text)                                                                     \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			trail_print();                                                             \
			cr_assert_fail("%s: %s", layout->name, text);                              \
		}                                                                                  \
	} while (0)

/* ---- move_world.c: what hosts and the coordinator do ----------------------------------------- */

void world_to_move(const struct world *w, struct move *move);
struct host *host_with(struct world *w, enum move_role role);
bool all_fenced(const struct world *w);
void stream_stop(struct world *w);
/* Executes a call; NO_REPLY: it goes on waiting. */
enum reply host_call(struct world *w, uint32_t h, enum move_call call, bool fence);
/* Both add the state that they lead to. */
void machine_feed(struct world *w, const struct move_event *event, uint64_t now_ns);
void machine_answer(struct world *w, uint32_t h, enum move_call call, enum move_event_kind kind,
		    enum reply reply);

/* ---- move_steps.c: what can happen; each adds the states that it leads to -------------------- */

/* What happens to one host, and what to the coordinator by itself. */
void host_steps(const struct world *from, uint32_t h);
void world_steps(const struct world *from);
bool retry_is_due(const struct world *w);

/* ---- move_walk.c: breadth-first through all states ------------------------------------------- */

/* How many states of the last walk are ends with each outcome. */
extern size_t walk_ended[MOVE_FAILED + 1];

/* A state that can be next; one that was seen before is left out. */
void walk_add(const struct world *w);
/* How it came to this: the states from the first to the one being looked at. */
void trail_print(void);
/* Checks the invariants in each state; that the walk ends shows that every move does. */
void walk(const struct layout *of);
