/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * settings.h - what is set for services, hosts and instances, by operators or (retiring) by plans, in the
 * model and in the store alike.
 *
 * The model's lock is held. What can't be stored isn't done.
 */
#pragma once

#include "orchestrator/orchestrator.h"

/* All of it, out of the store into the model. One that isn't valid any more is an error. */
int settings_load(struct orchestrator *orch, struct ff_error *err);

/* Puts the service under a policy, all of it at once; NULL: nobody governs it any more. */
int settings_policy(struct orchestrator *orch, struct service *service, const struct policy *policy,
		    struct ff_error *err);

/* To be emptied, within @within_ms (0: no deadline), or (draining false) to be used again. */
int settings_drain(struct orchestrator *orch, struct host *host, bool draining, uint64_t within_ms,
		   struct ff_error *err);

/* A plan has begun to retire it, with patience: see instance.retiring_ms; false: it's removed, or stays. */
int settings_retire(struct orchestrator *orch, struct instance *instance, bool retiring,
		    struct ff_error *err);
