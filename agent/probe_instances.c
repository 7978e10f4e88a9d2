/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * probe_instances.c - what each NF instance has done since it was loaded, and how long it took for
 * the packets that were timed. prog_id tells one life of an instance from the next.
 */
#include "agent/agent.h"
#include "agent/probe.h"
#include "lib/json.h"

/* What a copy of one flow's state takes on the wire: key and value; its record's head is 4 bytes. */
static json_int_t state_bytes(const struct instance *instance)
{
	return (json_int_t)(sizeof(struct ff_flow_key) + instance->state.schema->value_size);
}

static json_t *drops_json(const struct meters_sampled *sampled)
{
	json_t *object = json_object();

	for (uint32_t i = 1; i < FF_REASON_MAX; i++)
		if (sampled->drops[i])
			json_put_uint(object, reason_name(i), sampled->drops[i]);
	return object;
}

static json_t *instance_json(struct agent *agent, const struct instance *instance, uint64_t now_ns)
{
	struct ff_instance_stats stats = meters_stats(&instance->meters);
	struct meters_sampled sampled = meters_sampled(&instance->meters);
	const struct ff_nf_control *control = instance->state.control;

	return json_pack("{si ss si si sI sI sI sI sI sI sI sI sI sI sI sI sI so sI ss* so*}", "id",
			 instance->id, "name", instance->name, "service", instance->service,
			 "prog_id", (int)instance->prog_id, "flows",
			 (json_int_t)__atomic_load_n(&control->flows, __ATOMIC_RELAXED), "capacity",
			 (json_int_t)__atomic_load_n(&control->capacity, __ATOMIC_RELAXED),
			 "packets", (json_int_t)stats.packets, "bytes", (json_int_t)stats.bytes,
			 "dropped", (json_int_t)stats.dropped, "flows_new",
			 (json_int_t)stats.flows_new, "flows_refused",
			 (json_int_t)stats.flows_refused, "flows_expired",
			 (json_int_t)__atomic_load_n(&control->expired, __ATOMIC_RELAXED),
			 "state_bytes", state_bytes(instance), "samples",
			 (json_int_t)sampled.samples, "timed", (json_int_t)sampled.timed, "nf_ns",
			 (json_int_t)sampled.nf_ns, "path_ns", (json_int_t)sampled.path_ns, "drops",
			 drops_json(&sampled), "mended",
			 (json_int_t)agent->health.mended[instance->id], "failed",
			 agent->health.failed[instance->id], "standby",
			 replica_json(agent, instance->id, now_ns));
}

static int instances_read(struct agent *agent, void *state, uint64_t now_ns, json_t **ret,
			  struct ff_error *err)
{
	_cleanup_json_ json_t *list = json_array();
	int r = 0;

	(void)state;
	pthread_rwlock_rdlock(&agent->instances_lock);
	for (size_t id = 1; id < FF_INSTANCES_MAX && !r; id++)
		if (agent->instances[id])
			r = json_array_append_new(list, instance_json(agent, agent->instances[id],
								      now_ns));
	pthread_rwlock_unlock(&agent->instances_lock);
	if (r)
		return error_nomem(err);
	*ret = TAKE_PTR(list);
	return 0;
}

const struct probe probe_instances = { "instances", 0, NULL, instances_read, NULL };
