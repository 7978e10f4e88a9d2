/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* northbound_loop.c - the closed loop: shown, paused; plans asked for and looked up. */
#include <errno.h>
#include <string.h>

#include "lib/json.h"
#include "orchestrator/events.h"
#include "orchestrator/loop.h"
#include "orchestrator/northbound.h"

#define PLANS_SHOWN_DEFAULT 20
#define PLANS_SHOWN_MAX	    10000

int loop_get(struct http_request *req, struct http_response *resp)
{
	return resp_json(resp, 200, loop_json(req_orch(req)->loop));
}

int loop_post(struct http_request *req, struct http_response *resp)
{
	static const char *const fields[] = { "paused", NULL };
	struct orchestrator *orch = req_orch(req);
	struct ff_error *err = resp_err(resp);
	bool paused;
	int r;

	r = json_check_fields(req_json(req), fields, err);
	if (r == 0)
		r = json_get_bool(req_json(req), "paused", &paused, err);
	if (r == 0)
		r = loop_pause(orch->loop, paused, err);
	if (r < 0)
		return r;
	event_emit(orch->events, paused ? "loop-paused" : "loop-resumed", (struct event_about){ 0 },
		   "the loop %s, by %s", paused ? "plans, but does nothing" : "acts again",
		   req_peer(req));
	return loop_get(req, resp);
}

/* ---- plans ----------------------------------------------------------------------------------- */

static int goals_parse(const char *text, uint32_t *ret_flags, struct ff_error *err)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} goals[] = { { "relieve", PLANNER_RELIEVE },
		      { "shrink", PLANNER_SHRINK },
		      { "balance", PLANNER_BALANCE } };
	uint32_t flags = 0;

	while (*text) {
		size_t len = strcspn(text, ","), i;

		for (i = 0; i < ARRAY_SIZE(goals); i++)
			if (strlen(goals[i].name) == len && !strncmp(goals[i].name, text, len))
				break;
		if (i == ARRAY_SIZE(goals))
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
					 "some of relieve,shrink,balance",
					 "a plan can't have the goal \"%.*s\"", (int)MIN(len, 64ul),
					 text);
		flags |= goals[i].flag;
		text += len + (text[len] == ',');
	}
	*ret_flags = flags;
	return 0;
}

int plan_get(struct http_request *req, struct http_response *resp)
{
	const char *goals = req_query(req, "goals", "relieve,shrink,balance");
	struct ff_error *err = resp_err(resp);
	uint32_t flags = 0;
	json_t *plan;
	bool text;
	int r;

	r = goals_parse(goals, &flags, err);
	if (r == 0)
		r = req_query_bool(req, "text", false, &text, err);
	if (r < 0)
		return r;
	plan = loop_plan(req_orch(req)->loop, req_param(req, "service"), flags, text, err);
	return plan ? resp_json(resp, 200, plan) : err->err;
}

int plans_get(struct http_request *req, struct http_response *resp)
{
	struct ff_error *err = resp_err(resp);
	int64_t limit;
	json_t *docs;
	int r;

	r = req_query_int(req, "limit", 1, PLANS_SHOWN_MAX, PLANS_SHOWN_DEFAULT, &limit, err);
	if (r == 0)
		r = store_operation_list(req_orch(req)->store, "plan", NULL, (unsigned int)limit,
					 &docs, err);
	return r < 0 ? r : resp_json(resp, 200, json_pack("{so}", "plans", docs));
}

/* The same resource as its operation; what isn't a plan isn't found here. */
int plan_one_get(struct http_request *req, struct http_response *resp)
{
	const char *id = req_param(req, "id");
	json_t *doc = operation_copy(req_orch(req), id, resp_err(resp));

	if (!doc && resp_err(resp)->err != -ENOENT)
		return resp_err(resp)->err;
	if (!doc)
		return error_set(resp_err(resp), ENOENT, FF_CODE_NOT_FOUND,
				 "list them: `flowferry plan list`", "no plan %s", id);
	if (!json_is_object(json_object_get(doc, "plan"))) {
		json_decref(doc);
		return error_set(resp_err(resp), ENOENT, FF_CODE_NOT_FOUND,
				 "list them: `flowferry plan list`", "operation %s is no plan", id);
	}
	return resp_json(resp, 200, doc);
}
