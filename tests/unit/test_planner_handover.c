/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_planner_handover.c - plans where two instances are on one host, which hand flows over without a copy. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/planner_fixture.h"

static struct world w;

static void teardown(void)
{
	world_done(&w);
}

TestSuite(planner_handover, .fini = teardown);

/* fw-1 and fw-2 on nf1, fw-3 on nf2, with so much each, in a third of the slots each. */
static void world_three(unsigned int slots, double first, double second, double third)
{
	const double loads[] = { first, second, third };

	world_init(&w, 3, 3, 3 * slots);
	w.service.instances[1].host = 1;
	w.service.instances[2].host = 2;
	for (unsigned int i = 0; i < 3; i++)
		world_slots(&w, i * slots, (i + 1) * slots - 1, i, loads[i]);
	world_measure(&w);
}

/* All moves of the plan copy nothing. */
static void expect_handed(const struct plan *plan, uint16_t from, uint16_t to)
{
	cr_expect_gt(plan_count(plan, PLAN_MOVE), 0, "%s", plan->reason);
	for (size_t i = 0; i < plan->steps_n; i++) {
		const struct plan_step *step = &plan->steps[i];

		if (step->kind != PLAN_MOVE)
			continue;
		cr_expect_eq(step->from.id, from);
		cr_expect_eq(step->to.id, to);
		cr_expect_eq(step->predicted.rounds, 0);
	}
}

/* Of few slots, for which every placement is tried, and of many; the one on the other host has more room. */
Test(planner_handover, relieves_by_handing_over)
{
	static const unsigned int slots[] = { 8, 100 };

	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		struct plan plan;

		world_three(slots[i], 80000, 30000, 10000);
		plan = world_plan(&w);
		expect_handed(&plan, 1, 2);
		expect_under_target(&w, &plan, 3);
		plan_done(&plan);
		teardown();
	}
}

/* 3072 slots, which makes groups of eight: what leaves altogether goes in whole groups. */
Test(planner_handover, empties_by_handing_over)
{
	struct plan plan;

	world_three(1024, 20000, 30000, 10000);
	w.service.instances[0].state = INSTANCE_DRAINING;
	plan = world_plan(&w);
	expect_handed(&plan, 1, 2);
	cr_expect_eq(plan_count(&plan, PLAN_MOVE), 1);
	plan_done(&plan);
}

/* What can't stay on the host for want of room is copied, and no instance made. */
Test(planner_handover, copies_rather_than_to_scale_out)
{
	struct plan plan;

	world_three(100, 80000, 60000, 10000);
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_CREATE), 0, "%s", plan.reason);
	expect_under_target(&w, &plan, 3);
	plan_done(&plan);
}

/* fw-3 has least to copy; but what fw-1 has needn't be copied. */
Test(planner_handover, retires_whom_a_neighbour_takes_over)
{
	struct plan plan;

	world_three(16, 12000, 14000, 10000);
	w.input.flags = PLANNER_SHRINK;
	w.policy.instances.min = 2;
	plan = world_plan(&w);
	cr_expect_eq(plan_step_of(&plan, PLAN_RETIRE)->from.id, 1, "%s", plan.reason);
	expect_handed(&plan, 1, 2);
	plan_done(&plan);
}

/* A copy would have to go in many steps, or none, for the sake of freeze and parking. */
Test(planner_handover, bounds_are_those_of_a_handover)
{
	struct plan plan;

	world_three(100, 30000, 20000, 10000);
	w.policy.moves.parked_packets = 10;
	w.service.instances[0].state = INSTANCE_DRAINING;
	plan = world_plan(&w);
	expect_handed(&plan, 1, 2);
	cr_expect_eq(plan_count(&plan, PLAN_MOVE), 1);
	cr_expect(plan_step_of(&plan, PLAN_MOVE)->bounded);
	plan_done(&plan);

	/* two instances of one program: nothing is frozen, nothing parked */
	w.cost.coef[COST_HANDOVER_FREEZE][0] = 0;
	w.policy.moves.parked_packets = 1;
	w.policy.sla.freeze_ms = 1;
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_MOVE), 1);
	cr_expect(plan_step_of(&plan, PLAN_MOVE)->bounded);
	plan_done(&plan);
}

/* With groups of several slots, a step that has to be cut isn't cut within one. */
Test(planner_handover, steps_have_whole_groups)
{
	struct plan plan;

	world_three(1024, 30000, 20000, 10000);
	w.cost.coef[COST_HANDOVER_FREEZE][0] = 1000;
	w.policy.moves.parked_packets = 7;
	w.service.instances[0].state = INSTANCE_DRAINING;
	plan = world_plan(&w);
	expect_handed(&plan, 1, 2);
	cr_expect_gt(plan_count(&plan, PLAN_MOVE), 3);
	for (size_t i = 0; i < plan.steps_n; i++) {
		cr_expect_eq(plan.steps[i].slots[0] % 8, 0);
		cr_expect_eq(plan.steps[i].slots_n % 8, 0);
		cr_expect(plan.steps[i].bounded);
	}
	plan_done(&plan);
}

/* fw-1 has too much; of the second that its flows may be frozen in, so much is left. */
static void frozen_just_now(unsigned int slots, double second, double left_us)
{
	world_three(slots, 80000, second, 10000);
	w.policy.instances.max = 3;
	for (unsigned int slot = 0; slot < slots; slot++)
		w.service.slots[slot].frozen_us =
			(float)(w.policy.moves.freeze_ms_per_s * 1e3 - left_us);
}

/* Flows that were frozen just now may not be copied; but handed over, if the budget has that left. */
Test(planner_handover, what_was_frozen_just_now_is_handed_over)
{
	struct plan plan;

	frozen_just_now(100, 30000, 500);
	plan = world_plan(&w);
	expect_handed(&plan, 1, 2);
	expect_under_target(&w, &plan, 3);
	plan_done(&plan);

	w.service.instances[1].host = 3;
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_MOVE), 0, "%s", plan.reason);
	plan_done(&plan);
	teardown();

	frozen_just_now(100, 30000, 0);
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_MOVE), 0, "%s", plan.reason);
	plan_done(&plan);
}

/* Nor are they copied where there is too little room to hand over all that should go; others may make room. */
Test(planner_handover, what_was_frozen_just_now_goes_nowhere_else)
{
	static const unsigned int slots[] = { 16, 100 };

	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		struct plan plan;

		frozen_just_now(slots[i], 58000, 500);
		plan = world_plan(&w);
		for (size_t k = 0; k < plan.steps_n; k++)
			cr_expect(plan.steps[k].from.id != 1 || plan.steps[k].to.id == 2, "%s",
				  plan.reason);
		plan_done(&plan);
		teardown();
	}
}

/* Nor does it hold back what may go: there is no room beside it, or more than one slot in a group. */
Test(planner_handover, what_may_not_go_is_no_hindrance)
{
	static const unsigned int slots[] = { 100, 1024 };

	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		struct plan plan;

		frozen_just_now(slots[i], 64900, 500);
		for (unsigned int slot = slots[i] / 2; slot < slots[i]; slot++)
			w.service.slots[slot].frozen_us = 0;
		plan = world_plan(&w);
		expect_under_target(&w, &plan, 3);
		plan_done(&plan);
		teardown();
	}
}

/* A heavy flow is best pinned elsewhere; but with a pin nothing is handed over, and what was frozen stays. */
Test(planner_handover, what_was_frozen_just_now_stays_beside_pins)
{
	struct plan plan;

	frozen_just_now(100, 30000, 500);
	w.service.slots[99].frozen_us = 0;
	w.service.slots[99].flows = 5000; /* dear to move, for one flow's sake */
	world_flow(&w, 99, -1, 10000);
	w.service.instances[0].packets_per_s += 10000;
	plan = world_plan(&w);
	cr_expect(plan_step_of(&plan, PLAN_MOVE)->splits);
	for (size_t i = 0; i < plan.steps_n; i++) {
		cr_expect(plan.steps[i].bounded, "%s", plan.reason);
		for (size_t k = 0; k < plan.steps[i].slots_n; k++)
			cr_expect_eq(plan.steps[i].slots[k], 99, "%s", plan.reason);
	}
	plan_done(&plan);
}
