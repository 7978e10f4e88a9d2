/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* move_world.c - see move_world.h. Hosts follow agent/phase.h. */
#include "tests/unit/move_world.h"

#define ATTEMPTS 2

const struct layout *layout;

/*
 * struct move <-> its part of a world: what matters for the future, so that equal states are equal.
 */
void world_to_move(const struct world *w, struct move *move)
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

/* ---- what hosts do --------------------------------------------------------------------------- */

struct host *host_with(struct world *w, enum move_role role)
{
	for (uint32_t h = 0; h < layout->hosts; h++)
		if (layout->roles[h] & role)
			return &w->host[h];
	return NULL;
}

bool all_fenced(const struct world *w)
{
	for (uint32_t h = 0; h < layout->hosts; h++)
		if ((layout->roles[h] & MOVE_STEERING) && !w->host[h].fenced)
			return false;
	return true;
}

void stream_stop(struct world *w)
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

enum reply host_call(struct world *w, uint32_t h, enum move_call call, bool fence)
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

void machine_feed(struct world *w, const struct move_event *event, uint64_t now_ns)
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
	walk_add(w);
}

void machine_answer(struct world *w, uint32_t h, enum move_call call, enum move_event_kind kind,
		    enum reply reply)
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
