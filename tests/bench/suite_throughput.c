/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * suite_throughput.c - packets through client -> gateway -> NF host -> gateway -> server.
 *
 * The sender keeps at most a window of packets on the way and sends as fast as they arrive: it
 * finds the highest rate at which the chain loses none by itself. A sample that lost one all the
 * same has failed. All of it shares this machine's cores: sender, five hops, and the judge.
 *
 * What a move takes from others: flows over IPv6 go to and fro, idle, while those over IPv4 are
 * measured, which stay where they are.
 */
#include <errno.h>
#include <string.h>

#include "lib/json.h"
#include "tests/bench/bare.h"
#include "tests/bench/rig.h"

#define FLOWS	      1000
#define FLOWS_MANY    100000 /* their state is in no cache */
#define FLOWS_MOVED   100000
#define SECONDS	      2
#define LATENCY_RATE  50000 /* far from what the chain can take: a queue would hide all else */
#define LATENCY_FLOWS 1000

/* ---- one sample ------------------------------------------------------------------------------ */

static const json_t *forward(const json_t *report)
{
	return json_object_get(json_object_get(report, "udp"), "forward");
}

static double rate_of(const json_t *report)
{
	return json_number_value(json_object_get(forward(report), "rate"));
}

static double p99_of(const json_t *report)
{
	return json_number_value(
		json_object_get(json_object_get(forward(report), "latency_us"), "p99"));
}

/* Traffic, and a sample of `read` from its report, if that is good. */
static void sample(struct bench *bench, struct figure *figure, const struct rig_traffic_spec *spec,
		   double (*read)(const json_t *report))
{
	_cleanup_json_ json_t *report = NULL;
	struct ff_error err = {};

	bench_progress(bench, "%s: %u of %d", spec->rate ? "latency" : "rate", figure_count(figure),
		       bench_runs(bench));
	if (rig_traffic_run(spec, &report, &err))
		figure_failed(figure, "%s", err.message);
	else
		figure_sample(figure, read(report));
}

/* ---- the chain ------------------------------------------------------------------------------- */

static void chain_samples(struct bench *bench, struct figure *few, struct figure *many)
{
	const struct rig_traffic_spec few_spec = { .flows = FLOWS, .seconds = SECONDS };
	const struct rig_traffic_spec many_spec = { .flows = FLOWS_MANY, .seconds = SECONDS };

	for (int i = 0; i < bench_runs(bench); i++) {
		sample(bench, few, &few_spec, rate_of);
		sample(bench, many, &many_spec, rate_of);
	}
}

static int bare_run(struct bench *bench, struct figure *few, struct figure *many,
		    struct ff_error *err)
{
	struct bare_bpf *bare = NULL;
	struct rig rig;
	int r;

	bench_progress(bench, "bare redirects");
	r = rig_up(&rig, 1, false, err);
	if (!r)
		r = bare_attach(&rig.lab, &bare, err);
	if (!r)
		chain_samples(bench, few, many);
	bare_free(bare);
	rig_down(&rig);
	return r;
}

static int chain_run(struct bench *bench, struct figure *few, struct figure *many,
		     struct ff_error *err)
{
	struct rig rig;
	int r;

	bench_progress(bench, "lab");
	r = rig_up(&rig, 1, true, err);
	if (!r)
		chain_samples(bench, few, many);
	rig_down(&rig);
	return r;
}

/* ---- beside a move --------------------------------------------------------------------------- */

struct beside {
	struct rig rig;
	unsigned int moves; /* so far */
};

static int move_once(struct beside *b, struct ff_error *err)
{
	_cleanup_json_ json_t *options = json_pack("{ss}", "filter", "ip6 and udp");
	_cleanup_json_ json_t *operation = NULL;
	bool back = b->moves % 2;

	b->moves++;
	return rig_move(&b->rig, back ? "fw-2" : "fw-1", back ? "fw-1" : "fw-2", options,
			&operation, err);
}

/* As sample(), with one move after the other meanwhile. */
static int sample_moving(struct bench *bench, struct beside *b, struct figure *figure,
			 const struct rig_traffic_spec *spec, double (*read)(const json_t *report),
			 struct ff_error *err)
{
	_cleanup_json_ json_t *report = NULL;
	_cleanup_free_ char *wrong = NULL;
	struct rig_traffic traffic;
	int r, ended;

	bench_progress(bench, "%s beside moves: %u of %d", spec->rate ? "latency" : "rate",
		       figure_count(figure), bench_runs(bench));
	r = rig_flows_begin(FLOWS_MOVED, 0, true, err); /* again: idle ones expire */
	if (!r)
		r = rig_traffic_start(&traffic, spec, err);
	if (r)
		return r;
	while (!r && rig_traffic_running(&traffic))
		r = move_once(b, err);
	ended = rig_traffic_end(&traffic, &report, &wrong, r ? NULL : err);
	if (r || ended)
		return r ?: ended;
	if (wrong)
		figure_failed(figure, "%s", wrong);
	else
		figure_sample(figure, read(report));
	return 0;
}

static int beside_samples(struct bench *bench, struct beside *b, struct figure *rates[2],
			  struct figure *latencies[2], struct ff_error *err)
{
	const struct rig_traffic_spec rate = { .flows = FLOWS, .seconds = SECONDS };
	const struct rig_traffic_spec latency = { .flows = LATENCY_FLOWS,
						  .rate = LATENCY_RATE,
						  .seconds = SECONDS };
	int r = 0;

	for (int i = 0; i < bench_runs(bench) && !r; i++) {
		sample(bench, rates[0], &rate, rate_of);
		r = sample_moving(bench, b, rates[1], &rate, rate_of, err);
		sample(bench, latencies[0], &latency, p99_of);
		if (!r)
			r = sample_moving(bench, b, latencies[1], &latency, p99_of, err);
	}
	return r;
}

static int beside_run(struct bench *bench, struct figure *rates[2], struct figure *latencies[2],
		      struct ff_error *err)
{
	struct beside b = {};
	int r;

	bench_progress(bench, "lab");
	r = rig_up(&b.rig, 2, true, err);
	if (!r)
		r = rig_flows_begin(FLOWS_MOVED, 0, true, err);
	if (!r)
		r = move_once(&b, err); /* all to fw-2 */
	if (!r)
		r = beside_samples(bench, &b, rates, latencies, err);
	rig_down(&b.rig);
	return r;
}

/* ---- the suite ------------------------------------------------------------------------------- */

static int throughput_run(struct bench *bench, struct ff_error *err)
{
	struct figure *bare[2], *chain[2], *rates[2], *latencies[2];
	int r;

	bare[0] = bench_figure(bench, "throughput.bare.flows1000", "packets/s",
			       "bare redirects, 1 k flows");
	chain[0] = bench_figure(bench, "throughput.chain.flows1000", "packets/s",
				"through the firewall, 1 k flows");
	bare[1] = bench_figure(bench, "throughput.bare.flows100000", "packets/s",
			       "bare redirects, 100 k flows");
	chain[1] = bench_figure(bench, "throughput.chain.flows100000", "packets/s",
				"through the firewall, 100 k flows");
	rates[0] = bench_figure(bench, "throughput.beside.rate.still", "packets/s",
				"flows not moved, no move");
	rates[1] = bench_figure(bench, "throughput.beside.rate.moving", "packets/s",
				"flows not moved, during moves of others");
	latencies[0] = bench_figure(bench, "throughput.beside.p99.still", "us",
				    "p99 latency at 50,000/s, no move");
	latencies[1] = bench_figure(bench, "throughput.beside.p99.moving", "us",
				    "p99 latency at 50,000/s, during moves of others");
	figure_beside(chain[0], bare[0]);
	figure_beside(chain[1], bare[1]);
	figure_beside(rates[1], rates[0]);
	figure_beside(latencies[1], latencies[0]);
	r = bare_run(bench, bare[0], bare[1], err);
	if (!r)
		r = chain_run(bench, chain[0], chain[1], err);
	return r ?: beside_run(bench, rates, latencies, err);
}

const struct bench_suite suite_throughput = {
	.name = "throughput",
	.about = "packets of 128 bytes through client, gateway, NF host, gateway and server",
	.run = throughput_run,
};
