/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * phase.h - the host's side of a move as a pure state machine: which request is right when, and
 * what the steering entries of the moved flows are in each phase. No I/O, no clock.
 *
 *	source	PREPARED -> PRECOPY -> CONVERGED -> HANDOVER -> DONE		(the target has it)
 *		   any of these but DONE -> HOLDING -> RESUMED			(taken back)
 *	target	PREPARED -> COMMITTED -> RELEASED
 *		PREPARED -> RETURNED						(parked packets sent back)
 *
 * Who holds the truth: the source, until the target is COMMITTED; the target from there on. A host
 * that is both source and target has both phases.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"

enum phase {
	PHASE_NONE, /* this host has no such role */
	PHASE_PREPARED,
	PHASE_PRECOPY,
	PHASE_CONVERGED,
	PHASE_HANDOVER,
	PHASE_DONE,
	PHASE_HOLDING,
	PHASE_RESUMED,
	PHASE_COMMITTED,
	PHASE_RELEASED,
	PHASE_RETURNED,
};

enum request {
	REQUEST_PRECOPY,
	REQUEST_FINAL,
	REQUEST_HOLD,
	REQUEST_RESUME,
	REQUEST_COMMIT,
	REQUEST_RETURN,
	REQUEST_ABORT,	/* forget the move: the source keeps the flows */
	REQUEST_FINISH, /* forget the move: the target keeps them */
};

enum answer {
	ANSWER_GO,	/* do it */
	ANSWER_ALREADY, /* it's done: answer as then */
	ANSWER_REFUSE,
};

enum answer phase_request(enum phase source, enum phase target, enum request request);

const char *phase_name(enum phase phase);

/* What decides the entries' content. */
struct phase_view {
	enum phase source, target;
	bool switched; /* as a steering host */
	bool parks;    /* guarantee other than none, and no seamless handover */
	bool handover; /* the maps themselves change hands: no change need be sent */
	uint16_t from, to;
	uint8_t source_lane, target_lane;
};

/* Owner, here, flags and lane of the moved flows' entries on this host. */
struct ff_steer phase_steer(const struct phase_view *view);
