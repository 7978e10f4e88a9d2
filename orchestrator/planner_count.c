/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* planner_count.c - which instances a service could have: created on which host, taken back, closed. */
#include <math.h>
#include <stdlib.h>

#include "orchestrator/planner_internal.h"

/* Counts an instance in (@n 1) or out (-1). */
static void stay_count(struct problem *p, uint32_t spot, int n)
{
	struct spot *s = &p->spots[spot];

	p->occupied += (n > 0 && s->stay == 0) - (n < 0 && s->stay == 1);
	s->stay += (uint32_t)n;
	p->staying += (size_t)n;
}

/* As the loads have it. */
static void bin_reset(const struct problem *p, struct bin *bin)
{
	bin->is_closed = false;
	if (bin->is_back) {
		bin->is_emptied = bin->is_retiring = true;
		bin->is_back = bin->takes = false;
	}
	bin->patience_s =
		bin->is_emptied ? fmin(p->policy->scale_in.patience_ms / 1e3, bin->deadline_s) : 0;
}

/* Whether two or more are all on one host. */
static bool is_huddled(const struct problem *p)
{
	return p->staying >= 2 && p->occupied == 1;
}

/* The host of the only one, or of all; NOWHERE. */
static uint32_t spot_only(const struct problem *p)
{
	for (uint32_t s = 0; s < p->spots_n && p->occupied == 1; s++)
		if (p->spots[s].stay > 0)
			return s;
	return NOWHERE;
}

void composition_reset(struct problem *p)
{
	p->bins_n = p->there;
	p->staying = p->occupied = 0;
	for (size_t s = 0; s < p->spots_n; s++)
		p->spots[s].own = p->spots[s].stay = 0;
	for (size_t b = 0; b < p->bins_n; b++) {
		struct bin *bin = &p->bins[b];

		bin_reset(p, bin);
		if (bin->is_gone)
			continue;
		if (bin->spot != NOWHERE)
			p->spots[bin->spot].own++;
		if (!bin->is_emptied)
			stay_count(p, bin->spot, 1);
	}
}

/* Where the next instance is best: alone if it can be, then where most CPU is free. */
static uint32_t spot_pick(const struct problem *p, uint32_t except)
{
	uint32_t best = NOWHERE;
	double best_free = 0;
	bool best_roomy = false;

	for (uint32_t s = 0; s < p->spots_n; s++) {
		const struct spot *spot = &p->spots[s];
		size_t created = 0;
		double spare = spot->cpu_limit - spot->cpu0;
		bool roomy, better;

		for (size_t b = p->there; b < p->bins_n; b++) {
			created += p->bins[b].spot == s;
			spare -= p->bins[b].spot == s ? p->bins[b].policy_target * spot->cpu_s : 0;
		}
		if (!spot->takes || s == except || created >= spot->room ||
		    spot->own >= p->policy->instances.per_host)
			continue;
		roomy = spare >=
			spot->capacity * spot->cpu_s * p->policy->utilisation.target_percent / 100;
		better = best == NOWHERE || roomy > best_roomy ||
			 (roomy == best_roomy &&
			  (spot->own < p->spots[best].own ||
			   (spot->own == p->spots[best].own && spare > best_free)));
		if (better) {
			best = s;
			best_free = spare;
			best_roomy = roomy;
		}
	}
	return best;
}

static double flows_target_guess(const struct problem *p)
{
	double least = INFINITY;

	for (size_t b = 0; b < p->there; b++)
		if (!p->bins[b].is_gone)
			least = fmin(least, p->bins[b].flows_target);
	return least;
}

/* Takes back one that is to be retired: that with most flows, which needn't be moved. False: there is none. */
static bool bin_recall(struct problem *p, uint32_t except)
{
	struct bin *best = NULL;

	for (size_t b = 0; b < p->there; b++) {
		struct bin *bin = &p->bins[b];

		if (!bin->may_return || bin->is_back || bin->spot == except ||
		    !p->spots[bin->spot].takes ||
		    p->spots[bin->spot].stay >= p->policy->instances.per_host)
			continue;
		if (!best || bin->flows0 > best->flows0)
			best = bin;
	}
	if (!best)
		return false;
	best->is_back = best->takes = true;
	best->is_emptied = best->is_retiring = false;
	best->patience_s = 0;
	stay_count(p, best->spot, 1);
	return true;
}

/* False: no host takes one. */
static bool bin_create(struct problem *p, uint32_t except)
{
	struct bin *bin = &p->bins[p->bins_n];
	uint32_t s;

	if (p->bins_n >= p->bins_max)
		return false;
	s = spot_pick(p, except);
	if (s == NOWHERE)
		return false;
	*bin = (struct bin){
		.created = (uint16_t)(p->bins_n - p->there + 1),
		.spot = s,
		.is_young = true,
		.takes = true,
		.capacity = p->spots[s].capacity,
		.policy_target = p->spots[s].capacity * p->policy->utilisation.target_percent / 100,
		.flows_target = flows_target_guess(p),
		.cpu_s = p->spots[s].cpu_s,
	};
	p->spots[s].own++;
	stay_count(p, s, 1);
	p->bins_n++;
	return true;
}

/* One more, without a new one if that can be. */
static bool bin_add(struct problem *p)
{
	/* a second instance never joins the first on its host, nor a third such a pair */
	uint32_t huddle = p->policy->placement.spread ? spot_only(p) : NOWHERE;

	return bin_recall(p, huddle) || bin_create(p, huddle);
}

static bool bin_may_close(const struct problem *p, const struct bin *bin)
{
	bool alone = bin->spot != NOWHERE && p->spots[bin->spot].stay == 1;

	if (!bin_stays(bin) || bin->is_young)
		return false;
	/* those that remain must not be on one host, unless they were */
	return !p->policy->placement.spread || is_huddled(p) || p->staying <= 2 || !alone ||
	       p->occupied > 2;
}

static void bin_close(struct problem *p, struct bin *bin)
{
	bin->is_closed = true;
	bin->patience_s = p->policy->scale_in.patience_ms / 1e3;
	stay_count(p, bin->spot, -1);
}

static int cmp_empty_cost(const void *x, const void *y, void *arg)
{
	const struct bin *bins = arg;
	uint32_t i = *(const uint32_t *)x, j = *(const uint32_t *)y;

	if (bins[i].empty_cost != bins[j].empty_cost)
		return bins[i].empty_cost < bins[j].empty_cost ? -1 : 1;
	return (i > j) - (i < j);
}

/* Closes the @n that are cheapest to empty. */
bool composition_close(struct problem *p, size_t n)
{
	uint32_t order[FF_INSTANCES_MAX];

	if (p->there > FF_INSTANCES_MAX)
		return false;
	for (uint32_t b = 0; b < p->there; b++)
		order[b] = b;
	qsort_r(order, p->there, sizeof(order[0]), cmp_empty_cost, p->bins);
	for (size_t k = 0; k < p->there && n > 0; k++) {
		if (!bin_may_close(p, &p->bins[order[k]]))
			continue;
		bin_close(p, &p->bins[order[k]]);
		n--;
	}
	return n == 0;
}

/* Closes the bins of @mask, one after the other; false: one of them can't be. */
bool composition_close_mask(struct problem *p, uint32_t mask)
{
	for (size_t b = 0; b < p->there; b++) {
		if (!(mask & 1u << b))
			continue;
		if (!bin_may_close(p, &p->bins[b]))
			return false;
		bin_close(p, &p->bins[b]);
	}
	return true;
}

bool volume_fits(const struct problem *p)
{
	double load = 0, room = 0;

	for (size_t b = 0; b < p->bins_n; b++) {
		load += p->bins[b].load0;
		room += bin_stays(&p->bins[b]) ? p->bins[b].policy_target :
			p->bins[b].is_frozen   ? p->bins[b].load0 :
						 0;
	}
	return load <= room * (1 + LOAD_EPSILON);
}

/* Instances all on one host: one of them is replaced. False: no other host has or takes one. */
bool composition_spread(struct problem *p)
{
	return p->policy->placement.spread && is_huddled(p) && composition_close(p, 1) &&
	       bin_add(p);
}

bool composition_create(struct problem *p, size_t n)
{
	while (p->staying < n)
		if (!bin_add(p))
			return false;
	return true;
}

static int cmp_down(const void *x, const void *y)
{
	double a = *(const double *)x, b = *(const double *)y;

	return (a < b) - (a > b);
}

size_t composition_least(const struct problem *p)
{
	double targets[FF_INSTANCES_MAX], load = 0;
	size_t n = 0, least = 0;

	for (size_t b = 0; b < p->there; b++) {
		load += p->bins[b].load0;
		if (bin_stays(&p->bins[b]) && n < FF_INSTANCES_MAX)
			targets[n++] = p->bins[b].policy_target;
	}
	qsort(targets, n, sizeof(targets[0]), cmp_down);
	for (; least < n && load > 0; least++)
		load -= targets[least];
	return least;
}
