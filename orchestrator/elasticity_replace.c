/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* elasticity_replace.c - one instance of an upgrade: its successor, the moves, its end. */
#include <errno.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/action.h"
#include "orchestrator/driver.h"
#include "orchestrator/elasticity_upgrade.h"
#include "orchestrator/events.h"
#include "orchestrator/migration.h"
#include "orchestrator/monitor.h"
#include "orchestrator/subject.h"

#define PATIENCE_MS  20000 /* with a host that is away, or somebody's move that is in the way */
#define NUMBER_MAX   10
#define RETIRE_TRIES 3 /* somebody may move flows back meanwhile */

/* ---- what has been done ---------------------------------------------------------------------- */

/* The lock is held in all of these. */
static json_t *instances_doc(const struct upgrade *u)
{
	return json_object_get(json_object_get(u->operation->doc, "upgrade"), "instances");
}

static json_t *part_doc(const struct upgrade *u, size_t i)
{
	return json_array_get(instances_doc(u), i);
}

const char *upgrade_text(const struct upgrade *u, size_t i, const char *key)
{
	return json_string_value(json_object_get(part_doc(u, i), key)) ?: "";
}

int upgrade_journal(struct upgrade *u, struct ff_error *err)
{
	return store_operation_put(u->orch->store, u->operation, NULL, err);
}

static int state_note(struct upgrade *u, size_t i, const char *state, struct ff_error *err)
{
	char phase[FF_NAME_MAX + 32];

	snprintf(phase, sizeof(phase), "%s: %s", upgrade_text(u, i, "instance"), state);
	json_put_str(part_doc(u, i), "state", state);
	json_put_str(u->operation->doc, "phase", phase);
	return upgrade_journal(u, err);
}

size_t upgrade_parts(const struct upgrade *u)
{
	return json_array_size(instances_doc(u));
}

bool upgrade_ends_soon(const struct upgrade *u)
{
	return u->operation->cancel || u->orch->model.stopping;
}

int upgrade_ended_early(const struct upgrade *u, struct ff_error *err)
{
	if (u->orch->model.stopping)
		return error_set(err, ESHUTDOWN, FF_CODE_BUSY, NULL,
				 "the orchestrator is stopping");
	return error_set(err, ECANCELED, FF_CODE_REFUSED, "upgrade again to go on", "cancelled");
}

/* ---- one instance ---------------------------------------------------------------------------- */

/* SERVICE-N, with a higher N than any that is there: an old name would lead readers astray. */
static void successor_name(const struct upgrade *u, char ret_name[FF_NAME_MAX])
{
	const struct model *model = &u->orch->model;
	char prefix[FF_NAME_MAX - NUMBER_MAX];
	unsigned int last = 0, n;
	size_t len;

	len = (size_t)snprintf(prefix, sizeof(prefix), "%.*s-", (int)sizeof(prefix) - 2,
			       u->service_name);
	for (size_t i = 0; i < FF_INSTANCES_MAX; i++) {
		const struct instance *instance = model->instances[i];

		if (instance && !strncmp(instance->name, prefix, len) &&
		    sscanf(instance->name + len, "%u", &n) == 1 && n < UINT32_MAX)
			last = MAX(last, n);
	}
	snprintf(ret_name, FF_NAME_MAX, "%s%u", prefix, last + 1);
}

/* Makes the successor, unless it's there. */
static int successor_make(struct upgrade *u, size_t i, struct ff_error *err)
{
	struct model *model = &u->orch->model;
	char name[FF_NAME_MAX], host[FF_NAME_MAX] = "-";
	uint16_t id;
	int r;

	{
		MODEL_LOCKED(model);

		snprintf(name, sizeof(name), "%s", upgrade_text(u, i, "successor"));
		snprintf(host, sizeof(host), "%s", upgrade_text(u, i, "host"));
		if (name[0] && model_find_instance(model, name))
			return 0;
		if (!name[0])
			successor_name(u, name);
		json_put_str(part_doc(u, i), "successor", name);
		r = state_note(u, i, "creating", err);
	}
	if (r == 0)
		r = u->driver->create(u->orch, u->service_name, name, host, &id, err);
	if (r == 0)
		event_emit(u->orch->events, "instance-added",
			   (struct event_about){ .service = u->service_name,
						 .instance = name,
						 .host = host,
						 .operation = u->operation->id },
			   "instance %s added to %s on %s, by upgrade %s", name, u->service_name,
			   host, u->operation->id);
	return r;
}

static struct operation *operation_of(const struct model *model, uint16_t from)
{
	for (struct operation *op = model->operations; op; op = op->next)
		if (op->from == from || op->to == from)
			return op;
	return NULL;
}

/* The last move that this upgrade began for the instance; "": none. */
static const char *last_move(const struct upgrade *u, size_t i)
{
	const json_t *moves = json_object_get(part_doc(u, i), "moves");

	return json_string_value(json_array_get(moves, json_array_size(moves) - 1)) ?: "";
}

/* Until nothing moves from or to the instance any more, whoever began it. Cancels what is its own. */
static void moves_await(struct upgrade *u, size_t i, uint16_t instance)
{
	struct model *model = &u->orch->model;
	struct operation *op;
	struct ff_error past = { 0 };

	while ((op = operation_of(model, instance)) && !model->stopping) {
		if (u->operation->cancel && !op->cancel && !strcmp(op->id, last_move(u, i)))
			migration_cancel(op, &past); /* too late: then it completes */
		model_wait(model, UPGRADE_AWAIT_MS);
	}
}

/* Begins to move all that the instance owns; the lock is held. */
static int move_begin(struct upgrade *u, size_t i, const struct instance *from,
		      const struct instance *to, struct ff_error *err)
{
	struct model *model = &u->orch->model;
	const struct service *service = model_service(model, u->service);
	struct move_request request = { .what = REQUEST_INSTANCE };
	struct action_move move = { .service = u->service,
				    .from = from->id,
				    .to = to->id,
				    .guarantee = "order-preserving",
				    .on_overflow = "abort",
				    .park_limit = service->governed ?
							  service->policy.moves.parked_packets :
							  REQUEST_PARK_LIMIT_DEFAULT,
				    .note = "upgrade" };
	_cleanup_change_ struct change *subject = NULL;
	char note[REQUEST_NOTE_MAX];
	struct operation *operation;
	int r;

	r = request_resolve(&request, model, service, from->id, NULL, 0, &subject, note, err);
	if (r < 0)
		return r;
	move.subject = subject;
	r = action_move(u->orch, &move, &operation, err);
	subject = move.subject;
	if (r < 0)
		return r;
	json_array_append_new(json_object_get(part_doc(u, i), "moves"), json_string(operation->id));
	return upgrade_journal(u, err);
}

/* What became of the last move: 0, or its error. */
static int move_result(struct upgrade *u, const char *id, struct ff_error *err)
{
	_cleanup_json_ json_t *doc = NULL;
	const char *state, *why;
	int r;

	r = store_operation_get(u->orch->store, id, &doc, err);
	if (r < 0)
		return r;
	state = json_string_value(json_object_get(doc, "state")) ?: "-";
	if (!strcmp(state, "completed"))
		return 0;
	why = json_string_value(json_object_get(json_object_get(doc, "error"), "message"));
	return error_set(err, EAGAIN, FF_CODE_REFUSED, NULL, "move %s: %s: %s", id, state,
			 why ?: "no reason given");
}

/*
 * One move of all that is left. 0: the instance owns nothing. 1: it has been emptied, as far as one can
 * tell; look again. -EAGAIN: its move was rolled back. The lock is held, and dropped while waiting.
 */
static int instance_empty_once(struct upgrade *u, size_t i, struct ff_error *err)
{
	struct model *model = &u->orch->model;
	const struct instance *from = model_find_instance(model, upgrade_text(u, i, "instance")),
			      *to;
	const struct service *service;
	char id[OPERATION_ID_MAX];
	unsigned int slots, rules;
	size_t pins;
	int r;

	if (!from)
		return 0;
	moves_await(u, i, from->id);
	from = model_find_instance(model, upgrade_text(u, i, "instance"));
	to = model_find_instance(model, upgrade_text(u, i, "successor"));
	service = model_service(model, u->service);
	if (!from || !service)
		return 0;
	owners_count(&service->table, from->id, &slots, &pins, &rules);
	if (!slots && !pins && !rules)
		return 0;
	if (upgrade_ends_soon(u))
		return upgrade_ended_early(u, err);
	if (!to)
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND, "upgrade again to go on",
				 "its successor has been removed");
	r = move_begin(u, i, from, to, err);
	if (r < 0)
		return r;
	snprintf(id, sizeof(id), "%s", last_move(u, i));
	moves_await(u, i, from->id);
	if (model->stopping)
		return upgrade_ended_early(u, err);
	r = move_result(u, id, err);
	if (r < 0 && u->operation->cancel)
		return upgrade_ended_early(u, err);
	return r < 0 ? r : 1;
}

static bool is_passing(int r)
{
	return r == -EAGAIN || r == -EBUSY || r == -EHOSTUNREACH;
}

/* Moves until the instance owns nothing. */
static int instance_empty(struct upgrade *u, size_t i, struct ff_error *err)
{
	uint64_t until_ns = clock_ns() + PATIENCE_MS * NSEC_PER_MSEC;
	int r, failed = 0;

	MODEL_LOCKED(&u->orch->model);

	monitor_appear(u->orch);
	r = state_note(u, i, "moving", err);
	while (r == 0) {
		struct ff_error why = { 0 };

		r = instance_empty_once(u, i, &why);
		if (r == 0)
			return 0;
		failed += r == -EAGAIN;
		if (is_passing(r) && !upgrade_ends_soon(u) && failed < ELASTICITY_TRIES &&
		    clock_ns() < until_ns) {
			model_wait(&u->orch->model, ELASTICITY_PAUSE_MS);
			r = 0;
		}
		if (r < 0)
			*err = why;
		r = MIN(r, 0);
	}
	return r;
}

static int instance_retire(struct upgrade *u, size_t i, struct ff_error *err)
{
	char name[FF_NAME_MAX];
	int r;

	{
		MODEL_LOCKED(&u->orch->model);

		snprintf(name, sizeof(name), "%s", upgrade_text(u, i, "instance"));
		r = state_note(u, i, "retiring", err);
		if (r < 0 || !model_find_instance(&u->orch->model, name))
			return r;
	}
	r = u->driver->retire(u->orch, name, err);
	if (r == 0)
		event_emit(u->orch->events, "instance-removed",
			   (struct event_about){ .service = u->service_name,
						 .instance = name,
						 .operation = u->operation->id },
			   "instance %s retired, by upgrade %s", name, u->operation->id);
	return r;
}

/* One that got nothing isn't left behind: what can't be told from the old ones is as it was before. */
static void successor_drop(struct upgrade *u, size_t i)
{
	struct ff_error kept = { 0 };
	char name[FF_NAME_MAX];
	bool is_there;

	{
		MODEL_LOCKED(&u->orch->model);

		snprintf(name, sizeof(name), "%s", upgrade_text(u, i, "successor"));
		is_there = name[0] && model_find_instance(&u->orch->model, name);
	}
	if (is_there && u->driver->retire(u->orch, name, &kept) < 0)
		log_warn("upgrade %s: %s is kept: %s", u->operation->id, name, kept.message);
}

int upgrade_replace(struct upgrade *u, size_t i, struct ff_error *err)
{
	struct model *model = &u->orch->model;
	struct ff_error unheard = { 0 };
	bool is_gone;
	int r = 0;

	{
		MODEL_LOCKED(model);

		/* while it was moved, or retired, we were stopped: what's left is looked up below */
		is_gone = !model_find_instance(model, upgrade_text(u, i, "instance"));
	}
	if (!is_gone)
		r = successor_make(u, i, err);
	for (int tries = 0; r == 0 && !is_gone && tries < RETIRE_TRIES; tries++) {
		r = instance_empty(u, i, err);
		if (r == 0)
			r = instance_retire(u, i, err);
		if (r != -EBUSY || tries + 1 == RETIRE_TRIES)
			break;
		r = 0;
	}
	model_lock(model);
	if (r < 0 && model->stopping) /* whatever it says: that's why, and the next one goes on */
		r = -ESHUTDOWN;
	model_unlock(model);
	if (r < 0 && r != -ESHUTDOWN)
		successor_drop(u, i);
	model_lock(model);
	if (r != -ESHUTDOWN)
		state_note(u, i, r < 0 ? "failed" : "completed", &unheard);
	model_unlock(model);
	return r;
}
