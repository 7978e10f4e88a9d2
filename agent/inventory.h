/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * inventory.h - hosts, services and instances: from the orchestrator, and after a restart.
 */
#pragma once

#include <jansson.h>

#include "agent/agent.h"

/*
 * PUT /v1/config: brings this host to the desired state; may be repeated. One that is malformed, or
 * doesn't agree with what runs, changes nothing. What then can't be done (an NF that doesn't load) is
 * an error that names it; the rest is done all the same. `epoch` is the request's, accepted already.
 */
int inventory_apply(struct agent *agent, const json_t *config, uint64_t epoch,
		    struct ff_error *err);

/*
 * From here on no configuration older than @version is taken, in that epoch. Each configuration that is taken
 * says so, and each end of a move: one that was made before it, and was long under way, would give the
 * entries back to the former owner, who has deleted the state. It is kept over a restart. Under
 * agent.lock: what is being applied is older and finds the move listed, or waits and is refused.
 * False: a newer one has been heard of already.
 */
bool inventory_outdate(struct agent *agent, uint64_t version, uint64_t epoch);

/* After a restart: the last configuration, from STATE_DIR/config.json, and the pinned instances. */
int inventory_adopt(struct agent *agent, struct ff_error *err);

/* Refuses an epoch below the highest accepted one, or accepts it. Takes no lock. */
int inventory_epoch(struct agent *agent, uint64_t epoch, struct ff_error *err);
