/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * monitor.h - watches the hosts and keeps them at the desired state.
 *
 * One thread for each host asks its agent how it is, every MONITOR_POLL_MS. When the agent appears,
 * or the model changes, the same thread puts the whole configuration, so that a host never gets two
 * at once. It also settles what a host still owes from operations that ended while it was away, and
 * collects pins whose flows are dead.
 */
#pragma once

#include "orchestrator/orchestrator.h"

#define MONITOR_POLL_MS	  500
#define MONITOR_MISSES	  3	/* polls without an answer before a host counts as down */
#define MONITOR_OWED_MS	  5000	/* before a host is asked again to settle what it refused to */
#define MONITOR_DEAD_MS	  5000	/* between collections of dead pins */
#define MONITOR_APPEAR_MS 5000	/* after our own start, before a host that isn't there is down */
#define MONITOR_FIRST_MS  3000	/* likewise, for a move that somebody asks for meanwhile */
#define MONITOR_SETTLE_MS 20000 /* a client waits so long for hosts to take a configuration */

struct monitor;

int monitor_start(struct orchestrator *orch, struct monitor **ret, struct ff_error *err);
/* model.stopping is set and `changed` has been broadcast. NULL is fine. */
void monitor_stop(struct monitor *monitor);

/*
 * Waits until every host that is up has been sent the model as it is now, with the lock held (and
 * dropped while waiting). An error if `host` (NULL: none in particular) refused it or went away.
 */
int monitor_settle(struct orchestrator *orch, const struct host *host, struct ff_error *err);
/* The same for the host of an instance that has just been made, which must have it as its own. */
int monitor_settle_instance(struct orchestrator *orch, uint16_t instance, struct ff_error *err);

/*
 * Just after our own start: waits until every host has been seen, at most until MONITOR_FIRST_MS have
 * passed since then. The lock is held, and dropped while waiting.
 */
void monitor_appear(struct orchestrator *orch);

/*
 * Notes which instances a host has of another version, by its own word: a list of numbers, NULL: none. An
 * event tells of new ones. The lock is held.
 */
void monitor_note_foreign(struct orchestrator *orch, struct host *host, const json_t *numbers);
