/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fake_move.c - see fake_impl.h. Phases follow API.md and agent/phase.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/json.h"
#include "tests/unit/fake_impl.h"

struct fake_move *fake_move_find(struct fake_agent *agent, const char *id)
{
	for (size_t i = 0; i < FAKE_MOVES_MAX; i++)
		if (!strcmp(agent->moves[i].id, id))
			return &agent->moves[i];
	return NULL;
}

static void phase_set(struct fake_move *move, const char *phase)
{
	snprintf(move->phase, sizeof(move->phase), "%s", phase);
}

static bool phase_is(const struct fake_move *move, const char *phase)
{
	return !strcmp(move->phase, phase);
}

static bool role_named(const json_t *body, const char *role)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(body, "roles"), i, item)
		if (!strcmp(json_string_value(item), role))
			return true;
	return false;
}

static struct fake_agent *agent_of_url(struct fake_world *world, const char *url)
{
	for (size_t i = 0; i < world->agents_n; i++)
		if (url && strstr(url, world->agents[i].socket))
			return &world->agents[i];
	return NULL;
}

static int do_prepare(struct fake_agent *agent, const char *id, const json_t *body)
{
	struct fake_move *move = fake_move_find(agent, id) ?: fake_move_find(agent, "");

	if (!move)
		abort(); /* a test with more moves than FAKE_MOVES_MAX */
	snprintf(move->id, sizeof(move->id), "%s", id);
	phase_set(move, "prepared");
	move->source = role_named(body, "source");
	move->target = role_named(body, "target");
	move->steering = role_named(body, "steering");
	move->switched = false;
	move->peer =
		agent_of_url(agent->world, json_string_value(json_object_get(body, "target_url")));
	return 0;
}

/* The fences: every steering host of the move must have switched. Waits for a second. */
static void fences_wait(struct fake_world *world, const char *id)
{
	for (int tries = 0; tries < 100; tries++) {
		bool all = true;

		for (size_t i = 0; i < world->agents_n; i++) {
			const struct fake_move *move = fake_move_find(&world->agents[i], id);

			all &= !move || !move->steering || move->switched;
		}
		if (all)
			return;
		pthread_mutex_unlock(&world->lock);
		usleep(10000);
		pthread_mutex_lock(&world->lock);
	}
}

static int do_final(struct fake_move *move, bool fence)
{
	struct fake_world *world = move->peer->world;
	char id[sizeof(move->id)];
	struct fake_move *target;

	memcpy(id, move->id, sizeof(id));
	if (fence)
		fences_wait(world, id);
	if (strcmp(id, move->id)) /* aborted meanwhile */
		return -EPERM;
	target = fake_move_find(move->peer, move->id);

	if (phase_is(move, "done") || (target == move && phase_is(move, "released")))
		return 0;
	if (!phase_is(move, "converged") || !target ||
	    (target != move && !phase_is(target, "prepared"))) /* else it's within one host */
		return -EPERM;
	phase_set(move, "done");
	phase_set(target, "released");
	return 0;
}

/* 0, or -EPERM: not in this phase. */
static int do_call(struct fake_move *move, const char *call, const json_t *body)
{
	bool committed = phase_is(move, "done") || phase_is(move, "released");

	if (!strcmp(call, "switch") || !strcmp(call, "unswitch")) {
		move->switched = call[0] == 's';
	} else if (!strcmp(call, "precopy")) {
		phase_set(move, "converged");
	} else if (!strcmp(call, "final")) {
		return do_final(move, json_is_true(json_object_get(body, "fence")));
	} else if (!strcmp(call, "hold")) {
		if (committed)
			return -EPERM;
		phase_set(move, "holding");
	} else if (!strcmp(call, "return")) {
		if (committed)
			return -EPERM;
		phase_set(move, "returned");
	} else if (!strcmp(call, "resume")) {
		if (!phase_is(move, "holding") && !phase_is(move, "resumed"))
			return -EPERM;
		phase_set(move, "resumed");
	} else if (!strcmp(call, "abort")) {
		if (committed && (move->source || move->target))
			return -EPERM;
		move->id[0] = '\0';
	} else if (!strcmp(call, "finish")) {
		if (!committed && (move->source || move->target))
			return -EPERM;
		move->id[0] = '\0';
	}
	return 0;
}

static json_t *reply_of(struct fake_agent *agent, const char *id, const char *call)
{
	struct fake_move *move = fake_move_find(agent, id);

	if (!strcmp(call, "stay"))
		return json_pack("{sb}", "switched", move && move->switched);
	if (!strcmp(call, "prepare"))
		return json_pack("{si si}", "cpus", 2, "flows", 0);
	if (!strcmp(call, "precopy"))
		return json_pack("{si si si si}", "rounds", 2, "flows", 10, "bytes", 960, "dirty",
				 0);
	if (!strcmp(call, "final"))
		return json_pack("{si si si si si si si s{si si si}}", "flows", 10, "bytes", 960,
				 "rounds", 3, "parked", 7, "dropped", 0, "overflowed", 0,
				 "freeze_us", 1234, "phases_us", "fence", 1, "final", 2, "release",
				 3);
	if (!strcmp(call, "return"))
		return json_pack("{si si}", "returned", 5, "dropped", 0);
	if (!strcmp(call, "resume"))
		return json_pack("{si si}", "parked", 2, "dropped", 0);
	return json_object();
}

static int perform(struct fake_agent *agent, const char *id, const char *call, const json_t *body,
		   struct ff_error *err)
{
	struct fake_move *move = fake_move_find(agent, id);
	int r;

	if (!strcmp(call, "prepare"))
		return do_prepare(agent, id, body);
	if (!move)
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND, NULL, "no move %s", id);
	if (json_object_get(body, "heir")) {
		char text[48];

		snprintf(text, sizeof(text), "%s for %lld", call,
			 json_integer_value(json_object_get(body, "heir")));
		fake_log(agent, text);
	}
	if (json_is_false(json_object_get(body, "ask")))
		fake_log(agent, "hold unasked");
	if (!strcmp(call, "hold")) {
		char text[32];

		snprintf(text, sizeof(text), "hold behind %zu",
			 json_array_size(json_object_get(body, "steering")));
		fake_log(agent, text);
	}
	r = do_call(move, call, body);
	if (r < 0)
		return error_set(err, EPERM, FF_CODE_REFUSED, NULL, "%s: not in phase %s", call,
				 move->phase);
	return 0;
}

int fake_move_call(struct http_request *req, struct http_response *resp)
{
	struct fake_agent *agent = req_userdata(req);
	struct fake_world *world = agent->world;
	const char *call = req_param(req, "call"), *id = req_param(req, "id");
	struct ff_error *err = resp_err(resp);
	json_t *reply = NULL;
	int fault, r;

	pthread_mutex_lock(&world->lock);
	fake_log(agent, call);
	fault = fake_fault_take(agent, call);
	while (fault == FAKE_BLOCK && world->blocking)
		pthread_cond_wait(&world->unblocked, &world->lock);
	fake_hang(agent);
	r = fake_epoch_check(agent, req, err);
	if (r == 0)
		fake_known(agent, req_json(req));
	if (r == 0 && fault == FAKE_REFUSE) {
		/* as a source that waits for them; or it would be chance which of the two answers first */
		if (json_is_true(json_object_get(req_json(req), "fence")))
			fences_wait(world, id);
		r = error_set(err, EPERM, FF_CODE_REFUSED, NULL, "scripted refusal");
	}
	if (r == 0 && fault != FAKE_LOSE_REQUEST)
		r = perform(agent, id, call, req_json(req), err);
	if (r == 0 && fault != FAKE_LOSE_REQUEST && fault != FAKE_LOSE_REPLY)
		reply = reply_of(agent, id, call);
	pthread_mutex_unlock(&world->lock);
	/* 503 is how a stopping daemon says it: whether it was done is not known */
	if (fault == FAKE_LOSE_REQUEST || fault == FAKE_LOSE_REPLY)
		return resp_json(resp, 503, json_object());
	return r < 0 ? r : resp_json(resp, 200, reply);
}

int fake_move_get(struct http_request *req, struct http_response *resp)
{
	struct fake_agent *agent = req_userdata(req);
	const char *id = req_param(req, "id");
	json_t *reply = NULL;
	struct fake_move *move;
	int fault;

	pthread_mutex_lock(&agent->world->lock);
	fake_log(agent, "query");
	fake_hang(agent);
	fault = fake_fault_take(agent, "query");
	move = fake_move_find(agent, id);
	if (move)
		reply = json_pack("{ss ss si}", "id", id, "phase", move->phase, "flows", 10);
	pthread_mutex_unlock(&agent->world->lock);
	if (fault >= 0) {
		json_decref(reply);
		return resp_json(resp, 503, json_object());
	}
	if (!reply)
		return error_set(resp_err(resp), ENOENT, FF_CODE_NOT_FOUND, NULL, "no move %s", id);
	return resp_json(resp, 200, reply);
}
