/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * source.h - the source's part: rounds of pre-copy, the handover, taking back.
 *
 * One thread a move. It sends everything once, then again and again what changed meanwhile, until
 * little is left; then it goes on with short rounds while the steering hosts switch, and hands over
 * the moment that the last fence is there, without a word from the orchestrator: that's what keeps
 * the freeze short. Without fences it hands over when `final` asks for it.
 */
#pragma once

#include "agent/move.h"

/*
 * Within prepare, as its last step: where flows are few, starts the rounds and waits a moment for them.
 * True: they have converged, so there's nothing left for precopy to do. Otherwise they go on, and precopy
 * waits for them; or they have failed, or will, and precopy begins over again.
 */
bool source_copy_early(struct move *move);

/* Starts the rounds, waits until they have converged. */
int source_precopy(struct move *move, json_t **ret_reply, struct ff_error *err);

/* Waits until the target has answered for good. fence false: hand over at once. */
int source_final(struct move *move, bool fence, json_t **ret_reply, struct ff_error *err);

/* Ends the thread, whatever it does; what it sends is without an end then. */
void source_stop(struct move *move);

/*
 * Stops, and takes the flows back, parked: behind what the steering hosts in `json` sent here before
 * they switched. Refused once the target has committed, which it is asked, but for `"ask":false`: its
 * host is dead.
 */
int source_hold(struct move *move, const json_t *json, struct ff_error *err);

/* Waits for the target's fence, releases what was parked, opens. */
int source_resume(struct move *move, bool fence, json_t **ret_reply, struct ff_error *err);
