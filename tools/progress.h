/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * progress.h - following an operation to its end.
 *
 * On a terminal a line on stderr shows where it is; elsewhere nothing is written. The orchestrator
 * is asked with a long poll, and may be away for PROGRESS_AWAY_MS: operations outlive its restart.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "tools/cmd.h"

#define PROGRESS_LIVE_MS  200	/* between two states of the line: as fast as a person reads */
#define PROGRESS_QUIET_MS 500	/* of one poll where nobody looks */
#define PROGRESS_AWAY_MS  20000 /* a restarting orchestrator is back within a few seconds */
#define PROGRESS_PAUSE_MS 250	/* between attempts to reach it */

/*
 * From here on Ctrl-C (or SIGTERM) is a request to cancel what progress_follow() follows, also if
 * it comes before that has begun, e.g. while the operation is asked for. A second one leaves the
 * operation alone, a third ends the program at once. Without this call, either ends the program as
 * usual.
 */
void progress_interrupts_catch(void);
/* Has there been one since then? For who follows something else. */
bool progress_interrupted(void);

/*
 * Follows operation `id` until it ends; *ret_operation is its last state. 0, or the status to exit
 * with, reported.
 */
int progress_follow(struct call *call, const char *id, json_t **ret_operation);

/*
 * What a verb does with an operation that was accepted: prints its id, or follows it and prints its
 * end. The status to exit with.
 */
int operation_end(struct call *call, const json_t *accepted, bool no_wait);
