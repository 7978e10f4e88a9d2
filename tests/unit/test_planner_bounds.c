/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_planner_bounds.c - what bounds a plan: hosts, what is known of
 * them, what must stay together.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "tests/unit/planner_fixture.h"

static struct world w;

static void teardown(void)
{
	world_done(&w);
}

TestSuite(planner_bounds, .fini = teardown);

Test(planner_bounds, goes_over_target_for_flows_without_an_owner_only)
{
	struct plan plan;
	double after[3];

	world_init(&w, 3, 3, 192);
	for (unsigned int i = 0; i < 3; i++)
		world_slots(&w, i * 64, i * 64 + 63, i, 55000);
	world_measure(&w);
	w.policy.instances.max = 2;
	w.service.instances[1].state = INSTANCE_FAILED;
	plan = world_plan(&w);
	world_after(&w, &plan, after, 3);
	cr_expect_eq(plan.orphans, 0, "%s", plan.reason);
	cr_expect_gt(fmax(after[0], after[2]), world_target(&w));
	plan_done(&plan);

	/* the same by a drain: who has an owner stays there */
	w.service.instances[1].state = INSTANCE_DRAINING;
	plan = world_plan(&w);
	cr_expect_gt(plan.stuck, 0);
	world_after(&w, &plan, after, 3);
	cr_expect_leq(fmax(after[0], after[2]), world_target(&w) * 1.0001);
	plan_done(&plan);
}

Test(planner_bounds, empties_a_host_in_maintenance)
{
	struct plan plan;
	double after[3];

	world_init(&w, 3, 3, 192);
	for (unsigned int i = 0; i < 3; i++)
		world_slots(&w, i * 64, i * 64 + 63, i, 30000);
	world_measure(&w);
	w.loads.hosts[1].conditions = HOST_MAINTENANCE;
	w.input.flags = 0;
	plan = world_plan(&w);
	world_after(&w, &plan, after, 3);
	cr_expect_eq(after[1], 0);
	cr_expect_eq(plan_count(&plan, PLAN_RETIRE), 0, "the operator's to decide");
	plan_done(&plan);
}

Test(planner_bounds, spreads_over_hosts)
{
	struct plan plan;

	world_init(&w, 2, 1, 64);
	world_slots(&w, 0, 63, 0, 90000);
	world_measure(&w);
	w.policy.placement.spread = true;
	plan = world_plan(&w);
	cr_expect_eq(plan_step_of(&plan, PLAN_CREATE)->to.host, 2);
	plan_done(&plan);
	/* none rather than a second one on the same host */
	w.loads.hosts[1].conditions = HOST_SUSPECT;
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_CREATE), 0);
	plan_done(&plan);
	world_done(&w);

	/* three on two hosts: the one that is alone on its host is not retired, cheap as it is */
	world_init(&w, 2, 3, 96);
	world_slots(&w, 0, 31, 0, 30000);
	world_slots(&w, 32, 63, 1, 1000);
	world_slots(&w, 64, 95, 2, 40000);
	world_measure(&w);
	w.policy.placement.spread = true;
	w.input.flags = PLANNER_SHRINK;
	w.policy.instances.min = 2;
	plan = world_plan(&w);
	cr_expect_neq(plan_step_of(&plan, PLAN_RETIRE)->from.id, 2);
	plan_done(&plan);
	world_done(&w);

	/* two on one host, and another is there: one is replaced */
	world_init(&w, 2, 3, 64);
	w.service.instances_n = 2;
	w.service.instances[1].host = 1;
	world_slots(&w, 0, 31, 0, 30000);
	world_slots(&w, 32, 63, 1, 20000);
	world_measure(&w);
	w.policy.placement.spread = true;
	plan = world_plan(&w);
	cr_expect_eq(plan_step_of(&plan, PLAN_CREATE)->to.host, 2);
	cr_expect_eq(plan_step_of(&plan, PLAN_RETIRE)->from.id, 2);
	plan_done(&plan);
}

Test(planner_bounds, creates_where_there_is_room)
{
	struct plan plan;

	world_two(&w, 80000, 60000);
	w.loads.hosts[2].cpu.user = 7; /* of 8 */
	plan = world_plan(&w);
	cr_expect_neq(plan_step_of(&plan, PLAN_CREATE)->to.host, 3);
	plan_done(&plan);
	w.policy.instances.per_host = 1;
	w.loads.hosts[2].cpu.user = 0;
	w.loads.hosts[2].quality.validity = LOAD_STALE;
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_CREATE), 0, "no room, or not known");
	plan_done(&plan);
}

Test(planner_bounds, fills_no_host_over_its_share_of_cpu)
{
	struct plan plan;
	double after[3];

	world_two(&w, 80000, 30000);
	w.loads.hosts[1].cpu.user = (float)(8 * w.policy.utilisation.host_percent / 100.0 - 0.35);
	plan = world_plan(&w);
	world_after(&w, &plan, after, 3);
	cr_expect_leq(after[1], 35000 * 1.001);
	plan_done(&plan);
	w.policy.instances.max = 2; /* not for want of another place either */
	plan = world_plan(&w);
	world_after(&w, &plan, after, 2);
	cr_expect_leq(after[1], 35000 * 1.001);
	plan_done(&plan);
}

Test(planner_bounds, stale_figures_are_no_zero)
{
	struct plan plan;
	double after[3];

	/* fw-2 looks idle, but nobody knows */
	world_two(&w, 80000, 0);
	w.service.instances[1].quality.validity = LOAD_STALE;
	plan = world_plan(&w);
	world_after(&w, &plan, after, 3);
	cr_expect_eq(after[1], 0);
	cr_expect_eq(plan_count(&plan, PLAN_CREATE), 1);
	cr_expect(strstr(plan.reason, "stale"), "%s", plan.reason);
	plan_done(&plan);
	/* and is not retired on that */
	w.input.flags = PLANNER_SHRINK;
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_RETIRE), 0);
	plan_done(&plan);
}

Test(planner_bounds, moves_the_flows_of_the_failed_without_any_figures)
{
	struct plan plan;

	world_two(&w, 50000, 10000);
	w.service.instances[0].state = INSTANCE_FAILED;
	w.service.slots_quality.validity = LOAD_MISSING;
	plan = world_plan(&w);
	cr_expect_eq(plan.orphans, 0, "%s", plan.reason);
	plan_done(&plan);
}

Test(planner_bounds, keeps_together_what_belongs_together)
{
	struct plan plan;
	size_t grouped = 0;

	world_two(&w, 80000, 30000);
	for (unsigned int slot = 0; slot < 16; slot++)
		w.service.slots[slot].group = 7;
	plan = world_plan(&w);
	for (size_t i = 0; i < plan.steps_n; i++) {
		size_t here = 0;

		for (size_t k = 0; k < plan.steps[i].slots_n; k++)
			here += plan.steps[i].slots[k] < 16;
		cr_expect(here == 0 || here == 16, "%zu of the group", here);
		grouped += here;
	}
	plan_done(&plan);
	/* a group with two owners is brought together, where there is room */
	w.service.slots[200].group = 7;
	w.input.flags = 0;
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_MOVE), 1);
	cr_expect_eq(plan_step_of(&plan, PLAN_MOVE)->why, PLAN_TOGETHER);
	cr_expect_eq(plan_step_of(&plan, PLAN_MOVE)->slots_n, 16);
	cr_expect_eq(plan_step_of(&plan, PLAN_MOVE)->to.id, 2);
	plan_done(&plan);
}

Test(planner_bounds, steps_stay_within_freeze_and_parking)
{
	struct cost_prediction one;
	struct plan plan;
	size_t whole;

	world_two(&w, 30000, 30000);
	w.service.instances[0].state = INSTANCE_DRAINING;
	plan = world_plan(&w);
	whole = plan_count(&plan, PLAN_MOVE);
	one = plan_step_of(&plan, PLAN_MOVE)->predicted;
	plan_done(&plan);
	w.policy.moves.parked_packets = (uint32_t)(one.parked / 4);
	plan = world_plan(&w);
	cr_expect_gt(plan_count(&plan, PLAN_MOVE), 3 * whole);
	for (size_t i = 0; i < plan.steps_n; i++) {
		cr_expect_leq(plan.steps[i].predicted.parked, w.policy.moves.parked_packets);
		cr_expect(plan.steps[i].bounded);
	}
	cr_expect_leq(plan.at_once, w.policy.moves.at_once);
	plan_done(&plan);
	/* the same for a target with a small ring, of which half is used */
	w.policy.moves.parked_packets = 4096;
	w.loads.hosts[1].parking_packets = (uint32_t)(one.parked / 2);
	plan = world_plan(&w);
	cr_expect_gt(plan_count(&plan, PLAN_MOVE), 3 * whole);
	plan_done(&plan);
}

Test(planner_bounds, what_was_frozen_just_now_is_not_moved_for_relief)
{
	struct plan plan;

	world_two(&w, 80000, 30000);
	for (unsigned int slot = 0; slot < 128; slot++)
		w.service.slots[slot].frozen_us = (float)(w.policy.moves.freeze_ms_per_s * 1e3);
	cr_assert_gt(w.policy.moves.freeze_ms_per_s, 0);
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_MOVE), 0, "%s", plan.reason);
	plan_done(&plan);
}

Test(planner_bounds, slots_under_way_are_left_alone)
{
	struct plan plan;

	world_two(&w, 80000, 30000);
	for (unsigned int slot = 0; slot < 100; slot++)
		w.service.slots[slot].moving = true;
	plan = world_plan(&w);
	for (size_t i = 0; i < plan.steps_n; i++)
		for (size_t k = 0; k < plan.steps[i].slots_n; k++)
			cr_expect_geq(plan.steps[i].slots[k], 100);
	plan_done(&plan);
}
