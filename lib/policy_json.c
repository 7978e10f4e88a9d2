/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* policy_json.c - a policy as JSON, field for field as in its file. */
#include <stdio.h>

#include "lib/json.h"
#include "lib/policy_internal.h"

/* The section of that name, made when it isn't there yet. */
static json_t *section_get(json_t *json, const char *name)
{
	json_t *section = json_object_get(json, name);

	if (!section && !json_put(json, name, json_object()))
		section = json_object_get(json, name);
	return section;
}

static int numbers_put(json_t *json, const struct policy *policy)
{
	for (size_t i = 0; i < policy_numbers_n; i++) {
		const struct policy_number *number = &policy_numbers[i];
		uint32_t value = *(const uint32_t *)((const char *)policy + number->offset);

		if (json_put_uint(section_get(json, number->section), number->name, value))
			return -ENOMEM;
	}
	return 0;
}

static int placement_put(json_t *json, const struct policy *policy)
{
	json_t *placement = section_get(json, "placement"), *hosts = json_array();

	for (uint32_t i = 0; i < policy->placement.hosts_count; i++)
		if (json_array_append_new(hosts, json_string(policy->placement.hosts[i]))) {
			json_decref(hosts);
			return -ENOMEM;
		}
	if (json_put_bool(placement, "spread", policy->placement.spread)) {
		json_decref(hosts);
		return -ENOMEM;
	}
	return json_put(placement, "hosts", hosts);
}

static json_t *quiet_json(const struct policy_quiet *quiet)
{
	_cleanup_json_ json_t *json = json_object();
	json_t *days;

	if (json_put(json, "days", json_array()) ||
	    json_put_fmt(json, "from", "%02u:%02u", quiet->from_minute / 60u,
			 quiet->from_minute % 60u) ||
	    json_put_fmt(json, "to", "%02u:%02u", quiet->to_minute / 60u, quiet->to_minute % 60u))
		return NULL;
	days = json_object_get(json, "days");
	for (unsigned int day = 0; day < ARRAY_SIZE(policy_day_names); day++)
		if (quiet->days & 1u << day &&
		    json_array_append_new(days, json_string(policy_day_names[day])))
			return NULL;
	return TAKE_PTR(json);
}

static int lists_put(json_t *json, const struct policy *policy)
{
	json_t *list;

	if (json_put(json, "quiet_hours", json_array()) || json_put(json, "together", json_array()))
		return -ENOMEM;
	list = json_object_get(json, "quiet_hours");
	for (uint32_t i = 0; i < policy->quiet_count; i++)
		if (json_array_append_new(list, quiet_json(&policy->quiet_hours[i])))
			return -ENOMEM;
	list = json_object_get(json, "together");
	for (uint32_t i = 0; i < policy->together_count; i++)
		if (json_array_append_new(list, json_string(policy->together[i])))
			return -ENOMEM;
	return 0;
}

json_t *policy_to_json(const struct policy *policy)
{
	_cleanup_json_ json_t *json = json_object();

	if (json_put_str(json, "mode", policy_mode_name(policy->mode)) ||
	    numbers_put(json, policy) ||
	    json_put_bool(section_get(json, "protect"), "enabled", policy->protect.enabled) ||
	    json_put_str(section_get(json, "partition"), "mode",
			 policy_partition_name(policy->partition.mode)) ||
	    placement_put(json, policy) || lists_put(json, policy))
		return NULL;
	return TAKE_PTR(json);
}
