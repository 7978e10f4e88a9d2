/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_traffic.c - the judge's bookkeeping: fed loss, copies and disorder, it says so. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "tests/unit/random.h"
#include "tools/traffic.h"

TestSuite(traffic);

#define SEQS_MAX 16
#define END	 UINT64_MAX

struct order {
	const char *what;
	uint64_t sent;		 /* 0: as many as `first` and `seqs` say */
	uint64_t first;		 /* so many arrive in order before the others */
	uint64_t seqs[SEQS_MAX]; /* then these, until END */
	uint64_t lost, duplicated, reordered, displacement_max, beyond;
};

/* Far beyond what 32 bits hold. */
#define BIG	(1ull << 32)
#define PACKETS 100

static const struct order orders[] = {
	{ "nothing", 0, 0, { END }, 0, 0, 0, 0, 0 },
	{ "in order", 5, 0, { 0, 1, 2, 3, 4, END }, 0, 0, 0, 0, 0 },
	{ "the first one lost", 3, 0, { 1, 2, END }, 1, 0, 0, 0, 0 },
	{ "one lost amid", 4, 0, { 0, 1, 3, END }, 1, 0, 0, 0, 0 },
	{ "the last one lost", 4, 0, { 0, 1, 2, END }, 1, 0, 0, 0, 0 },
	{ "all lost", 4, 0, { END }, 4, 0, 0, 0, 0 },
	{ "one twice", 3, 0, { 0, 1, 1, 2, END }, 0, 1, 0, 0, 0 },
	{ "the last one three times", 3, 0, { 0, 1, 2, 2, 2, END }, 0, 2, 0, 0, 0 },
	{ "one twice, later", 4, 0, { 0, 1, 2, 3, 1, END }, 0, 1, 0, 0, 0 },
	{ "two swapped", 4, 0, { 0, 2, 1, 3, END }, 0, 0, 1, 1, 0 },
	{ "one very late", 6, 0, { 0, 2, 3, 4, 5, 1, END }, 0, 0, 1, 4, 0 },
	{ "backwards", 4, 0, { 3, 2, 1, 0, END }, 0, 0, 3, 3, 0 },
	{ "late and twice", 4, 0, { 0, 2, 1, 1, 3, END }, 0, 1, 1, 1, 0 },
	{ "lost, twice and swapped", 8, 0, { 0, 0, 2, 1, 4, 7, 6, END }, 2, 1, 2, 1, 0 },
	{ "a gap of a whole window", 1300, 1000, { 1299, END }, 299, 0, 0, 0, 0 },
	{ "a copy older than the window, nothing missing", 1000, 1000, { 3, END }, 0, 1, 0, 0, 0 },
	{ "later than the window", 1300, 1000, { 1299, 1001, END }, 298, 0, 1, 298, 1 },
	{ "at the window's edge, late", 1257, 1000, { 1256, 1001, END }, 255, 0, 1, 255, 0 },
	{ "at the window's edge, twice", 1256, 1001, { 1255, 1000, END }, 254, 1, 0, 0, 0 },
	{ "just beyond the window, late", 1258, 1000, { 1257, 1001, END }, 256, 0, 1, 256, 1 },
	{ "64 steps", 1065, 1001, { 1064, 1000, 1010, END }, 62, 1, 1, 54, 0 },
	{ "65 steps", 1066, 1001, { 1065, 1000, 1010, END }, 63, 1, 1, 55, 0 },
	{ "128 steps", 1129, 1001, { 1128, 1000, 1127, END }, 126, 1, 1, 1, 0 },
	{ "192 steps and one", 1194, 1001, { 1193, 1000, 1002, END }, 191, 1, 1, 191, 0 },
};

static void order_feed(const struct order *o, uint64_t base, struct traffic_flow *flow)
{
	memset(flow, 0, sizeof(*flow));
	flow->next = base;
	for (uint64_t i = 0; i < o->first; i++)
		traffic_flow_note(flow, base + i, 0, 0, 0);
	for (size_t i = 0; i < SEQS_MAX && o->seqs[i] != END; i++)
		traffic_flow_note(flow, base + o->seqs[i], 0, 0, 0);
}

static void judge(const struct order *o, uint64_t base)
{
	static struct traffic_result result;
	struct traffic_tally tally = {};
	struct traffic_flow flow;
	struct traffic_evidence evidence = {
		.flows = 1,
		.size = 100,
		.sent = &o->sent,
		.judged = &flow,
		.tally = &tally,
		.worst = 1,
	};

	order_feed(o, base, &flow);
	traffic_result_make(&evidence, &result);
	cr_expect_eq(result.lost, o->lost, "%s: %lu lost", o->what, result.lost);
	cr_expect_eq(result.duplicated, o->duplicated, "%s: %lu twice", o->what, result.duplicated);
	cr_expect_eq(result.reordered, o->reordered, "%s: %lu late", o->what, result.reordered);
	cr_expect_eq(result.displacement_max, o->displacement_max, "%s: by %lu", o->what,
		     result.displacement_max);
	cr_expect_eq(result.beyond, o->beyond, "%s: %lu beyond", o->what, result.beyond);
	cr_expect_eq(result.unsent, 0, "%s: %lu unsent", o->what, result.unsent);
	cr_expect_eq(flow.missing + (o->sent - (flow.next - base)), o->lost,
		     "%s: the two counts of the lost differ", o->what);
}

Test(traffic, orders)
{
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++)
		judge(&orders[i], 0);
}

/* A flow that has sent 4 billion packets is judged as one that has sent none. */
Test(traffic, orders_beyond_32_bits)
{
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++)
		judge(&orders[i], BIG - 1001);
}

/* Any shuffle within the window is told apart exactly from loss and copies. */
Test(traffic, random_disorder_is_counted_exactly)
{
	const uint64_t rounds = 2000;
	struct random random = { .state = 1 };

	for (uint64_t round = 0; round < rounds; round++) {
		struct order o = { "random", PACKETS, 0, { END }, 0, 0, 0, 0, 0 };
		uint64_t seqs[2 * PACKETS], n = 0, highest = 0;
		bool seen[PACKETS] = {};
		struct traffic_flow flow = {};

		for (uint64_t i = 0; i < PACKETS; i++) {
			unsigned int what = random_below(&random, 10);

			if (what > 1) /* 0 and 1: lost, or sent again further on */
				seqs[n++] = i;
			if (what == 1 || what == 2)
				seqs[n++] = random_u64(&random) % (i + 1);
		}
		for (uint64_t i = n; i-- > 1;) { /* each moves by three places at most */
			uint64_t k = i - MIN(i, random_u64(&random) % 4), swap = seqs[i];

			seqs[i] = seqs[k];
			seqs[k] = swap;
		}
		for (uint64_t i = 0; i < n; i++) {
			traffic_flow_note(&flow, seqs[i], 0, 0, 0);
			o.duplicated += seen[seqs[i]];
			o.reordered += !seen[seqs[i]] && i && seqs[i] < highest;
			highest = MAX(highest, seqs[i]);
			seen[seqs[i]] = true;
		}
		for (uint64_t i = 0; i < PACKETS; i++)
			o.lost += !seen[i];
		cr_assert_eq(flow.duplicates, o.duplicated);
		cr_assert_eq(flow.reordered, o.reordered);
		cr_assert_eq(flow.missing + (n ? PACKETS - flow.next : PACKETS), o.lost);
	}
}

Test(traffic, one_flow_cannot_hide_another)
{
	/* one flow got a packet that it never sent, the other lost one: sums alone would agree */
	uint64_t sent[2] = { 3, 3 };
	struct traffic_flow flows[2] = { { .received = 4, .next = 4 },
					 { .received = 2, .next = 3 } };
	struct traffic_tally tally = { .packets = 6 };
	struct traffic_evidence evidence = {
		.flows = 2,
		.size = 100,
		.sent = sent,
		.judged = flows,
		.tally = &tally,
		.worst = 2,
	};
	static struct traffic_result result;

	traffic_result_make(&evidence, &result);
	cr_expect_eq(result.sent, 6);
	cr_expect_eq(result.received, 6);
	cr_expect_eq(result.lost, 1);
	cr_expect_eq(result.unsent, 1);
	cr_expect_eq(result.flows_hit, 2);
	cr_expect_eq(result.sent_bytes, 600);
}

Test(traffic, worst_flows_come_first)
{
	uint64_t sent[5] = { 10, 10, 10, 10, 10 };
	struct traffic_flow flows[5];
	struct traffic_tally tally = {};
	struct traffic_evidence evidence = {
		.flows = 5,
		.size = 100,
		.sent = sent,
		.judged = flows,
		.tally = &tally,
		.worst = 4,
	};
	static const uint32_t wanted[] = { 2, 4, 1, 3 };
	static struct traffic_result result;

	for (int i = 0; i < 5; i++)
		flows[i] = (struct traffic_flow){ .received = 10, .next = 10 };
	flows[2].received = 7; /* three lost */
	flows[4].reordered = 2;
	flows[1].latency_max_ns = 50; /* slow, but unhurt */
	flows[3].latency_max_ns = 40;
	traffic_result_make(&evidence, &result);
	cr_assert_eq(result.n_worst, ARRAY_SIZE(wanted));
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		cr_expect_eq(result.worst[i].flow, wanted[i], "place %zu: flow %u", i,
			     result.worst[i].flow);
}

/* What a full socket dropped is the judge's fault: not a loss, and not a pass either. */
Test(traffic, overload_is_no_loss_and_no_pass)
{
	static struct traffic_run run;
	uint64_t sent = 10;
	struct traffic_flow flow = { .received = 6, .next = 10, .missing = 4 };
	struct traffic_tally tally = {};
	struct traffic_evidence evidence = {
		.flows = 1,
		.size = 100,
		.sent = &sent,
		.judged = &flow,
		.tally = &tally,
		.overload = 3,
		.worst = 1,
	};

	traffic_result_make(&evidence, &run.results[0]);
	run.judged[0] = true;
	cr_expect_eq(run.results[0].overload, 3);
	cr_expect_eq(run.results[0].lost, 1);
	run.settings.tolerance.lost = 1;
	cr_expect_not(traffic_run_passed(&run));
	cr_expect_str_eq(traffic_verdict(&run), "inconclusive");
}

Test(traffic, each_defect_fails_the_run)
{
	static struct traffic_run run;
	uint64_t *const defects[] = {
		&run.results[0].lost,
		&run.results[1].lost,
		&run.results[0].duplicated,
		&run.results[1].reordered,
		&run.results[0].corrupted,
		&run.results[0].unsent,
		&run.tcp_results[0].counts[TRAFFIC_LONG].reset,
		&run.tcp_results[1].counts[TRAFFIC_SHORT].refused,
		&run.tcp_results[1].counts[TRAFFIC_LONG].corrupted,
		&run.tcp_results[0].counts[TRAFFIC_SHORT].timed_out,
		&run.tcp_results[0].counts[TRAFFIC_LONG].unfinished,
		&run.tcp_results[0].counts[TRAFFIC_LONG].truncated,
	};

	run.judged[0] = run.judged[1] = true;
	run.results[0].sent = run.results[1].sent = 100;
	cr_expect(traffic_run_passed(&run));
	for (size_t i = 0; i < ARRAY_SIZE(defects); i++) {
		*defects[i] = 1;
		cr_expect_not(traffic_run_passed(&run), "defect %zu passes", i);
		cr_expect_str_eq(traffic_verdict(&run), "failed");
		*defects[i] = 0;
	}
	run.results[0].lost = 5;
	run.settings.tolerance.lost = 4;
	cr_expect_not(traffic_run_passed(&run));
	run.settings.tolerance.lost = 5;
	cr_expect(traffic_run_passed(&run));
}

/* A run in which nothing happened must not look like one in which all went well. */
Test(traffic, nothing_sent_is_no_pass)
{
	static struct traffic_run run;

	cr_expect_str_eq(traffic_verdict(&run), "unjudged");
	run.judged[0] = true;
	cr_expect_not(traffic_run_passed(&run));
	cr_expect_str_eq(traffic_verdict(&run), "inconclusive");
	run.results[0].sent = 1;
	cr_expect(traffic_run_passed(&run));
	run.judged[1] = true; /* the answers never began */
	cr_expect_str_eq(traffic_verdict(&run), "inconclusive");
	run.results[1].sent = 1;
	run.tcp_judged[0] = true;
	cr_expect_str_eq(traffic_verdict(&run), "inconclusive");
	run.tcp_results[0].counts[TRAFFIC_SHORT].started = 1;
	cr_expect_str_eq(traffic_verdict(&run), "passed");
}

/* A percentile is never below the true one, and at most 1/32 above it. */
Test(traffic, percentiles)
{
	static struct traffic_tally tally;

	cr_expect_eq(traffic_percentile(&tally, 500), 0);
	for (uint64_t ns = 1; ns <= 100000; ns++) {
		tally.latency[traffic_bucket(ns)]++;
		tally.latency_max_ns = ns;
	}
	for (unsigned int per_mille = 1; per_mille <= 1000; per_mille++) {
		uint64_t true_ns = per_mille * 100, got = traffic_percentile(&tally, per_mille);

		cr_expect_geq(got, true_ns, "p%u: %lu", per_mille, got);
		cr_expect_leq(got, true_ns + true_ns / 32, "p%u: %lu", per_mille, got);
	}
}

Test(traffic, buckets_rise_and_are_bounded)
{
	uint32_t last = 0;

	for (uint64_t ns = 1; ns < UINT64_MAX / 3; ns += ns / 40 + 1) {
		uint32_t bucket = traffic_bucket(ns);

		cr_assert_geq(bucket, last);
		cr_assert_lt(bucket, TRAFFIC_BUCKETS);
		last = bucket;
	}
	cr_expect_eq(traffic_bucket(UINT64_MAX), TRAFFIC_BUCKETS - 1);
}

/* Every bit of a payload is watched: those of its header, or of the rest. */
Test(traffic, each_flipped_bit_shows)
{
	struct traffic_stamp stamp = { 7, 12345, 1, 1ull << 40, 99 }, got;
	uint8_t payload[75];

	traffic_payload_make(payload, sizeof(payload), &stamp);
	cr_assert_eq(traffic_payload_read(payload, sizeof(payload), &got), 0);
	cr_expect_eq(got.run, stamp.run);
	cr_expect_eq(got.flow, stamp.flow);
	cr_expect_eq(got.direction, stamp.direction);
	cr_expect_eq(got.seq, stamp.seq);
	cr_expect_eq(got.sent_ns, stamp.sent_ns);
	for (size_t bit = 0; bit < 8 * sizeof(payload); bit++) {
		int r;

		payload[bit / 8] ^= 1u << bit % 8;
		r = traffic_payload_read(payload, sizeof(payload), &got);
		cr_expect_eq(r,
			     bit < 64  ? -ENOMSG :
			     bit < 320 ? -EBADMSG :
					 -EILSEQ,
			     "bit %zu: %d", bit, r);
		payload[bit / 8] ^= 1u << bit % 8;
	}
	for (size_t len = 0; len < sizeof(payload); len++)
		cr_expect_lt(traffic_payload_read(payload, len, &got), 0, "cut at %zu", len);
}

/* ---- whose turn it is ------------------------------------------------------------------------ */

/* Takes @rounds turns after all flows were opened; what each flow got goes to @ret_sent. */
static void turns_take(const struct traffic_config *config, uint32_t rounds, uint32_t *ret_sent)
{
	struct traffic_turn turn = {};

	for (uint32_t i = 0; i < config->flows; i++)
		cr_assert_eq(traffic_turn_take(&turn, config, 77), i, "each is opened first");
	memset(ret_sent, 0, config->flows * sizeof(*ret_sent));
	for (uint32_t i = 0; i < rounds; i++) {
		uint32_t flow = traffic_turn_take(&turn, config, i * 2654435761u);

		cr_assert_lt(flow, config->flows);
		ret_sent[flow]++;
	}
}

Test(traffic, turns_are_even)
{
	static const struct traffic_config config = { .flows = 7, .elephants_percent = 50 };
	uint32_t sent[7];

	turns_take(&config, 7000, sent);
	for (uint32_t i = 0; i < 7; i++)
		cr_expect_eq(sent[i], 1000);
}

Test(traffic, elephants_have_their_share)
{
	static const struct traffic_config config = { .flows = 10,
						      .elephants = 2,
						      .elephants_percent = 60 };
	uint32_t sent[10];

	turns_take(&config, 10000, sent);
	for (uint32_t i = 0; i < 10; i++)
		cr_expect_eq(sent[i], i < 2 ? 3000 : 500, "flow %u: %u", i, sent[i]);
}

Test(traffic, elephants_have_their_share_at_random)
{
	static const struct traffic_config config = {
		.flows = 10, .order = TRAFFIC_RANDOM, .elephants = 1, .elephants_percent = 25
	};
	uint32_t sent[10];

	turns_take(&config, 10000, sent);
	cr_expect_eq(sent[0], 2500);
	for (uint32_t i = 1; i < 10; i++)
		cr_expect(sent[i] > 600 && sent[i] < 1100, "flow %u: %u", i, sent[i]);
}
