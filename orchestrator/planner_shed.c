/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * planner_shed.c - who has to go, and who goes because its instance or host has too much: a knapsack
 * (cover the excess as cheaply as possible), solved by cost for each unit of relief, then trimmed.
 */
#include <math.h>
#include <stdlib.h>

#include "orchestrator/planner_internal.h"

/* What a bin (or a host) has too much of. */
struct excess {
	double load, flows;
};

static int cmp_candidate(const void *x, const void *y)
{
	const struct candidate *a = x, *b = y;

	if (a->ratio != b->ratio)
		return a->ratio < b->ratio ? -1 : 1;
	return (a->unit > b->unit) - (a->unit < b->unit);
}

static double relief(const struct weight *w, const struct excess *excess)
{
	double value = 0;

	if (excess->load > 0)
		value += fmin(1, w->load / excess->load);
	if (excess->flows > 0)
		value += fmin(1, w->flows / excess->flows);
	return value;
}

/* The most load that any other bin would take. */
static double room_max(const struct problem *p, uint32_t except)
{
	double room = 0;

	for (uint32_t b = 0; b < p->bins_n; b++)
		if (b != except && p->bins[b].takes && !p->bins[b].is_closed)
			room = fmax(room, p->bins[b].target - p->bins[b].load);
	return room;
}

static bool may_shed(const struct problem *p, const struct unit *unit, uint32_t b)
{
	return unit->at == b && !unit->is_fixed && !unit->is_kept && !unit->is_pooled &&
	       !(unit->is_rider && (unit->is_split || unit->is_bound)) && !unit_must_leave(p, unit);
}

/* Whether one that is_bound has a place now: it goes to another bin of its host, or stays. */
static bool sibling_fits(const struct problem *p, uint32_t unit, const struct weight *w)
{
	for (uint32_t b = 0; b < p->bins_n; b++)
		if (b != p->units[unit].at && bin_fits(p, b, w, p->bins[b].target) &&
		    cluster_may_go(p, unit, b))
			return true;
	return false;
}

static void candidates_find(struct problem *p, uint32_t b, const struct excess *excess, double room,
			    struct shed *shed)
{
	shed->n = 0;
	if (b >= p->there)
		return;
	for (uint32_t k = p->home_first[b]; k < p->home_first[b + 1]; k++) {
		const struct unit *unit = &p->units[p->by_home[k]];
		struct candidate c = { .unit = p->by_home[k] };
		double value;

		if (!may_shed(p, unit, b))
			continue;
		c.weight = unit->is_rider ? (struct weight){ unit->load, unit->bytes, unit->flows,
							     unit->cost + PIN_US, NOWHERE } :
					    unit_weight(p, c.unit);
		value = relief(&c.weight, excess);
		if (value <= 0 || c.weight.load > room * (1 + LOAD_EPSILON) ||
		    (unit->is_bound && !sibling_fits(p, c.unit, &c.weight)))
			continue;
		c.ratio = (float)(c.weight.cost / value);
		shed->all[shed->n++] = c;
	}
	qsort(shed->all, shed->n, sizeof(shed->all[0]), cmp_candidate);
}

static bool covered(const struct excess *left)
{
	return left->load <= 0 && left->flows <= 0;
}

static void excess_take(struct excess *left, const struct weight *w, double sign)
{
	left->load -= sign * w->load;
	left->flows -= sign * w->flows;
}

/* Whether the slot of a rider, or riders of a slot, have been chosen already. */
static bool goes_already(const struct problem *p, const struct unit *unit)
{
	if (!unit->is_rider)
		return false;
	return p->units[p->service->flows[unit - p->units - p->flows_at].slot].is_pooled;
}

static void candidate_pool(struct problem *p, uint32_t unit, bool in)
{
	p->units[unit].is_pooled = in;
	if (p->units[unit].is_rider)
		p->units[unit].is_split = in;
}

static void choose_first(struct problem *p, struct shed *shed, struct excess *left)
{
	size_t i = 0;

	for (shed->chosen = 0; i < shed->n && !covered(left); i++) {
		struct candidate c = shed->all[i];

		if (goes_already(p, &p->units[c.unit]))
			continue;
		if (!p->units[c.unit].is_rider) /* riders may have been chosen since */
			c.weight = unit_weight(p, c.unit);
		if (relief(&c.weight, left) <= 0)
			continue;
		candidate_pool(p, c.unit, true);
		excess_take(left, &c.weight, 1);
		shed->all[i] = shed->all[shed->chosen];
		shed->all[shed->chosen++] = c;
	}
}

/* Leaves out what the others make needless, the dearest first. */
static void choose_trim(struct problem *p, struct shed *shed, struct excess *left)
{
	for (size_t i = shed->chosen; i-- > 0;) {
		struct candidate c = shed->all[i];
		struct excess without = *left;

		excess_take(&without, &c.weight, -1);
		if (!covered(&without))
			continue;
		*left = without;
		candidate_pool(p, c.unit, false);
		shed->all[i] = shed->all[--shed->chosen];
		shed->all[shed->chosen] = c;
	}
}

/* The last one chosen overshoots most: a cheaper one may do in its place. */
static void choose_swap(struct problem *p, struct shed *shed, struct excess *left)
{
	for (size_t i = 0; i < shed->chosen; i++) {
		struct excess need = *left;
		size_t best = i;

		if (i + 8 < shed->chosen) /* the first ones are the best value anyhow */
			i = shed->chosen - 8;
		best = i;
		excess_take(&need, &shed->all[i].weight, -1);
		for (size_t j = shed->chosen; j < shed->n; j++) {
			struct excess then = need;
			const struct unit *unit = &p->units[shed->all[j].unit];

			excess_take(&then, &shed->all[j].weight, 1);
			if (shed->all[j].weight.cost < shed->all[best].weight.cost &&
			    covered(&then) && !goes_already(p, unit) && !unit->is_pooled &&
			    (unit->is_rider || unit->rider == NOWHERE))
				best = j;
		}
		if (best == i)
			continue;
		candidate_pool(p, shed->all[i].unit, false);
		candidate_pool(p, shed->all[best].unit, true);
		excess_take(&need, &shed->all[best].weight, 1);
		*left = need;
		struct candidate c = shed->all[i];

		shed->all[i] = shed->all[best];
		shed->all[best] = c;
	}
}

static void shed_bin(struct problem *p, uint32_t b, struct excess excess, struct shed *shed)
{
	candidates_find(p, b, &excess, room_max(p, b), shed);
	choose_first(p, shed, &excess);
	if (!covered(&excess))
		return;
	choose_trim(p, shed, &excess);
	choose_swap(p, shed, &excess);
}

static void pool_chosen(struct problem *p, struct shed *shed)
{
	for (size_t i = 0; i < shed->chosen; i++)
		p->pool[shed->pooled++] = shed->all[i].unit;
}

/* Load that a host has too much of is taken from its bins, the fullest first. */
static void shed_spot(struct problem *p, uint32_t s, struct shed *shed)
{
	double over = p->spots[s].cpu - p->spots[s].cpu_keep;

	for (uint32_t b = 0; b < p->there && over > 0; b++) {
		struct bin *bin = &p->bins[b];
		struct excess excess = { over / bin->cpu_s, 0 };

		if (bin->spot != s || !bin_stays(bin))
			continue;
		candidates_find(p, b, &excess, room_max(p, b), shed);
		choose_first(p, shed, &excess);
		for (size_t i = 0; i < shed->chosen; i++) {
			p->units[shed->all[i].unit].why = PLAN_OVERLOAD;
			over -= shed->all[i].weight.load * bin->cpu_s;
		}
		pool_chosen(p, shed);
	}
}

void pool_shed(struct problem *p, struct shed *shed)
{
	for (uint32_t b = 0; b < p->bins_n; b++) {
		const struct bin *bin = &p->bins[b];
		struct excess excess = { bin->load - bin->keep, bin->flows - bin->flows_keep };

		if (!bin_stays(bin))
			continue;
		if (excess.load <= bin->keep * LOAD_EPSILON &&
		    excess.flows <= bin->flows_keep * LOAD_EPSILON)
			continue;
		shed_bin(p, b, excess, shed);
		pool_chosen(p, shed);
	}
	for (uint32_t s = 0; s < p->spots_n; s++)
		if (p->spots[s].cpu > p->spots[s].cpu_keep * (1 + LOAD_EPSILON))
			shed_spot(p, s, shed);
}

void pool_leavers(struct problem *p, struct shed *shed)
{
	for (uint32_t b = 0; b <= p->there; b++) {
		if (b < p->there && bin_stays(&p->bins[b]))
			continue;
		for (uint32_t k = p->home_first[b]; k < p->home_first[b + 1]; k++) {
			uint32_t i = p->by_home[k];
			struct unit *unit = &p->units[i];

			if ((unit->is_rider && !unit->is_split) || unit->at != unit->home ||
			    unit->is_kept || !unit_must_leave(p, unit) || unit_is_left(p, unit))
				continue;
			unit->is_pooled = true;
			p->pool[shed->pooled++] = i;
		}
	}
}
