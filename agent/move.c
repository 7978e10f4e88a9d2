/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/move.h"

#include <string.h>

#include "agent/move_internal.h"
#include "lib/json.h"

static struct move *move_find(struct agent *agent, const char *id)
{
	struct move *found = NULL;

	pthread_mutex_lock(&agent->moves_lock);
	for (size_t i = 0; i < FF_LANES_MAX && !found; i++)
		if (agent->moves[i] && !strcmp(agent->moves[i]->id, id))
			found = agent->moves[i];
	if (found)
		atomic_fetch_add(&found->refs, 1);
	pthread_mutex_unlock(&agent->moves_lock);
	return found;
}

bool move_is_listed(struct agent *agent, const char *id)
{
	struct move *move = move_find(agent, id);

	move_put(move);
	return move;
}

struct move *move_get(struct agent *agent, const char *id, struct ff_error *err)
{
	struct move *found = move_find(agent, id);

	if (!found && move_is_saved(agent, id)) /* its entries may hold packets: not "unknown" */
		error_set(err, EAGAIN, FF_CODE_BUSY, "its agent's log tells what is in the way",
			  "host %s could not take up move %s yet", agent->config->host, id);
	else if (!found)
		error_set(err, ENOENT, FF_CODE_NOT_FOUND, NULL, "no move %s on host %s", id,
			  agent->config->host);
	return found;
}

void move_all(struct agent *agent, struct move *ret[FF_LANES_MAX])
{
	pthread_mutex_lock(&agent->moves_lock);
	for (size_t i = 0; i < FF_LANES_MAX; i++) {
		ret[i] = agent->moves[i];
		if (ret[i])
			atomic_fetch_add(&ret[i]->refs, 1);
	}
	pthread_mutex_unlock(&agent->moves_lock);
}

void move_put(struct move *move)
{
	if (!move || atomic_fetch_sub(&move->refs, 1) > 1)
		return;
	subject_done(&move->subject);
	subject_done(&move->existed);
	handing_free(move->handing);
	http_client_free(move->target);
	json_decref(move->request);
	json_decref(move->result);
	pthread_mutex_destroy(&move->ends);
	pthread_mutex_destroy(&move->turn);
	pthread_mutex_destroy(&move->edit);
	pthread_mutex_destroy(&move->lock);
	pthread_cond_destroy(&move->changed);
	free(move);
}

int move_step_begin(struct move *move, struct ff_error *err)
{
	uint64_t until_ns = clock_ns() + MOVE_BEGIN_NS;
	int r = 0;

	pthread_mutex_lock(&move->lock);
	/* one that is being taken up may be half-way through a step of its own */
	while (!move->prepared && !move->failed && !atomic_load(&move->ending) &&
	       clock_cond_wait(&move->changed, &move->lock, until_ns))
		;
	if (atomic_load(&move->ending))
		r = error_set(err, ECANCELED, FF_CODE_REFUSED, NULL, "move %s is ending", move->id);
	else if (!move->prepared && !move->failed)
		r = error_set(err, EAGAIN, FF_CODE_BUSY, "ask again; is its disk well?",
			      "move %s is still being prepared on host %s", move->id,
			      move->agent->config->host);
	else if (move->failed) /* it has no lanes any more */
		r = error_set(err, EAGAIN, FF_CODE_BUSY, "ask again",
			      "move %s could not be prepared on host %s", move->id,
			      move->agent->config->host);
	else
		move->working++;
	pthread_mutex_unlock(&move->lock);
	return r;
}

void move_step_end(struct move *move)
{
	pthread_mutex_lock(&move->lock);
	move->working--;
	pthread_cond_broadcast(&move->changed);
	pthread_mutex_unlock(&move->lock);
}

void move_source_phase(struct move *move, enum phase phase)
{
	move->source = phase;
	if (move->source_lane.map)
		__atomic_store_n(&move->source_lane.map->phase, phase, __ATOMIC_SEQ_CST);
	pthread_cond_broadcast(&move->changed);
}

void move_target_phase(struct move *move, enum phase phase)
{
	move->target_phase = phase;
	if (move->target_lane.map)
		__atomic_store_n(&move->target_lane.map->phase, phase, __ATOMIC_SEQ_CST);
	pthread_cond_broadcast(&move->changed);
}

struct move_place move_place(const struct move *move, uint16_t owner)
{
	const struct datapath *dp = move->agent->dp;
	uint32_t host = owner < FF_INSTANCES_MAX ? dp->instances[owner].host : 0;

	if (!host) /* the configuration knows it no more */
		host = owner == move->from ? move->source_host : move->target_host;
	if (host == dp->host->host)
		return (struct move_place){ .instance = owner };
	return (struct move_place){ .host = host };
}

int move_heir(struct move *move, const json_t *json, struct ff_error *err)
{
	int64_t heir = 0;
	int r = json_opt_range(json, "heir", 0, FF_INSTANCES_MAX - 1, &heir, err);

	if (r || !heir)
		return r;
	if (!move->agent->dp->instances[heir].host)
		return error_set(err, EINVAL, FF_CODE_REFUSED, "push the configuration first",
				 "host %s knows no instance %u", move->agent->config->host,
				 (unsigned int)heir);
	pthread_mutex_lock(&move->lock);
	move->heir = (uint16_t)heir;
	pthread_mutex_unlock(&move->lock);
	return 0;
}

static struct table_entry entry_of(struct move *move)
{
	struct phase_view view = {
		.source = move->source,
		.target = move->target_phase,
		.switched = move->switched,
		.parks = move->guarantee != GUARANTEE_NONE && !move->seamless,
		.handover = move->handover,
		.from = move->from,
		.to = move->to,
		.source_lane = (uint8_t)move->source_lane.number,
		.target_lane = (uint8_t)move->target_lane.number,
	};
	struct ff_steer steer = phase_steer(&view);

	if (move->heir && steer.owner == move->from && move->target_phase == PHASE_RETURNED) {
		steer.owner = move->heir;
		steer.here = move_place(move, move->heir).instance;
	}
	return (struct table_entry){
		.owner = steer.owner, .here = steer.here, .flags = steer.flags, .lane = steer.lane
	};
}

int move_apply(struct move *move, uint64_t *ret_ns, struct ff_error *err)
{
	struct table_entry entry;
	int r;

	pthread_mutex_lock(&move->edit);
	pthread_mutex_lock(&move->lock);
	entry = entry_of(move);
	pthread_mutex_unlock(&move->lock);
	r = table_edit(move->agent->table, &move->subject, &entry, ret_ns, err);
	if (!r) {
		move->applied = entry;
		move->has_applied = true;
		move->applied_mark = cpus_mark(move->agent->cpus);
	}
	pthread_mutex_unlock(&move->edit);
	return r;
}

void move_applied_await(struct move *move)
{
	uint64_t mark;

	pthread_mutex_lock(&move->edit);
	mark = move->applied_mark;
	pthread_mutex_unlock(&move->edit);
	cpus_quiesce_since(move->agent->cpus, mark);
}

bool move_takes(const void *taking, const struct ff_flow_key *key)
{
	const struct move_taking *t = taking;
	const struct move *move = t->move;
	struct ff_steer steer;
	const char *how;
	bool ours;

	if (!subject_wants(&move->subject, key))
		return false;
	steer = table_lookup(move->agent->table, move->subject.service, key, &how);
	ours = (steer.flags & FF_STEER_LOG) && move->source_lane.map &&
	       steer.lane == move->source_lane.number;
	return ours || steer.here != t->instance->id;
}

bool move_takes_all(const struct move *move)
{
	const struct ff_service *service = &move->agent->dp->services[move->subject.service];
	uint32_t bank = __atomic_load_n(&service->active, __ATOMIC_ACQUIRE) & 1;

	return subject_is_slots(&move->subject) && !service->pins[bank] && !service->rules[bank];
}

json_t *move_json(struct move *move)
{
	json_t *roles = json_array(), *json;
	enum phase phase;
	uint64_t dropped = 0, overflowed = 0;

	if (move->is_source)
		json_array_append_new(roles, json_string("source"));
	if (move->is_target)
		json_array_append_new(roles, json_string("target"));
	if (move->is_steering)
		json_array_append_new(roles, json_string("steering"));
	pthread_mutex_lock(&move->lock);
	phase = move->is_target ? move->target_phase : move->source ?: PHASE_PREPARED;
	if (move->target_lane.map) {
		dropped = move->target_lane.map->dropped;
		overflowed = move->target_lane.map->overflowed;
	}
	json = json_pack("{ss so sb ss ss si si si sI sI sI sI sI sb ss*}", "id", move->id, "roles",
			 roles, "prepared", move->prepared, "phase", phase_name(phase),
			 "source_phase", phase_name(move->source), "service", move->subject.service,
			 "from", move->from, "to", move->to, "rounds", (json_int_t)move->rounds,
			 "flows", (json_int_t)move->flows, "bytes", (json_int_t)move->bytes,
			 "dropped", (json_int_t)dropped, "overflowed", (json_int_t)overflowed,
			 "switched", move->switched, "error",
			 move->error ? move->why.message : NULL);
	if (json && move->target_lane.map)
		json_put_uint(json, "parked", move->target_lane.map->parked);
	pthread_mutex_unlock(&move->lock);
	return json;
}
