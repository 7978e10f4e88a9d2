/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * recovery.h - what the journal says was under way when the daemon last ended.
 *
 * Each such operation gets a driver again, which asks the hosts how far they are and goes forward
 * if the target has committed, else back (move.h). Until it has ended its flows stay taken: an
 * overlapping operation is refused.
 */
#pragma once

#include "orchestrator/orchestrator.h"

/* Before the API is served. An operation that can't be driven any more ends as `failed`. */
int recovery_start(struct orchestrator *orch, struct ff_error *err);
