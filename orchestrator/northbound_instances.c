/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* northbound_instances.c - instances: shown, added, removed. */
#include <errno.h>
#include <string.h>

#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/agent_client.h"
#include "orchestrator/events.h"
#include "orchestrator/monitor.h"
#include "orchestrator/northbound.h"

/* ---- shown ----------------------------------------------------------------------------------- */

const json_t *instance_report(const struct model *model, const struct instance *instance)
{
	const struct host *host = model_host(model, instance->host);
	const json_t *item;
	size_t i;

	if (!host)
		return NULL;
	json_array_foreach(json_object_get(host->report, "instances"), i, item)
		if (json_integer_value(json_object_get(item, "id")) == instance->id)
			return item;
	return NULL;
}

static json_t *instance_json(const struct model *model, const struct instance *instance)
{
	static const char *const counters[] = { "flows",     "packets",	      "bytes",	 "dropped",
						"flows_new", "flows_refused", "prog_id", "schema" };
	const struct service *service = model_service(model, instance->service);
	const struct host *host = model_host(model, instance->host);
	const json_t *report = instance_report(model, instance);
	unsigned int slots = 0, rules = 0;
	size_t pins = 0;
	json_t *json;

	owners_count(&service->table, instance->id, &slots, &pins, &rules);
	json = json_pack("{ss si ss ss ss ss si sI si sI}", "name", instance->name, "id",
			 instance->id, "service", service->name, "host", host ? host->name : "-",
			 "nf", service->nf, "state",
			 host && host->up && report ? "up" : "unreachable", "slots", (int)slots,
			 "pins", (json_int_t)pins, "rules", (int)rules, "capacity",
			 (json_int_t)service->capacity);
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
		json_t *value = json_object_get(report, counters[i]);
		const char *key = strcmp(counters[i], "prog_id") ? counters[i] : "xdp_prog_id";

		json_object_set_new(json, key, value ? json_incref(value) : json_null());
	}
	return json;
}

int instances_get(struct http_request *req, struct http_response *resp)
{
	struct model *model = &req_orch(req)->model;
	const char *of = req_query(req, "service", NULL);
	struct service *service = NULL;
	json_t *list;
	int r;
	MODEL_LOCKED(model);

	r = of ? model_get_service(model, of, &service, resp_err(resp)) : 0;
	if (r < 0)
		return r;
	list = json_array();
	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++)
		if (model->instances[i] &&
		    (!service || model->instances[i]->service == service->id))
			json_array_append_new(list, instance_json(model, model->instances[i]));
	return resp_json(resp, 200, json_pack("{so}", "instances", list));
}

int instance_get(struct http_request *req, struct http_response *resp)
{
	struct model *model = &req_orch(req)->model;
	struct instance *instance;
	int r;
	MODEL_LOCKED(model);

	r = model_get_instance(model, req_param(req, "instance"), &instance, resp_err(resp));
	if (r < 0)
		return r;
	return resp_json(resp, 200, instance_json(model, instance));
}

int instance_state_get(struct http_request *req, struct http_response *resp)
{
	struct orchestrator *orch = req_orch(req);
	struct model *model = &orch->model;
	struct instance *instance;
	struct host *host;
	json_t *reply = NULL;
	char path[128];
	int r;

	{
		MODEL_LOCKED(model);

		r = model_get_instance(model, req_param(req, "instance"), &instance,
				       resp_err(resp));
		if (r < 0)
			return r;
		host = model_host(model, instance->host);
		snprintf(path, sizeof(path), "/v1/instances/%s/state", instance->name);
	}
	if (!host)
		return error_set(resp_err(resp), ENOENT, FF_CODE_UNREACHABLE,
				 "put it back into the configuration",
				 "its host isn't in the configuration");
	r = agent_call(orch, host, "GET", path, NULL, AGENT_SCAN_MS, &reply, resp_err(resp));
	if (r < 0)
		return r;
	return resp_json(resp, 200, reply);
}

/* ---- added and removed ----------------------------------------------------------------------- */

static void instance_unmake(struct orchestrator *orch, struct instance *instance)
{
	struct model *model = &orch->model;
	struct service *service = model_service(model, instance->service);
	struct ff_error err = { 0 };

	model_remove_instance(model, instance);
	if (service && store_service_put(orch->store, model, service, &err) < 0)
		log_error("%s", err.message);
	model_touch(model);
}

static int instance_make(struct model *model, const char *of, const json_t *body,
			 struct instance **ret, struct ff_error *err)
{
	static const char *const fields[] = { "name", "host", NULL };
	struct service *service;
	const char *name, *on;
	struct host *host;
	int r;

	r = json_check_fields(body, fields, err);
	if (r == 0)
		r = json_get_str(body, "name", &name, err);
	if (r == 0)
		r = name_check("instance", name, err);
	if (r == 0)
		r = json_get_str(body, "host", &on, err);
	if (r == 0)
		r = model_get_service(model, of, &service, err);
	if (r == 0)
		r = model_get_host(model, on, &host, err);
	if (r < 0)
		return r;
	return model_add_instance(model, name, service->id, host->id, ret, err);
}

/* The first instance of a service owns everything; later ones nothing until a move. */
static int instance_start(struct orchestrator *orch, uint16_t id, struct ff_error *err)
{
	struct model *model = &orch->model;
	struct instance *instance = model_instance(model, id);
	struct service *service;
	unsigned int unowned, rules;
	size_t pins;
	int r;

	model_touch(model);
	r = monitor_settle(orch, model_host(model, instance->host), err);
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
		return r;
	}
	model_touch(model);
	return monitor_settle(orch, NULL, err);
}

int instance_post(struct http_request *req, struct http_response *resp)
{
	struct orchestrator *orch = req_orch(req);
	struct model *model = &orch->model;
	struct ff_error *err = resp_err(resp);
	struct instance *instance;
	json_t *answer = NULL;
	const char *name;
	uint16_t id;
	int r;

	model_lock(model);
	r = instance_make(model, req_param(req, "service"), req_json(req), &instance, err);
	if (r == 0) {
		id = instance->id;
		r = instance_start(orch, id, err);
		instance = model_instance(model, id);
		if (r == 0 && instance)
			answer = instance_json(model, instance);
	}
	model_unlock(model);
	if (r < 0)
		return r;
	name = json_string_value(json_object_get(req_json(req), "name"));
	event_emit(orch->events, "instance-added",
		   (struct event_about){ .service = req_param(req, "service"), .instance = name },
		   "instance %s added to %s, by %s", name, req_param(req, "service"),
		   req_peer(req));
	return resp_json(resp, 201, answer);
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

int instance_delete(struct http_request *req, struct http_response *resp)
{
	struct orchestrator *orch = req_orch(req);
	struct model *model = &orch->model;
	const char *name = req_param(req, "instance");
	struct instance *instance;
	int r;

	{
		MODEL_LOCKED(model);

		r = model_get_instance(model, name, &instance, resp_err(resp));
		if (r == 0)
			r = instance_is_free(model, instance, resp_err(resp));
		if (r < 0)
			return r;
		instance_unmake(orch, instance);
		monitor_settle(orch, NULL, resp_err(resp));
	}
	event_emit(orch->events, "instance-removed", (struct event_about){ .instance = name },
		   "instance %s removed, by %s", name, req_peer(req));
	return resp_empty(resp, 204);
}
