/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_planner.c - the situations: what the plan is in each, and what it must not be. */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "tests/unit/planner_fixture.h"

static struct world w;

static void teardown(void)
{
	world_done(&w);
}

TestSuite(planner, .fini = teardown);

/* Three hosts; fw-1 has @first packets/s in 128 slots, fw-2 @second in as many. */
static void two_instances(double first, double second)
{
	world_init(&w, 3, 2, 256);
	world_slots(&w, 0, 127, 0, first);
	world_slots(&w, 128, 255, 1, second);
	world_measure(&w);
}

static double target(void)
{
	return WORLD_CAPACITY * w.policy.utilisation.target_percent / 100;
}

/* The first step of a kind; fails the test if there is none. */
static const struct plan_step *step_of(const struct plan *plan, enum plan_kind kind)
{
	for (size_t i = 0; i < plan->steps_n; i++)
		if (plan->steps[i].kind == kind)
			return &plan->steps[i];
	cr_assert_fail("no step '%s': %s", plan_kind_name(kind), plan->reason);
	abort();
}

static void expect_under_target(const struct plan *plan, size_t instances)
{
	double after[8];

	world_after(&w, plan, after, instances);
	for (size_t i = 0; i < instances; i++)
		cr_expect_leq(after[i], target() * 1.0001, "instance %zu has %.0f", i + 1,
			      after[i]);
}

Test(planner, scales_out_onto_the_empty_host)
{
	struct plan plan;

	two_instances(80000, 60000);
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_CREATE), 1);
	cr_expect_eq(step_of(&plan, PLAN_CREATE)->to.host, 3);
	cr_expect_eq(step_of(&plan, PLAN_CREATE)->why, PLAN_OVERLOAD);
	cr_expect_eq(step_of(&plan, PLAN_MOVE)->from.id, 1);
	cr_expect_eq(plan.instances_after, 3);
	expect_under_target(&plan, 3);
	plan_done(&plan);
}

Test(planner, uses_room_before_it_scales_out)
{
	struct plan plan;

	two_instances(80000, 30000);
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_CREATE), 0);
	expect_under_target(&plan, 2);
	plan_done(&plan);
}

Test(planner, leaves_alone_what_nobody_asked_to_relieve)
{
	struct plan plan;

	two_instances(80000, 60000);
	w.input.flags = 0;
	plan = world_plan(&w);
	cr_expect_eq(plan.steps_n, 0, "%s", plan.reason);
	plan_done(&plan);
}

Test(planner, plans_for_the_forecast)
{
	struct plan plan;

	two_instances(60000, 60000);
	plan = world_plan(&w);
	cr_expect_eq(plan.steps_n, 0);
	plan_done(&plan);
	w.input.growth = 1.3;
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_CREATE), 1);
	plan_done(&plan);
}

Test(planner, never_passes_the_maximum)
{
	struct plan plan;

	two_instances(90000, 90000);
	w.policy.instances.max = 2;
	plan = world_plan(&w);
	cr_expect_eq(plan.steps_n, 0, "%s", plan.reason);
	cr_expect_gt(plan.short_pps, 0);
	plan_done(&plan);
}

Test(planner, an_elephant_beyond_any_target_scales_nothing_out)
{
	struct plan plan;

	world_init(&w, 3, 2, 256);
	world_slots(&w, 0, 127, 0, 1000);
	world_slots(&w, 128, 255, 1, 1000);
	world_flow(&w, 5, -1, 90000);
	world_measure(&w);
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_CREATE), 0, "%s", plan.reason);
	plan_done(&plan);
}

Test(planner, pins_an_elephant_whose_slot_is_dearer)
{
	const struct plan_step *move;
	struct plan plan;

	world_init(&w, 3, 2, 8);
	world_slots(&w, 0, 3, 0, 50000);
	world_slots(&w, 4, 7, 1, 30000);
	for (unsigned int slot = 0; slot < 8; slot++)
		w.service.slots[slot].flows = 50000;
	world_flow(&w, 2, -1, 30000);
	world_measure(&w);
	plan = world_plan(&w);
	move = step_of(&plan, PLAN_MOVE);
	cr_expect_eq(move->flows_n, 1);
	cr_expect_eq(move->slots_n, 0);
	cr_expect_eq(move->to.id, 2);
	expect_under_target(&plan, 2);
	plan_done(&plan);
}

Test(planner, scales_in_but_for_the_last)
{
	struct plan plan;

	two_instances(1000, 2000);
	w.input.flags = PLANNER_SHRINK;
	plan = world_plan(&w);
	cr_expect_eq(plan.instances_after, 1);
	cr_expect_eq(step_of(&plan, PLAN_RETIRE)->from.id, 1, "not the cheapest to empty");
	plan_done(&plan);

	w.policy.instances.min = 2;
	plan = world_plan(&w);
	cr_expect_eq(plan.steps_n, 0, "%s", plan.reason);
	plan_done(&plan);
}

Test(planner, does_not_retire_the_young)
{
	struct plan plan;

	two_instances(1000, 2000);
	w.policy.stability.lifetime_ms = 1000;
	w.service.instances[0].age_ms = w.service.instances[1].age_ms = 500;
	w.input.flags = PLANNER_SHRINK;
	plan = world_plan(&w);
	cr_expect_eq(plan.steps_n, 0, "%s", plan.reason);
	plan_done(&plan);
}

/* 1000 flows begin each second and live 4 s, so that each has at most 4 s left. */
static void lives_short(void)
{
	struct life_table *lives = &w.service.lives;

	*lives = (struct life_table){ .seconds = 100, .began = 100000 };
	lives->ended[ff_life_bin(4000000000ull >> FF_BORN_SHIFT)] = 100000;
}

Test(planner, leaves_to_end_what_ends_soon)
{
	struct plan plan;
	const struct plan_step *move;
	double all;

	two_instances(1000, 2000);
	w.policy.scale_in.patience_ms = 10000;
	w.policy.scale_in.deadline_ms = 20000;
	w.input.flags = PLANNER_SHRINK;
	plan = world_plan(&w);
	cr_expect_eq(plan.left_n, 0, "nothing is known of their lives");
	move = step_of(&plan, PLAN_MOVE);
	cr_expect_eq(move->leave_s, 0);
	all = move->flows_moved;
	plan_done(&plan);
	lives_short();
	plan = world_plan(&w);
	move = step_of(&plan, PLAN_MOVE);
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
	cr_expect_eq(step_of(&plan, PLAN_MOVE)->leave_s, 0);
	plan_done(&plan);
}

/* A plan has moved the slots of the first instance, and left flows there. */
static void one_retires(unsigned int pins)
{
	two_instances(1000, 2000);
	w.policy.scale_in.patience_ms = 10000;
	w.policy.scale_in.deadline_ms = 20000;
	w.input.flags = 0;
	world_slots(&w, 0, 127, 1, 1000);
	for (unsigned int i = 0; i < pins; i++)
		world_flow(&w, i, 0, 10);
	world_measure(&w);
	w.service.instances[0].state = INSTANCE_RETIRING;
}

Test(planner, waits_for_what_was_left_until_the_deadline)
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
	cr_expect_eq(step_of(&plan, PLAN_MOVE)->flows_n, 1);
	cr_expect_eq(plan_count(&plan, PLAN_RETIRE), 0);
	cr_expect_eq(plan.left[0].pins, 2);
	plan_done(&plan);

	w.service.instances[0].state_ms = 20000; /* the deadline */
	plan = world_plan(&w);
	cr_expect_eq(plan.left_n, 0);
	cr_expect_eq(step_of(&plan, PLAN_MOVE)->flows_n, 3);
	cr_expect_eq(step_of(&plan, PLAN_MOVE)->to.id, w.service.instances[1].id,
		     "to their slots' owner, where they need no pin");
	cr_expect_eq(plan_count(&plan, PLAN_RETIRE), 1);
	plan_done(&plan);
}

Test(planner, an_operator_who_empties_a_host_has_no_patience)
{
	struct plan plan;

	one_retires(2);
	w.service.instances[0].state_ms = 1000;
	w.loads.hosts[0].conditions = HOST_MAINTENANCE;
	plan = world_plan(&w);
	cr_expect_eq(step_of(&plan, PLAN_MOVE)->flows_n, 2);
	plan_done(&plan);
}

Test(planner, what_was_left_and_has_ended_is_retired)
{
	struct plan plan;

	one_retires(0);
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_RETIRE), 1);
	cr_expect_eq(plan.steps_n, 1);
	plan_done(&plan);
}

/* Half of an upgrade has been done: the old version can't read what the new one writes. */
Test(planner, moves_nothing_to_an_older_version)
{
	struct plan plan;

	two_instances(50000, 10000);
	w.service.instances[1].outdated = true;
	w.input.flags = PLANNER_BALANCE;
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_MOVE), 0, "%s", plan.reason);
	plan_done(&plan);

	world_done(&w);
	two_instances(1000, 2000);
	w.service.instances[1].outdated = true;
	w.input.flags = PLANNER_SHRINK;
	plan = world_plan(&w);
	cr_expect_eq(step_of(&plan, PLAN_MOVE)->from.id, w.service.instances[1].id);
	plan_done(&plan);
}

Test(planner, balances_only_when_asked_and_when_it_gains)
{
	struct plan plan;
	double after[2];

	two_instances(50000, 10000);
	plan = world_plan(&w);
	cr_expect_eq(plan.steps_n, 0);
	plan_done(&plan);
	w.input.flags = PLANNER_BALANCE;
	plan = world_plan(&w);
	cr_expect_eq(step_of(&plan, PLAN_MOVE)->why, PLAN_IMBALANCE);
	world_after(&w, &plan, after, 2);
	cr_expect_lt(after[0],
		     30000 + WORLD_CAPACITY * w.policy.utilisation.imbalance_percent / 100);
	plan_done(&plan);
	w.policy.moves.gain_percent = 30;
	plan = world_plan(&w);
	cr_expect_eq(plan.steps_n, 0, "%s", plan.reason);
	plan_done(&plan);
}

Test(planner, goes_over_target_for_flows_without_an_owner_only)
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
	cr_expect_gt(fmax(after[0], after[2]), target());
	plan_done(&plan);

	/* the same by a drain: who has an owner stays there */
	w.service.instances[1].state = INSTANCE_DRAINING;
	plan = world_plan(&w);
	cr_expect_gt(plan.stuck, 0);
	world_after(&w, &plan, after, 3);
	cr_expect_leq(fmax(after[0], after[2]), target() * 1.0001);
	plan_done(&plan);
}

Test(planner, empties_a_host_in_maintenance)
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

Test(planner, spreads_over_hosts)
{
	struct plan plan;

	world_init(&w, 2, 1, 64);
	world_slots(&w, 0, 63, 0, 90000);
	world_measure(&w);
	w.policy.placement.spread = true;
	plan = world_plan(&w);
	cr_expect_eq(step_of(&plan, PLAN_CREATE)->to.host, 2);
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
	cr_expect_neq(step_of(&plan, PLAN_RETIRE)->from.id, 2);
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
	cr_expect_eq(step_of(&plan, PLAN_CREATE)->to.host, 2);
	cr_expect_eq(step_of(&plan, PLAN_RETIRE)->from.id, 2);
	plan_done(&plan);
}

Test(planner, creates_where_there_is_room)
{
	struct plan plan;

	two_instances(80000, 60000);
	w.loads.hosts[2].cpu.user = 7; /* of 8 */
	plan = world_plan(&w);
	cr_expect_neq(step_of(&plan, PLAN_CREATE)->to.host, 3);
	plan_done(&plan);
	w.policy.instances.per_host = 1;
	w.loads.hosts[2].cpu.user = 0;
	w.loads.hosts[2].quality.validity = LOAD_STALE;
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_CREATE), 0, "no room, or not known");
	plan_done(&plan);
}

Test(planner, fills_no_host_over_its_share_of_cpu)
{
	struct plan plan;
	double after[3];

	two_instances(80000, 30000);
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

Test(planner, stale_figures_are_no_zero)
{
	struct plan plan;
	double after[3];

	/* fw-2 looks idle, but nobody knows */
	two_instances(80000, 0);
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

Test(planner, moves_the_flows_of_the_failed_without_any_figures)
{
	struct plan plan;

	two_instances(50000, 10000);
	w.service.instances[0].state = INSTANCE_FAILED;
	w.service.slots_quality.validity = LOAD_MISSING;
	plan = world_plan(&w);
	cr_expect_eq(plan.orphans, 0, "%s", plan.reason);
	plan_done(&plan);
}

Test(planner, keeps_together_what_belongs_together)
{
	struct plan plan;
	size_t grouped = 0;

	two_instances(80000, 30000);
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
	cr_expect_eq(step_of(&plan, PLAN_MOVE)->why, PLAN_TOGETHER);
	cr_expect_eq(step_of(&plan, PLAN_MOVE)->slots_n, 16);
	cr_expect_eq(step_of(&plan, PLAN_MOVE)->to.id, 2);
	plan_done(&plan);
}

Test(planner, moves_rules_too)
{
	struct plan plan;

	two_instances(20000, 20000);
	w.service.rules[0] = (struct rule_load){
		.index = 4, .owner = 1, .valid = true, .packets_per_s = 1000, .flows = 10
	};
	w.service.rules_n = 1;
	w.service.instances[0].state = INSTANCE_DRAINING;
	plan = world_plan(&w);
	cr_expect_eq(step_of(&plan, PLAN_MOVE)->rules_n, 1);
	cr_expect_eq(step_of(&plan, PLAN_MOVE)->rules[0], 4);
	plan_done(&plan);
}

Test(planner, steps_stay_within_freeze_and_parking)
{
	struct cost_prediction one;
	struct plan plan;
	size_t whole;

	two_instances(30000, 30000);
	w.service.instances[0].state = INSTANCE_DRAINING;
	plan = world_plan(&w);
	whole = plan_count(&plan, PLAN_MOVE);
	one = step_of(&plan, PLAN_MOVE)->predicted;
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

Test(planner, what_was_frozen_just_now_is_not_moved_for_relief)
{
	struct plan plan;

	two_instances(80000, 30000);
	for (unsigned int slot = 0; slot < 128; slot++)
		w.service.slots[slot].frozen_us = (float)(w.policy.moves.freeze_ms_per_s * 1e3);
	cr_assert_gt(w.policy.moves.freeze_ms_per_s, 0);
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_MOVE), 0, "%s", plan.reason);
	plan_done(&plan);
}

Test(planner, slots_under_way_are_left_alone)
{
	struct plan plan;

	two_instances(80000, 30000);
	for (unsigned int slot = 0; slot < 100; slot++)
		w.service.slots[slot].moving = true;
	plan = world_plan(&w);
	for (size_t i = 0; i < plan.steps_n; i++)
		for (size_t k = 0; k < plan.steps[i].slots_n; k++)
			cr_expect_geq(plan.steps[i].slots[k], 100);
	plan_done(&plan);
}

Test(planner, refuses_contradictions)
{
	struct plan plan = {};

	two_instances(80000, 30000);
	w.input.service = 9;
	cr_expect_eq(planner_plan(&w.input, &plan), -ENOENT);
	w.input.service = 1;
	w.policy.instances.min = 9;
	w.policy.instances.max = 3;
	cr_expect_eq(planner_plan(&w.input, &plan), -EINVAL);
	w.policy.instances.min = 1;
	w.service.instances[1].id = 1; /* two of one number */
	cr_expect_eq(planner_plan(&w.input, &plan), -EINVAL);
}

Test(planner, reads_well)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json_t *json = NULL;
	const json_t *move;
	struct plan plan;

	two_instances(80000, 60000);
	plan = world_plan(&w);
	cr_assert_eq(plan_text(&plan, &w.loads, &text), 0);
	cr_expect(strstr(text, "create new-1 on nf3"), "%s", text);
	cr_expect(strstr(text, "fw-1 -> new-1, "), "%s", text);
	cr_expect(strstr(text, "freeze"), "%s", text);
	json = plan_to_json(&plan, &w.loads);
	move = json_array_get(json_object_get(json, "steps"), 1);
	cr_expect_str_eq(json_string_value(json_object_get(move, "kind")), "move");
	cr_expect_str_eq(json_string_value(json_object_get(json_object_get(move, "to"), "host")),
			 "nf3");
	cr_expect_gt(json_real_value(
			     json_object_get(json_object_get(move, "predicted"), "freeze_us")),
		     0);
	cr_expect_eq(json_integer_value(json_object_get(move, "slots_count")),
		     (json_int_t)plan.steps[1].slots_n);
	plan_done(&plan);
}
