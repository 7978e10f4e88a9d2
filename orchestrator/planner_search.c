/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * planner_search.c - the cheapest placement of a small problem, by branch and bound.
 *
 * Depth first: what must leave, then by load; a slot's riders follow it. A unit first stays, then
 * tries the other bins, the fullest first. A branch is cut when what it has cost already, and what
 * its overfull bins must at least shed (the fractional knapsack of units not yet decided), comes to
 * more than the best placement known, less PLANNER_GAP. The number of nodes is bounded, not the
 * time: the same input gives the same plan on any machine.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/planner_internal.h"

#define SEARCH_UNITS 64
#define SEARCH_BINS  12
#define SEARCH_SPOTS FF_HOSTS_MAX
#define SEARCH_NODES 60000 /* about 50 ms on one core */

struct choice {
	uint32_t unit;
	uint32_t slot; /* place in `seq` of the slot that it rides with; NOWHERE */
	bool must;
	struct weight weight;
	double cost[SEARCH_BINS]; /* of moving it there, a rider with its slot */
	double copy, least;	  /* of copying it; of moving it anywhere */
};

struct search {
	struct problem *p;
	struct choice seq[SEARCH_UNITS];
	size_t n;
	uint32_t at[SEARCH_UNITS], best_at[SEARCH_UNITS];
	double must_rest[SEARCH_UNITS + 1]; /* least cost of those from here on that must leave */
	uint8_t by_ratio[SEARCH_BINS][SEARCH_UNITS]; /* those at home there, by cost for relief */
	size_t by_ratio_n[SEARCH_BINS];
	uint32_t shared[SEARCH_BINS]; /* spots of several bins */
	size_t shared_n;
	uint8_t by_copy[SEARCH_BINS][SEARCH_UNITS]; /* those at home there, by cost of a copy */
	size_t by_copy_n[SEARCH_BINS];
	/* without what is not decided yet */
	double load[SEARCH_BINS], flows[SEARCH_BINS];
	double cpu[SEARCH_SPOTS], link[SEARCH_SPOTS];
	double undecided[SEARCH_BINS]; /* load of those at home there */
	double best;
	unsigned int nodes;
	bool found;
};

static bool is_rider_of_choice(const struct problem *p, const struct unit *unit)
{
	const struct unit *slot;

	if (!unit->is_rider)
		return false;
	slot = &p->units[p->service->flows[unit - p->units - p->flows_at].slot];
	return !slot->is_tail && slot->chain == NOWHERE;
}

static bool is_choice(const struct problem *p, const struct unit *unit)
{
	bool must = unit_must_leave(p, unit);

	return !unit->is_tail && !unit->is_rider && !(must && unit_is_left(p, unit)) &&
	       (must || !unit->is_fixed);
}

static void choice_add(struct search *s, uint32_t i, uint32_t slot)
{
	const struct unit *unit = &s->p->units[i];
	struct choice *c = &s->seq[s->n++];

	*c = (struct choice){ .unit = i,
			      .slot = slot,
			      .must = unit_must_leave(s->p, unit),
			      .weight = unit_weight(s->p, i) };
	c->copy = c->least = unit->chain != NOWHERE ? c->weight.cost : unit->cost;
	for (uint32_t b = 0; b < s->p->bins_n; b++) {
		c->cost[b] = unit->chain != NOWHERE ? cluster_cost_to(s->p, i, b) :
						      unit_cost_to(s->p, unit, b);
		c->least = fmin(c->least, c->cost[b]);
	}
	if (unit->kind != UNIT_SLOT || unit->chain != NOWHERE)
		return;
	for (uint32_t r = unit->rider; r != NOWHERE; r = s->p->units[r].rider) {
		const struct unit *rider = &s->p->units[r];

		c->weight.load -= rider->load;
		c->weight.flows -= rider->flows;
		c->weight.bytes -= rider->bytes;
	}
}

static int cmp_choice(const void *x, const void *y)
{
	const struct choice *a = x, *b = y;

	if (a->must != b->must)
		return a->must ? -1 : 1;
	if (a->weight.load != b->weight.load)
		return a->weight.load > b->weight.load ? -1 : 1;
	return (a->unit > b->unit) - (a->unit < b->unit);
}

bool search_is_small(const struct problem *p)
{
	size_t n = 0;

	if (p->bins_n > SEARCH_BINS || p->spots_n > SEARCH_SPOTS)
		return false;
	for (uint32_t i = 0; i < p->units_n && n <= SEARCH_UNITS; i++)
		n += is_rider_of_choice(p, &p->units[i]) || is_choice(p, &p->units[i]);
	return n <= SEARCH_UNITS;
}

/* Slots are sorted before their riders are put behind them. */
static void choices_list(struct search *s)
{
	struct problem *p = s->p;
	struct choice slots[SEARCH_UNITS];
	size_t n;

	for (uint32_t i = 0; i < p->units_n; i++)
		if (is_choice(p, &p->units[i]))
			choice_add(s, i, NOWHERE);
	n = s->n;
	qsort(s->seq, n, sizeof(s->seq[0]), cmp_choice);
	memcpy(slots, s->seq, n * sizeof(slots[0]));
	s->n = 0;
	for (size_t k = 0; k < n; k++) {
		const struct unit *unit = &p->units[slots[k].unit];
		uint32_t slot = (uint32_t)s->n;

		s->seq[s->n++] = slots[k];
		if (unit->kind != UNIT_SLOT || unit->chain != NOWHERE)
			continue;
		for (uint32_t r = unit->rider; r != NOWHERE; r = p->units[r].rider)
			choice_add(s, r, slot);
	}
}

static void sums_prepare(struct search *s)
{
	struct problem *p = s->p;

	for (size_t b = 0; b < p->bins_n; b++) {
		s->load[b] = p->bins[b].load;
		s->flows[b] = p->bins[b].flows;
	}
	for (size_t i = 0; i < p->spots_n; i++) {
		s->cpu[i] = p->spots[i].cpu;
		s->link[i] = p->spots[i].link;
	}
	for (size_t k = 0; k < s->n; k++) {
		const struct weight *w = &s->seq[k].weight;
		uint32_t home = p->units[s->seq[k].unit].home;

		if (home == NOWHERE)
			continue;
		s->load[home] -= w->load;
		s->flows[home] -= w->flows;
		s->undecided[home] += w->load;
		if (p->bins[home].spot == NOWHERE)
			continue;
		s->cpu[p->bins[home].spot] -= w->load * p->bins[home].cpu_s;
		s->link[p->bins[home].spot] -= w->bytes;
	}
}

static double ratio_of(const struct choice *c, double cost)
{
	return c->weight.load > 0 ? cost / c->weight.load : INFINITY;
}

/* Puts @k into a list in the order of what relief by it costs. */
static void list_add(const struct search *s, uint8_t *list, size_t *n, size_t k, bool copies)
{
	size_t i = (*n)++;

	for (; i > 0; i--) {
		const struct choice *a = &s->seq[list[i - 1]], *b = &s->seq[k];

		if (ratio_of(a, copies ? a->copy : a->least) <=
		    ratio_of(b, copies ? b->copy : b->least))
			break;
		list[i] = list[i - 1];
	}
	list[i] = (uint8_t)k;
}

static void shared_find(struct search *s)
{
	size_t bins[SEARCH_SPOTS] = {};

	for (size_t b = 0; b < s->p->bins_n; b++)
		if (s->p->bins[b].spot != NOWHERE && ++bins[s->p->bins[b].spot] == 2)
			s->shared[s->shared_n++] = s->p->bins[b].spot;
}

static void bounds_prepare(struct search *s)
{
	shared_find(s);
	for (size_t k = s->n; k-- > 0;)
		s->must_rest[k] = s->must_rest[k + 1] + (s->seq[k].must ? s->seq[k].least : 0);
	for (size_t k = 0; k < s->n; k++) {
		uint32_t home = s->p->units[s->seq[k].unit].home;

		if (home == NOWHERE)
			continue;
		if (!s->seq[k].must)
			list_add(s, s->by_ratio[home], &s->by_ratio_n[home], k, false);
		for (size_t i = 0; i < s->shared_n; i++)
			if (s->p->bins[home].spot == s->shared[i])
				list_add(s, s->by_copy[i], &s->by_copy_n[i], k, true);
	}
}

/* The least that those of @list from @k on cost, of which so much has to go; INFINITY: they don't suffice. */
static double relief_cost(const struct search *s, const uint8_t *list, size_t n, size_t k,
			  double over, bool copies)
{
	double cost = 0;

	for (size_t i = 0; i < n && over > 0; i++) {
		const struct choice *c = &s->seq[list[i]];

		if (list[i] < k || c->weight.load <= 0)
			continue;
		cost += (copies ? c->copy : c->least) * fmin(1, over / c->weight.load);
		over -= c->weight.load;
	}
	return over > 0 ? INFINITY : cost;
}

/* What is too much for all bins of a host isn't handed over, but copied to another one. */
static double bound_of_shared(const struct search *s, size_t k)
{
	double cost = 0;

	for (size_t i = 0; i < s->shared_n; i++) {
		double over = 0;

		for (size_t b = 0; b < s->p->bins_n; b++) {
			const struct bin *bin = &s->p->bins[b];
			double target = bin->capacity;

			if (bin->spot != s->shared[i])
				continue;
			if (!s->p->rescue)
				target = fmax(bin->keep, bin->target);
			over += s->load[b] + s->undecided[b];
			over -= bin_stays(bin) ? target * (1 + LOAD_EPSILON) : s->load[b];
		}
		cost += relief_cost(s, s->by_copy[i], s->by_copy_n[i], k, over, true);
	}
	return cost;
}

/* What those from @k on cost at least; INFINITY: no placement can hold. */
static double bound(const struct search *s, size_t k)
{
	double cost = s->must_rest[k];

	for (size_t b = 0; b < s->p->there; b++) {
		const struct bin *bin = &s->p->bins[b];
		double over = s->load[b] + s->undecided[b] - bin->keep * (1 + LOAD_EPSILON);

		if (bin_stays(bin))
			cost += relief_cost(s, s->by_ratio[b], s->by_ratio_n[b], k, over, false);
	}
	return fmax(cost, bound_of_shared(s, k));
}

static bool choice_fits(const struct search *s, const struct choice *c, uint32_t b)
{
	const struct problem *p = s->p;
	const struct unit *unit = &p->units[c->unit];
	const struct bin *bin = &p->bins[b];
	const struct spot *spot;
	bool stays = unit->home == b;

	if (!bin_stays(bin) || (!stays && (!bin->takes || !cluster_may_go(p, c->unit, b))))
		return false;
	spot = &p->spots[bin->spot];
	if (s->load[b] + c->weight.load >
	    (stays ? bin->keep : bin_target(p, bin, unit)) * (1 + LOAD_EPSILON))
		return false;
	if (s->flows[b] + c->weight.flows >
	    (stays ? bin->flows_keep : bin->flows_target) * (1 + LOAD_EPSILON))
		return false;
	return s->cpu[bin->spot] + c->weight.load * bin->cpu_s <=
		       spot->cpu_keep * (1 + LOAD_EPSILON) + 1e-9 &&
	       s->link[bin->spot] + c->weight.bytes <=
		       fmax(spot->link_limit, spot->link0) * (1 + LOAD_EPSILON) + 1e-3;
}

/* INFINITY: not allowed. */
static double choice_cost(const struct search *s, const struct choice *c, uint32_t b)
{
	const struct unit *unit = &s->p->units[c->unit];
	bool stays = unit->home == b;

	if (c->slot == NOWHERE || s->at[c->slot] == b)
		return stays ? 0 : c->cost[b];
	return stays || (unit->is_bound && !c->must) ? INFINITY : unit->cost + PIN_US;
}

static void choice_put(struct search *s, size_t k, uint32_t b, double sign)
{
	const struct weight *w = &s->seq[k].weight;
	const struct bin *bin = &s->p->bins[b];

	s->load[b] += sign * w->load;
	s->flows[b] += sign * w->flows;
	s->cpu[bin->spot] += sign * w->load * bin->cpu_s;
	s->link[bin->spot] += sign * w->bytes;
	s->at[k] = b;
}

/* Two bins that the plan creates on one host are alike while both are empty. */
static bool is_twin(const struct search *s, uint32_t b)
{
	return b > s->p->there && s->load[b] == 0 && s->load[b - 1] == 0 &&
	       s->p->bins[b].spot == s->p->bins[b - 1].spot;
}

static void search_step(struct search *s, size_t k, double cost)
{
	uint32_t order[SEARCH_BINS], home = NOWHERE, n = 0;

	if (s->nodes >= SEARCH_NODES ||
	    cost + bound(s, k) >= (isinf(s->best) ? s->best : s->best * (1 - PLANNER_GAP)))
		return;
	if (k == s->n) {
		s->best = cost;
		s->found = true;
		memcpy(s->best_at, s->at, sizeof(s->at));
		return;
	}
	s->nodes++;
	home = s->p->units[s->seq[k].unit].home;
	for (uint32_t b = 0; b < s->p->bins_n; b++) {
		uint32_t i = n;

		if (!choice_fits(s, &s->seq[k], b) || is_twin(s, b) ||
		    isinf(choice_cost(s, &s->seq[k], b)))
			continue;
		/* cheapest first; of equals the fullest */
		for (; i > 0; i--) {
			uint32_t other = order[i - 1];
			double more =
				choice_cost(s, &s->seq[k], other) - choice_cost(s, &s->seq[k], b);

			if (more < 0 || (more == 0 && s->p->bins[other].target - s->load[other] <=
							      s->p->bins[b].target - s->load[b]))
				break;
			order[i] = other;
		}
		order[i] = b;
		n++;
	}
	if (home != NOWHERE)
		s->undecided[home] -= s->seq[k].weight.load;
	for (uint32_t i = 0; i < n; i++) {
		choice_put(s, k, order[i], 1);
		search_step(s, k + 1, cost + choice_cost(s, &s->seq[k], order[i]));
		choice_put(s, k, order[i], -1);
	}
	if (home != NOWHERE)
		s->undecided[home] += s->seq[k].weight.load;
}

static void search_apply(struct search *s)
{
	struct problem *p = s->p;

	problem_reset(p);
	for (size_t k = 0; k < s->n; k++)
		p->units[s->seq[k].unit].is_split = s->seq[k].slot != NOWHERE &&
						    s->best_at[k] != s->best_at[s->seq[k].slot];
	for (size_t k = 0; k < s->n; k++)
		if (s->best_at[k] != p->units[s->seq[k].unit].at)
			unit_put(p, s->seq[k].unit, s->best_at[k]);
}

bool search_small(struct problem *p, double best, bool *ret_exact)
{
	struct search *s = calloc(1, sizeof(*s));
	bool found;

	*ret_exact = false;
	problem_reset(p);
	if (!s)
		return false;
	s->p = p;
	s->best = best;
	choices_list(s);
	sums_prepare(s);
	bounds_prepare(s);
	search_step(s, 0, 0);
	*ret_exact = s->nodes < SEARCH_NODES;
	found = s->found;
	if (found)
		search_apply(s);
	free(s);
	return found;
}
