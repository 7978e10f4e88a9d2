/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/watchdog.h"

#include <systemd/sd-daemon.h>
#include <time.h>

#include "agent/agent.h"

void watchdog_feed(void)
{
	sd_notify(0, "WATCHDOG=1");
}

static bool lock_until(pthread_mutex_t *lock, uint64_t until_ns)
{
	struct timespec until = { .tv_sec = (time_t)(until_ns / NSEC_PER_SEC),
				  .tv_nsec = (long)(until_ns % NSEC_PER_SEC) };

	return !pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, &until);
}

void watchdog_lock(struct agent *agent)
{
	struct watchdog *watchdog = &agent->watchdog;

	while (!lock_until(&agent->lock, clock_ns() + WATCHDOG_LOOK_NS)) {
		unsigned int steps = atomic_load(&watchdog->steps);

		if (steps != watchdog->seen)
			watchdog_feed();
		watchdog->seen = steps;
	}
}

void watchdog_step(struct agent *agent)
{
	atomic_fetch_add(&agent->watchdog.steps, 1);
}
