/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_move.c - the coordinator's state machine in every situation that can arise.
 *
 * explore() walks breadth-first through all states that a move can be in together with a small
 * model of its hosts (which follows agent/phase.h), the messages between them and the journal.
 * Everything that can happen next is a step: a request is executed, a reply arrives, time passes;
 * and, within a budget of faults, a request or reply is lost, a lost request is executed later all
 * the same, a host refuses, a stream breaks, an agent dies, a client cancels, the orchestrator dies
 * and recovers from its journal. In each state the invariants are checked; that the walk ends shows
 * that every move does.
 */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "orchestrator/move.h"

#define HOSTS_MAX  4
#define ATTEMPTS   2
#define STATES_MAX (1u << 24) /* of the table of those seen */

/* ---- the model ------------------------------------------------------------------------------- */

enum source_phase { S_NONE, S_PREPARED, S_CONVERGED, S_HANDOVER, S_DONE, S_HOLDING, S_RESUMED };
enum target_phase { T_NONE, T_PREPARED, T_RELEASED, T_RETURNED };
enum reply { NO_REPLY, REPLY_OK, REPLY_COPIED, REPLY_COMMITTED, REPLY_REFUSED, REPLY_GONE };
enum stream { STREAM_NONE, STREAM_SENT, STREAM_ACKED, STREAM_BROKEN };

struct host {
	uint8_t known; /* has the move */
	uint8_t source;
	uint8_t target;
	uint8_t switched;
	uint8_t unswitched; /* or stays: refuses switch from then on */
	uint8_t fenced;	    /* its fences have reached the source */
	uint8_t deleted;    /* source: its state */
	uint8_t dead;	    /* for good, */
	uint8_t found;	    /* and the orchestrator knows */
	uint8_t orphan;	    /* prepared late, when nobody waits for it: monitor.c has it dropped */
};

/* One call's messages. A ghost is a request whose caller has given up on this attempt. */
struct wire {
	uint8_t request; /* on its way */
	uint8_t waiting; /* executing: final waits for the target */
	uint8_t reply;	 /* enum reply, on its way */
	uint8_t ghost;
	uint8_t fence; /* its parameter */
	uint8_t tag;   /* of request, waiting or reply */
};

struct world {
	struct host host[HOSTS_MAX];
	struct wire wire[HOSTS_MAX][MOVE_CALLS];
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
	struct {
		uint8_t state, attempts, tag;
	} slot[HOSTS_MAX][MOVE_CALLS];
};

struct layout {
	const char *name;
	uint32_t hosts;
	uint8_t roles[HOSTS_MAX];
	bool fence;
	uint8_t faults, restarts, cancels, deaths;
};

static const struct layout *layout;

/* struct move <-> its part of a world: what matters for the future, so that equal states are equal. */
static void world_to_move(const struct world *w, struct move *move)
{
	move_init(move, layout->fence);
	for (uint32_t h = 0; h < layout->hosts; h++)
		move_add_host(move, h, layout->roles[h]);
	move->attempts_max = ATTEMPTS;
	move->patience_ns = move->patience_back_ns = UINT64_MAX;
	move->phase = w->phase;
	move->outcome = w->outcome;
	move->copied = w->copied;
	move->held = w->held;
	move->returns = w->returns;
	move->doubt = w->doubt;
	move->decides = w->decides;
	for (uint32_t h = 0; h < layout->hosts; h++) {
		move->dead |= (uint16_t)(w->host[h].found << h);
		for (int c = 0; c < MOVE_CALLS; c++) {
			struct move_slot *slot = &move->slots[h][c];

			slot->state = w->slot[h][c].state;
			slot->attempts = w->slot[h][c].attempts;
			slot->tag = w->slot[h][c].tag;
			if (slot->state == MOVE_SLOT_RETRY)
				slot->due_ns = MOVE_RETRY_NS;
		}
	}
}

static void world_from_move(struct world *w, const struct move *move)
{
	w->phase = move->phase;
	w->outcome = move->outcome;
	w->copied = move->copied;
	w->held = move->held;
	w->returns = move->returns;
	w->doubt = move->doubt;
	w->decides = move->decides;
	for (uint32_t h = 0; h < layout->hosts; h++) {
		w->host[h].found = move->dead >> h & 1;
		for (int c = 0; c < MOVE_CALLS; c++) {
			w->slot[h][c].state = move->slots[h][c].state;
			w->slot[h][c].attempts = move->slots[h][c].attempts;
			w->slot[h][c].tag = (uint8_t)move->slots[h][c].tag;
			w->restless |= c == MOVE_CALL_STAY &&
				       move->slots[h][c].state == MOVE_SLOT_GIVEN_UP;
		}
	}
}

/* ---- the queue and the set of states seen ---------------------------------------------------- */

struct explorer {
	struct world *queue;
	uint32_t *parent; /* of each in the queue */
	size_t head, tail, room;
	uint64_t *seen; /* hashes: two states may share one, at odds of 1 in 10^7 */
	size_t ended[MOVE_FAILED + 1];
};

static struct explorer explorer;

static uint64_t world_hash(const struct world *w)
{
	uint64_t words[(sizeof(*w) + 7) / 8] = { 0 }, hash = 0x9e3779b97f4a7c15ull;

	memcpy(words, w, sizeof(*w));
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		hash = (hash ^ words[i]) * 0xff51afd7ed558ccdull;
		hash ^= hash >> 32;
	}
	return hash ? hash : 1;
}

static void explorer_add(const struct world *w)
{
	uint64_t hash = world_hash(w);
	size_t at = hash % STATES_MAX;

	while (explorer.seen[at] && explorer.seen[at] != hash)
		at = (at + 1) % STATES_MAX;
	if (explorer.seen[at])
		return;
	explorer.seen[at] = hash;
	if (explorer.tail == explorer.room) {
		explorer.room = explorer.room ? 2 * explorer.room : 4096;
		explorer.queue = reallocarray(explorer.queue, explorer.room, sizeof(*w));
		explorer.parent =
			reallocarray(explorer.parent, explorer.room, sizeof(*explorer.parent));
		cr_assert(explorer.queue && explorer.parent);
	}
	cr_assert_lt(explorer.tail, STATES_MAX / 2, "more states than expected: does it end?");
	explorer.parent[explorer.tail] = explorer.head ? (uint32_t)explorer.head - 1 : 0;
	explorer.queue[explorer.tail++] = *w;
}

/* How it came to this: the states from the first to the one being looked at. */
static void trail_print(void)
{
	uint32_t path[1024], n = 0, at = explorer.head ? (uint32_t)explorer.head - 1 : 0;

	while (n < ARRAY_SIZE(path)) {
		path[n++] = at;
		if (!at)
			break;
		at = explorer.parent[at];
	}
	while (n--) {
		const struct world *w = &explorer.queue[path[n]];

		fprintf(stderr, "%-8s stream %u faults %u", move_phase_name(w->phase), w->stream,
			w->faults);
		for (uint32_t h = 0; h < layout->hosts; h++) {
			fprintf(stderr, " |%s s%u t%u %s", w->host[h].known ? "" : " gone",
				w->host[h].source, w->host[h].target,
				w->host[h].switched ? "sw" : "");
			for (int c = 0; c < MOVE_CALLS; c++) {
				const struct wire *wire = &w->wire[h][c];

				if (wire->request || wire->waiting || wire->reply || wire->ghost)
					fprintf(stderr, " %s%s%s%s%s", move_call_name(c),
						wire->request ? "?" : "",
						wire->waiting ? "..." : "", wire->reply ? "!" : "",
						wire->ghost ? "~" : "");
			}
		}
		fputc('\n', stderr);
	}
}

#define check(condition, text)                                                                     \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			trail_print();                                                             \
			cr_assert_fail("%s: %s", layout->name, text);                              \
		}                                                                                  \
	} while (0)

/* ---- what hosts do --------------------------------------------------------------------------- */

static struct host *host_with(struct world *w, enum move_role role)
{
	for (uint32_t h = 0; h < layout->hosts; h++)
		if (layout->roles[h] & role)
			return &w->host[h];
	return NULL;
}

static bool all_fenced(const struct world *w)
{
	for (uint32_t h = 0; h < layout->hosts; h++)
		if ((layout->roles[h] & MOVE_STEERING) && !w->host[h].fenced)
			return false;
	return true;
}

static void stream_stop(struct world *w)
{
	if (w->stream == STREAM_SENT || w->stream == STREAM_ACKED)
		w->stream = STREAM_BROKEN;
}

static enum reply host_hold(struct world *w, struct host *host)
{
	stream_stop(w);
	/* the source asks the target itself when it can't know */
	if (host->source == S_HANDOVER && host_with(w, MOVE_TARGET)->target == T_RELEASED &&
	    !host_with(w, MOVE_TARGET)->dead)
		host->source = S_DONE;
	if (host->source == S_HOLDING)
		return REPLY_OK;
	if (host->source > S_HANDOVER)
		return REPLY_REFUSED;
	host->source = S_HOLDING;
	for (uint32_t h = 0; h < layout->hosts; h++)
		w->host[h].fenced = 0;
	return REPLY_OK;
}

static enum reply host_abort(struct world *w, struct host *host, uint8_t roles)
{
	if (host->source == S_DONE || host->target == T_RELEASED)
		return REPLY_REFUSED;
	if (roles & MOVE_SOURCE)
		stream_stop(w);
	*host = (struct host){ .unswitched = host->unswitched };
	return REPLY_OK;
}

static enum reply host_finish(struct world *w, struct host *host, uint8_t roles)
{
	if ((roles & MOVE_SOURCE) && host->source != S_DONE && host->source != S_HANDOVER)
		return REPLY_REFUSED;
	if ((roles & MOVE_TARGET) && host->target != T_RELEASED)
		return REPLY_REFUSED;
	if (roles & MOVE_SOURCE) {
		check(w->committed, "the source deletes before the target has committed");
		stream_stop(w);
	}
	*host = (struct host){
		.unswitched = host->unswitched,
		.deleted = (roles & MOVE_SOURCE) != 0,
		.target = host->target == T_RELEASED ? T_RELEASED : T_NONE,
	};
	return REPLY_OK;
}

/* Executes a call; NO_REPLY: it goes on waiting. */
static enum reply host_call(struct world *w, uint32_t h, enum move_call call, bool fence)
{
	struct host *host = &w->host[h];
	uint8_t roles = layout->roles[h];

	if (call == MOVE_CALL_PREPARE) {
		if (!host->known && !host->deleted) {
			host->known = 1;
			host->source = roles & MOVE_SOURCE ? S_PREPARED : S_NONE;
			host->target = roles & MOVE_TARGET ? T_PREPARED : T_NONE;
			host->switched = 0;
		}
		return REPLY_OK;
	}
	if (!host->known)
		return call == MOVE_CALL_FINISH ? REPLY_OK : REPLY_GONE;
	switch (call) {
	case MOVE_CALL_PRECOPY:
		if (host->source > S_CONVERGED)
			return REPLY_REFUSED;
		host->source = S_CONVERGED;
		return REPLY_OK;
	case MOVE_CALL_SWITCH:
		if (host->unswitched)
			return REPLY_REFUSED;
		check(w->restless || host->orphan || host->switched ||
			      host_with(w, MOVE_SOURCE)->source < S_HOLDING,
		      "a packet goes to the target that was steered after what the source holds");
		host->switched = host->fenced = 1;
		return REPLY_OK;
	case MOVE_CALL_FINAL:
		if (host->source == S_DONE)
			return REPLY_OK;
		if (host->source != S_CONVERGED && host->source != S_HANDOVER)
			return REPLY_REFUSED;
		w->unfenced |= !fence;
		if (w->stream == STREAM_BROKEN) /* it is sent anew */
			w->stream = STREAM_NONE;
		return NO_REPLY;
	case MOVE_CALL_QUERY:
		return host->target == T_RELEASED || host->source == S_DONE ? REPLY_COMMITTED :
									      REPLY_OK;
	case MOVE_CALL_HOLD:
		return host_hold(w, host);
	case MOVE_CALL_STAY:
		host->unswitched = 1;
		return REPLY_OK;
	case MOVE_CALL_UNSWITCH:
		host->switched = 0;
		host->unswitched = 1;
		return REPLY_OK;
	case MOVE_CALL_RETURN:
		if (host->target == T_RELEASED)
			return REPLY_REFUSED;
		host->target = T_RETURNED;
		return REPLY_OK;
	case MOVE_CALL_RESUME:
		if (host->source != S_HOLDING && host->source != S_RESUMED)
			return REPLY_REFUSED;
		host->source = S_RESUMED;
		return REPLY_OK;
	case MOVE_CALL_ABORT:
	case MOVE_CALL_REVERT:
		return host_abort(w, host, roles);
	default:
		return host_finish(w, host, roles);
	}
}

/* ---- the machine ----------------------------------------------------------------------------- */

static void machine_feed(struct world *w, const struct move_event *event, uint64_t now_ns)
{
	struct move_action actions[MOVE_ACTIONS_MAX];
	struct move move;
	size_t n = 0;

	world_to_move(w, &move);
	cr_assert_eq(move_step(&move, event, now_ns, actions, ARRAY_SIZE(actions), &n), 0);
	world_from_move(w, &move);
	for (size_t i = 0; i < n; i++) {
		const struct move_action *action = &actions[i];

		if (action->kind == MOVE_DO_JOURNAL) {
			check(action->phase != MOVE_FINISH || w->committed,
			      "finish is decided before the target has committed");
			w->journal = action->phase;
			w->journal_doubt = move.doubt;
		} else if (action->kind == MOVE_DO_CALL) {
			struct wire *wire = &w->wire[action->host][action->call];

			/* the former attempt's messages have nobody who waits for them */
			wire->reply = NO_REPLY;
			wire->waiting = 0;
			wire->request = 1;
			wire->fence = action->fence;
			wire->tag = (uint8_t)action->tag;
			cr_assert_lt(action->tag, 100, "%s: %s is called for ever", layout->name,
				     move_call_name(action->call));
		} else {
			w->journal = MOVE_ENDED;
		}
	}
	explorer_add(w);
}

static void machine_answer(struct world *w, uint32_t h, enum move_call call,
			   enum move_event_kind kind, enum reply reply)
{
	const struct move_event event = {
		.kind = kind,
		.host = h,
		.call = call,
		.tag = w->wire[h][call].tag,
		.committed = reply == REPLY_COMMITTED,
		.copied = reply == REPLY_COPIED,
	};

	machine_feed(w, &event, 0);
}

/* ---- what can happen ------------------------------------------------------------------------- */

static void step_request(const struct world *from, uint32_t h, enum move_call call)
{
	const struct wire *wire = &from->wire[h][call];
	struct world w = *from;
	enum reply reply;

	w.wire[h][call].request = 0;
	if (from->host[h].dead) {
		machine_answer(&w, h, call, MOVE_EV_LOST, NO_REPLY);
		return;
	}
	reply = host_call(&w, h, call, wire->fence);
	w.wire[h][call].reply = reply;
	w.wire[h][call].waiting = reply == NO_REPLY;
	explorer_add(&w);
	if (call == MOVE_CALL_PREPARE && w.host[h].source == S_PREPARED) {
		w.host[h].source = S_CONVERGED; /* it may have copied by the time it answers */
		w.wire[h][call].reply = REPLY_COPIED;
		explorer_add(&w);
	}
	if (!from->faults)
		return;

	w = *from; /* it gets lost */
	w.faults--;
	w.wire[h][call].request = 0;
	machine_answer(&w, h, call, MOVE_EV_LOST, NO_REPLY);

	w = *from; /* it seems lost, but is executed some time */
	w.faults--;
	w.wire[h][call].request = 0;
	w.wire[h][call].ghost = 1;
	machine_answer(&w, h, call, MOVE_EV_LOST, NO_REPLY);

	if (call == MOVE_CALL_QUERY)
		return;
	w = *from; /* it is refused for some reason of the host's own */
	w.faults--;
	w.wire[h][call].request = 0;
	w.wire[h][call].reply = REPLY_REFUSED;
	explorer_add(&w);
}

static void step_reply(const struct world *from, uint32_t h, enum move_call call)
{
	static const enum move_event_kind kinds[] = {
		[REPLY_OK] = MOVE_EV_OK,	[REPLY_COPIED] = MOVE_EV_OK,
		[REPLY_COMMITTED] = MOVE_EV_OK, [REPLY_REFUSED] = MOVE_EV_REFUSED,
		[REPLY_GONE] = MOVE_EV_GONE,
	};
	enum reply reply = from->wire[h][call].reply;
	struct world w = *from;

	w.wire[h][call].reply = NO_REPLY;
	machine_answer(&w, h, call, kinds[reply], reply);
	if (!from->faults)
		return;

	w = *from; /* twice */
	w.faults--;
	machine_answer(&w, h, call, kinds[reply], reply);

	w = *from; /* never */
	w.faults--;
	w.wire[h][call].reply = NO_REPLY;
	machine_answer(&w, h, call, MOVE_EV_LOST, NO_REPLY);
}

static void step_ghost(const struct world *from, uint32_t h, enum move_call call)
{
	struct world w = *from;

	w.wire[h][call].ghost = 0;
	explorer_add(&w); /* it never comes */
	if (from->host[h].dead)
		return;
	host_call(&w, h, call, from->wire[h][call].fence);
	w.host[h].orphan |= !from->host[h].known && w.host[h].known;
	explorer_add(&w);
}

/* The source's thread, and what becomes of the stream. */
static void step_stream(const struct world *from, uint32_t source)
{
	struct host *target;
	struct world w = *from;
	bool go = w.unfenced || (layout->fence && all_fenced(&w));

	target = host_with(&w, MOVE_TARGET);
	if (w.stream == STREAM_NONE && go &&
	    (w.host[source].source == S_CONVERGED || w.host[source].source == S_HANDOVER) &&
	    !w.host[source].dead) {
		w.host[source].source = S_HANDOVER;
		w.stream = STREAM_SENT;
		explorer_add(&w);
		return;
	}
	if (w.stream != STREAM_SENT && w.stream != STREAM_ACKED)
		return;
	if (w.stream == STREAM_ACKED && w.host[source].dead) {
		w.stream = STREAM_BROKEN;
	} else if (w.stream == STREAM_ACKED) {
		w.stream = STREAM_NONE;
		w.host[source].source = S_DONE;
	} else if (target->known && target->target == T_PREPARED && !target->dead &&
		   !target->orphan) { /* an upload is of the move that it began with */
		target->target = T_RELEASED;
		w.committed = 1;
		w.stream = STREAM_ACKED;
	} else {
		w.stream = STREAM_BROKEN;
	}
	explorer_add(&w);
	if (from->faults) { /* it breaks: before it is received, or before the source knows */
		w = *from;
		w.faults--;
		w.stream = STREAM_BROKEN;
		explorer_add(&w);
	}
}

/* final is answered when the source knows how it went. */
static void step_final(const struct world *from, uint32_t source)
{
	struct world w = *from;
	struct wire *wire = &w.wire[source][MOVE_CALL_FINAL];
	uint8_t phase = w.host[source].source;

	if (!wire->waiting)
		return;
	if (phase == S_DONE)
		wire->reply = REPLY_OK;
	else if (w.stream == STREAM_BROKEN || !w.host[source].known ||
		 (phase != S_CONVERGED && phase != S_HANDOVER))
		wire->reply = REPLY_REFUSED;
	else if (from->faults && phase == S_CONVERGED && !w.unfenced && !all_fenced(&w)) {
		w.faults--;
		wire->reply = REPLY_REFUSED; /* the fences didn't come in time */
	} else {
		return;
	}
	wire->waiting = 0;
	explorer_add(&w);
}

/* An agent dies and is back at once: what it knows is pinned, what it was doing is lost. */
static void step_agent_death(const struct world *from, uint32_t h)
{
	struct world w = *from;

	w.faults--;
	if (layout->roles[h] & (MOVE_SOURCE | MOVE_TARGET))
		stream_stop(&w);
	if (w.wire[h][MOVE_CALL_FINAL].waiting) {
		w.wire[h][MOVE_CALL_FINAL].waiting = 0;
		machine_answer(&w, h, MOVE_CALL_FINAL, MOVE_EV_LOST, NO_REPLY);
		return;
	}
	explorer_add(&w);
}

/* @stops: what the source has sent isn't there in full yet. */
static void host_dies(const struct world *from, uint32_t h, bool stops)
{
	struct world w = *from;

	w.deaths--;
	w.host[h].dead = 1;
	if (stops)
		stream_stop(&w);
	for (int call = 0; call < MOVE_CALLS; call++) {
		struct wire *wire = &w.wire[h][call];

		if (!wire->waiting && !wire->reply)
			continue;
		wire->waiting = wire->reply = 0;
		machine_answer(&w, h, call, MOVE_EV_LOST, NO_REPLY);
		return; /* there is at most one that matters: the others were added on the way */
	}
	explorer_add(&w);
}

static void step_host_death(const struct world *from, uint32_t h)
{
	bool streams = layout->roles[h] & (MOVE_SOURCE | MOVE_TARGET);

	host_dies(from, h, streams);
	if (from->stream == STREAM_SENT && !(layout->roles[h] & MOVE_TARGET) && streams)
		host_dies(from, h, false);
}

/* The others have told that it isn't heard any more. */
static void step_found_dead(const struct world *from, uint32_t h)
{
	struct world w = *from;

	for (int call = 0; call < MOVE_CALLS; call++)
		w.wire[h][call] = (struct wire){ 0 };
	machine_feed(&w, &(struct move_event){ .kind = MOVE_EV_DEAD, .host = h }, 0);
}

static void step_restart(const struct world *from)
{
	const struct move_event event = {
		.kind = MOVE_EV_RECOVER,
		.phase = from->journal,
		.doubt = from->journal_doubt,
	};
	struct world w = *from;

	w.restarts--;
	w.recovered = 1;
	w.phase = MOVE_NEW;
	w.outcome = MOVE_RUNNING;
	w.copied = w.held = w.returns = w.doubt = w.decides = 0;
	memset(w.slot, 0, sizeof(w.slot));
	for (uint32_t h = 0; h < layout->hosts; h++) {
		w.host[h].found = 0;
		for (int call = 0; call < MOVE_CALLS; call++) {
			struct wire *wire = &w.wire[h][call];

			/* what the former daemon has sent may still be executed */
			*wire = (struct wire){ .ghost = wire->ghost | wire->request,
					       .fence = wire->fence };
		}
	}
	machine_feed(&w, &event, 0);
}

static bool retry_is_due(const struct world *w)
{
	struct move move;

	world_to_move(w, &move);
	return move_due(&move) != UINT64_MAX;
}

/* ---- invariants ------------------------------------------------------------------------------ */

static bool has_slot(const struct world *w, enum move_slot_state state)
{
	for (uint32_t h = 0; h < layout->hosts; h++)
		for (int call = 0; call < MOVE_CALLS; call++)
			if (w->slot[h][call].state == state)
				return true;
	return false;
}

static bool gave_up(const struct world *w)
{
	return has_slot(w, MOVE_SLOT_GIVEN_UP);
}

static void check_owner(const struct world *w)
{
	const struct host *source = host_with((struct world *)w, MOVE_SOURCE);

	/* blind decisions happen only when the target's host is gone: then nobody processes there */
	if (w->doubt || host_with((struct world *)w, MOVE_TARGET)->dead)
		return;
	check(!w->committed || !source->known || source->source >= S_HANDOVER,
	      "the source processes what the target has");
	check(!w->committed || source->source != S_RESUMED,
	      "the source has resumed what the target has");
	check(!source->deleted || w->committed, "nobody has the state");
}

static void check_completed(const struct world *w)
{
	check(w->committed, "completed, but the target hasn't committed");
	if (gave_up(w))
		return;
	for (uint32_t h = 0; h < layout->hosts; h++)
		check(!w->host[h].known || w->host[h].orphan, "completed, but a host isn't done");
}

static void check_rolled_back(const struct world *w)
{
	check(w->doubt || !w->committed, "rolled back, but the target has committed");
	check(!host_with((struct world *)w, MOVE_SOURCE)->deleted, "rolled back, but deleted");
	if (gave_up(w))
		return;
	for (uint32_t h = 0; h < layout->hosts; h++)
		check(!w->host[h].switched || !w->host[h].known,
		      "rolled back, but a host steers to the target");
}

static void check_end(const struct world *w)
{
	explorer.ended[w->outcome]++;
	check(w->outcome != MOVE_RUNNING, "ended, but running");
	if (w->outcome == MOVE_COMPLETED)
		check_completed(w);
	if (w->outcome == MOVE_ROLLED_BACK)
		check_rolled_back(w);
	if (w->outcome == MOVE_FAILED)
		check(gave_up(w) || w->doubt || has_slot(w, MOVE_SLOT_REFUSED),
		      "failed for no reason");
}

/* ---- the walk -------------------------------------------------------------------------------- */

static void expand_host(const struct world *w, uint32_t h)
{
	for (int call = 0; call < MOVE_CALLS; call++) {
		if (w->wire[h][call].request)
			step_request(w, h, call);
		if (w->wire[h][call].reply)
			step_reply(w, h, call);
		if (w->wire[h][call].ghost)
			step_ghost(w, h, call);
	}
	if (w->faults && w->phase != MOVE_ENDED && w->phase != MOVE_NEW)
		step_agent_death(w, h);
	if (w->deaths && w->phase != MOVE_ENDED && w->phase != MOVE_NEW)
		step_host_death(w, h);
	if (w->host[h].dead && !w->host[h].found && w->phase != MOVE_ENDED)
		step_found_dead(w, h);
	if (layout->roles[h] & MOVE_SOURCE) {
		step_stream(w, h);
		step_final(w, h);
	}
}

static void expand(const struct world *w)
{
	struct world next;

	check_owner(w);
	if (w->phase == MOVE_ENDED)
		check_end(w);
	for (uint32_t h = 0; h < layout->hosts; h++)
		expand_host(w, h);
	if (w->phase == MOVE_ENDED)
		return;
	if (retry_is_due(w)) {
		next = *w;
		machine_feed(&next, &(struct move_event){ .kind = MOVE_EV_TICK }, MOVE_RETRY_NS);
	}
	if (w->cancels) {
		next = *w;
		next.cancels--;
		machine_feed(&next, &(struct move_event){ .kind = MOVE_EV_CANCEL }, 0);
	}
	if (w->restarts)
		step_restart(w);
}

/* A state in which the move hasn't ended must have something that can still happen by itself. */
static void check_alive(const struct world *w)
{
	bool alive = w->phase == MOVE_ENDED || retry_is_due(w) || w->stream == STREAM_SENT ||
		     w->stream == STREAM_ACKED;

	for (uint32_t h = 0; h < layout->hosts; h++)
		for (int call = 0; call < MOVE_CALLS; call++)
			alive |= w->wire[h][call].request || w->wire[h][call].reply ||
				 w->wire[h][call].waiting;
	check(alive, "stuck: nothing can happen any more");
}

static size_t explore(const struct layout *of)
{
	struct world w = { 0 };

	layout = of;
	memset(&explorer, 0, sizeof(explorer));
	explorer.seen = calloc(STATES_MAX, sizeof(*explorer.seen));
	cr_assert_not_null(explorer.seen);
	w.faults = of->faults;
	w.restarts = of->restarts;
	w.cancels = of->cancels;
	w.deaths = of->deaths;
	machine_feed(&w, &(struct move_event){ .kind = MOVE_EV_START }, 0);
	while (explorer.head < explorer.tail) {
		w = explorer.queue[explorer.head++];
		check_alive(&w);
		expand(&w);
	}
	free(explorer.seen);
	free(explorer.queue);
	free(explorer.parent);
	return explorer.tail;
}

static void explore_and_show(const struct layout *of)
{
	size_t states = explore(of);

	cr_log_info("%s: %zu states; completed %zu, rolled back %zu, failed %zu", of->name, states,
		    explorer.ended[MOVE_COMPLETED], explorer.ended[MOVE_ROLLED_BACK],
		    explorer.ended[MOVE_FAILED]);
	cr_assert_gt(explorer.ended[MOVE_COMPLETED], 0);
}

TestSuite(move, .timeout = 300);

#define APART                                                                                      \
	{                                                                                          \
		MOVE_TARGET, MOVE_SOURCE, MOVE_STEERING                                            \
	}
#define LOCAL                                                                                      \
	{                                                                                          \
		MOVE_SOURCE | MOVE_TARGET, MOVE_STEERING                                           \
	}
#define MIXED                                                                                      \
	{                                                                                          \
		MOVE_TARGET, MOVE_SOURCE | MOVE_STEERING                                           \
	}
#define TWO                                                                                        \
	{                                                                                          \
		MOVE_TARGET, MOVE_SOURCE, MOVE_STEERING, MOVE_STEERING                             \
	}

Test(move, without_faults_it_completes)
{
	explore_and_show(&(struct layout){ "calm", 3, APART, true, 0, 0, 0, 0 });
	cr_assert_eq(explorer.ended[MOVE_ROLLED_BACK] + explorer.ended[MOVE_FAILED], 0);
	explore_and_show(&(struct layout){ "calm, two gateways", 4, TWO, true, 0, 0, 0, 0 });
	explore_and_show(&(struct layout){ "calm, loss-free", 4, TWO, false, 0, 0, 0, 0 });
	cr_assert_eq(explorer.ended[MOVE_ROLLED_BACK] + explorer.ended[MOVE_FAILED], 0);
}

Test(move, faults)
{
	explore_and_show(&(struct layout){ "two faults", 3, APART, true, 2, 0, 0, 0 });
	explore_and_show(&(struct layout){ "two faults, local", 2, LOCAL, true, 2, 0, 0, 0 });
	explore_and_show(&(struct layout){ "two faults, loss-free", 3, APART, false, 2, 0, 0, 0 });
}

Test(move, faults_where_the_source_steers)
{
	explore_and_show(&(struct layout){ "mixed", 2, MIXED, true, 2, 0, 0, 0 });
	explore_and_show(&(struct layout){ "mixed, loss-free", 2, MIXED, false, 2, 0, 0, 0 });
}

Test(move, faults_with_two_gateways)
{
	explore_and_show(&(struct layout){ "two gateways", 4, TWO, true, 1, 0, 0, 0 });
	explore_and_show(&(struct layout){ "two gateways, loss-free", 4, TWO, false, 1, 0, 0, 0 });
}

Test(move, cancelled)
{
	explore_and_show(&(struct layout){ "cancel", 3, APART, true, 1, 0, 1, 0 });
	explore_and_show(&(struct layout){ "cancel, loss-free", 3, APART, false, 1, 0, 1, 0 });
}

Test(move, restarted_at_every_step)
{
	explore_and_show(&(struct layout){ "restart", 3, APART, true, 1, 1, 0, 0 });
	explore_and_show(&(struct layout){ "restart, loss-free", 3, APART, false, 1, 1, 0, 0 });
	explore_and_show(&(struct layout){ "two restarts", 2, LOCAL, true, 0, 2, 1, 0 });
}

Test(move, a_host_dies_for_good)
{
	explore_and_show(&(struct layout){ "death", 3, APART, true, 0, 0, 0, 1 });
	explore_and_show(&(struct layout){ "death and restart", 3, APART, true, 0, 1, 0, 1 });
	explore_and_show(&(struct layout){ "death, two gateways", 4, TWO, true, 0, 0, 0, 1 });
	explore_and_show(&(struct layout){ "death, mixed", 2, MIXED, true, 0, 0, 0, 1 });
	explore_and_show(&(struct layout){ "two deaths", 3, APART, true, 0, 0, 0, 2 });
	explore_and_show(&(struct layout){ "death, and a fault", 3, APART, true, 1, 0, 0, 1 });
}

/* ---- what the walk doesn't show -------------------------------------------------------------- */

static size_t step(struct move *move, const struct move_event *event, uint64_t now_ns,
		   struct move_action actions[MOVE_ACTIONS_MAX])
{
	size_t n = 0;

	cr_assert_eq(move_step(move, event, now_ns, actions, MOVE_ACTIONS_MAX, &n), 0);
	return n;
}

Test(move, patience_is_time)
{
	struct move_action actions[MOVE_ACTIONS_MAX];
	struct move_event lost = { .kind = MOVE_EV_LOST, .call = MOVE_CALL_PREPARE };
	struct move_event tick = { .kind = MOVE_EV_TICK };
	uint64_t now = 1000;
	struct move move;

	move_init(&move, true);
	move_add_host(&move, 0, MOVE_SOURCE | MOVE_TARGET | MOVE_STEERING);
	cr_assert_eq(step(&move, &(struct move_event){ .kind = MOVE_EV_START }, now, actions), 2);
	while (move.phase == MOVE_PREPARE) {
		lost.tag = move.slots[0][MOVE_CALL_PREPARE].tag;
		step(&move, &lost, now, actions);
		if (move.phase != MOVE_PREPARE)
			break;
		cr_assert_eq(move_due(&move), now + MOVE_RETRY_NS);
		now = move_due(&move);
		cr_assert_eq(step(&move, &tick, now - 1, actions), 0);
		cr_assert_eq(step(&move, &tick, now, actions), 1);
	}
	cr_assert_eq(move.phase, MOVE_ABORT);
	cr_assert_geq(now, 1000 + MOVE_PATIENCE_NS);
	cr_assert_leq(now, 1000 + MOVE_PATIENCE_NS + MOVE_RETRY_NS);
}

/* The move's hosts here, by their places. */
enum { TARGET, SOURCE, GATEWAY };

/* All calls of the list that are open are answered so, at no cost of time. */
static void answer_all(struct move *move, struct move_action actions[MOVE_ACTIONS_MAX], size_t *n)
{
	struct move_action asked[MOVE_ACTIONS_MAX], next[MOVE_ACTIONS_MAX];
	size_t count = *n, more;

	memcpy(asked, actions, sizeof(asked));
	*n = 0;
	for (size_t i = 0; i < count; i++) {
		struct move_event ok = { .kind = MOVE_EV_OK,
					 .host = asked[i].host,
					 .call = asked[i].call,
					 .tag = asked[i].tag };

		if (asked[i].kind != MOVE_DO_CALL || asked[i].call == MOVE_CALL_FINAL)
			continue;
		more = step(move, &ok, 0, next);
		if (!more) /* it isn't the last one of its phase, or isn't waited for */
			continue;
		memcpy(actions, next, sizeof(next));
		*n = more;
	}
}

/* A host dies when the steering host has switched, and no time passes: the calls that follow, by name. */
static const char *calls_after_death(unsigned int host, enum move_outcome *ret_outcome)
{
	static char text[400];
	struct move_action actions[MOVE_ACTIONS_MAX];
	struct move move;
	size_t n, used = 0;

	move_init(&move, true);
	for (unsigned int i = 0; i < 3; i++)
		move_add_host(&move, i, (uint8_t[])APART[i]);
	n = step(&move, &(struct move_event){ .kind = MOVE_EV_START }, 0, actions);
	while (move.phase != MOVE_FINAL)
		answer_all(&move, actions, &n);
	n = step(&move, &(struct move_event){ .kind = MOVE_EV_DEAD, .host = host }, 0, actions);
	text[0] = '\0';
	while (n) {
		for (size_t i = 0; i < n; i++) {
			if (actions[i].kind != MOVE_DO_CALL)
				continue;
			cr_assert_neq(actions[i].host, host, "the dead is asked to %s",
				      move_call_name(actions[i].call));
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s",
						 used ? " " : "", move_call_name(actions[i].call));
		}
		answer_all(&move, actions, &n);
	}
	*ret_outcome = move.outcome;
	return text;
}

Test(move, the_dead_are_not_waited_for)
{
	enum move_outcome outcome;

	cr_expect_str_eq(calls_after_death(SOURCE, &outcome), "query return revert revert");
	cr_expect_eq(outcome, MOVE_ROLLED_BACK);
	cr_expect_str_eq(calls_after_death(TARGET, &outcome),
			 "query stay hold query unswitch resume revert revert");
	cr_expect_eq(outcome, MOVE_FAILED, "the target may have committed");
	cr_expect_str_eq(calls_after_death(GATEWAY, &outcome),
			 "query query hold query query return resume revert revert");
}

Test(move, misuse_changes_nothing)
{
	struct move_action actions[MOVE_ACTIONS_MAX];
	struct move_event start = { .kind = MOVE_EV_START };
	struct move move, before;
	size_t n;

	move_init(&move, true);
	cr_assert_eq(move_add_host(&move, MOVE_HOSTS_MAX, MOVE_SOURCE), -E2BIG);
	move_add_host(&move, 0, MOVE_ALL);
	step(&move, &start, 0, actions);
	before = move;
	cr_assert_eq(move_step(&move, &start, 0, actions, MOVE_ACTIONS_MAX, &n), -EINVAL);
	cr_assert_eq(move_step(&move, &(struct move_event){ .kind = MOVE_EV_OK, .host = 1 }, 0,
			       actions, MOVE_ACTIONS_MAX, &n),
		     -EINVAL);
	cr_assert_eq(move_step(&move, &(struct move_event){ .kind = MOVE_EV_TICK }, 0, actions, 1,
			       &n),
		     -E2BIG);
	cr_assert_arr_eq(&move, &before, sizeof(move));
}

Test(move, names)
{
	enum move_phase phase;

	for (int i = 0; i < MOVE_PHASES; i++) {
		cr_assert_eq(move_phase_parse(move_phase_name(i), &phase), 0);
		cr_assert_eq((int)phase, i);
	}
	cr_assert_eq(move_phase_parse("released", &phase), -EINVAL);
	cr_assert_str_eq(move_call_name(MOVE_CALL_UNSWITCH), "unswitch");
	cr_assert_str_eq(move_outcome_name(MOVE_ROLLED_BACK), "rolled-back");
}
