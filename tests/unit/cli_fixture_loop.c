/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cli_fixture_loop.c - the made-up orchestrator's policies, plans, upgrades and drains. */
#include <stdio.h>
#include <string.h>

#include "lib/json.h"
#include "lib/policy.h"
#include "tests/unit/cli_fixture.h"

#define PLAN                                                                                       \
	"{\"id\":\"p1\",\"kind\":\"plan\",\"state\":\"failed\",\"phase\":\"ended\","               \
	"\"service\":\"fw\",\"note\":\"because of overload\",\"flows\":0,\"total_us\":412000,"     \
	"\"created\":1700000000000,\"ended\":1700000000412,"                                       \
	"\"error\":{\"code\":\"refused\",\"message\":\"move m2: rolled-back\",\"mend\":\"\"},"     \
	"\"plan\":{\"service\":\"fw\",\"reason\":\"because of overload\",\"waves\":3,"             \
	"\"instances\":{\"before\":1,\"after\":2},\"busiest\":{\"before\":0.9,\"after\":0.6},"     \
	"\"predicted_us\":71002.01,\"steps\":["                                                    \
	"{\"wave\":0,\"kind\":\"create\",\"why\":\"overload\",\"from\":null,"                      \
	"\"to\":{\"instance\":\"new-1\",\"host\":\"nf2\",\"new\":true},\"state\":\"completed\","   \
	"\"instance\":\"fw-7\"},"                                                                  \
	"{\"wave\":1,\"kind\":\"move\",\"why\":\"overload\","                                      \
	"\"from\":{\"instance\":\"fw-1\",\"host\":\"nf1\",\"new\":false},"                         \
	"\"to\":{\"instance\":\"new-1\",\"host\":\"nf2\",\"new\":true},\"slots\":\"0-1365\","      \
	"\"slots_count\":1366,\"flows_count\":1,\"flows\":[],\"rules\":[3,4],"                     \
	"\"predicted\":{\"freeze_us\":1000.01,\"total_us\":71002.01,\"packets_parked\":7,"         \
	"\"bytes\":9600000,\"rounds\":2},\"state\":\"failed\",\"operation\":\"m2\","               \
	"\"outcome\":{\"flows\":2,\"bytes\":1744,\"freeze_us\":381,\"total_us\":62484,"            \
	"\"packets_parked\":5},\"error\":\"move m2: rolled-back\"},"                               \
	"{\"wave\":2,\"kind\":\"retire\",\"why\":\"underload\","                                   \
	"\"from\":{\"instance\":\"fw-3\",\"host\":\"nf3\",\"new\":false},\"to\":null,"             \
	"\"state\":\"queued\"}]}}"

#define UPGRADE                                                                                       \
	"{\"id\":\"u1\",\"kind\":\"upgrade\",\"state\":\"%s\",\"phase\":\"%s\",\"service\":\"fw\","   \
	"\"flows\":0,\"total_us\":512000,\"created\":1700000000000,\"ended\":1700000000512,"          \
	"\"error\":null,\"upgrade\":{\"nf\":\"firewall2\",\"nf_before\":\"firewall\",\"instances\":[" \
	"{\"instance\":\"fw-1\",\"host\":\"nf1\",\"successor\":\"fw-4\",\"state\":\"completed\","     \
	"\"moves\":[\"m1\",\"m2\"]},{\"instance\":\"fw-2\",\"host\":\"nf2\",\"successor\":\"fw-5\","  \
	"\"state\":\"%s\",\"moves\":[\"m3\"]}]}}"

static int reply(struct http_request *req, struct http_response *resp, unsigned int status,
		 json_t *json)
{
	cli_note(req);
	return resp_json(resp, status, json);
}

static json_t *parse(const char *text)
{
	return json_loads(text, 0, NULL);
}

/* ---- policies -------------------------------------------------------------------------------- */

static int get_policy(struct http_request *req, struct http_response *resp)
{
	struct policy policy;

	policy_init(&policy);
	policy.mode = POLICY_OBSERVE;
	policy.placement.hosts_count = 2;
	strcpy(policy.placement.hosts[0], "nf2");
	strcpy(policy.placement.hosts[1], "nf3");
	policy.quiet_count = 1;
	policy.quiet_hours[0] = (struct policy_quiet){ 22 * 60, 6 * 60, POLICY_EVERY_DAY };
	policy.together_count = 1;
	strcpy(policy.together[0], "udp and host 198.18.2.2 and port 53");
	return reply(req, resp, 200, policy_to_json(&policy));
}

static int put_policy(struct http_request *req, struct http_response *resp)
{
	return reply(req, resp, 200, json_incref(req_json(req)));
}

static int delete_policy(struct http_request *req, struct http_response *resp)
{
	cli_note(req);
	return resp_empty(resp, 204);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static int get_loop(struct http_request *req, struct http_response *resp)
{
	return reply(
		req, resp, 200,
		parse("{\"paused\":true,\"conditions\":[{\"kind\":\"overload\","
		      "\"about\":\"instance\",\"name\":\"fw-1\",\"for_ms\":1830,"
		      "\"forecast\":true,\"value\":0.9,\"bound\":0.8,"
		      "\"why\":\"fw-1: utilisation 90 %\"}],\"cost\":{\"firewall\":"
		      "{\"moves\":12,\"handovers\":3,\"window\":12,\"refused\":1,\"freeze\":{\"us\":382.5,"
		      "\"us_per_flow\":0.01,\"spread\":0.25}}}}"));
}

static int post_loop(struct http_request *req, struct http_response *resp)
{
	return reply(req, resp, 200, json_incref(req_json(req)));
}

static int get_plan(struct http_request *req, struct http_response *resp)
{
	const char *goals = req_query(req, "goals", "all");

	return reply(req, resp, 200,
		     json_pack("{ss ss so}", "service", req_param(req, "service"), "text",
			       strcmp(goals, "shrink,balance") == 0 ? "fw: shrink and balance\n" :
								      "fw: nothing to do\n",
			       "steps", json_array()));
}

static int get_plans(struct http_request *req, struct http_response *resp)
{
	return reply(req, resp, 200, json_pack("{s[o]}", "plans", parse(PLAN)));
}

int cli_plan(struct http_request *req, struct http_response *resp)
{
	return reply(req, resp, 200, parse(PLAN));
}

/* ---- upgrades -------------------------------------------------------------------------------- */

static int post_upgrade(struct http_request *req, struct http_response *resp)
{
	return reply(req, resp, 202, parse("{\"id\":\"u1\",\"kind\":\"upgrade\"}"));
}

/* It ends after cli.polls_end looks. */
int cli_upgrade(struct http_request *req, struct http_response *resp)
{
	bool over;
	char doc[1024];

	pthread_mutex_lock(&cli.lock);
	over = ++cli.polls >= cli.polls_end;
	pthread_mutex_unlock(&cli.lock);
	snprintf(doc, sizeof(doc), UPGRADE, over ? "completed" : "running",
		 over ? "ended" : "fw-2: moving", over ? "completed" : "moving");
	return reply(req, resp, 200, parse(doc));
}

/* ---- drains ---------------------------------------------------------------------------------- */

/* Empty, or late, after cli.polls_end looks. */
static json_t *draining_host(void)
{
	bool over = cli.polls >= cli.polls_end;
	bool late = over && strcmp(cli.end_state, "completed") != 0;

	return json_pack("{ss ss sb s{sI sI sb sb si si si si}}", "name", "nf1", "state", "up",
			 "draining", 1, "drain", "since_ms", (json_int_t)1700000000000,
			 "deadline_ms", (json_int_t)1700000060000, "late", late, "empty",
			 over && !late, "instances", 1, "slots", over && !late ? 0 : 4000, "pins",
			 2, "rules", 0);
}

static int get_host(struct http_request *req, struct http_response *resp)
{
	pthread_mutex_lock(&cli.lock);
	cli.polls++;
	pthread_mutex_unlock(&cli.lock);
	if (strcmp(cli.end_state, "undrained") == 0)
		return reply(req, resp, 200, parse("{\"name\":\"nf1\",\"draining\":false}"));
	return reply(req, resp, 200, draining_host());
}

static int post_drain(struct http_request *req, struct http_response *resp)
{
	return reply(req, resp, 202, draining_host());
}

static int post_undrain(struct http_request *req, struct http_response *resp)
{
	return reply(req, resp, 200, parse("{\"name\":\"nf1\",\"draining\":false}"));
}

const struct http_route cli_loop_routes[CLI_LOOP_ROUTES] = {
	{ "GET", "/v1/services/:service/policy", get_policy, NULL, 0 },
	{ "PUT", "/v1/services/:service/policy", put_policy, NULL, HTTP_BODY_REQUIRED },
	{ "DELETE", "/v1/services/:service/policy", delete_policy, NULL, 0 },
	{ "GET", "/v1/services/:service/plan", get_plan, NULL, 0 },
	{ "POST", "/v1/services/:service/upgrade", post_upgrade, NULL, HTTP_BODY_REQUIRED },
	{ "GET", "/v1/loop", get_loop, NULL, 0 },
	{ "POST", "/v1/loop", post_loop, NULL, HTTP_BODY_REQUIRED },
	{ "GET", "/v1/plans", get_plans, NULL, 0 },
	{ "GET", "/v1/plans/:id", cli_plan, NULL, 0 },
	{ "GET", "/v1/hosts/:host", get_host, NULL, 0 },
	{ "POST", "/v1/hosts/:host/drain", post_drain, NULL, 0 },
	{ "POST", "/v1/hosts/:host/undrain", post_undrain, NULL, 0 },
};
