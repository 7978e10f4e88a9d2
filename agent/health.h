/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * health.h - is each NF instance of this host whole, in the data path and on disk? And mending what can
 * be, for nothing is lost then: its state is in maps that outlive its program's absence.
 *
 * The monitor looks before each sample. It mends only when agent.lock is free, for it must not wait; what
 * is broken then is told in the sample, and looked at again for the next one.
 */
#pragma once

#include "bpf/abi.h"

struct agent;

struct health {
	const char
		*failed[FF_INSTANCES_MAX]; /* why; NULL: it's well. The monitor's thread's own. */
	unsigned int mended[FF_INSTANCES_MAX]; /* likewise: how often, since the agent began */
};

void health_look(struct agent *agent);
