/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* northbound_policy.c - the policy of a service: shown, set, taken away. */
#include <errno.h>

#include "lib/json.h"
#include "orchestrator/events.h"
#include "orchestrator/northbound.h"
#include "orchestrator/settings.h"

int policy_get(struct http_request *req, struct http_response *resp)
{
	struct model *model = &req_orch(req)->model;
	const char *name = req_param(req, "service");
	struct service *service;
	int r;
	MODEL_LOCKED(model);

	r = model_get_service(model, name, &service, resp_err(resp));
	if (r < 0)
		return r;
	if (!service->governed)
		return error_set(resp_err(resp), ENOENT, FF_CODE_NOT_FOUND,
				 "set one: `flowferry policy set SERVICE FILE`",
				 "service %s has no policy: nothing is decided for it", name);
	return resp_json(resp, 200, policy_to_json(&service->policy));
}

/* A host that is misspelt would silently never get an instance. The lock is held. */
static int hosts_check(const struct model *model, const struct policy *policy, struct ff_error *err)
{
	struct host *host;
	int r;

	for (uint32_t i = 0; i < policy->placement.hosts_count; i++) {
		r = model_get_host(model, policy->placement.hosts[i], &host, err);
		if (r < 0) {
			error_prefix(err, "placement.hosts");
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, err->mend, "%s",
					 err->message);
		}
	}
	return 0;
}

/*
 * A host that has never heard of leases doesn't stop when it is cut off. That one doesn't know yet is remembered
 * (failover_fence()), but not over a restart of ours; so it isn't begun with a host that can't be told. The lock is
 * held.
 */
static int fence_check(const struct model *model, const struct service *service,
		       const struct policy *policy, struct ff_error *err)
{
	if (service_is_fenced(service) || policy->partition.mode != POLICY_FENCE)
		return 0;
	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++) {
		const struct instance *instance = model->instances[i];
		const struct host *host;

		if (!instance || instance->service != service->id)
			continue;
		host = model_host(model, instance->host);
		if (host && !host->up)
			return error_set(
				err, EBUSY, FF_CODE_BUSY, "set it when the host is back",
				"partition.mode: fence: host %s, which has %s, doesn't answer, and "
				"can't be told that it needs a lease",
				host->name, instance->name);
	}
	return 0;
}

int policy_put(struct http_request *req, struct http_response *resp)
{
	struct orchestrator *orch = req_orch(req);
	struct model *model = &orch->model;
	const char *name = req_param(req, "service");
	struct ff_error *err = resp_err(resp);
	struct service *service;
	struct policy policy;
	int r;

	r = policy_from_json(req_json(req), &policy, err);
	if (r < 0)
		return r;
	{
		MODEL_LOCKED(model);

		r = model_get_service(model, name, &service, err);
		if (r == 0)
			r = hosts_check(model, &policy, err);
		if (r == 0)
			r = fence_check(model, service, &policy, err);
		if (r == 0)
			r = settings_policy(orch, service, &policy, err);
	}
	if (r < 0)
		return r;
	event_emit(orch->events, "policy-set", (struct event_about){ .service = name },
		   "service %s has a new policy (%s), by %s", name, policy_mode_name(policy.mode),
		   req_peer(req));
	return resp_json(resp, 200, policy_to_json(&policy));
}

int policy_delete(struct http_request *req, struct http_response *resp)
{
	struct orchestrator *orch = req_orch(req);
	struct model *model = &orch->model;
	const char *name = req_param(req, "service");
	struct service *service;
	int r;

	{
		MODEL_LOCKED(model);

		r = model_get_service(model, name, &service, resp_err(resp));
		if (r == 0)
			r = settings_policy(orch, service, NULL, resp_err(resp));
	}
	if (r < 0)
		return r;
	event_emit(orch->events, "policy-unset", (struct event_about){ .service = name },
		   "service %s has no policy any more, by %s", name, req_peer(req));
	return resp_empty(resp, 204);
}
