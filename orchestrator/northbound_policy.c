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
