/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* life.c - see life.h. */
#include "orchestrator/life.h"

#include <math.h>

#define STEPS 16 /* of an age's bin, in which its flows are counted */

static const double unit_s = (1u << FF_BORN_SHIFT) / 1e9;

/* Where a bin begins; the next one's is its end. */
static double bin_from(unsigned int bin)
{
	return bin ? ldexp(unit_s, (int)bin - 1) : 0;
}

void life_take(struct life_table *table, double seconds, double began, const double ended[FF_LIVES])
{
	double fade = exp2(-seconds / LIFE_HALF_S);

	table->seconds = table->seconds * fade + seconds;
	table->began = table->began * fade + began;
	for (unsigned int bin = 0; bin < FF_LIVES; bin++)
		table->ended[bin] = table->ended[bin] * fade + ended[bin];
}

void life_merge(struct life_table *table, const struct life_table *other)
{
	table->seconds = fmax(table->seconds, other->seconds);
	table->began += other->began;
	for (unsigned int bin = 0; bin < FF_LIVES; bin++)
		table->ended[bin] += other->ended[bin];
}

/* Lives that have not ended. */
static double endless(const struct life_table *table)
{
	double ended = 0;

	for (unsigned int bin = 0; bin < FF_LIVES; bin++)
		ended += table->ended[bin];
	return fmax(0, table->began - ended);
}

/*
 * Of the lives that ended: those longer than @age_s. Within a bin they end at one and the same rate; in
 * the last one that has any, evenly.
 */
static double longer(const struct life_table *table, double age_s)
{
	double after = 0;

	for (unsigned int bin = FF_LIVES; bin-- > 0;) {
		double from = bin_from(bin), to = bin_from(bin + 1);
		double before = after + table->ended[bin], part = (age_s - from) / (to - from);

		if (age_s >= to)
			break;
		if (age_s > from)
			return after > 0 ? before * pow(after / before, part) : before * (1 - part);
		after = before;
	}
	return after;
}

/* The age that so many of the ended lives were longer than. */
static double age_of(const struct life_table *table, double count)
{
	double after = 0;

	for (unsigned int bin = FF_LIVES; bin-- > 0;) {
		double from = bin_from(bin), to = bin_from(bin + 1);
		double before = after + table->ended[bin];

		if (table->ended[bin] > 0 && before >= count)
			return from + (to - from) * (after > 0 ? log(count / before) /
									 log(after / before) :
								 1 - count / before);
		after = before;
	}
	return 0;
}

double life_left_s(const struct life_table *table, double age_s)
{
	double older, never = endless(table), half;

	if (!(age_s >= 0) || !isfinite(age_s))
		return 0;
	older = longer(table, age_s);
	half = (older + never) / 2 - never;
	if (older < LIFE_KNOWN || half <= 0)
		return 0;
	return fmax(age_of(table, half) - age_s, unit_s);
}

double life_ending(const struct life_table *table, double within_s)
{
	double rate, sum = 0;

	if (table->seconds <= 0)
		return 0;
	/* each second one of each age begins, and those that are longer are there at that age */
	rate = 1 / table->seconds;
	for (unsigned int bin = 0; bin < FF_LIVES; bin++) {
		double from = bin_from(bin), step = (bin_from(bin + 1) - from) / STEPS;

		for (int i = 0; i < STEPS; i++) {
			double age = from + step * (i + 0.5), left = life_left_s(table, age);

			if (left > 0 && left <= within_s)
				sum += longer(table, age) * step;
		}
	}
	return sum * rate;
}
