/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* failover_lease.c - renews the leases of hosts that talk, where a policy says `fence`. */
#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/failover_internal.h"
#include "orchestrator/samples.h"

#define LEASE_CALL_MS 500

/* The services that are fenced and have an instance on the host; *ret_least_ms: the shortest lease. */
static json_t *leases_list(const struct model *model, uint16_t host,
			   bool ret_listed[FF_SERVICES_MAX], uint32_t *ret_least_ms)
{
	json_t *list = json_array();

	*ret_least_ms = UINT32_MAX;
	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++) {
		const struct instance *instance = model->instances[i];
		const struct service *service;

		if (!instance || instance->host != host || ret_listed[instance->service])
			continue;
		service = model_service(model, instance->service);
		if (!service_is_fenced(service))
			continue;
		ret_listed[instance->service] = true;
		*ret_least_ms = MIN(*ret_least_ms, service->policy.partition.lease_ms);
		json_array_append_new(list, json_pack("{si si}", "id", service->id, "lease_ms",
						      (int)service->policy.partition.lease_ms));
	}
	return list;
}

/*
 * A lease is the service's, not an instance's: with it a host that still has its old table would go on
 * with what others own by now.
 */
static bool is_up_to_date(struct failover *f, const struct host *host)
{
	if (host->pushed >= f->taken[host->id])
		f->taken[host->id] = 0;
	return !f->taken[host->id];
}

/* The lock is held: once a host is found dead nothing is renewed any more. */
static json_t *lease_make(struct watch *watch, const struct host *host, uint64_t now_ns)
{
	struct failover *f = watch->f;
	const struct model *model = &f->orch->model;
	struct samples_clock clock = samples_clock(f->orch->samples, host);
	_cleanup_json_ json_t *list = NULL;
	bool listed[FF_SERVICES_MAX] = { false };
	uint32_t least_ms;

	lease_told(&f->leases, host->id, host->pushed);
	if (f->dead[host->id] || !host->up || !is_up_to_date(f, host))
		return NULL;
	list = leases_list(model, host->id, listed, &least_ms);
	if (!json_array_size(list) ||
	    !lease_is_due(&f->leases, host->id, clock.came_ns, least_ms, now_ns))
		return NULL;
	lease_note(&f->leases, host->id, clock.came_ns, now_ns);
	for (uint16_t id = 0; id < FF_SERVICES_MAX; id++)
		if (listed[id])
			lease_grant(&f->leases, host->id, id, clock.came_ns,
				    model_service(model, id)->policy.partition.lease_ms);
	return json_pack("{sI sO}", "heard_ns", (json_int_t)clock.host_ns, "services", list);
}

void leases_renew(struct watch *watch, uint64_t now_ns)
{
	struct orchestrator *orch = watch->f->orch;
	struct http_completion done;

	for (size_t i = 0; i < orch->model.hosts_n; i++) {
		struct host *host = &orch->model.hosts[i];
		_cleanup_json_ json_t *body = NULL;
		struct ff_error err = { 0 };
		{
			MODEL_LOCKED(&orch->model);

			body = lease_make(watch, host, now_ns);
		}
		if (body && http_multi_start(watch->multi, host->client, "POST", "/v1/lease", body,
					     orch->headers, LEASE_CALL_MS, host, &err) < 0)
			log_warn("host %s: lease not renewed: %s", host->name, err.message);
	}
	while (http_multi_in_flight(watch->multi) && http_multi_wait(watch->multi, 0, &done) > 0) {
		if (done.result < 0)
			log_debug("lease not renewed: %s", done.error.message);
		json_decref(done.reply);
	}
}
