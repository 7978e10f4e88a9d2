/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * heir.h - a standby that has become an owner may have more than it owns: copies of flows that a move took
 * from its former owner, who died before it could have them dropped here. Nothing would ever look at them
 * but listings, counts, and some day a flow of the same key, whose state is stale then.
 *
 * What the table doesn't give the heir goes: when it takes over, and, as a move that was under way
 * then may end later, with each configuration of the next minutes. While a move of the service is
 * known here nothing goes: which way it ends isn't known, and what it holds isn't for others to delete.
 */
#pragma once

#include "agent/agent.h"

/* The standby @instance has become an owner. Under agent.lock. */
void heir_begins(struct agent *agent, uint16_t instance);

/* To be called when the tables are those of the configuration. Under agent.lock. */
void heirs_trim(struct agent *agent);
