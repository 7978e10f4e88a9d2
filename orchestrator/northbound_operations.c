/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* northbound_operations.c - moves asked for; operations shown, awaited, cancelled. */
#include <errno.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "orchestrator/action.h"
#include "orchestrator/agent_client.h"
#include "orchestrator/events.h"
#include "orchestrator/migration.h"
#include "orchestrator/monitor.h"
#include "orchestrator/northbound.h"
#include "orchestrator/subject.h"

#define OPERATIONS_SHOWN_DEFAULT 50
#define OPERATIONS_SHOWN_MAX	 10000
#define WAIT_MAX_MS		 600000 /* of one request; a client asks again */
#define WAIT_STEP_MS		 1000	/* notices a client that has gone, a stopping daemon */

/* ---- a move ---------------------------------------------------------------------------------- */

/* The three that a request names; the lock is held. */
struct parties {
	struct service *service;
	struct instance *from;
	struct instance *to;
};

static int parties_find(const struct model *model, const struct move_request *request,
			struct parties *ret, struct ff_error *err)
{
	int r;

	r = model_get_service(model, request->service, &ret->service, err);
	if (r == 0)
		r = model_get_member(model, ret->service, request->from, &ret->from, err);
	if (r == 0)
		r = model_get_member(model, ret->service, request->to, &ret->to, err);
	return r;
}

/* Fetches the source's flows where the request needs them; *ret_reply NULL: it doesn't. */
static int flows_fetch(struct orchestrator *orch, const struct move_request *request,
		       json_t **ret_reply, struct ff_error *err)
{
	struct model *model = &orch->model;
	struct parties parties;
	struct host *host;
	const char *filter;
	unsigned int limit;
	bool wanted;
	int r;

	{
		MODEL_LOCKED(model);

		r = parties_find(model, request, &parties, err);
		if (r < 0)
			return r;
		wanted = request_wants_flows(request, &parties.service->table, parties.from->id,
					     &filter, &limit);
		host = model_host(model, parties.from->host);
	}
	if (!wanted)
		return 0;
	if (!host)
		return error_set(err, ENOENT, FF_CODE_REFUSED, "put it back into the configuration",
				 "the host of %s isn't in the configuration", request->from);
	return agent_flows(orch, host, request->from, filter, limit, true, ret_reply, err);
}

/* From the request to an operation that runs; the lock is held. */
static int move_start(struct orchestrator *orch, const struct move_request *request,
		      const json_t *fetched, struct operation **ret, struct ff_error *err)
{
	struct model *model = &orch->model;
	struct request_flows flows = {
		.list = json_object_get(fetched, "flows"),
		.truncated = json_is_true(json_object_get(fetched, "truncated")),
	};
	_cleanup_change_ struct change *subject = NULL;
	char note[REQUEST_NOTE_MAX];
	struct action_move move = { .guarantee = request->guarantee,
				    .on_overflow = request->on_overflow,
				    .park_limit = request->park_limit,
				    .no_precopy = request->no_precopy,
				    .note = note };
	struct parties parties;
	int r;

	r = parties_find(model, request, &parties, err);
	if (r < 0)
		return r;
	r = request_resolve(request, model, parties.service, parties.from->id,
			    fetched ? &flows : NULL, request_rules_taken(model, parties.service),
			    &subject, note, err);
	if (r < 0)
		return r;
	move.service = parties.service->id;
	move.from = parties.from->id;
	move.to = parties.to->id;
	move.subject = subject;
	r = action_move(orch, &move, ret, err);
	subject = move.subject;
	return r;
}

int move_post(struct http_request *req, struct http_response *resp)
{
	struct orchestrator *orch = req_orch(req);
	struct model *model = &orch->model;
	struct ff_error *err = resp_err(resp);
	_cleanup_json_ json_t *fetched = NULL, *answer = NULL;
	struct operation *operation = NULL;
	struct move_request request;
	char location[64];
	int r;

	r = request_parse(req_json(req), &request, err);
	if (r == 0)
		r = flows_fetch(orch, &request, &fetched, err);
	if (r < 0)
		return r;
	{
		MODEL_LOCKED(model);

		monitor_appear(orch);
		r = move_start(orch, &request, fetched, &operation, err);
		if (r < 0)
			return r;
		answer = json_deep_copy(operation->doc);
		snprintf(location, sizeof(location), "/v1/operations/%s", operation->id);
	}
	resp_header(resp, "Location", location);
	return resp_json(resp, 202, TAKE_PTR(answer));
}

/* ---- operations ------------------------------------------------------------------------------ */

/* Of those that run the store knows only what recovery needs. */
static void docs_refresh(struct model *model, json_t *docs)
{
	json_t *doc;
	size_t i;
	MODEL_LOCKED(model);

	json_array_foreach(docs, i, doc) {
		const char *id = json_string_value(json_object_get(doc, "id"));
		const struct operation *operation = id ? operation_find(model, id) : NULL;

		if (operation)
			json_array_set_new(docs, i, json_deep_copy(operation->doc));
	}
}

int operations_get(struct http_request *req, struct http_response *resp)
{
	static const char *const states[] = { "queued", "running", "completed", "rolled-back",
					      "failed" };
	const char *state = req_query(req, "state", NULL);
	struct ff_error *err = resp_err(resp);
	json_t *docs;
	int64_t limit;
	bool known = !state;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		known |= state && !strcmp(state, states[i]);
	if (!known)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
				 "one of queued, running, completed, rolled-back, failed",
				 "operations are never \"%s\"", state);
	r = req_query_int(req, "limit", 1, OPERATIONS_SHOWN_MAX, OPERATIONS_SHOWN_DEFAULT, &limit,
			  err);
	if (r == 0)
		r = store_operation_list(req_orch(req)->store, NULL, state, (unsigned int)limit,
					 &docs, err);
	if (r < 0)
		return r;
	docs_refresh(&req_orch(req)->model, docs);
	return resp_json(resp, 200, json_pack("{so}", "operations", docs));
}

/* Waits until the operation has ended or the time is over; a copy of it, or NULL if it isn't open. */
static json_t *operation_await(struct http_request *req, const char *id, unsigned int wait_ms)
{
	struct model *model = &req_orch(req)->model;
	uint64_t until_ns = clock_ns() + wait_ms * NSEC_PER_MSEC;
	const struct operation *operation;
	MODEL_LOCKED(model);

	while ((operation = operation_find(model, id))) {
		uint64_t now_ns = clock_ns();

		if (now_ns >= until_ns || model->stopping || req_client_gone(req))
			return json_deep_copy(operation->doc);
		model_wait(model,
			   MIN((until_ns - now_ns) / NSEC_PER_MSEC + 1, (uint64_t)WAIT_STEP_MS));
	}
	return NULL;
}

json_t *operation_copy(struct orchestrator *orch, const char *id, struct ff_error *err)
{
	json_t *doc = NULL;

	{
		MODEL_LOCKED(&orch->model);
		const struct operation *operation = operation_find(&orch->model, id);

		if (operation)
			doc = json_deep_copy(operation->doc);
	}
	if (!doc)
		store_operation_get(orch->store, id, &doc, err);
	return doc;
}

int operation_get(struct http_request *req, struct http_response *resp)
{
	const char *id = req_param(req, "id");
	struct ff_error *err = resp_err(resp);
	json_t *doc;
	int64_t wait_ms;
	int r;

	r = req_query_int(req, "wait_ms", 0, WAIT_MAX_MS, 0, &wait_ms, err);
	if (r < 0)
		return r;
	doc = operation_await(req, id, (unsigned int)wait_ms);
	if (!doc)
		r = store_operation_get(req_orch(req)->store, id, &doc, err);
	return r < 0 ? r : resp_json(resp, 200, doc);
}

int operation_delete(struct http_request *req, struct http_response *resp)
{
	struct orchestrator *orch = req_orch(req);
	struct model *model = &orch->model;
	const char *id = req_param(req, "id");
	struct ff_error *err = resp_err(resp);
	_cleanup_json_ json_t *doc = NULL;
	struct operation *operation;
	int r;

	{
		MODEL_LOCKED(model);

		operation = operation_find(model, id);
		if (operation) {
			r = migration_cancel(operation, err);
			if (r < 0)
				return r;
			doc = json_deep_copy(operation->doc);
		}
	}
	if (doc) {
		event_emit(orch->events, "move-cancelled", (struct event_about){ .operation = id },
			   "cancelling %s, by %s", id, req_peer(req));
		return resp_json(resp, 202, TAKE_PTR(doc));
	}
	r = store_operation_get(orch->store, id, &doc, err);
	if (r < 0)
		return r;
	return error_set(err, EPERM, FF_CODE_REFUSED, "to undo it, move the flows back",
			 "operation %s has ended: %s", id,
			 json_string_value(json_object_get(doc, "state")));
}
