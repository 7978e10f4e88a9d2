/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* northbound.c - the table of routes; status, hosts, events. */
#include "lib/clock.h"
#include "lib/json.h"
#include "lib/version.h"
#include "orchestrator/events.h"
#include "orchestrator/northbound.h"

static int status_get(struct http_request *req, struct http_response *resp)
{
	struct orchestrator *orch = req_orch(req);
	struct model *model = &orch->model;
	_cleanup_json_ json_t *counts = NULL;
	int services = 0, instances = 0, hosts_up = 0, r;
	json_int_t running;

	r = store_operation_counts(orch->store, &counts, resp_err(resp));
	if (r < 0)
		return r;
	running = json_integer_value(json_object_get(counts, "running")) +
		  json_integer_value(json_object_get(counts, "queued"));
	{
		MODEL_LOCKED(model);

		for (unsigned int i = 0; i < FF_SERVICES_MAX; i++)
			services += !!model->services[i];
		for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++)
			instances += !!model->instances[i];
		for (size_t i = 0; i < model->hosts_n; i++)
			hosts_up += model->hosts[i].up;
	}
	return resp_json(resp, 200,
			 json_pack("{si ss si si si si s{sI sO sO sO} sI}", "epoch",
				   (int)store_epoch(orch->store), "version", FF_VERSION,
				   "hosts", (int)model->hosts_n, "hosts_up", hosts_up, "services",
				   services, "instances", instances, "operations", "running",
				   running, "completed", json_object_get(counts, "completed"),
				   "failed", json_object_get(counts, "failed"), "rolled_back",
				   json_object_get(counts, "rolled-back"), "uptime_s",
				   (json_int_t)((clock_ns() - orch->started_ns) / NSEC_PER_SEC)));
}

static json_t *host_json(const struct model *model, const struct host *host)
{
	json_t *reasons = json_object_get(host->report, "reasons");
	int instances = 0;
	json_t *json;

	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++)
		instances += model->instances[i] && model->instances[i]->host == host->id;
	json = json_pack("{ss si ss ss* ss* ss sb si si sI sO?}", "name", host->name, "id",
			 host->id, "url", host->url, "ipv4", host->ipv4, "ipv6", host->ipv6,
			 "state", host->up ? "up" : "down", "steering", host->steering, "cpus",
			 (int)host->cpus, "instances", instances, "last_seen_ms",
			 (json_int_t)host->last_seen_ms, "reasons", reasons);
	if (!host->up)
		json_put_str(json, "why", host->why_down[0] ? host->why_down : "never seen");
	else if (host->push_error.err)
		json_put_str(json, "why", host->push_error.message);
	return json;
}

static int hosts_get(struct http_request *req, struct http_response *resp)
{
	struct model *model = &req_orch(req)->model;
	json_t *list = json_array();
	MODEL_LOCKED(model);

	for (size_t i = 0; i < model->hosts_n; i++)
		json_array_append_new(list, host_json(model, &model->hosts[i]));
	return resp_json(resp, 200, json_pack("{so}", "hosts", list));
}

static int events_get(struct http_request *req, struct http_response *resp)
{
	return events_answer(req_orch(req)->events, req, resp);
}

const struct http_route northbound_routes[] = {
	{ "GET", "/v1/status", status_get, NULL, 0 },
	{ "GET", "/v1/hosts", hosts_get, NULL, 0 },
	{ "GET", "/v1/services", services_get, NULL, 0 },
	{ "POST", "/v1/services", service_post, NULL, HTTP_BODY_REQUIRED },
	{ "GET", "/v1/services/:service", service_get, NULL, 0 },
	{ "DELETE", "/v1/services/:service", service_delete, NULL, 0 },
	{ "GET", "/v1/services/:service/table", service_table_get, NULL, 0 },
	{ "POST", "/v1/services/:service/instances", instance_post, NULL, HTTP_BODY_REQUIRED },
	{ "GET", "/v1/instances", instances_get, NULL, 0 },
	{ "GET", "/v1/instances/:instance", instance_get, NULL, 0 },
	{ "DELETE", "/v1/instances/:instance", instance_delete, NULL, 0 },
	{ "GET", "/v1/instances/:instance/state", instance_state_get, NULL, 0 },
	{ "GET", "/v1/flows", flows_get, NULL, 0 },
	{ "GET", "/v1/flows/lookup", flow_lookup_get, NULL, 0 },
	{ "POST", "/v1/moves", move_post, NULL, HTTP_BODY_REQUIRED },
	{ "GET", "/v1/operations", operations_get, NULL, 0 },
	{ "GET", "/v1/operations/:id", operation_get, NULL, 0 },
	{ "DELETE", "/v1/operations/:id", operation_delete, NULL, 0 },
	{ "GET", "/v1/events", events_get, NULL, 0 },
	{ 0 },
};
