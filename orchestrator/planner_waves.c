/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * planner_waves.c - when each step runs, and what the plan comes to.
 *
 * Steps are listed by urgency; a wave takes those that may run at the same time: as many as the
 * policy, the lanes of the hosts and the bandwidth for state allow, and none that would fill its
 * target above what it may have before others have made room there. Only the first WINDOW waiting
 * steps are looked at, so a plan of many steps is not quadratic.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "orchestrator/planner_internal.h"

#define WINDOW	    256
#define LANES_LOCAL 2u /* of a move between two instances of one host */

struct schedule {
	const struct problem *p;
	struct plan *plan;
	double *load;	 /* of each bin, as the waves go by */
	uint32_t *lanes; /* of each spot, taken in this wave */
	double *state;	 /* bytes/s on the link of each spot, in this wave */
	uint32_t *wave;	 /* of each bin: the last of its moves away, + 1 */
	uint8_t *done;	 /* of each step */
	size_t splits;	 /* steps of flows that split off, not done yet */
	uint32_t taken;	 /* moves in this wave */
};

static void schedule_done(struct schedule *s)
{
	free(s->load);
	free(s->lanes);
	free(s->state);
	free(s->wave);
	free(s->done);
}

static int schedule_init(struct schedule *s, const struct problem *p, struct plan *plan)
{
	*s = (struct schedule){
		.p = p,
		.plan = plan,
		.load = calloc(p->bins_n + 1, sizeof(*s->load)),
		.lanes = calloc(p->spots_n + 1, sizeof(*s->lanes)),
		.state = calloc(p->spots_n + 1, sizeof(*s->state)),
		.wave = calloc(p->bins_n + 1, sizeof(*s->wave)),
		.done = calloc(plan->steps_n + 1, 1),
	};
	if (!s->load || !s->lanes || !s->state || !s->wave || !s->done)
		return -ENOMEM;
	for (size_t b = 0; b < p->bins_n; b++)
		s->load[b] = p->bins[b].load0;
	for (size_t i = 0; i < plan->steps_n; i++)
		s->splits += plan->steps[i].kind == PLAN_MOVE && plan->steps[i].splits;
	return 0;
}

static uint32_t spot_of(const struct problem *p, uint32_t bin)
{
	return bin == NOWHERE ? NOWHERE : p->bins[bin].spot;
}

/* Bytes of state a second while it runs. */
static double step_rate(const struct plan_step *step)
{
	return step->predicted.total_us > 0 ?
		       step->predicted.bytes * 1e6 / step->predicted.total_us :
		       0;
}

static bool spot_has_room(const struct schedule *s, uint32_t spot, uint32_t lanes, double rate)
{
	const struct host_load *host = s->p->spots[spot].host;
	uint32_t mbit = s->p->policy->moves.fabric_mbit_per_s;
	double limit = mbit ? mbit * 125e3 : INFINITY;

	if (isfinite(s->p->spots[spot].link_limit))
		limit = fmin(limit, fmax(0, host->link_bytes_per_s - s->p->spots[spot].link0));
	/* the first of a wave always may: it would never run otherwise */
	return s->lanes[spot] == 0 ||
	       (s->lanes[spot] + lanes <= MAX(host->lanes_free, LANES_LOCAL) &&
		s->state[spot] + rate <= limit);
}

/* Moved load is measured, the bins' is forecast; that makes no difference for the order. */
static bool step_may_run(const struct schedule *s, const struct plan_step *step)
{
	uint32_t to = bin_of_instance(s->p, &step->to), from = bin_of_instance(s->p, &step->from);
	uint32_t here = spot_of(s->p, from), there = spot_of(s->p, to);
	const struct bin *bin = &s->p->bins[to];
	double limit = fmax(fmax(bin->policy_target, bin->load0), bin->load);

	if (s->p->policy->moves.at_once && s->taken >= s->p->policy->moves.at_once)
		return false;
	if ((bin->created || bin->is_back) && s->plan->waves == 0)
		return false; /* it is being created, or taken back */
	if (s->splits > 0 && !step->splits)
		return false;
	if (s->load[to] + step->packets_per_s > limit * (1 + LOAD_EPSILON) &&
	    step->why != PLAN_RESCUE)
		return false;
	if (step->why == PLAN_RESCUE)
		return true;
	if (here == there)
		return spot_has_room(s, there, LANES_LOCAL, step_rate(step));
	return spot_has_room(s, there, 1, step_rate(step)) &&
	       (here == NOWHERE || spot_has_room(s, here, 1, step_rate(step)));
}

static void step_run(struct schedule *s, size_t i)
{
	struct plan_step *step = &s->plan->steps[i];
	uint32_t to = bin_of_instance(s->p, &step->to), from = bin_of_instance(s->p, &step->from);

	step->wave = s->plan->waves;
	s->done[i] = true;
	s->taken++;
	s->load[to] += step->packets_per_s;
	if (step->why == PLAN_RESCUE)
		return;
	s->lanes[spot_of(s->p, to)]++;
	s->state[spot_of(s->p, to)] += step_rate(step);
	if (spot_of(s->p, from) != NOWHERE) {
		s->lanes[spot_of(s->p, from)]++;
		s->state[spot_of(s->p, from)] += step_rate(step);
	}
	if (from != NOWHERE)
		s->wave[from] = step->wave + 1;
}

static void wave_end(struct schedule *s, size_t first)
{
	double longest = 0;

	for (size_t i = first; i < s->plan->steps_n && i < first + WINDOW; i++) {
		const struct plan_step *step = &s->plan->steps[i];
		uint32_t from = bin_of_instance(s->p, &step->from);

		if (step->kind != PLAN_MOVE || !s->done[i] || step->wave != s->plan->waves)
			continue;
		longest = fmax(longest, step->predicted.total_us);
		s->splits -= step->splits;
		if (from != NOWHERE)
			s->load[from] -= step->packets_per_s;
	}
	s->plan->predicted_us += longest;
	s->plan->at_once = MAX(s->plan->at_once, s->taken);
	s->plan->waves++;
	s->taken = 0;
	memset(s->lanes, 0, s->p->spots_n * sizeof(*s->lanes));
	memset(s->state, 0, s->p->spots_n * sizeof(*s->state));
}

/* Of an instance that gets flows in later waves only. */
static bool is_arrival(const struct plan_step *step)
{
	return step->kind == PLAN_CREATE || step->kind == PLAN_RECALL;
}

/* One wave of what waits from @first on. */
static void wave_fill(struct schedule *s, size_t first, size_t end)
{
	for (size_t i = first; i < end && i < first + WINDOW; i++)
		if (!s->done[i] && step_may_run(s, &s->plan->steps[i]))
			step_run(s, i);
	/* instances that exchange load: one has to begin; not before what is created is there */
	if (s->taken == 0 && (s->plan->waves > 0 || !is_arrival(&s->plan->steps[0])))
		step_run(s, first);
}

static void moves_schedule(struct schedule *s, size_t first, size_t end)
{
	while (first < end) {
		wave_fill(s, first, end);
		wave_end(s, first);
		while (first < end && s->done[first])
			first++;
	}
}

static int cmp_step(const void *x, const void *y)
{
	const struct plan_step *a = x, *b = y;

	if (a->wave != b->wave)
		return a->wave < b->wave ? -1 : 1;
	if (a->kind != b->kind)
		return a->kind - b->kind;
	if (a->why != b->why)
		return a->why - b->why;
	if (a->from.id != b->from.id)
		return a->from.id - b->from.id;
	if (a->to.id != b->to.id || a->to.created != b->to.created)
		return a->to.id - b->to.id ?: a->to.created - b->to.created;
	if (a->slots_n && b->slots_n)
		return a->slots[0] < b->slots[0] ? -1 : 1;
	return (a->flows_n > b->flows_n) - (a->flows_n < b->flows_n);
}

/* ---- what it comes to ---- */

static void reason_add(struct plan *plan, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void reason_add(struct plan *plan, const char *fmt, ...)
{
	size_t used = strlen(plan->reason);
	va_list args;

	va_start(args, fmt);
	vsnprintf(plan->reason + used, sizeof(plan->reason) - used, fmt, args);
	va_end(args);
}

static void reason_build(const struct problem *p, struct plan *plan)
{
	size_t count[PLAN_WHYS] = {}, frozen = 0;
	double left = 0;

	for (size_t i = 0; i < plan->steps_n; i++)
		count[plan->steps[i].why]++;
	for (size_t b = 0; b < p->there; b++)
		frozen += p->bins[b].is_frozen;
	reason_add(plan, "%u instances, the busiest at %.0f %%", plan->instances_before,
		   plan->busiest_before * 100);
	if (plan->steps_n == 0)
		reason_add(plan, ": nothing to do");
	else
		reason_add(plan, "; then %u, the busiest at %.0f %%", plan->instances_after,
			   plan->busiest_after * 100);
	for (int why = 0, first = true; why < PLAN_WHYS; why++) {
		if (!count[why])
			continue;
		reason_add(plan, "%s%s", first ? "; because of " : ", ",
			   plan_why_name((enum plan_why)why));
		first = false;
	}
	for (size_t i = 0; i < plan->left_n; i++)
		left += plan->left[i].flows + (double)plan->left[i].pins;
	if (left > 0)
		reason_add(plan, "; about %.0f flows are left to end", ceil(left));
	if (frozen)
		reason_add(plan, "; %zu left alone, their figures are missing or stale", frozen);
	if (plan->short_pps > 0)
		reason_add(plan,
			   "; %.0f packets/s find no place under target (at most %u instances)",
			   plan->short_pps, p->policy->instances.max);
	if (plan->orphans)
		reason_add(plan, "; %u slots, rules or flows stay without a live owner",
			   plan->orphans);
	if (plan->stuck)
		reason_add(
			plan,
			"; %u slots, rules or flows find no place away from what is to be emptied",
			plan->stuck);
}

/* What finds no place; nobody has asked for relief of what an instance already had above its target. */
static double bin_short(const struct problem *p, const struct bin *bin)
{
	bool relieve = p->input->flags & PLANNER_RELIEVE;
	double most = relieve ? bin->policy_target : fmax(bin->policy_target, bin->load0);

	return bin->load > most * (1 + LOAD_EPSILON) ? bin->load - most : 0;
}

static void totals_build(const struct problem *p, struct plan *plan)
{
	plan->service = p->service->id;
	memcpy(plan->service_name, p->service->name, sizeof(plan->service_name));
	for (size_t b = 0; b < p->bins_n; b++) {
		const struct bin *bin = &p->bins[b];

		plan->instances_before += b < p->there && !bin->is_gone;
		plan->instances_after += !bin->is_gone && !bin->is_emptied && !bin->is_closed;
		if (!bin_stays(bin))
			continue;
		plan->busiest_after = fmax(plan->busiest_after, bin->load / bin->capacity);
		plan->short_pps += bin_short(p, bin);
	}
	for (size_t i = 0; i < p->units_n; i++) {
		const struct unit *unit = &p->units[i];
		bool gone = unit->at == NOWHERE || p->bins[unit->at].is_gone;

		if (unit->is_rider)
			continue;
		plan->orphans += gone;
		plan->stuck += !gone && unit->at == unit->home && unit_must_leave(p, unit) &&
			       !unit_is_left(p, unit);
	}
}

int waves_build(const struct problem *p, struct plan *plan)
{
	_cleanup_(schedule_done) struct schedule s = {};
	size_t first = 0, end;
	int err = schedule_init(&s, p, plan);

	if (err)
		return err;
	while (first < plan->steps_n && is_arrival(&plan->steps[first]))
		first++;
	for (end = first; end < plan->steps_n && plan->steps[end].kind == PLAN_MOVE;)
		end++;
	moves_schedule(&s, first, end);
	for (size_t i = end; i < plan->steps_n; i++)
		plan->steps[i].wave = s.wave[bin_of_instance(p, &plan->steps[i].from)];
	for (size_t i = 0; i < plan->steps_n; i++)
		plan->waves = MAX(plan->waves, plan->steps[i].wave + 1);
	if (plan->steps_n)
		qsort(plan->steps, plan->steps_n, sizeof(*plan->steps), cmp_step);
	totals_build(p, plan);
	reason_build(p, plan);
	return 0;
}
