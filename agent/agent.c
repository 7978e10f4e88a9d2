/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/agent.h"

#include <string.h>

struct instance *agent_instance(struct agent *agent, uint16_t number)
{
	return number < FF_INSTANCES_MAX ? agent->instances[number] : NULL;
}

struct instance *agent_instance_named(struct agent *agent, const char *name)
{
	for (size_t i = 1; i < FF_INSTANCES_MAX; i++)
		if (agent->instances[i] && !strcmp(agent->instances[i]->name, name))
			return agent->instances[i];
	return NULL;
}
