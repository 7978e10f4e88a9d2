/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * probe_maps.c - how full the maps are whose filling up hurts: each instance's flow state, as a whole
 * and its fullest group (which refuses flows on its own), pins, and the places for moves.
 */
#include <bpf/bpf.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/probe.h"

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

static void instance_fill(const struct instance *instance, struct json_text *out)
{
	const struct ff_nf_control *control = instance->state.control;
	uint32_t room = group_room(instance);

	json_text_open(out, NULL, '{');
	json_text_uint(out, "instance", instance->id);
	json_text_uint(out, "flows", __atomic_load_n(&control->flows, __ATOMIC_RELAXED));
	json_text_uint(out, "capacity", __atomic_load_n(&control->capacity, __ATOMIC_RELAXED));
	if (room) {
		json_text_uint(out, "group_flows", group_fullest(instance));
		json_text_uint(out, "group_capacity", room);
	}
	json_text_close(out, '}');
}

static void fill(struct json_text *out, const char *name, uint64_t used, uint64_t capacity)
{
	json_text_open(out, name, '{');
	json_text_uint(out, "used", used);
	json_text_uint(out, "capacity", capacity);
	json_text_close(out, '}');
}

static int maps_read(struct agent *agent, void *state, uint64_t now_ns, struct json_text *out,
		     struct ff_error *err)
{
	const struct datapath *dp = agent->dp;
	uint64_t pins = 0, lanes = 0;

	(void)state;
	(void)now_ns;
	(void)err;
	for (size_t i = 1; i < FF_SERVICES_MAX; i++)
		if (dp->services[i].used)
			pins += dp->services[i].pins[dp->services[i].active & 1];
	for (size_t i = 0; i < FF_LANES_MAX; i++)
		lanes += dp->lanes[i].token != 0;
	json_text_open(out, NULL, '{');
	fill(out, "pins", pins, dp->pins_max);
	fill(out, "lanes", lanes, FF_LANES_MAX);
	json_text_open(out, "state", '[');
	pthread_rwlock_rdlock(&agent->instances_lock);
	for (size_t id = 1; id < FF_INSTANCES_MAX; id++)
		if (agent->instances[id])
			instance_fill(agent->instances[id], out);
	pthread_rwlock_unlock(&agent->instances_lock);
	json_text_close(out, ']');
	json_text_close(out, '}');
	return 0;
}

const struct probe probe_maps = { "maps", MAPS_PERIOD_MS, NULL, maps_read, NULL };
