/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* move_adopt.c - moves of an earlier agent are taken up by this one. */
#include <dirent.h>
#include <string.h>

#include "agent/handover.h"
#include "agent/move_internal.h"
#include "agent/target.h"
#include "lib/json.h"
#include "lib/log.h"

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

/*
 * Does nothing of it steer any more? Its file goes last when a move ends, and comes after its lanes
 * when it begins; and a host that was booted has neither lanes nor entries. (A steering host's part
 * has no lane, and its entries neither park nor log.)
 */
static bool has_ended(const struct agent *agent, const char *id, const json_t *body)
{
	const json_t *role;
	bool needs_lane = false;
	size_t i;

	json_array_foreach(json_object_get(body, "roles"), i, role)
		needs_lane |= strcmp(json_string_value(role) ?: "", "steering") != 0;
	for (i = 0; needs_lane && i < FF_LANES_MAX; i++) {
		const struct ff_lane *lane = &agent->dp->lanes[i];

		if (lane->token && !strncmp((const char *)lane->op, id, sizeof(lane->op)))
			return false;
	}
	return needs_lane;
}

/* -ENOENT: the last agent died when it had freed one of them. */
static int lanes_adopt(struct move *move, struct ff_error *err)
{
	struct agent *agent = move->agent;
	int r = 0;

	if (move->is_source) {
		r = lane_adopt(agent->dp, agent->cpus, move->token, &move->source_lane, err);
		if (!r)
			move->source = move->source_lane.map->phase;
	}
	if (!r && move->is_target) {
		r = lane_adopt(agent->dp, agent->cpus, move->token | 1, &move->target_lane, err);
		if (!r)
			move->target_phase = move->target_lane.map->phase;
	}
	return r;
}

/* The last agent may have died between a phase, or the file, and the entries. */
static int move_resume(struct move *move, struct ff_error *err)
{
	int r = 0;

	move->switched = switched_already(move);
	log_info("move %s: taken up, source %s, target %s%s", move->id, phase_name(move->source),
		 phase_name(move->target_phase), move->switched ? ", switched" : "");
	if (move->is_source || move->is_target)
		r = move_apply(move, NULL, err);
	cpus_quiesce(move->agent->cpus);
	/* the truth is here: what was parked must not wait for anybody */
	if (!r && move->handover && move->source == PHASE_HANDOVER &&
	    move->target_phase != PHASE_RETURNED)
		r = handover_complete(move, 0, err);
	else if (!r && move->target_phase == PHASE_COMMITTED)
		r = target_release(move, 0, err);
	move_prepared(move, true);
	move_step_end(move);
	return r;
}

void moves_waiting_put(struct agent *agent)
{
	for (size_t i = 0; i < FF_LANES_MAX; i++)
		move_put(TAKE_PTR(agent->waiting[i]));
	agent->moves_waiting = false;
}

/* The reference is the list's from here on. There are no more of them than lanes. */
static void waiting_add(struct agent *agent, struct move *move)
{
	size_t i = 0;

	while (i < FF_LANES_MAX && agent->waiting[i])
		i++;
	if (i < FF_LANES_MAX)
		agent->waiting[i] = move;
	else
		move_put(move);
}

/* One that can't be taken up keeps its file and its lanes: its entries speak of them. */
static int move_adopt(struct agent *agent, const char *id, json_t *body, struct ff_error *err)
{
	struct move *move = NULL;
	int r;

	if (has_ended(agent, id, body)) {
		move_unsave(agent, id);
		return 0;
	}
	r = move_new(agent, id, body, &move, err);
	if (r)
		return r;
	move->working++;
	r = lanes_adopt(move, err);
	if (r == -ENOENT) {
		move_unsave(agent, id);
		move_put(move);
		return 0;
	}
	if (!r)
		r = move_instances_find(move, err);
	if (!r)
		r = existed_read(move, err);
	if (!r)
		handover_read(move);
	if (!r)
		r = move_enlist(move, err);
	if (r) {
		waiting_add(agent, move);
		return r;
	}
	/* it is enlisted: requests go on with it, whatever comes of this */
	r = move_resume(move, err);
	move_put(move);
	return r;
}

/* Lanes of a move that was being prepared or ended when the agent died: no entry speaks of them. */
static void lanes_sweep(struct agent *agent)
{
	for (uint32_t i = 0; i < FF_LANES_MAX; i++) {
		char id[sizeof(agent->dp->lanes[i].op) + 1] = {};

		memcpy(id, agent->dp->lanes[i].op, sizeof(agent->dp->lanes[i].op));
		if (!agent->dp->lanes[i].token || !move_is_saved(agent, id))
			lane_sweep(agent->dp, i);
	}
}

/* Takes one up, unless it is. False: it can't be, for now. */
static bool file_adopt(struct agent *agent, const char *id, bool again)
{
	_cleanup_free_ char *file = NULL;
	_cleanup_json_ json_t *body = NULL;
	struct ff_error err = {};

	if (move_path(agent, id, &file))
		return false;
	body = json_load_file(file, 0, NULL);
	if (move_is_listed(agent, id) || !move_is_saved(agent, id))
		return true;
	if (body && !move_adopt(agent, id, body, &err))
		return true;
	if (!again || move_is_listed(agent, id))
		log_warn("move %s: can't be taken up: %s; its packets wait", id,
			 body ? err.message : "its file is damaged");
	return move_is_listed(agent, id);
}

static void files_adopt(struct agent *agent, DIR *dir, bool again)
{
	struct dirent *entry;

	moves_waiting_put(agent);
	while ((entry = readdir(dir))) {
		char *dot = strstr(entry->d_name, ".json");

		if (!dot || dot[5])
			continue;
		*dot = '\0';
		if (move_id_ok(entry->d_name) && !file_adopt(agent, entry->d_name, again))
			agent->moves_waiting = true;
	}
}

int move_adopt_all(struct agent *agent, bool again, struct ff_error *err)
{
	_cleanup_free_ char *path = NULL;
	DIR *dir;

	if (asprintf(&path, "%s/moves", agent->config->state_dir) < 0)
		return error_nomem(err);
	dir = opendir(path);
	if (dir) {
		files_adopt(agent, dir, again);
		closedir(dir);
	}
	if (!again)
		lanes_sweep(agent);
	return 0;
}
