/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * suite_state.c - how fast flow state goes from one host to another: a million idle flows of the
 * firewall, between the agents of a lab, by moves through the orchestrator. Beside it a serial
 * floor (state_floor.h) over as many entries of the same size, and what the parts of the way cost.
 *
 * The flows are put into the first instance's maps by state_restore(), as if a stream had brought
 * them: so that none expires meanwhile. The rate is that of the pre-copy, which brings all the
 * state across: to the point where the target has restored it and the source knows that. The first
 * move, of none, brings all slots together.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "tests/bench/idle_flows.h"
#include "tests/bench/rig.h"
#include "tests/bench/state_floor.h"

#define FLOWS	 1000000u
#define SAMPLE	 100000u /* records for the parts of the way */
#define PART	 "0-40"	 /* 1 % of 4096 slots */
#define PART_MAX 5.0	 /* percent of the time of all */
#define STRAYS	 1000u	 /* other flows at most: the lab's first pings */

struct figures {
	struct figure *rate, *floor, *like, *part, *all_ms, *part_ms, *dump, *codec, *restore;
};

struct state_rig {
	struct bench *bench;
	struct figures figures;
	struct rig lab;
	struct instance *instances[2];	  /* those of the lab, taken up a second time */
	struct state_floor *floor, *like; /* the second with maps as the instances have them */
	int holder;			  /* which of them has the flows */
};

static int instances_take(struct state_rig *rig, struct ff_error *err)
{
	static const char *const hosts[] = { "nf1", "nf2" }, *const names[] = { "fw-1", "fw-2" };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(hosts) && !r; i++) {
		const struct lab_host *host = lab_host_find(&rig->lab.lab, hosts[i]);

		r = host ? idle_instance_take(host, names[i], &rig->instances[i], err) :
			   error_set(err, ENOENT, FF_CODE_INTERNAL, NULL, "no host %s", hosts[i]);
	}
	return r;
}

/* ---- the parts of the way -------------------------------------------------------------------- */

static bool all_there(uint64_t flows)
{
	return flows >= FLOWS && flows <= FLOWS + STRAYS;
}

static double rate(uint64_t flows, uint64_t ns)
{
	return (double)flows * NSEC_PER_SEC / (double)MAX(ns, (uint64_t)1);
}

struct codec {
	struct stream_encoder encoder;
	struct stream_decoder *decoder;
	uint64_t decoded;
	uint8_t buf[STREAM_BUFFER_MIN];
};

static int on_header(void *ctx, const struct stream_header *header, struct ff_error *err)
{
	(void)ctx, (void)header, (void)err;
	return 0;
}

static int on_block(void *ctx, const struct stream_record *records, size_t count,
		    struct ff_error *err)
{
	(void)records, (void)err;
	((struct codec *)ctx)->decoded += count;
	return 0;
}

/* Both ends of a stream, without the network between them. */
static int codec_run(const struct state *state, const struct idle_batch *batch, struct codec *codec,
		     struct ff_error *err)
{
	struct stream_encoder *e = &codec->encoder;
	struct stream_header header;
	int r;

	state_header_fill(state, clock_ns(), &header);
	strcpy(header.op, "bench");
	r = stream_encoder_begin(e, &header, codec->buf, sizeof(codec->buf), err);
	if (!r)
		r = stream_decoder_feed(codec->decoder, codec->buf, e->len, err);
	for (uint32_t i = 0; i < SAMPLE && !r;) {
		const struct stream_record *record = &batch->records[i];

		if (!stream_encoder_add(e, record->kind, record->key, record->value)) {
			i++;
			continue;
		}
		stream_encoder_flush(e);
		r = stream_decoder_feed(codec->decoder, codec->buf, e->len, err);
	}
	stream_encoder_end(e);
	if (!r)
		r = stream_decoder_feed(codec->decoder, codec->buf, e->len, err);
	return r ? r : stream_decoder_finish(codec->decoder, err);
}

static int codec_sample(struct state_rig *rig, struct ff_error *err)
{
	const struct state *state = &rig->instances[0]->state;
	_cleanup_free_ struct codec *codec = calloc(1, sizeof(*codec));
	const struct stream_sink sink = { on_header, on_block, codec };
	_cleanup_(idle_batch_done) struct idle_batch batch = {};
	uint64_t begun;
	int r;

	if (!codec || idle_batch_make(&batch, 0, SAMPLE, state->schema) ||
	    stream_decoder_new(&sink, &codec->decoder))
		return error_nomem(err);
	begun = clock_ns();
	r = codec_run(state, &batch, codec, err);
	if (!r && codec->decoded != SAMPLE)
		r = error_set(err, EIO, FF_CODE_INTERNAL, NULL, "%" PRIu64 " of %u came out",
			      codec->decoded, SAMPLE);
	if (!r)
		figure_sample(rig->figures.codec, rate(SAMPLE, clock_ns() - begun));
	stream_decoder_free(codec->decoder);
	return r;
}

static int visit(void *ctx, const struct ff_flow_key *key, const void *value)
{
	(void)key, (void)value;
	++*(uint64_t *)ctx;
	return 0;
}

static int dump_sample(struct state_rig *rig, struct ff_error *err)
{
	uint64_t begun = clock_ns(), flows = 0;
	int r = state_dump(&rig->instances[rig->holder]->state, NULL, visit, &flows, NULL, err);

	if (!r && !all_there(flows))
		r = error_set(err, EIO, FF_CODE_INTERNAL, NULL, "%" PRIu64 " of %u flows are there",
			      flows, FLOWS);
	if (!r)
		figure_sample(rig->figures.dump, rate(flows, clock_ns() - begun));
	return r;
}

/* Into the instance that is empty, and out of it again: no packet looks there. */
static int restore_sample(struct state_rig *rig, struct ff_error *err)
{
	struct state *state = &rig->instances[!rig->holder]->state;
	struct slotset all = {};
	uint64_t ns, deleted;
	int r = idle_flows_put(rig->instances[!rig->holder], SAMPLE, &ns, err);

	slotset_set_range(&all, 0, state->slot_mask);
	if (!r)
		r = state_forget_slots(state, &all, &deleted, err);
	if (!r && (deleted < SAMPLE || deleted > SAMPLE + STRAYS))
		r = error_set(err, EIO, FF_CODE_INTERNAL, NULL, "%" PRIu64 " of %u were restored",
			      deleted, SAMPLE);
	if (!r)
		figure_sample(rig->figures.restore, rate(SAMPLE, ns));
	return r;
}

static int floor_sample(struct state_floor *floor, struct figure *figure, struct ff_error *err)
{
	uint64_t ns;
	int r = state_floor_run(floor, &ns, err);

	if (!r)
		figure_sample(figure, rate(FLOWS, ns));
	return r;
}

/* ---- moves ----------------------------------------------------------------------------------- */

/* From the instance that has the flows to the other one: all, or the slots that are given. */
static int flows_move(struct state_rig *rig, const char *slots, uint64_t *ret_flows,
		      double *ret_precopy_ms, double *ret_total_ms, struct ff_error *err)
{
	_cleanup_json_ json_t *options = slots ? json_pack("{ss}", "slots", slots) : NULL;
	_cleanup_json_ json_t *operation = NULL;
	int r = rig_move(&rig->lab, rig->holder ? "fw-2" : "fw-1", rig->holder ? "fw-1" : "fw-2",
			 options, &operation, err);
	const json_t *phases = json_object_get(operation, "phases_us");

	if (r)
		return r;
	*ret_flows = (uint64_t)json_integer_value(json_object_get(operation, "flows"));
	*ret_precopy_ms = json_number_value(json_object_get(phases, "precopy")) / 1000;
	*ret_total_ms = json_number_value(json_object_get(operation, "total_us")) / 1000;
	return 0;
}

/* One percent there, and the rest after it. */
static int parts_sample(struct state_rig *rig, double *ret_part_ms, struct ff_error *err)
{
	double all_ms, precopy_ms;
	uint64_t part, rest;
	int r = flows_move(rig, PART, &part, &precopy_ms, ret_part_ms, err);

	if (!r)
		r = flows_move(rig, NULL, &rest, &precopy_ms, &all_ms, err);
	if (r)
		return r;
	rig->holder = !rig->holder;
	if (!all_there(part + rest) || part < FLOWS / 110 || part > FLOWS / 90)
		return error_set(err, EIO, FF_CODE_INTERNAL, NULL,
				 "moved %" PRIu64 " and %" PRIu64 " flows of %u", part, rest,
				 FLOWS);
	figure_sample(rig->figures.part_ms, *ret_part_ms);
	return 0;
}

static int all_sample(struct state_rig *rig, double part_ms, struct ff_error *err)
{
	const struct figures *f = &rig->figures;
	double all_ms, precopy_ms;
	uint64_t all;
	int r = flows_move(rig, NULL, &all, &precopy_ms, &all_ms, err);

	if (r)
		return r;
	rig->holder = !rig->holder;
	if (!all_there(all))
		return error_set(err, EIO, FF_CODE_INTERNAL, NULL, "moved %" PRIu64 " flows of %u",
				 all, FLOWS);
	figure_sample(f->rate, rate(all, (uint64_t)(precopy_ms * NSEC_PER_MSEC)));
	figure_sample(f->all_ms, all_ms);
	figure_sample(f->part, 100 * part_ms / all_ms);
	return 0;
}

/* ---- the suite ------------------------------------------------------------------------------- */

static void figures_begin(struct bench *bench, struct figures *f)
{
	f->floor = bench_figure(bench, "state.floor", "flows/s",
				"floor: batch lookup, then batch update, one thread");
	f->like = bench_figure(bench, "state.floor.like", "flows/s",
			       "the same with maps as instances have them");
	f->rate = bench_figure(bench, "state.rate", "flows/s",
			       "1 M idle flows, from one host to another");
	f->part = bench_figure(bench, "state.part", "percent",
			       "time to move 1 % of them, of the time to move all");
	f->all_ms = bench_figure(bench, "state.all", "ms", "to move all, in all");
	f->part_ms = bench_figure(bench, "state.one_percent", "ms", "to move 1 %, in all");
	f->dump = bench_figure(bench, "state.dump", "flows/s", "reading state from the maps");
	f->codec = bench_figure(bench, "state.codec", "flows/s",
				"encoding and decoding, checksums at both ends");
	f->restore = bench_figure(bench, "state.restore", "flows/s", "writing into the maps");
	figure_target(f->rate, BOUND_AT_LEAST, 1, f->floor);
	figure_target(f->part, BOUND_AT_MOST, PART_MAX, NULL);
	figure_beside(f->like, f->floor);
	figure_beside(f->dump, f->floor);
	figure_beside(f->codec, f->floor);
	figure_beside(f->restore, f->floor);
}

static int floors_make(struct state_rig *rig, struct ff_error *err)
{
	const struct state *state = &rig->instances[0]->state;
	struct state_geometry geometry =
		state_geometry_of(state->slot_mask + 1, state->control->capacity);
	const struct state_floor_maps one = { 1, FLOWS, false };
	const struct state_floor_maps like = { geometry.groups, geometry.group_entries, true };
	int r = state_floor_new(FLOWS, state->schema->value_size, &one, &rig->floor, err);

	return r ? r : state_floor_new(FLOWS, state->schema->value_size, &like, &rig->like, err);
}

static int rig_fill(struct state_rig *rig, struct ff_error *err)
{
	double precopy_ms, total_ms;
	uint64_t flows, ns;
	int r;

	rig->holder = 1; /* what it has goes to the other one */
	r = flows_move(rig, NULL, &flows, &precopy_ms, &total_ms, err);
	rig->holder = 0;
	if (!r)
		r = instances_take(rig, err);
	if (!r)
		r = idle_flows_put(rig->instances[0], FLOWS, &ns, err);
	return r ? r : floors_make(rig, err);
}

/*
 * The kernel frees the entries of a move for a while after it: what reads only comes between the
 * moves, and the floor isn't behind one that has emptied maps of its own kind.
 */
static int round_sample(struct state_rig *rig, struct ff_error *err)
{
	double part_ms = 0;
	int r = floor_sample(rig->floor, rig->figures.floor, err);

	if (!r)
		r = parts_sample(rig, &part_ms, err);
	if (!r)
		r = dump_sample(rig, err);
	if (!r)
		r = codec_sample(rig, err);
	if (!r)
		r = all_sample(rig, part_ms, err);
	if (!r)
		r = restore_sample(rig, err);
	return r ? r : floor_sample(rig->like, rig->figures.like, err);
}

static int state_run(struct bench *bench, struct ff_error *err)
{
	struct state_rig rig = { .bench = bench };
	int r;

	figures_begin(bench, &rig.figures);
	bench_progress(bench, "lab");
	r = rig_up(&rig.lab, 2, true, err);
	if (!r) {
		bench_progress(bench, "flows");
		r = rig_fill(&rig, err);
	}
	for (int run = 0; run < bench_runs(bench) && !r; run++) {
		bench_progress(bench, "round %d of %d", run + 1, bench_runs(bench));
		r = round_sample(&rig, err);
	}
	state_floor_free(rig.floor);
	state_floor_free(rig.like);
	instance_free(rig.instances[0]);
	instance_free(rig.instances[1]);
	rig_down(&rig.lab);
	return r;
}

const struct bench_suite suite_state = {
	.name = "state",
	.about = "how fast the state of a million idle flows goes to another host",
	.run = state_run,
};
