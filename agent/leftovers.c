/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/leftovers.h"

#include <string.h>

#include "agent/instance.h"
#include "lib/log.h"

static bool is_wanted(const struct desired *d, uint16_t id)
{
	return d->instances[id].is && d->instances[id].host == d->host;
}

/* One that is wanted and doesn't start keeps what it has pinned. */
static bool is_known(struct agent *agent, const struct desired *d, const char *name)
{
	for (uint16_t id = 1; id < FF_INSTANCES_MAX; id++)
		if ((is_wanted(d, id) && !strcmp(d->instances[id].name, name)) ||
		    (agent->foreign[id] && !strcmp(agent->foreign[id], name)))
			return true;
	return agent_instance_named(agent, name);
}

/* Its number is in its maps, which may be pinned in part, or another version's. */
static void programs_end(struct agent *agent, const struct desired *d)
{
	for (uint16_t id = 1; id < FF_INSTANCES_MAX; id++)
		if (!agent->instances[id] && !agent->foreign[id] && !is_wanted(d, id))
			datapath_nf_set(agent->dp, id, -1);
	cpus_quiesce(agent->cpus);
}

void leftovers_end(struct agent *agent, const struct desired *d)
{
	struct ff_error err = {};
	char **names;

	if (agent->moves_waiting) /* perhaps for one of them */
		return;
	if (instance_list(agent->dp->pin_dir, &names, &err)) {
		log_warn("%s", err.message);
		return;
	}
	for (size_t i = 0; names[i]; i++) {
		if (is_known(agent, d, names[i]))
			continue;
		programs_end(agent, d);
		log_info("instance %s: removed; an agent died before it had done that", names[i]);
		if (instance_purge(agent->dp->pin_dir, names[i], &err))
			log_warn("instance %s: %s", names[i], err.message);
		watchdog_step(agent);
	}
	instance_names_free(names);
}
