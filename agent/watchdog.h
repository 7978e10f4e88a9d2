/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * watchdog.h - the agent's word to systemd that it is alive (WatchdogSec=).
 *
 * Housekeeping gives it, once a second, when it has had agent.lock: an agent that can't have it does nothing
 * any more. But a configuration may well hold the lock for a minute: each instance that is new in it takes
 * half a second to load. To wait for that without a word would have the agent killed in the middle; to
 * give the word without the lock, or from whoever works, would hide a deadlock, or a housekeeping that
 * hangs. So who holds the lock for long counts the steps of its work, and housekeeping, while it waits,
 * gives its word at each look that finds more of them.
 *
 * A step is what was done, never a turn of waiting. So a lock that is never released, or that two wait for
 * in a circle, is noticed as before: nobody counts, and systemd starts another agent, which takes
 * up what is pinned. The longest single step is to forget the flows of a standby, or those that an heir has
 * too many: half a second for a million of them.
 *
 * Shared: `steps` is written by whoever holds agent.lock, and read by housekeeping; `seen` is its own.
 */
#pragma once

#include <stdatomic.h>

#include "lib/clock.h"

#define WATCHDOG_LOOK_NS (500 * NSEC_PER_MSEC)

struct agent;

struct watchdog {
	atomic_uint steps;
	unsigned int seen;
};

void watchdog_feed(void);

/* Takes agent.lock, for housekeeping; meanwhile feeds the watchdog as long as its holder gets on. */
void watchdog_lock(struct agent *agent);

/* Some of the work is done for which agent.lock is held. */
void watchdog_step(struct agent *agent);
