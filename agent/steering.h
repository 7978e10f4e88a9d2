/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * steering.h - a steering host's part in a move: the atomic switch, and the fences behind it.
 */
#pragma once

#include "agent/move.h"

/* Switches the flows to the target (back: to the source again), then sends fences to the host that
 * had them, again and again for a while: one that gets lost is made good by the next. */
int steering_switch(struct move *move, bool back, json_t **ret_reply, struct ff_error *err);

/*
 * From here on the flows aren't switched to the target any more: the move is being rolled back. The
 * answer says whether they have been before.
 */
int steering_stay(struct move *move, json_t **ret_reply, struct ff_error *err);

/* {"steering":[{"no","cpus"}]}, the hosts whose fences are to be awaited: by place, 0 for others. */
int steering_cpus(const json_t *json, uint16_t ret_cpus[FF_STEERING_MAX], struct ff_error *err);

/* Ends the repeating. */
void steering_stop(struct move *move);
