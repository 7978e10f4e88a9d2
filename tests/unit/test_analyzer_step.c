/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A step in load is no ramp: however high it is, nobody plans for more than it has come to; and a ramp is
 * foreseen all the same, as early as before. Rates are as the monitor makes them, means of a window.
 */
#include <criterion/criterion.h>
#include <math.h>

#include "lib/cleanup.h"
#include "orchestrator/loop_internal.h"
#include "orchestrator/planner.h"
#include "orchestrator/rates.h"
#include "tests/unit/analyzer_fixture.h"
#include "tests/unit/random.h"

#define STEADY_MS 8000
#define WATCH_MS  6000

TestSuite(analyzer_step);

static struct site site;

/* Load that goes from one level to another one in a straight line. */
struct rise {
	double from, to;
	int64_t width_ms;
	unsigned int phase_ms; /* between two samples; it begins so long after one */
	double noise;	       /* of a sample, at most, as a part of it */
};

/* What has been processed from the beginning of the rise until then, as demand times milliseconds. */
static double processed(const struct rise *rise, int64_t at_ms)
{
	double t = (double)(at_ms - rise->phase_ms), width = (double)rise->width_ms;
	double rising = fmin(fmax(t, 0), width), over = fmax(t - width, 0);
	double up = rise->to - rise->from;

	return rise->from * (double)at_ms + up * over +
	       (width > 0 ? up * rising * rising / width / 2 : 0);
}

static double measured(const struct rise *rise, int64_t at_ms, struct random *random)
{
	double mean = (processed(rise, at_ms) - processed(rise, at_ms - RATES_WINDOW_MS)) /
		      RATES_WINDOW_MS;

	return mean * (1 + rise->noise * (random_below(random, 2001) / 1000.0 - 1));
}

static void rise_begin(const struct rise *rise, size_t instances, struct random *random)
{
	site_init(&site, instances);
	for (int64_t t = -STEADY_MS; t < 0; t += SITE_SAMPLE_MS) {
		site.demand = measured(rise, t, random);
		site_run(&site, SITE_SAMPLE_MS);
	}
}

static size_t instances_for(double demand, double growth)
{
	struct policy policy; /* as the site's */

	policy_init(&policy);
	return (size_t)ceil(demand * loop_growth(growth, PLANNER_RELIEVE) * 100 /
				    policy.utilisation.target_percent -
			    1e-6);
}

/* What a plan of now would come to, by volume. */
static size_t instances_wanted(void)
{
	double demand = 0;

	for (size_t i = 0; i < site.instances_n; i++)
		demand += site.instances[i].utilisation;
	return instances_for(demand, site.service.growth);
}

static bool is_overloaded(void)
{
	return analyzer_service_conditions(site.analyzer, SITE_SERVICE) & 1u << CONDITION_OVERLOAD;
}

/* The most that is wanted at any time; returns in how many samples there was overload. */
static unsigned int step_watch(const struct rise *rise, size_t instances, size_t *ret_most,
			       size_t *ret_last)
{
	struct random random = { 11 };
	unsigned int overloaded = 0;

	*ret_most = *ret_last = 0;
	rise_begin(rise, instances, &random);
	for (int64_t t = 0; t < WATCH_MS; t += SITE_SAMPLE_MS) {
		site.demand = measured(rise, t, &random);
		site_run(&site, SITE_SAMPLE_MS);
		if (!is_overloaded())
			continue;
		overloaded++;
		*ret_last = instances_wanted();
		*ret_most = MAX(*ret_most, *ret_last);
	}
	site_done(&site);
	return overloaded;
}

/* From @from to @to, at once or within a third of the window in which trends are looked for. */
static void expect_no_more(double from, double to, double noise)
{
	size_t instances = instances_for(from, 1), most, last;
	size_t needed = instances_for(to * (1 + noise), 1);

	for (int64_t width_ms = 0; width_ms <= 600; width_ms += 200)
		for (unsigned int phase_ms = 0; phase_ms < SITE_SAMPLE_MS; phase_ms += 50) {
			const struct rise rise = { from, to, width_ms, phase_ms, noise };
			unsigned int overloaded = step_watch(&rise, instances, &most, &last);

			if (!overloaded)
				continue;
			cr_expect_leq(most, needed,
				      "%.1f -> %.1f in %ld ms + %u: %zu instances, %zu would do",
				      from, to, (long)width_ms, phase_ms, most, needed);
			cr_expect(noise > 0 || last == needed,
				  "%.1f -> %.1f in %ld ms + %u: %zu instances, %zu are needed",
				  from, to, (long)width_ms, phase_ms, last, needed);
		}
}

Test(analyzer_step, of_any_height_is_what_it_has_come_to)
{
	static const double levels[] = { 0.3, 0.6, 1.2, 2.4 };

	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		for (double to = levels[i] + 0.2; to < 7; to += 0.4)
			expect_no_more(levels[i], to, 0);
}

Test(analyzer_step, of_any_height_in_a_load_that_jitters)
{
	for (double to = 1; to < 7; to += 0.3)
		expect_no_more(0.6, to, 0.05);
}

/* How long before the load is above `up` there is overload by forecast, in ms; 0: not before. */
static int64_t lead_ms(double per_s, unsigned int phase_ms, double noise)
{
	const struct rise rise = { 0.8, 0.8 + per_s * 20, 20000, phase_ms, noise };
	int64_t crosses_ms, ret = 0;
	struct random random = { 5 };

	rise_begin(&rise, 2, &random);
	crosses_ms = (int64_t)((2 * site.policy.utilisation.up_percent / 100.0 - rise.from) /
			       per_s * 1000) +
		     phase_ms;
	for (int64_t t = 0; t < crosses_ms && !ret; t += SITE_SAMPLE_MS) {
		site.demand = measured(&rise, t, &random);
		site_run(&site, SITE_SAMPLE_MS);
		if (is_overloaded())
			ret = crosses_ms - t;
	}
	site_done(&site);
	return ret;
}

/* The bound is crossed 16, 8, 4, 2.7 and 2 s after the beginning. */
Test(analyzer_step, a_ramp_is_foreseen)
{
	static const struct {
		double per_s;
		int64_t lead_ms; /* at least */
	} ramps[] = {
		{ 0.05, 1300 }, { 0.1, 1300 }, { 0.2, 1400 }, { 0.3, 600 }, { 0.4, 200 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ramps); i++)
		for (unsigned int phase_ms = 0; phase_ms < SITE_SAMPLE_MS; phase_ms += 50)
			for (double noise = 0; noise < 0.02; noise += 0.01) {
				int64_t lead = lead_ms(ramps[i].per_s, phase_ms, noise);

				cr_expect_geq(lead, ramps[i].lead_ms, "%.2f/s: %ld ms before",
					      ramps[i].per_s, (long)lead);
			}
}
