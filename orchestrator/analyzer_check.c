/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * analyzer_check.c - figures that can't be true: not numbers, negative, beyond what a machine does,
 * or at odds with each other. An agent that lies, or a counter that went back, ends here.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "lib/clock.h"
#include "orchestrator/analyzer_internal.h"

#define RATE_MAX	1e12 /* packets or bytes a second: a terabit link carries an eighth of it */
#define UTILISATION_MAX 4.0  /* an instance can't process four times what it can; bursts count */
#define CPU_SLACK	1.25 /* time is sampled and windows differ */
#define CPU_LEAST	0.5  /* CPUs: below, the slack of a small figure says nothing */
#define SHARE_SLACK	0.1  /* between a utilisation and what it is made of */
#define FLOWS_SLACK	1.05 /* entries that expire are counted until they are swept */
#define LINK_SLACK	1.5
#define CPUS_MAX	4096

struct figure {
	const char *name;
	double value, most;
};

static int figures_check(const struct figure *figures, size_t n, const char *who,
			 char why[CONDITION_WHY_MAX])
{
	for (size_t i = 0; i < n; i++) {
		const struct figure *figure = &figures[i];

		if (isfinite(figure->value) && figure->value >= 0 && figure->value <= figure->most)
			continue;
		snprintf(why, CONDITION_WHY_MAX, "%s: says %s %g, which is %s", who, figure->name,
			 figure->value,
			 !isfinite(figure->value) ? "no number" :
			 figure->value < 0	  ? "negative" :
						    "more than can be");
		return -ERANGE;
	}
	return 0;
}

/* Figures that follow from each other. */
static int instance_agree(const struct instance_load *instance, const struct host_load *host,
			  char why[CONDITION_WHY_MAX])
{
	double cpus = instance->packets_per_s * instance->ns_per_packet / 1e9;
	double share = instance->packets_per_s * instance->ns_per_packet / 1e9;

	if (instance->capacity_pps > 0)
		share = instance->packets_per_s / instance->capacity_pps;
	if (host && host->cpus > 0 && cpus > host->cpus * CPU_SLACK && cpus > CPU_LEAST) {
		snprintf(why, CONDITION_WHY_MAX,
			 "%s: says %.0f packets/s of %.0f ns, which takes %.1f CPUs; %s has %.0f",
			 instance->name, instance->packets_per_s, instance->ns_per_packet, cpus,
			 host->name, host->cpus);
		return -ERANGE;
	}
	if ((instance->capacity_pps > 0 || instance->ns_per_packet > 0) &&
	    fabs(instance->utilisation - share) > SHARE_SLACK + share * (CPU_SLACK - 1)) {
		snprintf(why, CONDITION_WHY_MAX,
			 "%s: says utilisation %.1f %%, but its packets make %.1f %%",
			 instance->name, instance->utilisation * 100, share * 100);
		return -ERANGE;
	}
	if (instance->capacity_flows &&
	    instance->flows > (double)instance->capacity_flows * FLOWS_SLACK) {
		snprintf(why, CONDITION_WHY_MAX, "%s: says %.0f flows, but its table takes %llu",
			 instance->name, instance->flows,
			 (unsigned long long)instance->capacity_flows);
		return -ERANGE;
	}
	return 0;
}

int instance_check(const struct instance_load *instance, const struct host_load *host,
		   char why[CONDITION_WHY_MAX])
{
	const struct figure figures[] = {
		{ "packets/s", instance->packets_per_s, RATE_MAX },
		{ "bytes/s", instance->bytes_per_s, RATE_MAX },
		{ "flows", instance->flows, RATE_MAX },
		{ "new flows/s", instance->new_flows_per_s, RATE_MAX },
		{ "expired flows/s", instance->expired_flows_per_s, RATE_MAX },
		{ "drops/s", instance->drops_per_s, RATE_MAX },
		{ "ns per packet", instance->ns_per_packet, NSEC_PER_SEC },
		{ "utilisation", instance->utilisation, UTILISATION_MAX },
		{ "capacity", instance->capacity_pps, RATE_MAX },
	};
	int r = figures_check(figures, ARRAY_SIZE(figures), instance->name, why);

	return r ? r : instance_agree(instance, host, why);
}

int host_check(const struct host_load *host, char why[CONDITION_WHY_MAX])
{
	double cpu =
		(double)host->cpu.softirq + host->cpu.system + host->cpu.user + host->cpu.other;
	double link = host->link_bytes_per_s > 0 ? host->link_bytes_per_s * LINK_SLACK : RATE_MAX;
	const struct figure figures[] = {
		{ "CPUs", host->cpus, CPUS_MAX },
		{ "softirq time", host->cpu.softirq, CPUS_MAX },
		{ "system time", host->cpu.system, CPUS_MAX },
		{ "user time", host->cpu.user, CPUS_MAX },
		{ "other CPU time", host->cpu.other, CPUS_MAX },
		{ "CPUs in use", cpu, host->cpus * CPU_SLACK },
		{ "link speed", host->link_bytes_per_s, RATE_MAX },
		{ "received bytes/s", host->rx_bytes_per_s, link },
		{ "sent bytes/s", host->tx_bytes_per_s, link },
		{ "free memory", host->memory_bytes, 1e18 },
		{ "softnet squeezes/s", host->squeezes_per_s, RATE_MAX },
		{ "softnet drops/s", host->softnet_drops_per_s, RATE_MAX },
		{ "pressure", host->pressure_known ? host->pressure : 0, 1 },
	};

	return figures_check(figures, ARRAY_SIZE(figures), host->name, why);
}

bool slot_check(const struct slot_load *slot)
{
	const float figures[] = { slot->packets_per_s, slot->bytes_per_s, slot->flows,
				  slot->state_bytes,   slot->dirty_per_s, slot->frozen_us };

	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		if (!isfinite(figures[i]) || figures[i] < 0 || figures[i] > (float)RATE_MAX)
			return false;
	return true;
}
