/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * health.h - is each NF instance of this host whole, in the data path and on disk? And mending what can
 * be, for nothing is lost then: its state is in maps that outlive its program's absence.
 *
 * The monitor looks before each sample, at pins once in ten samples, and tells what can't be mended. It
 * mends only when agent.lock is free, for it must not wait: until then what is newly broken isn't told,
 * for a standby would take over and lose what is newer than its copy.
 */
#pragma once

#include "bpf/abi.h"

struct agent;

/* The monitor's thread's own. */
struct health {
	const char *failed[FF_INSTANCES_MAX];	/* why; NULL: it's well */
	unsigned int mended[FF_INSTANCES_MAX];	/* how often, since the agent began */
	const char *unpinned[FF_INSTANCES_MAX]; /* what was wrong with its pins, by the last look */
	unsigned int looks;
};

void health_look(struct agent *agent);
