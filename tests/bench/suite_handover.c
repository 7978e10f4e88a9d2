/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * suite_handover.c - a million idle flows go to and fro between two instances on one host: with the
 * maps that they are in, and copied, as a pin in the service makes the agent do it.
 */
#include <inttypes.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "tests/bench/idle_flows.h"
#include "tests/bench/rig.h"

#define FLOWS 1000000u

struct way {
	struct figure *total, *freeze;
};

static int fill(struct rig *rig, struct ff_error *err)
{
	const struct lab_host *host = lab_host_find(&rig->lab, "nf1");
	_cleanup_json_ json_t *operation = NULL;
	struct instance *instance = NULL;
	uint64_t ns;
	int r = rig_move(rig, "fw-2", "fw-1", NULL, &operation, err);

	if (!r)
		r = rig_instance_add(rig, "fw-1b", "nf1", err);
	if (!r)
		r = idle_instance_take(host, "fw-1", &instance, err);
	if (!r)
		r = idle_flows_put(instance, FLOWS, &ns, err);
	instance_free(instance);
	return r;
}

/* There and back: two samples. *copies: whether it has to be a copy, or mustn't. */
static int way_sample(struct rig *rig, const struct way *way, bool copies, struct ff_error *err)
{
	static const char *const ends[] = { "fw-1", "fw-1b", "fw-1" };
	int r = 0;

	for (size_t i = 0; i + 1 < ARRAY_SIZE(ends) && !r; i++) {
		_cleanup_json_ json_t *operation = NULL;
		uint64_t flows = 0, bytes = 0;

		r = rig_move(rig, ends[i], ends[i + 1], NULL, &operation, err);
		if (r)
			return r;
		json_opt_uint(operation, "flows", &flows, NULL);
		json_opt_uint(operation, "bytes", &bytes, NULL);
		if (flows + 1 < FLOWS || !bytes == copies)
			return error_set(err, EIO, FF_CODE_INTERNAL, NULL,
					 "moved %" PRIu64 " flows of %u in %" PRIu64 " bytes",
					 flows, FLOWS, bytes);
		figure_sample(way->total,
			      json_number_value(json_object_get(operation, "total_us")) / 1000);
		figure_sample(way->freeze,
			      json_number_value(json_object_get(operation, "freeze_us")) / 1000);
	}
	return r;
}

static int handover_run(struct bench *bench, struct ff_error *err)
{
	struct way handed = {
		bench_figure(bench, "handover.total", "ms", "1 M flows to an instance beside"),
		bench_figure(bench, "handover.freeze", "ms", "their freeze"),
	};
	struct way copied = {
		bench_figure(bench, "handover.copy.total", "ms", "the same, copied"),
		bench_figure(bench, "handover.copy.freeze", "ms", "their freeze, copied"),
	};
	_cleanup_json_ json_t *one = json_pack("{si}", "flows", 1), *operation = NULL;
	struct rig rig;
	int r;

	figure_beside(handed.total, copied.total);
	figure_beside(handed.freeze, copied.freeze);
	bench_progress(bench, "lab");
	r = rig_up(&rig, 2, true, err);
	if (!r)
		r = fill(&rig, err);
	for (int run = 0; run < bench_runs(bench) && !r; run++) {
		bench_progress(bench, "handed over: %d of %d", run + 1, bench_runs(bench));
		r = way_sample(&rig, &handed, false, err);
	}
	if (!r)
		r = rig_move(&rig, "fw-1", "fw-2", one, &operation, err);
	for (int run = 0; run < bench_runs(bench) && !r; run++) {
		bench_progress(bench, "copied: %d of %d", run + 1, bench_runs(bench));
		r = way_sample(&rig, &copied, true, err);
	}
	rig_down(&rig);
	return r;
}

const struct bench_suite suite_handover = {
	.name = "handover",
	.about =
		"a million idle flows from one instance to another on one host, with and without a copy",
	.run = handover_run,
};
