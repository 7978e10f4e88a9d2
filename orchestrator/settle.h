/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* settle.h - what hosts owe when they come back: moves that ended without them, dead pins. */
#pragma once

#include "orchestrator/orchestrator.h"

/*
 * Compares the moves in a host's report with the operations, and has it finish or drop those that
 * have ended. Returns how many it has settled; a negative errno if one of them it wouldn't.
 */
int host_settle(struct orchestrator *orch, struct host *host, const json_t *report);

/* Removes pins to the host's instances whose flows have no state any more. */
void pins_collect(struct orchestrator *orch, struct host *host);
