/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* northbound.h - the control API (API.md). For northbound*.c and main.c. */
#pragma once

#include "orchestrator/orchestrator.h"

extern const struct http_route northbound_routes[];

static inline struct orchestrator *req_orch(const struct http_request *req)
{
	return req_userdata(req);
}

/* northbound_hosts.c */
int hosts_get(struct http_request *req, struct http_response *resp);
int host_get(struct http_request *req, struct http_response *resp);
int drain_post(struct http_request *req, struct http_response *resp);
int undrain_post(struct http_request *req, struct http_response *resp);

/* northbound_services.c */
int services_get(struct http_request *req, struct http_response *resp);
int service_get(struct http_request *req, struct http_response *resp);
int service_post(struct http_request *req, struct http_response *resp);
int service_delete(struct http_request *req, struct http_response *resp);
int upgrade_post(struct http_request *req, struct http_response *resp);
int service_table_get(struct http_request *req, struct http_response *resp);

/* northbound_instances.c */
int instances_get(struct http_request *req, struct http_response *resp);
int instance_get(struct http_request *req, struct http_response *resp);
int instance_state_get(struct http_request *req, struct http_response *resp);
int instance_post(struct http_request *req, struct http_response *resp);
int instance_delete(struct http_request *req, struct http_response *resp);
/* What an agent's last report says of an instance; NULL: nothing. Borrowed; the lock is held. */
const json_t *instance_report(const struct model *model, const struct instance *instance);

/* northbound_flows.c */
int flows_get(struct http_request *req, struct http_response *resp);
int flow_lookup_get(struct http_request *req, struct http_response *resp);

/* northbound_operations.c */
int move_post(struct http_request *req, struct http_response *resp);
int operations_get(struct http_request *req, struct http_response *resp);
int operation_get(struct http_request *req, struct http_response *resp);
int operation_delete(struct http_request *req, struct http_response *resp);
/* A copy of its doc, newer than the store's while it runs. NULL: there is none, see *err. */
json_t *operation_copy(struct orchestrator *orch, const char *id, struct ff_error *err);

/* northbound_policy.c */
int policy_get(struct http_request *req, struct http_response *resp);
int policy_put(struct http_request *req, struct http_response *resp);
int policy_delete(struct http_request *req, struct http_response *resp);

/* northbound_loop.c */
int loop_get(struct http_request *req, struct http_response *resp);
int loop_post(struct http_request *req, struct http_response *resp);
int plan_get(struct http_request *req, struct http_response *resp);
int plans_get(struct http_request *req, struct http_response *resp);
int plan_one_get(struct http_request *req, struct http_response *resp);

/* northbound_metrics.c */
int metrics_get(struct http_request *req, struct http_response *resp);
