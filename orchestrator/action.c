/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* action.c - see action.h. */
#include "orchestrator/action.h"

#include <errno.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/failover.h"
#include "orchestrator/migration.h"
#include "orchestrator/monitor.h"
#include "orchestrator/settings.h"
#include "orchestrator/move.h"
#include "orchestrator/subject.h"

/* ---- moves ----------------------------------------------------------------------------------- */

static void doc_fill(const struct model *model, struct operation *operation,
		     const struct action_move *move)
{
	json_t *doc = operation->doc;
	json_t *subject = change_to_json(operation->subject, OPERATION_FLOWS_SHOWN);

	if (operation->subject->flows_n > OPERATION_FLOWS_SHOWN)
		json_put_uint(subject, "flows_total", operation->subject->flows_n);
	/* as the journal says until the switch: the driver begins at once */
	json_put_str(doc, "state", "running");
	json_put_str(doc, "phase", move_phase_name(MOVE_PREPARE));
	json_put_str(doc, "service", model_service(model, move->service)->name);
	json_put_str(doc, "from", model_instance_name(model, move->from));
	json_put_str(doc, "to", model_instance_name(model, move->to));
	json_put_str(doc, "guarantee", move->guarantee);
	json_put_str(doc, "on_overflow", move->on_overflow);
	json_put(doc, "subject", subject);
	if (move->note[0])
		json_put_str(doc, "note", move->note);
	if (move->plan)
		json_put_str(doc, "plan", move->plan);
}

/* What a standby holds is a copy of another's flows: it has none of its own. */
static int standby_check(const struct model *model, uint16_t id, struct ff_error *err)
{
	const struct instance *instance = model_instance(model, id);

	if (!instance || !instance->standby_of)
		return 0;
	return error_set(err, EPERM, FF_CODE_REFUSED, "move to another instance, or add one",
			 "%s is the standby of %s: it owns nothing until it takes over",
			 instance->name, model_instance_name(model, instance->standby_of));
}

/* An operation that is stored, but neither linked nor driven yet. */
static int operation_make(struct orchestrator *orch, struct action_move *move,
			  struct operation **ret, struct ff_error *err)
{
	struct model *model = &orch->model;
	_cleanup_operation_ struct operation *operation = operation_new("move");
	int r;

	if (!operation)
		return error_nomem(err);
	r = standby_check(model, move->to, err);
	if (r == 0)
		r = request_check_overlap(model, model_service(model, move->service), move->subject,
					  err);
	if (r < 0)
		return r;
	operation->service = move->service;
	operation->from = move->from;
	operation->to = move->to;
	operation->subject = move->subject;
	r = migration_plan(orch, operation, move->guarantee, move->on_overflow, move->park_limit,
			   err);
	if (r == 0 && move->no_precopy)
		r = json_put_bool(json_object_get(operation->request, "prepare"), "precopy", false);
	if (r == 0) {
		doc_fill(model, operation, move);
		r = store_operation_put(orch->store, operation, NULL, err);
	}
	if (r < 0) {
		operation->subject = NULL; /* still the caller's */
		return r;
	}
	move->subject = NULL;
	*ret = TAKE_PTR(operation);
	return 0;
}

/* The store has it: it must not stay there as one that runs. */
static void operation_drop(struct orchestrator *orch, struct operation *operation,
			   const struct ff_error *why)
{
	_cleanup_json_ json_t *body = json_from_error(why);
	struct ff_error err = { 0 };

	json_put_str(operation->doc, "state", "failed");
	json_put_uint(operation->doc, "ended", clock_wall_ms());
	json_object_set(operation->doc, "error", json_object_get(body, "error"));
	store_operation_put(orch->store, operation, NULL, &err);
	operation_free(operation);
}

int action_move(struct orchestrator *orch, struct action_move *move,
		struct operation **ret_operation, struct ff_error *err)
{
	struct operation *operation = NULL;
	int r;

	if (orch->model.stopping)
		return error_set(err, ESHUTDOWN, FF_CODE_BUSY, "ask again when it is back",
				 "the orchestrator is stopping");
	r = operation_make(orch, move, &operation, err);
	if (r < 0)
		return r;
	r = migration_start(orch, operation, false, err);
	if (r < 0) {
		operation_drop(orch, operation, err);
		return r;
	}
	operation_link(&orch->model, operation);
	*ret_operation = operation;
	return 0;
}

int action_takeover(struct orchestrator *orch, uint16_t service_id, uint16_t from, uint16_t to,
		    const struct change *subject, struct ff_error *err)
{
	struct model *model = &orch->model;
	struct service *service = model_service(model, service_id);
	struct ff_error away = { 0 };
	int r;

	if (!service || !model_instance(model, to))
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND, NULL,
				 "the service or the new owner has been removed");
	r = failover_allows(orch, from, err);
	if (r == 0)
		r = standby_check(model, to, err);
	if (r == 0)
		r = request_check_overlap(model, service, subject, err);
	if (r == 0 && owners_apply(&service->table, subject, to) < 0)
		r = error_nomem(err);
	if (r == 0)
		r = store_owners_put(orch->store, service, err);
	if (r < 0)
		return r;
	model_touch(model);
	if (model_instance(model, from))
		failover_taken(orch, model_instance(model, from)->host);
	monitor_settle(orch, NULL, &away);
	return 0;
}

/* ---- instances ------------------------------------------------------------------------------- */

static void instance_unmake(struct orchestrator *orch, struct instance *instance)
{
	struct model *model = &orch->model;
	struct service *service = model_service(model, instance->service);
	struct instance *standby = model_standby(model, instance->id);
	struct ff_error err = { 0 };

	if (standby)
		model_remove_instance(model, standby);
	if (settings_retire(orch, instance, false, &err) < 0)
		log_error("%s", err.message);
	model_remove_instance(model, instance);
	if (service && store_service_put(orch->store, model, service, &err) < 0)
		log_error("%s", err.message);
	model_touch(model);
}

static int instance_start(struct orchestrator *orch, uint16_t id, struct ff_error *err)
{
	struct model *model = &orch->model;
	struct instance *instance = model_instance(model, id);
	struct service *service;
	unsigned int unowned, rules;
	size_t pins;
	int r;

	model_touch(model);
	r = monitor_settle_instance(orch, id, err);
	instance = model_instance(model, id);
	if (!instance)
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND, NULL,
				 "the instance was removed while it was made");
	service = model_service(model, instance->service);
	if (r == 0) {
		owners_count(&service->table, 0, &unowned, &pins, &rules);
		if (unowned == service->table.slots)
			owners_spread(&service->table, &id, 1);
		r = store_service_put(orch->store, model, service, err);
	}
	if (r < 0) {
		instance_unmake(orch, instance);
		/* a host may be at it once more: nothing of it is left when the refusal is told */
		monitor_settle(orch, NULL, NULL);
		return r;
	}
	model_touch(model);
	return monitor_settle(orch, NULL, err);
}

int action_instance_add(struct orchestrator *orch, const char *service_name, const char *name,
			const char *host_name, uint16_t *ret_id, struct ff_error *err)
{
	struct model *model = &orch->model;
	struct instance *instance;
	struct service *service;
	struct host *host;
	int r;

	r = name_check("instance", name, err);
	if (r == 0)
		r = model_get_service(model, service_name, &service, err);
	if (r == 0)
		r = model_get_host(model, host_name, &host, err);
	if (r == 0)
		r = model_add_instance(model, name, service->id, host->id, &instance, err);
	if (r < 0)
		return r;
	*ret_id = instance->id;
	return instance_start(orch, instance->id, err);
}

int action_standby_add(struct orchestrator *orch, uint16_t owner_id, uint16_t host_id,
		       uint16_t *ret_id, struct ff_error *err)
{
	struct model *model = &orch->model;
	const struct instance *owner = model_instance(model, owner_id);
	const struct host *host = model_host(model, host_id);
	struct instance *old = model_standby(model, owner_id), *standby;
	struct service *service;
	char name[FF_NAME_MAX];
	uint16_t id;
	int r;

	if (!owner || owner->standby_of || !host || host->id == owner->host)
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND, NULL,
				 "the instance or the host of its standby is there no more");
	/* what there is may be all that is left, and just about to take over */
	if (old && (failover_is_lost(orch, owner) || failover_doubts(orch, owner->host)))
		return error_set(err, EBUSY, FF_CODE_BUSY, NULL,
				 "%s may be needed: the host of %s is not known to be well",
				 old->name, owner->name);
	service = model_service(model, owner->service);
	model_name_instance(model, service, name);
	r = model_add_instance(model, name, service->id, host->id, &standby, err);
	if (r < 0)
		return r;
	standby->standby_of = owner_id;
	strcpy(standby->nf, owner->nf); /* in an upgrade not its service's */
	id = standby->id;
	if (old)
		model_remove_instance(model, old);
	r = store_service_put(orch->store, model, service, err);
	model_touch(model);
	if (r == 0)
		r = monitor_settle_instance(orch, id, err);
	standby = model_instance(model, id);
	if (!standby) /* it was removed meanwhile, or has taken over and failed */
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND, NULL,
				 "the standby was removed while it was made");
	if (r < 0 && standby->standby_of) {
		instance_unmake(orch, standby);
		return r;
	}
	*ret_id = id;
	return 0;
}

/* Whether anything leads packets to it, or will. */
static int instance_is_free(const struct model *model, const struct instance *instance,
			    struct ff_error *err)
{
	const struct service *service = model_service(model, instance->service);
	unsigned int slots, rules;
	size_t pins;

	for (const struct operation *operation = model->operations; operation;
	     operation = operation->next)
		if (operation->from == instance->id || operation->to == instance->id)
			return error_set(err, EBUSY, FF_CODE_BUSY, "wait for it, or cancel it",
					 "operation %s moves flows from or to %s", operation->id,
					 instance->name);
	owners_count(&service->table, instance->id, &slots, &pins, &rules);
	if (slots || pins || rules)
		return error_set(err, EBUSY, FF_CODE_BUSY, "move all of it to another instance",
				 "instance %s owns %u slots, %zu pins, %u rules", instance->name,
				 slots, pins, rules);
	return 0;
}

int action_instance_remove(struct orchestrator *orch, const char *name, struct ff_error *err)
{
	struct model *model = &orch->model;
	struct ff_error away = { 0 };
	struct instance *instance;
	int r;

	r = model_get_instance(model, name, &instance, err);
	if (r == 0)
		r = instance_is_free(model, instance, err);
	if (r == 0) /* first of all: what the store keeps would be back after a restart */
		r = store_instance_delete(orch->store, instance->id, err);
	if (r < 0)
		return r;
	instance_unmake(orch, instance);
	monitor_settle(orch, NULL, &away); /* a host that is away is told when it's back */
	return 0;
}
