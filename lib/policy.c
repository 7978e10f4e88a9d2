/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* policy.c - the policy of a service that was given none, and questions to a policy. */
#include <stddef.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/policy_internal.h"

#define NUMBER(section, name, initial, least, most)                                                \
	{ #section, #name, offsetof(struct policy, section.name), initial, least, most },

const struct policy_number policy_numbers[] = { POLICY_NUMBERS(NUMBER) };
const size_t policy_numbers_n = ARRAY_SIZE(policy_numbers);

const char *const policy_day_names[7] = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" };

void policy_init(struct policy *ret_policy)
{
	*ret_policy = (struct policy){
		.mode = POLICY_ACT,
		.partition.mode = POLICY_KEEP_FORWARDING,
		.placement.spread = true,
	};
	for (size_t i = 0; i < policy_numbers_n; i++)
		*(uint32_t *)((char *)ret_policy + policy_numbers[i].offset) =
			policy_numbers[i].initial;
}

bool policy_is_quiet(const struct policy *policy, unsigned int day, unsigned int minute)
{
	unsigned int day_before = (day + 6) % 7;

	for (uint32_t i = 0; i < policy->quiet_count; i++) {
		const struct policy_quiet *quiet = &policy->quiet_hours[i];
		bool over_night = quiet->to_minute <= quiet->from_minute;

		if (minute >= quiet->from_minute && (over_night || minute < quiet->to_minute) &&
		    quiet->days & 1u << day)
			return true;
		if (over_night && minute < quiet->to_minute && quiet->days & 1u << day_before)
			return true;
	}
	return false;
}

bool policy_allows_host(const struct policy *policy, const char *host)
{
	for (uint32_t i = 0; i < policy->placement.hosts_count; i++)
		if (!strcmp(policy->placement.hosts[i], host))
			return true;
	return !policy->placement.hosts_count;
}

const char *policy_mode_name(uint8_t mode)
{
	return mode == POLICY_OBSERVE ? "observe" : "act";
}

const char *policy_partition_name(uint8_t mode)
{
	return mode == POLICY_FENCE ? "fence" : "keep-forwarding";
}
