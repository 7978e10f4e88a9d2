/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * planner_place.c - a placement, greedily: who has to go, who goes because its instance or host has
 * too much, and where each of them fits.
 *
 * Shedding is a knapsack (cover the excess as cheaply as possible), solved by cost for each unit of
 * relief, then trimmed. Placing is bin packing: large units by best fit, the small ones of a source
 * to one target after the other, so that a plan has few steps. What finds no place stays, and its
 * source sheds other units in the next round.
 */
#include <math.h>
#include <stdlib.h>

#include "lib/cleanup.h"
#include "orchestrator/planner_internal.h"

#define ROUNDS 8
#define ROUNDS_LARGE                                                                               \
	3 /* with so many units to choose from the first choice is nearly always right */
#define UNITS_LARGE 65536
#define BIG_SHARE   0.04 /* of a bin: a unit that needs to be fitted, not poured */

/* What a bin (or a host) has too much of. */
struct excess {
	double load, flows;
};

/* A unit that could leave, and what that costs for each unit of relief. */
struct candidate {
	uint32_t unit;
	float ratio;
	struct weight weight;
};

struct shed {
	struct candidate *all;
	size_t n;
	size_t chosen; /* [0, chosen) go */
	size_t pooled; /* in problem.pool */
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
	       !(unit->is_rider && unit->is_split) && !unit_must_leave(p, unit);
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
		if (value <= 0 || c.weight.load > room * (1 + LOAD_EPSILON))
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

static void pool_shed(struct problem *p, struct shed *shed)
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

static void pool_leavers(struct problem *p, struct shed *shed)
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

/* ---- placing ---- */

/* Riders before their slots: one that finds no place goes with its slot. */
static int pool_class(const struct problem *p, const struct unit *unit)
{
	if (unit->is_rider)
		return 0;
	return p->bins_n > 0 && unit->load > BIG_SHARE * p->bins[p->bins_n - 1].target ? 1 : 2;
}

static int cmp_pool(const void *x, const void *y, void *arg)
{
	const struct problem *p = arg;
	uint32_t i = *(const uint32_t *)x, j = *(const uint32_t *)y;
	const struct unit *a = &p->units[i], *b = &p->units[j];
	int ca = pool_class(p, a), cb = pool_class(p, b);

	if (ca != cb)
		return ca - cb;
	if (ca == 2 && a->home != b->home)
		return a->home < b->home ? -1 : 1;
	if (a->load != b->load)
		return a->load > b->load ? -1 : 1;
	return (i > j) - (i < j);
}

/* The bin that is fullest with it; NOWHERE. */
static uint32_t best_fit(const struct problem *p, const struct unit *unit, const struct weight *w)
{
	uint32_t best = NOWHERE;
	double least = INFINITY;

	for (uint32_t b = 0; b < p->bins_n; b++) {
		double target = bin_target(p, &p->bins[b], unit);
		double room = (target - p->bins[b].load) / p->bins[b].capacity;

		if (b != unit->at && room < least && bin_fits(p, b, w, target)) {
			least = room;
			best = b;
		}
	}
	return best;
}

static uint32_t emptiest(const struct problem *p, const struct unit *unit, const struct weight *w)
{
	uint32_t best = NOWHERE;
	double most = -INFINITY;

	for (uint32_t b = 0; b < p->bins_n; b++) {
		double room = (p->bins[b].target - p->bins[b].load) / p->bins[b].capacity;

		if (b != unit->at && room > most &&
		    bin_fits(p, b, w, bin_target(p, &p->bins[b], unit))) {
			most = room;
			best = b;
		}
	}
	return best;
}

/* Where a flow that must leave needs no pin any more: at the owner of its slot; else NOWHERE. */
static uint32_t pin_slot_at(const struct problem *p, const struct unit *unit)
{
	const struct flow_load *flow;

	if (unit->kind != UNIT_FLOW || unit->is_rider || !unit_must_leave(p, unit))
		return NOWHERE;
	flow = &p->service->flows[unit - p->units - p->flows_at];
	return flow->slot < p->service->slots_n ? p->units[flow->slot].at : NOWHERE;
}

static uint32_t place_of(const struct problem *p, const struct unit *unit, const struct weight *w,
			 uint32_t *current)
{
	uint32_t slot_at = pin_slot_at(p, unit);

	if (slot_at != NOWHERE && slot_at != unit->at &&
	    bin_fits(p, slot_at, w, bin_target(p, &p->bins[slot_at], unit)))
		return slot_at;
	if (pool_class(p, unit) != 2)
		return best_fit(p, unit, w);
	if (*current == NOWHERE || *current == unit->at ||
	    !bin_fits(p, *current, w, bin_target(p, &p->bins[*current], unit)))
		*current = emptiest(p, unit, w);
	return *current;
}

/* How many found no place. */
static size_t pool_place(struct problem *p, size_t n)
{
	/* rooms only shrink here: what is no smaller than one that failed needs no search */
	struct weight least = { .load = INFINITY };
	uint32_t current = NOWHERE, home = NOWHERE;
	size_t failed = 0;

	qsort_r(p->pool, n, sizeof(p->pool[0]), cmp_pool, p);
	for (size_t k = 0; k < n; k++) {
		uint32_t i = p->pool[k], to;
		struct unit *unit = &p->units[i];
		struct weight w = unit_weight(p, i);

		if (unit->home != home) {
			current = NOWHERE;
			least.load = INFINITY;
		}
		home = unit->home;
		to = NOWHERE;
		if (w.load < least.load || w.flows < least.flows || w.bytes < least.bytes)
			to = place_of(p, unit, &w, &current);
		unit->is_pooled = false;
		if (to != NOWHERE) {
			unit_put(p, i, to);
			continue;
		}
		least = w;
		unit->is_kept = true;
		if (unit->is_rider)
			unit->is_split = false;
		failed++;
	}
	return failed;
}

/* A slot that must leave but fits nowhere as a whole lets its riders go their own ways. */
static bool split_stuck(struct problem *p)
{
	bool split = false;

	for (uint32_t r = (uint32_t)p->flows_at; r < p->rules_at; r++) {
		struct unit *rider = &p->units[r], *slot;

		if (!rider->is_rider || rider->is_kept || rider->is_split)
			continue;
		slot = &p->units[p->service->flows[r - p->flows_at].slot];
		if (slot->at != slot->home || slot->chain != NOWHERE || slot->is_tail ||
		    !unit_must_leave(p, slot))
			continue;
		slot->is_kept = false;
		rider->is_split = split = true;
	}
	return split;
}

int place_all(struct problem *p)
{
	int rounds = p->units_n > UNITS_LARGE ? ROUNDS_LARGE : ROUNDS;
	struct shed shed = { .all = calloc(p->units_n + 1, sizeof(*shed.all)) };

	if (!shed.all)
		return -ENOMEM;
	problem_reset(p);
	for (int round = 0; round < rounds; round++) {
		size_t n, failed;

		shed.pooled = 0;
		pool_leavers(p, &shed);
		if (round == 0 || !p->rescue) /* what was rescued fills some over their target */
			pool_shed(p, &shed);
		n = shed.pooled;
		failed = n ? pool_place(p, n) : 0;
		if (failed == 0)
			break;
		if (!split_stuck(p) && failed == n)
			break; /* what is chosen instead would fare no better */
	}
	free(shed.all);
	return 0;
}
