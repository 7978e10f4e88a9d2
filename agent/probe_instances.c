/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * probe_instances.c - what each NF instance has done since it was loaded, and how long it took for
 * the packets that were timed. prog_id tells one life of an instance from the next.
 */
#include "agent/agent.h"
#include "agent/probe.h"

/* What a copy of one flow's state takes on the wire: key and value; its record's head is 4 bytes. */
static uint64_t state_bytes(const struct instance *instance)
{
	return sizeof(struct ff_flow_key) + instance->state.schema->value_size;
}

static void control_put(struct json_text *out, const struct ff_nf_control *control)
{
	json_text_uint(out, "flows", __atomic_load_n(&control->flows, __ATOMIC_RELAXED));
	json_text_uint(out, "capacity", __atomic_load_n(&control->capacity, __ATOMIC_RELAXED));
	json_text_uint(out, "flows_expired", __atomic_load_n(&control->expired, __ATOMIC_RELAXED));
}

static void stats_put(struct json_text *out, const struct meters *meters)
{
	struct ff_instance_stats stats = meters_stats(meters);

	json_text_uint(out, "packets", stats.packets);
	json_text_uint(out, "bytes", stats.bytes);
	json_text_uint(out, "dropped", stats.dropped);
	json_text_uint(out, "flows_new", stats.flows_new);
	json_text_uint(out, "flows_refused", stats.flows_refused);
}

static void sampled_put(struct json_text *out, const struct meters *meters)
{
	struct meters_sampled sampled = meters_sampled(meters);

	json_text_uint(out, "samples", sampled.samples);
	json_text_uint(out, "timed", sampled.timed);
	json_text_uint(out, "nf_ns", sampled.nf_ns);
	json_text_uint(out, "path_ns", sampled.path_ns);
	json_text_open(out, "drops", '{');
	for (uint32_t i = 1; i < FF_REASON_MAX; i++)
		if (sampled.drops[i])
			json_text_uint(out, reason_name(i), sampled.drops[i]);
	json_text_close(out, '}');
}

static void instance_put(struct agent *agent, const struct instance *instance, uint64_t now_ns,
			 struct json_text *out)
{
	const char *failed = agent->health.failed[instance->id];
	json_t *standby = replica_json(agent, instance->id, now_ns);

	json_text_open(out, NULL, '{');
	json_text_uint(out, "id", instance->id);
	json_text_str(out, "name", instance->name);
	json_text_uint(out, "service", instance->service);
	json_text_uint(out, "prog_id", instance->prog_id);
	control_put(out, instance->state.control);
	stats_put(out, &instance->meters);
	json_text_uint(out, "state_bytes", state_bytes(instance));
	sampled_put(out, &instance->meters);
	json_text_uint(out, "mended", agent->health.mended[instance->id]);
	if (failed)
		json_text_str(out, "failed", failed);
	if (standby)
		json_text_value(out, "standby", standby);
	json_text_close(out, '}');
}

static int instances_read(struct agent *agent, void *state, uint64_t now_ns, struct json_text *out,
			  struct ff_error *err)
{
	(void)state;
	(void)err;
	json_text_open(out, NULL, '[');
	pthread_rwlock_rdlock(&agent->instances_lock);
	for (size_t id = 1; id < FF_INSTANCES_MAX; id++)
		if (agent->instances[id])
			instance_put(agent, agent->instances[id], now_ns, out);
	pthread_rwlock_unlock(&agent->instances_lock);
	json_text_close(out, ']');
	return 0;
}

const struct probe probe_instances = { "instances", 0, NULL, instances_read, NULL };
