/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* planner_problem.c - from loads and policy to the planner's own units, bins and spots. */
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
#define SCALE_MIN   0.5
#define SCALE_MAX   1.25
#define GROWTH_MAX  10	 /* a forecast beyond that is noise over a small load */
#define CPU_S_GUESS 1e-6 /* of a packet, where nobody has measured it: a slow NF */

/* A forecast fall is not planned for: the present load has to be held until then. */
static double growth_of(const struct planner_input *input)
{
	return isfinite(input->growth) ? fmin(GROWTH_MAX, fmax(1, input->growth)) : 1;
}

static bool figure_ok(double value)
{
	return isfinite(value) && value >= 0;
}

static bool instance_known(const struct instance_load *i)
{
	return i->state == INSTANCE_STARTING ||
	       (i->quality.validity == LOAD_VALID && figure_ok(i->packets_per_s) &&
		figure_ok(i->flows) && figure_ok(i->ns_per_packet) && figure_ok(i->utilisation));
}

/* packets/s at utilisation 1; 0: not known. */
static double instance_capacity(const struct instance_load *i)
{
	if (i->quality.validity != LOAD_VALID)
		return 0;
	if (figure_ok(i->capacity_pps) && i->capacity_pps > 0)
		return i->capacity_pps;
	return i->ns_per_packet > 0 && isfinite(i->ns_per_packet) ? 1e9 / i->ns_per_packet : 0;
}

static int cmp_double(const void *x, const void *y)
{
	double a = *(const double *)x, b = *(const double *)y;

	return (a > b) - (a < b);
}

/* The median capacity (host 0: of all hosts'); 0: none is known. */
static double capacity_median(const struct service_load *service, uint16_t host)
{
	_cleanup_free_ double *all = calloc(service->instances_n + 1, sizeof(*all));
	size_t n = 0;

	for (size_t i = 0; all && i < service->instances_n; i++) {
		double capacity = instance_capacity(&service->instances[i]);

		if (capacity > 0 && (!host || service->instances[i].host == host))
			all[n++] = capacity;
	}
	if (n == 0)
		return 0;
	qsort(all, n, sizeof(*all), cmp_double);
	return all[n / 2];
}

/* CPU time of a packet, of all instances that measured it, likewise. 0: none did. */
static double cpu_s_median(const struct service_load *service)
{
	_cleanup_free_ double *all = calloc(service->instances_n + 1, sizeof(*all));
	size_t n = 0;

	for (size_t i = 0; all && i < service->instances_n; i++) {
		const struct instance_load *one = &service->instances[i];

		if (one->quality.validity == LOAD_VALID && isfinite(one->ns_per_packet) &&
		    one->ns_per_packet > 0)
			all[n++] = one->ns_per_packet / 1e9;
	}
	if (n == 0)
		return 0;
	qsort(all, n, sizeof(*all), cmp_double);
	return all[n / 2];
}

static int cmp_spot(const void *x, const void *y)
{
	return (int)((const struct spot *)x)->id - (int)((const struct spot *)y)->id;
}

static uint32_t spot_find(const struct problem *p, uint16_t id)
{
	for (size_t i = 0; i < p->spots_n; i++)
		if (p->spots[i].id == id)
			return (uint32_t)i;
	return NOWHERE;
}

static void spot_init(const struct problem *p, struct spot *spot, const struct host_load *host)
{
	const struct host_cpu *cpu = &host->cpu;
	double used = (double)cpu->softirq + cpu->system + cpu->user + cpu->other;
	double link = fmax(host->rx_bytes_per_s, host->tx_bytes_per_s);
	bool known = host->quality.validity == LOAD_VALID && figure_ok(used) &&
		     figure_ok(host->cpus) && host->cpus > 0;
	uint32_t max = host->instances_max ? host->instances_max : FF_INSTANCES_MAX;
	double own = capacity_median(p->service, host->id);
	bool by_name = p->policy->placement.hosts_count > 0; /* then spot->takes decides */

	*spot = (struct spot){
		.id = host->id,
		.host = host,
		.takes = known && host->conditions == 0 &&
			 policy_allows_host(p->policy, host->name),
		.cpu0 = known ? used : 0,
		.cpu_limit = known && p->policy->utilisation.host_percent < 100 ?
				     host->cpus * p->policy->utilisation.host_percent / 100 :
				     INFINITY,
		.link0 = known && figure_ok(link) ? link : 0,
		.link_limit = known && figure_ok(host->link_bytes_per_s) &&
					      host->link_bytes_per_s > 0 ?
				      host->link_bytes_per_s * PLANNER_LINK_PERCENT / 100 :
				      INFINITY,
		.room = max > host->instances && (by_name || !host->steering) ?
				max - host->instances :
				0,
		.capacity = own > 0 ? own : capacity_median(p->service, 0),
	};
	if (spot->capacity <= 0)
		spot->capacity = 1 / CPU_S_GUESS;
	spot->cpu_s = cpu_s_median(p->service);
	if (spot->cpu_s <= 0)
		spot->cpu_s = 1 / spot->capacity;
}

static int spots_build(struct problem *p, const struct loads *loads)
{
	p->spots = calloc(loads->hosts_n + 1, sizeof(*p->spots));
	if (!p->spots)
		return -ENOMEM;
	for (size_t i = 0; i < loads->hosts_n; i++)
		spot_init(p, &p->spots[p->spots_n++], &loads->hosts[i]);
	qsort(p->spots, p->spots_n, sizeof(*p->spots), cmp_spot);
	return 0;
}

/* Of one that a former plan retires: how long flows may still be left there. */
static double deadline_of(const struct problem *p, const struct instance_load *instance)
{
	const struct policy_scale_in *in = &p->policy->scale_in;

	if (instance->state != INSTANCE_RETIRING || instance->state_ms >= in->deadline_ms)
		return 0;
	return (double)(in->deadline_ms - instance->state_ms) / 1e3;
}

static void bin_init(struct problem *p, struct bin *bin, const struct instance_load *instance)
{
	const struct policy *policy = p->policy;
	uint32_t conditions = HOST_FAILED;

	*bin = (struct bin){ .id = instance->id, .spot = spot_find(p, instance->host) };
	if (bin->spot != NOWHERE)
		conditions = p->spots[bin->spot].host->conditions;
	bin->capacity = instance_capacity(instance);
	if (bin->capacity <= 0 && bin->spot != NOWHERE)
		bin->capacity = p->spots[bin->spot].capacity; /* idle, or just created */
	bin->is_gone = instance->state == INSTANCE_FAILED || conditions & HOST_FAILED;
	bin->is_emptied = instance->state == INSTANCE_DRAINING ||
			  instance->state == INSTANCE_RETIRING || conditions & HOST_MAINTENANCE;
	bin->is_retiring = instance->state == INSTANCE_RETIRING;
	bin->may_return = bin->is_retiring && !bin->is_gone && !instance->outdated &&
			  instance_known(instance) && bin->capacity > 0;
	bin->is_frozen = !bin->is_gone && !bin->is_emptied &&
			 (!instance_known(instance) || bin->capacity <= 0 ||
			  instance->state == INSTANCE_UNKNOWN);
	bin->is_young = instance->age_ms < policy->stability.lifetime_ms ||
			instance->state == INSTANCE_STARTING;
	bin->takes = !bin->is_gone && !bin->is_emptied && !bin->is_frozen && !instance->outdated &&
		     !(conditions & (HOST_SUSPECT | HOST_LINK_DOWN | HOST_PRESSURE)) &&
		     p->spots[bin->spot].host->quality.validity == LOAD_VALID;
	bin->deadline_s = conditions & HOST_MAINTENANCE ? 0 : deadline_of(p, instance);
	bin->policy_target = bin->capacity * policy->utilisation.target_percent / 100;
	bin->target = bin->policy_target;
	bin->flows_target =
		instance->capacity_flows ?
			(double)instance->capacity_flows * policy->capacity.target_percent / 100 :
			INFINITY;
	bin->cpu_s = bin->capacity > 0 ? 1 / bin->capacity : CPU_S_GUESS;
	if (instance_known(instance) && instance->ns_per_packet > 0)
		bin->cpu_s = instance->ns_per_packet / 1e9;
	if (instance_known(instance) && instance->state != INSTANCE_STARTING) {
		bin->load0 = instance->packets_per_s * growth_of(p->input);
		bin->flows0 = instance->flows;
	}
}

static int cmp_bin(const void *x, const void *y)
{
	return (int)((const struct bin *)x)->id - (int)((const struct bin *)y)->id;
}

static int bins_build(struct problem *p)
{
	const struct service_load *service = p->service;

	p->bins_max = service->instances_n +
		      MIN((size_t)p->policy->instances.max, (size_t)FF_INSTANCES_MAX);
	p->bins = calloc(p->bins_max + 1, sizeof(*p->bins));
	p->bin_by_id = calloc(UINT16_MAX + 1, sizeof(*p->bin_by_id));
	if (!p->bins || !p->bin_by_id)
		return -ENOMEM;
	for (size_t i = 0; i < service->instances_n; i++)
		bin_init(p, &p->bins[p->there++], &service->instances[i]);
	qsort(p->bins, p->there, sizeof(*p->bins), cmp_bin);
	p->bins_n = p->there;
	memset(p->bin_by_id, 0xff, (UINT16_MAX + 1) * sizeof(*p->bin_by_id)); /* NOWHERE */
	for (uint32_t b = 0; b < p->there; b++) {
		if (p->bins[b].id == 0 || p->bin_by_id[p->bins[b].id] != NOWHERE)
			return -EINVAL;
		p->bin_by_id[p->bins[b].id] = b;
	}
	return 0;
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

/* Whether moving the unit alone would break the policy's bounds on freeze and parking. */
static bool unit_over_bounds(const struct problem *p, const struct measured *m)
{
	const struct policy *policy = p->policy;
	double freeze = cost_freeze_us(p->input->cost, m->flows, m->packets_per_s);
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
	if (unit_over_bounds(p, m))
		unit->is_fixed = true;
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
	s->load = s->load < 0 ? -1 : fmaxf(0, s->load - f->load);
	s->bytes = fmaxf(0, s->bytes - f->bytes);
	s->flows = fmaxf(0, s->flows - f->flows);
	s->cost = fmaxf(0.1f, s->cost - f->cost);
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

/*
 * What nobody measured counts as the mean of what was, or as its share of what the instances
 * measured: a unit that must move anyhow has to be placed with some figure, and 0 would put all of
 * them onto one instance.
 */
static void guess_unknown(struct problem *p)
{
	double load = 0, total = 0, cost = 0;
	size_t known = 0;
	float mean;

	for (size_t i = 0; i < p->rules_at; i++) {
		if (p->units[i].load >= 0 && p->units[i].kind == UNIT_SLOT) {
			load += p->units[i].load;
			cost += p->units[i].cost;
			known++;
		}
	}
	for (size_t b = 0; b < p->there; b++)
		total += p->bins[b].load0 / growth_of(p->input);
	mean = (float)(known ? load / (double)known : total / (double)MAX(p->flows_at, 1ul));
	for (size_t i = 0; i < p->units_n; i++) {
		if (p->units[i].load >= 0)
			continue;
		p->units[i].load = mean;
		p->units[i].cost = (float)(known ? cost / (double)known : 1);
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
		double growth = growth_of(p->input), sum = sums[b] * growth;

		sums[b] = growth;
		if (sum > 0 && bin->load0 > 0)
			sums[b] *= fmin(SCALE_MAX, fmax(SCALE_MIN, bin->load0 / sum));
		bin->load0 = fmax(bin->load0, sum * sums[b] / growth);
	}
	for (size_t i = 0; i < p->units_n; i++)
		p->units[i].load *= (float)(p->units[i].home == NOWHERE ? growth_of(p->input) :
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
	slots_build(p);
	flows_build(p);
	rules_build(p);
	guess_unknown(p);
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
