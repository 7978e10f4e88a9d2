/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_leave.c - what is left to end on an instance that is retired, by the whole
 * orchestrator against fake agents: who is chosen, what if a host doesn't take the
 * pins, what is kept over a restart.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/flow.h"
#include "lib/json.h"
#include "orchestrator/elasticity.h"
#include "orchestrator/model.h"
#include "tests/unit/orch_fixture.h"

#define FLOWS	100 /* on the agent of fw-1: every other one is young */
#define YOUNG_S 1
#define OLD_S	1000

static struct policy policy;

static void setup(void)
{
	fixture_setup();
	policy_init(&policy);
}

TestSuite(leave, .init = setup, .fini = fixture_teardown, .timeout = 60);

static const char *flow_text(unsigned int i, char buf[FLOW_TEXT_MAX])
{
	snprintf(buf, FLOW_TEXT_MAX, "tcp 198.18.1.2:%u 198.18.2.2:80", 1000 + i);
	return buf;
}

static void flows_make(void)
{
	json_t *flows = json_array();
	char buf[FLOW_TEXT_MAX];

	for (unsigned int i = 0; i < FLOWS; i++)
		json_array_append_new(flows, json_pack("{ss si}", "flow", flow_text(i, buf),
						       "age_ms", 1000 * (i % 2 ? YOUNG_S : OLD_S)));
	pthread_mutex_lock(&world.lock);
	json_decref(world.agents[1].flows);
	world.agents[1].flows = flows;
	pthread_mutex_unlock(&world.lock);
}

/* All slots of fw-1 to fw-2, without those flows that end within 10 s; then fw-1 goes. */
static struct plan plan_make(void)
{
	struct plan plan = { .waves = 2, .steps_n = 2 };
	struct model *model = &orch->model;
	double ended[FF_LIVES] = { 0 };
	MODEL_LOCKED(model);
	const struct instance *from = model_find_instance(model, "fw-1");
	const struct instance *to = model_find_instance(model, "fw-2");
	const struct service *service = model_service(model, from->service);

	plan.service = service->id;
	strcpy(plan.service_name, service->name);
	ended[12] = 100; /* of 2 to 4 s */
	life_take(&plan.lives, 10, 100, ended);
	plan.steps = calloc(2, sizeof(*plan.steps));
	plan.steps[0] = (struct plan_step){ .kind = PLAN_MOVE,
					    .why = PLAN_SCALE_IN,
					    .from = { .id = from->id, .host = from->host },
					    .to = { .id = to->id, .host = to->host },
					    .leave_s = 10 };
	plan.steps[0].slots = calloc(service->table.slots, sizeof(*plan.steps[0].slots));
	for (unsigned int slot = 0; slot < service->table.slots; slot++)
		if (service->table.owners[slot] == from->id)
			plan.steps[0].slots[plan.steps[0].slots_n++] = slot;
	plan.steps[1] = (struct plan_step){ .kind = PLAN_RETIRE,
					    .why = PLAN_SCALE_IN,
					    .wave = 1,
					    .from = { .id = from->id, .host = from->host } };
	return plan;
}

static bool is_retiring(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/v1/instances/%s", name);
	return !json_is_null(json_object_get(call(200, "GET", path, NULL), "retiring_since"));
}

static void plan_run(struct plan plan)
{
	struct loads loads = { 0 };
	char id[OPERATION_ID_MAX], path[96];
	struct ff_error err = { 0 };

	cr_assert_eq(elasticity_start(orch->elasticity, &plan, &loads, &policy, id, &err), 0, "%s",
		     err.message);
	plan_done(&plan);
	snprintf(path, sizeof(path), "/v1/operations/%s?wait_ms=%d", id, WAIT_MS - 1000);
	cr_assert_str_neq(text(call(200, "GET", path, NULL), "state"), "running");
}

static void carry_out(void)
{
	plan_run(plan_make());
}

/* fw-1 is used again, and has its slots @first to @last back. */
static struct plan plan_back(const struct owners *before, unsigned int first, unsigned int last)
{
	struct plan plan = { .waves = 2, .steps_n = 2 };
	struct model *model = &orch->model;
	MODEL_LOCKED(model);
	const struct instance *back = model_find_instance(model, "fw-1");
	const struct instance *from = model_find_instance(model, "fw-2");

	plan.service = back->service;
	strcpy(plan.service_name, "fw");
	plan.steps = calloc(2, sizeof(*plan.steps));
	plan.steps[0] = (struct plan_step){ .kind = PLAN_RECALL,
					    .why = PLAN_OVERLOAD,
					    .to = { .id = back->id, .host = back->host } };
	plan.steps[1] = (struct plan_step){ .kind = PLAN_MOVE,
					    .why = PLAN_OVERLOAD,
					    .wave = 1,
					    .from = { .id = from->id, .host = from->host },
					    .to = { .id = back->id, .host = back->host } };
	plan.steps[1].slots = calloc(before->slots, sizeof(*plan.steps[1].slots));
	for (unsigned int slot = first; slot <= last; slot++)
		if (before->owners[slot] == back->id)
			plan.steps[1].slots[plan.steps[1].slots_n++] = slot;
	return plan;
}

static const json_t *step_of(size_t i)
{
	const json_t *plans = json_object_get(call(200, "GET", "/v1/plans", NULL), "plans");

	return json_array_get(json_object_get(json_object_get(json_array_get(plans, 0), "plan"),
					      "steps"),
			      i);
}

/* Young flows in the slots that fw-1 had; all of them are pinned to it, and no other flow. */
static unsigned int left_expect(const struct owners *before)
{
	struct model *model = &orch->model;
	MODEL_LOCKED(model);
	const struct instance *from = model_find_instance(model, "fw-1");
	const struct service *service = model_service(model, from->service);
	char buf[FLOW_TEXT_MAX];
	unsigned int n = 0;

	for (unsigned int i = 0; i < FLOWS; i++) {
		bool left;
		struct ff_flow_key key;

		cr_assert_eq(flow_parse(flow_text(i, buf), &key), 0);
		left = i % 2 && before->owners[owners_slot(before, &key)] == from->id;
		cr_expect_eq(owners_pin(&service->table, &key) != NULL, left, "flow %u", i);
		n += left;
	}
	cr_expect_eq(service->table.pins_n, n);
	return n;
}

static struct owners *table_copy(void)
{
	struct owners *copy = malloc(sizeof(*copy));
	MODEL_LOCKED(&orch->model);

	*copy = model_find_service(&orch->model, "fw")->table;
	return copy;
}

Test(leave, the_short_lived_stay_and_the_others_move)
{
	_cleanup_free_ struct owners *before = table_copy();
	unsigned int n;

	flows_make();
	carry_out();
	n = left_expect(before);
	cr_expect_gt(n, 5);
	cr_expect_eq(number(step_of(0), "left"), n);
	cr_expect_eq(number(step_of(1), "waits_for"), n, "it isn't retired yet");
	cr_expect(told("flows-left"));
	cr_expect_eq(number(call(200, "GET", "/v1/instances/fw-1", NULL), "slots"), 0);
	cr_expect_eq(number(call(200, "GET", "/v1/instances/fw-1", NULL), "pins"), n);
	cr_expect_gt(number(call(200, "GET", "/v1/instances/fw-1", NULL), "retiring_since"), 0);
}

Test(leave, it_is_kept_over_a_restart)
{
	json_int_t since, pins;

	flows_make();
	carry_out();
	since = number(call(200, "GET", "/v1/instances/fw-1", NULL), "retiring_since");
	pins = number(call(200, "GET", "/v1/instances/fw-1", NULL), "pins");
	orchestrator_down();
	orchestrator_up();
	cr_expect_eq(number(call(200, "GET", "/v1/instances/fw-1", NULL), "retiring_since"), since);
	cr_expect_eq(number(call(200, "GET", "/v1/instances/fw-1", NULL), "pins"), pins);
}

/* A steering host without the pins would send their packets after their slots. */
Test(leave, a_host_that_takes_no_pins_leaves_none)
{
	flows_make();
	fake_script(&world, "gw", "config", FAKE_REFUSE, 1000); /* each time that it is tried */
	carry_out();
	cr_expect_eq(number(step_of(0), "left"), 0);
	cr_expect_str_eq(text(step_of(0), "state"), "completed", "all of it is moved");
	cr_expect_str_eq(text(step_of(1), "state"), "completed");
	call(404, "GET", "/v1/instances/fw-1", NULL);
	MODEL_LOCKED(&orch->model);

	cr_expect_eq(model_find_service(&orch->model, "fw")->table.pins_n, 0);
}

/* What isn't moved after all needs no pins, and stays. */
Test(leave, a_move_that_fails_leaves_nothing_behind)
{
	flows_make();
	fake_script(&world, "nf2", "prepare", FAKE_REFUSE, ELASTICITY_TRIES);
	carry_out();
	cr_expect_str_eq(text(step_of(0), "state"), "failed");
	cr_expect_gt(number(step_of(0), "left"), 0);
	cr_expect_eq(number(call(200, "GET", "/v1/instances/fw-1", NULL), "pins"), 0);
	cr_expect_eq(number(call(200, "GET", "/v1/instances/fw-1", NULL), "slots"), 32);
	cr_expect_not(is_retiring("fw-1"));
}

/*
 * Load has come back: it isn't retired; pins stay where the slot
 * doesn't come back, and say something.
 */
Test(leave, who_is_taken_back_keeps_what_was_left)
{
	_cleanup_free_ struct owners *before = table_copy();
	unsigned int n, needed = 0;
	char buf[FLOW_TEXT_MAX];
	struct ff_flow_key key;
	uint16_t id;

	flows_make();
	carry_out();
	n = left_expect(before);
	cr_assert(is_retiring("fw-1"));
	id = (uint16_t)number(call(200, "GET", "/v1/instances/fw-1", NULL), "id");
	for (unsigned int i = 1; i < FLOWS; i += 2) {
		cr_assert_eq(flow_parse(flow_text(i, buf), &key), 0);
		needed += owners_slot(before, &key) >= 16 &&
			  before->owners[owners_slot(before, &key)] == id;
	}
	cr_assert(needed > 0 && needed < n);
	plan_run(plan_back(before, 0, 15));
	cr_expect_str_eq(text(step_of(0), "state"), "completed");
	cr_expect_str_eq(text(step_of(1), "state"), "completed");
	cr_expect(told("instance-recalled"));
	cr_expect_not(is_retiring("fw-1"));
	cr_expect_eq(number(call(200, "GET", "/v1/instances/fw-1", NULL), "pins"), needed);
	orchestrator_down();
	orchestrator_up();
	cr_expect_not(is_retiring("fw-1"));
}

/* Nobody is there any more who would go on with it; what is left there ends by itself. */
Test(leave, without_a_policy_nothing_is_retired)
{
	flows_make();
	carry_out();
	cr_assert(is_retiring("fw-1"));
	call(204, "DELETE", "/v1/services/fw/policy", NULL);
	cr_expect_not(is_retiring("fw-1"));
	orchestrator_down();
	orchestrator_up();
	cr_expect_not(is_retiring("fw-1"));
	cr_expect_gt(number(call(200, "GET", "/v1/instances/fw-1", NULL), "pins"), 0);
}

/* Another one that is given its name isn't retired for that. */
Test(leave, a_name_that_is_used_again_is_not_retired)
{
	char path[96];

	flows_make();
	carry_out();
	snprintf(path, sizeof(path), "/v1/operations/%s?wait_ms=%d",
		 text(call(202, "POST", "/v1/moves",
			   json_pack("{ss ss ss}", "service", "fw", "from", "fw-1", "to", "fw-2")),
		      "id"),
		 WAIT_MS - 1000);
	cr_assert_str_eq(text(call(200, "GET", path, NULL), "state"), "completed");
	call(204, "DELETE", "/v1/instances/fw-1", NULL);
	call(201, "POST", "/v1/services/fw/instances",
	     json_pack("{ss ss}", "name", "fw-1", "host", "nf1"));
	orchestrator_down();
	orchestrator_up();
	cr_expect_not(is_retiring("fw-1"));
}
