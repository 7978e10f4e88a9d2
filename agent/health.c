/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/health.h"

#include <pthread.h>
#include <unistd.h>

#include "agent/agent.h"
#include "lib/log.h"

/*
 * Packets don't need pins, only an agent that starts does: each sample looks at those of every tenth
 * instance. For each there are nine paths to walk, which at every sample took half of the monitor's time.
 */
#define PINS_TURNS 10

/* Why packets don't reach it; NULL: they do. */
static const char *program_fault(const struct agent *agent, const struct instance *instance)
{
	uint32_t prog_id;
	int r = datapath_nf_get(agent->dp, instance->id, &prog_id);

	if (r)
		return "its program is not in the data path";
	if (prog_id != instance->prog_id)
		return "another program is in its place";
	return NULL;
}

/* The same, or why an agent that starts couldn't take it up. */
static const char *fault_of(const struct agent *agent, const struct instance *instance)
{
	const char *fault = program_fault(agent, instance);

	return fault ? fault : instance_pins_fault(instance);
}

static bool mend(struct agent *agent, uint16_t id)
{
	struct instance *instance = agent->instances[id];
	struct ff_error err = {};
	const char *fault = instance ? fault_of(agent, instance) : NULL;

	if (!fault)
		return false;
	if (datapath_nf_set(agent->dp, id, instance->prog_fd) ||
	    instance_programs_pin(instance, &err) || fault_of(agent, instance))
		return false;
	log_warn("instance %s: %s: mended", instance->name, fault);
	return true;
}

/* The lock is held. */
static void mend_all(struct agent *agent, const char *faults[FF_INSTANCES_MAX])
{
	for (uint16_t id = 1; id < FF_INSTANCES_MAX; id++) {
		if (!faults[id] || !mend(agent, id))
			continue;
		faults[id] = NULL;
		agent->health.mended[id]++;
	}
}

/* Its pins in their turn, and at each sample while they are at fault. */
static const char *fault_look(struct agent *agent, uint16_t id, unsigned int turn)
{
	const struct instance *instance = agent->instances[id];
	const char **unpinned = &agent->health.unpinned[id], *fault;

	if (!instance || id % PINS_TURNS == turn || *unpinned)
		*unpinned = instance ? instance_pins_fault(instance) : NULL;
	fault = instance ? program_fault(agent, instance) : NULL;
	return fault ? fault : *unpinned;
}

static bool look(struct agent *agent, const char *ret_faults[FF_INSTANCES_MAX])
{
	unsigned int turn = agent->health.looks++ % PINS_TURNS;
	bool any = false;

	pthread_rwlock_rdlock(&agent->instances_lock);
	for (uint16_t id = 1; id < FF_INSTANCES_MAX; id++) {
		ret_faults[id] = fault_look(agent, id, turn);
		any |= ret_faults[id] != NULL;
	}
	pthread_rwlock_unlock(&agent->instances_lock);
	return any;
}

void health_look(struct agent *agent)
{
	struct health *health = &agent->health;
	const char *faults[FF_INSTANCES_MAX] = {};
	bool tried = false;

	if (look(agent, faults) && !pthread_mutex_trylock(&agent->lock)) {
		mend_all(agent, faults);
		pthread_mutex_unlock(&agent->lock);
		tried = true;
	}
	for (size_t id = 1; id < FF_INSTANCES_MAX; id++)
		if (tried || !faults[id] || health->failed[id])
			health->failed[id] = faults[id];
}
