/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * elasticity_upgrade.c - a service to another version of its NF, instance by instance: see
 * elasticity.h.
 *
 * One thread for each upgrade. What it has done is in its operation's doc, which is journalled before each
 * step; the steps themselves are looked up in the model before they are done, so that a step
 * which was done, but not journalled any more, isn't done twice:
 *
 *	creating	the successor's name is in the doc; is there such an instance?
 *	moving		what the old instance still owns is in its service's table
 *	retiring	is the old instance there?
 *
 * A move is an operation of its own, with a recovery of its own; it's waited for.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/driver.h"
#include "orchestrator/elasticity_upgrade.h"
#include "orchestrator/events.h"

static void tell(struct upgrade *u, const char *kind, const char *text)
{
	event_emit(u->orch->events, kind,
		   (struct event_about){ .operation = u->operation->id,
					 .service = u->service_name },
		   "upgrade %s of %s to NF %s: %s", u->operation->id, u->service_name, u->nf, text);
}

/* ---- all of them ----------------------------------------------------------------------------- */

/* Before the first move: a plan that is being carried out doesn't know of us. */
static int plans_await(struct upgrade *u, struct ff_error *err)
{
	struct model *model = &u->orch->model;
	MODEL_LOCKED(model);

	while (elasticity_plans(u->elasticity, u->service) && !upgrade_ends_soon(u))
		model_wait(model, UPGRADE_AWAIT_MS);
	return upgrade_ends_soon(u) ? upgrade_ended_early(u, err) : 0;
}

static bool runs_nf(const struct model *model, uint16_t service, const char *nf)
{
	for (size_t i = 0; i < FF_INSTANCES_MAX; i++)
		if (model->instances[i] && model->instances[i]->service == service &&
		    !model->instances[i]->standby_of && !strcmp(model->instances[i]->nf, nf))
			return true;
	return false;
}

/* New instances of the service are of @nf. The lock is held. */
static int nf_set(struct upgrade *u, const char *nf, struct ff_error *err)
{
	struct service *service = model_service(&u->orch->model, u->service);
	int r;

	if (!service)
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND, NULL,
				 "the service has been removed");
	snprintf(service->nf, sizeof(service->nf), "%s", nf);
	r = store_service_put(u->orch->store, &u->orch->model, service, err);
	model_touch(&u->orch->model);
	return r;
}

static size_t completed_count(const struct upgrade *u)
{
	size_t n = 0;

	for (size_t i = 0; i < upgrade_parts(u); i++)
		n += !strcmp(upgrade_text(u, i, "state"), "completed");
	return n;
}

static void upgrade_unlink(struct upgrade *u)
{
	struct upgrade **link = &u->elasticity->upgrades;

	while (*link != u)
		link = &(*link)->next;
	*link = u->next;
	operation_unlink(&u->orch->model, u->operation);
	u->elasticity->threads--;
}

static void end(struct upgrade *u, int r, struct ff_error *why)
{
	struct model *model = &u->orch->model;
	json_t *doc = u->operation->doc;
	struct ff_error err = { 0 };
	char text[sizeof(why->message) + 64];
	uint64_t now_ms = clock_wall_ms(), created_ms = 0;
	size_t done, all;

	model_lock(model);
	done = completed_count(u);
	all = upgrade_parts(u);
	if (r < 0)
		error_prefix(why, "%zu of %zu instances upgraded", done, all);
	snprintf(text, sizeof(text), "%s", r == 0 ? "done" : why->message);
	if (r < 0 && !runs_nf(model, u->service, u->nf))
		nf_set(u, u->nf_before, &err);
	json_put_str(doc, "state",
		     r == 0			  ? "completed" :
		     r == -ECANCELED && done == 0 ? "rolled-back" :
						    "failed");
	json_put_str(doc, "phase", "ended");
	json_opt_uint(doc, "created", &created_ms, &err); /* by whoever began it */
	json_put_uint(doc, "ended", now_ms);
	json_put_uint(doc, "total_us", (now_ms - MIN(created_ms, now_ms)) * 1000);
	if (r < 0) {
		_cleanup_json_ json_t *body = json_from_error(why);

		json_object_set(doc, "error", json_object_get(body, "error"));
	}
	if (upgrade_journal(u, &err) < 0)
		log_error("upgrade %s: not journalled: %s", u->operation->id, err.message);
	model_unlock(model);
	tell(u, "upgrade-ended", text);
	model_lock(model);
	upgrade_unlink(u);
	model_unlock(model);
}

static void upgrade_free(struct upgrade *u)
{
	if (!u)
		return;
	operation_free(u->operation);
	free(u);
}

static bool is_completed(struct upgrade *u, size_t i)
{
	MODEL_LOCKED(&u->orch->model);

	return !strcmp(upgrade_text(u, i, "state"), "completed");
}

static void *upgrade_main(void *arg)
{
	struct upgrade *u = arg;
	struct ff_error err = { 0 };
	size_t n = upgrade_parts(u); /* which instances: never changes */
	int r;

	r = plans_await(u, &err);
	if (r == 0) {
		MODEL_LOCKED(&u->orch->model);

		r = nf_set(u, u->nf, &err);
	}
	for (size_t i = 0; r == 0 && i < n; i++) {
		{
			MODEL_LOCKED(&u->orch->model);

			if (upgrade_ends_soon(u))
				r = upgrade_ended_early(u, &err);
		}
		if (r == 0 && !is_completed(u, i))
			r = upgrade_replace(u, i, &err);
	}
	if (r == -ESHUTDOWN) { /* stays open in the journal: the next orchestrator takes it up */
		MODEL_LOCKED(&u->orch->model);

		upgrade_unlink(u);
	} else {
		end(u, r, &err);
	}
	upgrade_free(u);
	return NULL;
}

/* ---- its beginning --------------------------------------------------------------------------- */

/* Links and starts it; on failure it's still the caller's. The lock is held. */
static int upgrade_run(struct upgrade *u, struct ff_error *err)
{
	struct elasticity *elasticity = u->elasticity;
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	u->next = elasticity->upgrades;
	elasticity->upgrades = u;
	elasticity->threads++;
	operation_link(&u->orch->model, u->operation);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attr, upgrade_main, u);
	pthread_attr_destroy(&attr);
	if (!r)
		return 0;
	upgrade_unlink(u);
	return error_set(err, r, FF_CODE_INTERNAL, NULL, "can't start a thread");
}

static struct upgrade *upgrade_new(struct elasticity *elasticity, struct operation *operation)
{
	struct upgrade *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->elasticity = elasticity;
	u->orch = elasticity->orch;
	u->driver = &driver_agent;
	u->operation = operation;
	return u;
}

/* What the API shows; the lock is held. */
static int doc_fill(struct upgrade *u, const struct service *service)
{
	const struct model *model = &u->orch->model;
	json_t *doc = u->operation->doc, *list = json_array();

	for (size_t i = 0; i < FF_INSTANCES_MAX; i++) {
		const struct instance *instance = model->instances[i];
		const struct host *host = instance ? model_host(model, instance->host) : NULL;

		/* a standby goes with its owner, and the successor gets one of its own */
		if (instance && instance->service == service->id && !instance->standby_of)
			json_array_append_new(list, json_pack("{ss ss sn ss s[]}", "instance",
							      instance->name, "host",
							      host ? host->name : "-", "successor",
							      "state", "queued", "moves"));
	}
	json_put_str(doc, "state", "running");
	json_put_str(doc, "phase", "running");
	json_put_str(doc, "service", service->name);
	return json_object_set_new(doc, "upgrade",
				   json_pack("{ss ss so}", "nf", u->nf, "nf_before", u->nf_before,
					     "instances", list));
}

int elasticity_upgrade(struct elasticity *elasticity, const char *service_name, const char *nf,
		       json_t **ret_doc, struct ff_error *err)
{
	struct orchestrator *orch = elasticity->orch;
	struct operation *operation;
	struct service *service;
	struct upgrade *u;
	int r;
	MODEL_LOCKED(&orch->model);

	r = model_get_service(&orch->model, service_name, &service, err);
	if (r < 0)
		return r;
	if (orch->model.stopping)
		return error_set(err, ESHUTDOWN, FF_CODE_BUSY, NULL,
				 "the orchestrator is stopping");
	if (elasticity_upgrading(elasticity, service->id))
		return error_set(err, EBUSY, FF_CODE_BUSY, "wait for its end, or cancel it",
				 "service %s is being upgraded", service_name);
	operation = operation_new("upgrade");
	u = operation ? upgrade_new(elasticity, operation) : NULL;
	if (!u) {
		operation_free(operation);
		return error_nomem(err);
	}
	snprintf(u->service_name, sizeof(u->service_name), "%s", service->name);
	snprintf(u->nf, sizeof(u->nf), "%s", nf);
	snprintf(u->nf_before, sizeof(u->nf_before), "%s", service->nf);
	u->service = service->id;
	operation->service = service->id;
	r = doc_fill(u, service) ? error_nomem(err) : upgrade_journal(u, err);
	if (r == 0)
		*ret_doc = json_deep_copy(operation->doc);
	if (r == 0)
		r = upgrade_run(u, err);
	if (r < 0)
		upgrade_free(u);
	return r;
}

int elasticity_upgrade_resume(struct elasticity *elasticity, struct operation *operation,
			      struct ff_error *err)
{
	const json_t *doc = json_object_get(operation->doc, "upgrade");
	struct upgrade *u = upgrade_new(elasticity, operation);
	const char *name, *nf, *before;
	struct service *service;
	int r;

	if (!u)
		return error_nomem(err);
	r = json_get_str(operation->doc, "service", &name, err);
	if (r == 0)
		r = json_get_str(doc, "nf", &nf, err);
	if (r == 0)
		r = json_get_str(doc, "nf_before", &before, err);
	if (r == 0)
		r = model_get_service(&elasticity->orch->model, name, &service, err);
	if (r == 0) {
		snprintf(u->service_name, sizeof(u->service_name), "%s", name);
		snprintf(u->nf, sizeof(u->nf), "%s", nf);
		snprintf(u->nf_before, sizeof(u->nf_before), "%s", before);
		u->service = operation->service = service->id;
		r = upgrade_run(u, err);
	}
	if (r < 0)
		free(u); /* the operation is the caller's */
	return r;
}

bool elasticity_upgrading(const struct elasticity *elasticity, uint16_t service)
{
	for (const struct upgrade *u = elasticity->upgrades; u; u = u->next)
		if (u->service == service)
			return true;
	return false;
}
