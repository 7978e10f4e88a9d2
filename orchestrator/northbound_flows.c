/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* northbound_flows.c - flows: the agents have them, the orchestrator knows whose they are and why. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/filter.h"
#include "lib/flow.h"
#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/agent_client.h"
#include "orchestrator/northbound.h"

#define FLOWS_LIMIT_DEFAULT 100
#define FLOWS_LIMIT_MAX	    1000000 /* about 300 MB of JSON: what somebody insists on */

/* A copy of what is needed of an instance while the lock isn't held. */
struct place {
	char name[FF_NAME_MAX];
	uint16_t id;
	uint16_t service;
	struct host *host;
	bool down; /* the host; asking would take its time for each instance */
};

static const char *how_name(enum owners_how how)
{
	return how == OWNERS_PIN ? "pin" : how == OWNERS_RULE ? "rule" : "slot";
}

/* ---- the operation that brought a flow here -------------------------------------------------- */

/* The agent knows the token only. NULL: born here, or the operation is forgotten. */
static json_t *moved_by(struct orchestrator *orch, const json_t *flow)
{
	const json_t *token = json_object_get(flow, "moved_by");
	struct ff_error err = { 0 };
	json_t *doc = NULL;
	uint64_t number;

	number = json_is_string(token) ? strtoull(json_string_value(token), NULL, 16) :
					 (uint64_t)json_integer_value(token);
	if (!number || store_operation_by_token(orch->store, number, &doc, &err) < 0)
		return NULL;
	return doc;
}

static void put_copy(json_t *to, const json_t *from, const char *key)
{
	json_t *value = json_object_get(from, key);

	json_object_set_new(to, key, value ? json_incref(value) : json_null());
}

/* Says of a flow what only the table knows; the lock is held. */
static void flow_annotate(const struct model *model, uint16_t id, const char *text, json_t *flow)
{
	const struct service *service = model_service(model, id);
	const struct instance *owner;
	const struct host *host;
	struct ff_flow_key key;
	enum owners_how how;

	if (!service || flow_parse(text, &key) < 0)
		return;
	owner = model_instance(model, owners_find(&service->table, &key, &how, NULL));
	host = owner ? model_host(model, owner->host) : NULL;
	json_put_str(flow, "flow", text);
	json_put_str(flow, "service", service->name);
	json_put_str(flow, "instance", owner ? owner->name : NULL);
	json_put_str(flow, "host", host ? host->name : NULL);
	json_put_int(flow, "slot", owners_slot(&service->table, &key));
	json_put_str(flow, "how", how_name(how));
}

/* ---- list ------------------------------------------------------------------------------------ */

/* The instances that the query asks for. */
static int places_find(struct orchestrator *orch, const struct http_request *req,
		       struct place **ret, size_t *ret_n, struct ff_error *err)
{
	struct model *model = &orch->model;
	const char *service_name = req_query(req, "service", NULL);
	const char *instance_name = req_query(req, "instance", NULL);
	_cleanup_free_ struct place *places = calloc(FF_INSTANCES_MAX, sizeof(*places));
	struct service *service = NULL;
	struct instance *only = NULL;
	int r = 0;
	MODEL_LOCKED(model);

	if (!places)
		return error_nomem(err);
	if (service_name)
		r = model_get_service(model, service_name, &service, err);
	if (r == 0 && instance_name)
		r = service ? model_get_member(model, service, instance_name, &only, err) :
			      model_get_instance(model, instance_name, &only, err);
	if (r < 0)
		return r;
	*ret_n = 0;
	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++) {
		const struct instance *instance = model->instances[i];
		struct place *place = &places[*ret_n];

		/* copies are shown where they are asked for by name */
		if (!instance || (only ? instance != only : instance->standby_of != 0) ||
		    (service && instance->service != service->id))
			continue;
		memcpy(place->name, instance->name, sizeof(place->name));
		place->id = instance->id;
		place->service = instance->service;
		place->host = model_host(model, instance->host);
		place->down = place->host && !place->host->up;
		(*ret_n)++;
	}
	*ret = TAKE_PTR(places);
	return 0;
}

static void flows_add(struct orchestrator *orch, const struct place *place, const json_t *list,
		      json_t *flows)
{
	_cleanup_json_ json_t *id = NULL, *last_token = NULL;
	json_t *flow;
	size_t i;
	MODEL_LOCKED(&orch->model);

	json_array_foreach(list, i, flow) {
		json_t *token = json_object_get(flow, "moved_by");
		const char *text = agent_flow_text(flow);

		if (!text || !json_is_object(flow))
			continue;
		/* neighbours in a list have mostly come with the same move */
		if (!json_equal(token, last_token)) {
			_cleanup_json_ json_t *doc = moved_by(orch, flow);

			json_decref(id);
			id = doc ? json_incref(json_object_get(doc, "id")) : NULL;
			json_decref(last_token);
			last_token = json_incref(token);
		}
		json_object_set_new(flow, "moved_by", id ? json_incref(id) : json_null());
		flow_annotate(&orch->model, place->service, text, flow);
		/* where its state is: during a move not yet, or no longer, its owner's */
		json_put_str(flow, "instance", place->name);
		json_put_str(flow, "host", place->host->name);
		json_array_append(flows, flow);
	}
}

static int place_flows(struct orchestrator *orch, const struct place *place, const char *filter,
		       json_int_t limit, json_t *answer, struct ff_error *err)
{
	json_t *flows = json_object_get(answer, "flows");
	_cleanup_json_ json_t *reply = NULL;
	json_int_t scanned = json_integer_value(json_object_get(answer, "scanned"));
	int r;

	if (!place->host)
		return 0;
	if (place->down)
		return error_set(err, EHOSTUNREACH, FF_CODE_UNREACHABLE,
				 "start its agent, or look at its log", "host %s is down",
				 place->host->name);
	r = agent_flows(orch, place->host, place->name, filter, (unsigned int)limit, false, &reply,
			err);
	if (r < 0)
		return r;
	flows_add(orch, place, json_object_get(reply, "flows"), flows);
	json_put_int(answer, "scanned",
		     scanned + json_integer_value(json_object_get(reply, "scanned")));
	if (json_is_true(json_object_get(reply, "truncated")))
		json_put_bool(answer, "truncated", true);
	return 0;
}

/* One that can't be asked doesn't hide what others have; who asked for it alone gets the error. */
static int places_flows(struct orchestrator *orch, const struct place *places, size_t n,
			const char *filter, int64_t limit, json_t *answer, struct ff_error *err)
{
	json_t *unreachable = json_object_get(answer, "unreachable");

	for (size_t i = 0; i < n; i++) {
		json_int_t left = limit - json_array_size(json_object_get(answer, "flows"));
		struct ff_error gap = {};
		int r;

		if (left <= 0) {
			json_put_bool(answer, "truncated", true);
			return 0;
		}
		r = place_flows(orch, &places[i], filter, left, answer, &gap);
		if (r < 0 && (n == 1 || strcmp(gap.code, FF_CODE_UNREACHABLE) != 0)) {
			*err = gap;
			return r;
		}
		if (r < 0)
			json_array_append_new(unreachable,
					      json_pack("{ss ss}", "instance", places[i].name,
							"why", gap.message));
	}
	return 0;
}

int flows_get(struct http_request *req, struct http_response *resp)
{
	struct orchestrator *orch = req_orch(req);
	const char *expr = req_query(req, "filter", "");
	_cleanup_filter_ struct filter *filter = NULL;
	_cleanup_free_ struct place *places = NULL;
	_cleanup_json_ json_t *answer = NULL;
	struct ff_error *err = resp_err(resp);
	int64_t limit;
	size_t n = 0;
	int r;

	r = req_query_int(req, "limit", 1, FLOWS_LIMIT_MAX, FLOWS_LIMIT_DEFAULT, &limit, err);
	if (r == 0)
		r = filter_new(expr, &filter, err);
	if (r == 0)
		r = places_find(orch, req, &places, &n, err);
	if (r < 0)
		return r;
	answer = json_pack("{s[] sI sb s[]}", "flows", "scanned", (json_int_t)0, "truncated", 0,
			   "unreachable");
	r = places_flows(orch, places, n, expr, limit, answer, err);
	if (r < 0)
		return r;
	return resp_json(resp, 200, TAKE_PTR(answer));
}

/* ---- one flow -------------------------------------------------------------------------------- */

/* Of the services that may have the flow, in the order of their numbers. */
static size_t candidates_find(struct orchestrator *orch, const struct ff_flow_key *key,
			      const struct service *only, struct place *ret)
{
	struct model *model = &orch->model;
	size_t n = 0;

	for (unsigned int i = 0; i < FF_SERVICES_MAX; i++) {
		const struct service *service = model->services[i];
		const struct instance *owner;
		struct ff_match class;
		bool exact;

		if (!service || (only && service != only) ||
		    match_from_text(service->class, &class, &exact, NULL) < 0 ||
		    !match_test(&class, key))
			continue;
		owner = model_instance(model, owners_find(&service->table, key, NULL, NULL));
		ret[n] = (struct place){ .service = service->id };
		if (owner) {
			ret[n].host = model_host(model, owner->host);
			memcpy(ret[n].name, owner->name, sizeof(ret[n].name));
		}
		n++;
	}
	return n;
}

/* The state of the flow, if its owner's host has any. */
static json_t *state_ask(struct orchestrator *orch, const struct place *place, const char *text)
{
	_cleanup_free_ char *encoded = query_encode(text), *path = NULL;
	struct ff_error err = { 0 };
	json_t *reply = NULL;

	if (!place->host || !encoded ||
	    asprintf(&path, "/v1/flows/lookup?service=%u&flow=%s", place->service, encoded) < 0)
		return NULL;
	if (agent_call(orch, place->host, "GET", path, NULL, AGENT_QUICK_MS, &reply, &err) < 0) {
		log_debug("%s", err.message);
		return NULL;
	}
	return reply;
}

static json_t *last_move(const json_t *doc)
{
	static const char *const keys[] = { "from",	 "to",		"state",   "guarantee",
					    "freeze_us", "on_overflow", "created", "ended" };
	json_t *json = json_object();

	json_object_set(json, "operation", json_object_get(doc, "id"));
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		put_copy(json, doc, keys[i]);
	return json;
}

static json_t *flow_answer(struct orchestrator *orch, const struct place *place, const char *text,
			   json_t *found)
{
	json_t *answer =
		found ? json_incref(found) :
			json_pack("{sn sn sn sn}", "expires_ms", "moves", "moved_by", "state");
	_cleanup_json_ json_t *doc = found ? moved_by(orch, found) : NULL;
	MODEL_LOCKED(&orch->model);

	flow_annotate(&orch->model, place->service, text, answer);
	json_object_set_new(answer, "moved_by",
			    doc ? json_incref(json_object_get(doc, "id")) : json_null());
	json_object_set_new(answer, "last_move", doc ? last_move(doc) : json_null());
	return answer;
}

int flow_lookup_get(struct http_request *req, struct http_response *resp)
{
	struct orchestrator *orch = req_orch(req);
	struct model *model = &orch->model;
	const char *text = req_query(req, "flow", ""), *of = req_query(req, "service", NULL);
	struct place candidates[FF_SERVICES_MAX];
	struct ff_error *err = resp_err(resp);
	struct service *only = NULL;
	char canonical[FLOW_TEXT_MAX];
	struct ff_flow_key key;
	size_t n;
	int r;

	r = flow_read(text, &key, err);
	if (r < 0)
		return r;
	flow_format(&key, canonical);
	{
		MODEL_LOCKED(model);

		r = of ? model_get_service(model, of, &only, err) : 0;
		if (r < 0)
			return r;
		n = candidates_find(orch, &key, only, candidates);
	}
	if (!n)
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND,
				 "see the services' classes: `flowferry services`",
				 "no service takes the flow %s", canonical);
	for (size_t i = 0; i < n; i++) {
		_cleanup_json_ json_t *found = state_ask(orch, &candidates[i], canonical);

		if (found)
			return resp_json(resp, 200,
					 flow_answer(orch, &candidates[i], canonical, found));
	}
	return resp_json(resp, 200, flow_answer(orch, &candidates[0], canonical, NULL));
}
