/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The analyzer and data that can't be: impossible figures, agents that lie, clocks that jump.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "tests/unit/analyzer_fixture.h"
#include "tests/unit/random.h"

TestSuite(analyzer_absurd);

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

/* ---- absurd -------------------------------------------------------------------------------- */

static unsigned int absurdity;

/* Each makes instance 2's figures impossible in another way. */
static void instance_2_absurd(void)
{
	struct instance_load *instance = &site.instances[1];

	switch (absurdity) {
	case 0:
		instance->packets_per_s = -5;
		break;
	case 1:
		instance->utilisation = NAN;
		break;
	case 2:
		instance->packets_per_s = INFINITY;
		break;
	case 3:
		instance->utilisation = 0.02; /* lies about its load */
		break;
	case 4:
		instance->utilisation = 0.97;
		break;
	case 5:
		instance->flows = 50000; /* its table takes 10,000 */
		break;
	case 6:
		instance->ns_per_packet = 2e9;
		break;
	case 7:
		instance->ns_per_packet = 200000; /* 50,000 packets/s: 10 CPUs, of 4 */
		break;
	case 8:
		instance->drops_per_s = -0.001;
		break;
	case 9:
		instance->bytes_per_s = 1e15;
		break;
	case 10:
		instance->quality.validity = LOAD_ABSURD; /* who gathered it says so */
		break;
	case 11:
		instance->utilisation = 9;
		instance->packets_per_s = 9 * SITE_PPS;
		break;
	default:
		absurdity = UINT32_MAX;
	}
}

Test(analyzer_absurd, absurd_is_flagged_and_ignored, SITE)
{
	for (absurdity = 0;; absurdity++) {
		unsigned int raised = site.raised[CONDITION_ABSURD];
		double before;

		site_run(&site, 15000);
		cr_assert(!site_holds(&site, CONDITION_ABSURD, ABOUT_INSTANCE, 2));
		before = site.analysis.conditions_n;
		site_run_spoilt(&site, 3000, instance_2_absurd);
		if (absurdity == UINT32_MAX)
			break;
		cr_expect_eq(site.raised[CONDITION_ABSURD], raised + 1, "%u", absurdity);
		cr_assert(site_holds(&site, CONDITION_ABSURD, ABOUT_INSTANCE, 2), "%u", absurdity);
		cr_expect(strstr(site_holds(&site, CONDITION_ABSURD, ABOUT_INSTANCE, 2)->why,
				 "fw-2: "));
		cr_expect_eq(site.analysis.conditions_n, before + 1, "%u had other consequences",
			     absurdity);
		cr_expect_eq(site.instances[1].quality.validity, LOAD_ABSURD, "%u", absurdity);
		cr_expect_eq(site.instances[0].quality.validity, LOAD_VALID);
		site_run(&site, SITE_SAMPLE_MS);
		cr_expect_float_eq(site.instances[1].utilisation, 0.5, 0.01, "%u: %f", absurdity,
				   site.instances[1].utilisation);
	}
	cr_expect_eq(site.raised[CONDITION_OVERLOAD] + site.raised[CONDITION_UNDERLOAD] +
			     site.raised[CONDITION_IMBALANCE],
		     0);
}

static void instance_2_understates(void)
{
	/* consistent with itself, but its slots say otherwise */
	site.instances[1].utilisation = 0.1;
	site.instances[1].packets_per_s = 0.1 * SITE_PPS;
}

Test(analyzer_absurd, liar_is_found_by_its_slots, SITE)
{
	site_run_spoilt(&site, 900, instance_2_understates);
	cr_expect_eq(site.raised[CONDITION_ABSURD], 0, "windows may differ for a moment");
	site_run_spoilt(&site, 1000, instance_2_understates);
	cr_assert(site_holds(&site, CONDITION_ABSURD, ABOUT_INSTANCE, 2));
	cr_expect(strstr(site_holds(&site, CONDITION_ABSURD, ABOUT_INSTANCE, 2)->why,
			 "fw-2: says 10000 packets/s, but what it owns makes 49219"),
		  "%s", site_holds(&site, CONDITION_ABSURD, ABOUT_INSTANCE, 2)->why);
	site_run_spoilt(&site, 60000, instance_2_understates);
	cr_expect_eq(site.raised[CONDITION_UNDERLOAD], 0);
}

static void slots_move(void)
{
	instance_2_understates();
	for (size_t i = 0; i < SITE_SLOTS; i++)
		site.slots[i].moving = true;
}

/* While slots move, their counts and the instance's may differ. */
Test(analyzer_absurd, a_move_is_no_lie, SITE)
{
	site_run_spoilt(&site, 5000, slots_move);
	cr_expect_eq(site.raised[CONDITION_ABSURD], 0);
}

static void slots_absurd(void)
{
	site.slots[3].packets_per_s = NAN;
	site.slots[4].bytes_per_s = -1;
	site.slots[5].frozen_us = INFINITY;
}

Test(analyzer_absurd, absurd_slots, SITE)
{
	site_run_spoilt(&site, 1000, slots_absurd);
	cr_assert(site_holds(&site, CONDITION_ABSURD, ABOUT_SERVICE, SITE_SERVICE));
	cr_expect(strstr(site_holds(&site, CONDITION_ABSURD, ABOUT_SERVICE, SITE_SERVICE)->why,
			 "3 slots"));
	cr_expect(!site.slots[3].valid && !site.slots[4].valid && !site.slots[5].valid);
	cr_expect(site.slots[6].valid);
	site_run(&site, SITE_SAMPLE_MS);
	cr_expect_float_eq(site.slots[3].packets_per_s, 1.5 * SITE_PPS / SITE_SLOTS, 10);
}

static void host_2_lies(void)
{
	site.hosts[1].cpu.user = 40; /* of 4 CPUs */
}

Test(analyzer_absurd, absurd_host, SITE)
{
	site_run_spoilt(&site, 1000, host_2_lies);
	cr_assert(site_holds(&site, CONDITION_ABSURD, ABOUT_HOST, 2));
	cr_expect(strstr(site_holds(&site, CONDITION_ABSURD, ABOUT_HOST, 2)->why,
			 "nf2: says CPUs in use 40.6, which is more than can be"),
		  "%s", site_holds(&site, CONDITION_ABSURD, ABOUT_HOST, 2)->why);
	cr_expect(site.hosts[1].conditions & HOST_SUSPECT);
	cr_expect_eq(site.raised[CONDITION_OVERLOAD], 0);
	site_run(&site, 12000);
	cr_expect_eq(site.hosts[1].conditions, 0);
}

static void instance_2_wild(void)
{
	if (site.now_ms % 1000 == 0)
		site.instances[1].utilisation = 3.9;
	site.instances[1].packets_per_s = site.instances[1].utilisation * SITE_PPS;
	site.instances[1].ns_per_packet = 1000;
}

/* One wild sample in ten, possible each: flagged, and no average moves. */
Test(analyzer_absurd, lonely_jumps, SITE)
{
	site.demand = 1.2;
	site_run(&site, 5000);
	for (unsigned int i = 0; i < 300; i++) {
		site_run_spoilt(&site, SITE_SAMPLE_MS, instance_2_wild);
		cr_expect_float_eq(site.instances[1].utilisation, 0.4, 0.01);
	}
	cr_expect_eq(site.raised[CONDITION_ABSURD], 1);
	cr_expect_eq(site.raised[CONDITION_OVERLOAD], 0);
}

/* ---- clocks -------------------------------------------------------------------------------- */

/* Stopped for a minute: what was pending has not lasted, and nobody was silent but we. */
Test(analyzer_absurd, clock_jumps_ahead, SITE)
{
	site.demand = 0.5; /* on its way to underload */
	site_run(&site, 2000);
	site.now_ms += 60000;
	site_report(&site);
	for (size_t i = 0; i < SITE_HOSTS; i++)
		site.hosts[i].quality.age_ns = 60000 * NSEC_PER_MSEC;
	site_judge(&site);
	cr_assert(site_holds(&site, CONDITION_CLOCK, ABOUT_SITE, 0));
	cr_expect(strstr(site_holds(&site, CONDITION_CLOCK, ABOUT_SITE, 0)->why,
			 "the clock went 60.0 s"));
	cr_expect_eq(site.raised[CONDITION_FAILURE], 0);
	cr_expect_eq(site.raised[CONDITION_UNDERLOAD], 0);
	site_run(&site, 9000);
	cr_expect_eq(site.raised[CONDITION_UNDERLOAD], 0);
	cr_expect(!site_holds(&site, CONDITION_CLOCK, ABOUT_SITE, 0));
	site_run(&site, 25000);
	cr_expect(site_holds(&site, CONDITION_UNDERLOAD, ABOUT_SERVICE, SITE_SERVICE));
}

Test(analyzer_absurd, clock_jumps_back, SITE)
{
	site.demand = 2.8;
	site_run(&site, 5000);
	cr_assert(site_holds(&site, CONDITION_OVERLOAD, ABOUT_SERVICE, SITE_SERVICE));
	site.now_ms -= 30000;
	site_run(&site, 2000);
	cr_expect(site_holds(&site, CONDITION_CLOCK, ABOUT_SITE, 0));
	cr_expect(site_holds(&site, CONDITION_OVERLOAD, ABOUT_SERVICE, SITE_SERVICE), "holds on");
	site.demand = 1.5;
	site_run(&site, 13000);
	cr_expect(!site_holds(&site, CONDITION_OVERLOAD, ABOUT_SERVICE, SITE_SERVICE),
		  "and still ends");
	cr_expect(!site_holds(&site, CONDITION_CLOCK, ABOUT_SITE, 0));
}

static void ages_absurd(void)
{
	site.instances[1].quality.age_ns = UINT64_MAX - 5;
	site.hosts[1].quality.age_ns = UINT64_MAX / 2;
	site.service.slots_quality.age_ns = UINT64_MAX;
}

Test(analyzer_absurd, ages_before_the_beginning_of_time, SITE)
{
	site_run_spoilt(&site, 3000, ages_absurd);
	cr_expect(site_holds(&site, CONDITION_STALE, ABOUT_HOST, 2));
	cr_expect_eq(site.raised[CONDITION_FAILURE], 0);
}

Test(analyzer_absurd, numbers_out_of_bounds, SITE)
{
	const struct policy *policies[FF_SERVICES_MAX] = {};
	struct analysis analysis;

	site_report(&site);
	site.hosts[1].id = FF_HOSTS_MAX;
	cr_expect_eq(analyzer_step(site.analyzer, &site.loads, policies, &analysis), -EINVAL);
	site_report(&site);
	site.instances[1].id = FF_INSTANCES_MAX;
	cr_expect_eq(analyzer_step(site.analyzer, &site.loads, policies, &analysis), -EINVAL);
	site_report(&site);
	site.service.id = FF_SERVICES_MAX;
	cr_expect_eq(analyzer_step(site.analyzer, &site.loads, policies, &analysis), -EINVAL);
}

/* All-zero memory is "nothing known"; no hosts, no instances, no services is a site, too. */
Test(analyzer_absurd, nothing_known)
{
	struct instance_load instances[2] = { { .id = 1 }, { .id = 2 } };
	struct host_load hosts[2] = { { .id = 1 }, { .id = 2 } };
	struct service_load service = { .id = 1, .instances = instances, .instances_n = 2 };
	const struct policy *policies[FF_SERVICES_MAX] = {};
	struct analyzer *analyzer = analyzer_new();
	struct loads loads = {};
	struct analysis analysis;

	cr_assert_eq(analyzer_step(analyzer, &loads, policies, &analysis), 0);
	cr_expect_eq(analysis.conditions_n, 0);
	loads = (struct loads){
		.now_ns = 1, .hosts = hosts, .hosts_n = 2, .services = &service, .services_n = 1
	};
	for (unsigned int i = 0; i < 100; i++) {
		loads.now_ns += 100 * NSEC_PER_MSEC;
		cr_assert_eq(analyzer_step(analyzer, &loads, policies, &analysis), 0);
	}
	for (size_t i = 0; i < analysis.conditions_n; i++)
		cr_expect_eq(analysis.conditions[i].kind, CONDITION_STALE, "%s",
			     analysis.conditions[i].why);
	analyzer_free(analyzer);
}

/* Whatever comes, in whatever order: no crash, no figure that isn't one, bounded changes. */
static double any_figure(struct random *random, double usual)
{
	static const double wild[] = { NAN, INFINITY, -INFINITY, -1, 1e300, 0, -0.0, 1e-300 };

	if (random_below(random, 20))
		return usual * (0.5 + random_below(random, 1000) / 1000.0);
	return wild[random_below(random, ARRAY_SIZE(wild))];
}

Test(analyzer_absurd, fuzz, SITE)
{
	struct random random = { .state = 42 };

	for (unsigned int i = 0; i < 20000; i++) {
		size_t victim;

		site.now_ms += random_below(&random, 1000) ? random_below(&random, 200) :
							     random_below(&random, 20000);
		if (!random_below(&random, 2000))
			site.now_ms -= random_below(&random, 20000);
		site.instances_n = 1 + random_below(&random, SITE_INSTANCES_MAX - 1);
		site.states[0] = INSTANCE_RUNNING;
		for (size_t j = 0; j < SITE_INSTANCES_MAX; j++)
			if (j && !random_below(&random, 50))
				site.states[j] = random_below(&random, INSTANCE_FAILED + 1);
		site_spread(&site);
		site_report(&site);
		victim = random_below(&random, (unsigned int)site.instances_n);
		site.instances[victim].utilisation = any_figure(&random, 0.5);
		site.instances[victim].packets_per_s = any_figure(&random, 5e4);
		site.instances[victim].ns_per_packet = any_figure(&random, 1e4);
		site.instances[victim].capacity_pps = any_figure(&random, 1e5);
		site.instances[victim].flows = any_figure(&random, 1e3);
		site.instances[victim].quality.age_ns = random_u64(&random) >>
							random_below(&random, 64);
		site.hosts[victim % SITE_HOSTS].cpus = any_figure(&random, 4);
		site.hosts[victim % SITE_HOSTS].pressure = any_figure(&random, 0.5);
		site.hosts[victim % SITE_HOSTS].quality.age_ns = random_u64(&random) >>
								 random_below(&random, 64);
		site.slots[i % SITE_SLOTS].packets_per_s = (float)any_figure(&random, 1e3);
		site_judge(&site);
		for (size_t j = 0; j < site.instances_n; j++)
			if (site.instances[j].quality.validity == LOAD_VALID)
				cr_assert(isfinite(site.instances[j].utilisation) &&
					  site.instances[j].utilisation >= 0);
		cr_assert(isfinite(site.service.growth) && site.service.growth >= 0 &&
			  site.service.growth <= 4);
	}
}
