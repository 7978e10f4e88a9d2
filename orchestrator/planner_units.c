/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* planner_units.c - units in bins: what a unit weighs, putting it elsewhere, the sums, the score. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "orchestrator/planner_internal.h"

static uint32_t unit_group(const struct problem *p, size_t unit)
{
	const struct service_load *s = p->service;

	if (unit < p->flows_at)
		return s->slots[unit].group;
	if (unit < p->rules_at)
		return s->flows[unit - p->flows_at].group;
	return s->rules[unit - p->rules_at].group;
}

/* One unit of a group, for sorting. */
struct grouped {
	uint32_t group, home, unit;
	float load;
};

static int cmp_grouped(const void *x, const void *y)
{
	const struct grouped *a = x, *b = y;

	if (a->group != b->group)
		return a->group < b->group ? -1 : 1;
	if (a->home != b->home)
		return a->home < b->home ? -1 : 1;
	return (a->unit > b->unit) - (a->unit < b->unit);
}

/* Chains units [0, n) behind the first. */
static void cluster_chain(struct problem *p, const struct grouped *all, size_t n)
{
	struct unit *head = &p->units[all[0].unit];

	for (size_t i = 0; i < n; i++) {
		struct unit *unit = &p->units[all[i].unit];

		head->is_fixed |= unit->is_fixed;
		head->is_bound |= unit->is_bound;
		for (uint32_t r = unit->kind == UNIT_SLOT ? unit->rider : NOWHERE; r != NOWHERE;
		     r = p->units[r].rider)
			p->units[r].is_fixed = true; /* a group's riders are never split off */
		unit->is_tail = i > 0;
		unit->chain = i + 1 < n ? all[i + 1].unit : NOWHERE;
	}
}

/* Where in @all the owner begins that has most of the group's load, of those with room for all. */
static bool group_gathers(const struct problem *p, const struct grouped *all, size_t n,
			  size_t *ret_best)
{
	double best = -1, total = 0;

	for (size_t i = 0; i < n; i++) {
		const struct unit *unit = &p->units[all[i].unit];

		if (all[i].home == NOWHERE || unit->is_fixed || unit->is_bound)
			return false;
		total += all[i].load;
	}
	for (size_t first = 0, next; first < n; first = next) {
		const struct bin *bin = &p->bins[all[first].home];
		double sum = 0;

		for (next = first; next < n && all[next].home == all[first].home; next++)
			sum += all[next].load;
		if (sum <= best || !bin->takes || bin->load0 + total - sum > bin->target)
			continue;
		best = sum;
		*ret_best = first;
	}
	return best >= 0;
}

static void group_tie(struct problem *p, struct grouped *all, size_t n)
{
	size_t best = 0;

	if (all[0].home != all[n - 1].home && group_gathers(p, all, n, &best)) {
		for (size_t i = 0; i < n; i++)
			if (all[i].home != all[best].home)
				p->units[all[i].unit].why = PLAN_TOGETHER;
		struct grouped first = all[best];

		all[best] = all[0];
		all[0] = first;
		cluster_chain(p, all, n);
		return;
	}
	for (size_t first = 0, i = 1; i <= n; i++) {
		if (i == n || all[i].home != all[first].home) {
			cluster_chain(p, all + first, i - first);
			first = i;
		}
	}
}

static int groups_tie(struct problem *p)
{
	_cleanup_free_ struct grouped *all = NULL;
	size_t n = 0;

	/* a flow without a pin can only be kept with its group by its slot */
	for (size_t i = 0; i < p->units_n; i++)
		n += unit_group(p, i) != 0;
	if (n == 0)
		return 0;
	all = calloc(n, sizeof(*all));
	if (!all)
		return -ENOMEM;
	n = 0;
	for (uint32_t i = 0; i < p->units_n; i++) {
		uint32_t group = unit_group(p, i);

		if (group && !p->units[i].is_rider)
			all[n++] = (struct grouped){ group, p->units[i].home, i, p->units[i].load };
	}
	qsort(all, n, sizeof(*all), cmp_grouped);
	for (size_t first = 0, i = 1; i <= n; i++) {
		if (i == n || all[i].group != all[first].group) {
			group_tie(p, all + first, i - first);
			first = i;
		}
	}
	return 0;
}

int problem_index(struct problem *p)
{
	uint32_t *first = calloc(p->there + 3, sizeof(*first));
	uint32_t *order = calloc(p->units_n + 1, sizeof(*order));
	int err = groups_tie(p);

	p->home_first = first;
	p->by_home = order;
	if (!first || !order)
		return -ENOMEM;
	for (size_t i = 0; i < p->units_n; i++)
		if (!p->units[i].is_tail)
			first[MIN((size_t)p->units[i].home, p->there) + 2]++;
	for (size_t b = 2; b < p->there + 3; b++)
		first[b] += first[b - 1];
	for (uint32_t i = 0; i < p->units_n; i++)
		if (!p->units[i].is_tail)
			order[first[MIN((size_t)p->units[i].home, p->there) + 1]++] = i;
	for (size_t i = 0; i < p->units_n; i++)
		if (p->units[i].home != NOWHERE)
			p->bins[p->units[i].home].empty_cost += p->units[i].cost;
	return err;
}

void problem_reset(struct problem *p)
{
	for (size_t b = 0; b < p->bins_n; b++) {
		p->bins[b].load = p->bins[b].load0;
		p->bins[b].flows = p->bins[b].flows0;
	}
	for (size_t s = 0; s < p->spots_n; s++) {
		p->spots[s].cpu = p->spots[s].cpu0;
		p->spots[s].link = p->spots[s].link0;
	}
	for (size_t i = 0; i < p->units_n; i++) {
		struct unit *unit = &p->units[i];

		unit->at = unit->home;
		unit->is_split = unit->is_pooled = unit->is_kept = false;
	}
	for (uint32_t i = 0; i < p->units_n; i++)
		if (p->units[i].chain != NOWHERE && !p->units[i].is_tail &&
		    p->units[i].home != NOWHERE)
			unit_put(p, i, p->units[i].home);
}

static void unit_shift(struct problem *p, struct unit *unit, uint32_t to)
{
	struct bin *from = unit->at == NOWHERE ? NULL : &p->bins[unit->at], *bin = &p->bins[to];

	if (unit->at == to)
		return;
	if (from) {
		from->load -= unit->load;
		from->flows -= unit->flows;
	}
	if (from && from->spot != NOWHERE) {
		p->spots[from->spot].cpu -= unit->load * from->cpu_s;
		p->spots[from->spot].link -= unit->bytes;
	}
	bin->load += unit->load;
	bin->flows += unit->flows;
	p->spots[bin->spot].cpu += unit->load * bin->cpu_s;
	p->spots[bin->spot].link += unit->bytes;
	unit->at = to;
}

void unit_put(struct problem *p, uint32_t unit, uint32_t to)
{
	for (uint32_t m = unit; m != NOWHERE; m = p->units[m].chain) {
		if (p->units[m].kind == UNIT_SLOT)
			for (uint32_t r = p->units[m].rider; r != NOWHERE; r = p->units[r].rider)
				if (!p->units[r].is_split)
					unit_shift(p, &p->units[r], to);
		unit_shift(p, &p->units[m], to);
	}
}

static void weight_add(struct weight *w, const struct unit *unit)
{
	w->load += unit->load;
	w->bytes += unit->bytes;
	w->flows += unit->flows;
	w->cost += unit->cost;
}

struct weight unit_weight(const struct problem *p, uint32_t unit)
{
	const struct unit *head = &p->units[unit];
	struct weight w = { .spot = head->at == NOWHERE ? NOWHERE : p->bins[head->at].spot };

	for (uint32_t m = unit; m != NOWHERE; m = p->units[m].chain) {
		if (p->units[m].kind == UNIT_SLOT)
			for (uint32_t r = p->units[m].rider; r != NOWHERE; r = p->units[r].rider)
				if (!p->units[r].is_split)
					weight_add(&w, &p->units[r]);
		weight_add(&w, &p->units[m]);
	}
	return w;
}

double bin_target(const struct problem *p, const struct bin *bin, const struct unit *unit)
{
	if (p->rescue && unit->why == PLAN_RESCUE)
		return fmax(bin->target, bin->capacity * PLANNER_RESCUE_PERCENT / 100);
	return bin->target;
}

bool bin_fits(const struct problem *p, uint32_t b, const struct weight *w, double target)
{
	const struct bin *bin = &p->bins[b];
	const struct spot *spot = &p->spots[bin->spot];

	if (!bin->takes || bin->is_closed)
		return false;
	if (bin->load + w->load > target * (1 + LOAD_EPSILON) ||
	    bin->flows + w->flows > bin->flows_target * (1 + LOAD_EPSILON))
		return false;
	/* within one host nothing changes for it */
	return w->spot == bin->spot || (spot->cpu + w->load * bin->cpu_s <= spot->cpu_limit &&
					spot->link + w->bytes <= spot->link_limit);
}

bool unit_must_leave(const struct problem *p, const struct unit *unit)
{
	const struct bin *home = unit->home == NOWHERE ? NULL : &p->bins[unit->home];

	return !home || home->is_gone || home->is_emptied || home->is_closed;
}

bool unit_is_left(const struct problem *p, const struct unit *unit)
{
	const struct bin *bin = unit->home == NOWHERE ? NULL : &p->bins[unit->home];

	if (!bin || bin->is_gone || unit->kind != UNIT_FLOW || unit->is_rider)
		return false;
	if (bin->is_retiring && unit->left_s <= 0) /* it was left there when more was known of it */
		return bin->deadline_s > 0;
	return unit->left_s > 0 && unit->left_s <= bin->patience_s;
}

double unit_cost_here(const struct problem *p, const struct unit *unit)
{
	if (unit->at == unit->home)
		return 0;
	return unit_cost_to(p, unit, unit->at) + (unit->is_split ? PIN_US : 0);
}

struct score score_of(const struct problem *p)
{
	struct score score = {};

	for (size_t i = 0; i < p->units_n; i++) {
		const struct unit *unit = &p->units[i];

		if (unit->at != unit->home)
			score.cost += unit_cost_here(p, unit);
		else if (unit_must_leave(p, unit) && !unit_is_left(p, unit))
			score.stuck += fmax(1, unit->load);
	}
	for (size_t b = 0; b < p->bins_n; b++) {
		const struct bin *bin = &p->bins[b];

		if (!bin_stays(bin))
			continue;
		if (bin->load > bin->keep * (1 + LOAD_EPSILON))
			score.excess += (bin->load - bin->keep) / bin->capacity;
		if (bin->flows > bin->flows_keep * (1 + LOAD_EPSILON))
			score.excess += bin->flows / bin->flows_keep - 1;
	}
	for (size_t s = 0; s < p->spots_n; s++)
		score.hosts += fmax(0, p->spots[s].cpu - p->spots[s].cpu_keep * (1 + LOAD_EPSILON));
	return score;
}

bool score_less(const struct score *x, const struct score *y)
{
	const double xs[] = { x->stuck, x->excess, x->hosts },
		     ys[] = { y->stuck, y->excess, y->hosts };

	for (size_t i = 0; i < ARRAY_SIZE(xs); i++)
		if (fabs(xs[i] - ys[i]) > 1e-4 * fmax(1, fmax(xs[i], ys[i])))
			return xs[i] < ys[i];
	return x->cost < y->cost;
}

bool score_is_feasible(const struct score *score)
{
	return score->stuck <= 0 && score->excess <= 0 && score->hosts <= 0;
}
