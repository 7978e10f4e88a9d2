/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* move_end.c - a move ends: entries settled, lanes freed, one copy of the state deleted. */
#include <string.h>

#include "agent/move_internal.h"
#include "agent/source.h"
#include "agent/steering.h"
#include "agent/target.h"
#include "lib/json.h"

void move_leave(struct move *move)
{
	source_stop(move);
	steering_stop(move);
}

struct keys {
	struct ff_flow_key *list;
	size_t		    count, room;
	uint64_t	    token; /* 0: any */
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
	struct keys keys = {.token = staged_only ? move->token : 0};
	struct slotset slots;
	struct state_select select = {
		.slots = &slots, .wants = subject_wants, .ctx = &move->subject};
	uint64_t deleted = 0;
	int r;

	cpus_background(true);
	subject_slots(&move->subject, &slots);
	if (!staged_only && subject_is_slots(&move->subject)) {
		r = state_forget_slots(&instance->state, &slots, &deleted, err);
		cpus_background(false);
		return r;
	}
	r = state_dump(&instance->state, &select, keys_collect, &keys, NULL, err);
	if (!r)
		r = state_forget_keys(&instance->state, keys.list, keys.count, &deleted, err);
	free(keys.list);
	cpus_background(false);
	return r;
}

/* Nobody works on it any more: entries settled, lanes freed, forgotten. */
static int move_end(struct move *move, uint16_t owner, bool revert, struct ff_error *err)
{
	struct agent *agent = move->agent;
	struct table_entry entry = {.owner = owner};
	bool local;
	int r;

	local = owner && owner < FF_INSTANCES_MAX &&
		agent->dp->instances[owner].host == agent->dp->host->host;
	entry.here = local ? owner : 0;
	pthread_mutex_lock(&move->edit);
	r = revert ? table_revert(agent->table, &move->subject, &move->existed, &entry, NULL, err)
		   : table_edit(agent->table, &move->subject, &entry, NULL, err);
	pthread_mutex_unlock(&move->edit);
	if (r)
		return r;
	cpus_quiesce(agent->cpus);
	pthread_mutex_lock(&agent->lock);
	lane_close(&move->source_lane);
	lane_close(&move->target_lane);
	pthread_mutex_unlock(&agent->lock);
	move_unsave(move);
	move_delist(move);
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

int move_abort(struct move *move, struct ff_error *err)
{
	int r = 0;

	source_stop(move);
	steering_stop(move);
	if (move_ask(move, REQUEST_ABORT) != ANSWER_GO)
		return refuse_in(move, "abort", err);
	if (move->instance_to) {
		/* nothing more arrives from the source: what it still sends is refused from here on */
		pthread_mutex_lock(&move->lock);
		if (move->target_phase == PHASE_PREPARED)
			move_target_phase(move, PHASE_RETURNED);
		pthread_mutex_unlock(&move->lock);
		target_wait(move);
	}
	r = move_end(move, move->from, true, err);
	if (!r && move->instance_to)
		r = move_forget(move, move->instance_to, true, err);
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
		return move_abort(move, err);
	source_stop(move);
	steering_stop(move);
	if (move_ask(move, REQUEST_FINISH) != ANSWER_GO)
		return refuse_in(move, "finish", err);
	r = move_end(move, move->to, false, err);
	if (!r && move->instance_from)
		r = move_forget(move, move->instance_from, false, err);
	return r;
}
