/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The analyzer's arithmetic: averages in time, wild samples, and when a line is a trend.
 */
#include <criterion/criterion.h>
#include <math.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "orchestrator/analyzer_series.h"
#include "tests/unit/random.h"

#define WINDOW_MS 2000
#define SMOOTH_MS 500

TestSuite(analyzer_series);

static enum series_fate add(struct series *series, uint64_t at_ms, double value)
{
	double dropped;

	return series_add(series, at_ms * NSEC_PER_MSEC, value, SMOOTH_MS, WINDOW_MS, &dropped);
}

/* A step arrives by 1 - 1/e after the time constant, whatever the pace of the samples. */
Test(analyzer_series, average_is_of_time)
{
	static const uint64_t paces_ms[] = { 1, 10, 50, 100, 250, 500 };

	for (size_t i = 0; i < ARRAY_SIZE(paces_ms); i++) {
		struct average average = {};
		uint64_t at_ms = 1000;

		average_add(&average, at_ms * NSEC_PER_MSEC, 0, SMOOTH_MS);
		while (at_ms < 1000 + SMOOTH_MS) {
			at_ms += paces_ms[i];
			average_add(&average, at_ms * NSEC_PER_MSEC, 1, SMOOTH_MS);
		}
		cr_expect_float_eq(average.level, 1 - exp(-1), 1e-9, "pace %lu: %f",
				   (unsigned long)paces_ms[i], average.level);
	}
}

Test(analyzer_series, same_sample_twice)
{
	struct series series = {};

	cr_expect_eq(add(&series, 1000, 0.2), SERIES_TAKEN);
	cr_expect_eq(add(&series, 1000, 0.9), SERIES_OLD);
	cr_expect_eq(add(&series, 900, 0.9), SERIES_OLD);
	cr_expect_float_eq(series.average.level, 0.2, 1e-12);
}

Test(analyzer_series, single_wild_sample_is_dropped)
{
	struct series series = {};
	double dropped = 0;

	for (uint64_t t = 1000; t < 3000; t += 100)
		add(&series, t, 0.2);
	cr_expect_eq(add(&series, 3000, 3.5), SERIES_HELD);
	cr_expect_float_eq(series.average.level, 0.2, 1e-9);
	cr_expect_eq(series_add(&series, 3100 * NSEC_PER_MSEC, 0.2, SMOOTH_MS, WINDOW_MS, &dropped),
		     SERIES_OUTLIER);
	cr_expect_float_eq(dropped, 3.5, 1e-12);
	cr_expect_float_eq(series.average.level, 0.2, 1e-9);
	/* so is a lonely zero: a counter that stood still for one sample */
	cr_expect_eq(add(&series, 3200, 0.9), SERIES_TAKEN);
	for (uint64_t t = 3300; t < 9000; t += 100)
		add(&series, t, 0.9);
	cr_expect_eq(add(&series, 9000, 0), SERIES_HELD);
	cr_expect_eq(add(&series, 9100, 0.9), SERIES_OUTLIER);
	cr_expect_float_eq(series.average.level, 0.9, 1e-3);
}

Test(analyzer_series, a_real_step_passes_with_its_second_sample)
{
	struct series series = {};

	for (uint64_t t = 1000; t < 3000; t += 100)
		add(&series, t, 0.1);
	cr_expect_eq(add(&series, 3000, 1.2), SERIES_HELD);
	cr_expect_eq(add(&series, 3100, 1.1), SERIES_TAKEN);
	cr_expect_gt(series.average.level, 0.2);
}

/* Samples that never agree with each other are what the figure is like: they count in the end. */
Test(analyzer_series, wildness_is_believed_in_the_end)
{
	struct series series = {};
	unsigned int taken = 0;

	add(&series, 1000, 0.01);
	for (unsigned int i = 1; i <= 30; i++)
		taken += add(&series, 1000 + i * 100, i % 2 ? 40 : 3) == SERIES_TAKEN;
	cr_expect_geq(taken, 10);
	cr_expect_gt(series.average.level, 3);
}

Test(analyzer_series, line_is_followed)
{
	struct series series = {};
	double value, slope;
	uint64_t t;

	for (t = 0; t <= 700; t += 100)
		add(&series, 5000 + t, 0.2 + 0.0001 * (double)t);
	cr_expect(!series_forecast(&series, WINDOW_MS, 2000, &value, &slope), "too short to tell");
	for (; t <= 4000; t += 100)
		add(&series, 5000 + t, 0.2 + 0.0001 * (double)t);
	cr_assert(series_forecast(&series, WINDOW_MS, 2000, &value, &slope));
	cr_expect_float_eq(value, 0.8, 1e-6, "%f", value);
	cr_expect_float_eq(slope, 0.1, 1e-6, "%f", slope);
}

/* Irregular samples, some of them lost, some in clumps: the line is the same. */
Test(analyzer_series, line_through_irregular_samples)
{
	struct random random = { .state = 7 };
	struct series series = {};
	uint64_t t_ms = 1000;
	double value, slope;

	while (t_ms < 6000) {
		t_ms += 1 + random_below(&random, 5) * random_below(&random, 60);
		add(&series, t_ms, 0.1 * (double)t_ms / 1e3);
	}
	cr_assert(series_forecast(&series, WINDOW_MS, 1000, &value, &slope));
	cr_expect_float_eq(value, 0.1 * ((double)t_ms / 1e3 + 1), 0.02, "%f", value);
	cr_expect_float_eq(slope, 0.1, 0.01, "%f", slope);
}

/* A step is no ramp: at no moment of its way through the window is it followed upwards, nor down again. */
Test(analyzer_series, step_is_no_trend)
{
	for (uint64_t width = 0; width <= WINDOW_MS / 3; width += 100) {
		struct series series = {};
		double value, slope;

		for (uint64_t t = 1000; t < 12000; t += 100) {
			double up = fmin(1, fmax(0, ((double)t - 3900) / (double)(width + 1)));
			double down = fmin(1, fmax(0, ((double)t - 7900) / (double)(width + 1)));

			add(&series, t, 0.3 + 0.3 * (up - down));
			cr_expect(!series_forecast(&series, WINDOW_MS, 2000, &value, &slope),
				  "in %lu ms, at %lu: %f, slope %f", (unsigned long)width,
				  (unsigned long)t, value, slope);
		}
	}
}

/* What rises for half of the window is one, though it stood still before. */
Test(analyzer_series, ramp_is_a_trend_from_half_of_the_window_on)
{
	struct series series = {};
	double value, slope;
	uint64_t t;

	for (t = 1000; t < 4000; t += 100)
		add(&series, t, 0.3);
	for (; t < 4000 + WINDOW_MS / 2 + 200; t += 100)
		add(&series, t, 0.3 + 0.0001 * (double)(t - 4000));
	cr_assert(series_forecast(&series, WINDOW_MS, 2000, &value, &slope));
	cr_expect_gt(slope, 0.03);
}

Test(analyzer_series, constant_has_no_trend)
{
	struct series series = {};
	double value, slope;

	for (uint64_t t = 1000; t < 8000; t += 100)
		add(&series, t, 0.5);
	cr_expect(!series_forecast(&series, WINDOW_MS, 2000, &value, &slope));
}

/* White noise: a trend is seen in less than 1 % of the windows. */
Test(analyzer_series, noise_has_no_trend)
{
	struct random random = { .state = 1 };
	struct series series = {};
	unsigned int seen = 0;
	double value, slope;

	for (uint64_t t = 1000; t < 1001000; t += 100) {
		add(&series, t, 0.5 + (random_below(&random, 2001) / 1000.0 - 1) * 0.1);
		seen += series_forecast(&series, WINDOW_MS, 2000, &value, &slope);
	}
	cr_expect_lt(seen, 100, "%u of 10000", seen);
}

/* After a silence of a whole window, old points make no line with the new ones. */
Test(analyzer_series, silence_ends_the_trend)
{
	struct series series = {};
	double value, slope;

	for (uint64_t t = 1000; t <= 4000; t += 100)
		add(&series, t, 0.0001 * (double)t);
	cr_assert(series_forecast(&series, WINDOW_MS, 2000, &value, &slope));
	add(&series, 9000, 0.9);
	cr_expect(!series_forecast(&series, WINDOW_MS, 2000, &value, &slope));
}

/* The highest of the window: never less than that of 15/16 of it, nothing from before it. */
Test(analyzer_series, peak)
{
	struct random random = { .state = 5 };
	struct peak peak = {};
	double values[1000];

	for (unsigned int i = 0; i < ARRAY_SIZE(values); i++) {
		double least = 0, most = 0;

		values[i] = random_below(&random, 1000) * (random_below(&random, 20) ? 0.1 : 1);
		peak_add(&peak, (5000 + i) * NSEC_PER_MSEC * 10, values[i], 1600);
		for (unsigned int j = i < 160 ? 0 : i - 160; j <= i; j++) {
			most = fmax(most, values[j]);
			if (i - j < 150)
				least = fmax(least, values[j]);
		}
		cr_assert_geq(peak_value(&peak), least, "%u", i);
		cr_assert_leq(peak_value(&peak), most, "%u", i);
	}
	peak_add(&peak, 1000000 * NSEC_PER_MSEC, 3, 1600);
	cr_expect_float_eq(peak_value(&peak), 3, 1e-9, "all that was is long ago");
	peak_add(&peak, 500000 * NSEC_PER_MSEC, 2, 1600);
	cr_expect_float_eq(peak_value(&peak), 2, 1e-9, "another clock");
}
