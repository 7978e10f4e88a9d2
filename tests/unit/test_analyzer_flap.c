/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The loop closed: a service under loads that swing, ramp, burst and jitter, with somebody who acts
 * on the analyzer's word as the planner would. The number of actions is bounded, though the raw
 * load crosses the thresholds hundreds of times; and where more instances are needed, they come in
 * time.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "lib/cleanup.h"
#include "tests/unit/analyzer_fixture.h"
#include "tests/unit/random.h"

#define START_MS  500 /* an instance takes so long to start, or to be emptied */
#define TICKS_MAX 9000

TestSuite(analyzer_flap);

static struct site site;
static struct random source;

struct outcome {
	unsigned int out, in;	 /* actions */
	unsigned int conditions; /* changes of any condition */
	unsigned int crossings;	 /* of the raw load, against what the instances then had */
	unsigned int over;	 /* samples in which instances were beyond what they can do */
};

/* ---- who acts ------------------------------------------------------------------------------ */

static uint64_t busy_until_ms; /* an action is under way */
static bool hasty;	       /* a policy with times that are short against the swing */

static void instances_settle(void)
{
	size_t running = 0;

	for (size_t i = 0; i < site.instances_n; i++) {
		if (site.states[i] == INSTANCE_STARTING)
			site.states[i] = INSTANCE_RUNNING;
		running += site.states[i] == INSTANCE_RUNNING;
	}
	site.instances_n = running; /* those that retire are the last ones */
	site_spread(&site);
}

static size_t instances_wanted(double growth)
{
	double demand = 0;

	for (size_t i = 0; i < site.instances_n; i++)
		demand += site.instances[i].utilisation;
	return (size_t)ceil(demand * growth * 100 / site.policy.utilisation.target_percent - 1e-6);
}

static void act(struct outcome *outcome)
{
	uint32_t kinds = analyzer_service_conditions(site.analyzer, SITE_SERVICE);
	size_t wanted;

	if (busy_until_ms) {
		if (site.now_ms < busy_until_ms)
			return;
		busy_until_ms = 0;
		instances_settle();
	}
	if (kinds & 1u << CONDITION_OVERLOAD) {
		wanted = MIN(instances_wanted(site.service.growth), (size_t)SITE_INSTANCES_MAX);
		if (wanted <= site.instances_n)
			return;
		for (size_t i = site.instances_n; i < wanted; i++) {
			site.states[i] = INSTANCE_STARTING;
			site.born_ms[i] = site.now_ms;
		}
		site.instances_n = wanted;
		outcome->out++;
	} else if (site_holds(&site, CONDITION_UNDERLOAD, ABOUT_SERVICE, SITE_SERVICE)) {
		wanted = MAX(instances_wanted(site.service.growth), (size_t)1);
		if (wanted >= site.instances_n)
			return;
		for (size_t i = wanted; i < site.instances_n; i++)
			site.states[i] = INSTANCE_RETIRING;
		outcome->in++;
	} else {
		return;
	}
	busy_until_ms = site.now_ms + START_MS;
}

/*
 * How often a controller that looks at the load and at the thresholds alone would change its mind.
 */
static void crossings_count(struct outcome *outcome)
{
	double percent = site.demand / 2 * 100;
	static int before;
	int now = percent > site.policy.utilisation.up_percent	 ? 1 :
		  percent < site.policy.utilisation.down_percent ? -1 :
								   0;

	outcome->crossings += now != before;
	before = now;
}

static struct outcome load_run(double (*demand)(unsigned int tick), unsigned int ticks)
{
	struct outcome outcome = {};

	site_init(&site, 2);
	source = (struct random){ .state = 3 };
	busy_until_ms = 0;
	if (hasty) {
		site.policy.stability.down_ms = 2000;
		site.policy.stability.hold_ms = 5000;
		site.policy.stability.lifetime_ms = 5000;
	}
	for (unsigned int tick = 0; tick < ticks; tick++) {
		site.demand = fmax(demand(tick), 0);
		site_run(&site, SITE_SAMPLE_MS);
		crossings_count(&outcome);
		for (size_t i = 0; i < site.instances_n; i++)
			outcome.over += site.states[i] == INSTANCE_RUNNING && !i &&
					site.instances[i].utilisation > 1;
		act(&outcome);
	}
	for (size_t i = 0; i < CONDITION_KINDS; i++)
		outcome.conditions += site.raised[i] + site.ended[i];
	cr_expect_eq(site.raised[CONDITION_ABSURD] + site.raised[CONDITION_STALE], 0);
	site_done(&site);
	return outcome;
}

/* ---- loads; a tick is 100 ms ---------------------------------------------------------------- */

static double noise(double most)
{
	return (random_below(&source, 20001) / 10000.0 - 1) * most;
}

/* Mean of two instances at 80 %, which is `up`. */
static double noise_at_up(unsigned int tick)
{
	(void)tick;
	return 1.6 + noise(0.4);
}

static double noise_at_down(unsigned int tick)
{
	(void)tick;
	return 0.8 + noise(0.3);
}

static double sine_at_up(unsigned int tick)
{
	return 1.6 + 0.3 * sin(tick * 2 * M_PI / 50); /* 5 s */
}

static double slow_sine_at_up(unsigned int tick)
{
	return 1.6 + 0.3 * sin(tick * 2 * M_PI / 600) + noise(0.05); /* a minute */
}

static double sine_at_down(unsigned int tick)
{
	return 0.65 + 0.2 * sin(tick * 2 * M_PI / 300); /* 30 s */
}

/* From nearly nothing to four instances and back within 15 s. */
static double great_sine(unsigned int tick)
{
	return 1.4 - 1.3 * cos(tick * 2 * M_PI / 150);
}

/* The same in five minutes: worth following. */
static double tide(unsigned int tick)
{
	return 1.4 - 1.3 * cos(tick * 2 * M_PI / 3000) + noise(0.05);
}

static double saw(unsigned int tick)
{
	return 0.3 + 1.5 * (tick % 200) / 200; /* 20 s up, then down at once */
}

static double square(unsigned int tick)
{
	return tick / 40 % 2 ? 1.8 : 0.4; /* 4 s each */
}

static double long_square(unsigned int tick)
{
	return tick / 150 % 2 ? 1.8 : 0.4; /* 15 s each */
}

/* 200 ms of three times the load, every other second or so. */
static double bursts(unsigned int tick)
{
	static unsigned int left;

	(void)tick;
	if (left)
		left--;
	else if (!random_below(&source, 20))
		left = 2;
	return left ? 2.4 : 0.8;
}

static double walk(unsigned int tick)
{
	static double at;

	if (!tick)
		at = 1;
	at = fmin(fmax(at + noise(0.08), 0.1), 3);
	return at + noise(0.1);
}

static double step(unsigned int tick)
{
	return tick < 300 ? 0.9 : 2.3;
}

static double ramp(unsigned int tick)
{
	return fmin(0.5 + tick * 0.01, 4) + noise(0.05); /* a tenth of an instance a second */
}

static double samples[TICKS_MAX];
static unsigned int samples_n;

/* A recorded series, by its mean; played twice as long as it is. */
static void series_read(const char *path)
{
	FILE *file = fopen(path, "r");
	double sum = 0, value;
	char line[256];

	cr_assert(file, "%s", path);
	samples_n = 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%*u,%lf", &value) == 1) {
			cr_assert_lt(samples_n, TICKS_MAX);
			sum += samples[samples_n++] = value;
		}
	fclose(file);
	cr_assert_gt(samples_n, 100);
	for (unsigned int i = 0; i < samples_n; i++)
		samples[i] /= sum / samples_n;
}

static double recorded_low(unsigned int tick)
{
	return 1.2 * samples[tick % samples_n];
}

static double recorded_high(unsigned int tick)
{
	return 2.5 * samples[tick % samples_n];
}

/* ---- the bounds ---------------------------------------------------------------------------- */

Test(analyzer_flap, actions_are_bounded)
{
	static const struct {
		const char *name;
		double (*demand)(unsigned int tick);
		unsigned int ticks;
		unsigned int crossings;		  /* at least: that the load does swing */
		unsigned int out, in, conditions; /* at most */
	} cases[] = {
		{ "noise at up", noise_at_up, 6000, 1000, 1, 0, 8 },
		{ "noise at down", noise_at_down, 6000, 1000, 0, 0, 4 },
		{ "sine at up", sine_at_up, 6000, 200, 2, 0, 8 },
		{ "slow sine at up", slow_sine_at_up, 6000, 200, 1, 0, 8 },
		{ "sine at down", sine_at_down, 6000, 40, 0, 0, 4 },
		{ "great sine", great_sine, 6000, 150, 4, 1, 12 },
		{ "tide", tide, 9000, 150, 10, 10, 80 },
		{ "saw", saw, 6000, 80, 1, 0, 8 },
		{ "square", square, 6000, 150, 1, 0, 8 },
		{ "bursts", bursts, 6000, 500, 0, 0, 4 },
		{ "walk", walk, 6000, 300, 9, 7, 50 },
		{ "recorded, low", recorded_low, 1800, 200, 1, 0, 8 },
		{ "recorded, high", recorded_high, 1800, 150, 3, 1, 12 },
	};

	series_read("tests/unit/series/iperf3.csv");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct outcome got = load_run(cases[i].demand, cases[i].ticks);

		cr_log_info("%s: %u out, %u in, %u changes of conditions, %u crossings",
			    cases[i].name, got.out, got.in, got.conditions, got.crossings);
		cr_expect_geq(got.crossings, cases[i].crossings, "%s: %u crossings", cases[i].name,
			      got.crossings);
		cr_expect_leq(got.out, cases[i].out, "%s: %u times out", cases[i].name, got.out);
		cr_expect_leq(got.in, cases[i].in, "%s: %u times in", cases[i].name, got.in);
		cr_expect_leq(got.conditions, cases[i].conditions, "%s: %u changes", cases[i].name,
			      got.conditions);
	}
}

/*
 * A swing that is slow against all times of the policy is followed at first, and each regretted
 * scale-in makes the next one rarer: of 60 swings, few are.
 */
Test(analyzer_flap, regret_makes_slow)
{
	struct outcome got;

	hasty = true;
	got = load_run(long_square, 18000);
	cr_expect_geq(got.in, 2, "no scale-in at all");
	cr_expect_leq(got.in, 15, "%u times in", got.in);
	cr_expect_leq(got.out, 16, "%u times out", got.out);
}

/* The other half of the promise: what really is needed comes at once. */
Test(analyzer_flap, a_step_is_answered_once)
{
	struct outcome got = load_run(step, 900);

	cr_expect_eq(got.out, 1);
	cr_expect_eq(got.in, 0);
	cr_expect_leq(got.over, 25, "overloaded for %u00 ms", got.over);
}

/* A ramp from half an instance to four: instances are always there before they are full. */
Test(analyzer_flap, a_ramp_is_never_late)
{
	struct outcome got = load_run(ramp, 600);

	cr_expect_eq(got.over, 0, "overloaded for %u00 ms", got.over);
	cr_expect_leq(got.out, 6);
	cr_expect_eq(got.in, 0);
}
