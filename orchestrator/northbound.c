/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* northbound.c - the table of routes; status, events. */
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
				   (int)store_epoch(orch->store), "version", FF_VERSION, "hosts",
				   (int)model->hosts_n, "hosts_up", hosts_up, "services", services,
				   "instances", instances, "operations", "running", running,
				   "completed", json_object_get(counts, "completed"), "failed",
				   json_object_get(counts, "failed"), "rolled_back",
				   json_object_get(counts, "rolled-back"), "uptime_s",
				   (json_int_t)((clock_ns() - orch->started_ns) / NSEC_PER_SEC)));
}

static int events_get(struct http_request *req, struct http_response *resp)
{
	return events_answer(req_orch(req)->events, req, resp);
}

const struct http_route northbound_routes[] = {
	{ "GET", "/v1/status", status_get, NULL, 0 },
	{ "GET", "/v1/hosts", hosts_get, NULL, 0 },
	{ "GET", "/v1/hosts/:host", host_get, NULL, 0 },
	{ "POST", "/v1/hosts/:host/drain", drain_post, NULL, 0 },
	{ "POST", "/v1/hosts/:host/undrain", undrain_post, NULL, 0 },
	{ "GET", "/v1/services", services_get, NULL, 0 },
	{ "POST", "/v1/services", service_post, NULL, HTTP_BODY_REQUIRED },
	{ "GET", "/v1/services/:service", service_get, NULL, 0 },
	{ "DELETE", "/v1/services/:service", service_delete, NULL, 0 },
	{ "POST", "/v1/services/:service/upgrade", upgrade_post, NULL, HTTP_BODY_REQUIRED },
	{ "GET", "/v1/services/:service/table", service_table_get, NULL, 0 },
	{ "POST", "/v1/services/:service/instances", instance_post, NULL, HTTP_BODY_REQUIRED },
	{ "GET", "/v1/services/:service/policy", policy_get, NULL, 0 },
	{ "PUT", "/v1/services/:service/policy", policy_put, NULL, HTTP_BODY_REQUIRED },
	{ "DELETE", "/v1/services/:service/policy", policy_delete, NULL, 0 },
	{ "GET", "/v1/services/:service/plan", plan_get, NULL, 0 },
	{ "GET", "/v1/instances", instances_get, NULL, 0 },
	{ "GET", "/v1/instances/:instance", instance_get, NULL, 0 },
	{ "DELETE", "/v1/instances/:instance", instance_delete, NULL, 0 },
	{ "GET", "/v1/instances/:instance/state", instance_state_get, NULL, 0 },
	{ "GET", "/v1/flows", flows_get, NULL, 0 },
	{ "GET", "/v1/flows/lookup", flow_lookup_get, NULL, 0 },
	{ "POST", "/v1/moves", move_post, NULL, HTTP_BODY_REQUIRED },
	{ "GET", "/v1/loop", loop_get, NULL, 0 },
	{ "POST", "/v1/loop", loop_post, NULL, HTTP_BODY_REQUIRED },
	{ "GET", "/v1/plans", plans_get, NULL, 0 },
	{ "GET", "/v1/plans/:id", plan_one_get, NULL, 0 },
	{ "GET", "/v1/operations", operations_get, NULL, 0 },
	{ "GET", "/v1/operations/:id", operation_get, NULL, 0 },
	{ "DELETE", "/v1/operations/:id", operation_delete, NULL, 0 },
	{ "GET", "/v1/events", events_get, NULL, 0 },
	{ "GET", "/metrics", metrics_get, NULL, 0 },
	{ 0 },
};
