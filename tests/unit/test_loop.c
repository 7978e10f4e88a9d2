/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_loop.c - policies, pauses, drains and plans through the API of the whole orchestrator,
 * against fake agents: what is kept over restarts, what is refused, what is told.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "tests/unit/orch_fixture.h"

TestSuite(loop, .init = fixture_setup, .fini = fixture_teardown, .timeout = 60);

/* ---- policies -------------------------------------------------------------------------------- */

#define POLICY "/v1/services/fw/policy"

static void policy_put(const char *mode)
{
	call(200, "PUT", POLICY, json_pack("{ss s{si}}", "mode", mode, "instances", "max", 3));
}

Test(loop, a_policy_is_kept)
{
	const json_t *shown;

	call(404, "GET", POLICY, NULL);
	cr_assert(
		json_is_null(json_object_get(call(200, "GET", "/v1/services/fw", NULL), "policy")));
	policy_put("observe");
	orchestrator_down();
	orchestrator_up();
	shown = call(200, "GET", POLICY, NULL);
	cr_assert_str_eq(text(shown, "mode"), "observe");
	cr_assert_eq(json_integer_value(
			     json_object_get(json_object_get(shown, "instances"), "max")),
		     3);
	cr_assert_eq(json_integer_value(
			     json_object_get(json_object_get(shown, "instances"), "min")),
		     1, "what isn't said has its default");
	cr_assert_str_eq(text(call(200, "GET", "/v1/services/fw", NULL), "policy"), "observe");
	call(204, "DELETE", POLICY, NULL);
	call(404, "GET", POLICY, NULL);
	orchestrator_down();
	orchestrator_up();
	call(404, "GET", POLICY, NULL);
}

/* What is refused changes nothing. */
Test(loop, a_wrong_policy_is_refused)
{
	policy_put("observe");
	call(400, "PUT", POLICY, json_pack("{ss}", "mode", "acting"));
	call(400, "PUT", POLICY, json_pack("{s{si si}}", "instances", "min", 5, "max", 2));
	call(400, "PUT", POLICY, json_pack("{si}", "nosuch", 1));
	call(400, "PUT", POLICY, json_pack("{s{s[ss]}}", "placement", "hosts", "nf1", "nf9"));
	call(404, "PUT", "/v1/services/nosuch/policy", json_object());
	cr_assert_str_eq(text(call(200, "GET", POLICY, NULL), "mode"), "observe");
}

/* Another service of that name, later, is nobody's business. */
Test(loop, a_policy_goes_with_its_service)
{
	policy_put("act");
	call(204, "DELETE", "/v1/services/fw", NULL);
	call(201, "POST", "/v1/services", service_body());
	call(404, "GET", POLICY, NULL);
	orchestrator_down();
	orchestrator_up();
	call(404, "GET", POLICY, NULL);
}

/* ---- the loop -------------------------------------------------------------------------------- */

Test(loop, a_pause_is_kept)
{
	cr_assert(!is_true(call(200, "GET", "/v1/loop", NULL), "paused"));
	cr_assert(is_true(call(200, "POST", "/v1/loop", json_pack("{sb}", "paused", 1)), "paused"));
	orchestrator_down();
	orchestrator_up();
	cr_assert(is_true(call(200, "GET", "/v1/loop", NULL), "paused"));
	call(400, "POST", "/v1/loop", json_pack("{ss}", "paused", "yes"));
	call(400, "POST", "/v1/loop", json_pack("{sb}", "halted", 1));
	cr_assert(
		!is_true(call(200, "POST", "/v1/loop", json_pack("{sb}", "paused", 0)), "paused"));
}

/* ---- drains ---------------------------------------------------------------------------------- */

static const json_t *drain_of(const char *host)
{
	char path[64];

	snprintf(path, sizeof(path), "/v1/hosts/%s", host);
	return json_object_get(call(200, "GET", path, NULL), "drain");
}

static void pause_loop(void)
{
	call(200, "POST", "/v1/loop", json_pack("{sb}", "paused", 1));
}

Test(loop, a_drain_is_kept_and_taken_back)
{
	const json_t *drain;

	pause_loop();
	cr_assert_null(drain_of("nf1"));
	call(202, "POST", "/v1/hosts/nf1/drain", json_pack("{si}", "deadline_ms", 1));
	wait_until_told("drain-late");
	orchestrator_down();
	orchestrator_up();
	drain = drain_of("nf1");
	cr_assert_eq(json_integer_value(json_object_get(drain, "slots")), 32);
	cr_assert_eq(json_integer_value(json_object_get(drain, "instances")), 1);
	cr_assert(is_true(drain, "late"));
	cr_assert(!is_true(drain, "empty"));
	call(202, "POST", "/v1/hosts/nf1/drain", NULL);
	cr_assert(!is_true(drain_of("nf1"), "late"), "there is no deadline any more");
	call(200, "POST", "/v1/hosts/nf1/undrain", NULL);
	cr_assert_null(drain_of("nf1"));
	cr_assert(told("drain-taken-back"));
	call(404, "POST", "/v1/hosts/nf9/drain", NULL);
	call(400, "POST", "/v1/hosts/nf1/drain", json_pack("{si}", "deadline_ms", 0));
	orchestrator_down();
	orchestrator_up();
	cr_assert_null(drain_of("nf1"));
}

Test(loop, an_empty_host_is_drained_at_once)
{
	pause_loop();
	call(202, "POST", "/v1/hosts/gw/drain", NULL);
	cr_assert(is_true(drain_of("gw"), "empty"));
	wait_until_told("drain-completed");
}

/* What a person moves away counts as well as what a plan does. */
Test(loop, a_drain_ends_when_nothing_is_owned_there)
{
	char path[96];

	pause_loop();
	call(202, "POST", "/v1/hosts/nf1/drain", NULL);
	cr_assert(!is_true(drain_of("nf1"), "empty"));
	snprintf(path, sizeof(path), "/v1/operations/%s?wait_ms=%d",
		 text(call(202, "POST", "/v1/moves",
			   json_pack("{ss ss ss}", "service", "fw", "from", "fw-1", "to", "fw-2")),
		      "id"),
		 WAIT_MS - 1000);
	cr_assert_str_eq(text(call(200, "GET", path, NULL), "state"), "completed");
	cr_assert(is_true(drain_of("nf1"), "empty"));
	wait_until_told("drain-completed");
}

/* ---- plans ----------------------------------------------------------------------------------- */

Test(loop, a_dry_run_changes_nothing)
{
	const json_t *plan;
	uint64_t until = clock_ns() + WAIT_MS * NSEC_PER_MSEC;
	char path[64];

	/* until the loop has looked for the first time since there is a service */
	while (json_object_size(json_object_get(call(200, "GET", "/v1/loop", NULL), "cost")) == 0 &&
	       clock_ns() < until)
		usleep(10000);
	plan = call(200, "GET", "/v1/services/fw/plan?text=1", NULL);
	cr_assert_str_eq(text(plan, "service"), "fw");
	cr_assert(json_is_array(json_object_get(plan, "steps")));
	cr_assert_neq(text(plan, "text")[0], '\0');
	call(400, "GET", "/v1/services/fw/plan?goals=relieve,win", NULL);
	call(404, "GET", "/v1/services/nosuch/plan", NULL);
	cr_assert_eq(json_array_size(json_object_get(call(200, "GET", "/v1/plans", NULL), "plans")),
		     0);
	snprintf(path, sizeof(path), "/v1/plans/%s",
		 text(call(202, "POST", "/v1/moves",
			   json_pack("{ss ss ss ss}", "service", "fw", "from", "fw-1", "to", "fw-2",
				     "slots", "0")),
		      "id"));
	call(404, "GET", path, NULL); /* a move is no plan */
}

/* The loop makes a better one: what a plan had begun isn't gone on with. */
Test(loop, a_plan_ends_with_the_orchestrator)
{
	struct operation *plan = operation_new("plan");
	struct ff_error err = { 0 };
	const json_t *shown;
	char path[64];

	json_put_str(plan->doc, "state", "running");
	json_put(plan->doc, "plan", json_object());
	cr_assert_eq(store_operation_put(orch->store, plan, NULL, &err), 0);
	snprintf(path, sizeof(path), "/v1/plans/%s", plan->id);
	operation_free(plan);
	orchestrator_down();
	orchestrator_up();
	shown = call(200, "GET", path, NULL);
	cr_assert_str_eq(text(shown, "state"), "failed");
	cr_assert(strstr(text(json_object_get(shown, "error"), "message"), "restarted"), "%s",
		  text(json_object_get(shown, "error"), "message"));
	cr_assert(told("plan-ended"));
	cr_assert_eq(json_array_size(json_object_get(call(200, "GET", "/v1/plans", NULL), "plans")),
		     1);
}
