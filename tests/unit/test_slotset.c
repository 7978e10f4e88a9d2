/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sets of slots: text in and out, set algebra against a plain array of booleans, bounds.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/slotset.h"
#include "tests/unit/random.h"

#define SLOTS  4096
#define ROUNDS 300

TestSuite(slotset);

static void expect_text(const struct slotset *set, const char *want)
{
	_cleanup_free_ char *text = NULL;

	cr_assert_eq(slotset_format(set, &text), 0);
	cr_expect_str_eq(text, want);
}

Test(slotset, reads_and_writes)
{
	static const struct {
		const char *text;
		const char *shortest;
		unsigned int count;
	} cases[] = {
		{ "", "", 0 },
		{ "  ", "", 0 },
		{ "0", "0", 1 },
		{ "0-99,200", "0-99,200", 101 },
		{ " 0 - 99 , 200 ", "0-99,200", 101 },
		{ "200,0-99", "0-99,200", 101 },
		{ "1,2,3", "1-3", 3 },
		{ "1-5,3-9,4", "1-9", 9 },
		{ "1-2,3-4", "1-4", 4 },
		{ "7-7", "7", 1 },
		{ "63,64", "63-64", 2 },
		{ "0-4095", "0-4095", SLOTS },
		{ "0004", "4", 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct slotset set;

		cr_assert_eq(slotset_parse(cases[i].text, SLOTS, &set, NULL), 0, "\"%s\"",
			     cases[i].text);
		expect_text(&set, cases[i].shortest);
		cr_expect_eq(slotset_count(&set), cases[i].count, "%s", cases[i].text);
		cr_expect_eq(slotset_is_empty(&set), !cases[i].count);
	}
}

Test(slotset, refuses_bad_text)
{
	static const struct {
		const char *text;
		int err;
		const char *says;
	} cases[] = {
		{ ",", EINVAL, "\"\" is neither" },
		{ "1,", EINVAL, "\"\" is neither" },
		{ ",1", EINVAL, "\"\" is neither" },
		{ "1,,2", EINVAL, "\"\" is neither" },
		{ "x", EINVAL, "\"x\" is neither a slot nor a range" },
		{ "1-x,5", EINVAL, "\"1-x\" is neither" },
		{ "1-", EINVAL, "\"1-\" is neither" },
		{ "-1", EINVAL, "\"-1\" is neither" },
		{ "1--2", EINVAL, "\"1--2\" is neither" },
		{ "1-2-3", EINVAL, "\"1-2-3\" is neither" },
		{ "1 2", EINVAL, "\"1 2\" is neither" },
		{ "0x10", EINVAL, "\"0x10\" is neither" },
		{ "9-3", EINVAL, "\"9-3\" is a range that ends before it begins" },
		{ "4096", ERANGE, "\"4096\" is beyond the last slot, 4095" },
		{ "0-4096", ERANGE, "\"0-4096\" is beyond the last slot, 4095" },
		{ "5,4294967296", ERANGE, "\"4294967296\" is beyond" },
		{ "18446744073709551616", ERANGE, "beyond" },
		{ "4294967296-1", EINVAL, "ends before it begins" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct slotset set, before;
		struct ff_error err = {};

		memset(&set, 0xaa, sizeof(set));
		before = set;
		cr_expect_eq(slotset_parse(cases[i].text, SLOTS, &set, &err), -cases[i].err, "%s",
			     cases[i].text);
		cr_expect(strstr(err.message, cases[i].says), "%s: says %s", cases[i].text,
			  err.message);
		cr_expect_str_eq(err.code, FF_CODE_BAD_REQUEST);
		cr_expect(strstr(err.mend, "0-99,200"));
		cr_expect(slotset_equal(&set, &before), "touched by %s", cases[i].text);
	}
}

Test(slotset, knows_its_bounds)
{
	struct slotset set = {};
	unsigned int slot, seen = 0;

	cr_expect_eq(slotset_next(&set, 0), FF_SLOTS_MAX);
	slotset_set(&set, FF_SLOTS_MAX - 1);
	cr_expect_eq(slotset_next(&set, 0), FF_SLOTS_MAX - 1);
	cr_expect_eq(slotset_next(&set, FF_SLOTS_MAX - 1), FF_SLOTS_MAX - 1);
	cr_expect_eq(slotset_next(&set, FF_SLOTS_MAX), FF_SLOTS_MAX);
	cr_expect_eq(slotset_next(&set, ~0u), FF_SLOTS_MAX);
	cr_expect_not(slotset_test(&set, FF_SLOTS_MAX));
	cr_expect_not(slotset_test(&set, ~0u));
	expect_text(&set, "16383");
	slotset_set_range(&set, 0, FF_SLOTS_MAX - 1);
	expect_text(&set, "0-16383");
	slotset_foreach(slot, &set)
		cr_assert_eq(slot, seen++);
	cr_expect_eq(seen, FF_SLOTS_MAX);
	cr_expect_eq(slotset_parse("0", 0, &set, NULL), -ERANGE, "a service without slots");
}

/* The longest text there is: every second slot. */
Test(slotset, writes_the_longest_text)
{
	_cleanup_free_ char *text = NULL;
	struct slotset set = {}, again;

	for (unsigned int slot = 0; slot < FF_SLOTS_MAX; slot += 2)
		slotset_set(&set, slot);
	cr_assert_eq(slotset_format(&set, &text), 0);
	cr_assert_eq(slotset_parse(text, FF_SLOTS_MAX, &again, NULL), 0);
	cr_expect(slotset_equal(&set, &again));
}

static struct slotset random_set(struct random *random, bool plain[FF_SLOTS_MAX])
{
	unsigned int runs = random_below(random, 40);
	struct slotset set = {};

	memset(plain, 0, FF_SLOTS_MAX);
	while (runs--) {
		unsigned int first = random_below(random, FF_SLOTS_MAX);
		unsigned int last = MIN(first + random_below(random, 200), FF_SLOTS_MAX - 1u);

		slotset_set_range(&set, first, last);
		memset(plain + first, 1, last - first + 1);
	}
	return set;
}

Test(slotset, agrees_with_arrays)
{
	static bool x[FF_SLOTS_MAX], y[FF_SLOTS_MAX];
	struct random random = { 4 };

	for (int i = 0; i < ROUNDS; i++) {
		struct slotset a = random_set(&random, x), b = random_set(&random, y);
		struct slotset both = a, common = a, rest = a;
		bool meet = false, inside = true;
		unsigned int count = 0;

		slotset_union(&both, &b);
		slotset_intersect(&common, &b);
		slotset_subtract(&rest, &b);
		for (unsigned int slot = 0; slot < FF_SLOTS_MAX; slot++) {
			cr_assert_eq(slotset_test(&a, slot), x[slot]);
			cr_assert_eq(slotset_test(&both, slot), x[slot] || y[slot]);
			cr_assert_eq(slotset_test(&common, slot), x[slot] && y[slot]);
			cr_assert_eq(slotset_test(&rest, slot), x[slot] && !y[slot]);
			count += x[slot];
			meet |= x[slot] && y[slot];
			inside &= !y[slot] || x[slot];
		}
		cr_assert_eq(slotset_count(&a), count);
		cr_assert_eq(slotset_intersects(&a, &b), meet);
		cr_assert_eq(slotset_contains(&a, &b), inside);
		cr_assert(slotset_contains(&both, &a) && slotset_contains(&a, &common));
		cr_assert_not(slotset_intersects(&rest, &b));
	}
}

Test(slotset, text_is_the_inverse_of_reading)
{
	static bool plain[FF_SLOTS_MAX];
	struct random random = { 5 };

	for (int i = 0; i < ROUNDS; i++) {
		struct slotset set = random_set(&random, plain), again;
		_cleanup_free_ char *text = NULL;

		cr_assert_eq(slotset_format(&set, &text), 0);
		cr_assert_eq(slotset_parse(text, FF_SLOTS_MAX, &again, NULL), 0, "%s", text);
		cr_assert(slotset_equal(&set, &again), "%s", text);
	}
}

Test(slotset, single_slots_come_and_go)
{
	struct slotset set = {};

	slotset_set(&set, 70);
	slotset_set(&set, 71);
	slotset_unset(&set, 70);
	expect_text(&set, "71");
	slotset_clear(&set);
	cr_expect(slotset_is_empty(&set));
}
