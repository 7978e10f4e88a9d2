/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* move_end.c - a move ends: entries settled, lanes freed, one copy of the state deleted. */
#include <string.h>

#include "agent/handover.h"
#include "agent/move_internal.h"
#include "agent/source.h"
#include "agent/steering.h"
#include "agent/target.h"
#include "lib/json.h"
#include "lib/log.h"

void move_leave(struct move *move)
{
	source_stop(move);
	steering_stop(move);
}

#define FEW_FLOWS 1024 /* deleted in a millisecond, whoever has to stand back */

struct keys {
	struct ff_flow_key *list;
	size_t count, room;
	uint64_t token; /* 0: any */
};

static int keys_collect(void *ctx, const struct ff_flow_key *key, const void *value)
{
	struct keys *keys = ctx;
	const struct ff_head *head = value;

	if (!value || (keys->token && head->moved_by != keys->token))
		return 0;
	if (keys->count == keys->room) {
		size_t room = keys->room ? 2 * keys->room : 1024;
		struct ff_flow_key *list = realloc(keys->list, room * sizeof(*list));

		if (!list)
			return -ENOMEM;
		keys->list = list;
		keys->room = room;
	}
	keys->list[keys->count++] = *key;
	return 0;
}

int move_forget(struct move *move, struct instance *instance, bool staged_only,
		struct ff_error *err)
{
	struct keys keys = { .token = staged_only ? move->token : 0 };
	struct slotset slots;
	struct move_taking taking = { move, instance };
	struct state_select select = { .slots = &slots, .wants = move_takes, .ctx = &taking };
	uint64_t deleted = 0;
	int r;

	if (staged_only) { /* their token tells them, wherever their packets go */
		select.wants = subject_wants;
		select.ctx = &move->subject;
	}
	cpus_pace(state_flows(&instance->state) <= FEW_FLOWS ? PACE_NORMAL : PACE_BULK);
	subject_slots(&move->subject, &slots);
	if (!staged_only && move_takes_all(move)) {
		r = state_forget_slots(&instance->state, &slots, &deleted, err);
		cpus_pace(PACE_NORMAL);
		return r;
	}
	r = state_dump(&instance->state, &select, keys_collect, &keys, NULL, err);
	if (!r)
		r = state_forget_keys(&instance->state, keys.list, keys.count, &deleted, err);
	free(keys.list);
	cpus_pace(PACE_NORMAL);
	return r;
}

/*
 * Threads and steps give up; afterwards nobody else works on it. -EAGAIN: somebody does still, and nothing of
 * it has been touched; it may be asked again. Under move.ends.
 */
static int work_stop(struct move *move, struct ff_error *err)
{
	uint64_t until_ns = clock_ns() + MOVE_END_NS;
	unsigned int working;

	pthread_mutex_lock(&move->lock);
	atomic_store(&move->ending, true);
	pthread_cond_broadcast(&move->changed);
	pthread_mutex_unlock(&move->lock);
	source_stop(move);
	steering_stop(move);
	pthread_mutex_lock(&move->lock);
	while (move->working && clock_cond_wait(&move->changed, &move->lock, until_ns))
		;
	working = move->working;
	pthread_mutex_unlock(&move->lock);
	if (working)
		return error_set(err, EAGAIN, FF_CODE_BUSY, "ask again; is its disk well?",
				 "host %s is still at %s of move %s", move->agent->config->host,
				 move->prepared ? "a step" : "the preparation", move->id);
	/* a thread that was started by one of those */
	source_stop(move);
	steering_stop(move);
	return 0;
}

static int entries_settle(struct move *move, uint16_t owner, bool revert, struct ff_error *err)
{
	struct agent *agent = move->agent;
	struct table_entry entry = { .owner = owner, .here = move_place(move, owner).instance };
	bool settled = false;
	int r = 0;

	pthread_mutex_lock(&move->edit);
	if (revert)
		r = table_revert(agent->table, &move->subject, &move->existed, &entry, NULL, err);
	else if (!move->has_applied || !table_entry_equal(&move->applied, &entry))
		r = table_edit(agent->table, &move->subject, &entry, NULL, err);
	else
		settled = true; /* its last phase has left them so */
	if (!r && !settled)
		move->applied_mark = cpus_mark(agent->cpus);
	pthread_mutex_unlock(&move->edit);
	return r;
}

/*
 * What is parked here still, because a step on the way back had to be given up, goes to the owner;
 * late, but not lost. Nothing is parked any more: no entry says so.
 */
static void parked_settle(struct move *move, uint16_t owner)
{
	struct move_place to = move_place(move, owner);
	struct lane *lanes[] = { &move->target_lane, &move->source_lane };

	for (size_t i = 0; i < ARRAY_SIZE(lanes); i++) {
		struct ff_error err = {};

		if (lanes[i]->map && lane_release(lanes[i], to.instance, to.host, NULL, &err))
			log_warn("move %s: %s", move->id, err.message);
	}
}

/*
 * Entries settled, the copy that isn't owned any more (of `loser`; NULL: none here) deleted, lanes
 * freed, forgotten. The file goes last: an agent that dies on the way is told to end it once more.
 * Under move.ends.
 */
static int move_end(struct move *move, bool revert, struct instance *loser, bool staged_only,
		    struct ff_error *err)
{
	struct agent *agent = move->agent;
	uint16_t owner = move->heir ?: revert ? move->from : move->to;
	int r = entries_settle(move, owner, revert, err);

	if (r)
		return r;
	move_applied_await(move);
	parked_settle(move, owner);
	if (loser && move->handover)
		r = handover_end(move, loser, err);
	else if (loser)
		r = move_forget(move, loser, staged_only, err);
	if (r)
		return r;
	move_lanes_close(move);
	move_unsave(agent, move->id);
	move_delist(move, true);
	move->ended = true;
	return 0;
}

static int refuse_in(struct move *move, const char *what, struct ff_error *err)
{
	return error_set(err, EBUSY, FF_CODE_REFUSED, NULL,
			 "can't %s move %s on host %s: source %s, target %s", what, move->id,
			 move->agent->config->host, phase_name(move->source),
			 phase_name(move->target_phase));
}

static enum answer move_ask(struct move *move, enum request request)
{
	enum answer answer;

	pthread_mutex_lock(&move->lock);
	answer = phase_request(move->source, move->target_phase, request);
	pthread_mutex_unlock(&move->lock);
	return answer;
}

static int abort_locked(struct move *move, bool force, struct ff_error *err)
{
	int r;

	if (move->ended)
		return 0;
	r = work_stop(move, err);
	if (r)
		return r;
	if (move->failed) { /* its prepare, which has cleaned up */
		move->ended = true;
		return 0;
	}
	if (move_ask(move, REQUEST_ABORT) != ANSWER_GO) {
		if (!force)
			return refuse_in(move, "abort", err);
		move->forced = true; /* also when it is asked again: its phase tells no more */
	}
	if (move->instance_to) {
		/*
		 * Nothing more arrives from the source: what it still sends is refused from here on. And
		 * an agent that takes this up half-way must not release what is given back.
		 */
		pthread_mutex_lock(&move->lock);
		move_target_phase(move, PHASE_RETURNED);
		pthread_mutex_unlock(&move->lock);
		r = target_wait(move, err);
		if (r)
			return r;
	}
	return move_end(move, true, move->instance_to, !move->forced, err);
}

int move_abort(struct move *move, bool force, struct ff_error *err)
{
	int r;

	pthread_mutex_lock(&move->ends);
	r = abort_locked(move, force, err);
	atomic_store(&move->ending, move->ended);
	pthread_mutex_unlock(&move->ends);
	return r;
}

/* A host without a part in the move only learns the new owner. */
static int finish_stranger(struct agent *agent, const json_t *json, struct ff_error *err)
{
	struct subject subject;
	struct table_entry entry = {};
	uint16_t service;
	json_t *what;
	int r;

	r = json_get_u16(json, "service", &service, err);
	if (!r)
		r = json_get_u16(json, "to", &entry.owner, err);
	if (!r)
		r = json_get_object(json, "subject", &what, err);
	if (r)
		return r;
	if (!service || service >= FF_SERVICES_MAX || !agent->dp->services[service].used)
		return 0;
	r = subject_parse(what, service, &agent->dp->services[service], &subject, err);
	if (r)
		return r;
	if (entry.owner < FF_INSTANCES_MAX &&
	    agent->dp->instances[entry.owner].host == agent->dp->host->host)
		entry.here = entry.owner;
	r = table_edit(agent->table, &subject, &entry, NULL, err);
	subject_done(&subject);
	return r;
}

static int finish_locked(struct move *move, struct ff_error *err)
{
	int r;

	if (move->ended)
		return 0;
	r = work_stop(move, err);
	if (!r && move->instance_to)
		r = target_wait(move, err);
	if (!r && move->target_phase == PHASE_COMMITTED) /* its release failed: once more */
		r = target_release(move, 0, err);
	if (r)
		return r;
	if (move_ask(move, REQUEST_FINISH) != ANSWER_GO)
		return refuse_in(move, "finish", err);
	return move_end(move, false, move->instance_from, false, err);
}

int move_finish(struct agent *agent, struct move *move, const json_t *json, struct ff_error *err)
{
	uint16_t owner;
	int r;

	if (!move)
		return finish_stranger(agent, json, err);
	r = json_get_u16(json, "to", &owner, err);
	if (r)
		return r;
	if (owner == move->from)
		return move_abort(move, false, err);
	r = move_heir(move, json, err);
	if (r)
		return r;
	pthread_mutex_lock(&move->ends);
	r = finish_locked(move, err);
	atomic_store(&move->ending, move->ended);
	pthread_mutex_unlock(&move->ends);
	return r;
}
