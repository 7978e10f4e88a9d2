/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* recovery.c - operations out of the journal. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/elasticity.h"
#include "orchestrator/events.h"
#include "orchestrator/failover.h"
#include "orchestrator/migration.h"
#include "orchestrator/recovery.h"

static int prepare_read(struct operation *operation, struct ff_error *err)
{
	const char *token;
	json_t *prepare;
	int r;

	r = json_get_object(operation->request, "prepare", &prepare, err);
	if (r == 0)
		r = json_get_str(prepare, "token", &token, err);
	if (r == 0)
		r = json_get_u16(prepare, "service", &operation->service, err);
	if (r == 0)
		r = json_get_u16(prepare, "from", &operation->from, err);
	if (r == 0)
		r = json_get_u16(prepare, "to", &operation->to, err);
	if (r == 0)
		operation->token = strtoull(token, NULL, 16);
	return r;
}

/* ---- heirs ----------------------------------------------------------------------------------- */

#define RECOVERIES_MAX 64 /* looked at: those that were made while a move ran */

/* Who has taken over from the instance of that name since then; NULL: nobody. The newest is first. */
static const char *taken_over(const json_t *recoveries, json_int_t since_ms, const char *name)
{
	const json_t *doc;
	size_t i;

	json_array_foreach(recoveries, i, doc) {
		const char *from = json_string_value(json_object_get(doc, "from")) ?: "";
		const char *phase = json_string_value(json_object_get(doc, "phase")) ?: "";
		const char *state = json_string_value(json_object_get(doc, "state")) ?: "";

		/* its owners are in the store since `switch`, by the same transaction */
		if (!strcmp(from, name) && strcmp(phase, "fence") != 0 &&
		    strcmp(state, "rolled-back") != 0 &&
		    json_integer_value(json_object_get(doc, "created")) >= since_ms)
			return json_string_value(json_object_get(doc, "to"));
	}
	return NULL;
}

/* An instance of the move, by key; or who has taken over from it before we were restarted. */
static uint16_t heir_find(const struct model *model, const json_t *recoveries, const json_t *doc,
			  const char *key, uint16_t id)
{
	json_int_t since_ms = json_integer_value(json_object_get(doc, "created"));
	const char *name = json_string_value(json_object_get(doc, key));
	const struct instance *instance = model_instance(model, id);
	size_t hops = json_array_size(recoveries);

	if (instance && name && !strcmp(instance->name, name))
		return id;
	while (name && hops-- > 0) {
		name = taken_over(recoveries, since_ms, name);
		instance = name ? model_find_instance(model, name) : NULL;
		if (instance)
			return instance->id;
	}
	return id;
}

static int heirs_find(struct orchestrator *orch, struct operation *move, struct ff_error *err)
{
	_cleanup_json_ json_t *recoveries = NULL;
	int r;

	r = store_operation_list(orch->store, "recovery", NULL, RECOVERIES_MAX, &recoveries, err);
	if (r < 0)
		return r;
	move->from = heir_find(&orch->model, recoveries, move->doc, "from", move->from);
	move->to = heir_find(&orch->model, recoveries, move->doc, "to", move->to);
	return 0;
}

/* ---- operations ------------------------------------------------------------------------------ */

static bool is_of_kind(const struct operation *operation, const char *wanted)
{
	const char *kind = json_string_value(json_object_get(operation->doc, "kind"));

	return kind && !strcmp(kind, wanted);
}

static int operation_read(const json_t *row, struct operation *operation, struct ff_error *err)
{
	json_t *doc, *request;
	const char *id;
	int r;

	r = json_get_object(row, "doc", &doc, err);
	if (r == 0)
		r = json_get_object(row, "request", &request, err);
	if (r == 0)
		r = json_get_str(doc, "id", &id, err);
	if (r < 0)
		return r;
	snprintf(operation->id, sizeof(operation->id), "%s", id);
	json_decref(operation->doc);
	json_decref(operation->request);
	operation->doc = json_incref(doc);
	operation->request = json_incref(request);
	if (is_of_kind(operation, "recovery"))
		return 0;
	if (is_of_kind(operation,
		       "plan")) /* its moves are operations of their own, and are taken up */
		return error_set(err, ECANCELED, FF_CODE_INTERNAL,
				 "nothing to do: the next plan begins with what was done",
				 "the orchestrator was restarted while the plan was carried out");
	return is_of_kind(operation, "upgrade") ? 0 : prepare_read(operation, err);
}

static int operation_resume(struct orchestrator *orch, struct operation *operation,
			    struct ff_error *err)
{
	const json_t *prepare = json_object_get(operation->request, "prepare");
	const struct service *service = model_service(&orch->model, operation->service);
	int r;

	if (is_of_kind(operation, "recovery"))
		return failover_resume(orch, operation, err);
	if (is_of_kind(operation, "upgrade"))
		return elasticity_upgrade_resume(orch->elasticity, operation, err);
	if (!service)
		return error_set(err, ENOENT, FF_CODE_INTERNAL, NULL,
				 "its service isn't in the database");
	r = change_from_json(json_object_get(prepare, "subject"), service->table.slots,
			     &operation->subject, err);
	if (r == 0)
		r = heirs_find(orch, operation, err);
	if (r < 0)
		return r;
	r = migration_start(orch, operation, true, err);
	if (r == 0)
		operation_link(&orch->model, operation);
	return r;
}

static void operation_give_up(struct orchestrator *orch, struct operation *operation,
			      const struct ff_error *why)
{
	_cleanup_json_ json_t *body = json_from_error(why);
	struct ff_error err = { 0 };

	json_put_str(operation->doc, "state", "failed");
	json_put_uint(operation->doc, "ended", clock_wall_ms());
	if (body)
		json_object_set(operation->doc, "error", json_object_get(body, "error"));
	if (store_operation_put(orch->store, operation, NULL, &err) < 0)
		log_error("%s", err.message);
	event_emit(orch->events,
		   is_of_kind(operation, "plan")     ? "plan-ended" :
		   is_of_kind(operation, "recovery") ? "recovery-ended" :
		   is_of_kind(operation, "upgrade")  ? "upgrade-ended" :
						       "move-ended",
		   (struct event_about){ .operation = operation->id },
		   "operation %s can't be recovered: %s", operation->id, why->message);
}

int recovery_start(struct orchestrator *orch, struct ff_error *err)
{
	_cleanup_json_ json_t *list = NULL;
	const json_t *row;
	size_t i;
	int r;
	MODEL_LOCKED(&orch->model);

	r = store_operation_open(orch->store, &list, err);
	if (r < 0)
		return r;
	json_array_foreach(list, i, row) {
		_cleanup_operation_ struct operation *operation = operation_new("move");
		struct ff_error why = { 0 };

		if (!operation)
			return error_nomem(err);
		r = operation_read(row, operation, &why);
		if (r == 0)
			r = operation_resume(orch, operation, &why);
		if (r < 0) {
			operation_give_up(orch, operation, &why);
			continue;
		}
		log_info("operation %s was under way: recovering it", operation->id);
		TAKE_PTR(operation);
	}
	return 0;
}
