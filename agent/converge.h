/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * converge.h - whether a copy of flows that go on changing needs another round. Pure.
 *
 * A round sends what changed in the one before, so rounds get shorter while more is sent in a time than
 * changes in it. On a busy machine one is held up now and then, and the next is longer: that alone
 * says nothing. Two in a row do: at this pace there is no getting closer. An urgent round is two to
 * three times as quick, at the cost of other work; so it's tried where it lasts some 25 ms at most, before
 * the rest is left to the last round, for which packets wait.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define CONVERGE_FLOWS	      512  /* few enough for the last round: about a millisecond */
#define CONVERGE_URGENT_FLOWS 8192 /* in an urgent round */
#define CONVERGE_ROUNDS_MAX   30   /* a source that changes faster than that won't converge */

/* All zero to begin with. */
struct converge {
	unsigned int rounds; /* after the first, which sends all */
	unsigned int grown;  /* so many times in a row no less had changed than before */
	size_t changed;
	bool hurry; /* rounds are to be urgent from now on */
};

/* After each round: @changed flows have changed since it began. True: one more. */
bool converge_more(struct converge *converge, size_t changed);
