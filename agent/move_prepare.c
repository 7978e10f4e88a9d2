/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* move_prepare.c - a move begins here. */
#include <string.h>
#include <sys/stat.h>

#include "agent/handover.h"
#include "agent/move_internal.h"
#include "agent/source.h"
#include "lib/flow.h"
#include "lib/json.h"
#include "lib/log.h"

/* ---- the file ---------------------------------------------------------------------------------- */

bool move_id_ok(const char *id)
{
	return *id && strlen(id) < MOVE_ID_MAX && !strchr(id, '/') && id[0] != '.';
}

int move_path(const struct agent *agent, const char *id, char **ret)
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

bool move_is_saved(const struct agent *agent, const char *id)
{
	_cleanup_free_ char *path = NULL;

	return move_id_ok(id) && !move_path(agent, id, &path) && !access(path, F_OK);
}

void move_unsave(const struct agent *agent, const char *id)
{
	_cleanup_free_ char *path = NULL;

	if (!move_path(agent, id, &path))
		unlink(path);
}

/* ---- prepare ------------------------------------------------------------------------------------ */

/* Under agent.lock. Whoever shows the move, which is listed, looks at its lanes and phases under move.lock. */
static int lane_begin(struct move *move, const struct lane_spec *spec, struct lane *place,
		      void (*phase_set)(struct move *move, enum phase phase), struct ff_error *err)
{
	struct lane lane;
	int r = lane_open(move->agent->dp, move->agent->cpus, spec, &lane, err);

	if (r)
		return r;
	pthread_mutex_lock(&move->lock);
	*place = lane;
	phase_set(move, PHASE_PREPARED);
	pthread_mutex_unlock(&move->lock);
	return 0;
}

/* Likewise. */
static void lanes_end(struct move *move)
{
	pthread_mutex_lock(&move->lock);
	lane_close(&move->source_lane);
	lane_close(&move->target_lane);
	pthread_mutex_unlock(&move->lock);
}

void move_lanes_close(struct move *move)
{
	pthread_mutex_lock(&move->agent->lock);
	lanes_end(move);
	pthread_mutex_unlock(&move->agent->lock);
}

static int lanes_open(struct move *move, struct ff_error *err)
{
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
		spec.log = !move->handover;
		r = lane_begin(move, &spec, &move->source_lane, move_source_phase, err);
	}
	if (!r && move->is_target) {
		spec.log = false;
		spec.park = move->guarantee != GUARANTEE_NONE && !move->seamless;
		spec.token = move->token | 1;
		r = lane_begin(move, &spec, &move->target_lane, move_target_phase, err);
	}
	if (r)
		lanes_end(move);
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
		json_array_append_new(flows,
				      json_string(flow_format(&move->existed.keys[i], text)));
	for (size_t i = 0; i < move->existed.rules_count; i++)
		json_array_append_new(rules, json_integer(move->existed.rules[i].index));
	if (json_put(move->request, "existed_flows", flows) ||
	    json_put(move->request, "existed_rules", rules))
		return error_nomem(err);
	return 0;
}

/* It may look at many flows, so not under moves_lock. Under agent.lock. */
static int overlap_check(const struct move *move, struct ff_error *err)
{
	struct move *moves[FF_LANES_MAX];
	int r = 0;

	move_all(move->agent, moves);
	for (size_t i = 0; i < FF_LANES_MAX; i++) {
		const struct move *m = moves[i];

		if (m && !r && !strcmp(m->id, move->id)) /* a repeated request, at the same time */
			r = error_set(err, EAGAIN, FF_CODE_BUSY, "ask again",
				      "move %s is being prepared", m->id);
		else if (m && !r && subject_overlaps(&m->subject, &move->subject))
			r = error_set(err, EBUSY, FF_CODE_OVERLAP, "wait for it, or cancel it",
				      "move %s is about some of these flows", m->id);
		else if (m && !r && handover_excludes(m, move)) /* soon over: no reason to fail */
			r = error_set(err, EAGAIN, FF_CODE_BUSY, "ask again",
				      "move %s hands over the maps that these flows come into",
				      m->id);
		move_put(moves[i]);
	}
	for (size_t i = 0; i < FF_LANES_MAX && !r; i++) {
		const struct move *m = move->agent->waiting[i];

		if (m && subject_overlaps(&m->subject, &move->subject))
			r = error_set(err, EAGAIN, FF_CODE_BUSY,
				      "its agent's log tells what is in the way",
				      "move %s, about some of these flows, can't be taken up yet",
				      m->id);
	}
	return r;
}

/* Under agent.moves_lock. */
static int enlist_locked(struct move *move, struct ff_error *err)
{
	struct agent *agent = move->agent;
	size_t place = 0;

	for (size_t i = 0; i < AGENT_ENDED_MAX; i++)
		if (!strcmp(agent->ended.ids[i], move->id))
			return error_set(err, EBUSY, FF_CODE_REFUSED, NULL,
					 "move %s has ended on host %s", move->id,
					 agent->config->host);
	while (place < FF_LANES_MAX && agent->moves[place])
		place++;
	if (place == FF_LANES_MAX)
		return error_set(err, EBUSY, FF_CODE_BUSY, "wait for one to end",
				 "host %s takes part in %d moves already", agent->config->host,
				 FF_LANES_MAX);
	atomic_fetch_add(&move->refs, 1);
	agent->moves[place] = move;
	return 0;
}

int move_enlist(struct move *move, struct ff_error *err)
{
	int r = overlap_check(move, err);

	if (r)
		return r;
	pthread_mutex_lock(&move->agent->moves_lock);
	r = enlist_locked(move, err);
	pthread_mutex_unlock(&move->agent->moves_lock);
	return r;
}

void move_delist(struct move *move, bool ended)
{
	struct agent *agent = move->agent;
	bool was = false;

	pthread_mutex_lock(&agent->moves_lock);
	if (ended)
		strcpy(agent->ended.ids[agent->ended.next++ % AGENT_ENDED_MAX], move->id);
	for (size_t i = 0; i < FF_LANES_MAX; i++) {
		if (agent->moves[i] == move) {
			agent->moves[i] = NULL;
			was = true;
		}
	}
	pthread_mutex_unlock(&agent->moves_lock);
	if (was)
		move_put(move);
}

static json_t *prepare_reply(struct move *move, bool copied)
{
	uint64_t flows = move->instance_from ? state_flows(&move->instance_from->state) : 0;
	json_t *reply = json_pack("{si sI sb}", "cpus", move->agent->dp->cpus, "flows",
				  (json_int_t)flows, "copied", copied);

	if (copied) {
		pthread_mutex_lock(&move->lock);
		json_put_uint(reply, "rounds", move->rounds);
		json_put_uint(reply, "bytes", move->bytes);
		json_put(reply, "phases_us",
			 json_pack("{sI}", "precopy", (json_int_t)move->precopy_us));
		pthread_mutex_unlock(&move->lock);
	}
	return reply;
}

/* A repeated request waits until the first one has written the entries. */
static int prepare_again(struct move *move, json_t **ret_reply, struct ff_error *err)
{
	int r = move_step_begin(move, err); /* its instances stay */

	if (r)
		return r;
	*ret_reply = prepare_reply(move, false);
	move_step_end(move);
	return 0;
}

void move_prepared(struct move *move, bool well)
{
	pthread_mutex_lock(&move->lock);
	move->prepared = well;
	move->failed = !well;
	pthread_cond_broadcast(&move->changed);
	pthread_mutex_unlock(&move->lock);
}

/* Enlisted; what follows is a step, so that an abort waits for its end. */
static int prepare_begin(struct move *move, struct ff_error *err)
{
	struct agent *agent = move->agent;
	int r;

	move->working++;
	pthread_mutex_lock(&agent->lock);
	r = move_instances_find(move, err);
	if (!r) {
		handover_decide(move);
		r = move_enlist(move, err);
	}
	if (!r) {
		r = lanes_open(move, err);
		if (r) {
			move_delist(move, false);
			move_prepared(move, false);
		}
	}
	pthread_mutex_unlock(&agent->lock);
	return r;
}

static void prepare_undo(struct move *move)
{
	move_unsave(move->agent, move->id);
	move_lanes_close(move);
	move_delist(move, false);
}

int move_prepare(struct agent *agent, const char *id, json_t *body, json_t **ret_reply,
		 struct ff_error *err)
{
	struct ff_error none = {};
	_cleanup_move_ struct move *old = move_get(agent, id, &none), *move = NULL;
	int r;

	if (old)
		return prepare_again(old, ret_reply, err);
	if (none.err == -EAGAIN) {
		*err = none;
		return none.err;
	}
	if (atomic_load(&agent->cpus_unfit))
		return error_set(err, ENOTSUP, FF_CODE_REFUSED, "its agent's log tells which",
				 "host %s has CPUs that its agent can't work with",
				 agent->config->host);
	if (!move_id_ok(id))
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "`%s` is no move's id",
				 id);
	r = move_new(agent, id, body, &move, err);
	if (r)
		return r;
	r = prepare_begin(move, err);
	if (r) { /* it may have been listed for a moment, and an abort wait for it */
		move_step_end(move);
		return r;
	}
	r = existed_note(move, err);
	if (!r)
		r = handover_note(move, err);
	if (!r)
		r = move_save(move, err);
	if (!r && (move->is_source || move->is_target)) {
		r = move_apply(move, NULL, err);
		move_applied_await(move);
	}
	if (r)
		prepare_undo(move);
	move_prepared(move, !r);
	if (!r)
		*ret_reply = prepare_reply(move, move->is_source && source_copy_early(move));
	move_step_end(move);
	return r;
}
