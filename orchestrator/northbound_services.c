/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* northbound_services.c - services: shown, created, removed, upgraded. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/match.h"
#include "orchestrator/desired.h"
#include "orchestrator/elasticity.h"
#include "orchestrator/events.h"
#include "orchestrator/gather.h"
#include "orchestrator/monitor.h"
#include "orchestrator/northbound.h"
#include "orchestrator/protection.h"
#include "orchestrator/settings.h"

/* ---- shown ----------------------------------------------------------------------------------- */

/* What its policy promises for the case that a host dies, and how much of it is so now. */
static json_t *protect_json(const struct orchestrator *orch, const struct service *service)
{
	unsigned int owners, missing;

	if (!service_is_protected(service))
		return json_null();
	missing = protection_missing(orch, service, &owners);
	return json_pack("{si si si}", "lag_ms", (int)service->policy.protect.lag_ms, "owners",
			 (int)owners, "protected", (int)(owners - missing));
}

/* With what is measured of each, as far as it can be told. */
static json_t *rules_json(const struct orchestrator *orch, const struct service *service)
{
	json_t *rules = owners_rules_json(&service->table, &orch->model), *item;
	uint64_t now_ns = clock_ns();
	size_t i;

	json_array_foreach(rules, i, item) {
		json_int_t index = json_integer_value(json_object_get(item, "index"));
		struct rule_load load = { .index = (uint16_t)index,
					  .owner = service->table.rules[index].instance };

		gather_rule(orch, service, now_ns, &load);
		json_put(item, "packets_per_s",
			 load.valid ? json_real(load.packets_per_s) : json_null());
		json_put(item, "flows",
			 load.valid ? json_integer((json_int_t)load.flows) : json_null());
	}
	return rules;
}

static json_t *service_json(const struct orchestrator *orch, const struct service *service)
{
	const struct model *model = &orch->model;
	json_t *instances = json_array();

	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++)
		if (model->instances[i] && model->instances[i]->service == service->id)
			json_array_append_new(instances, json_string(model->instances[i]->name));
	return json_pack("{ss si ss si ss sO sI so so sI so sI so so}", "name", service->name, "id",
			 service->id, "nf", service->nf, "slots", (int)service->table.slots,
			 "class", service->class, "config", service->config, "capacity",
			 (json_int_t)service->capacity, "instances", instances, "policy",
			 service->governed ? json_string(policy_mode_name(service->policy.mode)) :
					     json_null(),
			 "pins", (json_int_t)service->table.pins_n, "rules",
			 rules_json(orch, service), "table_version",
			 (json_int_t)service->table.version, "protect", protect_json(orch, service),
			 "lease_ms",
			 service_is_fenced(service) ?
				 json_integer(service->policy.partition.lease_ms) :
				 json_null());
}

int services_get(struct http_request *req, struct http_response *resp)
{
	struct model *model = &req_orch(req)->model;
	json_t *list = json_array();
	MODEL_LOCKED(model);

	for (unsigned int i = 0; i < FF_SERVICES_MAX; i++)
		if (model->services[i])
			json_array_append_new(list,
					      service_json(req_orch(req), model->services[i]));
	return resp_json(resp, 200, json_pack("{so}", "services", list));
}

int service_get(struct http_request *req, struct http_response *resp)
{
	struct model *model = &req_orch(req)->model;
	struct service *service;
	int r;
	MODEL_LOCKED(model);

	r = model_get_service(model, req_param(req, "service"), &service, resp_err(resp));
	if (r < 0)
		return r;
	return resp_json(resp, 200, service_json(req_orch(req), service));
}

int service_table_get(struct http_request *req, struct http_response *resp)
{
	struct model *model = &req_orch(req)->model;
	struct service *service;
	int r;
	MODEL_LOCKED(model);

	r = model_get_service(model, req_param(req, "service"), &service, resp_err(resp));
	if (r < 0)
		return r;
	return resp_json(resp, 200,
			 json_pack("{ss si sI so so so}", "service", service->name, "slots",
				   (int)service->table.slots, "version",
				   (json_int_t)service->table.version, "owners",
				   owners_slots_json(&service->table, model), "pins",
				   owners_pins_json(&service->table, model, OWNERS_PINS_MAX),
				   "rules", owners_rules_json(&service->table, model)));
}

/* ---- created --------------------------------------------------------------------------------- */

static int class_check(const char *class, struct ff_error *err)
{
	struct ff_match match;
	bool exact;
	int r;

	r = match_from_text(class, &match, &exact, err);
	if (r < 0)
		return r;
	if (!exact)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
				 "a conjunction of protocol, prefixes and ports, or \"\" for all",
				 "\"%s\" is more than the data path can tell packets by", class);
	return 0;
}

/* Makes the service in the model, without instances; the lock is held. */
static int service_make(struct model *model, const json_t *body, struct service **ret,
			struct ff_error *err)
{
	static const char *const fields[] = { "name",	"nf",	    "slots",	 "class",
					      "config", "capacity", "instances", NULL };
	int64_t slots = MODEL_SLOTS_DEFAULT, capacity = MODEL_CAPACITY_DEFAULT;
	const char *name, *nf, *class = "";
	struct service *service;
	json_t *config = NULL;
	int r;

	r = json_check_fields(body, fields, err);
	if (r == 0)
		r = json_get_str(body, "name", &name, err);
	if (r == 0)
		r = name_check("service", name, err);
	if (r == 0)
		r = json_get_str(body, "nf", &nf, err);
	if (r == 0)
		r = name_check("network function", nf, err);
	if (r == 0)
		r = json_opt_range(body, "slots", 1, FF_SLOTS_MAX, &slots, err);
	if (r == 0)
		r = json_opt_str(body, "class", &class, err);
	if (r == 0)
		r = class_check(class, err);
	if (r == 0)
		r = json_opt_object(body, "config", &config, err);
	if (r == 0)
		r = json_opt_range(body, "capacity", 1, MODEL_CAPACITY_MAX, &capacity, err);
	if (r == 0)
		r = model_add_service(model, name, (uint32_t)slots, &service, err);
	if (r < 0)
		return r;
	snprintf(service->nf, sizeof(service->nf), "%s", nf);
	service->capacity = capacity;
	service->class = strdup(class);
	service->config = config ? json_incref(config) : json_object();
	if (!service->class || !service->config) {
		model_remove_service(model, service);
		return error_nomem(err);
	}
	*ret = service;
	return 0;
}

static int instances_make(struct model *model, const json_t *body, const struct service *service,
			  uint16_t *ret_ids, size_t *ret_n, struct ff_error *err)
{
	json_t *list = NULL, *item;
	size_t i;
	int r;

	r = json_opt_array(body, "instances", &list, err);
	if (r < 0)
		return r;
	if (json_array_size(list) > service->table.slots)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "more slots, or fewer instances",
				 "%zu instances can't share %u slots", json_array_size(list),
				 service->table.slots);
	json_array_foreach(list, i, item) {
		static const char *const fields[] = { "name", "host", NULL };
		struct instance *instance;
		const char *name, *on;
		struct host *host;

		r = json_check_fields(item, fields, err);
		if (r == 0)
			r = json_get_str(item, "name", &name, err);
		if (r == 0)
			r = name_check("instance", name, err);
		if (r == 0)
			r = json_get_str(item, "host", &on, err);
		if (r == 0)
			r = model_get_host(model, on, &host, err);
		if (r == 0)
			r = model_add_instance(model, name, service->id, host->id, &instance, err);
		if (r < 0)
			return r;
		ret_ids[(*ret_n)++] = instance->id;
	}
	return 0;
}

/* What is left of one that isn't in the store any more. */
static void service_forget(struct orchestrator *orch, struct service *service)
{
	struct model *model = &orch->model;
	struct ff_error err = { 0 };

	if (service->governed && settings_policy(orch, service, NULL, &err) < 0)
		log_error("%s", err.message);
	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++)
		if (model->instances[i] && model->instances[i]->service == service->id)
			model_remove_instance(model, model->instances[i]);
	model_remove_service(model, service);
	model_touch(model);
}

static void service_unmake(struct orchestrator *orch, struct service *service)
{
	struct ff_error err = { 0 };

	if (store_service_delete(orch->store, service->id, &err) < 0)
		log_error("%s", err.message);
	service_forget(orch, service);
}

/* Every host that gets an instance must accept it: an NF that doesn't exist shows here. */
static int hosts_accept(struct orchestrator *orch, uint16_t service, struct ff_error *err)
{
	struct model *model = &orch->model;
	int r;

	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++) {
		const struct instance *instance = model->instances[i];

		if (!instance || instance->service != service)
			continue;
		r = monitor_settle_instance(orch, instance->id, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * The instances first, without owners: no packet is steered to a host that doesn't have them yet.
 * The lock is dropped while waiting, so the service is looked up again.
 */
static int service_start(struct orchestrator *orch, uint16_t id, const uint16_t *instances,
			 size_t n, struct ff_error *err)
{
	struct model *model = &orch->model;
	struct service *service;
	int r;

	model_touch(model);
	r = hosts_accept(orch, id, err);
	service = model_service(model, id);
	if (!service)
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND, NULL,
				 "the service was removed while it was made");
	if (r == 0 && n)
		owners_spread(&service->table, instances, n);
	if (r == 0)
		r = store_service_put(orch->store, model, service, err);
	if (r < 0) {
		service_unmake(orch, service);
		/* a host may be at it once more: nothing of it is left when the refusal is told */
		monitor_settle(orch, NULL, NULL);
		return r;
	}
	model_touch(model);
	return monitor_settle(orch, NULL, err);
}

/* With the lock held. *ret_answer: the service as it is then shown. */
static int service_create(struct orchestrator *orch, const json_t *body, json_t **ret_answer,
			  struct ff_error *err)
{
	struct model *model = &orch->model;
	uint16_t instances[FF_INSTANCES_MAX];
	struct service *service = NULL;
	size_t n = 0;
	uint16_t id;
	int r;

	r = service_make(model, body, &service, err);
	if (r < 0)
		return r;
	id = service->id;
	/* there is one if the removal of another one of that name was cut short */
	r = settings_policy(orch, service, NULL, err);
	if (r == 0)
		r = instances_make(model, body, service, instances, &n, err);
	if (r < 0) {
		service_unmake(orch, service);
		return r;
	}
	r = service_start(orch, id, instances, n, err);
	if (r < 0)
		return r;
	service = model_service(model, id);
	if (service)
		*ret_answer = service_json(orch, service);
	return 0;
}

int service_post(struct http_request *req, struct http_response *resp)
{
	struct orchestrator *orch = req_orch(req);
	const json_t *body = req_json(req);
	json_t *answer = NULL;
	char location[64];
	const char *name;
	int r;

	model_lock(&orch->model);
	r = service_create(orch, body, &answer, resp_err(resp));
	model_unlock(&orch->model);
	if (r < 0)
		return r;
	name = json_string_value(json_object_get(body, "name"));
	event_emit(orch->events, "service-created", (struct event_about){ .service = name },
		   "service %s created with %zu instances, by %s", name,
		   json_array_size(json_object_get(answer, "instances")), req_peer(req));
	snprintf(location, sizeof(location), "/v1/services/%.*s", FF_NAME_MAX, name);
	resp_header(resp, "Location", location);
	return resp_json(resp, 201, answer);
}

/* ---- removed --------------------------------------------------------------------------------- */

int service_delete(struct http_request *req, struct http_response *resp)
{
	struct orchestrator *orch = req_orch(req);
	struct model *model = &orch->model;
	const char *name = req_param(req, "service");
	struct ff_error *err = resp_err(resp);
	struct service *service;
	int r;

	{
		MODEL_LOCKED(model);

		r = model_get_service(model, name, &service, err);
		if (r < 0)
			return r;
		if (elasticity_busy(orch->elasticity, service->id))
			return error_set(err, EBUSY, FF_CODE_BUSY,
					 "pause the loop, or wait for its end",
					 "a plan of service %s is being carried out", name);
		for (struct operation *operation = model->operations; operation;
		     operation = operation->next)
			if (operation->service == service->id)
				return error_set(err, EBUSY, FF_CODE_BUSY,
						 "wait for it, or cancel it",
						 "operation %s of service %s is running",
						 operation->id, name);
		/* first of all: what the store keeps would be back after a restart */
		r = store_service_delete(orch->store, service->id, err);
		if (r < 0)
			return r;
		service_forget(orch, service);
		monitor_settle(orch, NULL, err);
	}
	event_emit(orch->events, "service-removed", (struct event_about){ .service = name },
		   "service %s removed, by %s", name, req_peer(req));
	return resp_empty(resp, 204);
}

/* ---- upgraded -------------------------------------------------------------------------------- */

int upgrade_post(struct http_request *req, struct http_response *resp)
{
	static const char *const fields[] = { "nf", NULL };
	struct orchestrator *orch = req_orch(req);
	const char *service = req_param(req, "service"), *nf;
	struct ff_error *err = resp_err(resp);
	json_t *answer = NULL;
	char location[64];
	int r;

	r = json_check_fields(req_json(req), fields, err);
	if (r == 0)
		r = json_get_str(req_json(req), "nf", &nf, err);
	if (r == 0)
		r = name_check("network function", nf, err);
	if (r == 0)
		r = elasticity_upgrade(orch->elasticity, service, nf, &answer, err);
	if (r < 0)
		return r;
	event_emit(orch->events, "upgrade-started", (struct event_about){ .service = service },
		   "service %s is upgraded to NF %s, by %s", service, nf, req_peer(req));
	snprintf(location, sizeof(location), "/v1/operations/%s",
		 json_string_value(json_object_get(answer, "id")));
	resp_header(resp, "Location", location);
	return resp_json(resp, 202, answer);
}
