/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The analyzer's conditions: when each begins and ends, how soon, and what it says.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "tests/unit/analyzer_fixture.h"

TestSuite(analyzer);

static struct site site;

static void start_two(void)
{
	site_init(&site, 2);
}

static void end(void)
{
	site_done(&site);
}

#define SITE .init = start_two, .fini = end

/* Runs until the condition holds, or not; returns after how many ms, UINT64_MAX if not in time. */
static uint64_t wait_for(enum condition_kind kind, enum condition_about about, uint16_t id,
			 bool held, uint64_t limit_ms)
{
	for (uint64_t ms = 0; ms <= limit_ms; ms += SITE_SAMPLE_MS) {
		if (ms)
			site_run(&site, SITE_SAMPLE_MS);
		if ((site_holds(&site, kind, about, id) != NULL) == held)
			return ms;
	}
	return UINT64_MAX;
}

Test(analyzer, quiet_when_all_is_well, SITE)
{
	site.demand = 1.0;
	site_run(&site, 60000);
	cr_expect_eq(site.analysis.conditions_n, 0);
	for (size_t i = 0; i < CONDITION_KINDS; i++)
		cr_expect_eq(site.raised[i], 0, "%s", condition_kind_name(i));
	cr_expect_eq(analyzer_service_conditions(site.analyzer, SITE_SERVICE), 0);
	cr_expect_float_eq(site.service.growth, 1, 1e-9);
}

Test(analyzer, step_to_overload, SITE)
{
	const struct condition *condition;
	uint64_t took_ms;

	site.demand = 1.0;
	site_run(&site, 10000);
	site.demand = 1.9;
	took_ms = wait_for(CONDITION_OVERLOAD, ABOUT_SERVICE, SITE_SERVICE, true, 5000);
	cr_expect_leq(took_ms, 1500, "took %lu ms", (unsigned long)took_ms);
	cr_expect_geq(took_ms, site.policy.stability.up_ms);
	condition = site_holds(&site, CONDITION_OVERLOAD, ABOUT_SERVICE, SITE_SERVICE);
	cr_expect(strstr(condition->why, "fw: 2 instances at 8"), "%s", condition->why);
	cr_expect(strstr(condition->why, "above 80 %"), "%s", condition->why);
	cr_expect_gt(condition->value, 0.8);
	cr_expect_float_eq(condition->bound, 0.8, 1e-9);
	cr_expect(!condition->forecast);
	cr_expect(site_holds(&site, CONDITION_OVERLOAD, ABOUT_INSTANCE, 1));
	cr_expect(analyzer_service_conditions(site.analyzer, SITE_SERVICE) &
		  1u << CONDITION_OVERLOAD);
	/* what is planned for is what it has risen to, not how far the average has come */
	cr_expect_lt(condition->value, 0.9);
	cr_expect_float_eq(condition->value * site.service.risen, 0.95, 0.01);
	cr_expect_geq(site.service.growth, site.service.risen);

	/* between target and up: goes on */
	site.demand = 1.4;
	cr_expect_eq(wait_for(CONDITION_OVERLOAD, ABOUT_SERVICE, SITE_SERVICE, false, 30000),
		     UINT64_MAX);
	site.demand = 1.2;
	took_ms = wait_for(CONDITION_OVERLOAD, ABOUT_SERVICE, SITE_SERVICE, false, 30000);
	cr_expect_geq(took_ms, site.policy.stability.down_ms);
	cr_expect_leq(took_ms, site.policy.stability.down_ms + 1500, "%lu", (unsigned long)took_ms);
	cr_expect(strstr(site_changed(&site, CONDITION_OVERLOAD, ABOUT_SERVICE, SITE_SERVICE)
				 ->condition.why,
			 "below the target 65 %"));
}

/* On a ramp, the condition comes before the bound is reached: by about the forecast's length. */
Test(analyzer, ramp_is_foreseen, SITE)
{
	const struct condition *condition;
	double at = 0;

	site.demand = 0.8;
	site_run(&site, 5000);
	while (!(condition = site_holds(&site, CONDITION_OVERLOAD, ABOUT_SERVICE, SITE_SERVICE))) {
		site.demand += 0.02; /* 10 points of utilisation a second */
		site_run(&site, SITE_SAMPLE_MS);
		cr_assert_lt(site.demand, 2);
	}
	at = site.demand / 2;
	cr_expect(condition->forecast);
	cr_expect_lt(at, 0.75, "at %f", at);
	cr_expect_gt(at, 0.60, "at %f", at);
	cr_expect(strstr(condition->why, "rising by 10.0 points/s"), "%s", condition->why);
	cr_expect(strstr(condition->why, "in 2.0 s, above 80 %"), "%s", condition->why);
	cr_expect_gt(site.service.growth, 1.15);
	cr_expect_lt(site.service.growth, 1.5);
}

Test(analyzer, no_forecast_when_not_wanted, SITE)
{
	site.policy.stability.forecast_ms = 0;
	for (site.demand = 0.8; site.demand / 2 < 0.79; site.demand += 0.02) {
		site_run(&site, SITE_SAMPLE_MS);
		cr_assert(!site_holds(&site, CONDITION_OVERLOAD, ABOUT_SERVICE, SITE_SERVICE));
	}
}

/* One instance above the bound, all together below: the instance's overload, and imbalance. */
Test(analyzer, hot_slot, SITE)
{
	const struct condition *condition;

	site.demand = 1.0;
	site_run(&site, 5000);
	site.weights[0] = 64; /* of instance 1 */
	site_run(&site, 3000);
	cr_expect(site_holds(&site, CONDITION_OVERLOAD, ABOUT_INSTANCE, 1) == NULL);
	condition = site_holds(&site, CONDITION_IMBALANCE, ABOUT_SERVICE, SITE_SERVICE);
	cr_assert(condition);
	cr_expect(strstr(condition->why, "fw: fw-1 at 7"), "%s", condition->why);
	cr_expect(strstr(condition->why, "points above the mean of 2 (bound 20); fw-2 at 2"), "%s",
		  condition->why);
	site.weights[0] = 640;
	site_run(&site, 3000);
	cr_expect(site_holds(&site, CONDITION_OVERLOAD, ABOUT_INSTANCE, 1));
	cr_expect(!site_holds(&site, CONDITION_OVERLOAD, ABOUT_INSTANCE, 2));
	cr_expect(!site_holds(&site, CONDITION_OVERLOAD, ABOUT_SERVICE, SITE_SERVICE));
}

/*
 * What is left is too little for a plan (moves.gain_percent): nothing would end
 * it, were it still a condition.
 */
Test(analyzer, what_no_plan_would_even_out_is_even, SITE)
{
	site.policy.utilisation.imbalance_percent = 12;
	site.demand = 1.0;
	site.weights[0] = 64; /* of instance 1: 25 points above the mean */
	site_run(&site, 5000);
	cr_assert(site_holds(&site, CONDITION_IMBALANCE, ABOUT_SERVICE, SITE_SERVICE));
	site.weights[0] =
		12; /* 7 points: more than half of the bound, less than its quarter and the gain */
	site_run(&site, 15000);
	cr_expect(!site_holds(&site, CONDITION_IMBALANCE, ABOUT_SERVICE, SITE_SERVICE));
}

/* Uneven, but nearly idle: nobody gains by moving anything. */
Test(analyzer, idle_may_be_uneven, SITE)
{
	site.demand = 0.38;
	site.weights[0] = 100000;
	site_run(&site, 10000);
	cr_expect_eq(site.raised[CONDITION_IMBALANCE], 0);
}

Test(analyzer, underload, SITE)
{
	const struct condition *condition;
	uint64_t took_ms;

	site.demand = 1.2;
	site_run(&site, 15000);
	site.demand = 0.5;
	took_ms = wait_for(CONDITION_UNDERLOAD, ABOUT_SERVICE, SITE_SERVICE, true, 60000);
	cr_expect_geq(took_ms, site.policy.stability.down_ms);
	/* as long as what was needed before may be needed again */
	cr_expect_geq(took_ms, site.policy.stability.lifetime_ms - 2000);
	cr_expect_leq(took_ms, site.policy.stability.lifetime_ms + 2000);
	condition = site_holds(&site, CONDITION_UNDERLOAD, ABOUT_SERVICE, SITE_SERVICE);
	cr_expect(strstr(condition->why, "fw: 2 instances at 25.0 %, below 40 %; 1 would be at 5"),
		  "%s", condition->why);
	/* answered: ends at once, as long as the rest of a plan goes on */
	site.states[1] = INSTANCE_RETIRING;
	site_run(&site, SITE_SAMPLE_MS);
	cr_expect(!site_holds(&site, CONDITION_UNDERLOAD, ABOUT_SERVICE, SITE_SERVICE));
}

/* Below `down` on the whole, but what would remain is above target: left alone for ever. */
Test(analyzer, no_scale_in_that_would_be_undone, SITE)
{
	site.demand = 0.7; /* 35 % of two, 70 % of one */
	site_run(&site, 300000);
	cr_expect(!site_holds(&site, CONDITION_UNDERLOAD, ABOUT_SERVICE, SITE_SERVICE));
	cr_expect_eq(site.raised[CONDITION_OVERLOAD], 0);
}

Test(analyzer, last_instance_stays)
{
	site_init(&site, 1);
	site_run(&site, 300000); /* no load at all */
	cr_expect_eq(site.raised[CONDITION_UNDERLOAD], 0);
	site_done(&site);
}

Test(analyzer, minimum_stays, SITE)
{
	site.policy.instances.min = 2;
	site_run(&site, 300000);
	cr_expect_eq(site.raised[CONDITION_UNDERLOAD], 0);
}

Test(analyzer, never_below_zero_percent, SITE)
{
	site.policy.utilisation.down_percent = 0; /* never scale in */
	site_run(&site, 300000);
	cr_expect_eq(site.raised[CONDITION_UNDERLOAD], 0);
}

/* No underload as long as no instance has lived for its minimum, nor soon after a change. */
Test(analyzer, lifetime_and_hold, SITE)
{
	uint64_t took_ms;

	site.policy.stability.lifetime_ms = 40000;
	site.policy.stability.hold_ms = 20000;
	site.demand = 0.3; /* we know the service for no longer, though it is older */
	took_ms = wait_for(CONDITION_UNDERLOAD, ABOUT_SERVICE, SITE_SERVICE, true, 100000);
	cr_expect_geq(took_ms, 40000);
	cr_expect_leq(took_ms, 41000, "%lu", (unsigned long)took_ms);

	site.instances_n = 3; /* another change, and the condition ends */
	site.states[2] = INSTANCE_RUNNING;
	site.born_ms[2] = site.now_ms;
	site_run(&site, SITE_SAMPLE_MS);
	cr_expect(!site_holds(&site, CONDITION_UNDERLOAD, ABOUT_SERVICE, SITE_SERVICE));
	took_ms = wait_for(CONDITION_UNDERLOAD, ABOUT_SERVICE, SITE_SERVICE, true, 100000);
	cr_expect_geq(took_ms, 20000 - SITE_SAMPLE_MS);
	cr_expect_leq(took_ms, 21000, "%lu", (unsigned long)took_ms);

	for (size_t i = 0; i < 3; i++) /* all replaced, one for one */
		site.born_ms[i] = site.now_ms;
	site_run(&site, SITE_SAMPLE_MS);
	cr_expect(!site_holds(&site, CONDITION_UNDERLOAD, ABOUT_SERVICE, SITE_SERVICE));
	took_ms = wait_for(CONDITION_UNDERLOAD, ABOUT_SERVICE, SITE_SERVICE, true, 100000);
	cr_expect_geq(took_ms, 40000 - SITE_SAMPLE_MS);
	cr_expect_leq(took_ms, 41000, "%lu", (unsigned long)took_ms);
}

/* An age that nobody knows counts from when the instance was seen first. */
Test(analyzer, unknown_age, SITE)
{
	site.demand = 0.3;
	for (unsigned int i = 0; i < 400; i++) {
		site.now_ms += SITE_SAMPLE_MS;
		site_report(&site);
		site.instances[0].age_ms = site.instances[1].age_ms = UINT64_MAX;
		site_judge(&site);
		if (i < 295)
			cr_assert(!site_holds(&site, CONDITION_UNDERLOAD, ABOUT_SERVICE,
					      SITE_SERVICE));
	}
	cr_expect(site_holds(&site, CONDITION_UNDERLOAD, ABOUT_SERVICE, SITE_SERVICE));
}

Test(analyzer, instance_underload, SITE)
{
	site.demand = 0.9;
	for (size_t i = 0; i < SITE_SLOTS; i++)
		site.weights[i] = site.owners[i] == 1 ? 6 : 1;
	site_run(&site, 20000);
	cr_expect(site_holds(&site, CONDITION_UNDERLOAD, ABOUT_INSTANCE, 2));
	cr_expect(!site_holds(&site, CONDITION_UNDERLOAD, ABOUT_INSTANCE, 1));
	cr_expect(!site_holds(&site, CONDITION_UNDERLOAD, ABOUT_SERVICE, SITE_SERVICE));
}

Test(analyzer, an_instance_that_starts_counts_already, SITE)
{
	site.demand = 1.8;
	site_run(&site, 5000);
	cr_assert(site_holds(&site, CONDITION_OVERLOAD, ABOUT_SERVICE, SITE_SERVICE));
	site.instances_n = 3;
	site.states[2] = INSTANCE_STARTING;
	/* it has no figures yet, and that is neither stale nor unknown demand */
	cr_expect_leq(wait_for(CONDITION_OVERLOAD, ABOUT_SERVICE, SITE_SERVICE, false, 20000),
		      11000);
	cr_expect_eq(site.raised[CONDITION_STALE], 0);
}

Test(analyzer, state_table_fills, SITE)
{
	const struct condition *condition;

	site.demand = 1;
	site.fill = 0.5;
	site_run(&site, 5000);
	site.fill = 0.9;
	site_run(&site, 3000);
	condition = site_holds(&site, CONDITION_CAPACITY, ABOUT_INSTANCE, 1);
	cr_assert(condition);
	cr_expect(strstr(condition->why, "fw-1: state table 8"), "%s", condition->why);
	cr_expect(strstr(condition->why, "of 10000 flows), above 85 %"), "%s", condition->why);
	cr_expect(site_holds(&site, CONDITION_CAPACITY, ABOUT_SERVICE, SITE_SERVICE));
	cr_expect_eq(site.raised[CONDITION_OVERLOAD], 0);
	site.fill = 0.6;
	site_run(&site, 13000);
	cr_expect(!site_holds(&site, CONDITION_CAPACITY, ABOUT_INSTANCE, 1));
	cr_expect(!site_holds(&site, CONDITION_CAPACITY, ABOUT_SERVICE, SITE_SERVICE));
}

Test(analyzer, state_table_is_foreseen_to_fill, SITE)
{
	site.demand = 1;
	for (site.fill = 0.1; !site.raised[CONDITION_CAPACITY]; site.fill += 0.01) {
		site_run(&site, SITE_SAMPLE_MS);
		cr_assert_lt(site.fill, 0.84);
	}
	cr_expect_gt(site.fill, 0.6);
}

static void judge_with(double latency_us, double drops_per_s, unsigned int times)
{
	for (unsigned int i = 0; i < times; i++) {
		site.now_ms += SITE_SAMPLE_MS;
		site_report(&site);
		site.instances[0].ns_per_packet = latency_us * 1e3;
		site.instances[0].drops_per_s = drops_per_s;
		site_judge(&site);
	}
}

Test(analyzer, sla_latency, SITE)
{
	const struct condition *condition;

	site.demand = 0.4;
	judge_with(40, 0, 50);
	cr_expect_eq(site.raised[CONDITION_OVERLOAD], 0, "no promise was made");
	judge_with(15, 0, 50);
	site.policy.sla.latency_us = 20;
	judge_with(15, 0, 50);
	cr_expect_eq(site.raised[CONDITION_OVERLOAD], 0);
	judge_with(40, 0, 20);
	condition = site_holds(&site, CONDITION_OVERLOAD, ABOUT_INSTANCE, 1);
	cr_assert(condition);
	cr_expect(strstr(condition->why, "us a packet (SLA 20 us), at utilisation 20.0 %"), "%s",
		  condition->why);
	cr_expect(!site_holds(&site, CONDITION_OVERLOAD, ABOUT_INSTANCE, 2));
	judge_with(19, 0, 200); /* kept, but without a margin */
	cr_expect(site_holds(&site, CONDITION_OVERLOAD, ABOUT_INSTANCE, 1));
	judge_with(10, 0, 150);
	cr_expect(!site_holds(&site, CONDITION_OVERLOAD, ABOUT_INSTANCE, 1));
}

Test(analyzer, sla_drops, SITE)
{
	site.demand = 1; /* 50,000 packets/s each */
	site.policy.sla.drop_ppm = 100;
	judge_with(10, 4, 50);
	cr_expect_eq(site.raised[CONDITION_OVERLOAD], 0);
	judge_with(10, 50, 50);
	cr_assert(site_holds(&site, CONDITION_OVERLOAD, ABOUT_INSTANCE, 1));
	cr_expect(strstr(site_holds(&site, CONDITION_OVERLOAD, ABOUT_INSTANCE, 1)->why,
			 "of a million packets dropped (SLA 100)"));
}

/* After a move, nothing is judged by what an instance owned before. */
Test(analyzer, figures_begin_anew_after_a_move, SITE)
{
	site.demand = 1.5;
	for (size_t i = 0; i < SITE_SLOTS; i++)
		site.owners[i] = i < 60 ? 1 : 2;
	site_run(&site, 5000);
	cr_expect(site_holds(&site, CONDITION_OVERLOAD, ABOUT_INSTANCE, 1));
	cr_expect_gt(site.instances[0].utilisation, 1.3);
	site_spread(&site);
	site_run(&site, 4ull * SITE_SAMPLE_MS);
	cr_expect_float_eq(site.instances[0].utilisation, 0.75, 1e-6, "%f",
			   site.instances[0].utilisation);
	cr_expect_float_eq(site.instances[1].utilisation, 0.75, 1e-6);
	cr_expect_eq(site.raised[CONDITION_ABSURD], 0);
}

/* What the planner gets is smooth: a slot's load, whoever owns it, and an instance's. */
Test(analyzer, loads_are_smoothed_in_place, SITE)
{
	double least = 1, most = 0;

	site.policy.stability.smooth_ms = 1000;
	for (unsigned int i = 0; i < 200; i++) {
		site.demand = i % 2 ? 1.2 : 0.8;
		site_run(&site, SITE_SAMPLE_MS);
		if (i < 100)
			continue;
		least = site.instances[0].utilisation < least ? site.instances[0].utilisation :
								least;
		most = site.instances[0].utilisation > most ? site.instances[0].utilisation : most;
		cr_expect_float_eq(site.slots[5].packets_per_s, SITE_PPS / SITE_SLOTS,
				   0.02 * SITE_PPS / SITE_SLOTS);
		cr_expect_float_eq(site.instances[1].packets_per_s, SITE_PPS / 2, 0.02 * SITE_PPS);
	}
	cr_expect_gt(least, 0.48);
	cr_expect_lt(most, 0.52);
}

Test(analyzer, maintenance_and_failure_of_an_instance, SITE)
{
	site.demand = 0.8;
	site_run(&site, 1000);
	site.states[0] = INSTANCE_DRAINING;
	site_run(&site, SITE_SAMPLE_MS);
	cr_expect(site_holds(&site, CONDITION_MAINTENANCE, ABOUT_INSTANCE, 1));
	site.states[0] = INSTANCE_FAILED;
	site_run(&site, SITE_SAMPLE_MS);
	cr_expect(!site_holds(&site, CONDITION_MAINTENANCE, ABOUT_INSTANCE, 1));
	cr_assert(site_holds(&site, CONDITION_FAILURE, ABOUT_INSTANCE, 1));
	cr_expect(strstr(site_holds(&site, CONDITION_FAILURE, ABOUT_INSTANCE, 1)->why,
			 "fw-1: its program or namespace is gone"));
	site.states[0] = INSTANCE_RUNNING;
	site_run(&site, SITE_SAMPLE_MS);
	cr_expect(!site_holds(&site, CONDITION_FAILURE, ABOUT_INSTANCE, 1));
}

/* What is taken away takes its conditions with it, and its number may mean another thing. */
Test(analyzer, what_is_gone_is_forgotten, SITE)
{
	site.demand = 1.9;
	site_run(&site, 5000);
	cr_assert(site_holds(&site, CONDITION_OVERLOAD, ABOUT_INSTANCE, 2));
	site.instances_n = 1;
	site.demand = 0.5;
	site_spread(&site);
	site_run(&site, SITE_SAMPLE_MS);
	cr_expect(!site_holds(&site, CONDITION_OVERLOAD, ABOUT_INSTANCE, 2));
	cr_assert(site_changed(&site, CONDITION_OVERLOAD, ABOUT_INSTANCE, 2));
	cr_expect_str_eq(site_changed(&site, CONDITION_OVERLOAD, ABOUT_INSTANCE, 2)->condition.why,
			 "fw-2 is no more");
	cr_expect_str_eq(site_changed(&site, CONDITION_OVERLOAD, ABOUT_INSTANCE, 2)->condition.name,
			 "fw-2", "the event can't say of what");
}

/* Every raised condition ends by a change, and holds in between. */
Test(analyzer, changes_and_conditions_agree, SITE)
{
	static const double demands[] = { 1, 1.9, 0.3, 1.7, 1.2, 2.5, 0, 1 };
	unsigned int open = 0;

	for (size_t i = 0; i < ARRAY_SIZE(demands); i++) {
		site.demand = demands[i];
		site.weights[3] = i % 3 ? 1 : 50;
		for (unsigned int j = 0; j < 150; j++) {
			site_run(&site, SITE_SAMPLE_MS);
			for (size_t k = 0; k < site.analysis.changes_n; k++)
				open += site.analysis.changes[k].raised ? 1u : -1u;
			cr_assert_eq(open, site.analysis.conditions_n);
		}
	}
	cr_expect_gt(site.raised[CONDITION_OVERLOAD], 3);
}
