/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* move_steps.c - see move_world.h: the states that can follow one. */
#include <string.h>

#include "tests/unit/move_world.h"

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
	walk_add(&w);
	if (call == MOVE_CALL_PREPARE && w.host[h].source == S_PREPARED) {
		w.host[h].source = S_CONVERGED; /* it may have copied by the time it answers */
		w.wire[h][call].reply = REPLY_COPIED;
		walk_add(&w);
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
	walk_add(&w);
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

/*
 * Nobody waits for it: that it never comes is told by all states in which it is still on its way.
 */
static void step_ghost(const struct world *from, uint32_t h, enum move_call call)
{
	struct world w = *from;

	w.wire[h][call].ghost = 0;
	host_call(&w, h, call, from->wire[h][call].fence);
	w.host[h].orphan |= !from->host[h].known && w.host[h].known;
	walk_add(&w);
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
		walk_add(&w);
		return;
	}
	if (w.stream != STREAM_SENT && w.stream != STREAM_ACKED)
		return;
	if (w.stream == STREAM_ACKED && !w.host[source].dead) {
		w.stream = STREAM_NONE;
		w.host[source].source = S_DONE;
	} else if (w.stream == STREAM_SENT && target->known && target->target == T_PREPARED &&
		   !target->dead && !target->orphan) {
		/* an upload is of the move that it began with */
		target->target = T_RELEASED;
		w.committed = 1;
		w.stream = STREAM_ACKED;
	} else {
		w.stream = STREAM_BROKEN;
	}
	walk_add(&w);
	if (from->faults) { /* it breaks: before it is received, or before the source knows */
		w = *from;
		w.faults--;
		w.stream = STREAM_BROKEN;
		walk_add(&w);
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
	walk_add(&w);
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
	walk_add(&w);
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
	walk_add(&w);
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

bool retry_is_due(const struct world *w)
{
	struct move move;
	bool waits = false;

	for (uint32_t h = 0; h < layout->hosts; h++)
		for (int call = 0; call < MOVE_CALLS; call++)
			waits |= w->slot[h][call].state == MOVE_SLOT_RETRY;
	if (!waits) /* nearly always */
		return false;
	world_to_move(w, &move);
	return move_due(&move) != UINT64_MAX;
}

void host_steps(const struct world *w, uint32_t h)
{
	for (int call = 0; call < MOVE_CALLS; call++) {
		if (w->wire[h][call].request)
			step_request(w, h, call);
		if (w->wire[h][call].reply)
			step_reply(w, h, call);
		if (w->wire[h][call].ghost && !w->host[h].dead)
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

void world_steps(const struct world *w)
{
	struct world next;

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
