/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_silence.c - when a peer counts as silent, and what may have been lost with it. */
#include <criterion/criterion.h>

#include "agent/silence.h"

#define PERIOD 25u
#define AFTER  125u

/* Asks every PERIOD from `from` to `to`, having sent as many packets as it is late. */
static bool ask(struct silence *s, uint64_t from, uint64_t to, uint64_t heard)
{
	bool changed = false;

	for (uint64_t now = from; now <= to; now += PERIOD) {
		changed |= silence_judge(s, now, heard, AFTER);
		silence_ask(s, now, now);
	}
	return changed;
}

Test(silence, told_once_when_it_begins_and_when_it_ends)
{
	struct silence s = { 0 };

	for (uint64_t now = 1000; now < 2000; now += PERIOD) {
		cr_expect_not(silence_judge(&s, now, now > 1000 ? now - PERIOD : 0, AFTER));
		silence_ask(&s, now, now);
	}
	/* 1975 is asked, and 1950 the last that is answered */
	cr_expect_not(ask(&s, 2000, 2075, 1950));
	cr_expect(silence_judge(&s, 2100, 1950, AFTER));
	cr_expect(s.silent);
	cr_expect_not(ask(&s, 2125, 3000, 1950));
	cr_expect(silence_judge(&s, 3010, 3000, AFTER));
	cr_expect_not(s.silent);
	cr_expect_not(silence_judge(&s, 3020, 3000, AFTER));
}

/* Whoever is too busy to ask finds nobody dead. */
Test(silence, not_while_nothing_is_asked)
{
	struct silence s = { 0 };

	silence_ask(&s, 1000, 0);
	cr_expect_not(silence_judge(&s, 1000 + 50 * AFTER, 1000, AFTER));
	silence_ask(&s, 1000 + 50 * AFTER, 0);
	cr_expect_not(silence_judge(&s, 1000 + 51 * AFTER - 1, 1000, AFTER));
	cr_expect(silence_judge(&s, 1000 + 51 * AFTER, 1000, AFTER));
}

/*
 * All that was asked was answered: a host that asks nothing for long doesn't call its peer silent.
 */
Test(silence, owed_is_what_was_asked)
{
	struct silence s = { 0 };

	cr_expect_eq(silence_owed(&s, 1000, 0), 0, "nothing was asked");
	silence_ask(&s, 1000, 0);
	cr_expect_eq(silence_owed(&s, 1010, 0), 10);
	cr_expect_eq(silence_owed(&s, 1000 + 50 * AFTER, 1000), 0);
	silence_judge(&s, 1000 + 50 * AFTER, 1000, AFTER);
	silence_ask(&s, 1000 + 50 * AFTER, 0);
	cr_expect_eq(silence_owed(&s, 1001 + 50 * AFTER, 1000), 1);
}

Test(silence, never_heard)
{
	struct silence s = { 0 };

	cr_expect_not(silence_judge(&s, 500, 0, AFTER), "not asked yet");
	cr_expect(ask(&s, 1000, 1000 + AFTER, 0));
	cr_expect(s.silent);
	cr_expect_eq(silence_unheard(&s, 1600), 600);
}

/* An answer to another agent's question, or to one long ago, says nothing of now. */
Test(silence, answers_to_other_questions)
{
	struct silence s = { 0 };

	cr_expect(ask(&s, 1000, 1000 + AFTER, 1001));
	cr_expect(s.silent);
	for (uint64_t i = 0; i < SILENCE_ASKED; i++)
		silence_ask(&s, 5000 + i, 0);
	cr_expect_not(silence_judge(&s, 5100, 1000, AFTER));
	cr_expect(s.silent);
}

Test(silence, what_may_be_lost)
{
	struct silence s = { 0 };

	ask(&s, 1000, 1200, 1100);
	cr_expect_eq(silence_unheard(&s, 1250), 150, "all that went after the question of 1100");
	silence_judge(&s, 1260, 1200, AFTER);
	cr_expect_eq(silence_unheard(&s, 1250), 50);
	silence_judge(&s, 1270, 1150, AFTER);
	cr_expect_eq(silence_unheard(&s, 1250), 50, "an old answer takes nothing back");
}
