/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The analyzer and data that doesn't come: none, old data, hosts that fall silent, that are dead.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "lib/clock.h"
#include "tests/unit/analyzer_fixture.h"

TestSuite(analyzer_input);

static struct site site;

static void start_three(void)
{
	site_init(&site, 3);
	site.demand = 1.5;
	site_run(&site, 5000);
}

static void end(void)
{
	site_done(&site);
}

#define SITE .init = start_three, .fini = end

/* ---- missing and stale --------------------------------------------------------------------- */

static uint64_t last_heard_ms; /* of instance 2 */

static void instance_2_silent(void)
{
	site.instances[1].quality.age_ns = (site.now_ms - last_heard_ms) * NSEC_PER_MSEC;
}

/* An instance without data isn't idle: no underload, though the others have little to do. */
Test(analyzer_input, missing_is_not_zero, SITE)
{
	site.demand = 0.3;
	last_heard_ms = site.now_ms;
	site_run_spoilt(&site, 120000, instance_2_silent);
	cr_assert(site_holds(&site, CONDITION_STALE, ABOUT_INSTANCE, 2));
	cr_expect(strstr(site_holds(&site, CONDITION_STALE, ABOUT_INSTANCE, 2)->why,
			 "fw-2: newest data is 1100 ms old (bound 1000 ms)"),
		  "%s", site_holds(&site, CONDITION_STALE, ABOUT_INSTANCE, 2)->why);
	cr_expect(!site_holds(&site, CONDITION_UNDERLOAD, ABOUT_SERVICE, SITE_SERVICE));
	cr_expect_eq(site.instances[1].quality.validity, LOAD_STALE);
	cr_expect_eq(site.service.growth, 0, "the demand isn't known");

	site_run(&site, 3000);
	cr_expect(!site_holds(&site, CONDITION_STALE, ABOUT_INSTANCE, 2));
	site_run(&site, 40000);
	cr_expect(site_holds(&site, CONDITION_UNDERLOAD, ABOUT_SERVICE, SITE_SERVICE));
}

static void instance_2_never_seen(void)
{
	site.instances[1].quality = (struct load_quality){ .age_ns = UINT64_MAX };
}

Test(analyzer_input, never_heard)
{
	site_init(&site, 3);
	site.demand = 0.1;
	site_run_spoilt(&site, 900, instance_2_never_seen);
	cr_expect_eq(site.raised[CONDITION_STALE], 0, "it may take a moment");
	site_run_spoilt(&site, 60000, instance_2_never_seen);
	cr_assert(site_holds(&site, CONDITION_STALE, ABOUT_INSTANCE, 2));
	cr_expect(
		strstr(site_holds(&site, CONDITION_STALE, ABOUT_INSTANCE, 2)->why, "no data yet"));
	cr_expect(!site_holds(&site, CONDITION_UNDERLOAD, ABOUT_SERVICE, SITE_SERVICE));
	site_done(&site);
}

/* The other instances' conditions don't wait for one that is silent. */
Test(analyzer_input, overload_beside_a_silent_one, SITE)
{
	site.demand = 2.8;
	last_heard_ms = site.now_ms;
	site_run_spoilt(&site, 5000, instance_2_silent);
	cr_expect(site_holds(&site, CONDITION_OVERLOAD, ABOUT_INSTANCE, 1));
	cr_expect(analyzer_service_conditions(site.analyzer, SITE_SERVICE) &
		  1u << CONDITION_OVERLOAD);
}

/* A sample that is handed in again and again is one sample. */
static void instance_1_repeats(void)
{
	instance_2_silent();
	site.instances[0].quality.age_ns = 50 * NSEC_PER_MSEC;
}

Test(analyzer_input, one_sample_many_times, SITE)
{
	double before;

	last_heard_ms = site.now_ms;
	before = site.instances[1].utilisation;
	site.demand = 2.9;
	site_run_spoilt(&site, 900, instance_1_repeats);
	cr_expect_float_eq(site.instances[1].utilisation, before, 1e-9, "an old sample counted");
	cr_expect_gt(site.instances[0].utilisation, 0.7);
}

static void host_2_silent(void)
{
	site.hosts[1].quality.age_ns = (site.now_ms - last_heard_ms) * NSEC_PER_MSEC;
	instance_2_silent();
}

/* A silent agent alone is no failure: packets are forwarded without it. */
Test(analyzer_input, silent_agent_is_stale_not_failed, SITE)
{
	last_heard_ms = site.now_ms;
	site_run_spoilt(&site, 20000, host_2_silent);
	cr_expect(site_holds(&site, CONDITION_STALE, ABOUT_HOST, 2));
	cr_expect(!site_holds(&site, CONDITION_STALE, ABOUT_INSTANCE, 2), "said by its host's");
	cr_expect_eq(site.raised[CONDITION_FAILURE], 0);
	cr_expect(site.hosts[1].conditions & HOST_SUSPECT);
	cr_expect(!(site.hosts[1].conditions & HOST_FAILED));
}

/* ---- failure of hosts ---------------------------------------------------------------------- */

static void host_2_dead(void)
{
	host_2_silent();
	site.hosts[1].conditions = HOST_FAILED;
}

/* Found dead: failed at once, and its instances with it. */
Test(analyzer_input, dead_host, SITE)
{
	last_heard_ms = site.now_ms;
	site_run_spoilt(&site, SITE_SAMPLE_MS, host_2_dead);
	cr_assert(site_holds(&site, CONDITION_FAILURE, ABOUT_HOST, 2));
	cr_expect(strstr(site_holds(&site, CONDITION_FAILURE, ABOUT_HOST, 2)->why,
			 "nf2: found dead"));
	cr_expect(site.hosts[1].conditions & HOST_FAILED);
	cr_expect(site_holds(&site, CONDITION_FAILURE, ABOUT_INSTANCE, 2));
	cr_expect_eq(site.instances[1].state, INSTANCE_FAILED);
	site_run_spoilt(&site, 20000, host_2_dead);
	cr_expect_eq(site.raised[CONDITION_FAILURE], 2, "once for the host, once for its instance");
	cr_expect_eq(site.raised[CONDITION_STALE], 0, "failure says more");

	/* back, it has to be well for a while before it counts as such */
	site_run(&site, site.policy.stability.down_ms - SITE_SAMPLE_MS);
	cr_expect(site_holds(&site, CONDITION_FAILURE, ABOUT_HOST, 2));
	site_run(&site, 3000);
	cr_expect(!site_holds(&site, CONDITION_FAILURE, ABOUT_HOST, 2));
	cr_expect(!(site.hosts[1].conditions & HOST_FAILED));
}

static void host_2_link_down(void)
{
	site.hosts[1].conditions = HOST_LINK_DOWN;
}

static void host_2_reported(void)
{
	site.hosts[1].conditions = HOST_FAILED;
}

Test(analyzer_input, link_down_and_reported, SITE)
{
	site_run_spoilt(&site, SITE_SAMPLE_MS, host_2_link_down);
	cr_assert(site_holds(&site, CONDITION_FAILURE, ABOUT_HOST, 2));
	cr_expect(strstr(site_holds(&site, CONDITION_FAILURE, ABOUT_HOST, 2)->why, "link is down"));
	site_run(&site, 15000);
	cr_assert(!site_holds(&site, CONDITION_FAILURE, ABOUT_HOST, 2));
	site_run_spoilt(&site, SITE_SAMPLE_MS, host_2_reported);
	cr_assert(site_holds(&site, CONDITION_FAILURE, ABOUT_HOST, 2));
}

static void all_dead(void)
{
	for (size_t i = 0; i < SITE_HOSTS; i++)
		site.hosts[i].quality.age_ns = (site.now_ms - last_heard_ms) * NSEC_PER_MSEC;
}

/* When nobody is heard, it is we who are cut off. */
Test(analyzer_input, all_silent_is_our_own_fault, SITE)
{
	last_heard_ms = site.now_ms;
	site_run_spoilt(&site, 20000, all_dead);
	cr_expect_eq(site.raised[CONDITION_FAILURE], 0);
	cr_assert(site_holds(&site, CONDITION_CLOCK, ABOUT_SITE, 0));
	cr_expect(strstr(site_holds(&site, CONDITION_CLOCK, ABOUT_SITE, 0)->why, "is cut off"));
	site_run(&site, 10000);
	cr_expect(!site_holds(&site, CONDITION_CLOCK, ABOUT_SITE, 0));
	cr_expect_eq(site.raised[CONDITION_FAILURE], 0);
}

static void nobody_seen(void)
{
	for (size_t i = 0; i < SITE_HOSTS; i++)
		site.hosts[i].quality = (struct load_quality){ .age_ns = UINT64_MAX };
	for (size_t i = 0; i < site.instances_n; i++)
		site.instances[i].quality = (struct load_quality){ .age_ns = UINT64_MAX };
}

/*
 * Our own start, before the first agent is heard: data is missing, nothing is wrong with the clock.
 */
Test(analyzer_input, nobody_heard_yet)
{
	site_init(&site, 3);
	site_run_spoilt(&site, 20000, nobody_seen);
	cr_expect_eq(site.raised[CONDITION_CLOCK], 0);
	cr_expect_eq(site.raised[CONDITION_FAILURE], 0);
	for (uint16_t host = 1; host <= SITE_HOSTS; host++)
		cr_expect(site_holds(&site, CONDITION_STALE, ABOUT_HOST, host));
	site_run(&site, 10000);
	cr_expect_eq(site.analysis.conditions_n, 0);
	last_heard_ms = site.now_ms;
	site_run_spoilt(&site, 20000, all_dead);
	cr_assert(site_holds(&site, CONDITION_CLOCK, ABOUT_SITE, 0), "now it is our own fault");
	site_done(&site);
}

static void flap(void)
{
	for (unsigned int i = 0; i < 3; i++) {
		cr_expect(!site_holds(&site, CONDITION_FLAPPING, ABOUT_HOST, 2));
		last_heard_ms = site.now_ms;
		site_run_spoilt(&site, 1000, host_2_dead);
		site_run(&site, 3000);
	}
	cr_assert(site_holds(&site, CONDITION_FLAPPING, ABOUT_HOST, 2));
	cr_expect(site.hosts[1].conditions & HOST_SUSPECT);
	cr_expect(!(site.hosts[1].conditions & HOST_FAILED), "it is well just now");
}

/*
 * A host that fails again and again gets nothing new, until it was well for long; then for longer.
 */
Test(analyzer_input, flapping_host, SITE)
{
	site.policy.stability.down_ms = 1000;
	flap();
	site_run(&site, 50000);
	cr_expect(site_holds(&site, CONDITION_FLAPPING, ABOUT_HOST, 2));
	site_run(&site, 15000);
	cr_expect(!site_holds(&site, CONDITION_FLAPPING, ABOUT_HOST, 2));
	cr_expect_eq(site.hosts[1].conditions, 0);
	flap();
	site_run(&site, 110000);
	cr_expect(site_holds(&site, CONDITION_FLAPPING, ABOUT_HOST, 2), "twice as long");
	site_run(&site, 15000);
	cr_expect(!site_holds(&site, CONDITION_FLAPPING, ABOUT_HOST, 2));
	site_run(&site, 300000); /* and forgiven */
	flap();
	site_run(&site, 65000);
	cr_expect(!site_holds(&site, CONDITION_FLAPPING, ABOUT_HOST, 2));
}

static void host_2_unheard(void)
{
	strcpy(site.hosts[1].unheard_by, "gw1");
}

/*
 * Nobody is dead, but one gateway's packets to it are lost: it is named, and gets no more of them.
 */
Test(analyzer_input, unreachable_from_a_gateway, SITE)
{
	site.policy.stability.down_ms = 1000;
	site_run_spoilt(&site, 300, host_2_unheard);
	cr_expect(!site_holds(&site, CONDITION_UNREACHABLE, ABOUT_HOST, 2), "for a moment");
	site_run_spoilt(&site, 1000, host_2_unheard);
	cr_assert(site_holds(&site, CONDITION_UNREACHABLE, ABOUT_HOST, 2));
	cr_expect(strstr(site_holds(&site, CONDITION_UNREACHABLE, ABOUT_HOST, 2)->why,
			 "unreachable from gw1"));
	cr_expect_eq(site.hosts[1].conditions, HOST_SUSPECT, "nothing is taken from it");
	site_run(&site, 2000);
	cr_expect(!site_holds(&site, CONDITION_UNREACHABLE, ABOUT_HOST, 2));
	cr_expect_eq(site.hosts[1].conditions, 0);
}

static void host_2_maintenance(void)
{
	site.hosts[1].conditions = HOST_MAINTENANCE;
}

Test(analyzer_input, maintenance_of_a_host, SITE)
{
	site_run_spoilt(&site, SITE_SAMPLE_MS, host_2_maintenance);
	cr_assert(site_holds(&site, CONDITION_MAINTENANCE, ABOUT_HOST, 2));
	cr_expect(strstr(site_holds(&site, CONDITION_MAINTENANCE, ABOUT_HOST, 2)->why,
			 "nf2: is to be emptied"));
	site_run(&site, SITE_SAMPLE_MS);
	cr_expect(!site_holds(&site, CONDITION_MAINTENANCE, ABOUT_HOST, 2));
}

static void host_2_busy(void)
{
	site.hosts[1].cpu.softirq = 3.8f;
}

static void host_2_waits(void)
{
	site.hosts[1].pressure = 0.7;
}

static void host_2_pressure_unknown(void)
{
	site.hosts[1].pressure_known = false;
	site.hosts[1].pressure = NAN;
}

Test(analyzer_input, overloaded_host, SITE)
{
	site_run_spoilt(&site, 3000, host_2_busy);
	cr_assert(site_holds(&site, CONDITION_OVERLOAD, ABOUT_HOST, 2));
	cr_expect_eq(site.hosts[1].conditions, HOST_OVERLOAD);
	cr_expect(analyzer_service_conditions(site.analyzer, SITE_SERVICE) &
		  1u << CONDITION_OVERLOAD);
	site_run(&site, 15000);
	cr_expect_eq(site.hosts[1].conditions, 0);
	site_run_spoilt(&site, 3000, host_2_waits);
	cr_assert(site_holds(&site, CONDITION_OVERLOAD, ABOUT_HOST, 2));
	cr_expect_eq(site.hosts[1].conditions, HOST_PRESSURE);
	site_run(&site, 15000);
	site_run_spoilt(&site, 3000, host_2_pressure_unknown);
	cr_expect_eq(site.hosts[1].conditions, 0);
}
