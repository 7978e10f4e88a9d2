/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* planner.c - how many instances, which of them, on which hosts; and the best placement on them. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "orchestrator/planner_internal.h"

#define IDLE_TRIES   2	/* more instances that better nothing, one after the other: enough */
#define SUBSETS_BINS 10 /* so many instances: every set of them to close is tried */
#define SUBSETS_MAX  64

/* A placement worth keeping. */
struct best {
	bool any;
	bool tried;
	struct score last; /* tried; also of one that wasn't kept */
	struct score score;
	bool exact;
	uint32_t *at;
	uint8_t *split;
	struct bin *bins;
	size_t bins_n;
};

static void best_done(struct best *best)
{
	free(best->at);
	free(best->split);
	free(best->bins);
}
#define _cleanup_best_ _cleanup_(best_done)

static int best_init(const struct problem *p, struct best *best)
{
	best->at = calloc(p->units_n + 1, sizeof(*best->at));
	best->split = calloc(p->units_n + 1, 1);
	best->bins = calloc(p->bins_max + 1, sizeof(*best->bins));
	return best->at && best->split && best->bins ? 0 : -ENOMEM;
}

static void best_save(const struct problem *p, const struct score *score, bool exact,
		      struct best *best)
{
	best->any = true;
	best->score = *score;
	best->exact = exact;
	best->bins_n = p->bins_n;
	memcpy(best->bins, p->bins, p->bins_n * sizeof(*p->bins));
	for (size_t i = 0; i < p->units_n; i++) {
		best->at[i] = p->units[i].at;
		best->split[i] = p->units[i].is_split;
	}
}

static void best_load(struct problem *p, const struct best *best)
{
	p->bins_n = best->bins_n;
	memcpy(p->bins, best->bins, best->bins_n * sizeof(*p->bins));
	for (size_t i = 0; i < p->units_n; i++) {
		p->units[i].at = best->at[i];
		p->units[i].is_split = best->split[i];
	}
}

/* What bins and hosts may keep: the target where relief is asked for, else what they have. */
static void limits_set(struct problem *p)
{
	bool relieve = p->input->flags & PLANNER_RELIEVE;

	for (size_t b = 0; b < p->bins_n; b++) {
		struct bin *bin = &p->bins[b];

		bin->target = bin->policy_target;
		bin->keep = relieve ? bin->target : fmax(bin->target, bin->load0);
		bin->flows_keep = relieve ? bin->flows_target :
					    fmax(bin->flows_target, bin->flows0);
	}
	for (size_t s = 0; s < p->spots_n; s++) {
		struct spot *spot = &p->spots[s];
		bool over = relieve && spot->host->conditions & HOST_OVERLOAD;

		spot->cpu_keep = over ? spot->cpu_limit : fmax(spot->cpu_limit, spot->cpu0);
	}
}

/* One trial: place, search if that is worth it, keep if better. */
static int evaluate(struct problem *p, bool must_hold, struct best *best)
{
	struct score score;
	bool exact = false;
	int err = place_all(p);

	if (err)
		return err;
	score = score_of(p);
	exact = score.cost <= 0 && score_is_feasible(&score);
	if (!exact && search_is_small(p)) {
		double limit = score_is_feasible(&score) ? score.cost : INFINITY;

		if (search_small(p, limit, &exact))
			score = score_of(p);
		else if ((err = place_all(p))) /* as it was */
			return err;
		exact = exact && score_is_feasible(&score);
	}
	best->tried = true;
	best->last = score;
	if (must_hold && !score_is_feasible(&score))
		return 0;
	if (!best->any || score_less(&score, &best->score))
		best_save(p, &score, exact, best);
	return 0;
}

/* ---- how many instances ---- */

static int evaluate_fewer(struct problem *p, size_t closing, struct best *best)
{
	int tried = 0, err = 0;

	composition_reset(p);
	if (p->there > SUBSETS_BINS) {
		if (!composition_close(p, closing) || !volume_fits(p))
			return 0;
		limits_set(p);
		return evaluate(p, true, best);
	}
	for (uint32_t mask = 0; mask < 1u << p->there && tried < SUBSETS_MAX && !err; mask++) {
		if ((size_t)__builtin_popcount(mask) != closing)
			continue;
		composition_reset(p);
		if (!composition_close_mask(p, mask) || !volume_fits(p))
			continue;
		limits_set(p);
		err = evaluate(p, true, best);
		tried++;
	}
	return err;
}

/*
 * Evaluates with @n instances. *ret_more: there may be still more; then a number that can't be
 * enough by volume is passed over.
 */
static int evaluate_count(struct problem *p, size_t n, bool last, struct best *best, bool *ret_more)
{
	size_t live;

	*ret_more = true;
	composition_reset(p);
	live = p->staying;
	if (n < live)
		return evaluate_fewer(p, live - n, best);
	*ret_more = composition_create(p, n) && !last;
	if (n == live && !composition_spread(p))
		composition_reset(p);
	if (*ret_more && p->input->flags & PLANNER_RELIEVE && !volume_fits(p))
		return 0;
	limits_set(p);
	return evaluate(p, false, best);
}

/* How many more a placement that doesn't hold needs at least. */
static size_t more_needed(const struct problem *p, const struct score *score)
{
	double each = p->policy->utilisation.target_percent / 100.0, capacity = 1;

	for (size_t b = 0; b < p->bins_n; b++)
		capacity = fmax(capacity, p->bins[b].capacity);
	return MAX((size_t)1, (size_t)(0.9 * (score->excess + score->stuck / capacity) / each));
}

/* From the fewest that could do, upwards, until a placement holds or more gain nothing. */
static int count_search(struct problem *p, struct best *best)
{
	const struct policy_instances *bounds = &p->policy->instances;
	size_t live, n, max, step = 1, idle = 0;
	int err = 0;
	bool more = true;

	composition_reset(p);
	live = p->staying;
	n = p->input->flags & PLANNER_SHRINK ?
		    MIN(live, MAX((size_t)bounds->min, composition_least(p))) :
		    live;
	n = MAX(MAX((size_t)1, (size_t)bounds->min), MIN(n, (size_t)bounds->max));
	max = MAX((size_t)bounds->max, live);
	for (; n <= max && more && idle < IDLE_TRIES && !err; n += step) {
		struct score before = best->score;
		bool had = best->any;

		best->tried = false;
		err = evaluate_count(p, n, n == max, best, &more);
		step = 1;
		if (!best->tried)
			continue;
		if (best->any && score_is_feasible(&best->score))
			break;
		idle = had && !score_less(&best->score, &before) ? idle + 1 : 0;
		step = idle ? 1 : more_needed(p, &best->last);
		/* large services can afford one too many, not one trial after the other */
		if (p->there > SUBSETS_BINS)
			step = MAX(step, n / 128);
		if (n < live)
			step = MIN(step, live - n);
		else if (n < max)
			step = MIN(step, max - n);
	}
	if (!err && !best->any) {
		composition_reset(p);
		limits_set(p);
		err = evaluate(p, false, best);
	}
	return err;
}

/* ---- balance ---- */

static double busiest(const struct problem *p, bool before)
{
	double most = 0;

	for (size_t b = 0; b < p->bins_n; b++)
		if (bin_stays(&p->bins[b]) || (before && p->bins[b].is_closed))
			most = fmax(most, (before ? p->bins[b].load0 : p->bins[b].load) /
						  p->bins[b].capacity);
	return most;
}

static double mean_utilisation(const struct problem *p)
{
	double load = 0, capacity = 0;

	for (size_t b = 0; b < p->bins_n; b++) {
		if (!bin_stays(&p->bins[b]))
			continue;
		load += p->bins[b].load0;
		capacity += p->bins[b].capacity;
	}
	return capacity > 0 ? load / capacity : 0;
}

/* Evens out what the plan for overload left alone; tries to come close to the mean, then less so. */
static int balance(struct problem *p, struct best *best)
{
	double margin = p->policy->utilisation.imbalance_percent / 100.0;
	double was = busiest(p, true), gain = p->policy->moves.gain_percent / 100.0;
	int err = 0;

	for (int part = 1; part <= 4 && !err; part++) {
		double level = mean_utilisation(p) + margin * part / 4;

		best->any = false;
		limits_set(p);
		for (size_t b = 0; b < p->bins_n; b++) {
			struct bin *bin = &p->bins[b];

			bin->target = fmin(bin->policy_target, level * bin->capacity);
			bin->keep = bin_stays(bin) ? fmax(bin->target, 0) : bin->keep;
		}
		err = evaluate(p, true, best);
		if (best->any && was - busiest(p, false) >= gain)
			return err;
	}
	best->any = false;
	return err;
}

static bool grew_or_shrank(const struct problem *p, const struct best *best)
{
	bool changed = best->bins_n > p->there;

	for (size_t b = 0; b < p->there; b++)
		changed |= best->bins[b].is_closed || best->bins[b].is_back;
	return changed;
}

/*
 * As many instances as may be, and still flows without a live owner: then up to the limit, and
 * nobody sheds what lies between target and limit.
 */
static int rescue(struct problem *p, struct best *best)
{
	bool orphans = false;

	best_load(p, best);
	for (size_t i = 0; i < p->units_n; i++)
		orphans |= p->units[i].why == PLAN_RESCUE && p->units[i].at == p->units[i].home;
	if (!orphans)
		return 0;
	p->rescue = true;
	for (size_t b = 0; b < p->bins_n; b++)
		p->bins[b].keep =
			fmax(p->bins[b].keep, p->bins[b].capacity * PLANNER_RESCUE_PERCENT / 100);
	return evaluate(p, false, best);
}

static int optimise(struct problem *p, struct best *best)
{
	_cleanup_best_ struct best even = {};
	int err = count_search(p, best);

	if (!err && best->score.stuck > 0)
		err = rescue(p, best);
	if (err || !(p->input->flags & PLANNER_BALANCE) || grew_or_shrank(p, best) ||
	    !score_is_feasible(&best->score))
		return err;
	err = best_init(p, &even);
	composition_reset(p);
	err = err ?: balance(p, &even);
	if (!err && even.any)
		best_save(p, &even.score, even.exact, best); /* the problem is in it */
	return err;
}

/* A plan that makes pins hands nothing over: what may only be handed over would be copied after all. */
static bool copies_bound(const struct problem *p)
{
	bool pins = false, bound = false;

	for (size_t i = 0; i < p->units_n; i++) {
		const struct unit *unit = &p->units[i];

		if (unit->at == unit->home)
			continue;
		pins |= unit->is_split;
		bound |= unit->is_bound && !unit_must_leave(p, unit);
	}
	return pins && bound;
}

/* Once more, if need be, with all that is bound where it is. */
static int optimise_within_bounds(struct problem *p, struct best *best)
{
	int err = optimise(p, best);

	if (err)
		return err;
	best_load(p, best);
	if (!copies_bound(p))
		return 0;
	for (size_t i = 0; i < p->units_n; i++)
		p->units[i].is_fixed |= p->units[i].is_bound;
	p->rescue = best->any = false;
	err = optimise(p, best);
	if (!err)
		best_load(p, best);
	return err;
}

static int input_check(const struct planner_input *input)
{
	const struct policy *policy = input->policy;

	if (!input->loads || !policy || !input->cost)
		return -EINVAL;
	if (policy->instances.min > policy->instances.max || !policy->instances.max ||
	    !policy->utilisation.target_percent)
		return -EINVAL;
	return 0;
}

int planner_plan(const struct planner_input *input, struct plan *ret_plan)
{
	_cleanup_(problem_done) struct problem p = {};
	_cleanup_(plan_done) struct plan plan = {};
	_cleanup_best_ struct best best = {};
	int err = input_check(input);

	err = err ?: problem_build(input, &p);
	err = err ?: best_init(&p, &best);
	err = err ?: optimise_within_bounds(&p, &best);
	if (err)
		return err;
	plan.exact = best.exact;
	plan.cost_us = best.score.cost;
	plan.busiest_before = busiest(&p, true);
	err = steps_build(&p, &plan);
	if (err)
		return err;
	*ret_plan = plan;
	plan = (struct plan){};
	return 0;
}
