/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* northbound_hosts.c - hosts: shown, drained, used again. */
#include <errno.h>

#include "lib/json.h"
#include "orchestrator/drain.h"
#include "orchestrator/events.h"
#include "orchestrator/northbound.h"
#include "orchestrator/samples.h"
#include "orchestrator/settings.h"

#define DRAIN_LONGEST_MS (7 * 24 * 3600 * 1000ll)

static json_t *host_json(const struct orchestrator *orch, const struct host *host)
{
	const struct model *model = &orch->model;
	json_t *reasons = json_object_get(host->report, "reasons");
	int instances = 0;
	json_t *json;

	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++)
		instances += model->instances[i] && model->instances[i]->host == host->id;
	json = json_pack("{ss si ss ss* ss* ss sb sb si si sI sO?}", "name", host->name, "id",
			 host->id, "url", host->url, "ipv4", host->ipv4, "ipv6", host->ipv6,
			 "state", host->up ? "up" : "down", "steering", host->steering, "draining",
			 host->draining, "cpus", (int)host->cpus, "instances", instances,
			 "last_seen_ms", (json_int_t)host->last_seen_ms, "reasons", reasons);
	json_put(json, "monitor", samples_json(orch->samples, host));
	if (host->draining)
		json_put(json, "drain", drain_json(model, host));
	if (!host->up)
		json_put_str(json, "why", host->why_down[0] ? host->why_down : "never seen");
	else if (host->push_error.err)
		json_put_str(json, "why", host->push_error.message);
	return json;
}

int hosts_get(struct http_request *req, struct http_response *resp)
{
	struct orchestrator *orch = req_orch(req);
	struct model *model = &orch->model;
	json_t *list = json_array();
	MODEL_LOCKED(model);

	for (size_t i = 0; i < model->hosts_n; i++)
		json_array_append_new(list, host_json(orch, &model->hosts[i]));
	return resp_json(resp, 200, json_pack("{so}", "hosts", list));
}

int host_get(struct http_request *req, struct http_response *resp)
{
	struct orchestrator *orch = req_orch(req);
	struct model *model = &orch->model;
	struct host *host;
	int r;
	MODEL_LOCKED(model);

	r = model_get_host(model, req_param(req, "host"), &host, resp_err(resp));
	return r < 0 ? r : resp_json(resp, 200, host_json(orch, host));
}

/* Sets or ends a drain; *ret_json: the host as it is then shown. */
static int drain_set(struct http_request *req, bool draining, uint64_t within_ms, json_t **ret_json,
		     struct ff_error *err)
{
	struct orchestrator *orch = req_orch(req);
	struct host *host;
	int r;
	MODEL_LOCKED(&orch->model);

	r = model_get_host(&orch->model, req_param(req, "host"), &host, err);
	if (r == 0)
		r = settings_drain(orch, host, draining, within_ms, err);
	if (r == 0)
		*ret_json = host_json(orch, host);
	return r;
}

int drain_post(struct http_request *req, struct http_response *resp)
{
	static const char *const fields[] = { "deadline_ms", NULL };
	const char *name = req_param(req, "host");
	const json_t *body = req_json(req);
	struct ff_error *err = resp_err(resp);
	int64_t within_ms = 0;
	json_t *json = NULL;
	char within[64] = "";
	int r = 0;

	if (body)
		r = json_check_fields(body, fields, err);
	if (r == 0 && body)
		r = json_opt_range(body, "deadline_ms", 1, DRAIN_LONGEST_MS, &within_ms, err);
	if (r == 0)
		r = drain_set(req, true, (uint64_t)within_ms, &json, err);
	if (r < 0)
		return r;
	if (within_ms)
		snprintf(within, sizeof(within), " within %.1f s", (double)within_ms / 1e3);
	event_emit(req_orch(req)->events, "drain-started", (struct event_about){ .host = name },
		   "host %s is to be emptied%s, by %s", name, within, req_peer(req));
	return resp_json(resp, 202, json);
}

int undrain_post(struct http_request *req, struct http_response *resp)
{
	const char *name = req_param(req, "host");
	json_t *json = NULL;
	int r;

	r = drain_set(req, false, 0, &json, resp_err(resp));
	if (r < 0)
		return r;
	event_emit(req_orch(req)->events, "drain-taken-back", (struct event_about){ .host = name },
		   "host %s may be used again, by %s", name, req_peer(req));
	return resp_json(resp, 200, json);
}
