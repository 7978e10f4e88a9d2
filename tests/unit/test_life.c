/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_life.c - lives of known distributions: how much longer a flow of some age is likely to stay.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>

#include "orchestrator/life.h"

#define FLOWS  100000
#define UNIT_S ((1u << FF_BORN_SHIFT) / 1e9)

TestSuite(life);

/* So many lives, evenly over the quantiles of a distribution, within so many seconds. */
static struct life_table lives(double (*quantile)(double share), double seconds)
{
	struct life_table table = { 0 };
	double ended[FF_LIVES] = { 0 };

	for (int i = 0; i < FLOWS; i++) {
		double life_s = quantile((i + 0.5) / FLOWS);

		ended[ff_life_bin((__u32)(life_s / UNIT_S))]++;
	}
	life_take(&table, seconds, FLOWS, ended);
	return table;
}

#define MEAN_S 20.0
static double exponential(double share)
{
	return -MEAN_S * log(1 - share);
}

#define LEAST_S 0.5 /* Pareto with alpha 1: its mean is infinite */
static double heavy(double share)
{
	return LEAST_S / (1 - share);
}

#define CONST_S 10.0
static double constant(double share)
{
	(void)share;
	return CONST_S;
}

#define EXPECT_NEAR(value, expected, part)                                                         \
	cr_expect(fabs((value) - (expected)) <= (part) * (expected), "%g, expected %g", value,     \
		  (double)(expected))

Test(life, bins_double)
{
	cr_expect_eq(ff_life_bin(0), 0);
	cr_expect_eq(ff_life_bin(1), 1);
	cr_expect_eq(ff_life_bin(2), 2);
	cr_expect_eq(ff_life_bin(3), 2);
	cr_expect_eq(ff_life_bin(4), 3);
	cr_expect_eq(ff_life_bin(0x3fffffff), 30);
	cr_expect_eq(ff_life_bin(FF_AGE_MAX), FF_LIVES - 1, "the longest that ff_age() tells");
}

Test(life, ages_wrap_and_are_never_below_zero)
{
	cr_expect_eq(ff_age(0xffffffff, 4ull << FF_BORN_SHIFT), 5);
	cr_expect_eq(ff_age(6, 4ull << FF_BORN_SHIFT), 0);
	cr_expect_eq(ff_born(1ull << 52), 1, "0 is none");
}

#define DAY_NS 86400000000000ull

Test(life, flow_of_a_month_is_no_new_one)
{
	uint64_t born_ns = 0x1ffffull << 36;
	uint32_t born = ff_born(born_ns);

	cr_expect_eq(ff_age(born, born_ns + 26 * DAY_NS), 26 * DAY_NS >> FF_BORN_SHIFT);
	cr_expect_eq(ff_age(born, born_ns + 27 * DAY_NS), FF_AGE_MAX);
	cr_expect_eq(ff_age(born, born_ns + 52 * DAY_NS), FF_AGE_MAX);
	cr_expect_eq(ff_age(born, born_ns - DAY_NS / 100), 0, "14 minutes to go");
}

/* Whatever its age, what is left of it is the same: the half-life. */
Test(life, exponential_lives_have_no_memory)
{
	struct life_table table = lives(exponential, 1000);

	for (double age = 0; age < 5 * MEAN_S; age += 0.7)
		EXPECT_NEAR(life_left_s(&table, age), MEAN_S * log(2), 0.15);
}

/* The older, the longer it stays: as long as it is old already, with alpha 1. */
Test(life, heavy_tails_are_told_by_age)
{
	struct life_table table = lives(heavy, 1000);

	for (double age = 1; age < 1000; age *= 1.3)
		EXPECT_NEAR(life_left_s(&table, age), age, 0.25);
}

/* They lie in the bin from 8.6 s to 17.2 s. */
Test(life, constant_lives_end_at_their_time)
{
	struct life_table table = lives(constant, 1000);

	for (double age = 0; age < CONST_S; age += 0.5)
		cr_expect_lt(fabs(life_left_s(&table, age) - (CONST_S - age)), 4.3, "at %g s", age);
	cr_expect_eq(life_left_s(&table, 2 * CONST_S), 0, "none has become so old");
}

Test(life, of_few_nothing_is_told)
{
	struct life_table table = { .seconds = 10, .began = 9 };

	cr_expect_eq(life_left_s(&table, 0), 0);
	table.ended[11] = 9;
	cr_expect_eq(life_left_s(&table, 0), 0);
	table.began = table.ended[11] = 20;
	cr_expect_gt(life_left_s(&table, 0), 0);
	cr_expect_eq(life_left_s(&table, NAN), 0);
	cr_expect_eq(life_left_s(&table, -1), 0);
	cr_expect_eq(life_left_s(&table, INFINITY), 0);
}

/*
 * Two of three stay for good: of a young flow no end is in sight, though all that ended were short.
 */
Test(life, those_that_stay_count)
{
	struct life_table table = lives(exponential, 1000);

	table.began *= 3;
	cr_expect_eq(life_left_s(&table, 1), 0);
	table.began /= 2; /* one of three */
	cr_expect_gt(life_left_s(&table, 1), 1.2 * MEAN_S * log(2));
}

Test(life, what_was_fades)
{
	double none[FF_LIVES] = { 0 }, long_ones[FF_LIVES] = { [20] = 100 };
	struct life_table table = lives(constant, 10);

	cr_expect_lt(life_left_s(&table, 0), 2 * CONST_S);
	life_take(&table, 20 * LIFE_HALF_S, 0, none);
	cr_expect_eq(life_left_s(&table, 0), 0);
	life_take(&table, 10, 100, long_ones);
	cr_expect_gt(life_left_s(&table, 0), 500);
}

/*
 * Little's law: of lives of 20 s that begin 100 times a second there are 2000. All of them are as
 * likely to end within 14 s. Of heavy-tailed ones only the young are, and of these there are fewer.
 */
Test(life, so_many_end_soon)
{
	struct life_table table = lives(exponential, FLOWS / 100.0), twice = table;

	EXPECT_NEAR(life_ending(&table, MEAN_S), 100 * MEAN_S, 0.05);
	cr_expect_lt(life_ending(&table, MEAN_S / 4), 10);
	cr_expect_eq(life_ending(&table, 0), 0);
	life_merge(&twice, &table);
	EXPECT_NEAR(life_ending(&twice, MEAN_S), 200 * MEAN_S, 0.05);
	table = lives(heavy, FLOWS / 100.0);
	EXPECT_NEAR(life_ending(&table, 8), 100 * LEAST_S * (1 + log(8 / LEAST_S)), 0.15);
	cr_expect_eq(life_ending(&(struct life_table){ 0 }, 10), 0);
}
