/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* migration_call.c - the calls of a move: to whom, with which body, for how long. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/json.h"
#include "orchestrator/migration_internal.h"

/* How long an answer may take before the call counts as lost. */
static const unsigned int timeouts_ms[MOVE_CALLS] = {
	[MOVE_CALL_PREPARE] = 10000,  /* allocates the parking ring and the logs */
	[MOVE_CALL_PRECOPY] = 120000, /* a million flows a second, and rounds until it converges */
	[MOVE_CALL_SWITCH] = 5000,    /* one store, and fences of 0.1 ms a CPU */
	[MOVE_CALL_FINAL] = 30000,    /* fences, the dirty rest, the release */
	[MOVE_CALL_FINISH] = 60000,   /* deletes what moved: 2 million entries a second */
	[MOVE_CALL_ABORT] = 60000,    /* likewise, what was staged */
	[MOVE_CALL_QUERY] = 2000,
	[MOVE_CALL_STAY] = 5000,  /* a switch that is under way comes first */
	[MOVE_CALL_HOLD] = 10000, /* waits until final has been given up */
	[MOVE_CALL_UNSWITCH] = 5000,
	[MOVE_CALL_RETURN] = 30000, /* fences, and all that was parked */
	[MOVE_CALL_RESUME] = 30000,
	[MOVE_CALL_REVERT] = 60000,
};

/* ---- the plan -------------------------------------------------------------------------------- */

/* Adds a role to the host's entry, which is made if there is none. */
static int plan_add(json_t *hosts, const struct host *host, unsigned int role)
{
	json_t *entry;
	size_t i;

	json_array_foreach(hosts, i, entry) {
		json_t *roles = json_object_get(entry, "roles");

		if (json_integer_value(json_object_get(entry, "host")) == host->id)
			return json_integer_set(roles, json_integer_value(roles) | role);
	}
	return json_array_append_new(hosts, json_pack("{si ss si}", "host", host->id, "name",
						      host->name, "roles", (int)role));
}

static int must_be_up(const struct host *host, const char *why, struct ff_error *err)
{
	if (host->up)
		return 0;
	return error_set(err, EHOSTUNREACH, FF_CODE_UNREACHABLE,
			 "start its agent, or look at its log", "host %s, %s, is down: %s",
			 host->name, why, host->why_down[0] ? host->why_down : "never seen");
}

static int plan_steering(const struct model *model, json_t *hosts, json_t *steering,
			 struct ff_error *err)
{
	int r;

	for (size_t i = 0; i < model->hosts_n; i++) {
		const struct host *host = &model->hosts[i];

		if (!host->steering)
			continue;
		r = must_be_up(host, "which steers", err);
		if (r < 0)
			return r;
		if (json_array_size(steering) == MIGRATION_STEERING_MAX)
			return error_set(err, E2BIG, FF_CODE_REFUSED, NULL,
					 "there are more than %d steering hosts",
					 MIGRATION_STEERING_MAX);
		if (plan_add(hosts, host, MOVE_STEERING) ||
		    json_array_append_new(steering,
					  json_pack("{si si si}", "no",
						    (int)json_array_size(steering), "host",
						    host->id, "cpus", (int)MAX(host->cpus, 1u))))
			return error_nomem(err);
	}
	return 0;
}

static int plan_prepare(struct operation *operation, const struct host *source,
			const struct host *target, json_t *steering, const char *guarantee,
			const char *on_overflow, uint32_t park_limit)
{
	char token[17];
	json_t *prepare;

	snprintf(token, sizeof(token), "%016" PRIx64, operation->token);
	prepare = json_pack("{ss si si si ss ss sI so si si ss sO}", "token", token, "service",
			    operation->service, "from", operation->from, "to", operation->to,
			    "guarantee", guarantee, "on_overflow", on_overflow, "park_limit",
			    (json_int_t)park_limit, "subject",
			    change_to_json(operation->subject, OWNERS_PINS_MAX), "source_host",
			    source->id, "target_host", target->id, "target_url", target->url,
			    "steering", steering);
	return json_put(operation->request, "prepare", prepare);
}

int migration_plan(struct orchestrator *orch, struct operation *operation, const char *guarantee,
		   const char *on_overflow, uint32_t park_limit, struct ff_error *err)
{
	const struct model *model = &orch->model;
	const struct instance *from = model_instance(model, operation->from);
	const struct instance *to = model_instance(model, operation->to);
	const struct host *source = model_host(model, from->host);
	const struct host *target = model_host(model, to->host);
	_cleanup_json_ json_t *hosts = json_array(), *steering = json_array();
	int r;

	if (!source || !target)
		return error_set(err, ENOENT, FF_CODE_REFUSED, "put it back into the configuration",
				 "the host of %s isn't in the orchestrator's configuration",
				 source ? to->name : from->name);
	r = must_be_up(source, "the source", err);
	if (r == 0)
		r = must_be_up(target, "the target", err);
	if (r == 0)
		r = instance_check_foreign(model, from, err);
	if (r == 0)
		r = instance_check_foreign(model, to, err);
	if (r < 0)
		return r;
	if (plan_add(hosts, target, MOVE_TARGET) || plan_add(hosts, source, MOVE_SOURCE))
		return error_nomem(err);
	r = plan_steering(model, hosts, steering, err);
	if (r < 0)
		return r;
	if (plan_prepare(operation, source, target, steering, guarantee, on_overflow, park_limit) <
		    0 ||
	    json_put(operation->request, "hosts", TAKE_PTR(hosts)) < 0)
		return error_nomem(err);
	return 0;
}

/* The hosts of the plan, as places of the state machine. */
int migration_hosts(struct migration *migration, struct ff_error *err)
{
	const json_t *hosts = json_object_get(migration->operation->request, "hosts");
	const json_t *entry;
	size_t place;

	json_array_foreach(hosts, place, entry) {
		const char *name = json_string_value(json_object_get(entry, "name"));
		int roles = (int)json_integer_value(json_object_get(entry, "roles"));

		if (move_add_host(&migration->move, place, roles) < 0)
			return error_set(err, E2BIG, FF_CODE_INTERNAL, NULL,
					 "operation %s has too many hosts",
					 migration->operation->id);
		migration->hosts[place] = model_find_host(&migration->orch->model, name ?: "");
		if (!migration->hosts[place])
			return error_set(err, ENOENT, FF_CODE_REFUSED,
					 "put it back into the configuration and restart",
					 "host %s of operation %s isn't in the configuration", name,
					 migration->operation->id);
	}
	return 0;
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static json_t *prepare_body(const struct migration *migration, unsigned int place)
{
	static const struct {
		unsigned int role;
		const char *name;
	} names[] = { { MOVE_SOURCE, "source" },
		      { MOVE_TARGET, "target" },
		      { MOVE_STEERING, "steering" } };
	json_t *roles = json_array(), *body;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (migration->move.roles[place] & names[i].role)
			json_array_append_new(roles, json_string(names[i].name));
	body = json_copy(json_object_get(migration->operation->request, "prepare"));
	json_put(body, "roles", roles);
	return body;
}

json_t *migration_finish_body(const json_t *request)
{
	const json_t *prepare = json_object_get(request, "prepare");

	return json_pack("{sO* sO* sO*}", "service", json_object_get(prepare, "service"), "to",
			 json_object_get(prepare, "to"), "subject",
			 json_object_get(prepare, "subject"));
}

/* The steering hosts whose fences are to be waited for: those that have gone back, or forth. */
static json_t *steering_body(const struct migration *migration, bool gone_back)
{
	const json_t *prepare = json_object_get(migration->operation->request, "prepare");
	json_t *list = json_array(), *entry;
	size_t i;

	json_array_foreach(json_object_get(prepare, "steering"), i, entry) {
		json_int_t id = json_integer_value(json_object_get(entry, "host"));

		for (unsigned int place = 0; place < migration->move.hosts; place++) {
			const struct move_slot *slot =
				&migration->move.slots[place][MOVE_CALL_UNSWITCH];
			bool is = gone_back ? slot->state == MOVE_SLOT_DONE :
					      migration->move.switched & 1u << place;

			if (is && migration->hosts[place]->id == id)
				json_array_append(list, entry);
		}
	}
	return json_pack("{so}", "steering", list);
}

/* Who has taken over from an instance of the move that is lost; 0: it isn't. */
static uint16_t heir_of(const struct migration *migration, bool of_target)
{
	const struct operation *operation = migration->operation;
	uint16_t now, then = of_target ? migration_to(operation) : migration_from(operation);
	MODEL_LOCKED(&migration->orch->model);

	now = of_target ? operation->to : operation->from;
	return now != then ? now : 0;
}

json_t *migration_end_body(struct orchestrator *orch, json_t *body)
{
	MODEL_LOCKED(&orch->model);

	json_put_uint(body, "version", orch->model.version);
	return body;
}

static json_t *heir_put(json_t *body, uint16_t heir)
{
	if (heir)
		json_put_uint(body, "heir", heir);
	return body;
}

static json_t *finish_body(const struct migration *migration)
{
	json_t *body = migration_finish_body(migration->operation->request);
	uint16_t heir = heir_of(migration, true);

	if (heir)
		json_put_uint(body, "to", heir);
	return heir_put(body, heir);
}

static json_t *hold_body(const struct migration *migration)
{
	json_t *body = steering_body(migration, false);

	for (unsigned int place = 0; place < migration->move.hosts; place++)
		if ((migration->move.roles[place] & MOVE_TARGET) &&
		    (migration->move.dead & 1u << place))
			json_put_bool(body, "ask", false);
	return body;
}

static json_t *call_body(const struct migration *migration, const struct move_action *action)
{
	switch (action->call) {
	case MOVE_CALL_QUERY:
		return NULL;
	case MOVE_CALL_PREPARE:
		return prepare_body(migration, action->host);
	case MOVE_CALL_FINAL:
	case MOVE_CALL_RESUME:
		return json_pack("{sb}", "fence", action->fence);
	case MOVE_CALL_FINISH:
		return migration_end_body(migration->orch, finish_body(migration));
	case MOVE_CALL_HOLD:
		return hold_body(migration);
	case MOVE_CALL_RETURN:
		return heir_put(steering_body(migration, true), heir_of(migration, false));
	case MOVE_CALL_ABORT:
	case MOVE_CALL_REVERT:
		return migration_end_body(migration->orch,
					  heir_put(json_object(), heir_of(migration, false)));
	default:
		return json_object();
	}
}

/* ---- calling --------------------------------------------------------------------------------- */

/* What a completion says about its call travels in the pointer: nothing to allocate or to leak. */
static void *call_pack(const struct move_action *action)
{
	_Static_assert(sizeof(uintptr_t) == 8, "tag, call and host fit into a pointer");
	return (void *)((uintptr_t)action->tag << 16 | (uintptr_t)action->call << 8 | action->host);
}

int migration_call(struct migration *migration, const struct move_action *action,
		   struct ff_error *err)
{
	/* the flows are back: what is left of the move is forgotten as before a switch */
	const char *name =
		move_call_name(action->call == MOVE_CALL_REVERT ? MOVE_CALL_ABORT : action->call);
	struct host *host = migration->hosts[action->host];
	const char *id = migration->operation->id;
	_cleanup_json_ json_t *body = call_body(migration, action);
	bool query = action->call == MOVE_CALL_QUERY;
	char path[128];

	if (query)
		snprintf(path, sizeof(path), "/v1/moves/%s", id);
	else
		snprintf(path, sizeof(path), "/v1/moves/%s/%s", id, name);
	return http_multi_start(migration->multi, host->client, query ? "GET" : "POST", path, body,
				migration->orch->headers, timeouts_ms[action->call],
				call_pack(action), err);
}

/* No call of the machine: its answer only shows. */
#define PROGRESS_USER ((void *)UINTPTR_MAX)

void migration_progress(struct migration *migration)
{
	char path[128];

	snprintf(path, sizeof(path), "/v1/moves/%s", migration->operation->id);
	for (unsigned int place = 0; place < migration->move.hosts; place++)
		if (migration->move.roles[place] & MOVE_SOURCE)
			http_multi_start(migration->multi, migration->hosts[place]->client, "GET",
					 path, NULL, migration->orch->headers,
					 timeouts_ms[MOVE_CALL_QUERY], PROGRESS_USER, NULL);
}

bool migration_is_progress(const struct http_completion *completion)
{
	return completion->user == PROGRESS_USER;
}

/* "done" is the source's word for it: the target has acknowledged the final state. */
static bool phase_is_committed(const json_t *reply)
{
	const char *phase = json_string_value(json_object_get(reply, "phase"));

	return phase && (!strcmp(phase, "committed") || !strcmp(phase, "released") ||
			 !strcmp(phase, "done"));
}

struct move_event migration_event(const struct http_completion *completion)
{
	uintptr_t packed = (uintptr_t)completion->user;
	struct move_event event = {
		.host = packed & 0xff,
		.call = packed >> 8 & 0xff,
		.tag = packed >> 16,
	};

	if (completion->result >= 0) {
		event.kind = MOVE_EV_OK;
		event.committed = phase_is_committed(completion->reply);
		event.copied = json_is_true(json_object_get(completion->reply, "copied"));
		event.switched = json_is_true(json_object_get(completion->reply, "switched"));
	} else if (!completion->status || completion->status == 503) {
		event.kind = MOVE_EV_LOST; /* 503: it is stopping, and will be back */
	} else if (completion->status == 404) {
		event.kind = MOVE_EV_GONE;
	} else {
		event.kind = MOVE_EV_REFUSED;
	}
	return event;
}

void migration_completion_done(struct http_completion *completion)
{
	json_decref(completion->reply);
	completion->reply = NULL;
}
