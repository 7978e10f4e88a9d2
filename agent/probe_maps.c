/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * probe_maps.c - how full the maps are whose filling up hurts: each instance's flow state, as a whole
 * and its fullest group (which refuses flows on its own), pins, and the places for moves.
 */
#include <bpf/bpf.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/probe.h"
#include "lib/json.h"

#define MAPS_PERIOD_MS 1000

/* Of one group of the instance's state; 0: can't tell. All groups have the same room. */
static uint32_t group_room(const struct instance *instance)
{
	_cleanup_close_ int fd = bpf_map_get_fd_by_id(instance->state.group_ids[0]);
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);

	return fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.max_entries;
}

static uint32_t group_fullest(const struct instance *instance)
{
	const struct meters *meters = &instance->meters;
	uint32_t each = 1u << instance->state.group_shift, most = 0;

	for (uint32_t slot = 0; slot < meters->slots;) {
		uint32_t flows = 0;

		do
			flows += meters_slot(meters, slot++).flows;
		while (slot % each);
		most = MAX(most, flows);
	}
	return most;
}

static json_t *instance_fill(const struct instance *instance)
{
	const struct ff_nf_control *control = instance->state.control;
	uint32_t room = group_room(instance);
	json_t *json = json_pack("{si sI sI}", "instance", instance->id, "flows",
				 (json_int_t)__atomic_load_n(&control->flows, __ATOMIC_RELAXED),
				 "capacity",
				 (json_int_t)__atomic_load_n(&control->capacity, __ATOMIC_RELAXED));

	if (room) {
		json_put_uint(json, "group_flows", group_fullest(instance));
		json_put_uint(json, "group_capacity", room);
	}
	return json;
}

static json_t *fill(uint64_t used, uint64_t capacity)
{
	return json_pack("{sI sI}", "used", (json_int_t)used, "capacity", (json_int_t)capacity);
}

static int maps_read(struct agent *agent, void *state, uint64_t now_ns, json_t **ret,
		     struct ff_error *err)
{
	_cleanup_json_ json_t *list = json_array();
	const struct datapath *dp = agent->dp;
	uint64_t pins = 0, lanes = 0;
	int r = 0;

	(void)state;
	(void)now_ns;
	for (size_t i = 1; i < FF_SERVICES_MAX; i++)
		if (dp->services[i].used)
			pins += dp->services[i].pins[dp->services[i].active & 1];
	for (size_t i = 0; i < FF_LANES_MAX; i++)
		lanes += dp->lanes[i].token != 0;
	pthread_rwlock_rdlock(&agent->instances_lock);
	for (size_t id = 1; id < FF_INSTANCES_MAX && !r; id++)
		if (agent->instances[id])
			r = json_array_append_new(list, instance_fill(agent->instances[id]));
	pthread_rwlock_unlock(&agent->instances_lock);
	if (r)
		return error_nomem(err);
	*ret = json_pack("{so so sO}", "pins", fill(pins, dp->pins_max), "lanes",
			 fill(lanes, FF_LANES_MAX), "state", list);
	return *ret ? 0 : error_nomem(err);
}

const struct probe probe_maps = { "maps", MAPS_PERIOD_MS, NULL, maps_read, NULL };
