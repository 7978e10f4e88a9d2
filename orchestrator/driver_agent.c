/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* driver_agent.c - instances that the agents load; see driver.h. */
#include "orchestrator/action.h"
#include "orchestrator/driver.h"

static int create(struct orchestrator *orch, const char *service, const char *instance,
		  const char *host, uint16_t *ret_id, struct ff_error *err)
{
	MODEL_LOCKED(&orch->model);

	return action_instance_add(orch, service, instance, host, ret_id, err);
}

static int protect(struct orchestrator *orch, uint16_t owner, uint16_t host, uint16_t *ret_id,
		   struct ff_error *err)
{
	MODEL_LOCKED(&orch->model);

	return action_standby_add(orch, owner, host, ret_id, err);
}

static int retire(struct orchestrator *orch, const char *instance, struct ff_error *err)
{
	MODEL_LOCKED(&orch->model);

	return action_instance_remove(orch, instance, err);
}

const struct driver driver_agent = {
	.name = "agent",
	.create = create,
	.protect = protect,
	.retire = retire,
};
