/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_loop_plan.c - for which load the loop has plans made, where not
 * all that it wishes can be done.
 */
#include <criterion/criterion.h>

#include "orchestrator/elasticity_internal.h"
#include "orchestrator/loop_internal.h"
#include "tests/unit/planner_fixture.h"

static struct world w;
static struct orchestrator orch;
static struct elasticity elasticity;
static struct loop loop;

static void setup(void)
{
	model_init(&orch.model);
	elasticity.orch = &orch;
	orch.elasticity = &elasticity;
	loop.orch = &orch;
}

static void teardown(void)
{
	model_done(&orch.model);
	world_done(&w);
}

TestSuite(loop_plan, .init = setup, .fini = teardown);

/*
 * Six instances at 20 %, two of them on hosts that are drained; and no
 * more than the other four may be.
 */
static void two_of_six_leave(double growth)
{
	world_init(&w, 6, 6, 384);
	for (unsigned int i = 0; i < 6; i++)
		world_slots(&w, i * 64, i * 64 + 63, i, 20000);
	world_measure(&w);
	w.policy.instances.max = 4;
	w.loads.hosts[4].conditions = w.loads.hosts[5].conditions = HOST_MAINTENANCE;
	w.service.growth = growth;
	w.service.risen = 1;
	loop.loads = w.loads;
	loop.policies[w.service.id] = w.policy;
	loop.has_policy[w.service.id] = true;
}

Test(loop_plan, scale_in_is_for_the_load_that_was)
{
	struct plan plan;

	two_of_six_leave(1);
	cr_assert_eq(loop_plan_make(&loop, &w.service, PLANNER_SHRINK, &plan), 0);
	cr_expect_gt(plan_count(&plan, PLAN_RETIRE), 0, "%s", plan.reason);
	plan_done(&plan);
}

/* What leaves its hosts fits by the load now, which says nothing of the load that was. */
Test(loop_plan, what_fits_only_now_takes_no_instance_away)
{
	struct plan plan;

	two_of_six_leave(2.5);
	cr_assert_eq(loop_plan_make(&loop, &w.service, PLANNER_SHRINK, &plan), 0);
	cr_expect_eq(plan.stuck, 0, "%s", plan.reason);
	cr_expect_gt(plan_count(&plan, PLAN_MOVE), 0);
	cr_expect_eq(plan_count(&plan, PLAN_RETIRE), 0, "%s", plan.reason);
	plan_done(&plan);
}
