/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * probe_lives.c - how long flows live: of those that have ended, by the bins of ff_life_bin(). Counted
 * where an entry ends, never by a packet of a flow that goes on.
 */
#include "agent/agent.h"
#include "agent/probe.h"

#define LIVES_PERIOD_MS 1000

/* Without the bins behind the last flow. */
static void instance_lives(const struct instance *instance, struct json_text *out)
{
	const struct ff_nf_control *control = instance->state.control;
	size_t n = 0;

	for (size_t bin = 0; bin < FF_LIVES; bin++)
		if (__atomic_load_n(&control->ended[bin], __ATOMIC_RELAXED))
			n = bin + 1;
	json_text_open(out, NULL, '{');
	json_text_uint(out, "instance", instance->id);
	json_text_uint(out, "began", meters_stats(&instance->meters).flows_new);
	json_text_open(out, "ended", '[');
	for (size_t bin = 0; bin < n; bin++)
		json_text_uint(out, NULL, __atomic_load_n(&control->ended[bin], __ATOMIC_RELAXED));
	json_text_close(out, ']');
	json_text_close(out, '}');
}

static int lives_read(struct agent *agent, void *state, uint64_t now_ns, struct json_text *out,
		      struct ff_error *err)
{
	(void)state;
	(void)now_ns;
	(void)err;
	json_text_open(out, NULL, '[');
	pthread_rwlock_rdlock(&agent->instances_lock);
	for (size_t id = 1; id < FF_INSTANCES_MAX; id++)
		if (agent->instances[id])
			instance_lives(agent->instances[id], out);
	pthread_rwlock_unlock(&agent->instances_lock);
	json_text_close(out, ']');
	return 0;
}

const struct probe probe_lives = { "lives", LIVES_PERIOD_MS, NULL, lives_read, NULL };
