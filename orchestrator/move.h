/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * move.h - the coordinator of a move, as a pure state machine: events in, actions out.
 *
 *	         ok           ok           ok          committed
 *	prepare ----> precopy ----> switch ----> final ----------> finish --> completed
 *	   |             |            |            |                  ^
 *	   +-------------+            +------------+                  | committed
 *	          |                         v                         |
 *	        abort                     decide ---------------------+
 *	          |                         | not committed
 *	          v                         v
 *	     rolled-back        stay -> hold -> decide -> unswitch -> return -> resume -> revert
 *	                                                                                     |
 *	                                                       rolled-back (failed if a step |
 *	                                                       had to be given up) <---------+
 *
 * Until the target has committed the source holds the truth, afterwards the target does. The one
 * question after a failure is therefore whether the target has committed. It is asked twice:
 * before `hold`, to go forward at once where that is possible, and after it, when the source can't
 * send the final state any more and the answer can't change.
 *
 * A source of few flows copies them as soon as it is prepared, and its answer to `prepare` says whether
 * it has: then there is no `precopy`. It is nobody's truth yet, and whatever stops the move before the
 * switch ends in `abort`, which deletes the copies, as after `precopy`.
 *
 * `stay` is for order: what the target has parked goes before what the source parks from `hold` on, so
 * no packet may go to the target any more that was steered after packets that the source holds. A
 * steering host that is slow might still switch then. It has agreed not to before the source holds;
 * and of those that have switched, the source awaits the fences, before it holds.
 *
 * No I/O, no clock, no allocation: the driver (migration.h) performs the actions in their order,
 * and tests/unit/test_move.c explores every order of replies, losses, errors and crashes.
 *
 * A host that is dead is asked nothing any more: what only it could do is given up at once, and a move that
 * goes forward turns back as if it were cancelled. Without its source nothing is to be held or resumed: the
 * target, if it hasn't committed, gives what it has parked to the heir (`return`), and all let go.
 *
 * Bounds: each call is repeated at MOVE_RETRY_NS until it is answered or the move's patience for it
 * has gone by; then a move that has not switched rolls back, and a step of the way back, or of
 * finish, is given up: what that host still owes is settled when it is reachable again (monitor.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/types.h>

#include "bpf/abi.h"

#define MOVE_HOSTS_MAX	 (FF_STEERING_MAX + 2) /* steering hosts, the source's and the target's */
#define MOVE_ACTIONS_MAX (MOVE_HOSTS_MAX + 4)  /* a phase's calls, with its journal entry and end */

#define MOVE_RETRY_NS	 250000000ull	 /* a restarting agent is back within about a second */
#define MOVE_PATIENCE_NS 5000000000ull	 /* going forward: an agent that restarts takes less */
#define MOVE_BACK_NS	 15000000000ull	 /* going back, finishing: giving up costs more there */
#define MOVE_RECOVER_NS	 120000000000ull /* after our own restart: the site may be booting */
#define MOVE_RETURNS_MAX 3 /* a target that won't return what it parked, each after its own wait */
#define MOVE_DECIDES_MAX 3 /* a source that neither holds nor is committed contradicts itself */

enum move_role {
	MOVE_SOURCE = 1,
	MOVE_TARGET = 2,
	MOVE_STEERING = 4,
	MOVE_ALL = 7,
};

enum move_phase {
	MOVE_NEW,
	MOVE_PREPARE,
	MOVE_PRECOPY,
	MOVE_SWITCH,
	MOVE_FINAL,
	MOVE_FINISH,
	MOVE_ABORT,
	MOVE_DECIDE,
	MOVE_STAY,
	MOVE_HOLD,
	MOVE_UNSWITCH,
	MOVE_RETURN,
	MOVE_RESUME,
	MOVE_REVERT,
	MOVE_ENDED,
	MOVE_PHASES,
};

enum move_call {
	MOVE_CALL_PREPARE,
	MOVE_CALL_PRECOPY,
	MOVE_CALL_SWITCH,
	MOVE_CALL_FINAL,
	MOVE_CALL_FINISH,
	MOVE_CALL_ABORT,
	MOVE_CALL_QUERY,
	MOVE_CALL_STAY,
	MOVE_CALL_HOLD,
	MOVE_CALL_UNSWITCH,
	MOVE_CALL_RETURN,
	MOVE_CALL_RESUME,
	MOVE_CALL_REVERT,
	MOVE_CALLS,
};

enum move_outcome {
	MOVE_RUNNING,
	MOVE_COMPLETED,
	MOVE_ROLLED_BACK,
	MOVE_FAILED,
};

enum move_event_kind {
	MOVE_EV_START,
	MOVE_EV_RECOVER, /* our own restart; `phase` and `doubt` as last journalled */
	MOVE_EV_OK,	 /* host has done it; for a query, `committed` */
	MOVE_EV_REFUSED, /* host answered with an error */
	MOVE_EV_GONE,	 /* host answered that it knows no such move */
	MOVE_EV_LOST,	 /* no answer: it may have done it or not */
	MOVE_EV_CANCEL,
	MOVE_EV_DEAD, /* host is dead, for this move's lifetime: a call to it has no answer */
	MOVE_EV_TICK, /* time has passed: move_due() */
};

struct move_event {
	enum move_event_kind kind;
	unsigned int host; /* place in move.hosts */
	enum move_call call;
	uint32_t tag; /* of the action that is answered; others are stale, and ignored */
	bool committed;
	bool switched; /* OK to stay: it has, before */
	bool copied;   /* OK to prepare, from the source: and has copied already */
	enum move_phase phase;
	bool doubt;
};

enum move_action_kind {
	MOVE_DO_JOURNAL, /* make `phase` durable before any later action; a failure ends the driver */
	MOVE_DO_CALL,
	MOVE_DO_END, /* with `outcome` */
};

struct move_action {
	enum move_action_kind kind;
	unsigned int host;
	enum move_call call;
	uint32_t tag;
	bool fence; /* final, resume: wait for fences */
	enum move_phase phase;
	enum move_outcome outcome;
};

enum move_slot_state {
	MOVE_SLOT_IDLE,
	MOVE_SLOT_SENT,
	MOVE_SLOT_RETRY, /* again at due_ns */
	MOVE_SLOT_DONE,
	MOVE_SLOT_REFUSED,
	MOVE_SLOT_GIVEN_UP,
};

/* One host's part in one call. */
struct move_slot {
	uint8_t state;
	uint8_t attempts; /* since the phase began */
	uint16_t pad;
	uint32_t tag;	   /* of the last action; counts up over the move's life */
	uint64_t first_ns; /* first attempt since the phase began */
	uint64_t due_ns;
};

struct move {
	/* set by the caller, then left alone */
	uint32_t hosts;
	uint8_t roles[MOVE_HOSTS_MAX]; /* enum move_role, or-ed */
	bool fence;		       /* order-preserving: final waits for fences */
	uint8_t attempts_max;	       /* besides patience; 0: patience alone */
	uint64_t patience_ns;
	uint64_t patience_back_ns;

	/* the machine's own */
	enum move_phase phase;
	enum move_outcome outcome;
	enum move_phase failed_in; /* the phase that it turned back from; MOVE_NEW: none */
	uint16_t switched;	   /* a bit for each steering host that stays so */
	uint16_t dead;		   /* a bit for each host of which it was said */
	bool copied;		   /* in prepare: there's nothing left to do for precopy */
	bool held;		   /* the source has answered hold, or won't */
	uint8_t returns; /* how often `return` was refused; each time it is asked what it has */
	bool doubt;	 /* went back without the target's word that it hasn't committed */
	uint8_t decides;
	struct move_slot slots[MOVE_HOSTS_MAX][MOVE_CALLS];
};

/* hosts 0, with the default patience. */
void move_init(struct move *move, bool fence);

/* Adds a role to a host of the move, by the caller's number; -E2BIG. *ret_place is its place. */
int move_add_host(struct move *move, unsigned int place, uint8_t roles);

/*
 * One step. The actions are to be performed in their order. -EINVAL: START or RECOVER on a move
 * that has begun, or an unknown host or call; nothing has changed then. -E2BIG: @max is below
 * MOVE_ACTIONS_MAX. Events that are stale or come after the end do nothing, and are no error.
 */
int move_step(struct move *move, const struct move_event *event, uint64_t now_ns,
	      struct move_action *ret_actions, size_t max, size_t *ret_n);

/* When the next TICK is due; UINT64_MAX: nothing waits for time. */
uint64_t move_due(const struct move *move);

/* Whether a cancel would still be heeded: before the target can be known to have committed. */
bool move_can_cancel(const struct move *move);

const char *move_phase_name(enum move_phase phase);
/* -EINVAL for an unknown name. */
int move_phase_parse(const char *name, enum move_phase *ret_phase);
const char *move_call_name(enum move_call call); /* as in the agents' API */
const char *move_outcome_name(enum move_outcome outcome);
