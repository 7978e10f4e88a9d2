/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * driver.h - where instances come from and go to. Elasticity knows only this; another infrastructure
 * (a VNF manager, a cloud) is another driver.
 *
 * The calls block until the instance is there, or gone, and may be made by several threads at once.
 * The model's lock is not held. An instance that was made is in the model, owns nothing, and can be
 * given flows.
 */
#pragma once

#include <stdint.h>

#include "lib/error.h"

struct orchestrator;

struct driver {
	const char *name;
	int (*create)(struct orchestrator *orch, const char *service, const char *instance,
		      const char *host, uint16_t *ret_id, struct ff_error *err);
	/* A standby of the instance `owner`; one that it has elsewhere goes. Both by number. */
	int (*protect)(struct orchestrator *orch, uint16_t owner, uint16_t host, uint16_t *ret_id,
		       struct ff_error *err);
	/* -EBUSY: it owns something, or is part of an operation. */
	int (*retire)(struct orchestrator *orch, const char *instance, struct ff_error *err);
};

/* Instances are NF objects that the host's own agent loads. */
extern const struct driver driver_agent;
