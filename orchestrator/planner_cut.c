/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* planner_cut.c - how much goes in one step: as much as the bounds on freeze and parking allow. */
#include <math.h>

#include "orchestrator/planner_internal.h"

#define PARKING_SHARE 2 /* half of the target's ring: predictions err, and a full ring aborts */

static double known(float value)
{
	return isfinite(value) && value > 0 ? value : 0;
}

/* Adds what the loads say of a unit. */
static void subject_add(const struct problem *p, uint32_t i, struct cost_subject *subject)
{
	const struct service_load *s = p->service;

	if (i < p->flows_at) {
		subject->flows += known(s->slots[i].flows);
		subject->state_bytes += known(s->slots[i].state_bytes);
		subject->dirty_per_s += known(s->slots[i].dirty_per_s);
		subject->packets_per_s += known(s->slots[i].packets_per_s);
		for (uint32_t r = p->units[i].rider; r != NOWHERE; r = p->units[r].rider)
			if (p->units[r].is_split) /* gone before */
				subject->packets_per_s -=
					fmin(subject->packets_per_s,
					     known(s->flows[r - p->flows_at].packets_per_s));
	} else if (i < p->rules_at) {
		const struct flow_load *flow = &s->flows[i - p->flows_at];

		subject->flows += 1;
		subject->state_bytes += known(flow->state_bytes);
		subject->dirty_per_s += known(flow->packets_per_s);
		subject->packets_per_s += known(flow->packets_per_s);
	} else {
		const struct rule_load *rule = &s->rules[i - p->rules_at];

		subject->flows += known(rule->flows);
		subject->state_bytes += known(rule->state_bytes);
		subject->dirty_per_s += known(rule->dirty_per_s);
		subject->packets_per_s += known(rule->packets_per_s);
	}
}

static double frozen_us(const struct problem *p, uint32_t i)
{
	if (i < p->flows_at)
		return known(p->service->slots[i].frozen_us);
	if (i < p->rules_at)
		return known(p->service->flows[i - p->flows_at].frozen_us);
	return known(p->service->rules[i - p->rules_at].frozen_us);
}

/* Whether so much may move in one step as @moved does. */
static bool within_bounds(const struct problem *p, const struct cost_subject *subject,
			  double frozen, const struct moved *moved)
{
	const struct policy *policy = p->policy;
	const struct host_load *host = p->spots[p->bins[moved->to].spot].host;
	double freeze = moved->is_handed ? cost_handover_freeze_us(p->input->cost) :
					   cost_freeze_us(p->input->cost, subject->flows,
							  subject->packets_per_s);
	double parked = subject->packets_per_s * freeze / 1e6;

	if (policy->sla.freeze_ms && freeze > policy->sla.freeze_ms * 1e3)
		return false;
	if (policy->moves.freeze_ms_per_s && freeze > policy->moves.freeze_ms_per_s * 1e3 - frozen)
		return false;
	if (policy->moves.parked_packets && parked > policy->moves.parked_packets)
		return false;
	return !host->parking_packets || parked * PARKING_SHARE <= host->parking_packets;
}

/* How many of @n go together: what is handed over in one map, or one. */
static size_t units_together(const struct problem *p, const struct moved *all, size_t n)
{
	size_t i = 1;

	while (i < n && all[0].is_handed &&
	       all[i].unit >> p->group_shift == all[0].unit >> p->group_shift)
		i++;
	return i;
}

/* How many of @all go into one step; at least one. */
size_t step_cut(const struct problem *p, const struct moved *all, size_t n,
		struct cost_subject *ret_subject, bool *ret_bounded)
{
	struct cost_subject sum = {};
	double frozen = 0;
	size_t i, next;

	for (i = 0; i < n; i = next) {
		struct cost_subject with = sum;

		next = i + units_together(p, all + i, n - i);
		for (size_t k = i; k < next; k++) {
			subject_add(p, all[k].unit, &with);
			frozen = fmax(frozen, frozen_us(p, all[k].unit));
		}
		/* who has no owner waits for no bound */
		if (i > 0 && all[0].why != PLAN_RESCUE && !within_bounds(p, &with, frozen, all))
			break;
		sum = with;
	}
	*ret_bounded = all[0].why == PLAN_RESCUE || within_bounds(p, &sum, frozen, all);
	*ret_subject = sum;
	return i;
}
