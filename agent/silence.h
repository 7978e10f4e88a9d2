/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * silence.h - is a peer silent? From when it was asked and what it answered; no I/O, no clock.
 *
 * Silence is counted from the first question that it owes an answer to, not from its last answer: a host
 * that is too busy to ask finds nobody dead.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SILENCE_ASKED                                                                              \
	32 /* questions that are remembered: an answer that is older counts for nothing */

struct silence {
	struct {
		uint64_t ns; /* which is the question's name, too */
		uint64_t sent;
	} asked[SILENCE_ASKED]; /* a ring */
	unsigned int next;
	uint64_t answered_ns;	/* the latest question that was answered; 0: none yet */
	uint64_t answered_sent; /* packets that had gone to the peer before it was asked */
	uint64_t owed_ns;	/* the first question since then; 0: nothing was asked since */
	bool silent;
};

/* The peer is being asked; `sent`: packets that have gone to it so far. */
void silence_ask(struct silence *silence, uint64_t now_ns, uint64_t sent);

/*
 * Looks at its latest answer, to the question of `heard_ns` (0: none): silent, if it owes one for
 * after_ns or more. True: that has changed.
 */
bool silence_judge(struct silence *silence, uint64_t now_ns, uint64_t heard_ns, uint64_t after_ns);

/* For how long it has owed an answer, when its latest one was to the question of `heard_ns`; 0: it owes none. */
uint64_t silence_owed(const struct silence *silence, uint64_t now_ns, uint64_t heard_ns);

/* Of `sent` packets those that may have been lost with it: sent after what it last answered. */
uint64_t silence_unheard(const struct silence *silence, uint64_t sent);
