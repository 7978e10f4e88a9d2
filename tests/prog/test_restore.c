/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Restoring in two threads: what comes in many blocks is written whole and in order, and an error
 * of the writing thread reaches the receiving one.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "agent/restore.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "tests/prog/state_rig.h"

#define FOREVER	  (UINT64_MAX / 2)
#define VALUE_MAX 1024
#define BLOCK	  1500 /* records: not a multiple of what one program run takes */

TestSuite(restore, .init = state_rig_init, .timeout = 60);

/* A block of flows first .. first + count - 1, in memory that is used again for the next. */
struct source {
	struct instance *instance;
	struct state_origin origin;
	struct ff_flow_key keys[BLOCK];
	uint8_t values[BLOCK][VALUE_MAX];
	struct stream_record records[BLOCK];
};

static struct source *source_new(struct instance *instance)
{
	struct source *source = calloc(1, sizeof(*source));
	struct stream_header header;

	source->instance = instance;
	state_header_fill(&instance->state, clock_ns(), &header);
	cr_assert_eq(state_origin_new(&instance->state, &header, header.clock_ns, &source->origin,
				      NULL),
		     0);
	return source;
}

static void source_free(struct source *source)
{
	state_origin_done(&source->origin);
	free(source);
}

static void source_record(struct source *source, uint32_t i, uint32_t flow, enum stream_kind kind)
{
	struct ff_head *head = (struct ff_head *)source->values[i];

	source->keys[i] = state_rig_key(flow);
	memset(head, 0, VALUE_MAX);
	head->expires_ns = FOREVER;
	state_rig_set(source->instance, head, "packets", 0, flow + 1);
	state_rig_set(source->instance, head, "hits", 0, 2 * flow);
	source->records[i] = (struct stream_record){ kind, &source->keys[i],
						     kind == STREAM_UPSERT ? head : NULL };
}

static void source_make(struct source *source, uint32_t first, enum stream_kind kind)
{
	for (uint32_t i = 0; i < BLOCK; i++)
		source_record(source, i, first + i, kind);
}

Test(restore, many_blocks_come_whole_and_in_order)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct state_tally *tally = state_tally_new(a);
	struct source *source = source_new(a);
	struct restore *restore = restore_new(&a->state, &source->origin);
	struct state_counts counts;
	uint32_t blocks = STATE_RIG_MANY / BLOCK;

	for (uint32_t block = 0; block < blocks; block++) {
		/* deleted after it has come, and come again after it was deleted */
		source_make(source, block * BLOCK, STREAM_UPSERT);
		cr_assert_eq(restore_add(restore, source->records, BLOCK, NULL), 0);
		source_make(source, block * BLOCK, STREAM_DELETE);
		cr_assert_eq(restore_add(restore, source->records, BLOCK, NULL), 0);
		if (block % 2)
			continue;
		source_make(source, block * BLOCK, STREAM_UPSERT);
		cr_assert_eq(restore_add(restore, source->records, BLOCK, NULL), 0);
	}
	cr_assert_eq(restore_end(restore, &counts, NULL), 0);
	restore_free(restore);
	cr_assert_eq(counts.added, (uint64_t)(blocks + (blocks + 1) / 2) * BLOCK);
	cr_assert_eq(counts.deleted, (uint64_t)blocks * BLOCK);
	state_rig_agree(a, counts.added - counts.deleted);
	cr_assert_eq(state_dump(&a->state, NULL, state_tally_visit, tally, NULL, NULL), 0);
	cr_assert_eq(tally->wrong, 0);
	cr_assert_eq(state_tally_once(tally), counts.added - counts.deleted);
	source_free(source);
	free(tally);
	instance_free(a);
}

/* The sender is told soon, not when it has sent all. */
Test(restore, full_instance_ends_it)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct source *source = source_new(a);
	struct restore *restore = restore_new(&a->state, &source->origin);
	struct state_counts counts;
	struct ff_error err = { 0 };
	uint32_t block = 0;
	int r = 0;

	instance_set_capacity(a, 3 * BLOCK + 10);
	for (; !r && block < STATE_RIG_MANY / BLOCK; block++) {
		source_make(source, block * BLOCK, STREAM_UPSERT);
		r = restore_add(restore, source->records, BLOCK, &err);
	}
	cr_assert_eq(r, -ENOSPC);
	cr_assert(strstr(err.message, "is full"), "%s", err.message);
	cr_assert_lt(block, 20);
	memset(&err, 0, sizeof(err));
	cr_assert_eq(restore_end(restore, &counts, &err), -ENOSPC);
	cr_assert(strstr(err.message, "is full"), "%s", err.message);
	cr_assert_eq(counts.added, 3 * BLOCK + 10);
	state_rig_agree(a, 3 * BLOCK + 10);
	restore_free(restore);
	source_free(source);
	instance_free(a);
}

/* From the second block on, a bad record is found before anything of its block is written. */
Test(restore, a_bad_block_is_refused_whole)
{
	for (uint32_t good = 1; good < 3; good++) {
		struct instance *a = state_rig_load("a", "counter", 1);
		struct source *source = source_new(a);
		struct restore *restore = restore_new(&a->state, &source->origin);
		struct state_counts counts;

		for (uint32_t block = 0; block < good; block++) {
			source_make(source, block * BLOCK, STREAM_UPSERT);
			cr_assert_eq(restore_add(restore, source->records, BLOCK, NULL), 0);
		}
		source_make(source, good * BLOCK, STREAM_UPSERT);
		source->keys[1000].service++;
		cr_assert_eq(restore_add(restore, source->records, BLOCK, NULL), -EPROTO);
		restore_end(restore, &counts, NULL);
		cr_assert_eq(counts.added, good * BLOCK);
		state_rig_agree(a, good * BLOCK);
		restore_free(restore);
		source_free(source);
		cr_assert_eq(instance_remove(a, NULL), 0);
		instance_free(a);
	}
}

/* Given up in the middle: the thread ends, with all that it was given. */
Test(restore, may_be_given_up)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct source *source = source_new(a);
	struct restore *restore = restore_new(&a->state, &source->origin);

	for (uint32_t block = 0; block < 5; block++) {
		source_make(source, block * BLOCK, STREAM_UPSERT);
		cr_assert_eq(restore_add(restore, source->records, BLOCK, NULL), 0);
	}
	restore_free(restore);
	state_rig_agree(a, 5 * BLOCK);
	source_free(source);
	instance_free(a);
}

/* ---- restoring into an instance that is being read ------------------------------------------- */

#define GROUP 7	 /* as good as any */
#define STAY  90 /* of its flows: nobody touches them */
#define OTHER 90 /* written again and again: each time, into memory that another one had */

struct rewriting {
	struct source *source;
	uint32_t flows[STAY + OTHER];
	atomic_bool stop;
	atomic_uint times;
};

static void flows_choose(const struct instance *instance, uint32_t ret[STAY + OTHER])
{
	const struct state *state = &instance->state;
	uint32_t count = 0;

	for (uint32_t i = 0; count < STAY + OTHER; i++) {
		struct ff_flow_key key = state_rig_key(i);

		cr_assert_lt(i, STATE_RIG_MANY);
		if (state_slot(state, &key) >> state->group_shift == GROUP)
			ret[count++] = i;
	}
}

static void *write_again(void *arg)
{
	struct rewriting *r = arg;
	struct source *source = r->source;
	struct state_counts counts = { 0 };

	for (; !atomic_load(&r->stop); atomic_fetch_add(&r->times, 1))
		state_restore(&source->instance->state, &source->origin, source->records, OTHER,
			      &counts, NULL);
	return NULL;
}

/* Of two moves of an instance one brings flows into a group that the other one copies from. */
Test(restore, a_dump_meanwhile_misses_none)
{
	struct instance_spec spec = state_rig_spec("a", "counter", 1);
	struct rewriting r = { 0 };
	struct state_tally *tally;
	struct instance *a;
	uint64_t until = clock_ns() + 2 * NSEC_PER_SEC;
	uint32_t dumps = 0;
	pthread_t thread;

	spec.capacity = 25000; /* few buckets, so that several flows are in one */
	cr_assert_eq(instance_load(&spec, &a, NULL), 0);
	tally = state_tally_new(a);
	r.source = source_new(a);
	flows_choose(a, r.flows);
	for (uint32_t i = 0; i < STAY + OTHER; i++)
		state_rig_fill(a, r.flows[i], 1, FOREVER);
	for (uint32_t i = 0; i < OTHER; i++)
		source_record(r.source, i, r.flows[STAY + i], STREAM_UPSERT);
	cr_assert_eq(pthread_create(&thread, NULL, write_again, &r), 0);
	for (; clock_ns() < until || dumps < 100 || atomic_load(&r.times) < 100; dumps++) {
		memset(tally->seen, 0, sizeof(tally->seen));
		cr_assert_eq(state_dump(&a->state, NULL, state_tally_visit, tally, NULL, NULL), 0);
		for (uint32_t i = 0; i < STAY; i++)
			cr_assert_eq(tally->seen[r.flows[i]], 1, "dump %u has flow %u %u times",
				     dumps, r.flows[i], tally->seen[r.flows[i]]);
	}
	atomic_store(&r.stop, true);
	pthread_join(thread, NULL);
	source_free(r.source);
	free(tally);
	instance_free(a);
}
