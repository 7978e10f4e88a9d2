/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* planner_problem.c - from loads and policy to what the planner works on; its units, that is what moves. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "orchestrator/planner_internal.h"

/*
 * What an instance measured is the truth about it, and the slots say how it is divided; but where
 * the two differ by more, one of them is wrong, and only so much is believed.
 */
#define SCALE_MIN  0.5
#define SCALE_MAX  1.25
#define GROWTH_MAX 10 /* a forecast beyond that is noise over a small load */

double problem_growth(const struct problem *p)
{
	double growth = p->input->growth;

	return isfinite(growth) ? fmin(GROWTH_MAX, fmax(1, growth)) : 1;
}

/* What slots, flows and rules have in common; the loads' structs differ in what only one has. */
struct measured {
	uint16_t owner;
	bool valid, moving;
	float packets_per_s, bytes_per_s, flows, state_bytes, dirty_per_s, frozen_us;
};

static uint32_t bin_of(const struct problem *p, uint16_t id)
{
	return p->bin_by_id[id];
}

/* Whether moving the unit alone, which freezes it for so long, would break the policy's bounds. */
static bool unit_over_bounds(const struct problem *p, const struct measured *m, double freeze)
{
	const struct policy *policy = p->policy;
	double limit = policy->sla.freeze_ms ? policy->sla.freeze_ms * 1e3 : INFINITY;

	if (policy->moves.freeze_ms_per_s)
		limit = fmin(limit, policy->moves.freeze_ms_per_s * 1e3 - m->frozen_us);
	return freeze > limit || (policy->moves.parked_packets &&
				  m->packets_per_s * freeze / 1e6 > policy->moves.parked_packets);
}

static void unit_init(struct problem *p, struct unit *unit, enum unit_kind kind,
		      const struct measured *m)
{
	bool sane = m->valid && figure_ok(m->packets_per_s) && figure_ok(m->bytes_per_s) &&
		    figure_ok(m->flows) && figure_ok(m->state_bytes);

	*unit = (struct unit){ .kind = (uint8_t)kind,
			       .rider = NOWHERE,
			       .chain = NOWHERE,
			       .home = bin_of(p, m->owner) };
	if (unit->home == NOWHERE || p->bins[unit->home].is_gone)
		unit->why = PLAN_RESCUE;
	unit->is_fixed = m->moving || (unit->home != NOWHERE && p->bins[unit->home].is_frozen);
	if (!sane) {
		unit->load = -1; /* to be guessed */
		unit->is_fixed = true;
		return;
	}
	unit->load = m->packets_per_s;
	unit->bytes = m->bytes_per_s;
	unit->flows = m->flows;
	unit->cost =
		(float)cost_marginal(p->input->cost,
				     &(struct cost_subject){ m->flows, m->state_bytes,
							     m->dirty_per_s, m->packets_per_s });
	if (unit_over_bounds(p, m, cost_freeze_us(p->input->cost, m->flows, m->packets_per_s))) {
		unit->is_bound = true;
		unit->is_fixed |= !p->hands_over ||
				  unit_over_bounds(p, m, cost_handover_freeze_us(p->input->cost));
	}
}

static void slots_build(struct problem *p)
{
	bool valid = p->service->slots_quality.validity == LOAD_VALID;

	for (size_t i = 0; i < p->there; i++)
		p->flows += p->bins[i].flows0;

	for (size_t i = 0; i < p->service->slots_n; i++) {
		const struct slot_load *s = &p->service->slots[i];

		unit_init(p, &p->units[i], UNIT_SLOT,
			  &(struct measured){ s->owner, valid && s->valid, s->moving,
					      s->packets_per_s, s->bytes_per_s, s->flows,
					      s->state_bytes, s->dirty_per_s, s->frozen_us });
	}
}

/* A heavy flow without a pin is taken out of its slot's figures and rides along. */
static void rider_attach(struct problem *p, uint32_t flow, uint32_t slot)
{
	struct unit *f = &p->units[flow], *s = &p->units[slot];

	f->home = s->home;
	f->why = s->why;
	f->is_rider = true;
	if (f->load < 0 || s->load < 0) { /* can't be told apart from its slot: no unit */
		f->load = f->bytes = f->flows = f->cost = 0;
		f->is_fixed = true;
	}
	f->is_fixed |= s->is_fixed;
	s->is_fixed |= f->is_fixed;
	f->is_bound |= s->is_bound;
	s->is_bound |= f->is_bound;
	s->load = s->load < 0 ? -1 : fmaxf(0, s->load - f->load);
	s->bytes = fmaxf(0, s->bytes - f->bytes);
	s->flows = fmaxf(0, s->flows - f->flows);
	s->cost = fmaxf((float)COST_LEAST, s->cost - f->cost);
	f->rider = s->rider;
	s->rider = flow;
}

static void flows_build(struct problem *p)
{
	bool valid = p->service->slots_quality.validity == LOAD_VALID;

	for (size_t i = 0; i < p->service->flows_n; i++) {
		const struct flow_load *f = &p->service->flows[i];
		uint32_t unit = (uint32_t)(p->flows_at + i);

		unit_init(p, &p->units[unit], UNIT_FLOW,
			  &(struct measured){ f->owner, valid && f->valid, f->moving,
					      f->packets_per_s, f->bytes_per_s, 1, f->state_bytes,
					      f->packets_per_s, f->frozen_us });
		p->units[unit].left_s = figure_ok(f->left_s) ? f->left_s : 0;
		if (!f->pinned && f->slot < p->service->slots_n)
			rider_attach(p, unit, f->slot);
	}
}

static void rules_build(struct problem *p)
{
	bool valid = p->service->slots_quality.validity == LOAD_VALID;

	for (size_t i = 0; i < p->service->rules_n; i++) {
		const struct rule_load *r = &p->service->rules[i];

		unit_init(p, &p->units[p->rules_at + i], UNIT_RULE,
			  &(struct measured){ r->owner, valid && r->valid, r->moving,
					      r->packets_per_s, r->bytes_per_s, r->flows,
					      r->state_bytes, r->dirty_per_s, r->frozen_us });
	}
}

/* Load and cost of one of @n, by the sums over all. */
static void guess(struct unit *unit, double load, double cost, double n)
{
	unit->load = (float)(load / fmax(1, n));
	unit->cost = (float)fmax(COST_LEAST, cost / fmax(1, n));
}

/*
 * What nobody measured counts as the mean of what was, or as its share of what the instances
 * measured: a unit that must move anyhow has to be placed with some figure, and 0 would put all of
 * them onto one instance. A flow is one of many in a slot: the heavy ones are measured.
 */
static void guess_unknown(struct problem *p)
{
	double load = 0, cost = 0, slots = 0, flows = 0;

	for (size_t i = 0; i < p->flows_at; i++) {
		if (p->units[i].load < 0)
			continue;
		load += p->units[i].load;
		cost += p->units[i].cost;
		flows += p->units[i].flows;
		slots++;
	}
	if (slots == 0) {
		for (size_t b = 0; b < p->there; b++)
			load += p->bins[b].load0 / problem_growth(p);
		slots = (double)p->flows_at;
		flows = p->flows;
	}
	for (size_t i = 0; i < p->units_n; i++) {
		struct unit *unit = &p->units[i];

		if (unit->load < 0)
			guess(unit, load, cost, unit->kind == UNIT_FLOW ? flows : slots);
	}
}

/* Makes the units' loads agree with what their instances measured, and takes the growth in. */
static int units_scale(struct problem *p)
{
	_cleanup_free_ double *sums = calloc(p->there + 1, sizeof(*sums));

	if (!sums)
		return -ENOMEM;
	for (size_t i = 0; i < p->units_n; i++)
		if (p->units[i].home != NOWHERE)
			sums[p->units[i].home] += p->units[i].load;
	for (size_t b = 0; b < p->there; b++) {
		struct bin *bin = &p->bins[b];
		double growth = problem_growth(p), sum = sums[b] * growth;

		sums[b] = growth;
		if (sum > 0 && bin->load0 > 0)
			sums[b] *= fmin(SCALE_MAX, fmax(SCALE_MIN, bin->load0 / sum));
		bin->load0 = fmax(bin->load0, sum * sums[b] / growth);
	}
	for (size_t i = 0; i < p->units_n; i++)
		p->units[i].load *= (float)(p->units[i].home == NOWHERE ? problem_growth(p) :
									  sums[p->units[i].home]);
	return 0;
}

void problem_done(struct problem *problem)
{
	free(problem->units);
	free(problem->bins);
	free(problem->bin_by_id);
	free(problem->spots);
	free(problem->by_home);
	free(problem->home_first);
	free(problem->pool);
	*problem = (struct problem){};
}

static int units_build(struct problem *p)
{
	int err;

	p->flows_at = p->service->slots_n;
	p->rules_at = p->flows_at + p->service->flows_n;
	p->units_n = p->rules_at + p->service->rules_n;
	if (p->units_n >= NOWHERE)
		return -EINVAL;
	p->units = calloc(p->units_n + 1, sizeof(*p->units));
	p->pool = calloc(p->units_n + 1, sizeof(*p->pool));
	if (!p->units || !p->pool)
		return -ENOMEM;
	handover_prepare(p);
	slots_build(p);
	flows_build(p);
	rules_build(p);
	guess_unknown(p);
	handover_groups(p);
	err = units_scale(p);
	return err ?: problem_index(p);
}

int problem_build(const struct planner_input *input, struct problem *ret_problem)
{
	struct problem p = { .input = input, .policy = input->policy };
	int err;

	for (size_t i = 0; i < input->loads->services_n; i++)
		if (input->loads->services[i].id == input->service)
			p.service = &input->loads->services[i];
	if (!p.service)
		return -ENOENT;
	err = spots_build(&p, input->loads);
	err = err ?: bins_build(&p);
	err = err ?: units_build(&p);
	if (err)
		problem_done(&p);
	else
		*ret_problem = p;
	return err;
}
