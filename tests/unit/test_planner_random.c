/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_planner_random.c - what holds of every plan: no constraint worse than found, the same plan
 * for the same input in any order, no harm from absurd input; and what a large plan takes.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/json.h"
#include "tests/unit/planner_fixture.h"

#define ROUNDS 150

TestSuite(planner_random);

/* Hosts and instances in all kinds of states, any flags; a group or two. */
static void random_trouble(struct world *w, struct random *random)
{
	static const uint32_t conditions[] = { HOST_FAILED, HOST_MAINTENANCE, HOST_OVERLOAD,
					       HOST_SUSPECT, HOST_PRESSURE };

	w->input.flags = random_below(random, 8);
	w->policy.instances.max = 1 + random_below(random, 12);
	w->policy.placement.spread = random_below(random, 2);
	w->policy.moves.at_once = 1 + random_below(random, 4);
	w->policy.moves.parked_packets = 1 + random_below(random, 100);
	if (random_below(random, 4) == 0)
		w->input.growth = 0.5 + random_below(random, 20) / 10.0;
	if (random_below(random, 3) == 0)
		w->loads.hosts[random_below(random, (unsigned int)w->loads.hosts_n)].cpu.user = 6;
	if (random_below(random, 2))
		w->loads.hosts[random_below(random, (unsigned int)w->loads.hosts_n)].conditions =
			conditions[random_below(random, ARRAY_SIZE(conditions))];
	for (unsigned int i = 0; i < random_below(random, 3); i++) {
		struct instance_load *instance =
			&w->service.instances[random_below(random,
							   (unsigned int)w->service.instances_n)];

		instance->state = (enum instance_state)random_below(random, INSTANCE_FAILED + 1);
		/*
		 * the first one's are known: without any, nobody can know what an instance can do
		 */
		if (instance != w->service.instances)
			instance->quality.validity = (enum load_validity)random_below(random, 4);
	}
	for (unsigned int i = 0; i < random_below(random, 10); i++)
		w->service.slots[random_below(random, (unsigned int)w->service.slots_n)].group =
			1 + random_below(random, 2);
}

static void random_world(struct world *w, unsigned int seed, struct random *random)
{
	*random = (struct random){ seed };
	world_random(w, random, 1 + random_below(random, 5), 1 + random_below(random, 8),
		     8 + random_below(random, 120), random_below(random, 6),
		     0.05 + random_below(random, 100) / 100.0);
	random_trouble(w, random);
}

/* With two or more instances on two hosts before, not all of them are on one afterwards. */
static void check_spread(const struct world *w, const struct plan *plan)
{
	bool stays[64];
	uint16_t before = 0, after = 0;
	bool before_one = true, after_one = true;
	unsigned int n = 0, m = 0;

	if (!w->policy.placement.spread)
		return;
	for (size_t i = 0; i < w->service.instances_n; i++) {
		const struct instance_load *in = &w->service.instances[i];
		uint32_t conditions = w->loads.hosts[in->host - 1].conditions;

		stays[i] = in->state != INSTANCE_FAILED && in->state != INSTANCE_DRAINING &&
			   in->state != INSTANCE_RETIRING &&
			   !(conditions & (HOST_FAILED | HOST_MAINTENANCE));
		if (stays[i]) {
			before_one = before_one && (n == 0 || before == in->host);
			before = in->host;
			n++;
		}
		for (size_t k = 0; k < plan->steps_n; k++)
			if (plan->steps[k].kind == PLAN_RETIRE && plan->steps[k].from.id == in->id)
				stays[i] = false;
		for (size_t k = 0; k < plan->steps_n; k++)
			if (plan->steps[k].kind == PLAN_RECALL && plan->steps[k].to.id == in->id)
				stays[i] = true;
		if (stays[i]) {
			after_one = after_one && (m == 0 || after == in->host);
			after = in->host;
			m++;
		}
	}
	for (size_t k = 0; k < plan->steps_n; k++) {
		if (plan->steps[k].kind != PLAN_CREATE)
			continue;
		after_one = after_one && (m == 0 || after == plan->steps[k].to.host);
		after = plan->steps[k].to.host;
		m++;
	}
	if (m >= 2 && !(n >= 2 && before_one))
		cr_assert(!after_one, "%u instances, all on host %u", m, after);
}

/* Nothing is given to what must not get it, and the numbers of instances hold. */
static void check_targets(const struct world *w, const struct plan *plan)
{
	_cleanup_free_ bool *recalled = calloc(w->service.instances_n + 1, sizeof(*recalled));
	size_t n = w->service.instances_n;

	for (size_t i = 0; i < plan->steps_n; i++) {
		const struct plan_step *step = &plan->steps[i];
		const struct instance_load *to;
		uint32_t conditions;

		if (step->kind == PLAN_RETIRE)
			continue;
		conditions = w->loads.hosts[step->to.host - 1].conditions;
		cr_assert(!(conditions & (HOST_FAILED | HOST_MAINTENANCE | HOST_SUSPECT)));
		if (step->kind == PLAN_CREATE) {
			n++;
			cr_assert_eq(conditions, 0);
			continue;
		}
		if (step->to.created)
			continue;
		to = &w->service.instances[step->to.id - 1];
		if (step->kind == PLAN_RECALL) {
			cr_assert_eq(to->state, INSTANCE_RETIRING);
			cr_assert_eq(conditions, 0);
			recalled[step->to.id - 1] = true;
		}
		cr_assert(to->state == INSTANCE_RUNNING || to->state == INSTANCE_STARTING ||
			  recalled[step->to.id - 1]);
		cr_assert(to->quality.validity == LOAD_VALID || to->state == INSTANCE_STARTING);
	}
	cr_assert_leq(plan->instances_after, fmax(w->policy.instances.max, w->service.instances_n));
}

Test(planner_random, no_constraint_is_worse)
{
	for (unsigned int seed = 1; seed <= ROUNDS; seed++) {
		struct random random;
		struct world w;
		struct plan plan;

		random_world(&w, seed, &random);
		plan = world_plan(&w);
		check_spread(&w, &plan);
		check_targets(&w, &plan);
		plan_done(&plan);
		world_done(&w);
	}
}

static char *plan_dump(struct world *w)
{
	struct plan plan = world_plan(w);
	json_t *json = plan_to_json(&plan, &w->loads);
	char *text = json_dumps(json, JSON_SORT_KEYS);

	cr_assert(text);
	json_decref(json);
	plan_done(&plan);
	return text;
}

Test(planner_random, the_same_input_gives_the_same_plan_in_any_order)
{
	for (unsigned int seed = 1; seed <= ROUNDS; seed++) {
		struct random random;
		struct world w;
		char *first, *second, *third;

		random_world(&w, seed, &random);
		first = plan_dump(&w);
		second = plan_dump(&w);
		cr_expect_str_eq(first, second);
		for (size_t i = 0; i < w.service.instances_n / 2; i++) {
			size_t other = w.service.instances_n - 1 - i;
			struct instance_load instance = w.service.instances[i];

			w.service.instances[i] = w.service.instances[other];
			w.service.instances[other] = instance;
		}
		for (size_t i = 0; i < w.loads.hosts_n / 2; i++) {
			struct host_load host = w.loads.hosts[i];

			w.loads.hosts[i] = w.loads.hosts[w.loads.hosts_n - 1 - i];
			w.loads.hosts[w.loads.hosts_n - 1 - i] = host;
		}
		third = plan_dump(&w);
		cr_expect_str_eq(first, third, "seed %u", seed);
		free(first);
		free(second);
		free(third);
		world_done(&w);
	}
}

static double random_absurd(struct random *random)
{
	const double values[] = { NAN, INFINITY, -INFINITY, -1, -1e30, 1e30, 0, 1e-30 };

	return values[random_below(random, ARRAY_SIZE(values))];
}

Test(planner_random, absurd_figures_do_no_harm)
{
	for (unsigned int seed = 1; seed <= ROUNDS; seed++) {
		struct random random;
		struct world w;
		struct plan plan;
		json_t *json;

		random_world(&w, seed, &random);
		for (unsigned int i = 0; i < 6; i++) {
			struct slot_load *slot =
				&w.service.slots[random_below(&random,
							      (unsigned int)w.service.slots_n)];
			struct instance_load *instance =
				&w.service.instances[random_below(&random, (unsigned int)w.service
										   .instances_n)];
			struct host_load *host =
				&w.loads.hosts[random_below(&random,
							    (unsigned int)w.loads.hosts_n)];

			slot->packets_per_s = (float)random_absurd(&random);
			slot->state_bytes = (float)random_absurd(&random);
			slot->flows = (float)random_absurd(&random);
			slot->owner = (uint16_t)random_u64(&random);
			instance->packets_per_s = random_absurd(&random);
			instance->ns_per_packet = random_absurd(&random);
			instance->capacity_pps = random_absurd(&random);
			host->cpu.softirq = (float)random_absurd(&random);
			host->cpus = random_absurd(&random);
			host->link_bytes_per_s = random_absurd(&random);
			instance->host = (uint16_t)random_below(&random, 9);
		}
		w.input.growth = random_absurd(&random);
		cr_assert_eq(planner_plan(&w.input, &plan), 0);
		cr_expect(isfinite(plan.cost_us) && isfinite(plan.busiest_after), "seed %u", seed);
		json = plan_to_json(&plan, &w.loads);
		cr_expect(json);
		json_decref(json);
		plan_done(&plan);
		world_done(&w);
	}
}

static double cpu_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* A benchmark: prints its time; a test of size, not of speed. */
Test(planner_random, plans_a_thousand_instances_and_a_million_slots)
{
	struct random random = { 1 };
	struct world w;
	struct plan plan;
	double began;

	world_random(&w, &random, FF_HOSTS_MAX, 1000, 1000000, 0, 0.6);
	for (size_t i = 0; i < w.loads.hosts_n; i++)
		w.loads.hosts[i].cpus = 32;
	w.policy.instances.max = FF_INSTANCES_MAX;
	w.loads.hosts[3].conditions = HOST_MAINTENANCE;
	w.loads.hosts[5].conditions = HOST_FAILED;
	began = cpu_s();
	cr_assert_eq(planner_plan(&w.input, &plan), 0);
	printf("planner: 1,000 instances, 1,000,000 slots, a host drained, a host failed: %.0f ms "
	       "of CPU, %zu steps\n",
	       (cpu_s() - began) * 1e3, plan.steps_n);
	cr_expect_eq(plan.orphans, 0);
	cr_expect_eq(plan.stuck, 0);
	cr_expect_leq(plan.busiest_after, w.policy.utilisation.target_percent / 100.0 + 1e-4);
	plan_done(&plan);
	world_done(&w);
}
