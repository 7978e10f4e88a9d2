/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * policy_check.c - policies that contradict themselves: each contradiction has a name and a mend.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/filter.h"
#include "lib/name.h"
#include "lib/policy_internal.h"

/* Two numbers of which the first must not be above the second, or (strict) must be below it. */
struct order {
	const char *low_name, *high_name;
	uint32_t low, high;
	bool strict;
	const char *why;
};

static int order_check(const struct order *order, const struct policy_source *source,
		       struct ff_error *err)
{
	if (order->strict ? order->low < order->high : order->low <= order->high)
		return 0;
	return policy_refuse(source, order->low_name, order->high_name, err, order->why,
			     "%s (%u) %s %s (%u)", order->low_name, order->low,
			     order->strict ? "is not below" : "is above", order->high_name,
			     order->high);
}

static int orders_check(const struct policy *p, const struct policy_source *source,
			struct ff_error *err)
{
	const struct order orders[] = {
		{ "instances.min", "instances.max", p->instances.min, p->instances.max, false,
		  "raise max or lower min" },
		{ "utilisation.target_percent", "utilisation.up_percent",
		  p->utilisation.target_percent, p->utilisation.up_percent, true,
		  "a plan must end below what starts the next one" },
		{ "utilisation.down_percent", "utilisation.target_percent",
		  p->utilisation.down_percent, p->utilisation.target_percent, true,
		  "a plan must not end where instances are taken away again" },
		{ "capacity.target_percent", "capacity.up_percent", p->capacity.target_percent,
		  p->capacity.up_percent, true, "a plan must end below what starts the next one" },
		{ "sla.freeze_ms", "moves.freeze_ms_per_s", p->sla.freeze_ms,
		  p->moves.freeze_ms_per_s, false,
		  "one move may not freeze a flow longer than all moves of a second may" },
		{ "scale_in.patience_ms", "scale_in.deadline_ms", p->scale_in.patience_ms,
		  p->scale_in.deadline_ms, false,
		  "the deadline ends the patience: raise it, or be less patient" },
		{ "stability.up_ms", "stability.down_ms", p->stability.up_ms, p->stability.down_ms,
		  false, "instances must go more slowly than they come, or the service flaps" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		int r = order_check(&orders[i], source, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int hosts_check(const struct policy *p, const struct policy_source *source,
		       struct ff_error *err)
{
	char path[32];

	for (uint32_t i = 0; i < p->placement.hosts_count; i++) {
		snprintf(path, sizeof(path), "placement.hosts[%u]", i);
		if (name_check("host", p->placement.hosts[i], NULL) < 0)
			return policy_refuse(source, path, NULL, err,
					     "`flowferry hosts` lists the names",
					     "%s: '%s' is no name of a host", path,
					     p->placement.hosts[i]);
		for (uint32_t other = 0; other < i; other++)
			if (!strcmp(p->placement.hosts[i], p->placement.hosts[other]))
				return policy_refuse(source, path, NULL, err, "name each host once",
						     "%s: %s is there twice", path,
						     p->placement.hosts[i]);
	}
	return 0;
}

/* What the hosts that are allowed can't hold. */
static int placement_check(const struct policy *p, const struct policy_source *source,
			   struct ff_error *err)
{
	uint64_t hosts = p->placement.hosts_count;

	if (!hosts)
		return 0;
	if (hosts * p->instances.per_host < p->instances.min)
		return policy_refuse(source, "instances.min", "placement.hosts", err,
				     "allow more hosts, or more instances on each",
				     "instances.min (%u) is more than instances.per_host (%u) on "
				     "each of the %u hosts of placement.hosts",
				     p->instances.min, p->instances.per_host, (uint32_t)hosts);
	if (hosts == 1 && p->placement.spread && p->instances.max > 1)
		return policy_refuse(
			source, "placement.hosts", "placement.spread", err,
			"allow a second host, or set spread: false or instances.max: 1",
			"placement.spread keeps instances off a single host, but "
			"placement.hosts allows only %s, and instances.max is %u",
			p->placement.hosts[0], p->instances.max);
	if (hosts == 1 && p->protect.enabled)
		return policy_refuse(source, "protect.enabled", "placement.hosts", err,
				     "allow a second host, or set protect.enabled: false",
				     "protect.enabled needs a standby on another host, but "
				     "placement.hosts allows only %s",
				     p->placement.hosts[0]);
	return 0;
}

static int together_check(const struct policy *p, const struct policy_source *source,
			  struct ff_error *err)
{
	for (uint32_t i = 0; i < p->together_count; i++) {
		_cleanup_filter_ struct filter *filter = NULL;
		struct ff_error cause = {};
		char path[32];

		snprintf(path, sizeof(path), "together[%u]", i);
		if (filter_new(p->together[i], &filter, &cause) < 0)
			return policy_refuse(source, path, NULL, err, cause.mend, "%s: %s", path,
					     cause.message);
		for (uint32_t other = 0; other < i; other++)
			if (!strcmp(p->together[i], p->together[other]))
				return policy_refuse(source, path, NULL, err,
						     "name each group once",
						     "%s: the filter is there twice", path);
	}
	return 0;
}

static int quiet_check(const struct policy *p, const struct policy_source *source,
		       struct ff_error *err)
{
	for (uint32_t i = 0; i < p->quiet_count; i++) {
		char path[32];

		if (p->quiet_hours[i].from_minute != p->quiet_hours[i].to_minute)
			continue;
		snprintf(path, sizeof(path), "quiet_hours[%u].to", i);
		return policy_refuse(source, path, NULL, err,
				     "give different times; for a whole day 00:00 and 24:00",
				     "%s: ends when it begins", path);
	}
	return 0;
}

int policy_check(const struct policy *policy, const struct policy_source *source,
		 struct ff_error *err)
{
	static int (*const checks[])(const struct policy *, const struct policy_source *,
				     struct ff_error *) = {
		orders_check, hosts_check, placement_check, together_check, quiet_check,
	};

	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		int r = checks[i](policy, source, err);

		if (r < 0)
			return r;
	}
	return 0;
}
