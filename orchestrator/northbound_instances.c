/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* northbound_instances.c - instances: shown, added, removed. */
#include <errno.h>
#include <string.h>

#include "lib/json.h"
#include "orchestrator/action.h"
#include "orchestrator/agent_client.h"
#include "orchestrator/events.h"
#include "orchestrator/monitor.h"
#include "orchestrator/northbound.h"
#include "orchestrator/protection.h"
#include "orchestrator/samples.h"

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

/* Who stands by for it, and how well. */
static json_t *standby_json(const struct orchestrator *orch, const struct instance *instance)
{
	const struct instance *standby = model_standby(&orch->model, instance->id);
	const struct host *host = standby ? model_host(&orch->model, standby->host) : NULL;
	struct sample_standby told;
	json_t *json;

	if (!standby)
		return json_null();
	json = json_pack("{ss ss}", "instance", standby->name, "host", host ? host->name : "-");
	if (!protection_told(orch, instance, &told)) {
		json_put_str(json, "state", "unknown");
		return json;
	}
	json_put_str(json, "state", sample_standby_name(told.state));
	if (told.state == STANDBY_SYNCED)
		json_put_uint(json, "lag_ms", told.lag_ms);
	json_put_uint(json, "rounds", told.rounds);
	json_put_uint(json, "bytes", told.bytes);
	json_put_uint(json, "flows", told.flows);
	json_put_uint(json, "resends", told.resends);
	if (told.error[0])
		json_put_str(json, "error", told.error);
	return json;
}

static const char *state_of(const struct orchestrator *orch, const struct instance *instance,
			    const struct host *host, const json_t *report)
{
	struct sample_instance told;

	if (host && host->up && !report && host->foreign[instance->id])
		return "foreign";
	if (!host || !host->up)
		return "unreachable";
	if (!report)
		return "starting";
	if (samples_member(orch->samples, host, instance->id, &told) && told.failed[0])
		return "failed";
	if (instance->retiring_ms)
		return "retiring";
	return instance->standby_of ? "standby" : "up";
}

static json_t *instance_json(const struct orchestrator *orch, const struct instance *instance)
{
	const struct model *model = &orch->model;
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
			 "nf", instance->nf, "state", state_of(orch, instance, host, report),
			 "slots", (int)slots, "pins", (json_int_t)pins, "rules", (int)rules,
			 "capacity", (json_int_t)service->capacity);
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
		json_t *value = json_object_get(report, counters[i]);
		const char *key = strcmp(counters[i], "prog_id") ? counters[i] : "xdp_prog_id";

		json_object_set_new(json, key, value ? json_incref(value) : json_null());
	}
	json_put_str(json, "standby_of",
		     instance->standby_of ? model_instance_name(model, instance->standby_of) :
					    NULL);
	json_put(json, "standby", standby_json(orch, instance));
	json_put(json, "retiring_since",
		 instance->retiring_ms ? json_integer((json_int_t)instance->retiring_ms) :
					 json_null());
	return json;
}

int instances_get(struct http_request *req, struct http_response *resp)
{
	const struct orchestrator *orch = req_orch(req);
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
			json_array_append_new(list, instance_json(orch, model->instances[i]));
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
	return resp_json(resp, 200, instance_json(req_orch(req), instance));
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

int instance_post(struct http_request *req, struct http_response *resp)
{
	static const char *const fields[] = { "name", "host", NULL };
	struct orchestrator *orch = req_orch(req);
	const char *service = req_param(req, "service"), *name, *host;
	const json_t *body = req_json(req);
	struct ff_error *err = resp_err(resp);
	const struct instance *instance;
	json_t *answer = NULL;
	uint16_t id;
	int r;

	r = json_check_fields(body, fields, err);
	if (r == 0)
		r = json_get_str(body, "name", &name, err);
	if (r == 0)
		r = json_get_str(body, "host", &host, err);
	if (r < 0)
		return r;
	{
		MODEL_LOCKED(&orch->model);

		r = action_instance_add(orch, service, name, host, &id, err);
		instance = r == 0 ? model_instance(&orch->model, id) : NULL;
		if (instance)
			answer = instance_json(orch, instance);
	}
	if (r < 0)
		return r;
	event_emit(orch->events, "instance-added",
		   (struct event_about){ .service = service, .instance = name },
		   "instance %s added to %s, by %s", name, service, req_peer(req));
	return resp_json(resp, 201, answer);
}

int instance_delete(struct http_request *req, struct http_response *resp)
{
	struct orchestrator *orch = req_orch(req);
	const char *name = req_param(req, "instance");
	int r;

	{
		MODEL_LOCKED(&orch->model);

		r = action_instance_remove(orch, name, resp_err(resp));
	}
	if (r < 0)
		return r;
	event_emit(orch->events, "instance-removed", (struct event_about){ .instance = name },
		   "instance %s removed, by %s", name, req_peer(req));
	return resp_empty(resp, 204);
}
