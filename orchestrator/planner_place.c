/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * planner_place.c - a placement, greedily: where each unit fits of those that have to go, or go because
 * their instance or host has too much (planner_shed.c).
 *
 * It is bin packing: large units by best fit, the small ones of a source to one target after the other, so
 * that a plan has few steps. What finds no place stays, and its source sheds other units in the next
 * round.
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

static bool may_get(const struct problem *p, uint32_t b, const struct unit *unit,
		    const struct weight *w)
{
	return b != unit->at && bin_fits(p, b, w, bin_target(p, &p->bins[b], unit)) &&
	       cluster_may_go(p, (uint32_t)(unit - p->units), b);
}

/* Where it is handed over, if that's cheaper; of equals the fullest, or the emptiest. NOWHERE. */
static uint32_t best_fit(const struct problem *p, const struct unit *unit, const struct weight *w,
			 bool fullest)
{
	uint32_t best = NOWHERE;
	double best_room = 0;
	bool best_handed = false;

	for (uint32_t b = 0; b < p->bins_n; b++) {
		const struct bin *bin = &p->bins[b];
		double target = fullest ? bin_target(p, bin, unit) : bin->target;
		double room = (target - bin->load) / bin->capacity;
		bool handed, better = fullest ? room < best_room : room > best_room;

		if ((best != NOWHERE && !better && !p->prefers) || !may_get(p, b, unit, w))
			continue;
		handed = p->prefers && unit_cost_to(p, unit, b) < unit->cost;
		if (best != NOWHERE && (handed == best_handed ? !better : best_handed))
			continue;
		best = b;
		best_room = room;
		best_handed = handed;
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
		return best_fit(p, unit, w, true);
	if (*current == NOWHERE || !may_get(p, *current, unit, w))
		*current = best_fit(p, unit, w, false);
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
		if (!unit->is_bound) /* else it may not be for want of room */
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

static int place_once(struct problem *p)
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

/* Whether another bin of its host takes anything: without one nothing is handed over. */
static bool bin_has_sibling(const struct problem *p, uint32_t b)
{
	for (uint32_t other = 0; other < p->bins_n; other++)
		if (other != b && p->bins[other].spot == p->bins[b].spot && p->bins[other].takes &&
		    !p->bins[other].is_closed)
			return true;
	return false;
}

/* Where handing over first leaves too little room for the rest, once more without. */
int place_all(struct problem *p)
{
	struct score score;
	int err;

	p->prefers = false;
	for (uint32_t b = 0; b < p->there && p->hands_over && !p->prefers; b++)
		p->prefers = bin_has_sibling(p, b);
	err = place_once(p);
	if (err || !p->prefers)
		return err;
	score = score_of(p);
	if (score_is_feasible(&score))
		return 0;
	p->prefers = false;
	return place_once(p);
}
