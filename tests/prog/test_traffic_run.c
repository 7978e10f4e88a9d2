/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_traffic_run.c - whole runs of `flowferry traffic` through a wire that drops, copies, holds
 * back and hurts packets: the verdict must say exactly what was done to them.
 */
#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bpf/traffic_abi.h"
#include "bpf/traffic.skel.h"
#include "lib/netns.h"
#include "tests/prog/meddler.h"
#include "tools/traffic_options.h"
#include "tools/traffic_socket.h"

TestSuite(traffic_run, .init = meddler_init, .timeout = 120);

#define COUNT 3000
#define RATE  10000 /* slow enough for the meddler, which copies each frame in user space */

/* One run, with options as a command line would set them. */
static void run_make(const struct traffic_options *options, struct traffic_run *run)
{
	struct traffic_options o = *options;
	struct ff_error err = {};

	memset(run, 0, sizeof(*run));
	o.from_ns = "c";
	o.to_ns = "s";
	o.rate = o.rate ?: RATE;
	cr_assert_eq(traffic_settings_fill(&o, &run->settings, &err), 0, "%s", err.message);
	run->ends[0].netns_fd = run->ends[1].netns_fd = -1;
	run->quiet = true;
	cr_assert_eq(traffic_setup_both(run, &o, &err), 0, "%s", err.message);
	cr_assert_eq(traffic_run(run, &err), 0, "%s", err.message);
	traffic_setup_done(run);
	traffic_run_done(run);
}

#define RUN(run, ...) run_make(&(struct traffic_options){ __VA_ARGS__ }, run)

static void result_expect(const struct traffic_result *result, uint64_t sent, uint64_t lost,
			  uint64_t duplicated, uint64_t reordered, uint64_t corrupted)
{
	cr_expect_eq(result->sent, sent, "%lu sent, not %lu", result->sent, sent);
	cr_expect_eq(result->received, sent - lost + duplicated, "%lu received", result->received);
	cr_expect_eq(result->lost, lost, "%lu lost, not %lu", result->lost, lost);
	cr_expect_eq(result->duplicated, duplicated, "%lu twice, not %lu", result->duplicated,
		     duplicated);
	cr_expect_eq(result->reordered, reordered, "%lu late, not %lu", result->reordered,
		     reordered);
	cr_expect_eq(result->corrupted, corrupted, "%lu hurt, not %lu", result->corrupted,
		     corrupted);
	cr_expect_eq(result->unsent + result->overload + result->beyond + result->out_of_range, 0);
}

static void clean_expect(const struct traffic_options *options)
{
	static struct traffic_run run;

	meddler_start(&(struct meddler_plan){});
	run_make(options, &run);
	meddler_stop();
	result_expect(&run.results[0], options->count, 0, 0, 0, 0);
	if (options->bidirectional)
		result_expect(&run.results[1], options->count, 0, 0, 0, 0);
	cr_expect(traffic_run_passed(&run));
	cr_expect_eq(run.results[0].sent_bytes, options->count * run.settings.size);
	cr_expect_eq(run.results[0].received_bytes, run.results[0].sent_bytes);
	cr_expect_eq(run.results[0].foreign, 0);
	cr_expect_gt(traffic_percentile(&run.results[0].tally, 500), 0);
}

#define CLEAN(...) clean_expect(&(struct traffic_options){ .count = COUNT, __VA_ARGS__ })

Test(traffic_run, clean)
{
	CLEAN(.flows = 100);
}

Test(traffic_run, clean_both_ways_and_families)
{
	CLEAN(.flows = 100, .bidirectional = true, .ipv4 = true, .ipv6 = true);
}

Test(traffic_run, clean_random_order_of_flows)
{
	CLEAN(.flows = 100, .order = "random", .ipv6 = true);
}

/* What each of the flows has sent, as the report lists them. */
static void elephants_expect(const struct traffic_options *options)
{
	static struct traffic_run run;
	uint64_t herd = options->count - options->flows;
	uint64_t share = herd * options->elephants_percent / 100;

	meddler_start(&(struct meddler_plan){});
	run_make(options, &run);
	meddler_stop();
	result_expect(&run.results[0], options->count, 0, 0, 0, 0);
	cr_assert_eq(run.results[0].n_worst, options->flows);
	for (size_t i = 0; i < options->flows; i++) {
		const struct traffic_worst *w = &run.results[0].worst[i];

		if (w->flow < options->elephants)
			cr_expect_eq(w->sent, 1 + share / options->elephants, "%lu", w->sent);
		else
			cr_expect_leq(w->sent,
				      2 + (herd - share) / (options->flows - options->elephants));
	}
}

Test(traffic_run, elephants)
{
	elephants_expect(&(struct traffic_options){ .count = 1100,
						    .flows = 100,
						    .elephants = 2,
						    .elephants_percent = 40,
						    .worst = 100 });
	elephants_expect(&(struct traffic_options){ .count = 1100,
						    .flows = 100,
						    .elephants = 4,
						    .elephants_percent = 60,
						    .worst = 100,
						    .sockets = true });
}

/* At a rate that nothing can do: how much of it was given up. */
static uint64_t behind_of(uint64_t debt_ms)
{
	static struct traffic_run run;

	RUN(&run, .flows = 100, .count = 300000, .rate = 100000000, .debt = debt_ms, .drain = 1);
	cr_expect_eq(run.results[0].sent, 300000);
	return run.results[0].behind;
}

Test(traffic_run, debt)
{
	/* it isn't stopped: it loses what it can't copy in time, which is of no account here */
	meddler_start(&(struct meddler_plan){});
	cr_expect_gt(behind_of(0), 0, "50 ms by default are less than so many packets take");
	cr_expect_eq(behind_of(60000), 0, "it makes up for what it may");
}

Test(traffic_run, clean_sizes)
{
	static const uint64_t sizes[] = { 68, 69, 75, 76, 599, 1499, 1500 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		clean_expect(
			&(struct traffic_options){ .count = 200, .flows = 7, .size = sizes[i] });
}

Test(traffic_run, clean_on_sockets)
{
	CLEAN(.flows = 100, .bidirectional = true, .ipv4 = true, .ipv6 = true, .sockets = true);
}

/* Runs with `flows` flows of which the meddler treats each k-th packet badly. */
static void meddled_run(const struct meddler_plan *plan, const struct traffic_options *options)
{
	static struct traffic_run run;
	struct meddler_counts c;

	meddler_start(plan);
	run_make(options, &run);
	c = meddler_stop();
	cr_expect_eq(c.seen, COUNT);
	cr_expect_gt(c.dropped + c.duplicated + c.delayed + c.corrupted, 0);
	result_expect(&run.results[0], COUNT, c.dropped, c.duplicated, c.delayed, c.corrupted);
	if (c.delayed && !c.dropped) /* the dropped ones count as overtakers too */
		cr_expect_eq(run.results[0].displacement_max, plan->delay_by / run.settings.flows);
	cr_expect_not(traffic_run_passed(&run));
	cr_expect_str_eq(traffic_verdict(&run), "failed");
}

#define MEDDLED(plan, ...)                                                                         \
	meddled_run(&(struct meddler_plan)plan,                                                    \
		    &(struct traffic_options){ .count = COUNT, .drain = 2, __VA_ARGS__ })
#define PLAN(...)                                                                                  \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

Test(traffic_run, lost)
{
	MEDDLED(PLAN(.drop = 7), .flows = 10);
}

Test(traffic_run, last_packets_lost)
{
	MEDDLED(PLAN(.drop = COUNT), .flows = 10); /* the very last one */
}

Test(traffic_run, duplicated)
{
	MEDDLED(PLAN(.duplicate = 11), .flows = 10);
}

Test(traffic_run, reordered)
{
	MEDDLED(PLAN(.delay = 13, .delay_by = 1), .flows = 1);
}

Test(traffic_run, reordered_far)
{
	MEDDLED(PLAN(.delay = 301, .delay_by = 250), .flows = 1);
}

Test(traffic_run, reordered_among_flows_is_no_disorder_between_them)
{
	MEDDLED(PLAN(.delay = 29, .delay_by = 8), .flows = 4, .ipv4 = true, .ipv6 = true);
}

Test(traffic_run, corrupted)
{
	MEDDLED(PLAN(.corrupt = 5), .flows = 10);
}

Test(traffic_run, everything_at_once)
{
	MEDDLED(PLAN(.drop = 7, .duplicate = 11, .corrupt = 17, .delay = 30, .delay_by = 3),
		.flows = 1);
}

Test(traffic_run, lost_twice_and_late_on_sockets)
{
	MEDDLED(PLAN(.drop = 7, .duplicate = 11, .delay = 30, .delay_by = 3), .flows = 1,
		.sockets = true);
}

Test(traffic_run, tolerated)
{
	static struct traffic_run run;

	meddler_start(&(struct meddler_plan){ .drop = 100 });
	RUN(&run, .count = COUNT, .flows = 10, .tolerate = { { "lost=30" }, 1 });
	meddler_stop();
	cr_expect_eq(run.results[0].lost, 30);
	cr_expect(traffic_run_passed(&run));
}

/* ---- TCP ------------------------------------------------------------------------------------- */

Test(traffic_run, tcp)
{
	static struct traffic_run run;
	const struct traffic_tcp_counts *c = run.tcp_results[0].counts,
					*s = run.tcp_results[1].counts;

	meddler_start(&(struct meddler_plan){});
	RUN(&run, .proto = "tcp", .tcp_flows = 8, .tcp_short = 50, .bidirectional = true,
	    .ipv4 = true, .ipv6 = true, .duration = 2);
	meddler_stop();
	cr_expect(traffic_run_passed(&run));
	cr_expect_eq(c[TRAFFIC_LONG].completed, 8);
	cr_expect_eq(s[TRAFFIC_LONG].completed, 8);
	cr_expect_gt(c[TRAFFIC_SHORT].completed, 50);
	cr_expect_eq(c[TRAFFIC_SHORT].completed, s[TRAFFIC_SHORT].completed);
	cr_expect_gt(c[TRAFFIC_LONG].records_sent, 8 * 100);
	for (int k = 0; k < 2; k++) {
		cr_expect_eq(c[k].records_sent, s[k].records_received);
		cr_expect_eq(s[k].records_sent, c[k].records_received);
		cr_expect_eq(c[k].bytes_sent, s[k].bytes_received);
	}
}

Test(traffic_run, tcp_refused)
{
	static struct traffic_run run;
	struct traffic_options o = { .proto = "tcp",
				     .tcp_flows = 3,
				     .duration = 1,
				     .netns = "c",
				     .to = { { "198.18.1.2" }, 1 } };
	struct ff_error err = {};

	meddler_start(&(struct meddler_plan){});
	run.ends[0].netns_fd = run.ends[1].netns_fd = -1;
	run.quiet = true;
	cr_assert_eq(traffic_settings_fill(&o, &run.settings, &err), 0);
	cr_assert_eq(traffic_setup_half(&run, &o, TRAFFIC_FORWARD, &err), 0, "%s", err.message);
	cr_assert_eq(traffic_run(&run, &err), 0, "%s", err.message);
	traffic_run_done(&run);
	meddler_stop();
	cr_expect_eq(run.tcp_results[0].counts[TRAFFIC_LONG].refused, 3);
	cr_expect_not(traffic_run_passed(&run));
}

/* ---- the interfaces -------------------------------------------------------------------------- */

static int pass_attach(void *arg)
{
	struct traffic_bpf *bpf = arg;

	return bpf_xdp_attach((int)if_nametoindex("s0"), bpf_program__fd(bpf->progs.traffic_pass),
			      XDP_FLAGS_DRV_MODE, NULL);
}

Test(traffic_run, program_comes_back)
{
	struct traffic_bpf *bpf = traffic_bpf__open_and_load();
	uint32_t before;

	cr_assert_not_null(bpf);
	CLEAN(.flows = 10);
	cr_expect_eq(meddler_server_program(), 0, "there was none before");
	cr_assert_eq(netns_call(meddler_server_netns(), pass_attach, bpf), 0);
	before = meddler_server_program();
	CLEAN(.flows = 10);
	cr_expect_eq(meddler_server_program(), before);
}

static void end_prepare(struct traffic_run *run, struct traffic_options *o)
{
	struct ff_error err = {};

	memset(run, 0, sizeof(*run));
	o->from_ns = "c";
	o->to_ns = "s";
	cr_assert_eq(traffic_settings_fill(o, &run->settings, &err), 0);
	cr_assert_eq(traffic_setup_both(run, o, &err), 0, "%s", err.message);
}

Test(traffic_run, one_judge_to_an_interface)
{
	struct traffic_options o = { .flows = 1 };
	static struct traffic_run first, second;
	struct ff_error err = {};

	meddler_start(&(struct meddler_plan){});
	end_prepare(&first, &o);
	end_prepare(&second, &o);
	cr_assert_eq(traffic_end_open(&first.ends[1], false, &err), 0, "%s", err.message);
	cr_expect_eq(traffic_end_open(&second.ends[1], false, &err), -EBUSY);
	traffic_run_done(&second);
	cr_expect_neq(meddler_server_program(), 0, "the loser took the winner's judge away");
	traffic_run_done(&first);
	cr_expect_eq(meddler_server_program(), 0);
	meddler_stop();
}

/* A run that was killed leaves its judge; the next one works, and leaves a harmless program. */
Test(traffic_run, after_a_crash)
{
	struct traffic_options o = { .flows = 1 };
	static struct traffic_run run;
	struct ff_error err = {};
	int status;
	pid_t pid;

	meddler_start(&(struct meddler_plan){});
	end_prepare(&run, &o);
	meddler_stop();
	pid = fork();
	if (pid == 0)
		_exit(traffic_end_open(&run.ends[1], false, &err) != 0);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	cr_assert_neq(meddler_server_program(), 0);
	CLEAN(.flows = 10);
	cr_expect_neq(meddler_server_program(), 0);
	CLEAN(.flows = 10);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* A share of the evidence: all that @keep, TRAFFIC_FORWARD or TRAFFIC_REVERSE, knows. */
static void share_save(struct traffic_run *run, unsigned int keep, const char *path)
{
	static struct traffic_run half;
	struct ff_error err = {};

	half = *run;
	half.ends[!keep].name = NULL;
	cr_assert_eq(traffic_file_save(&half, path, &err), 0, "%s", err.message);
}

Test(traffic_run, verdict_from_two_files)
{
	struct traffic_options o = { .flows = 10, .count = COUNT, .rate = RATE };
	static struct traffic_run run, joined;
	struct meddler_counts c;
	struct ff_error err = {};

	meddler_start(&(struct meddler_plan){ .drop = 7, .duplicate = 11 });
	end_prepare(&run, &o);
	run.quiet = true;
	cr_assert_eq(traffic_run(&run, &err), 0, "%s", err.message);
	c = meddler_stop();
	share_save(&run, TRAFFIC_FORWARD, "/run/sent");
	share_save(&run, TRAFFIC_REVERSE, "/run/received");

	joined.settings.worst = 3;
	cr_assert_eq(traffic_file_load(&joined, "/run/received", &err), 0, "%s", err.message);
	cr_expect_eq(traffic_file_load(&joined, "/run/received", &err), -EINVAL);
	cr_assert_eq(traffic_file_load(&joined, "/run/sent", &err), 0, "%s", err.message);
	cr_assert_eq(traffic_direction_judge(&joined, TRAFFIC_FORWARD), 0);
	result_expect(&joined.results[0], COUNT, c.dropped, c.duplicated, 0, 0);
	cr_expect(joined.results[0].latency_known);
	traffic_run_done(&joined);
	traffic_run_done(&run);
}

Test(traffic_run, files_that_are_none)
{
	struct traffic_options o = { .flows = 10, .count = 10, .rate = RATE };
	static struct traffic_run run, other;
	struct ff_error err = {};

	meddler_start(&(struct meddler_plan){});
	end_prepare(&run, &o);
	run.quiet = true;
	cr_assert_eq(traffic_run(&run, &err), 0, "%s", err.message);
	meddler_stop();
	share_save(&run, TRAFFIC_FORWARD, "/run/sent");
	cr_assert_eq(truncate("/run/sent", 9000), 0);
	cr_expect_eq(traffic_file_load(&other, "/run/sent", &err), -EINVAL);
	traffic_run_done(&other);
	cr_expect_eq(traffic_file_load(&other, "/dev/null", &err), -EINVAL);
	cr_expect_eq(traffic_file_load(&other, "/run/nothing", &err), -ENOENT);
	traffic_run_done(&run);
}

/* ---- overload ---------------------------------------------------------------------- */

Test(traffic_run, full_sockets_are_told)
{
	struct traffic_options o = { .flows = 4, .sockets = true, .size = 128 };
	static struct traffic_run run;
	struct ff_error err = {};
	uint64_t sent = 0;

	meddler_start(&(struct meddler_plan){});
	end_prepare(&run, &o);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(traffic_end_open(&run.ends[i], true, &err), 0, "%s", err.message);
	traffic_sockets_stop(run.ends[1].sockets); /* nobody reads any more */
	while (!traffic_sockets_overload(run.ends[1].sockets) && sent < 1000000) {
		sent += (uint64_t)traffic_end_send(&run.ends[0], 64);
		meddler_await(sent);
	}
	for (int i = 0; i < 2; i++)
		cr_assert_eq(traffic_end_collect(&run.ends[i]), 0);
	cr_assert_eq(traffic_direction_judge(&run, TRAFFIC_FORWARD), 0);
	cr_expect_gt(run.results[0].overload, 0);
	cr_expect_eq(run.results[0].overload, run.ends[1].overload);
	run.settings.tolerance.lost = UINT64_MAX; /* what is still in the sockets, unread */
	cr_expect_str_eq(traffic_verdict(&run), "inconclusive");
	meddler_stop();
	traffic_run_done(&run);
}
