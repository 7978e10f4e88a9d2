/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * move.h - this host's part in a move: beginning and end. source.h, target.h and steering.h have the
 * three roles.
 *
 * A move is written to STATE_DIR/moves/ID.json when it is prepared and removed when it ends; its
 * phases are in the pinned lanes. So a restarted agent knows each move, and how far it was.
 *
 * Threads: control handlers, and one thread of the source (source.c). move.lock guards phases and
 * results and is never held while waiting for packets or peers; `edit` keeps table edits of one
 * move in the order of its phases. A handler holds a reference for as long as it works, and the
 * lanes stay for as long as a step does.
 *
 * No handler waits for another one without bound: what hangs (a disk, a sender) would take all that come
 * after it along. After MOVE_BEGIN_NS or MOVE_END_NS it answers that it is busy, and what with; the
 * orchestrator asks again, and rolls the move back, or lets the host settle it later, when its
 * patience has gone (its move.h): these are less.
 */
#pragma once

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#include "agent/agent.h"
#include "agent/converge.h"
#include "agent/handover_state.h"
#include "agent/lane.h"
#include "agent/phase.h"
#include "agent/subject.h"
#include "lib/clock.h"

#define MOVE_ID_MAX 25 /* 24 characters, and NUL */

/* For its being prepared: of a patience of 5 s. */
#define MOVE_BEGIN_NS (2 * NSEC_PER_SEC)
/* For its steps to give up, and as much again for state that comes: of a patience of 15 s. */
#define MOVE_END_NS (4 * NSEC_PER_SEC)

/* Place of the target on the source's fence board, when it returns parked packets. */
#define FENCE_FROM_TARGET (FF_STEERING_MAX - 1)

enum guarantee { GUARANTEE_NONE, GUARANTEE_LOSS_FREE, GUARANTEE_ORDER };

struct move {
	struct agent *agent;
	char id[MOVE_ID_MAX];
	uint64_t token; /* even; of the source's lane. The target's lane has token | 1 */
	uint16_t from, to;
	uint32_t source_host, target_host;
	enum guarantee guarantee;
	uint16_t overflow;
	uint32_t park_limit;
	bool no_precopy; /* everything goes in the last round */
	bool is_source, is_target, is_steering;
	bool handover;				 /* no copy: see handover.h */
	bool seamless;				 /* and nothing parked */
	struct slotset held;			 /* of a handover: all slots of the groups */
	uint16_t place;				 /* own, among the steering hosts */
	uint16_t steering_cpus[FF_STEERING_MAX]; /* by place */
	struct subject subject;
	struct subject existed; /* its pins and rules that were there before */
	struct instance *instance_from, *instance_to; /* those of this host */
	struct http_client *target;		      /* source: the other agent */
	json_t *request;

	atomic_int refs;
	atomic_bool ending;   /* by abort or finish: no step begins, and those under way give up */
	pthread_mutex_t ends; /* held by abort and finish: one at a time; before `edit` */
	bool ended;	      /* guarded by `ends`, as the next one */
	bool forced;	      /* it had committed, and is told that the source has the flows */
	pthread_mutex_t edit; /* guards the next three */
	struct table_entry applied; /* what its entries are, once `has_applied` */
	bool has_applied;
	uint64_t applied_mark; /* all packets see them after a grace period (cpus.h) */
	pthread_mutex_t lock;  /* guards all below */
	unsigned int working;  /* steps under way */
	pthread_cond_t changed;
	bool prepared, failed; /* the entries are written; never will be */
	enum phase source, target_phase;
	bool switched;
	uint16_t heir; /* has the flows afterwards, for from or to is lost; 0: it isn't */
	struct lane source_lane, target_lane;

	/* source */
	pthread_t thread;
	bool running;		  /* the thread is to be joined, .. */
	bool stopping;		  /* .. and somebody is at it */
	bool taken_back;	  /* by hold: no thread is started any more */
	struct converge converge; /* the thread's own */
	bool final_asked;
	bool unfenced;	/* hand over without waiting for all fences */
	bool resending; /* after a restart: the target may miss anything */
	atomic_bool cancel;
	int error; /* that ended the thread */
	struct ff_error why;
	uint32_t rounds;
	uint64_t bytes, dirty;
	uint64_t precopy_us, fence_us, final_us;
	json_t *result;		 /* what the target answered to final */
	struct handing *handing; /* from its first step on; one step at a time */

	/* target */
	uint64_t flows; /* entries staged and not deleted again */
	uint64_t parked, freeze_us, release_us;
	unsigned int receiving;		   /* streams under way: one at most, .. */
	const struct http_request *stream; /* .. and its request */

	/* steering */
	pthread_mutex_t turn; /* held by switch and unswitch: one at a time; before `edit` */
	uint64_t switched_ns;
	bool unswitched;     /* it stays or has gone back: never forth again */
	uint32_t fence_host; /* where the fences go */
	uint64_t fence_token;
	atomic_bool fence_cancel;
	bool fencing; /* the repeating thread is to be joined */
	pthread_t fencer;
};

/* Finds a move and takes a reference; NULL and *err: there's none (-ENOENT), or not yet (-EAGAIN). */
struct move *move_get(struct agent *agent, const char *id, struct ff_error *err);
void move_put(struct move *move);
DEFINE_CLEANUP(struct move *, move_put);
#define _cleanup_move_ _cleanup_(move_putp)

/* All references: an array of FF_LANES_MAX, NULL where there's none. Put each. */
void move_all(struct agent *agent, struct move *ret[FF_LANES_MAX]);

/* POST prepare. A repeated one is fine. */
int move_prepare(struct agent *agent, const char *id, json_t *body, json_t **ret_reply,
		 struct ff_error *err);

/*
 * Takes up the moves of an earlier agent. One that can't be (its instance isn't there, no memory)
 * keeps its entries and lanes as they are, and move_get() says -EAGAIN; call it `again` under agent.lock
 * while agent.moves_waiting. It is in agent.waiting, under agent.lock, for who would change its entries: of one
 * whose file is damaged nobody knows which they are.
 */
int move_adopt_all(struct agent *agent, bool again, struct ff_error *err);

/* No move waits any more. */
void moves_waiting_put(struct agent *agent);

/* Writes the entries as the phases want them, in one step. */
int move_apply(struct move *move, uint64_t *ret_ns, struct ff_error *err);

/* Returns when every packet sees the entries as they were written last. */
void move_applied_await(struct move *move);

/*
 * Between these a step may use the move's lanes: abort and finish wait for it. It begins once the
 * move is prepared, or taken up. -ECANCELED: it is ending; -EAGAIN: it isn't prepared yet, or couldn't be.
 */
int move_step_begin(struct move *move, struct ff_error *err);
void move_step_end(struct move *move);

/* Notes the `heir` that a body may name; it must be known here. */
int move_heir(struct move *move, const json_t *json, struct ff_error *err);

/* Where packets for that owner go from here: its host, or (0) an instance here. */
struct move_place {
	uint16_t instance;
	uint32_t host;
};
struct move_place move_place(const struct move *move, uint16_t owner);

/* `force`: the move has ended with the flows at the source, whatever this host has come to. */
int move_abort(struct move *move, bool force, struct ff_error *err);

/* `json`: {"service","to","subject"}; move NULL: this host had no part in it. */
int move_finish(struct agent *agent, struct move *move, const json_t *json, struct ff_error *err);

/* Stops its threads and leaves all else as it is, for the next agent. */
void move_leave(struct move *move);

json_t *move_json(struct move *move);

/* ---- for source.c and target.c -------------------------------------------------------------- */

/* Sets a phase, also in the pinned lane, and tells those who wait. Under move.lock. */
void move_source_phase(struct move *move, enum phase phase);
void move_target_phase(struct move *move, enum phase phase);

/*
 * Does the move take this flow from (or leave it at) `instance`? Not one that another pin or rule
 * keeps there, though its slot moves. The signature of state_select.wants.
 */
struct move_taking {
	const struct move *move;
	const struct instance *instance;
};
bool move_takes(const void *taking, const struct ff_flow_key *key);

/* Whole slots and nothing to keep: no need to ask for each flow. */
bool move_takes_all(const struct move *move);

/* Deletes this move's state from an instance: all of it, or what it staged here. */
int move_forget(struct move *move, struct instance *instance, bool staged_only,
		struct ff_error *err);
