/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* settings.c - see settings.h. */
#include "orchestrator/settings.h"

#include "lib/clock.h"
#include "lib/json.h"
#include "orchestrator/failover.h"

#define KEY_MAX (FF_NAME_MAX + 16)

/* ---- policies -------------------------------------------------------------------------------- */

static void policy_key(const struct service *service, char ret_key[KEY_MAX])
{
	snprintf(ret_key, KEY_MAX, "policy/%s", service->name);
}

static bool has_standby(const struct model *model, const struct service *service)
{
	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++)
		if (model->instances[i] && model->instances[i]->service == service->id &&
		    model->instances[i]->standby_of)
			return true;
	return false;
}

static int policy_load_stored(struct orchestrator *orch, struct service *service,
			      struct ff_error *err)
{
	_cleanup_json_ json_t *json = NULL;
	char key[KEY_MAX];
	int r;

	policy_key(service, key);
	r = store_setting_get(orch->store, key, &json, err);
	if (r < 0 || !json)
		return r;
	r = policy_from_json(json, &service->policy, err);
	if (r < 0) {
		error_prefix(err, "the stored policy of service %s", service->name);
		return r;
	}
	service->governed = true;
	service->upheld = service->policy.mode == POLICY_ACT || has_standby(&orch->model, service);
	return 0;
}

/* Nobody is there any more to go on with them. */
static int retirements_end(struct orchestrator *orch, const struct service *service,
			   struct ff_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < FF_INSTANCES_MAX; i++) {
		struct instance *instance = orch->model.instances[i];

		if (instance && instance->service == service->id)
			r = settings_retire(orch, instance, false, err);
	}
	return r;
}

int settings_policy(struct orchestrator *orch, struct service *service, const struct policy *policy,
		    struct ff_error *err)
{
	_cleanup_json_ json_t *json = policy ? policy_to_json(policy) : NULL;
	char key[KEY_MAX];
	bool fenced;
	int r;

	if (policy && !json)
		return error_nomem(err);
	policy_key(service, key);
	r = store_setting_put(orch->store, key, json, err);
	if (r < 0)
		return r;
	fenced = service_is_fenced(service);
	service->upheld = policy &&
			  (policy->mode == POLICY_ACT || (service->governed && service->upheld));
	service->governed = policy != NULL;
	if (policy)
		service->policy = *policy;
	else
		r = retirements_end(orch, service, err);
	model_touch(&orch->model); /* heartbeats, lag and lease follow from policies */
	if (!fenced && service_is_fenced(service))
		failover_fence(orch, service->id);
	return r;
}

/* ---- drains ---------------------------------------------------------------------------------- */

static void drain_key(const struct host *host, char ret_key[KEY_MAX])
{
	snprintf(ret_key, KEY_MAX, "drain/%s", host->name);
}

static int drain_load(struct orchestrator *orch, struct host *host, struct ff_error *err)
{
	_cleanup_json_ json_t *json = NULL;
	char key[KEY_MAX];
	int r;

	drain_key(host, key);
	r = store_setting_get(orch->store, key, &json, err);
	if (r < 0 || !json)
		return r;
	r = json_get_uint(json, "since_ms", &host->drain_since_ms, err);
	if (r == 0)
		r = json_get_uint(json, "deadline_ms", &host->drain_deadline_ms, err);
	host->draining = r == 0;
	return r;
}

int settings_drain(struct orchestrator *orch, struct host *host, bool draining, uint64_t within_ms,
		   struct ff_error *err)
{
	uint64_t now_ms = clock_wall_ms(),
		 since_ms = host->draining ? host->drain_since_ms : now_ms;
	uint64_t deadline_ms = within_ms ? now_ms + within_ms : 0;
	_cleanup_json_ json_t *json = NULL;
	char key[KEY_MAX];
	int r;

	if (draining) {
		json = json_object();
		if (json_put_uint(json, "since_ms", since_ms) < 0 ||
		    json_put_uint(json, "deadline_ms", deadline_ms) < 0)
			return error_nomem(err);
	}
	drain_key(host, key);
	r = store_setting_put(orch->store, key, json, err);
	if (r < 0)
		return r;
	host->drain_told_empty = host->draining && draining && host->drain_told_empty;
	host->drain_told_late = false;
	host->draining = draining;
	host->drain_since_ms = draining ? since_ms : 0;
	host->drain_deadline_ms = draining ? deadline_ms : 0;
	return 0;
}

/* ---- instances that are retired, with patience ------------------------------------------------ */

static void retire_key(const struct instance *instance, char ret_key[KEY_MAX])
{
	snprintf(ret_key, KEY_MAX, "retire/%s", instance->name);
}

static int retire_load(struct orchestrator *orch, struct instance *instance, struct ff_error *err)
{
	_cleanup_json_ json_t *json = NULL;
	char key[KEY_MAX];
	uint16_t id;
	int r;

	retire_key(instance, key);
	r = store_setting_get(orch->store, key, &json, err);
	if (r < 0 || !json)
		return r;
	r = json_get_u16(json, "id", &id, err);
	if (r == 0 && id != instance->id) /* another one that had its name */
		return 0;
	return r < 0 ? r : json_get_uint(json, "since_ms", &instance->retiring_ms, err);
}

int settings_retire(struct orchestrator *orch, struct instance *instance, bool retiring,
		    struct ff_error *err)
{
	uint64_t since_ms = retiring ? instance->retiring_ms ?: clock_wall_ms() : 0;
	_cleanup_json_ json_t *json = NULL;
	char key[KEY_MAX];
	int r;

	if (since_ms == instance->retiring_ms)
		return 0;
	if (retiring) {
		json = json_object();
		if (json_put_uint(json, "since_ms", since_ms) < 0 ||
		    json_put_uint(json, "id", instance->id) < 0)
			return error_nomem(err);
	}
	retire_key(instance, key);
	r = store_setting_put(orch->store, key, json, err);
	if (r == 0)
		instance->retiring_ms = since_ms;
	return r;
}

int settings_load(struct orchestrator *orch, struct ff_error *err)
{
	struct model *model = &orch->model;
	int r = 0;

	for (size_t i = 0; r == 0 && i < FF_SERVICES_MAX; i++)
		if (model->services[i])
			r = policy_load_stored(orch, model->services[i], err);
	for (size_t i = 0; r == 0 && i < model->hosts_n; i++)
		r = drain_load(orch, &model->hosts[i], err);
	for (size_t i = 0; r == 0 && i < FF_INSTANCES_MAX; i++)
		if (model->instances[i])
			r = retire_load(orch, model->instances[i], err);
	return r;
}
