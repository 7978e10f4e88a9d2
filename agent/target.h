/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * target.h - the target's part: receiving state, commit, release; or giving back what it parked.
 */
#pragma once

#include "agent/move.h"

/* POST /v1/moves/ID/state: see struct http_upload_ops. */
extern const struct http_upload_ops target_state_upload;

/* Commits were before; hands the parked packets over and opens. frozen_ns: how long the flows had
 * been held when the call began. */
int target_release(struct move *move, uint64_t frozen_ns, struct ff_error *err);

/*
 * `json`: {"steering":[..],"heir":ID}. Waits for the fences, sends the parked packets back, then a fence; or
 * to the heir of a source that is lost.
 */
int target_return(struct move *move, const json_t *json, json_t **ret_reply, struct ff_error *err);

/* What the release has come to. Under move.lock. */
json_t *target_released_json(struct move *move);

/*
 * Waits until no state is being received any more. A sender that has stopped in the middle of a stream
 * is hung up on. -EAGAIN: what it has sent is still being written.
 */
int target_wait(struct move *move, struct ff_error *err);
