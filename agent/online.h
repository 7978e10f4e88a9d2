/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * online.h - the CPUs on which packet programs run. The agent has a thread on each (cpus.h), fences
 * and parking have a place for each, so it must know all of them: CPUs 0 to n - 1, at most
 * FF_CPUS_MAX. A CPU that comes or goes later is noticed within a second, and the agent starts anew.
 */
#pragma once

#include "lib/error.h"

/*
 * How many: of a list as in /sys/devices/system/cpu/online. -ENOTSUP: they have a gap or are too
 * many; -EINVAL: it is no such list.
 */
int online_parse(const char *list, struct ff_error *err);
int online_count(struct ff_error *err);
