/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_planner.c - the situations: what the plan is in each, and what it must not be. */
#include <criterion/criterion.h>
#include <errno.h>
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

Test(planner, scales_out_onto_the_empty_host)
{
	struct plan plan;

	world_two(&w, 80000, 60000);
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_CREATE), 1);
	cr_expect_eq(plan_step_of(&plan, PLAN_CREATE)->to.host, 3);
	cr_expect_eq(plan_step_of(&plan, PLAN_CREATE)->why, PLAN_OVERLOAD);
	cr_expect_eq(plan_step_of(&plan, PLAN_MOVE)->from.id, 1);
	cr_expect_eq(plan.instances_after, 3);
	expect_under_target(&w, &plan, 3);
	plan_done(&plan);
}

Test(planner, uses_room_before_it_scales_out)
{
	struct plan plan;

	world_two(&w, 80000, 30000);
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_CREATE), 0);
	expect_under_target(&w, &plan, 2);
	plan_done(&plan);
}

Test(planner, leaves_alone_what_nobody_asked_to_relieve)
{
	struct plan plan;

	world_two(&w, 80000, 60000);
	w.input.flags = 0;
	plan = world_plan(&w);
	cr_expect_eq(plan.steps_n, 0, "%s", plan.reason);
	cr_expect_eq(plan.short_pps, 0, "nor is it missed: %s", plan.reason);
	plan_done(&plan);
}

Test(planner, plans_for_the_forecast)
{
	struct plan plan;

	world_two(&w, 60000, 60000);
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

	world_two(&w, 90000, 90000);
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
	move = plan_step_of(&plan, PLAN_MOVE);
	cr_expect_eq(move->flows_n, 1);
	cr_expect_eq(move->slots_n, 0);
	cr_expect_eq(move->to.id, 2);
	expect_under_target(&w, &plan, 2);
	plan_done(&plan);
}

Test(planner, scales_in_but_for_the_last)
{
	struct plan plan;

	world_two(&w, 1000, 2000);
	w.input.flags = PLANNER_SHRINK;
	plan = world_plan(&w);
	cr_expect_eq(plan.instances_after, 1);
	cr_expect_eq(plan_step_of(&plan, PLAN_RETIRE)->from.id, 1, "not the cheapest to empty");
	plan_done(&plan);

	w.policy.instances.min = 2;
	plan = world_plan(&w);
	cr_expect_eq(plan.steps_n, 0, "%s", plan.reason);
	plan_done(&plan);
}

Test(planner, does_not_retire_the_young)
{
	struct plan plan;

	world_two(&w, 1000, 2000);
	w.policy.stability.lifetime_ms = 1000;
	w.service.instances[0].age_ms = w.service.instances[1].age_ms = 500;
	w.input.flags = PLANNER_SHRINK;
	plan = world_plan(&w);
	cr_expect_eq(plan.steps_n, 0, "%s", plan.reason);
	plan_done(&plan);
}

/* Half of an upgrade has been done: the old version can't read what the new one writes. */
Test(planner, moves_nothing_to_an_older_version)
{
	struct plan plan;

	world_two(&w, 50000, 10000);
	w.service.instances[1].outdated = true;
	w.input.flags = PLANNER_BALANCE;
	plan = world_plan(&w);
	cr_expect_eq(plan_count(&plan, PLAN_MOVE), 0, "%s", plan.reason);
	plan_done(&plan);

	world_done(&w);
	world_two(&w, 1000, 2000);
	w.service.instances[1].outdated = true;
	w.input.flags = PLANNER_SHRINK;
	plan = world_plan(&w);
	cr_expect_eq(plan_step_of(&plan, PLAN_MOVE)->from.id, w.service.instances[1].id);
	plan_done(&plan);
}

Test(planner, balances_only_when_asked_and_when_it_gains)
{
	struct plan plan;
	double after[2];

	world_two(&w, 50000, 10000);
	plan = world_plan(&w);
	cr_expect_eq(plan.steps_n, 0);
	plan_done(&plan);
	w.input.flags = PLANNER_BALANCE;
	plan = world_plan(&w);
	cr_expect_eq(plan_step_of(&plan, PLAN_MOVE)->why, PLAN_IMBALANCE);
	world_after(&w, &plan, after, 2);
	cr_expect_lt(after[0],
		     30000 + WORLD_CAPACITY * w.policy.utilisation.imbalance_percent / 100);
	plan_done(&plan);
	w.policy.moves.gain_percent = 30;
	plan = world_plan(&w);
	cr_expect_eq(plan.steps_n, 0, "%s", plan.reason);
	plan_done(&plan);
}

Test(planner, moves_rules_too)
{
	struct plan plan;

	world_two(&w, 20000, 20000);
	w.service.rules[0] = (struct rule_load){
		.index = 4, .owner = 1, .valid = true, .packets_per_s = 1000, .flows = 10
	};
	w.service.rules_n = 1;
	w.service.instances[0].state = INSTANCE_DRAINING;
	plan = world_plan(&w);
	cr_expect_eq(plan_step_of(&plan, PLAN_MOVE)->rules_n, 1);
	cr_expect_eq(plan_step_of(&plan, PLAN_MOVE)->rules[0], 4);
	plan_done(&plan);
}

Test(planner, refuses_contradictions)
{
	struct plan plan = {};

	world_two(&w, 80000, 30000);
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

/* 1024 slots, which makes groups of two, @stride in turn to each of two instances on one host. */
static void one_host(unsigned int stride)
{
	world_init(&w, 2, 2, 1024);
	for (unsigned int slot = 0; slot < 1024; slot++)
		world_slot(&w, slot, slot / stride % 2, 5);
	world_measure(&w);
	w.service.instances[1].host = w.service.instances[0].host;
	w.input.flags = PLANNER_SHRINK;
}

static bool predicts_handover(void)
{
	struct plan plan = world_plan(&w);
	const struct cost_prediction *predicted = &plan_step_of(&plan, PLAN_MOVE)->predicted;
	bool handed = predicted->rounds == 0;

	cr_expect_eq(handed, predicted->bytes == 0);
	cr_expect_gt(predicted->total_us, 0);
	plan_done(&plan);
	return handed;
}

/* What the agent hands over isn't predicted as a copy, and what it copies not as a handover. */
Test(planner, knows_what_is_handed_over)
{
	_cleanup_free_ char *text = NULL;
	struct plan plan;

	one_host(2);
	cr_expect(predicts_handover());
	plan = world_plan(&w);
	cr_assert_eq(plan_text(&plan, &w.loads, &text), 0);
	cr_expect(strstr(text, "handed over without a copy"), "%s", text);
	plan_done(&plan);
	w.service.instances[1].host = w.loads.hosts[1].id;
	cr_expect_not(predicts_handover(), "another host");
	teardown();

	one_host(1);
	cr_expect_not(predicts_handover(), "each group's slots are of both");
	teardown();

	one_host(512);
	world_slot(&w, 0, 0, 0.3 * WORLD_CAPACITY);
	world_slot(&w, 1, 0, 0.4 * WORLD_CAPACITY);
	world_measure(&w);
	w.input.flags = PLANNER_RELIEVE;
	cr_expect_not(predicts_handover(), "half of a group stays");
	teardown();

	one_host(2);
	world_flow(&w, 0, 0, 1);
	world_measure(&w);
	cr_expect_not(predicts_handover(), "a pin");
}

Test(planner, reads_well)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json_t *json = NULL;
	const json_t *move;
	struct plan plan;

	world_two(&w, 80000, 60000);
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
