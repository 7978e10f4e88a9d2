/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * heir.h - what was a standby may have more than it owns: copies of flows that a move took from its former
 * owner, who died before it could have them dropped here; or all that it has, if it owns nothing now.
 * Nothing would ever look at them but listings, counts, and some day a flow of the same key, whose state is
 * stale then.
 *
 * What the table doesn't give it goes: when it is a standby no more, and, as a move that was under way
 * then may end later, with each configuration of the next minutes and the first one after them. While a move
 * of the service is known here nothing goes: which way it ends isn't known, and what it holds isn't
 * for others to delete. The table is never older than a move that has ended here: see inventory_outdate().
 *
 * The mark is made before the first copy comes, and is pinned with the instance: so it doesn't matter when an
 * agent dies, or what the next one finds when it begins.
 */
#pragma once

#include "agent/agent.h"

/* The instance becomes a standby. Under agent.lock. */
void heir_mark(struct instance *instance);

/* To be called when the tables are those of the configuration. Under agent.lock. */
void heirs_trim(struct agent *agent);
