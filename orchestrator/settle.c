/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* settle.c - see settle.h. Runs in the host's monitor thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/agent_client.h"
#include "orchestrator/events.h"
#include "orchestrator/migration.h"
#include "orchestrator/settle.h"

/* ---- moves ---------------------------------------------------------------------------------- */

static bool is_driven(struct orchestrator *orch, const char *id)
{
	MODEL_LOCKED(&orch->model);

	return operation_find(&orch->model, id);
}

static int post(struct orchestrator *orch, struct host *host, const char *id, const char *call,
		json_t *body, struct ff_error *err)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "/v1/moves/%s/%s", id, call) < 0)
		return error_nomem(err);
	return agent_call(orch, host, "POST", path, body, MIGRATION_SETTLE_MS, NULL, err);
}

/* The move ended without this host: it must not keep anything of it. */
static int settle_move(struct orchestrator *orch, struct host *host, const char *id,
		       const json_t *move, struct ff_error *err)
{
	const char *source = json_string_value(json_object_get(move, "source_phase")) ?: "none";
	const char *phase = json_string_value(json_object_get(move, "phase")) ?: "none";
	_cleanup_json_ json_t *doc = NULL, *request = NULL, *body = NULL;
	bool completed;
	int r;

	r = store_operation_request(orch->store, id, &doc, &request, err);
	if (r < 0 && r != -ENOENT)
		return r;
	completed = r == 0 &&
		    !strcmp(json_string_value(json_object_get(doc, "state")) ?: "", "completed");
	if (completed) {
		body = migration_end_body(orch, migration_finish_body(request));
		r = post(orch, host, id, "finish", body, err);
		/* a prepare that came late, after the end: there is nothing to finish */
		if (r >= 0 || strcmp(err->code, FF_CODE_REFUSED) != 0 ||
		    strcmp(phase, "prepared") != 0 ||
		    (strcmp(source, "none") != 0 && strcmp(source, "prepared") != 0))
			return r;
	}
	/* it has taken its flows back, and parks them still */
	if (!strcmp(source, "holding")) {
		json_decref(body);
		body = json_pack("{sb}", "fence", 0);
		r = post(orch, host, id, "resume", body, err);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	/* the source has the flows: a target that committed unheard doesn't, any more */
	json_decref(body);
	body = migration_end_body(orch, json_pack("{sb}", "force", !completed));
	return post(orch, host, id, "abort", body, err);
}

int host_settle(struct orchestrator *orch, struct host *host, const json_t *report)
{
	const json_t *move;
	int settled = 0, failed = 0;
	size_t i;

	json_array_foreach(json_object_get(report, "moves"), i, move) {
		const char *id = json_string_value(json_object_get(move, "id"));
		struct ff_error err = { 0 };

		if (!id || is_driven(orch, id))
			continue;
		if (settle_move(orch, host, id, move, &err) < 0 && err.err != -ENOENT) {
			log_warn("move %s is not settled: %s", id, err.message);
			failed = err.err;
			continue;
		}
		settled++;
		event_emit(orch->events, "move-settled",
			   (struct event_about){ .operation = id, .host = host->name },
			   "host %s has settled move %s, which ended without it", host->name, id);
	}
	return failed ? failed : settled;
}

/* ---- pins ----------------------------------------------------------------------------------- */

/* The instances of the host that have pins: numbers; the lock isn't held afterwards. */
static size_t pinned_instances(struct orchestrator *orch, const struct host *host,
			       struct instance *ret, size_t max)
{
	struct model *model = &orch->model;
	size_t n = 0;
	MODEL_LOCKED(model);

	for (unsigned int i = 0; i < FF_INSTANCES_MAX && n < max; i++) {
		const struct instance *instance = model->instances[i];
		const struct service *service;
		unsigned int slots, rules;
		size_t pins;

		if (!instance || instance->host != host->id)
			continue;
		service = model_service(model, instance->service);
		if (!service || !service->table.pins_n)
			continue;
		owners_count(&service->table, instance->id, &slots, &pins, &rules);
		if (pins)
			ret[n++] = *instance;
	}
	return n;
}

/* A pin that an operation is moving stays: the operation has its own idea of who owns it. */
static bool pin_is_moving(const struct model *model, const struct service *service,
			  const struct ff_flow_key *key)
{
	struct change one = { .flows = (struct ff_flow_key *)key, .flows_n = 1 };

	for (const struct operation *operation = model->operations; operation;
	     operation = operation->next)
		if (operation->service == service->id &&
		    change_overlaps(&service->table, &one, operation->subject))
			return true;
	return false;
}

static void pins_remove(struct orchestrator *orch, const struct instance *instance,
			const json_t *flows)
{
	struct model *model = &orch->model;
	_cleanup_free_ struct ff_flow_key *keys = calloc(json_array_size(flows) + 1, sizeof(*keys));
	struct ff_error err = { 0 };
	struct service *service;
	const json_t *item;
	size_t n = 0, i;
	MODEL_LOCKED(model);

	service = model_service(model, instance->service);
	if (!service || !keys)
		return;
	json_array_foreach(flows, i, item) {
		const char *text = agent_flow_text(item);

		if (text && flow_parse(text, &keys[n]) == 0 &&
		    !pin_is_moving(model, service, &keys[n]))
			n++;
	}
	n = owners_unpin(&service->table, keys, n, instance->id);
	if (!n)
		return;
	if (store_owners_put(orch->store, service, &err) < 0)
		log_error("%s", err.message);
	model_touch(model);
	log_debug("%zu pins to %s had no flow any more", n, instance->name);
}

void pins_collect(struct orchestrator *orch, struct host *host)
{
	struct instance pinned[16]; /* the others' turn comes when these have no pins left */
	size_t n = pinned_instances(orch, host, pinned, ARRAY_SIZE(pinned));

	for (size_t i = 0; i < n; i++) {
		_cleanup_json_ json_t *reply = NULL;
		struct ff_error err = { 0 };
		char path[128];

		snprintf(path, sizeof(path), "/v1/pins/dead?instance=%.*s", FF_NAME_MAX,
			 pinned[i].name);
		if (agent_call(orch, host, "GET", path, NULL, AGENT_PUSH_MS, &reply, &err) < 0) {
			log_debug("%s", err.message);
			continue;
		}
		pins_remove(orch, &pinned[i], json_object_get(reply, "flows"));
	}
}
