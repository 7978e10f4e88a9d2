/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/move.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/source.h"
#include "agent/target.h"
#include "lib/clock.h"
#include "lib/flow.h"
#include "lib/json.h"
#include "lib/log.h"

/* ---- references -------------------------------------------------------------------------------- */

struct move *move_get(struct agent *agent, const char *id, struct ff_error *err)
{
	struct move *found = NULL;

	pthread_mutex_lock(&agent->lock);
	for (size_t i = 0; i < FF_LANES_MAX && !found; i++)
		if (agent->moves[i] && !strcmp(agent->moves[i]->id, id))
			found = agent->moves[i];
	if (found)
		atomic_fetch_add(&found->refs, 1);
	pthread_mutex_unlock(&agent->lock);
	if (!found)
		error_set(err, ENOENT, FF_CODE_NOT_FOUND, NULL, "no move %s on host %s", id,
			  agent->config->host);
	return found;
}

void move_all(struct agent *agent, struct move *ret[FF_LANES_MAX])
{
	pthread_mutex_lock(&agent->lock);
	for (size_t i = 0; i < FF_LANES_MAX; i++) {
		ret[i] = agent->moves[i];
		if (ret[i])
			atomic_fetch_add(&ret[i]->refs, 1);
	}
	pthread_mutex_unlock(&agent->lock);
}

void move_put(struct move *move)
{
	if (!move || atomic_fetch_sub(&move->refs, 1) > 1)
		return;
	lane_leave(&move->source_lane);
	lane_leave(&move->target_lane);
	subject_done(&move->subject);
	subject_done(&move->existed);
	http_client_free(move->target);
	json_decref(move->request);
	json_decref(move->result);
	pthread_mutex_destroy(&move->edit);
	pthread_mutex_destroy(&move->lock);
	pthread_cond_destroy(&move->changed);
	free(move);
}

/* ---- the file ---------------------------------------------------------------------------------- */

static int move_path(const struct agent *agent, const char *id, char **ret)
{
	_cleanup_free_ char *dir = NULL;

	if (asprintf(&dir, "%s/moves", agent->config->state_dir) < 0)
		return -ENOMEM;
	mkdir(dir, 0700);
	return asprintf(ret, "%s/%s.json", dir, id) < 0 ? -ENOMEM : 0;
}

/* Whole or not at all: written beside and renamed. */
static int move_save(const struct move *move, struct ff_error *err)
{
	_cleanup_free_ char *path = NULL, *fresh = NULL;

	if (move_path(move->agent, move->id, &path) || asprintf(&fresh, "%s.new", path) < 0)
		return error_nomem(err);
	if (json_dump_file(move->request, fresh, JSON_COMPACT) || rename(fresh, path))
		return error_set(err, errno ?: EIO, FF_CODE_INTERNAL,
				 "is there room, and is the directory writable?",
				 "can't write %s: %s", path, strerror(errno));
	return 0;
}

static void move_unsave(const struct move *move)
{
	_cleanup_free_ char *path = NULL;

	if (!move_path(move->agent, move->id, &path))
		unlink(path);
}

/* ---- phases and entries ------------------------------------------------------------------------ */

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

static struct table_entry entry_of(struct move *move)
{
	struct phase_view view = {
		.source = move->source,
		.target = move->target_phase,
		.switched = move->switched,
		.parks = move->guarantee != GUARANTEE_NONE,
		.from = move->from,
		.to = move->to,
		.source_lane = (uint8_t)move->source_lane.number,
		.target_lane = (uint8_t)move->target_lane.number,
	};
	struct ff_steer steer = phase_steer(&view);

	return (struct table_entry){.owner = steer.owner,
				    .here = steer.here,
				    .flags = steer.flags,
				    .lane = steer.lane};
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
	pthread_mutex_unlock(&move->edit);
	return r;
}

/* ---- prepare ----------------------------------------------------------------------------------- */

static int enum_read(const char *what, const char *value, const char *const *names, int count,
		     struct ff_error *err)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(value, names[i]))
			return i;
	return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "see API.md", "%s: `%s` is none", what,
			 value);
}

static int roles_read(struct move *move, const json_t *body, struct ff_error *err)
{
	json_t *roles;
	int r = json_get_array(body, "roles", &roles, err);

	for (size_t i = 0; !r && i < json_array_size(roles); i++) {
		const char *role = json_string_value(json_array_get(roles, i)) ?: "";

		if (!strcmp(role, "source"))
			move->is_source = true;
		else if (!strcmp(role, "target"))
			move->is_target = true;
		else if (!strcmp(role, "steering"))
			move->is_steering = true;
		else
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "see API.md",
					 "roles: `%s` is none", role);
	}
	return r;
}

static int steering_read(struct move *move, const json_t *body, struct ff_error *err)
{
	json_t *list, *item;
	size_t i;
	int r = json_get_array(body, "steering", &list, err);

	if (r)
		return r;
	json_array_foreach (list, i, item) {
		int64_t no, host, cpus;

		r = json_get_range(item, "no", 0, FENCE_FROM_TARGET - 1, &no, err);
		if (!r)
			r = json_get_range(item, "host", 1, FF_HOSTS_MAX - 1, &host, err);
		if (!r)
			r = json_get_range(item, "cpus", 1, FF_CPUS_MAX, &cpus, err);
		if (r)
			return r;
		move->steering_cpus[no] = (uint16_t)cpus;
		if (host == move->agent->dp->host->host)
			move->place = (uint16_t)no;
	}
	return 0;
}

static int fields_read(struct move *move, const json_t *body, struct ff_error *err)
{
	static const char *const guarantees[] = {"none", "loss-free", "order-preserving"};
	static const char *const policies[] = {"abort", "drop", "reorder"};
	const char *token, *guarantee = guarantees[GUARANTEE_ORDER], *overflow = policies[0];
	const char *url = NULL;
	uint16_t service;
	int64_t limit = LANE_PARK_LIMIT;
	json_t *subject;
	char *end;
	int r;

	r = json_get_str(body, "token", &token, err);
	if (!r)
		r = json_get_u16(body, "service", &service, err);
	if (!r)
		r = json_get_u16(body, "from", &move->from, err);
	if (!r)
		r = json_get_u16(body, "to", &move->to, err);
	if (!r)
		r = json_get_u32(body, "source_host", &move->source_host, err);
	if (!r)
		r = json_get_u32(body, "target_host", &move->target_host, err);
	if (!r)
		r = json_opt_str(body, "target_url", &url, err);
	if (!r)
		r = json_opt_str(body, "guarantee", &guarantee, err);
	if (!r)
		r = json_opt_str(body, "on_overflow", &overflow, err);
	if (!r)
		r = json_opt_range(body, "park_limit", 1, LANE_PARK_LIMIT_MAX, &limit, err);
	if (!r)
		r = json_get_object(body, "subject", &subject, err);
	if (!r)
		r = roles_read(move, body, err);
	if (!r)
		r = steering_read(move, body, err);
	if (r)
		return r;
	move->token = strtoull(token, &end, 16) & ~1ull;
	if (*end || !move->token)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "token: `%s`", token);
	if (!service || service >= FF_SERVICES_MAX || !move->agent->dp->services[service].used)
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND, "push the configuration first",
				 "host %s knows no service %u", move->agent->config->host, service);
	r = enum_read("guarantee", guarantee, guarantees, 3, err);
	if (r < 0)
		return r;
	move->guarantee = (enum guarantee)r;
	r = enum_read("on_overflow", overflow, policies, 3, err);
	if (r < 0)
		return r;
	move->overflow = (uint16_t)r;
	move->park_limit = (uint32_t)limit;
	r = subject_parse(subject, service, &move->agent->dp->services[service], &move->subject,
			  err);
	if (!r && move->is_source) {
		const struct agent_config *config = move->agent->config;
		struct tls_files tls = {};

		if (config->tls)
			tls = (struct tls_files){config->tls->ca, config->tls->cert,
						 config->tls->key};
		r = url ? http_client_new(url, config->tls ? &tls : NULL, &move->target, err)
			: error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "target_url is missing");
	}
	return r;
}

/* The instances that this host needs for its roles. Under agent.lock. */
static int instances_find(struct move *move, struct ff_error *err)
{
	struct agent *agent = move->agent;

	if (move->is_source)
		move->instance_from = agent_instance(agent, move->from);
	if (move->is_target)
		move->instance_to = agent_instance(agent, move->to);
	if ((move->is_source && !move->instance_from) || (move->is_target && !move->instance_to))
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND, "push the configuration first",
				 "instance %u isn't on host %s",
				 move->is_source && !move->instance_from ? move->from : move->to,
				 agent->config->host);
	return 0;
}

static int move_new(struct agent *agent, const char *id, const json_t *body, struct move **ret,
		    struct ff_error *err)
{
	struct move *move = calloc(1, sizeof(*move));
	int r;

	if (!move)
		return error_nomem(err);
	move->agent = agent;
	atomic_init(&move->refs, 1);
	pthread_mutex_init(&move->edit, NULL);
	pthread_mutex_init(&move->lock, NULL);
	pthread_cond_init(&move->changed, NULL);
	strcpy(move->id, id);
	move->request = json_deep_copy(body);
	r = move->request ? fields_read(move, body, err) : error_nomem(err);
	if (r) {
		move_put(move);
		return r;
	}
	*ret = move;
	return 0;
}

static int lanes_open(struct move *move, struct ff_error *err)
{
	struct agent *agent = move->agent;
	struct lane_spec spec = {
		.op = move->id,
		.token = move->token,
		.service = move->subject.service,
		.from = move->from,
		.to = move->to,
		.overflow = move->overflow,
		.park_limit = move->park_limit,
	};
	int r = 0;

	if (move->is_source) {
		spec.log = true;
		r = lane_open(agent->dp, agent->cpus, &spec, &move->source_lane, err);
		if (r)
			return r;
		move_source_phase(move, PHASE_PREPARED);
	}
	if (move->is_target) {
		spec.log = false;
		spec.park = move->guarantee != GUARANTEE_NONE;
		spec.token = move->token | 1;
		r = lane_open(agent->dp, agent->cpus, &spec, &move->target_lane, err);
		if (r)
			lane_close(&move->source_lane);
		else
			move_target_phase(move, PHASE_PREPARED);
	}
	return r;
}

/* What was there before goes into the file, for an agent that has to revert after a restart. */
static int existed_note(struct move *move, struct ff_error *err)
{
	json_t *flows = json_array(), *rules = json_array();
	char text[FLOW_TEXT_MAX];
	int r = table_existing(move->agent->table, &move->subject, &move->existed, err);

	if (r)
		return r;
	for (size_t i = 0; i < move->existed.keys_count; i++)
		json_array_append_new(flows, json_string(flow_format(&move->existed.keys[i], text)));
	for (size_t i = 0; i < move->existed.rules_count; i++)
		json_array_append_new(rules, json_integer(move->existed.rules[i].index));
	if (json_put(move->request, "existed_flows", flows) ||
	    json_put(move->request, "existed_rules", rules))
		return error_nomem(err);
	return 0;
}

/* Puts it on the agent's list; refused where it would touch entries of another move. */
static int move_enlist(struct move *move, struct ff_error *err)
{
	struct agent *agent = move->agent;
	struct move **place = NULL;

	for (size_t i = 0; i < FF_LANES_MAX; i++) {
		struct move *m = agent->moves[i];

		if (!m) {
			place = place ? place : &agent->moves[i];
			continue;
		}
		if (subject_overlaps(&m->subject, &move->subject))
			return error_set(err, EBUSY, FF_CODE_OVERLAP, "wait for it, or cancel it",
					 "move %s is about some of these flows", m->id);
	}
	if (!place)
		return error_set(err, EBUSY, FF_CODE_BUSY, "wait for one to end",
				 "host %s takes part in %d moves already", agent->config->host,
				 FF_LANES_MAX);
	*place = move;
	return 0;
}

static void move_delist(struct move *move)
{
	struct agent *agent = move->agent;
	bool was = false;

	pthread_mutex_lock(&agent->lock);
	for (size_t i = 0; i < FF_LANES_MAX; i++) {
		if (agent->moves[i] == move) {
			agent->moves[i] = NULL;
			was = true;
		}
	}
	pthread_mutex_unlock(&agent->lock);
	if (was)
		move_put(move);
}

static json_t *prepare_reply(struct move *move)
{
	uint64_t flows = move->instance_from ? state_flows(&move->instance_from->state) : 0;

	return json_pack("{sisI}", "cpus", move->agent->dp->cpus, "flows", (json_int_t)flows);
}

int move_prepare(struct agent *agent, const char *id, json_t *body, json_t **ret_reply,
		 struct ff_error *err)
{
	_cleanup_move_ struct move *old = move_get(agent, id, NULL);
	struct move *move = NULL;
	int r;

	if (old) {
		*ret_reply = prepare_reply(old);
		return 0;
	}
	if (strlen(id) >= MOVE_ID_MAX || strchr(id, '/') || id[0] == '.')
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "`%s` is no move's id",
				 id);
	r = move_new(agent, id, body, &move, err);
	if (r)
		return r;
	pthread_mutex_lock(&agent->lock);
	r = instances_find(move, err);
	if (!r)
		r = move_enlist(move, err);
	if (!r) {
		atomic_fetch_add(&move->refs, 1);
		r = lanes_open(move, err);
	}
	pthread_mutex_unlock(&agent->lock);
	if (!r)
		r = existed_note(move, err);
	if (!r)
		r = move_save(move, err);
	if (!r && (move->is_source || move->is_target))
		r = move_apply(move, NULL, err);
	if (r) {
		move_unsave(move);
		lane_close(&move->source_lane);
		lane_close(&move->target_lane);
		move_delist(move);
		move_put(move);
		return r;
	}
	cpus_quiesce(agent->cpus);
	*ret_reply = prepare_reply(move);
	move_put(move);
	return 0;
}

/* ---- switch ------------------------------------------------------------------------------------ */

/* A fence that got lost is made good by the next ones; they are the same, and idempotent. */
#define FENCE_REPEAT_MS	 10
#define FENCE_REPEAT_MAX 8 /* doubling: the last one goes after about 2.5 s */

static void fence_spec(struct move *move, struct lane_fence *fence)
{
	*fence = (struct lane_fence){
		.service = move->subject.service,
		.from = move->place,
		.host = move->fence_host,
		.token = move->fence_token,
		.switched_ns = move->switched_ns,
	};
	subject_paths(&move->subject, fence->paths);
}

static void *fence_main(void *arg)
{
	struct move *move = arg;
	uint64_t wait_ns = FENCE_REPEAT_MS * NSEC_PER_MSEC;
	struct lane_fence fence;

	for (int i = 0; i < FENCE_REPEAT_MAX; i++, wait_ns *= 2) {
		struct timespec until;
		bool stop;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += (time_t)((until.tv_nsec + wait_ns) / NSEC_PER_SEC);
		until.tv_nsec = (long)((until.tv_nsec + wait_ns) % NSEC_PER_SEC);
		pthread_mutex_lock(&move->lock);
		while (!atomic_load(&move->cancel) &&
		       pthread_cond_timedwait(&move->changed, &move->lock, &until) == 0)
			;
		stop = atomic_load(&move->cancel);
		fence_spec(move, &fence);
		pthread_mutex_unlock(&move->lock);
		if (stop)
			break;
		lane_fence_send(move->agent->dp, move->agent->cpus, &fence);
	}
	return NULL;
}

static void fencer_stop(struct move *move)
{
	pthread_mutex_lock(&move->lock);
	if (!move->fencing) {
		pthread_mutex_unlock(&move->lock);
		return;
	}
	move->fencing = false;
	atomic_store(&move->cancel, true);
	pthread_cond_broadcast(&move->changed);
	pthread_mutex_unlock(&move->lock);
	pthread_join(move->fencer, NULL);
	atomic_store(&move->cancel, false);
}

int move_switch(struct move *move, bool back, json_t **ret_reply, struct ff_error *err)
{
	struct lane_fence fence;
	uint64_t now;
	int r;

	if (!move->is_steering)
		return error_set(err, EINVAL, FF_CODE_REFUSED, NULL,
				 "host %s has no steering part in move %s",
				 move->agent->config->host, move->id);
	fencer_stop(move);
	pthread_mutex_lock(&move->lock);
	move->switched = !back;
	pthread_mutex_unlock(&move->lock);
	r = move_apply(move, &now, err);
	if (r)
		return r;
	pthread_mutex_lock(&move->lock);
	move->switched_ns = now;
	move->fence_host = back ? move->target_host : move->source_host;
	move->fence_token = back ? move->token | 1 : move->token;
	fence_spec(move, &fence);
	pthread_mutex_unlock(&move->lock);
	r = lane_fence_send(move->agent->dp, move->agent->cpus, &fence);
	if (r)
		return error_set(err, -r, FF_CODE_INTERNAL, NULL, "can't send fences: %s",
				 strerror(-r));
	pthread_mutex_lock(&move->lock);
	move->fencing = !pthread_create(&move->fencer, NULL, fence_main, move);
	pthread_mutex_unlock(&move->lock);
	*ret_reply = json_pack("{si}", "fences", move->agent->dp->cpus * FF_PATHS);
	return 0;
}

void move_leave(struct move *move)
{
	source_stop(move);
	fencer_stop(move);
}

/* ---- the ends ---------------------------------------------------------------------------------- */

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

	if (!staged_only && subject_is_slots(&move->subject))
		return state_forget_slots(&instance->state, &move->subject.slots, &deleted, err);
	subject_slots(&move->subject, &slots);
	r = state_dump(&instance->state, &select, keys_collect, &keys, NULL, err);
	if (!r)
		r = state_forget_keys(&instance->state, keys.list, keys.count, &deleted, err);
	free(keys.list);
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
	fencer_stop(move);
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
	fencer_stop(move);
	if (move_ask(move, REQUEST_FINISH) != ANSWER_GO)
		return refuse_in(move, "finish", err);
	r = move_end(move, move->to, false, err);
	if (!r && move->instance_from)
		r = move_forget(move, move->instance_from, false, err);
	return r;
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
	json = json_pack("{ss so ss ss si si si sI sI sI sI sI sb ss*}", "id", move->id, "roles",
			 roles, "phase", phase_name(phase), "source_phase",
			 phase_name(move->source), "service", move->subject.service, "from",
			 move->from, "to", move->to, "rounds", (json_int_t)move->rounds, "flows",
			 (json_int_t)move->flows, "bytes", (json_int_t)move->bytes, "dropped",
			 (json_int_t)dropped, "overflowed", (json_int_t)overflowed, "switched",
			 move->switched, "error", move->error ? move->why.message : NULL);
	if (json && move->target_lane.map) {
		uint64_t tail = move->target_lane.map->park_tail;

		json_put_uint(json, "parked",
			      tail & FF_PARK_OPEN ? move->target_lane.map->park_head : tail);
	}
	pthread_mutex_unlock(&move->lock);
	return json;
}

/* ---- after a restart --------------------------------------------------------------------------- */

static int existed_read(struct move *move, struct ff_error *err)
{
	json_t *flows = json_object_get(move->request, "existed_flows");
	json_t *rules = json_object_get(move->request, "existed_rules");
	_cleanup_json_ json_t *subject = json_pack("{sO*}", "flows", flows);
	int r = subject_parse(subject, move->subject.service,
			      &move->agent->dp->services[move->subject.service], &move->existed,
			      err);

	free(move->existed.rules);
	move->existed.rules = calloc(move->subject.rules_count + 1, sizeof(*move->existed.rules));
	if (!move->existed.rules)
		return error_nomem(err);
	for (size_t i = 0; !r && i < move->subject.rules_count; i++)
		for (size_t k = 0; k < json_array_size(rules); k++)
			if (json_integer_value(json_array_get(rules, k)) ==
			    move->subject.rules[i].index)
				move->existed.rules[move->existed.rules_count++] =
					move->subject.rules[i];
	return r;
}

/* On a steering host the table itself tells whether it has switched. */
static bool switched_already(struct move *move)
{
	const struct subject *s = &move->subject;
	struct datapath *dp = move->agent->dp;
	uint32_t bank = dp->services[s->service].active & 1;
	struct slotset slots;
	const char *how;

	if (!move->is_steering)
		return false;
	if (s->keys_count)
		return table_lookup(move->agent->table, s->service, &s->keys[0], &how).owner ==
		       move->to;
	if (s->rules_count)
		return dp->rules[FF_RULES_INDEX(s->service, bank, s->rules[0].index)].steer.owner ==
		       move->to;
	subject_slots(s, &slots);
	return dp->table[FF_TABLE_INDEX(s->service, bank, slotset_next(&slots, 0))].steer.owner ==
	       move->to;
}

static int move_adopt(struct agent *agent, const char *id, json_t *body, struct ff_error *err)
{
	struct move *move = NULL;
	int r = move_new(agent, id, body, &move, err);

	if (r)
		return r;
	r = instances_find(move, err);
	if (!r)
		r = existed_read(move, err);
	if (!r && move->is_source) {
		r = lane_adopt(agent->dp, agent->cpus, move->token, &move->source_lane, err);
		if (!r)
			move->source = move->source_lane.map->phase;
	}
	if (!r && move->is_target) {
		r = lane_adopt(agent->dp, agent->cpus, move->token | 1, &move->target_lane, err);
		if (!r)
			move->target_phase = move->target_lane.map->phase;
	}
	if (!r)
		r = move_enlist(move, err);
	if (r) {
		move_unsave(move);
		move_put(move);
		return r;
	}
	move->switched = switched_already(move);
	log_info("move %s: taken up, source %s, target %s%s", id, phase_name(move->source),
		 phase_name(move->target_phase), move->switched ? ", switched" : "");
	/* the truth is here: what was parked must not wait for anybody */
	if (move->target_phase == PHASE_COMMITTED)
		return target_release(move, 0, err);
	return 0;
}

int move_adopt_all(struct agent *agent, struct ff_error *err)
{
	_cleanup_free_ char *path = NULL;
	struct dirent *entry;
	DIR *dir;

	if (asprintf(&path, "%s/moves", agent->config->state_dir) < 0)
		return error_nomem(err);
	dir = opendir(path);
	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		_cleanup_free_ char *file = NULL, *id = strdup(entry->d_name);
		_cleanup_json_ json_t *body = NULL;
		char *dot = id ? strstr(id, ".json") : NULL;

		if (!dot || dot[5] || dot == id || asprintf(&file, "%s/%s", path, id) < 0)
			continue;
		*dot = '\0';
		body = json_load_file(file, 0, NULL);
		if (!body || move_adopt(agent, id, body, err))
			log_warn("move %s: can't be taken up: %s", id,
				 body ? err->message : "its file is damaged");
	}
	closedir(dir);
	return 0;
}
