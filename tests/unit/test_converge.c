/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_converge.c - how many rounds a copy has, for what changed during each of them. */
#include <criterion/criterion.h>

#include "agent/converge.h"
#include "lib/cleanup.h"

#define STEPS_MAX 12

static const struct {
	const char *what;
	size_t changed[STEPS_MAX]; /* during the first round, and each that follows; 0: no more */
	unsigned int rounds;	   /* after the first */
	bool hurry;
} copies[] = {
	{ "little changes", { 512 }, 0, false },
	{ "it gets shorter", { 60000, 30000, 14000, 6000, 2000, 900, 500 }, 6, false },
	{ "one round was held up", { 60000, 30000, 14000, 6000, 9000, 2000, 500 }, 6, false },
	{ "two were, at different times",
	  { 60000, 30000, 14000, 20000, 6000, 2000, 2600, 1200, 700, 500 },
	  9,
	  false },
	{ "it doesn't get shorter until it's urgent",
	  { 60000, 9000, 5000, 4000, 4100, 4200, 2500, 1500, 900, 500 },
	  9,
	  true },
	{ "nor then", { 60000, 9000, 5000, 4000, 4100, 4200, 4100, 4200, 4300 }, 8, true },
	{ "too much for an urgent round", { 60000, 60000, 60000, 60000, 60000 }, 4, false },
	{ "the first rounds tell little", { 9000, 9100, 9200, 9300, 600, 500 }, 5, false },
};

Test(converge, rounds)
{
	for (size_t i = 0; i < ARRAY_SIZE(copies); i++) {
		struct converge converge = {};
		size_t step = 0;

		while (converge_more(&converge, copies[i].changed[step]))
			step++;
		cr_expect_eq(converge.rounds, copies[i].rounds, "%s: %u rounds", copies[i].what,
			     converge.rounds);
		cr_expect_eq(converge.hurry, copies[i].hurry, "%s", copies[i].what);
	}
}

/* One that gets a little shorter each time, but never short enough. */
Test(converge, rounds_are_bounded)
{
	struct converge converge = {};
	size_t changed = 100000;

	while (converge_more(&converge, changed))
		changed--;
	cr_expect_eq(converge.rounds, CONVERGE_ROUNDS_MAX);
	cr_expect_not(converge.hurry);
}
