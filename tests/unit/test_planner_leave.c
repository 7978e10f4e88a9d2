/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_planner_leave.c - flows that are left to end on an instance that is retired. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "tests/unit/planner_fixture.h"

static struct world w;

static void teardown(void)
{
	world_done(&w);
}

TestSuite(planner_leave, .fini = teardown);

/* 1000 flows begin each second and live 4 s, so that each has at most 4 s left. */
static void lives_short(void)
{
	struct life_table *lives = &w.service.lives;

	*lives = (struct life_table){ .seconds = 100, .began = 100000 };
	lives->ended[ff_life_bin(4000000000ull >> FF_BORN_SHIFT)] = 100000;
}

Test(planner_leave, leaves_to_end_what_ends_soon)
{
	struct plan plan;
	const struct plan_step *move;
	double all;

	world_two(&w, 1000, 2000);
	w.policy.scale_in.patience_ms = 10000;
	w.policy.scale_in.deadline_ms = 20000;
	w.input.flags = PLANNER_SHRINK;
	plan = world_plan(&w);
	cr_expect_eq(plan.left_n, 0, "nothing is known of their lives");
	move = plan_step_of(&plan, PLAN_MOVE);
	cr_expect_eq(move->leave_s, 0);
	all = move->flows_moved;
	plan_done(&plan);
	lives_short();
	plan = world_plan(&w);
	move = plan_step_of(&plan, PLAN_MOVE);
	cr_expect_eq(move->slots_n, 128, "new flows are born elsewhere");
	cr_expect_eq(move->leave_s, 10);
	cr_expect_gt(move->leaves, 0);
	cr_expect_lt(fabs(move->leaves + move->flows_moved - all), 1);
	cr_assert_eq(plan.left_n, 1);
	cr_expect_eq(plan.left[0].until_s, 20);
	cr_expect_eq(plan_count(&plan, PLAN_RETIRE), 1, "by then it's known whether any were left");
	plan_done(&plan);

	w.policy.scale_in.patience_ms = 0;
	plan = world_plan(&w);
	cr_expect_eq(plan.left_n, 0);
	cr_expect_eq(plan_step_of(&plan, PLAN_MOVE)->leave_s, 0);
	plan_done(&plan);
}

/* A plan has moved the slots of the first instance, and left flows there. */
static void one_retires(unsigned int pins)
{
	world_two(&w, 1000, 2000);
	w.policy.scale_in.patience_ms = 10000;
	w.policy.scale_in.deadline_ms = 20000;
	w.input.flags = 0;
	world_slots(&w, 0, 127, 1, 1000);
	for (unsigned int i = 0; i < pins; i++)
		world_flow(&w, i, 0, 10);
	world_measure(&w);
	w.service.instances[0].state = INSTANCE_RETIRING;
}

Test(planner_leave, waits_for_what_was_left_until_the_deadline)
{
	struct plan plan;

	one_retires(3);
	w.service.instances[0].state_ms = 1000;
	w.service.flows[0].valid = w.service.flows[1].valid = 0; /* mice: nobody measures them */
	plan = world_plan(&w);
	cr_expect_eq(plan.steps_n, 0, "%s", plan.reason);
	cr_expect_eq(plan.stuck, 0);
	cr_assert_eq(plan.left_n, 1);
	cr_expect_eq(plan.left[0].pins, 3);
	cr_expect(strstr(plan.reason, "3 flows are left to end"), "%s", plan.reason);
	cr_expect_eq(plan.left[0].until_s, 19);
	plan_done(&plan);

	w.service.flows[2].left_s = 100; /* one of which is known that it stays */
	plan = world_plan(&w);
	cr_assert_eq(plan_count(&plan, PLAN_MOVE), 1);
	cr_expect_eq(plan_step_of(&plan, PLAN_MOVE)->flows_n, 1);
	cr_expect_eq(plan_count(&plan, PLAN_RETIRE), 0);
	cr_expect_eq(plan.left[0].pins, 2);
	plan_done(&plan);

	w.service.instances[0].state_ms = 20000; /* the deadline */
	plan = world_plan(&w);
	cr_expect_eq(plan.left_n, 0);
	cr_expect_eq(plan_step_of(&plan, PLAN_MOVE)->flows_n, 3);
	cr_expect_eq(plan_step_of(&plan, PLAN_MOVE)->to.id, w.service.instances[1].id,
		     "to their slots' owner, where they need no pin");
	cr_expect_eq(plan_count(&plan, PLAN_RETIRE), 1);
	plan_done(&plan);
}

Test(planner_leave, an_operator_who_empties_a_host_has_no_patience)
{
	struct plan plan;

	one_retires(2);
	w.service.instances[0].state_ms = 1000;
	w.loads.hosts[0].conditions = HOST_MAINTENANCE;
	plan = world_plan(&w);
	cr_expect_eq(plan_step_of(&plan, PLAN_MOVE)->flows_n, 2);
	plan_done(&plan);
}

Test(planner_leave, what_was_left_and_has_ended_is_retired)
{
	struct plan plan;

	one_retires(0);
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_RETIRE), 1);
	cr_expect_eq(plan.steps_n, 1);
	plan_done(&plan);
}

/* One retires, with three flows that were left; a second later there is too much for the other one. */
static void load_returns(void)
{
	one_retires(3);
	world_slots(&w, 0, 127, 1, 90000);
	world_measure(&w);
	w.service.instances[0].state_ms = 1000;
	w.input.flags = PLANNER_RELIEVE;
}

/* Load has come back before the deadline: the one that was to go is taken back, and no other is made. */
Test(planner_leave, takes_back_what_was_to_be_retired)
{
	struct plan plan;

	load_returns();
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_CREATE), 0, "%s", plan.reason);
	cr_expect_eq(plan_count(&plan, PLAN_RETIRE), 0);
	cr_assert_eq(plan_count(&plan, PLAN_RECALL), 1);
	cr_expect_eq(plan_step_of(&plan, PLAN_RECALL)->to.id, 1);
	cr_expect_eq(plan_step_of(&plan, PLAN_RECALL)->wave, 0);
	cr_expect_eq(plan_step_of(&plan, PLAN_RECALL)->why, PLAN_OVERLOAD);
	cr_assert_eq(plan_count(&plan, PLAN_MOVE), 1, "what was left there stays there");
	cr_expect_eq(plan_step_of(&plan, PLAN_MOVE)->to.id, 1);
	cr_expect_gt(plan_step_of(&plan, PLAN_MOVE)->wave, 0, "before it is taken back");
	cr_expect_eq(plan.left_n, 0);
	cr_expect_eq(plan.instances_after, 2);
	expect_under_target(&w, &plan, 2);
	plan_done(&plan);
}

/* Mice, which nobody measures, of few slots: they don't count for as much as slots do. */
Test(planner_leave, takes_back_what_many_were_left_at)
{
	struct plan plan;

	world_init(&w, 3, 2, 16);
	world_slots(&w, 0, 15, 1, 90000);
	for (unsigned int i = 0; i < 50; i++)
		world_flow(&w, i % 16, 0, 10);
	world_measure(&w);
	for (unsigned int i = 0; i < 50; i++)
		w.service.flows[i].valid = 0;
	w.policy.scale_in.deadline_ms = 20000;
	w.service.instances[0].state = INSTANCE_RETIRING;
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_RECALL), 1);
	cr_expect_eq(plan_count(&plan, PLAN_CREATE), 0, "%s", plan.reason);
	expect_under_target(&w, &plan, 2);
	plan_done(&plan);
}

/* It can't be used as before: its host is to be emptied, or suspect; it's old, unknown, or has failed. */
Test(planner_leave, takes_back_nothing_that_is_of_no_use)
{
	for (int reason = 0; reason < 5; reason++) {
		struct plan plan;

		load_returns();
		switch (reason) {
		case 0:
			w.loads.hosts[0].conditions = HOST_MAINTENANCE;
			break;
		case 1:
			w.loads.hosts[0].conditions = HOST_SUSPECT;
			break;
		case 2:
			w.service.instances[0].outdated = true;
			break;
		case 3:
			w.service.instances[0].quality.validity = LOAD_STALE;
			break;
		default:
			w.service.instances[0].state = INSTANCE_FAILED;
		}
		plan = world_plan(&w);
		cr_expect_eq(plan_count(&plan, PLAN_RECALL), 0, "%d: %s", reason, plan.reason);
		cr_expect_eq(plan_count(&plan, PLAN_CREATE), 1, "%d: %s", reason, plan.reason);
		plan_done(&plan);
		teardown();
	}
}

/* Two would be on one host: another one is better. */
Test(planner_leave, takes_back_nobody_to_huddle)
{
	struct plan plan;

	one_retires(0);
	world_slots(&w, 0, 127, 1, 90000);
	world_flow(&w, 0, 0, 10);
	world_measure(&w);
	w.service.instances[0].state = INSTANCE_RETIRING;
	w.service.instances[0].state_ms = 1000;
	w.service.instances[0].host = w.service.instances[1].host;
	w.input.flags = PLANNER_RELIEVE;
	w.policy.placement.spread = true;
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_RECALL), 0);
	cr_expect_eq(plan_count(&plan, PLAN_CREATE), 1, "%s", plan.reason);
	plan_done(&plan);
}

/* Two are on one host, and the third, which is to go, on the only other one: rather one of the two. */
Test(planner_leave, takes_back_to_spread)
{
	struct plan plan;

	world_init(&w, 2, 3, 64);
	w.service.instances[2].host = 1;
	world_slots(&w, 0, 31, 0, 30000);
	world_slots(&w, 32, 63, 2, 20000);
	world_flow(&w, 0, 1, 10);
	world_measure(&w);
	w.service.instances[1].state = INSTANCE_RETIRING;
	w.policy.scale_in.deadline_ms = 20000;
	w.policy.placement.spread = true;
	w.loads.hosts[1].instances_max = 1; /* it takes no more */
	plan = world_plan(&w);
	cr_assert_eq(plan_count(&plan, PLAN_RECALL), 1, "%s", plan.reason);
	cr_expect_eq(plan_step_of(&plan, PLAN_RECALL)->to.id, 2);
	cr_expect_eq(plan_step_of(&plan, PLAN_RETIRE)->from.id, 3);
	cr_expect_eq(plan.instances_after, 2);
	plan_done(&plan);

	w.service.instances[1].outdated = true;
	plan = world_plan(&w);
	cr_expect_eq(plan.steps_n, 0, "%s", plan.reason);
	plan_done(&plan);
}
