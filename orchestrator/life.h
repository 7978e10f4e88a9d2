/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * life.h - how long a service's flows live, and how much longer one of a known age is likely to.
 *
 * A life table: flows that have ended, by the length of their lives in bins that double (ff_life_bin()),
 * and how many have begun in the same time. Both fade alike, so that it follows a traffic that changes.
 * Those that began and have not ended count as lives without an end: a service of which every second
 * flow stays for good has ended none but short ones, and would look short-lived otherwise.
 *
 * How long a flow of age a is likely to stay is the median of those that became older than a. Not the mean:
 * lives have heavy tails, whose mean is that of the few longest; and "likely to end" is what is asked.
 * Within a bin flows end at a constant rate, so of lives that are all alike the answer may err by half a bin.
 *
 * Pure.
 */
#pragma once

#include <linux/types.h>

#include "bpf/abi.h"

#define LIFE_HALF_S 300.0 /* a flow that ended so long ago counts half */
#define LIFE_KNOWN  10.0  /* of fewer flows that became so old nothing can be told */

/* All zero: nothing known. */
struct life_table {
	double seconds; /* that it tells of; fading, as all of it */
	double began;
	double ended[FF_LIVES];
};

/* Adds what has been counted in @seconds more; what was there fades meanwhile. */
void life_take(struct life_table *table, double seconds, double began,
	       const double ended[FF_LIVES]);

/* Adds what another instance of the service tells of the same time. */
void life_merge(struct life_table *table, const struct life_table *other);

/* Seconds; 0: can't be told, or no end is in sight. */
double life_left_s(const struct life_table *table, double age_s);

/* Of the flows that are there now, as many as began to be: those likely to end within @within_s. */
double life_ending(const struct life_table *table, double within_s);
