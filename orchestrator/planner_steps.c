/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * planner_steps.c - from a placement to the steps that bring it about.
 *
 * Units with one source, one target and one reason move together, in as few steps as the bounds allow
 * (planner_cut.c): each step has a fixed cost of its own.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "orchestrator/planner_internal.h"

struct plan_instance plan_instance_of(const struct problem *p, uint32_t b)
{
	const struct bin *bin;

	if (b == NOWHERE)
		return (struct plan_instance){};
	bin = &p->bins[b];
	return (struct plan_instance){ bin->id, bin->created,
				       bin->spot == NOWHERE ? 0 : p->spots[bin->spot].id };
}

uint32_t bin_of_instance(const struct problem *p, const struct plan_instance *instance)
{
	if (instance->created)
		return (uint32_t)(p->there + instance->created - 1);
	return p->bin_by_id[instance->id];
}

static uint8_t why_of(const struct problem *p, const struct unit *unit)
{
	const struct bin *home = unit->home == NOWHERE ? NULL : &p->bins[unit->home];

	if (!home || home->is_gone)
		return PLAN_RESCUE;
	if (home->is_closed || home->is_retiring)
		return PLAN_SCALE_IN;
	if (home->is_emptied)
		return PLAN_DRAIN;
	if (unit->why == PLAN_TOGETHER || unit->why == PLAN_OVERLOAD)
		return unit->why;
	if (home->load0 > home->policy_target || home->flows0 > home->flows_target)
		return PLAN_OVERLOAD;
	return p->input->flags & PLANNER_BALANCE ? PLAN_IMBALANCE : PLAN_ROOM;
}

/* The order in which reasons are served. */
static int why_rank(uint8_t why)
{
	static const uint8_t ranks[] = {
		[PLAN_RESCUE] = 0,   [PLAN_ROOM] = 1,	   [PLAN_OVERLOAD] = 2, [PLAN_DRAIN] = 3,
		[PLAN_TOGETHER] = 4, [PLAN_IMBALANCE] = 5, [PLAN_SPREAD] = 6,	[PLAN_SCALE_IN] = 7,
	};

	return ranks[why];
}

static int cmp_moved(const void *x, const void *y)
{
	const struct moved *a = x, *b = y;

	if (a->why != b->why)
		return why_rank(a->why) - why_rank(b->why);
	if (a->is_split != b->is_split)
		return b->is_split - a->is_split;
	if (a->from != b->from)
		return a->from < b->from ? -1 : 1;
	if (a->to != b->to)
		return a->to < b->to ? -1 : 1;
	if (a->is_handed != b->is_handed)
		return b->is_handed - a->is_handed;
	return (a->unit > b->unit) - (a->unit < b->unit);
}

static bool moves_alike(const struct moved *a, const struct moved *b)
{
	return a->why == b->why && a->is_split == b->is_split && a->from == b->from &&
	       a->to == b->to && a->is_handed == b->is_handed;
}

static int moved_list(struct problem *p, struct moved **ret_moved, size_t *ret_n)
{
	struct moved *all = calloc(p->units_n + 1, sizeof(*all));
	size_t n = 0;

	if (!all)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->units_n; i++) {
		const struct unit *unit = &p->units[i];

		/* a rider that was not split off goes with its slot */
		if (unit->at == unit->home || (unit->is_rider && !unit->is_split))
			continue;
		all[n++] = (struct moved){ .unit = i,
					   .from = unit->home,
					   .to = unit->at,
					   .why = why_of(p, unit),
					   .is_split = unit->is_split };
	}
	qsort(all, n, sizeof(*all), cmp_moved);
	moved_mark(p, all, n);
	qsort(all, n, sizeof(*all), cmp_moved);
	*ret_moved = all;
	*ret_n = n;
	return 0;
}

static int step_fill(const struct problem *p, const struct moved *all, size_t n,
		     struct plan_step *step)
{
	for (size_t i = 0; i < n; i++) {
		step->slots_n += all[i].unit < p->flows_at;
		step->flows_n += all[i].unit >= p->flows_at && all[i].unit < p->rules_at;
		step->rules_n += all[i].unit >= p->rules_at;
	}
	step->slots = calloc(step->slots_n + 1, sizeof(*step->slots));
	step->flows = calloc(step->flows_n + 1, sizeof(*step->flows));
	step->rules = calloc(step->rules_n + 1, sizeof(*step->rules));
	if (!step->slots || !step->flows || !step->rules)
		return -ENOMEM;
	step->slots_n = step->flows_n = step->rules_n = 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t unit = all[i].unit;
		const struct service_load *s = p->service;

		if (unit < p->flows_at)
			step->slots[step->slots_n++] = unit;
		else if (unit < p->rules_at)
			step->flows[step->flows_n++] = s->flows[unit - p->flows_at].key;
		else
			step->rules[step->rules_n++] = s->rules[unit - p->rules_at].index;
	}
	return 0;
}

static struct plan_step *step_add(struct plan *plan, enum plan_kind kind)
{
	/* grows by doubling, at powers of two */
	if ((plan->steps_n & (plan->steps_n - 1)) == 0) {
		size_t room = plan->steps_n ? 2 * plan->steps_n : 1;
		struct plan_step *more = realloc(plan->steps, room * sizeof(*more));

		if (!more)
			return NULL;
		plan->steps = more;
	}
	plan->steps[plan->steps_n] = (struct plan_step){ .kind = kind, .bounded = true };
	return &plan->steps[plan->steps_n++];
}

/* Its load, and that of its riders, but not of its cluster, whose tails are moves of their own. */
static double unit_alone(const struct problem *p, uint32_t i)
{
	double load = p->units[i].load;

	if (p->units[i].kind == UNIT_SLOT)
		for (uint32_t r = p->units[i].rider; r != NOWHERE; r = p->units[r].rider)
			load += p->units[r].is_split ? 0 : p->units[r].load;
	return load;
}

/* Of the flows of a slot that leaves that bin: the share that is likely to end within its patience. */
static double leaving_share(struct problem *p, const struct bin *bin)
{
	double patience_s = bin && (bin->is_closed || bin->is_retiring) ? bin->patience_s : 0;

	if (patience_s <= 0 || p->flows <= 0)
		return 0;
	/* the same for nearly all steps */
	if (patience_s != p->leaving_s)
		p->leaving = fmin(1, life_ending(&p->service->lives, patience_s) / p->flows);
	p->leaving_s = patience_s;
	return p->leaving;
}

/* What is left isn't sent, and its packets aren't parked. */
static void leaving_take(struct problem *p, const struct bin *from, struct plan_step *step,
			 struct cost_subject *subject)
{
	double share = leaving_share(p, from);

	if (share <= 0 || !step->slots_n)
		return;
	step->leave_s = from->patience_s;
	step->leaves = subject->flows * share;
	subject->flows -= step->leaves;
	subject->state_bytes *= 1 - share;
	subject->dirty_per_s *= 1 - share;
}

static int moves_build(struct problem *p, struct plan *plan, const struct moved *all, size_t n)
{
	for (size_t first = 0, count; first < n; first += count) {
		struct plan_step *step = step_add(plan, PLAN_MOVE);
		struct cost_subject subject;
		const struct bin *from;
		int err;

		if (!step)
			return -ENOMEM;
		for (count = 1; first + count < n && moves_alike(&all[first], &all[first + count]);)
			count++;
		count = step_cut(p, all + first, count, &subject, &step->bounded);
		step->why = all[first].why;
		step->from = plan_instance_of(p, all[first].from);
		step->to = plan_instance_of(p, all[first].to);
		err = step_fill(p, all + first, count, step);
		if (err)
			return err;
		from = all[first].from == NOWHERE ? NULL : &p->bins[all[first].from];
		leaving_take(p, from, step, &subject);
		step->packets_per_s = subject.packets_per_s;
		step->flows_moved = subject.flows;
		step->splits = all[first].is_split;
		if (step->why != PLAN_RESCUE) /* nothing is left to send */
			step->predicted = all[first].is_handed ?
						  cost_predict_handover(p->input->cost,
									subject.packets_per_s) :
						  cost_predict(p->input->cost, &subject);
		if (from && from->capacity > 0)
			for (size_t i = 0; i < count; i++)
				step->gain += unit_alone(p, all[first + i].unit) / from->capacity;
	}
	return 0;
}

/* Why an instance is created, or taken back: for the most urgent of what it will get. */
static int arrivals_build(struct problem *p, struct plan *plan, const struct moved *all, size_t n)
{
	for (uint32_t b = 0; b < p->bins_n; b++) {
		bool is_back = p->bins[b].is_back;
		struct plan_step *step;

		if (!is_back && !p->bins[b].created)
			continue;
		step = step_add(plan, is_back ? PLAN_RECALL : PLAN_CREATE);
		if (!step)
			return -ENOMEM;
		step->why = PLAN_SPREAD;
		step->to = plan_instance_of(p, b);
		for (size_t i = 0; i < n; i++)
			if (all[i].to == b && why_rank(all[i].why) < why_rank(step->why))
				step->why = all[i].why;
	}
	return 0;
}

/* What stays for now at an instance that is to be retired, and how much finds no other place. */
static void bin_left(const struct problem *p, uint32_t b, const struct plan *plan,
		     struct plan_left *left, size_t *ret_stuck)
{
	const struct bin *bin = &p->bins[b];
	bool here = bin->is_retiring;

	*left = (struct plan_left){ .from = plan_instance_of(p, b),
				    .within_s = bin->patience_s,
				    .until_s = here ? bin->deadline_s :
						      p->policy->scale_in.deadline_ms / 1e3 };
	*ret_stuck = 0;
	for (size_t i = 0; i < plan->steps_n; i++)
		if (plan->steps[i].kind == PLAN_MOVE && plan->steps[i].from.id == bin->id)
			left->flows += plan->steps[i].leaves;
	for (uint32_t k = p->home_first[b]; k < p->home_first[b + 1]; k++) {
		for (uint32_t i = p->by_home[k]; i != NOWHERE; i = p->units[i].chain) {
			const struct unit *unit = &p->units[i];

			if (unit->at != b || unit->is_rider)
				continue;
			if (unit_is_left(p, unit))
				left->pins++;
			else
				(*ret_stuck)++;
		}
	}
}

/*
 * What was emptied is retired. Of one that this plan empties nobody can say yet how many flows will be
 * left; who carries the step out sees. One where flows have been left waits for them.
 */
static int retirements_build(struct problem *p, struct plan *plan)
{
	plan->left = calloc(p->there + 1, sizeof(*plan->left));
	if (!plan->left)
		return -ENOMEM;
	for (uint32_t b = 0; b < p->there; b++) {
		const struct bin *bin = &p->bins[b];
		struct plan_step *step;
		struct plan_left left;
		size_t stuck;

		if (!bin->is_closed && !bin->is_retiring && !bin->is_gone)
			continue;
		bin_left(p, b, plan, &left, &stuck);
		if (left.pins > 0 || left.flows > 0)
			plan->left[plan->left_n++] = left;
		if (stuck > 0 || left.pins > 0)
			continue;
		step = step_add(plan, PLAN_RETIRE);
		if (!step)
			return -ENOMEM;
		step->why = bin->is_gone ? PLAN_RESCUE : PLAN_SCALE_IN;
		step->from = plan_instance_of(p, b);
	}
	return 0;
}

int steps_build(struct problem *p, struct plan *plan)
{
	_cleanup_free_ struct moved *all = NULL;
	size_t n = 0;
	int err = moved_list(p, &all, &n);

	plan->lives = p->service->lives;
	err = err ?: arrivals_build(p, plan, all, n);
	err = err ?: moves_build(p, plan, all, n);
	err = err ?: retirements_build(p, plan);
	return err ?: waves_build(p, plan);
}
