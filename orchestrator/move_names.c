/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* move_names.c - what phases, calls and outcomes are called in the API and in the journal. */
#include <errno.h>
#include <string.h>

#include "orchestrator/move.h"

static const char *const phase_names[MOVE_PHASES] = {
	[MOVE_NEW] = "queued",	  [MOVE_PREPARE] = "prepare",	[MOVE_PRECOPY] = "precopy",
	[MOVE_SWITCH] = "switch", [MOVE_FINAL] = "final",	[MOVE_FINISH] = "finish",
	[MOVE_ABORT] = "abort",	  [MOVE_DECIDE] = "decide",	[MOVE_STAY] = "stay",
	[MOVE_HOLD] = "hold",	  [MOVE_UNSWITCH] = "unswitch", [MOVE_RETURN] = "return",
	[MOVE_RESUME] = "resume", [MOVE_REVERT] = "revert",	[MOVE_ENDED] = "ended",
};

static const char *const call_names[MOVE_CALLS] = {
	[MOVE_CALL_PREPARE] = "prepare", [MOVE_CALL_PRECOPY] = "precopy",
	[MOVE_CALL_SWITCH] = "switch",	 [MOVE_CALL_FINAL] = "final",
	[MOVE_CALL_FINISH] = "finish",	 [MOVE_CALL_ABORT] = "abort",
	[MOVE_CALL_QUERY] = "query",	 [MOVE_CALL_STAY] = "stay",
	[MOVE_CALL_HOLD] = "hold",	 [MOVE_CALL_UNSWITCH] = "unswitch",
	[MOVE_CALL_RETURN] = "return",	 [MOVE_CALL_RESUME] = "resume",
	[MOVE_CALL_REVERT] = "revert",
};

static const char *const outcome_names[] = {
	[MOVE_RUNNING] = "running",
	[MOVE_COMPLETED] = "completed",
	[MOVE_ROLLED_BACK] = "rolled-back",
	[MOVE_FAILED] = "failed",
};

const char *move_phase_name(enum move_phase phase)
{
	return phase_names[phase];
}

int move_phase_parse(const char *name, enum move_phase *ret_phase)
{
	for (unsigned int phase = 0; phase < MOVE_PHASES; phase++) {
		if (!strcmp(phase_names[phase], name)) {
			*ret_phase = phase;
			return 0;
		}
	}
	return -EINVAL;
}

const char *move_call_name(enum move_call call)
{
	return call_names[call];
}

const char *move_outcome_name(enum move_outcome outcome)
{
	return outcome_names[outcome];
}
