/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_plans.c - plans that are carried out while the world changes: operators who move flows by
 * hand, hosts that vanish, pauses. Against fake agents; what makes the loop plan is a drain.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "orchestrator/loop_internal.h"
#include "tests/unit/orch_fixture.h"

TestSuite(plans, .init = fixture_setup, .fini = fixture_teardown, .timeout = 90);

static json_t *plans(void)
{
	return json_object_get(call(200, "GET", "/v1/plans", NULL), "plans");
}

static const char *state_of_plan(void)
{
	return text(json_array_get(plans(), 0), "state");
}

/* Of the newest plan, once it has ended. */
static const char *state_of_ended(void)
{
	uint64_t until = clock_ns() + WAIT_MS * NSEC_PER_MSEC;

	while (!strcmp(state_of_plan(), "running") && clock_ns() < until)
		usleep(5000);
	return state_of_plan();
}

static const json_t *drain_of(const char *host)
{
	char path[64];

	snprintf(path, sizeof(path), "/v1/hosts/%s", host);
	return json_object_get(call(200, "GET", path, NULL), "drain");
}

static void wait_until_empty(const char *host)
{
	uint64_t until = clock_ns() + WAIT_MS * NSEC_PER_MSEC;

	while (!is_true(drain_of(host), "empty") && clock_ns() < until)
		usleep(10000);
	cr_assert(is_true(drain_of(host), "empty"), "%s isn't empty", host);
}

static void drain(const char *host)
{
	char path[64];

	snprintf(path, sizeof(path), "/v1/hosts/%s/drain", host);
	call(202, "POST", path, NULL);
}

static void paused(bool paused)
{
	call(200, "POST", "/v1/loop", json_pack("{sb}", "paused", paused));
}

static void move_by_hand(const char *from, const char *to, const char *slots, char ret_path[96])
{
	snprintf(ret_path, 96, "/v1/operations/%s?wait_ms=%d",
		 text(call(202, "POST", "/v1/moves",
			   json_pack("{ss ss ss ss}", "service", "fw", "from", from, "to", to,
				     "slots", slots)),
		      "id"),
		 WAIT_MS - 1000);
}

static int slots_of(const char *instance)
{
	char path[64];

	snprintf(path, sizeof(path), "/v1/instances/%s", instance);
	return (int)json_integer_value(json_object_get(call(200, "GET", path, NULL), "slots"));
}

Test(plans, a_drain_is_planned_and_done)
{
	drain("nf1");
	wait_until_empty("nf1");
	cr_assert_eq(slots_of("fw-2"), 64);
	wait_until_told("plan-ended");
	cr_assert_str_eq(state_of_ended(), "completed");
}

/*
 * What an operator moves is his: the plan takes the rest at once, and what is left when he is done.
 */
Test(plans, a_move_by_hand_before)
{
	char path[96];

	fake_script(&world, "nf1", "precopy", FAKE_BLOCK, 1);
	move_by_hand("fw-1", "fw-2", "0-7", path);
	wait_for_call("nf1 precopy");
	drain("nf1");
	wait_until_told("plan-ended");
	cr_assert_str_eq(state_of_ended(), "completed");
	cr_assert_eq(slots_of("fw-1"), 8);
	fake_unblock(&world);
	cr_assert_str_eq(text(call(200, "GET", path, NULL), "state"), "completed");
	wait_until_empty("nf1");
	cr_assert_eq(slots_of("fw-2"), 64);
}

/*
 * He moves flows back to what is being emptied, while the plan is
 * carried out: another plan follows.
 */
Test(plans, a_move_by_hand_meanwhile)
{
	char path[96];

	fake_script(&world, "nf1", "precopy", FAKE_BLOCK, 1);
	drain("nf1");
	wait_for_call("nf1 precopy");
	move_by_hand("fw-2", "fw-1", "40-43", path);
	cr_assert_str_eq(text(call(200, "GET", path, NULL), "state"), "completed");
	/* what the plan moves isn't his to move */
	cr_assert_str_eq(text(call(409, "POST", "/v1/moves",
				   json_pack("{ss ss ss ss}", "service", "fw", "from", "fw-1", "to",
					     "fw-2", "slots", "0-7")),
			      "code"),
			 "overlap");
	fake_unblock(&world);
	wait_until_empty("nf1");
	cr_assert_eq(slots_of("fw-2"), 64);
	cr_assert_geq(json_array_size(plans()), 2);
}

/*
 * The target goes while flows are on their way to it: the plan fails, they
 * stay; when it is back, they go.
 */
Test(plans, a_host_that_vanishes)
{
	fake_script(&world, "nf2", "prepare", FAKE_BLOCK, 1);
	drain("nf1");
	wait_for_call("nf2 prepare");
	fake_unblock(&world);
	fake_agent_stop(&world.agents[2]);
	wait_until_told("plan-ended");
	if (strcmp(state_of_ended(), "completed")) { /* it may have been quicker than we */
		cr_assert_str_eq(state_of_plan(), "failed");
		cr_assert_eq(slots_of("fw-1"), 32);
	}
	fake_agent_start(&world.agents[2]);
	wait_until_empty("nf1");
	cr_assert_eq(slots_of("fw-2"), 64);
}

/* What is under way ends; nothing else is begun. */
Test(plans, a_pause_stops_at_once)
{
	fake_script(&world, "nf1", "precopy", FAKE_BLOCK, 1);
	drain("nf1");
	wait_for_call("nf1 precopy");
	paused(true);
	call(200, "POST", "/v1/hosts/nf1/undrain", NULL);
	drain("nf2");
	fake_unblock(&world);
	wait_until_told("plan-observed"); /* of nf2: it's only told */
	cr_assert_eq(json_array_size(plans()), 1);
	cr_assert_eq(slots_of("fw-2"), 64);
	paused(false);
	wait_until_empty("nf2");
	cr_assert_eq(slots_of("fw-1"), 64);
}

Test(plans, who_observes_does_nothing)
{
	call(200, "PUT", "/v1/services/fw/policy",
	     json_pack("{ss s{sb}}", "mode", "observe", "placement", "spread", 0));
	drain("nf1");
	wait_until_told("plan-observed");
	cr_assert_eq(json_array_size(plans()), 0);
	cr_assert_eq(slots_of("fw-1"), 32);
	call(200, "PUT", "/v1/services/fw/policy",
	     json_pack("{ss s{sb}}", "mode", "act", "placement", "spread", 0));
	wait_until_empty("nf1");
}

#define BIT(condition) (1u << (condition))

/* What can wait, waits until quiet hours are over; what can't, doesn't. */
Test(plan_flags, quiet_hours)
{
	static const struct {
		uint32_t conditions, loud, quiet;
	} rows[] = {
		{ 0, 0, 0 },
		{ BIT(CONDITION_OVERLOAD), PLANNER_RELIEVE, PLANNER_RELIEVE },
		{ BIT(CONDITION_CAPACITY), PLANNER_RELIEVE, PLANNER_RELIEVE },
		{ BIT(CONDITION_UNDERLOAD), PLANNER_SHRINK, 0 },
		{ BIT(CONDITION_IMBALANCE), PLANNER_BALANCE, 0 },
		{ BIT(CONDITION_IMBALANCE) | BIT(CONDITION_OVERLOAD),
		  PLANNER_BALANCE | PLANNER_RELIEVE, PLANNER_RELIEVE },
		{ BIT(CONDITION_STALE) | BIT(CONDITION_CLOCK) | BIT(CONDITION_MAINTENANCE) |
			  BIT(CONDITION_FAILURE),
		  0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cr_expect_eq(loop_flags(rows[i].conditions, false), rows[i].loud, "row %zu", i);
		cr_expect_eq(loop_flags(rows[i].conditions, true), rows[i].quiet, "row %zu", i);
	}
}

/*
 * Relief leaves room for what figures differ by; nothing else is asked to move more than it must.
 */
Test(plan_flags, room_for_noise)
{
	cr_expect_float_eq(loop_growth(1, PLANNER_RELIEVE), LOOP_HEADROOM, 1e-9);
	cr_expect_float_eq(loop_growth(2, PLANNER_RELIEVE), 2 * LOOP_HEADROOM, 1e-9);
	cr_expect_float_eq(loop_growth(0, PLANNER_RELIEVE), LOOP_HEADROOM, 1e-9, "not known");
	cr_expect_eq(loop_growth(1.5, PLANNER_SHRINK), 1.5);
	cr_expect_eq(loop_growth(1, PLANNER_BALANCE), 1);
}
