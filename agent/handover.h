/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * handover.h - a move between two instances of this host that copies nothing: the target gets the
 * source's maps (handover_state.h).
 *
 * Decided once, when the move is prepared, and written into its file. The phases are those of any
 * move (phase.h), with less in them: precopy shares the maps, final changes the entries' instance
 * by one store and moves the counts, clean gives the source empty maps. An agent that finds the
 * phase HANDOVER goes on to the end by itself, unless the move was being aborted: all that is left
 * is this host's business.
 *
 * A packet that the source's NF has in hand on one CPU, while the target's gets the flow's next one
 * on another: that is how one instance's packets are, two directions of a flow, and what locks and
 * atomic adds are for. They are the same if both run the same program over the host's locks; then
 * nothing is parked (`seamless`). Otherwise the flows are parked for the grace period in between.
 *
 * Fences aren't waited for: whatever a steering host's table said, its packets come here, by the
 * same path to the same CPU, and what they meet here decides.
 *
 * Others' slots in the same groups stay as they are meanwhile, also if a configuration wants it
 * otherwise: the orchestrator sends it to all hosts once more when a move has ended.
 */
#pragma once

#include "agent/move.h"

/* Could it be one? Sets move->handover, held, seamless. Under agent.lock, before it is listed. */
void handover_decide(struct move *move);

/* `other` would touch a group that `move` hands over, though not its slots. */
bool handover_excludes(const struct move *move, const struct move *other);

/* Into and from the move's file. */
int handover_note(struct move *move, struct ff_error *err);
void handover_read(struct move *move);

/* For the source's thread. */
int handover_share(struct move *move, struct ff_error *err);
int handover_switch(struct move *move, struct ff_error *err);

/* What is left of it in phase HANDOVER, once the entries are written and seen; repeatable. */
int handover_complete(struct move *move, uint64_t switched_ns, struct ff_error *err);

/* Entries are settled: all is the keeper's, and `loser` has maps of its own again. */
int handover_end(struct move *move, struct instance *loser, struct ff_error *err);
