/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_detect.c - who is dead, by what agents and data paths say. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "orchestrator/detect.h"

#define HOSTS	  4
#define FAILURE	  150
#define BEGIN_MS  1000000
#define SAMPLE_MS 50

static struct detector detector;
static struct detect_host hosts[HOSTS];
static struct detect_change changes[FF_HOSTS_MAX];
static uint64_t now_ms;
static size_t died[HOSTS + 1]; /* how often each was found dead */

/* What is true, and who is left to tell it: by numbers from 1. */
static bool agent[HOSTS + 1], path[HOSTS + 1];
static uint64_t path_ms[HOSTS + 1]; /* when it was last there */

static struct detect_facts facts(void)
{
	return (struct detect_facts){ now_ms * NSEC_PER_MSEC, FAILURE, hosts, HOSTS };
}

/* When @witness heard @host last: who is cut off hears nobody. */
static uint64_t last_ms(uint16_t witness, uint16_t host)
{
	return path[witness] ? path_ms[host] : MIN(path_ms[witness], path_ms[host]);
}

/* A sample of each agent that lives. */
static void sample(void)
{
	for (uint16_t i = 1; i <= HOSTS; i++) {
		struct detect_host *host = &hosts[i - 1];

		if (path[i])
			path_ms[i] = now_ms;
		host->open = agent[i];
		if (!agent[i])
			continue;
		host->heard_ns = now_ms * NSEC_PER_MSEC;
		for (uint16_t k = 1; k <= HOSTS; k++)
			if (k != i)
				host->peers[k] = (struct detect_peer){
					.told_ns = now_ms * NSEC_PER_MSEC,
					.silent_ns = (now_ms - last_ms(i, k)) * NSEC_PER_MSEC,
				};
	}
}

static size_t step(void)
{
	const struct detect_facts now = facts();
	size_t n = detect_step(&detector, &now, changes);

	for (size_t i = 0; i < n; i++)
		died[changes[i].host] += changes[i].now == DETECT_DEAD;
	return n;
}

static void run(uint64_t ms, void (*spoil)(void))
{
	for (uint64_t until = now_ms + ms; now_ms < until;) {
		now_ms += SAMPLE_MS;
		sample();
		if (spoil)
			spoil();
		step();
	}
}

static enum detect_verdict verdict(uint16_t host)
{
	return detector.verdicts[host];
}

static void setup(void)
{
	memset(&detector, 0, sizeof(detector));
	memset(hosts, 0, sizeof(hosts));
	memset(died, 0, sizeof(died));
	now_ms = BEGIN_MS;
	for (uint16_t i = 1; i <= HOSTS; i++) {
		hosts[i - 1].id = i;
		snprintf(hosts[i - 1].name, sizeof(hosts[i - 1].name), "h%u", i);
		agent[i] = path[i] = true;
		path_ms[i] = now_ms;
	}
	run(1000, NULL);
}

TestSuite(detect, .init = setup);

static void all_alive(void)
{
	for (uint16_t i = 1; i <= HOSTS; i++) {
		cr_expect_eq(verdict(i), DETECT_ALIVE, "h%u is %s", i,
			     detect_verdict_name(verdict(i)));
		cr_expect_eq(died[i], 0);
	}
}

Test(detect, all_well)
{
	run(5000, NULL);
	all_alive();
}

/* Both ways to it are silent: dead, within failure_ms and what samples need. */
Test(detect, a_dead_host)
{
	agent[2] = path[2] = false;
	run(FAILURE - SAMPLE_MS, NULL);
	cr_expect_neq(verdict(2), DETECT_DEAD);
	run(2 * SAMPLE_MS, NULL);
	cr_assert_eq(verdict(2), DETECT_DEAD);
	cr_expect_eq(changes[0].host, 2);
	cr_expect(changes[0].silent_ms >= FAILURE && changes[0].silent_ms <= FAILURE + SAMPLE_MS,
		  "%llu ms", (unsigned long long)changes[0].silent_ms);
	cr_expect(strstr(changes[0].why, "silent"), "%s", changes[0].why);
	run(5000, NULL);
	cr_expect_eq(died[2], 1, "found once");
	agent[2] = path[2] = true;
	run(SAMPLE_MS, NULL);
	cr_expect_eq(verdict(2), DETECT_ALIVE);
	cr_expect_eq(died[1] + died[3] + died[4], 0);
}

/* Its stream isn't closed, for its host lost power: that nothing comes is enough. */
static void stream_2_hangs(void)
{
	hosts[1].open = true;
}

Test(detect, a_dead_host_whose_stream_hangs)
{
	agent[2] = path[2] = false;
	run(FAILURE + 2 * SAMPLE_MS, stream_2_hangs);
	cr_expect_eq(verdict(2), DETECT_DEAD);
}

/* A crashed or cut-off agent takes nothing along: its data path forwards. */
Test(detect, a_silent_agent_is_suspect)
{
	agent[2] = false;
	run(20000, NULL);
	cr_expect_eq(verdict(2), DETECT_SUSPECT);
	cr_expect_eq(died[2], 0);
	path[2] = false; /* and now the data path, too */
	run(FAILURE + SAMPLE_MS, NULL);
	cr_expect_eq(verdict(2), DETECT_DEAD);
}

Test(detect, one_witness_that_hears_it_is_enough)
{
	agent[2] = agent[1] = agent[3] = false;
	run(10000, NULL);
	cr_expect_eq(verdict(2), DETECT_SUSPECT);
	agent[4] = false; /* and the last one who could tell */
	run(10000, NULL);
	cr_expect_eq(verdict(2), DETECT_DEAF);
	cr_expect_eq(died[1] + died[2] + died[3] + died[4], 0);
}

/*
 * One says that it's silent, another one hears it: the way between the two is broken, not the host.
 */
static void h1_doesnt_hear_2(void)
{
	hosts[0].peers[2].silent_ns = 10 * NSEC_PER_SEC;
}

Test(detect, witnesses_that_disagree)
{
	run(10000, h1_doesnt_hear_2);
	all_alive();
	agent[2] = false;
	run(10000, h1_doesnt_hear_2);
	cr_expect_eq(verdict(2), DETECT_SUSPECT);
}

static const char *unheard_by(size_t host)
{
	const struct detect_facts now = facts();
	const struct detect_host *by = detect_unheard_by(&detector, &now, &hosts[host - 1]);

	return by ? by->name : "nobody";
}

/* It matters if the one that doesn't hear it steers: what that sends there is lost. */
Test(detect, a_broken_way_from_a_gateway)
{
	run(1000, h1_doesnt_hear_2);
	cr_expect_str_eq(unheard_by(2), "nobody", "h1 doesn't steer");
	hosts[0].steers = true;
	cr_expect_str_eq(unheard_by(2), "h1");
	cr_expect_str_eq(unheard_by(3), "nobody");
	agent[2] = path[2] = false;
	run(1000, h1_doesnt_hear_2);
	cr_expect_str_eq(unheard_by(2), "nobody", "it is dead, whoever asks");
	agent[2] = path[2] = true;
	run(1000, NULL);
	cr_expect_str_eq(unheard_by(2), "nobody");
	path[1] = false; /* the gateway itself is cut off, and hears nobody */
	run(1000, NULL);
	cr_expect_str_eq(unheard_by(2), "nobody");
}

/* It measures by its own clock, and may round: what it calls silent is silent. */
static void h3_and_h4_say_so(void)
{
	for (size_t i = 2; i < HOSTS; i++)
		hosts[i].peers[2] = (struct detect_peer){ now_ms * NSEC_PER_MSEC,
							  (FAILURE - 1) * NSEC_PER_MSEC, true };
}

Test(detect, a_witness_that_says_silent_is_believed)
{
	agent[2] = agent[1] = path[2] = path[1] = false;
	run(2 * SAMPLE_MS, h3_and_h4_say_so);
	cr_expect_eq(verdict(2), DETECT_DEAD);
}

/* What a witness said before it fell silent itself counts for nothing, neither way. */
Test(detect, a_stale_witness_is_none)
{
	agent[1] = false;
	run(1000, NULL);
	agent[2] = path[2] = false;
	agent[3] = false;
	run(FAILURE + 3 * SAMPLE_MS, NULL);
	cr_expect_eq(verdict(2), DETECT_DEAD, "h4 says so, whatever h1 said last: it is %s",
		     detect_verdict_name(verdict(2)));
	cr_expect_eq(verdict(1), DETECT_SUSPECT);
}

/* Nobody talks any more: it is we who are cut off. */
Test(detect, deaf)
{
	for (int i = 1; i <= HOSTS; i++)
		agent[i] = false;
	run(60000, NULL);
	for (uint16_t i = 1; i <= HOSTS; i++)
		cr_expect_eq(verdict(i), DETECT_DEAF);
	for (int i = 1; i <= HOSTS; i++)
		agent[i] = true;
	run(SAMPLE_MS, NULL);
	all_alive();
}

/* A witness that is cut off from the fabric hears nobody: nobody is dead for that. */
Test(detect, a_witness_that_is_cut_off_is_none)
{
	path[1] = false;
	run(FAILURE * DETECT_CUT_TIMES + 4 * SAMPLE_MS, NULL);
	cr_expect_eq(verdict(1), DETECT_DEAD, "its agent talks, but nobody hears it");
	agent[2] = false;
	path[2] = true;
	run(5000, NULL);
	cr_expect_eq(died[2] + died[3] + died[4], 0);
}

/* Its agent talks, and may even say that all is well: the others know better, after a while. */
Test(detect, an_agent_that_talks_though_its_data_path_is_dead)
{
	path[2] = false;
	run(FAILURE * DETECT_CUT_TIMES - SAMPLE_MS, NULL);
	cr_expect_eq(verdict(2), DETECT_ALIVE);
	run(3 * SAMPLE_MS, NULL);
	cr_expect_eq(verdict(2), DETECT_DEAD);
	cr_expect_eq(died[1] + died[3] + died[4], 0);
}

static void h2_admits_it(void)
{
	hosts[1].cut = true;
}

Test(detect, an_agent_that_tells_of_its_dead_link)
{
	path[2] = false;
	run(FAILURE + 2 * SAMPLE_MS, h2_admits_it);
	cr_expect_eq(verdict(2), DETECT_DEAD);
	setup();
	run(10000, h2_admits_it); /* but is heard */
	all_alive();
}

/* A lying witness is outvoted by one who hears, and by the host's own agent for long. */
static void h3_hears_all(void)
{
	for (uint16_t i = 1; i <= HOSTS; i++)
		if (i != 3)
			hosts[2].peers[i].silent_ns = 0;
}

Test(detect, a_witness_that_lies_keeps_a_host_suspect)
{
	agent[2] = path[2] = false;
	run(10000, h3_hears_all);
	cr_expect_eq(verdict(2), DETECT_SUSPECT);
}

/* Where nobody asks (no heartbeats), nobody is found dead. */
static void nobody_asks(void)
{
	for (size_t i = 0; i < HOSTS; i++)
		memset(hosts[i].peers, 0, sizeof(hosts[i].peers));
}

Test(detect, without_heartbeats)
{
	agent[2] = path[2] = false;
	run(10000, nobody_asks);
	cr_expect_eq(verdict(2), DETECT_DEAF);
	cr_expect_eq(verdict(1), DETECT_ALIVE);
}

/* Two are dead already: that the last witness hears nobody is no wonder then. */
Test(detect, the_last_one_dies)
{
	agent[3] = agent[4] = path[3] = path[4] = false;
	run(1000, NULL);
	agent[2] = path[2] = false;
	run(1000, NULL);
	cr_expect_eq(verdict(2), DETECT_DEAD, "%s", detect_verdict_name(verdict(2)));
}

/* All others at once: then the witness is more likely the one that is cut off. */
Test(detect, all_others_at_once)
{
	for (int i = 2; i <= HOSTS; i++)
		agent[i] = path[i] = false;
	run(10000, NULL);
	cr_expect_eq(verdict(2), DETECT_DEAF, "%s", detect_verdict_name(verdict(2)));
}

/* ---- time ------------------------------------------------------------------------------------ */

/* Just started: those whose streams are not there yet have their time; then a host may be dead. */
Test(detect, hosts_are_given_time_after_our_start)
{
	memset(&detector, 0, sizeof(detector));
	memset(hosts[1].peers, 0, sizeof(hosts[1].peers));
	hosts[1].heard_ns = 0;
	agent[2] = path[2] = false;
	path_ms[2] = 0;
	run(DETECT_START_MS, NULL);
	cr_expect_eq(verdict(2), DETECT_UNKNOWN);
	run(4 * SAMPLE_MS, NULL);
	cr_expect_eq(verdict(2), DETECT_DEAD);
}

/* We were stopped: everything that we know is old, and what comes first may be old, too. */
Test(detect, a_gap_kills_nobody)
{
	now_ms += 10000;
	step();
	cr_expect_eq(died[1] + died[2] + died[3] + died[4], 0);
	/* the first line that is read: h1's, which it sent before we went on */
	hosts[0].heard_ns = now_ms * NSEC_PER_MSEC;
	hosts[0].peers[2] = (struct detect_peer){ now_ms * NSEC_PER_MSEC, NSEC_PER_SEC, true };
	now_ms += 10;
	step();
	cr_expect_eq(died[2], 0);
	run(2000, NULL);
	all_alive();
}

/* A clock that seems to go back (facts newer than now) is no silence. */
Test(detect, facts_from_the_future)
{
	for (size_t i = 0; i < HOSTS; i++)
		hosts[i].heard_ns += NSEC_PER_SEC;
	step();
	all_alive();
}

Test(detect, flapping_is_found_each_time)
{
	for (int i = 0; i < 5; i++) {
		agent[2] = path[2] = false;
		run(500, NULL);
		agent[2] = path[2] = true;
		run(500, NULL);
	}
	cr_expect_eq(died[2], 5);
	cr_expect_eq(verdict(2), DETECT_ALIVE);
}

/* The next step is due when a silence would count, and never later than samples come. */
Test(detect, due)
{
	struct detect_facts now = facts();

	cr_expect_leq(detect_due(&detector, &now), now.now_ns + DETECT_PERIOD_MS * NSEC_PER_MSEC);
	now.now_ns += (FAILURE - 20) * NSEC_PER_MSEC;
	cr_expect_eq(detect_due(&detector, &now), hosts[0].heard_ns + FAILURE * NSEC_PER_MSEC + 1);
	now.failure_ms = 0;
	cr_expect_gt(detect_due(&detector, &now), now.now_ns);
}

Test(detect, switched_off)
{
	struct detect_facts now = facts();

	now.failure_ms = 0;
	now.now_ns += 100 * NSEC_PER_SEC;
	cr_expect_eq(detect_step(&detector, &now, changes), 0);
}
