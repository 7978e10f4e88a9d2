/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * suite_move.c - how long moved flows wait, and what the rest of a move lasts.
 *
 * All flows go to and fro between two instances on two hosts, while each of them sends. A run of
 * traffic is for one size and one kind of move, and its verdict is for all figures taken under it.
 * The first move is no sample: it brings together what the service has spread over its instances.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "tests/bench/rig.h"

#define RATE		  200000
#define FREEZE_TARGET_MS  5
#define CLASSIC_FLOWS	  500
#define CLASSIC_RATE	  2500
#define CLASSIC_TARGET_MS 5	/* OpenNF (SIGCOMM 2014, section 8.1.1) takes 215 ms */
#define MOVES_PER_RUN	  4	/* of moves with pre-copy: 20 samples with 5 runs */
#define PARK_LIMIT_MAX	  65536 /* what the API allows: stop-and-copy parks a lot */
#define OPEN_MS		  30000 /* until all flows have begun */
#define SETTLE_MS	  200	/* between moves: none begins in the wake of another */
/*
 * A stop-and-copy move parks for some hundred milliseconds, and on this one machine the sender
 * falls behind meanwhile: it makes up for it afterwards, before the next move.
 */
#define STOP_DEBT_MS   2000
#define STOP_SETTLE_MS 1000

static const char *const phases[] = { "prepare", "precopy", "switch", "fence",
				      "final",	 "release", "clean" };

/* One kind of move under one traffic, and its figures. */
struct series {
	const char *name; /* the beginning of their ids, and what it is called */
	const char *called;
	uint64_t flows, rate;
	unsigned int debt_ms, settle_ms;
	int moves;
	json_t *options;
	struct figure *freeze, *total, *parked, *phases[ARRAY_SIZE(phases)];
};

/* ---- figures --------------------------------------------------------------------------------- */

static struct figure *figure_new(struct bench *bench, const struct series *s, const char *id,
				 const char *unit, const char *what)
{
	char full_id[64], full_what[96], flows[32];

	snprintf(full_id, sizeof(full_id), "%s.%s", s->name, id);
	if (s->flows < 1000)
		snprintf(flows, sizeof(flows), "%" PRIu64, s->flows);
	else
		snprintf(flows, sizeof(flows), "%" PRIu64 " k", s->flows / 1000);
	snprintf(full_what, sizeof(full_what), "%s, %s flows: %s", s->called, flows, what);
	return bench_figure(bench, full_id, unit, full_what);
}

static void phases_new(struct bench *bench, struct series *s)
{
	char id[32], what[32];

	for (size_t i = 0; i < ARRAY_SIZE(phases); i++) {
		snprintf(id, sizeof(id), "phase.%s", phases[i]);
		snprintf(what, sizeof(what), "phase %s", phases[i]);
		s->phases[i] = figure_new(bench, s, id, "ms", what);
	}
}

static void series_failed(struct series *s, const char *why)
{
	struct figure *const figures[] = { s->freeze, s->total, s->parked };

	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		if (figures[i])
			figure_failed(figures[i], "%s", why);
	for (size_t i = 0; i < ARRAY_SIZE(phases); i++)
		if (s->phases[i])
			figure_failed(s->phases[i], "%s", why);
}

static double ms(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key)) / 1000;
}

static void operation_sample(struct series *s, const json_t *operation)
{
	const json_t *times = json_object_get(operation, "phases_us");

	if (s->freeze)
		figure_sample(s->freeze, ms(operation, "freeze_us"));
	figure_sample(s->total, ms(operation, "total_us"));
	if (s->parked)
		figure_sample(s->parked,
			      json_number_value(json_object_get(operation, "packets_parked")));
	for (size_t i = 0; i < ARRAY_SIZE(phases); i++)
		if (s->phases[i] && json_is_number(json_object_get(times, phases[i])))
			figure_sample(s->phases[i], ms(times, phases[i]));
}

/* ---- moves ----------------------------------------------------------------------------------- */

static int move_once(struct rig *rig, struct series *s, int turn, struct ff_error *err)
{
	_cleanup_json_ json_t *operation = NULL;
	uint64_t flows = 0;
	int r;

	r = rig_move(rig, turn % 2 ? "fw-2" : "fw-1", turn % 2 ? "fw-1" : "fw-2", s->options,
		     &operation, err);
	if (r)
		return r;
	json_opt_uint(operation, "flows", &flows, NULL);
	if (turn && flows < s->flows)
		return error_set(err, EPROTO, FF_CODE_INTERNAL, NULL,
				 "a move took %" PRIu64 " flows of %" PRIu64, flows, s->flows);
	if (turn)
		operation_sample(s, operation);
	return 0;
}

static int moves_make(struct bench *bench, struct rig *rig, struct series *s, struct ff_error *err)
{
	int r;

	bench_progress(bench, "%s of %" PRIu64 " flows: they begin", s->called, s->flows);
	r = rig_flows_wait(rig, s->flows, OPEN_MS, err);
	for (int turn = 0; turn <= s->moves && !r; turn++) {
		bench_progress(bench, "%s of %" PRIu64 " flows: %d of %d", s->called, s->flows,
			       turn, s->moves);
		r = move_once(rig, s, turn, err);
		clock_sleep_ns((s->settle_ms ?: SETTLE_MS) * NSEC_PER_MSEC);
	}
	return r;
}

/* A lab for each: what one series leaves behind must not be in another's figures. */
static void series_run(struct bench *bench, struct series *s)
{
	_cleanup_json_ json_t *report = NULL;
	_cleanup_free_ char *verdict = NULL;
	const struct rig_traffic_spec spec = {
		.flows = s->flows,
		.rate = s->rate,
		.debt_ms = s->debt_ms,
	};
	struct rig_traffic traffic = { .fd = -1 };
	struct ff_error err = {}, late = {};
	struct rig rig;
	int r;

	bench_progress(bench, "%s of %" PRIu64 " flows: lab", s->called, s->flows);
	r = rig_up(&rig, 2, true, &err);
	if (!r)
		r = rig_traffic_start(&traffic, &spec, &err);
	if (!r)
		r = moves_make(bench, &rig, s, &err);
	if (traffic.pid && rig_traffic_end(&traffic, &report, &verdict, &late) && !r) {
		r = late.err;
		err = late;
	}
	if (r)
		series_failed(s, err.message);
	if (verdict)
		series_failed(s, verdict);
	rig_down(&rig);
	json_decref(s->options);
}

/* ---- the series ------------------------------------------------------------------------------ */

/* Moves that keep order, and stop-and-copy moves of the same flows for the ratio. */
static void size_run(struct bench *bench, uint64_t flows, bool phases_too)
{
	char order_name[64], stop_name[64];
	struct series order = {
		.name = order_name,
		.called = "order-preserving",
		.flows = flows,
		.rate = RATE,
		.moves = MOVES_PER_RUN * bench_runs(bench),
	};
	struct series stop = {
		.name = stop_name,
		.called = "stop-and-copy",
		.flows = flows,
		.rate = RATE,
		.debt_ms = STOP_DEBT_MS,
		.settle_ms = STOP_SETTLE_MS,
		.moves = bench_runs(bench),
		.options = json_pack("{sb si}", "precopy", 0, "park_limit", PARK_LIMIT_MAX),
	};

	snprintf(order_name, sizeof(order_name), "move.order.flows%" PRIu64, flows);
	snprintf(stop_name, sizeof(stop_name), "move.stop_and_copy.flows%" PRIu64, flows);
	order.freeze = figure_new(bench, &order, "freeze", "ms", "freeze");
	stop.freeze = figure_new(bench, &stop, "freeze", "ms", "freeze");
	order.total = figure_new(bench, &order, "total", "ms", "in all");
	stop.total = figure_new(bench, &stop, "total", "ms", "in all");
	if (phases_too) {
		figure_target(order.freeze, BOUND_AT_MOST, FREEZE_TARGET_MS, NULL);
		order.parked = figure_new(bench, &order, "parked", "packets", "parked");
		phases_new(bench, &order);
	}
	figure_beside(order.freeze, stop.freeze);
	series_run(bench, &order);
	series_run(bench, &stop);
}

static void classic_run(struct bench *bench)
{
	struct series classic = {
		.name = "move.classic",
		.called = "loss-free at 2,500/s",
		.flows = CLASSIC_FLOWS,
		.rate = CLASSIC_RATE,
		.moves = MOVES_PER_RUN * bench_runs(bench),
		.options = json_pack("{ss}", "guarantee", "loss-free"),
	};

	classic.total = figure_new(bench, &classic, "total", "ms", "in all");
	figure_target(classic.total, BOUND_AT_MOST, CLASSIC_TARGET_MS, NULL);
	phases_new(bench, &classic);
	series_run(bench, &classic);
}

static int move_run(struct bench *bench, struct ff_error *err)
{
	(void)err;
	size_run(bench, 1000, false);
	size_run(bench, 10000, false);
	size_run(bench, 100000, true);
	classic_run(bench);
	return 0;
}

const struct bench_suite suite_move = {
	.name = "move",
	.about = "all flows between two hosts, under 200,000 packets/s over them",
	.run = move_run,
};
