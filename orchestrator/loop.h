/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * loop.h - the closed loop: every LOOP_PERIOD_MS the loads that were measured are gathered and analysed;
 * where conditions hold, a plan is made; what the service's policy lets it do is done.
 *
 * It acts for services that have a policy. For others it only empties hosts and instances that an
 * operator wants empty. `pause` stops acting at once: plans under way end after their present steps.
 *
 * One thread. loop.lock guards the analyzer, the loads and what was planned last; it's taken before
 * the model's lock, never after it. `paused` is the model's.
 */
#pragma once

#include "orchestrator/orchestrator.h"
#include "orchestrator/planner.h"

#define LOOP_PERIOD_MS	100
#define LOOP_SETTLE_MS	1000 /* after a plan: slots are sampled twice anew, each half second */
#define LOOP_BACKOFF_MS 2000 /* after one that failed */
#define LOOP_HEADROOM                                                                              \
	1.03 /* of the load, in plans for relief: figures of one load differ by that */

struct loop;

int loop_start(struct orchestrator *orch, struct loop **ret, struct ff_error *err);
/* model.stopping is set and `changed` has been broadcast. NULL is fine. */
void loop_stop(struct loop *loop);

/* Survives a restart. Waits for nothing. No lock is held. */
int loop_pause(struct loop *loop, bool paused, struct ff_error *err);

/* {"paused","conditions":[..],"cost":{..}}: what is judged now. NULL: no memory. No lock is held. */
json_t *loop_json(struct loop *loop);

/*
 * The plan that would be made for a service now, though nothing asks for it: with @flags
 * (PLANNER_*), by its policy. It isn't carried out. NULL and *err. No lock is held.
 */
json_t *loop_plan(struct loop *loop, const char *service, uint32_t flags, bool text,
		  struct ff_error *err);
