/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Per-flow state in the kernel's maps: what is put in is what comes out, numbers add up, and the
 * expiry sweep harms no flow that a packet revives.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "tests/prog/state_rig.h"

#define MANY	 100000
#define FOREVER	 (UINT64_MAX / 2)
#define TOKEN	 0xfeedfacecafebeefull
#define VALUE_MAX 1024

TestSuite(state, .init = state_rig_init, .timeout = 60);

/* Checks that each flow of 0 .. MANY - 1 comes once, with its own numbers. */
struct tally {
	const struct instance *instance;
	uint8_t seen[MANY];
	uint32_t visits, wrong, absent;
};

static uint32_t key_number(const struct ff_flow_key *key)
{
	for (int end = 0; end < 2; end++) /* undo state_rig_key() */
		if (key->addr[end][13] == 0x12)
			return ((uint32_t)key->addr[end][14] << 16 |
				(uint32_t)key->addr[end][15] << 8) +
			       (((uint32_t)ntohs(key->port[end]) - 1024) & 255);
	return UINT32_MAX;
}

static int tally_visit(void *ctx, const struct ff_flow_key *key, const void *value)
{
	struct tally *tally = ctx;
	uint32_t i = key_number(key);
	const struct ff_head *head = value;

	tally->visits++;
	if (i >= MANY) {
		tally->wrong++;
		return 0;
	}
	if (!value) {
		tally->absent++;
		return 0;
	}
	tally->seen[i]++;
	if (state_rig_get(tally->instance, value, "packets", 0) != i + 1 ||
	    state_rig_get(tally->instance, value, "hits", 0) != 2 * (uint64_t)i ||
	    head->slot != state_slot(&tally->instance->state, key))
		tally->wrong++;
	return 0;
}

static struct tally *tally_new(const struct instance *instance)
{
	struct tally *tally = calloc(1, sizeof(*tally));

	cr_assert(tally);
	tally->instance = instance;
	return tally;
}

static uint32_t tally_once(const struct tally *tally)
{
	uint32_t once = 0;

	for (uint32_t i = 0; i < MANY; i++)
		once += tally->seen[i] == 1;
	return once;
}

static void counts_agree(const struct instance *instance, uint64_t entries)
{
	cr_assert_eq(state_flows(&instance->state), entries, "counted %llu, %llu due",
		     (unsigned long long)state_flows(&instance->state),
		     (unsigned long long)entries);
	cr_assert_eq(state_rig_entries(instance), entries, "%llu in the maps, %llu due",
		     (unsigned long long)state_rig_entries(instance),
		     (unsigned long long)entries);
}

/* ---- reading ------------------------------------------------------------------------------- */

Test(state, dump_returns_each_entry_once)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct tally *tally = tally_new(a);
	uint64_t scanned;

	state_rig_fill(a, 0, MANY, FOREVER);
	counts_agree(a, MANY);
	cr_assert_eq(state_dump(&a->state, NULL, tally_visit, tally, &scanned, NULL), 0);
	cr_assert_eq(tally->visits, MANY);
	cr_assert_eq(scanned, MANY);
	cr_assert_eq(tally->wrong, 0);
	cr_assert_eq(tally_once(tally), MANY);
	free(tally);
	instance_free(a);
}

static bool wants_even(const void *ctx, const struct ff_flow_key *key)
{
	(void)ctx;
	return key_number(key) % 2 == 0;
}

/* A part of the slots costs in proportion to it, and a condition on the key holds as well. */
Test(state, dump_selects_slots_and_keys)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct tally *tally = tally_new(a);
	struct slotset slots = { 0 };
	struct state_select select = { .slots = &slots, .wants = wants_even };
	uint64_t scanned;
	uint32_t due = 0;

	slotset_set_range(&slots, 100, 139);
	slotset_set(&slots, 4095);
	state_rig_fill(a, 0, MANY, FOREVER);
	for (uint32_t i = 0; i < MANY; i += 2) {
		struct ff_flow_key key = state_rig_key(i);

		due += slotset_test(&slots, state_slot(&a->state, &key));
	}
	cr_assert_eq(state_dump(&a->state, &select, tally_visit, tally, &scanned, NULL), 0);
	cr_assert_eq(tally->visits, due);
	cr_assert_eq(tally_once(tally), due);
	/* 40 slots touch 6 groups of 8, the last one another: 7 of 512 */
	cr_assert_lt(scanned, MANY / 512 * 9);
	free(tally);
	instance_free(a);
}

static int stop_at_third(void *ctx, const struct ff_flow_key *key, const void *value)
{
	(void)key;
	(void)value;
	return ++*(int *)ctx == 3 ? -ECANCELED : 0;
}

Test(state, dump_stops_when_told)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	int visits = 0;

	state_rig_fill(a, 0, 1000, FOREVER);
	cr_assert_eq(state_dump(&a->state, NULL, stop_at_third, &visits, NULL, NULL), -ECANCELED);
	cr_assert_eq(visits, 3);
	instance_free(a);
}

Test(state, expired_entries_are_not_seen)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct tally *tally = tally_new(a);
	struct ff_flow_key key = state_rig_key(7), keys[2] = { key, state_rig_key(12) };
	uint8_t value[VALUE_MAX];

	state_rig_fill(a, 0, 10, clock_ns() - 1);
	state_rig_fill(a, 10, 10, FOREVER);
	cr_assert_eq(state_dump(&a->state, NULL, tally_visit, tally, NULL, NULL), 0);
	cr_assert_eq(tally->visits, 10);
	cr_assert_eq(state_lookup(&a->state, &key, value), -ENOENT);
	cr_assert_eq(state_lookup(&a->state, &keys[1], value), 0);
	cr_assert_eq(state_get(&a->state, keys, 2, tally_visit, tally, NULL), 0);
	cr_assert_eq(tally->absent, 1);
	counts_agree(a, 20);
	free(tally);
	instance_free(a);
}

Test(state, get_returns_what_was_asked_in_order)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct tally *tally = tally_new(a);
	uint32_t count = 5000; /* more than the staging area holds at once */
	struct ff_flow_key *keys = calloc(count, sizeof(*keys));

	state_rig_fill(a, 0, 4000, FOREVER);
	for (uint32_t i = 0; i < count; i++)
		keys[i] = state_rig_key(i);
	cr_assert_eq(state_get(&a->state, keys, count, tally_visit, tally, NULL), 0);
	cr_assert_eq(tally->visits, count);
	cr_assert_eq(tally->absent, 1000);
	cr_assert_eq(tally->wrong, 0);
	cr_assert_eq(tally_once(tally), 4000);
	free(keys);
	free(tally);
	instance_free(a);
}

/* ---- from one instance to another ---------------------------------------------------------- */

/* Dumps through the stream's codec into another instance, as a move does. */
struct pipe {
	struct stream_encoder encoder;
	struct stream_decoder *decoder;
	struct instance *to;
	struct state_origin origin;
	struct state_counts counts;
	int64_t clock_shift; /* as if the target's clock were that much ahead */
	uint8_t buf[STREAM_BUFFER_MIN];
};

static int pipe_header(void *ctx, const struct stream_header *header, struct ff_error *err)
{
	struct pipe *pipe = ctx;

	return state_origin_new(&pipe->to->state, header,
				header->clock_ns + (uint64_t)pipe->clock_shift, &pipe->origin, err);
}

static int pipe_block(void *ctx, const struct stream_record *records, size_t count,
		      struct ff_error *err)
{
	struct pipe *pipe = ctx;

	return state_restore(&pipe->to->state, &pipe->origin, records, count, &pipe->counts, err);
}

static int pipe_send(struct pipe *pipe)
{
	return stream_decoder_feed(pipe->decoder, pipe->buf, pipe->encoder.len, NULL);
}

static int pipe_visit(void *ctx, const struct ff_flow_key *key, const void *value)
{
	struct pipe *pipe = ctx;
	int r = stream_encoder_add(&pipe->encoder, STREAM_UPSERT, key, value);

	if (r != -ENOSPC)
		return r;
	stream_encoder_flush(&pipe->encoder);
	r = pipe_send(pipe);
	return r < 0 ? r : stream_encoder_add(&pipe->encoder, STREAM_UPSERT, key, value);
}

static int pipe_run(struct pipe *pipe, struct instance *from, struct instance *to,
		    struct ff_error *err)
{
	struct stream_sink sink = { pipe_header, pipe_block, pipe };
	struct stream_header header;
	int r;

	pipe->to = to;
	state_header_fill(&from->state, clock_ns(), &header);
	header.token = TOKEN;
	strcpy(header.op, "01JTEST");
	cr_assert_eq(stream_encoder_begin(&pipe->encoder, &header, pipe->buf, sizeof(pipe->buf),
					  err),
		     0);
	cr_assert_eq(stream_decoder_new(&sink, &pipe->decoder), 0);
	r = stream_decoder_feed(pipe->decoder, pipe->buf, pipe->encoder.len, err);
	if (r == 0)
		r = state_dump(&from->state, NULL, pipe_visit, pipe, NULL, err);
	stream_encoder_end(&pipe->encoder);
	if (r == 0)
		r = stream_decoder_feed(pipe->decoder, pipe->buf, pipe->encoder.len, err);
	if (r == 0)
		r = stream_decoder_finish(pipe->decoder, err);
	stream_decoder_free(pipe->decoder);
	return r;
}

Test(state, moves_whole_and_exact)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct instance *b = state_rig_load("b", "counter", 2);
	struct pipe *pipe = calloc(1, sizeof(*pipe));
	struct tally *tally = tally_new(b);
	struct ff_flow_key key = state_rig_key(3);
	struct ff_head *head = (struct ff_head *)(uint8_t[VALUE_MAX]){ 0 };

	state_rig_fill(a, 0, MANY, FOREVER);
	cr_assert_eq(pipe_run(pipe, a, b, NULL), 0);
	cr_assert_eq(pipe->counts.added, MANY);
	cr_assert_eq(pipe->counts.replaced, 0);
	counts_agree(b, MANY);
	cr_assert_eq(state_dump(&b->state, NULL, tally_visit, tally, NULL, NULL), 0);
	cr_assert_eq(tally->wrong, 0);
	cr_assert_eq(tally_once(tally), MANY);
	cr_assert_eq(state_lookup(&b->state, &key, head), 0);
	cr_assert_eq(head->moved_by, TOKEN);
	cr_assert_eq(head->moves, 2, "state_rig_fill() is a move, too");
	cr_assert_eq(head->round, 0);
	/* a second round replaces, and counts nothing twice */
	cr_assert_eq(pipe_run(pipe, a, b, NULL), 0);
	cr_assert_eq(pipe->counts.replaced, MANY);
	counts_agree(b, MANY);
	counts_agree(a, MANY);
	free(pipe);
	free(tally);
	instance_free(a);
	instance_free(b);
}

Test(state, clocks_are_rebased)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct instance *b = state_rig_load("b", "counter", 2);
	struct pipe *pipe = calloc(1, sizeof(*pipe));
	struct ff_flow_key key = state_rig_key(0);
	uint64_t now = clock_ns();
	struct state_counts counts = { 0 };
	struct state_origin origin;
	struct stream_header header;
	uint8_t value[VALUE_MAX] = { 0 };
	struct ff_head *head = (struct ff_head *)value;
	struct stream_record record = { STREAM_UPSERT, &key, value };

	head->expires_ns = now + 1000 * NSEC_PER_SEC;
	state_rig_set(a, value, "first_ns", 0, now - 1000);
	state_header_fill(&a->state, now, &header);
	cr_assert_eq(state_origin_new(&a->state, &header, now, &origin, NULL), 0);
	cr_assert_eq(state_restore(&a->state, &origin, &record, 1, &counts, NULL), 0);

	pipe->clock_shift = 500;
	cr_assert_eq(pipe_run(pipe, a, b, NULL), 0);
	cr_assert_eq(state_lookup(&b->state, &key, value), 0);
	cr_assert_eq(head->expires_ns, now + 1000 * NSEC_PER_SEC + 500);
	cr_assert_eq(state_rig_get(b, value, "first_ns", 0), now - 500);
	free(pipe);
	instance_free(a);
	instance_free(b);
}

/* To a newer version of the NF, whose state has other places, a wider, a longer and a new field. */
Test(state, converts_by_field_name)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct instance *b = state_rig_load("b", "counter2", 2);
	struct pipe *pipe = calloc(1, sizeof(*pipe));
	struct tally *tally = tally_new(b);
	struct ff_flow_key key = state_rig_key(99);
	uint8_t value[VALUE_MAX];

	state_rig_fill(a, 0, 1000, FOREVER);
	cr_assert_neq(a->state.schema->hash, b->state.schema->hash);
	cr_assert_eq(pipe_run(pipe, a, b, NULL), 0);
	cr_assert_eq(state_dump(&b->state, NULL, tally_visit, tally, NULL, NULL), 0);
	cr_assert_eq(tally->wrong, 0);
	cr_assert_eq(tally_once(tally), 1000);
	cr_assert_eq(state_lookup(&b->state, &key, value), 0);
	cr_assert_eq(state_rig_get(b, value, "hits", 0), 198);
	cr_assert_eq(state_rig_get(b, value, "packets", 2), 0);
	cr_assert_eq(state_rig_get(b, value, "last_ns", 0), 0, "a new clock field stays 0");
	free(pipe);
	free(tally);
	instance_free(a);
	instance_free(b);
}

/* The older version lacks a field: nothing is converted, and the message names it. */
Test(state, refuses_to_lose_a_field)
{
	struct instance *a = state_rig_load("a", "counter2", 1);
	struct instance *b = state_rig_load("b", "counter", 2);
	struct pipe *pipe = calloc(1, sizeof(*pipe));
	struct ff_error err = { 0 };

	state_rig_fill(a, 0, 10, FOREVER);
	cr_assert_eq(pipe_run(pipe, a, b, &err), -EPROTOTYPE);
	cr_assert(strstr(err.message, "field hits is of another size") ||
			  strstr(err.message, "field last_ns"),
		  "%s", err.message);
	counts_agree(b, 0);
	free(pipe);
	instance_free(a);
	instance_free(b);
}

Test(state, foreign_records_are_refused)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct ff_flow_key good = state_rig_key(1), foreign = good, upset = good;
	uint8_t value[VALUE_MAX] = { 0 };
	struct stream_record records[] = { { STREAM_UPSERT, &good, value },
					   { STREAM_UPSERT, &foreign, value } };
	struct state_counts counts = { 0 };
	struct state_origin origin;
	struct stream_header header;
	struct ff_error err = { 0 };

	state_header_fill(&a->state, 1, &header);
	header.service++;
	cr_assert_eq(state_origin_new(&a->state, &header, 1, &origin, &err), -EPROTO);
	header.service--;
	header.schema_hash++;
	cr_assert_eq(state_origin_new(&a->state, &header, 1, &origin, &err), -EPROTO);
	header.schema_hash--;
	cr_assert_eq(state_origin_new(&a->state, &header, 1, &origin, &err), 0);
	foreign.service++;
	cr_assert_eq(state_restore(&a->state, &origin, records, 2, &counts, &err), -EPROTO);
	memcpy(upset.addr[0], good.addr[1], sizeof(upset.addr[0]));
	memcpy(upset.addr[1], good.addr[0], sizeof(upset.addr[1]));
	upset.port[0] = good.port[1];
	upset.port[1] = good.port[0];
	records[1].key = &upset;
	cr_assert_eq(state_restore(&a->state, &origin, records, 2, &counts, &err), -EPROTO);
	counts_agree(a, 0);
	state_origin_done(&origin);
	instance_free(a);
}

Test(state, full_instance_takes_changes_but_nothing_new)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct instance *b = state_rig_load("b", "counter", 2);
	struct pipe *pipe = calloc(1, sizeof(*pipe));
	struct ff_error err = { 0 };

	instance_set_capacity(b, 600);
	state_rig_fill(b, 0, 600, FOREVER);
	state_rig_fill(a, 0, 600, FOREVER);
	cr_assert_eq(pipe_run(pipe, a, b, &err), 0, "%s", err.message);
	cr_assert_eq(pipe->counts.replaced, 600);
	state_rig_fill(a, 600, 1, FOREVER);
	cr_assert_eq(pipe_run(pipe, a, b, &err), -ENOSPC);
	counts_agree(b, 600);
	free(pipe);
	instance_free(a);
	instance_free(b);
}

/* ---- deleting ------------------------------------------------------------------------------ */

Test(state, forgets_slots_and_nothing_else)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct slotset slots = { 0 }, rest = { 0 };
	struct state_select select = { .slots = &rest };
	struct tally *tally = tally_new(a);
	uint64_t deleted, due = 0;

	slotset_set_range(&slots, 0, 1001);
	slotset_set_range(&rest, 1002, RIG_SLOT_COUNT - 1);
	state_rig_fill(a, 0, MANY, FOREVER);
	for (uint32_t i = 0; i < MANY; i++) {
		struct ff_flow_key key = state_rig_key(i);

		due += slotset_test(&slots, state_slot(&a->state, &key));
	}
	cr_assert_eq(state_forget_slots(&a->state, &slots, &deleted, NULL), 0);
	cr_assert_eq(deleted, due);
	counts_agree(a, MANY - due);
	cr_assert_eq(state_dump(&a->state, &select, tally_visit, tally, NULL, NULL), 0);
	cr_assert_eq(tally->visits, MANY - due);
	cr_assert_eq(state_forget_slots(&a->state, &slots, &deleted, NULL), 0);
	cr_assert_eq(deleted, 0, "twice must do");
	free(tally);
	instance_free(a);
}

Test(state, forgets_keys_absent_ones_too)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct ff_flow_key *keys = calloc(3000, sizeof(*keys));
	uint64_t deleted;

	for (uint32_t i = 0; i < 3000; i++)
		keys[i] = state_rig_key(i);
	state_rig_fill(a, 1000, 4000, FOREVER);
	cr_assert_eq(state_forget_keys(&a->state, keys, 3000, &deleted, NULL), 0);
	cr_assert_eq(deleted, 2000);
	counts_agree(a, 2000);
	free(keys);
	instance_free(a);
}

/* ---- the NF and the sweep ------------------------------------------------------------------ */

Test(state, sweep_deletes_the_dead_only)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	uint64_t now = clock_ns(), swept;
	struct slotset skip = { 0 };

	state_rig_fill(a, 0, 3000, now - 2 * NSEC_PER_SEC);
	state_rig_fill(a, 3000, 1000, now - NSEC_PER_SEC / 2); /* within the grace */
	state_rig_fill(a, 4000, 5000, FOREVER);
	slotset_set_range(&skip, 0, RIG_SLOT_COUNT - 1);
	cr_assert_eq(state_sweep(&a->state, now, &skip, &swept, NULL), 0);
	cr_assert_eq(swept, 0, "slots under a move are left alone");
	cr_assert_eq(state_sweep(&a->state, now, NULL, &swept, NULL), 0);
	cr_assert_eq(swept, 3000);
	counts_agree(a, 6000);
	cr_assert_eq(state_sweep(&a->state, now + NSEC_PER_SEC, NULL, &swept, NULL), 0);
	cr_assert_eq(swept, 1000);
	counts_agree(a, 5000);
	instance_free(a);
}

Test(state, packets_make_entries_up_to_the_capacity)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	uint64_t now = clock_ns();

	instance_set_capacity(a, 50);
	for (uint32_t round = 0; round < 2; round++)
		for (uint32_t i = 0; i < 60; i++) {
			struct ff_flow_key key = state_rig_key(i);

			state_rig_packet(a, &key, now);
		}
	counts_agree(a, 50);
	cr_assert_eq(state_rig_refused(a), 20);
	instance_free(a);
}

struct sweeper {
	struct instance *instance;
	atomic_bool stop;
	uint64_t swept, runs;
};

static void *sweeper_run(void *ctx)
{
	struct sweeper *sweeper = ctx;
	uint64_t swept;

	while (!atomic_load(&sweeper->stop)) {
		if (state_sweep(&sweeper->instance->state, clock_ns(), NULL, &swept, NULL) < 0)
			return sweeper;
		sweeper->swept += swept;
		sweeper->runs++;
	}
	return NULL;
}

struct revived {
	const struct instance *instance;
	uint32_t once, other;
};

static int revived_visit(void *ctx, const struct ff_flow_key *key, const void *value)
{
	struct revived *revived = ctx;
	uint64_t packets = state_rig_get(revived->instance, value, "packets", 0) +
			   state_rig_get(revived->instance, value, "packets", 1);

	(void)key;
	if (packets == 1)
		revived->once++;
	else
		revived->other++;
	return 0;
}

/* Sweeps once each time that `go` has grown, and then says so in `done`. */
struct trigger {
	struct instance *instance;
	atomic_uint go, done;
	uint64_t swept;
};

static void *trigger_run(void *ctx)
{
	struct trigger *trigger = ctx;
	unsigned int last = 0, spins = 0, go;
	uint64_t swept;

	while ((go = atomic_load(&trigger->go)) != UINT32_MAX) {
		if (go == last) {
			if (++spins % 256 == 0) /* quick to answer, yet kind to a busy machine */
				sched_yield();
			continue;
		}
		last = go;
		if (state_sweep(&trigger->instance->state, clock_ns(), NULL, &swept, NULL) == 0)
			trigger->swept += swept;
		atomic_store(&trigger->done, last);
	}
	return NULL;
}

#define RACE_FLOWS  64 /* swept in some 8 us: as long as two packets take */
#define RACE_ROUNDS 3000

/* Dead entries, one packet for each of them, and in the midst of these one sweep. */
static void race_round(struct trigger *trigger, unsigned int round)
{
	struct instance *a = trigger->instance;
	struct revived revived = { .instance = a };
	uint64_t refused = state_rig_refused(a);
	struct slotset all = { .bits = { 1 } };

	state_rig_fill(a, 0, RACE_FLOWS, clock_ns() - 2 * NSEC_PER_SEC);
	for (uint32_t i = 0; i < RACE_FLOWS; i++) {
		struct ff_flow_key key = state_rig_key(i);

		if (i == round % RACE_FLOWS)
			atomic_store(&trigger->go, round);
		state_rig_packet(a, &key, clock_ns());
	}
	while (atomic_load(&trigger->done) != round)
		sched_yield();
	refused = state_rig_refused(a) - refused;
	cr_assert_eq(state_dump(&a->state, NULL, revived_visit, &revived, NULL, NULL), 0);
	cr_assert_eq(revived.other, 0, "%u flows have a dead life's packets", revived.other);
	cr_assert_eq(revived.once + refused, RACE_FLOWS, "round %u: %u live + %llu refused of %u",
		     round, revived.once, (unsigned long long)refused, RACE_FLOWS);
	counts_agree(a, revived.once);
	cr_assert_eq(state_forget_slots(&a->state, &all, NULL, NULL), 0);
	counts_agree(a, 0);
}

/*
 * Whoever wins, the packet's flow must be there afterwards with exactly this one packet, or have
 * been refused where it found the sweep in the middle of its entry; and the count must be right. One
 * slot and few flows, so that both meet at one entry in one round of a hundred.
 */
Test(state, sweep_and_revival_race)
{
	struct instance_spec spec = state_rig_spec("a", "counter", 1);
	static struct trigger trigger; /* outlives a failed assertion, as the thread does */
	pthread_t thread;

	spec.slots = 1;
	spec.capacity = 1000;
	cr_assert_eq(instance_load(&spec, &trigger.instance, NULL), 0);
	cr_assert_eq(pthread_create(&thread, NULL, trigger_run, &trigger), 0);
	for (unsigned int round = 1; round <= RACE_ROUNDS; round++)
		race_round(&trigger, round);
	atomic_store(&trigger.go, UINT32_MAX);
	pthread_join(thread, NULL);
	cr_assert_gt(trigger.swept, 0, "the sweep always lost");
	cr_assert_lt(trigger.swept, RACE_ROUNDS * (RACE_FLOWS - 1), "the sweep always won");
	instance_free(trigger.instance);
}

/* Entries that live throughout are in a dump that runs while others come, go and change. */
Test(state, dump_under_change_misses_no_lasting_entry)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	const uint32_t lasting = 20000;
	struct sweeper sweeper = { .instance = a };
	pthread_t thread;

	state_rig_fill(a, 0, lasting, FOREVER);
	cr_assert_eq(pthread_create(&thread, NULL, sweeper_run, &sweeper), 0);
	for (uint32_t round = 0; round < 20; round++) {
		struct tally *tally = tally_new(a);
		uint32_t there = 0;

		state_rig_fill(a, 50000 + round * 2000, 2000, clock_ns() - 2 * NSEC_PER_SEC);
		cr_assert_eq(state_dump(&a->state, NULL, tally_visit, tally, NULL, NULL), 0);
		for (uint32_t i = 0; i < lasting; i++)
			there += tally->seen[i] >= 1;
		cr_assert_eq(there, lasting);
		cr_assert_eq(tally->wrong, 0);
		free(tally);
	}
	atomic_store(&sweeper.stop, true);
	pthread_join(thread, NULL);
	cr_assert_eq(state_sweep(&a->state, clock_ns(), NULL, NULL, NULL), 0);
	counts_agree(a, lasting);
	instance_free(a);
}

/* ---- shown --------------------------------------------------------------------------------- */

Test(state, a_flow_is_shown_as_the_api_says)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct ff_flow_key key = state_rig_key(5);
	uint64_t now = clock_ns();
	uint8_t value[VALUE_MAX];
	_cleanup_json_ json_t *flow = NULL;
	json_t *state;

	state_rig_fill(a, 5, 1, now + 2 * NSEC_PER_SEC);
	cr_assert_eq(state_lookup(&a->state, &key, value), 0);
	state_rig_set(a, value, "mode", 0, 1);
	state_rig_set(a, value, "balance", 0, (uint32_t)-3);
	state_rig_set(a, value, "port", 0, htons(8080));
	state_rig_set(a, value, "mac", 0, 2);
	flow = instance_flow_json(a, &key, value, now);
	cr_assert_str_eq(json_string_value(json_object_get(flow, "flow")),
			 "udp 198.18.0.0:1029 198.19.0.0:53");
	cr_assert_eq(json_integer_value(json_object_get(flow, "expires_ms")), 2000);
	cr_assert_eq(json_integer_value(json_object_get(flow, "moves")), 1);
	state = json_object_get(flow, "state");
	cr_assert_eq(json_integer_value(json_array_get(json_object_get(state, "packets"), 0)), 6);
	cr_assert_str_eq(json_string_value(json_object_get(state, "mode")), "busy");
	cr_assert_eq(json_integer_value(json_object_get(state, "balance")), -3);
	cr_assert_eq(json_integer_value(json_object_get(state, "port")), 8080);
	cr_assert_str_eq(json_string_value(json_object_get(state, "mac")), "02:00:00:00:00:00");
	cr_assert_null(json_object_get(state, "pad"));
	instance_free(a);
}

Test(state, other_scopes_are_declared_and_dumped)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct ff_flow_key key = state_rig_key(0);
	_cleanup_json_ json_t *answer = NULL;
	json_t *state, *entries;

	for (int i = 0; i < 3; i++)
		state_rig_packet(a, &key, clock_ns());
	cr_assert_eq(instance_state_json(a, 10, &answer, NULL), 0);
	cr_assert_eq(json_array_size(json_object_get(answer, "states")), 3);
	state = json_array_get(json_object_get(answer, "states"), 2);
	cr_assert_str_eq(json_string_value(json_object_get(state, "scope")), "all-flows");
	entries = json_object_get(state, "entries");
	cr_assert_eq(json_integer_value(json_object_get(
			     json_object_get(json_array_get(entries, 0), "value"), "packets")),
		     3);
	instance_free(a);
}
