/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "tests/unit/planner_fixture.h"

/* Owners after the plan, as places; those that it creates follow. */
static int place_of(const struct world *w, const struct plan_instance *instance)
{
	if (instance->created)
		return (int)w->service.instances_n + instance->created - 1;
	for (size_t i = 0; i < w->service.instances_n; i++)
		if (instance->id && w->service.instances[i].id == instance->id)
			return (int)i;
	return -1;
}

static int place_of_id(const struct world *w, uint16_t id)
{
	return place_of(w, &(struct plan_instance){ .id = id });
}

struct owners_after {
	int *slots;
	int *flows;
	int *rules;
};

static int flow_place(const struct world *w, const struct ff_flow_key *key)
{
	for (size_t i = 0; i < w->service.flows_n; i++)
		if (flow_cmp(&w->service.flows[i].key, key) == 0)
			return (int)i;
	return -1;
}

static void after_step(const struct world *w, const struct plan_step *step,
		       struct owners_after *after)
{
	int from = place_of(w, &step->from), to = place_of(w, &step->to);

	cr_assert_neq(from, to, "a move to where it is");
	for (size_t k = 0; k < step->slots_n; k++) {
		cr_assert_eq(after->slots[step->slots[k]], from, "slot %u isn't at the source",
			     step->slots[k]);
		after->slots[step->slots[k]] = to;
	}
	for (size_t k = 0; k < step->flows_n; k++) {
		int flow = flow_place(w, &step->flows[k]);

		cr_assert_geq(flow, 0);
		/* -2: rides with its slot */
		cr_assert_eq(after->flows[flow] == -2 ? after->slots[w->service.flows[flow].slot] :
							after->flows[flow],
			     from, "flow %d isn't at the source", flow);
		after->flows[flow] = to;
	}
	for (size_t k = 0; k < step->rules_n; k++)
		for (size_t r = 0; r < w->service.rules_n; r++)
			if (w->service.rules[r].index == step->rules[k])
				after->rules[r] = to;
}

void world_after(const struct world *w, const struct plan *plan, double *ret_packets, size_t n)
{
	struct owners_after after = {
		calloc(w->service.slots_n + 1, sizeof(int)),
		calloc(w->service.flows_n + 1, sizeof(int)),
		calloc(w->service.rules_n + 1, sizeof(int)),
	};

	memset(ret_packets, 0, n * sizeof(*ret_packets));
	for (size_t i = 0; i < w->service.slots_n; i++)
		after.slots[i] = place_of_id(w, w->service.slots[i].owner);
	for (size_t i = 0; i < w->service.flows_n; i++)
		after.flows[i] =
			w->service.flows[i].pinned ? place_of_id(w, w->service.flows[i].owner) : -2;
	for (size_t i = 0; i < w->service.rules_n; i++)
		after.rules[i] = place_of_id(w, w->service.rules[i].owner);
	for (size_t i = 0; i < plan->steps_n; i++)
		if (plan->steps[i].kind == PLAN_MOVE)
			after_step(w, &plan->steps[i], &after);
	for (size_t i = 0; i < w->service.slots_n; i++)
		if (after.slots[i] >= 0 && (size_t)after.slots[i] < n)
			ret_packets[after.slots[i]] += w->service.slots[i].packets_per_s;
	for (size_t i = 0; i < w->service.flows_n; i++) {
		const struct flow_load *flow = &w->service.flows[i];

		if (after.flows[i] < 0)
			continue;
		if (!flow->pinned && after.slots[flow->slot] >= 0)
			ret_packets[after.slots[flow->slot]] -= flow->packets_per_s;
		ret_packets[after.flows[i]] += flow->packets_per_s;
	}
	for (size_t i = 0; i < w->service.rules_n; i++)
		if (after.rules[i] >= 0)
			ret_packets[after.rules[i]] += w->service.rules[i].packets_per_s;
	free(after.slots);
	free(after.flows);
	free(after.rules);
}

size_t plan_count(const struct plan *plan, enum plan_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->steps_n; i++)
		n += plan->steps[i].kind == kind;
	return n;
}

/* No constraint is worse than it was found: each bound holds, or what broke it is no larger. */
static void check_not_worse(struct world *w, const struct plan *plan)
{
	size_t n = w->service.instances_n + plan_count(plan, PLAN_CREATE);
	_cleanup_free_ double *after = calloc(n + 1, sizeof(*after));
	double target = w->policy.utilisation.target_percent / 100.0, growth = 1;

	if (w->input.growth > 0)
		growth = w->input.growth;
	world_after(w, plan, after, n);
	for (size_t i = 0; i < n; i++) {
		const struct instance_load *instance = &w->service.instances[i];
		bool is_new = i >= w->service.instances_n;
		double capacity = is_new ? WORLD_CAPACITY : instance->capacity_pps;
		double before = is_new ? 0 : instance->packets_per_s, limit = target;

		/* flows without a live owner may go further */
		for (size_t k = 0; k < plan->steps_n; k++)
			if (plan->steps[k].why == PLAN_RESCUE)
				limit = PLANNER_RESCUE_PERCENT / 100.0;
		if (!is_new && instance->state == INSTANCE_FAILED)
			continue;
		cr_assert_leq(after[i] * growth,
			      fmax(before * growth, limit * capacity) * 1.001 + 1,
			      "instance %zu: %.0f packets/s before, %.0f after", i + 1, before,
			      after[i]);
	}
}

static const struct instance_load *after_instance(const struct world *w, const struct plan *plan,
						  size_t place, uint16_t *ret_host)
{
	if (place < w->service.instances_n) {
		*ret_host = w->service.instances[place].host;
		return &w->service.instances[place];
	}
	for (size_t k = 0; k < plan->steps_n; k++)
		if (plan->steps[k].kind == PLAN_CREATE &&
		    plan->steps[k].to.created == place - w->service.instances_n + 1)
			*ret_host = plan->steps[k].to.host;
	return NULL;
}

/* The same of each host's CPU, for which moves within it change nothing. */
static void check_hosts_not_worse(struct world *w, const struct plan *plan)
{
	size_t n = w->service.instances_n + plan_count(plan, PLAN_CREATE);
	_cleanup_free_ double *after = calloc(n + 1, sizeof(*after));

	world_after(w, plan, after, n);
	for (size_t h = 0; h < w->loads.hosts_n; h++) {
		const struct host_load *host = &w->loads.hosts[h];
		double limit = host->cpus * w->policy.utilisation.host_percent / 100, more = 0;
		double used = (double)host->cpu.softirq + host->cpu.user;

		for (size_t i = 0; i < n; i++) {
			uint16_t on = 0;
			const struct instance_load *in = after_instance(w, plan, i, &on);

			if (on == host->id)
				more += (after[i] - (in ? in->packets_per_s : 0)) / WORLD_CAPACITY;
		}
		cr_assert_leq(used + more, fmax(used, limit) + 0.001,
			      "host %u: %.3f CPUs before, %.3f after", host->id, used, used + more);
	}
}

static void check_waves(const struct plan *plan)
{
	for (size_t i = 1; i < plan->steps_n; i++)
		cr_assert_leq(plan->steps[i - 1].wave, plan->steps[i].wave);
	for (size_t i = 0; i < plan->steps_n; i++) {
		const struct plan_step *step = &plan->steps[i];

		cr_assert_lt(step->wave, plan->waves);
		if (step->kind == PLAN_CREATE || step->kind == PLAN_RECALL)
			cr_assert_eq(step->wave, 0);
		if (step->kind == PLAN_MOVE && step->to.created)
			cr_assert_gt(step->wave, 0, "a move to what isn't there yet");
		if (step->kind != PLAN_RETIRE)
			continue;
		for (size_t k = 0; k < plan->steps_n; k++)
			if (plan->steps[k].kind == PLAN_MOVE && plan->steps[k].why != PLAN_RESCUE &&
			    plan->steps[k].from.id == step->from.id)
				cr_assert_lt(plan->steps[k].wave, step->wave);
	}
}

struct plan world_plan(struct world *w)
{
	struct plan plan;

	cr_assert_eq(planner_plan(&w->input, &plan), 0);
	check_waves(&plan);
	check_not_worse(w, &plan);
	check_hosts_not_worse(w, &plan);
	return plan;
}

void world_two(struct world *w, double first, double second)
{
	world_init(w, 3, 2, 256);
	world_slots(w, 0, 127, 0, first);
	world_slots(w, 128, 255, 1, second);
	world_measure(w);
}

double world_target(const struct world *w)
{
	return WORLD_CAPACITY * w->policy.utilisation.target_percent / 100;
}

const struct plan_step *plan_step_of(const struct plan *plan, enum plan_kind kind)
{
	for (size_t i = 0; i < plan->steps_n; i++)
		if (plan->steps[i].kind == kind)
			return &plan->steps[i];
	cr_assert_fail("no step '%s': %s", plan_kind_name(kind), plan->reason);
	abort();
}

void expect_under_target(const struct world *w, const struct plan *plan, size_t instances)
{
	double after[8];

	world_after(w, plan, after, instances);
	for (size_t i = 0; i < instances; i++)
		cr_expect_leq(after[i], world_target(w) * 1.0001, "instance %zu has %.0f", i + 1,
			      after[i]);
}
