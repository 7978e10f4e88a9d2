/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Per-flow state on its way from one instance to another: whole, exact, rebased, converted; or
 * refused.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "tests/prog/state_rig.h"

#define FOREVER	  (UINT64_MAX / 2)
#define TOKEN	  0xfeedfacecafebeefull
#define VALUE_MAX 1024

TestSuite(state_move, .init = state_rig_init, .timeout = 60);

/* ---- from one instance to another ---------------------------------------------------------- */

/* Dumps through the stream's codec into another instance, as a move does. */
struct channel {
	struct stream_encoder encoder;
	struct stream_decoder *decoder;
	struct instance *to;
	struct state_origin origin;
	struct state_counts counts;
	int64_t clock_shift; /* as if the target's clock were that much ahead */
	uint8_t buf[STREAM_BUFFER_MIN];
};

static struct channel channel;
static struct instance *a, *b;

static void pair_load(const char *nf_a, const char *nf_b)
{
	a = state_rig_load("a", nf_a, 1);
	b = state_rig_load("b", nf_b, 2);
}

static int channel_header(void *ctx, const struct stream_header *header, struct ff_error *err)
{
	struct channel *channel = ctx;

	return state_origin_new(&channel->to->state, header,
				header->clock_ns + (uint64_t)channel->clock_shift, &channel->origin,
				err);
}

static int channel_block(void *ctx, const struct stream_record *records, size_t count,
			 struct ff_error *err)
{
	struct channel *channel = ctx;

	return state_restore(&channel->to->state, &channel->origin, records, count,
			     &channel->counts, err);
}

static int channel_send(struct channel *channel)
{
	return stream_decoder_feed(channel->decoder, channel->buf, channel->encoder.len, NULL);
}

static int channel_visit(void *ctx, const struct ff_flow_key *key, const void *value)
{
	struct channel *channel = ctx;
	int r = stream_encoder_add(&channel->encoder, STREAM_UPSERT, key, value);

	if (r != -ENOSPC)
		return r;
	stream_encoder_flush(&channel->encoder);
	r = channel_send(channel);
	return r < 0 ? r : stream_encoder_add(&channel->encoder, STREAM_UPSERT, key, value);
}

static int channel_run(struct instance *from, struct instance *to, struct ff_error *err)
{
	struct stream_sink sink = { channel_header, channel_block, &channel };
	struct stream_header header;
	int r;

	channel.to = to;
	state_header_fill(&from->state, clock_ns(), &header);
	header.token = TOKEN;
	strcpy(header.op, "01JTEST");
	cr_assert_eq(stream_encoder_begin(&channel.encoder, &header, channel.buf,
					  sizeof(channel.buf), err),
		     0);
	cr_assert_eq(stream_decoder_new(&sink, &channel.decoder), 0);
	r = stream_decoder_feed(channel.decoder, channel.buf, channel.encoder.len, err);
	if (r == 0)
		r = state_dump(&from->state, NULL, channel_visit, &channel, NULL, err);
	stream_encoder_end(&channel.encoder);
	if (r == 0)
		r = stream_decoder_feed(channel.decoder, channel.buf, channel.encoder.len, err);
	if (r == 0)
		r = stream_decoder_finish(channel.decoder, err);
	stream_decoder_free(channel.decoder);
	state_origin_done(&channel.origin);
	return r;
}

Test(state_move, moves_whole_and_exact)
{
	struct state_tally *tally;
	struct ff_flow_key key = state_rig_key(3);
	struct ff_head *head = (struct ff_head *)(uint8_t[VALUE_MAX]){ 0 };

	pair_load("counter", "counter");
	tally = state_tally_new(b);
	state_rig_fill(a, 0, STATE_RIG_MANY, FOREVER);
	cr_assert_eq(channel_run(a, b, NULL), 0);
	cr_assert_eq(channel.counts.added, STATE_RIG_MANY);
	cr_assert_eq(channel.counts.replaced, 0);
	state_rig_agree(b, STATE_RIG_MANY);
	cr_assert_eq(state_dump(&b->state, NULL, state_tally_visit, tally, NULL, NULL), 0);
	cr_assert_eq(tally->wrong, 0);
	cr_assert_eq(state_tally_once(tally), STATE_RIG_MANY);
	cr_assert_eq(state_lookup(&b->state, &key, head), 0);
	cr_assert_eq(head->moved_by, TOKEN);
	cr_assert_eq(head->moves, 2, "state_rig_fill() is a move, too");
	cr_assert_eq(head->round, 0);
	/* a second round replaces, and counts nothing twice */
	cr_assert_eq(channel_run(a, b, NULL), 0);
	cr_assert_eq(channel.counts.replaced, STATE_RIG_MANY);
	state_rig_agree(b, STATE_RIG_MANY);
	state_rig_agree(a, STATE_RIG_MANY);
}

Test(state_move, clocks_are_rebased)
{
	struct ff_flow_key key = state_rig_key(0);
	uint64_t now = clock_ns();
	struct state_counts counts = { 0 };
	struct state_origin origin;
	struct stream_header header;
	uint8_t value[VALUE_MAX] = { 0 };
	struct ff_head *head = (struct ff_head *)value;
	struct stream_record record = { STREAM_UPSERT, &key, value };

	pair_load("counter", "counter");
	head->expires_ns = now + 1000 * NSEC_PER_SEC;
	state_rig_set(a, value, "first_ns", 0, now - 1000);
	state_header_fill(&a->state, now, &header);
	cr_assert_eq(state_origin_new(&a->state, &header, now, &origin, NULL), 0);
	cr_assert_eq(state_restore(&a->state, &origin, &record, 1, &counts, NULL), 0);
	state_origin_done(&origin);

	channel.clock_shift = 500;
	cr_assert_eq(channel_run(a, b, NULL), 0);
	cr_assert_eq(state_lookup(&b->state, &key, value), 0);
	cr_assert_eq(head->expires_ns, now + 1000 * NSEC_PER_SEC + 500);
	cr_assert_eq(state_rig_get(b, value, "first_ns", 0), now - 500);
}

/* To a newer version of the NF, whose state has other places, a wider, a longer and a new field. */
Test(state_move, converts_by_field_name)
{
	struct state_tally *tally;
	struct ff_flow_key key = state_rig_key(99);
	uint8_t value[VALUE_MAX];

	pair_load("counter", "counter2");
	tally = state_tally_new(b);
	state_rig_fill(a, 0, 1000, FOREVER);
	cr_assert_neq(a->state.schema->hash, b->state.schema->hash);
	cr_assert_eq(channel_run(a, b, NULL), 0);
	cr_assert_eq(state_dump(&b->state, NULL, state_tally_visit, tally, NULL, NULL), 0);
	cr_assert_eq(tally->wrong, 0);
	cr_assert_eq(state_tally_once(tally), 1000);
	cr_assert_eq(state_lookup(&b->state, &key, value), 0);
	cr_assert_eq(state_rig_get(b, value, "hits", 0), 198);
	cr_assert_eq(state_rig_get(b, value, "packets", 2), 0);
	cr_assert_eq(state_rig_get(b, value, "last_ns", 0), 0, "a new clock field stays 0");
}

/* The older version lacks a field: nothing is converted, and the message names it. */
Test(state_move, refuses_to_lose_a_field)
{
	struct ff_error err = { 0 };

	pair_load("counter2", "counter");
	state_rig_fill(a, 0, 10, FOREVER);
	cr_assert_eq(channel_run(a, b, &err), -EPROTOTYPE);
	cr_assert(strstr(err.message, "field hits is of another size") ||
			  strstr(err.message, "field last_ns"),
		  "%s", err.message);
	state_rig_agree(b, 0);
}

Test(state_move, foreign_records_are_refused)
{
	struct ff_flow_key good = state_rig_key(1), foreign = good, upset = good;
	uint8_t value[VALUE_MAX] = { 0 };
	struct stream_record records[] = { { STREAM_UPSERT, &good, value },
					   { STREAM_UPSERT, &foreign, value } };
	struct state_counts counts = { 0 };
	struct state_origin origin;
	struct stream_header header;
	struct ff_error err = { 0 };

	pair_load("counter", "counter");
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
	state_rig_agree(a, 0);
	state_origin_done(&origin);
}

/* What is there already needs no room, and what is new gets what is left. */
static void room_expect(uint32_t room)
{
	const uint32_t common = 600;
	struct ff_error err = { 0 };

	pair_load("counter", "counter");
	instance_set_capacity(b, common + room);
	state_rig_fill(b, 0, common, FOREVER);
	for (uint32_t new = 0; new <= room; new ++) {
		state_rig_fill(a, 0, common + new, FOREVER);
		for (int again = 0; again < 2; again++)
			cr_assert_eq(channel_run(a, b, &err), 0, "%s", err.message);
		cr_expect_eq(channel.counts.added, new);
		state_rig_agree(b, common + new);
	}
	state_rig_fill(a, common + room, 1, FOREVER);
	cr_expect_eq(channel_run(a, b, &err), -ENOSPC);
	state_rig_agree(b, common + room);
}

Test(state_move, the_last_place_is_for_something_new)
{
	room_expect(1);
}

Test(state_move, full_instance_takes_changes_but_nothing_new)
{
	room_expect(0);
}
