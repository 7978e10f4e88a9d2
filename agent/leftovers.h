/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * leftovers.h - instances that are pinned, and that nobody knows any more.
 *
 * A configuration is saved before it is applied (inventory.c), and ends instances last. So the next agent of one
 * that died on the way doesn't know those that were to end: their programs and maps would stay for ever,
 * and be taken up, with flows of long ago, by an instance that is given the same name some day.
 */
#pragma once

#include "agent/agent.h"
#include "agent/desired.h"

/* Ends them, once the tables are those of @d, which name none of them. Under agent.lock. */
void leftovers_end(struct agent *agent, const struct desired *d);
