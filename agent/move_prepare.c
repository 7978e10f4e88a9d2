/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* move_prepare.c - a move begins here, or is taken up by the next agent. */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/move_internal.h"
#include "agent/target.h"
#include "lib/flow.h"
#include "lib/json.h"
#include "lib/log.h"

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

void move_unsave(const struct move *move)
{
	_cleanup_free_ char *path = NULL;

	if (!move_path(move->agent, move->id, &path))
		unlink(path);
}

/* ---- prepare ------------------------------------------------------------------------------------ */

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

void move_delist(struct move *move)
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

/* Under agent.lock. */
static int move_has_ended(struct agent *agent, const char *id, struct ff_error *err)
{
	for (size_t i = 0; i < AGENT_ENDED_MAX; i++)
		if (!strcmp(agent->ended.ids[i], id))
			return error_set(err, EBUSY, FF_CODE_REFUSED, NULL,
					 "move %s has ended on host %s", id, agent->config->host);
	return 0;
}

static json_t *prepare_reply(struct move *move)
{
	uint64_t flows = move->instance_from ? state_flows(&move->instance_from->state) : 0;

	return json_pack("{sisI}", "cpus", move->agent->dp->cpus, "flows", (json_int_t)flows);
}

/* A repeated request waits until the first one has written the entries. */
static int prepare_again(struct move *move, json_t **ret_reply, struct ff_error *err)
{
	bool failed;

	pthread_mutex_lock(&move->lock);
	while (!move->prepared && !move->failed)
		pthread_cond_wait(&move->changed, &move->lock);
	failed = move->failed;
	pthread_mutex_unlock(&move->lock);
	if (failed)
		return error_set(err, EBUSY, FF_CODE_BUSY, "ask again",
				 "move %s could not be prepared on host %s", move->id,
				 move->agent->config->host);
	*ret_reply = prepare_reply(move);
	return 0;
}

static void prepare_done(struct move *move, bool well)
{
	pthread_mutex_lock(&move->lock);
	move->prepared = well;
	move->failed = !well;
	pthread_cond_broadcast(&move->changed);
	pthread_mutex_unlock(&move->lock);
}

int move_prepare(struct agent *agent, const char *id, json_t *body, json_t **ret_reply,
		 struct ff_error *err)
{
	_cleanup_move_ struct move *old = move_get(agent, id, NULL);
	struct move *move = NULL;
	int r;

	if (old)
		return prepare_again(old, ret_reply, err);
	if (strlen(id) >= MOVE_ID_MAX || strchr(id, '/') || id[0] == '.')
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "`%s` is no move's id",
				 id);
	r = move_new(agent, id, body, &move, err);
	if (r)
		return r;
	pthread_mutex_lock(&agent->lock);
	r = move_has_ended(agent, id, err);
	if (!r)
		r = move_instances_find(move, err);
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
	cpus_quiesce(agent->cpus);
	prepare_done(move, !r);
	if (r) {
		move_unsave(move);
		pthread_mutex_lock(&agent->lock);
		lane_close(&move->source_lane);
		lane_close(&move->target_lane);
		pthread_mutex_unlock(&agent->lock);
		move_delist(move);
		move_put(move);
		return r;
	}
	*ret_reply = prepare_reply(move);
	move_put(move);
	return 0;
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
	r = move_instances_find(move, err);
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
	/* the last agent may have died between a phase, or the file, and the entries */
	if (move->is_source || move->is_target)
		r = move_apply(move, NULL, err);
	cpus_quiesce(agent->cpus);
	prepare_done(move, true);
	if (r)
		return r;
	/* the truth is here: what was parked must not wait for anybody */
	if (move->target_phase == PHASE_COMMITTED)
		return target_release(move, 0, err);
	return 0;
}

/* Of a move that was being prepared or ended when the agent died: no entry speaks of it. */
static void lanes_sweep(struct agent *agent)
{
	for (uint32_t i = 0; i < FF_LANES_MAX; i++) {
		uint64_t token = agent->dp->lanes[i].token;
		bool known = false;

		for (size_t k = 0; k < FF_LANES_MAX && !known; k++)
			known = token && agent->moves[k] &&
				agent->moves[k]->token == (token & ~1ull);
		if (!known)
			lane_sweep(agent->dp, i);
	}
}

static void moves_read(struct agent *agent, DIR *dir, const char *path, struct ff_error *err)
{
	struct dirent *entry;

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
}

int move_adopt_all(struct agent *agent, struct ff_error *err)
{
	_cleanup_free_ char *path = NULL;
	DIR *dir;

	if (asprintf(&path, "%s/moves", agent->config->state_dir) < 0)
		return error_nomem(err);
	dir = opendir(path);
	if (dir) {
		moves_read(agent, dir, path, err);
		closedir(dir);
	}
	lanes_sweep(agent);
	return 0;
}
