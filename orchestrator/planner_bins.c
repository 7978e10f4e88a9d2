/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* planner_bins.c - from loads and policy to the planner's hosts and instances: spots and bins. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "orchestrator/planner_internal.h"

#define CPU_S_GUESS 1e-6 /* of a packet, where nobody has measured it: a slow NF */

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

int spots_build(struct problem *p, const struct loads *loads)
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
		bin->load0 = instance->packets_per_s * problem_growth(p);
		bin->flows0 = instance->flows;
	}
}

static int cmp_bin(const void *x, const void *y)
{
	return (int)((const struct bin *)x)->id - (int)((const struct bin *)y)->id;
}

int bins_build(struct problem *p)
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
