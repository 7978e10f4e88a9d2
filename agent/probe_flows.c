/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * probe_flows.c - the heaviest flows of each instance, from the packets that the data path samples.
 *
 * The sketches are fed at every sample, lest the rings overflow; they tell once in FLOWS_TELL_MS. Where
 * more was sampled than a ring holds, what is left stands for all of it.
 */
#include "agent/agent.h"
#include "agent/probe.h"
#include "agent/sketch.h"
#include "lib/clock.h"
#include "lib/flow.h"
#include "lib/json.h"

#define CPUS_MAX      ((unsigned int)FF_CPUS_MAX)
#define FLOWS_TELL_MS 500
#define FLOWS_TOLD    16   /* of an instance */
#define FLOWS_SHARE   0.01 /* of its packets: less isn't worth a pin */

struct flows_instance {
	uint32_t prog_id; /* another one: the instance has been made anew */
	uint64_t seen[FF_CPUS_MAX];
	struct sketch sketch;
};

struct flows {
	uint64_t fed_ns;
	uint64_t told_ns;
	struct flows_instance *instances[FF_INSTANCES_MAX];
};

static int flows_open(struct agent *agent, void **ret_state, struct ff_error *err)
{
	(void)agent;
	*ret_state = calloc(1, sizeof(struct flows));
	return *ret_state ? 0 : error_nomem(err);
}

static void flows_close(void *state)
{
	struct flows *flows = state;

	for (size_t i = 0; i < FF_INSTANCES_MAX; i++)
		free(flows->instances[i]);
	free(flows);
}

/* What was sampled before we came is of no time that we know. */
static void samples_skip(struct flows_instance *own, const struct instance *instance)
{
	for (unsigned int cpu = 0; cpu < MIN(meters_cpus(&instance->meters), CPUS_MAX); cpu++)
		own->seen[cpu] =
			__atomic_load_n(&instance->meters.cpus[cpu].samples, __ATOMIC_RELAXED);
}

static struct flows_instance *instance_own(struct flows *flows, const struct instance *instance)
{
	struct flows_instance *own = flows->instances[instance->id];

	if (own && own->prog_id == instance->prog_id)
		return own;
	free(own);
	own = flows->instances[instance->id] = calloc(1, sizeof(*own));
	if (own) {
		own->prog_id = instance->prog_id;
		samples_skip(own, instance);
	}
	return own;
}

static void instance_feed(struct flows_instance *own, const struct instance *instance,
			  double elapsed_s)
{
	struct ff_sample samples[FF_SAMPLES];

	sketch_fade(&own->sketch, elapsed_s);
	for (unsigned int cpu = 0; cpu < MIN(meters_cpus(&instance->meters), CPUS_MAX); cpu++) {
		uint64_t before = own->seen[cpu];
		size_t n = meters_samples(&instance->meters, cpu, before, samples, &own->seen[cpu]);
		double weight =
			n ? (double)(own->seen[cpu] - before) * FF_SAMPLE_EVERY / (double)n : 0;

		for (size_t i = 0; i < n; i++)
			if (state_slot(&instance->state, &samples[i].key) == samples[i].slot)
				sketch_add(&own->sketch, &samples[i], weight);
	}
}

/* NULL: it has just ended, or its age isn't known. */
static json_t *age_json(const struct instance *instance, const struct ff_flow_key *key,
			uint64_t now_ns)
{
	_Alignas(struct ff_head) uint8_t value[STREAM_VALUE_MAX];
	const struct ff_head *head = (const struct ff_head *)value;

	if (state_lookup(&instance->state, key, value) || !head->born)
		return NULL;
	return json_integer((json_int_t)state_age_ms(head, now_ns));
}

static json_t *instance_tell(const struct flows_instance *own, const struct instance *instance,
			     uint64_t now_ns)
{
	struct sketch_rate top[FLOWS_TOLD];
	size_t n = sketch_top(&own->sketch, FLOWS_SHARE, FLOWS_TOLD, top);
	json_t *list = json_array();
	char text[FLOW_TEXT_MAX];

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list,
				      json_pack("{ss si sf sf sf so*}", "flow",
						flow_format(&top[i].key, text), "slot", top[i].slot,
						"packets_per_s", top[i].packets_per_s,
						"bytes_per_s", top[i].bytes_per_s, "error_per_s",
						top[i].error_per_s, "age_ms",
						age_json(instance, &top[i].key, now_ns)));
	return json_pack("{si so}", "instance", instance->id, "flows", list);
}

static int flows_read(struct agent *agent, void *state, uint64_t now_ns, struct json_text *out,
		      struct ff_error *err)
{
	struct flows *flows = state;
	double elapsed_s = flows->fed_ns ? (double)(now_ns - flows->fed_ns) / NSEC_PER_SEC : 0;
	bool tell = now_ns - flows->told_ns >= FLOWS_TELL_MS * NSEC_PER_MSEC;
	_cleanup_json_ json_t *list = tell ? json_array() : NULL;
	int r = tell && !list;

	pthread_rwlock_rdlock(&agent->instances_lock);
	for (size_t id = 1; id < FF_INSTANCES_MAX && !r; id++) {
		const struct instance *instance = agent->instances[id];
		struct flows_instance *own = instance ? instance_own(flows, instance) : NULL;

		if (own)
			instance_feed(own, instance, elapsed_s);
		if (instance &&
		    (!own ||
		     (tell && json_array_append_new(list, instance_tell(own, instance, now_ns)))))
			r = -ENOMEM;
	}
	pthread_rwlock_unlock(&agent->instances_lock);
	if (r)
		return error_nomem(err);
	flows->fed_ns = now_ns;
	if (tell)
		flows->told_ns = now_ns;
	if (tell)
		json_text_value(out, NULL, TAKE_PTR(list));
	return 0;
}

const struct probe probe_flows = { "flows", 0, flows_open, flows_read, flows_close };
