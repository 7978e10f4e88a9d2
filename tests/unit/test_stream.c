/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The state stream: what goes in comes out; what is damaged, cut or foreign hands on nothing of
 * the damaged part.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/stream.h"
#include "lib/stream_wire.h"
#include "tests/unit/random.h"

#define KEY_SIZE   40
#define VALUE_SIZE 72
#define RECORDS	   30
#define PER_BLOCK  10

static const char schema_text[] = "per-flow flows key 40 value 72 state 32\n"
				  "packets 32 8 2 unsigned sum\n";

/* What the sink has seen, checked record by record against what record_make() makes. */
struct seen {
	int headers;
	size_t records;
	bool wrong;
	int refuse; /* errno with which the header or a block is refused */
	bool refuse_block;
	struct stream_header header;
};

static void record_make(size_t i, enum stream_kind *kind, uint8_t *key, uint8_t *value)
{
	*kind = i % 7 == 3 ? STREAM_DELETE : STREAM_UPSERT;
	for (size_t n = 0; n < KEY_SIZE; n++)
		key[n] = (uint8_t)(i * 31 + n);
	for (size_t n = 0; n < VALUE_SIZE; n++)
		value[n] = (uint8_t)(i * 17 + n * 3);
}

static int seen_header(void *ctx, const struct stream_header *header, struct ff_error *err)
{
	struct seen *seen = ctx;

	seen->headers++;
	seen->header = *header;
	seen->wrong |= strcmp(header->schema, schema_text) != 0;
	if (seen->refuse && !seen->refuse_block)
		return error_set(err, seen->refuse, FF_CODE_REFUSED, NULL, "not today");
	return 0;
}

static int seen_block(void *ctx, const struct stream_record *records, size_t count,
		      struct ff_error *err)
{
	struct seen *seen = ctx;
	uint8_t key[KEY_SIZE], value[VALUE_SIZE];
	enum stream_kind kind;

	(void)err; /* a sink may give no words */
	if (seen->refuse)
		return -seen->refuse;
	for (size_t i = 0; i < count; i++) {
		record_make(seen->records++, &kind, key, value);
		seen->wrong |=
			records[i].kind != kind || memcmp(records[i].key, key, KEY_SIZE) != 0 ||
			(kind == STREAM_DELETE) != !records[i].value ||
			(records[i].value && memcmp(records[i].value, value, VALUE_SIZE) != 0);
	}
	return 0;
}

static struct stream_header header_make(void)
{
	return (struct stream_header){
		.service = 3,
		.epoch = 9,
		.token = 0x1122334455667788ull,
		.op = "01JABCDEFGHJKMNPQRSTVWXY",
		.round = 2,
		.final = true,
		.key_size = KEY_SIZE,
		.value_size = VALUE_SIZE,
		.clock_ns = 123456789,
		.schema_hash = 42,
		.schema = schema_text,
	};
}

/* A whole stream of @records records, @per_block in each block; the caller frees it. */
static uint8_t *stream_make(size_t records, size_t per_block, size_t *ret_len, size_t *ret_header)
{
	struct stream_header header = header_make();
	uint8_t key[KEY_SIZE], value[VALUE_SIZE];
	uint8_t *buf = malloc(STREAM_BUFFER_MIN);
	uint8_t *out = malloc(STREAM_HEADER_MAX + records * 200 + 4096);
	struct stream_encoder e;
	enum stream_kind kind;
	size_t len = 0;

	cr_assert_eq(stream_encoder_begin(&e, &header, buf, STREAM_BUFFER_MIN, NULL), 0);
	memcpy(out, buf, e.len);
	len = *ret_header = e.len;
	for (size_t i = 0; i < records; i++) {
		record_make(i, &kind, key, value);
		cr_assert_eq(stream_encoder_add(&e, kind, key, value), 0);
		if (i % per_block == per_block - 1) {
			stream_encoder_flush(&e);
			memcpy(out + len, buf, e.len);
			len += e.len;
		}
	}
	stream_encoder_end(&e);
	memcpy(out + len, buf, e.len);
	len += e.len;
	free(buf);
	*ret_len = len;
	return out;
}

/* Feeds in pieces of @piece bytes and finishes. */
static int decode(const uint8_t *data, size_t len, size_t piece, struct seen *seen,
		  struct ff_error *err)
{
	struct stream_sink sink = { seen_header, seen_block, seen };
	_cleanup_stream_decoder_ struct stream_decoder *d = NULL;
	int r = 0;

	cr_assert_eq(stream_decoder_new(&sink, &d), 0);
	for (size_t at = 0; at < len && r == 0; at += piece)
		r = stream_decoder_feed(d, data + at, MIN(piece, len - at), err);
	if (r < 0) {
		size_t before = seen->records;

		cr_assert_eq(stream_decoder_feed(d, data, len, NULL), r, "an error must stay");
		cr_assert_eq(stream_decoder_finish(d, NULL), r);
		cr_assert_eq(seen->records, before, "the sink was called after an error");
		return r;
	}
	return stream_decoder_finish(d, err);
}

Test(stream, round_trip)
{
	size_t len, header;
	_cleanup_free_ uint8_t *data = stream_make(RECORDS, PER_BLOCK, &len, &header);
	struct stream_header want = header_make();
	struct seen seen = { 0 };

	cr_assert_eq(decode(data, len, len, &seen, NULL), 0);
	cr_assert_eq(seen.headers, 1);
	cr_assert_eq(seen.records, RECORDS);
	cr_assert_not(seen.wrong);
	cr_assert_eq(seen.header.service, want.service);
	cr_assert_eq(seen.header.epoch, want.epoch);
	cr_assert_eq(seen.header.token, want.token);
	cr_assert_str_eq(seen.header.op, want.op);
	cr_assert_eq(seen.header.round, want.round);
	cr_assert(seen.header.final);
	cr_assert_eq(seen.header.clock_ns, want.clock_ns);
	cr_assert_eq(seen.header.schema_hash, want.schema_hash);
}

Test(stream, empty_round_is_complete)
{
	size_t len, header;
	_cleanup_free_ uint8_t *data = stream_make(0, 1, &len, &header);
	struct seen seen = { 0 };

	cr_assert_eq(decode(data, len, 1, &seen, NULL), 0);
	cr_assert_eq(seen.headers, 1);
	cr_assert_eq(seen.records, 0);
}

Test(stream, pieces_of_any_size)
{
	size_t len, header;
	_cleanup_free_ uint8_t *data = stream_make(RECORDS, PER_BLOCK, &len, &header);

	for (size_t piece = 1; piece <= len; piece++) {
		struct seen seen = { 0 };

		cr_assert_eq(decode(data, len, piece, &seen, NULL), 0, "pieces of %zu", piece);
		cr_assert_eq(seen.records, RECORDS);
		cr_assert_not(seen.wrong);
	}
}

Test(stream, full_block_is_enospc_and_fits)
{
	struct stream_header header = header_make();
	_cleanup_free_ uint8_t *buf = malloc(STREAM_BUFFER_MIN),
			       *all = malloc(4 * STREAM_BLOCK_MAX);
	uint8_t key[KEY_SIZE], value[VALUE_SIZE];
	struct seen seen = { 0 };
	struct stream_encoder e;
	enum stream_kind kind;
	size_t len, flushes = 0;

	cr_assert_eq(stream_encoder_begin(&e, &header, buf, STREAM_BUFFER_MIN, NULL), 0);
	memcpy(all, buf, e.len);
	len = e.len;
	for (size_t i = 0; i < 5000; i++) {
		record_make(i, &kind, key, value);
		if (stream_encoder_add(&e, kind, key, value) == -ENOSPC) {
			memcpy(all + len, buf, stream_encoder_flush(&e));
			len += e.len;
			flushes++;
			cr_assert_eq(stream_encoder_add(&e, kind, key, value), 0);
		}
	}
	memcpy(all + len, buf, stream_encoder_end(&e));
	len += e.len;
	cr_assert_eq(flushes, 2);
	cr_assert_eq(decode(all, len, 7777, &seen, NULL), 0);
	cr_assert_eq(seen.records, 5000);
	cr_assert_not(seen.wrong);
}

/* Keys and values of any size, of which the records repeat much, something or nothing. */
Test(stream, any_sizes_and_repetitions)
{
	uint8_t in[8][STREAM_KEY_MAX + 200], packed[2 * (STREAM_KEY_MAX + 200)];
	struct random random = { 1 };

	for (int run = 0; run < 20000; run++) {
		uint32_t size = 1 + random_below(&random, sizeof(in[0])), differ;
		uint32_t pack_base[STREAM_WORDS(sizeof(in[0]))] = { 0 };
		uint32_t base[STREAM_WORDS(sizeof(in[0]))] = { 0 }, out[ARRAY_SIZE(base)];

		differ = random_below(&random, 8);
		for (int i = 0; i < 8; i++) {
			size_t len;

			for (uint32_t n = 0; n < size; n++)
				in[i][n] = i && random_below(&random, 8) >= differ ?
						   in[i - 1][n] :
						   (uint8_t)random_below(&random, 3);
			len = stream_pack(in[i], size, pack_base, packed);
			cr_assert_leq(len, STREAM_MASK(size) + 4 * STREAM_WORDS(size));
			cr_assert_eq(stream_unpack(packed, size, base, out), len);
			cr_assert_eq(memcmp(in[i], out, size), 0, "%u bytes, record %d", size, i);
			memcpy(base, out, sizeof(base));
		}
	}
}

/* A record that is like the one before takes a bit a word. */
Test(stream, what_repeats_is_left_out)
{
	struct stream_header header = header_make();
	_cleanup_free_ uint8_t *buf = malloc(STREAM_BUFFER_MIN);
	uint8_t key[KEY_SIZE], value[VALUE_SIZE];
	struct stream_encoder e;
	enum stream_kind kind;
	size_t one;

	record_make(0, &kind, key, value);
	cr_assert_eq(stream_encoder_begin(&e, &header, buf, STREAM_BUFFER_MIN, NULL), 0);
	cr_assert_eq(stream_encoder_add(&e, kind, key, value), 0);
	one = e.block;
	cr_assert_eq(stream_encoder_add(&e, kind, key, value), 0);
	cr_assert_eq(e.block - one, 1 + STREAM_MASK(KEY_SIZE) + STREAM_MASK(VALUE_SIZE));
	stream_encoder_flush(&e);
	/* a block stands for itself */
	cr_assert_eq(stream_encoder_add(&e, kind, key, value), 0);
	cr_assert_eq(e.block, one);
}

/* The damaged block, and all behind it, must never reach the sink. */
Test(stream, every_flipped_byte_is_found)
{
	size_t len, header;
	_cleanup_free_ uint8_t *data = stream_make(RECORDS, PER_BLOCK, &len, &header);
	const uint8_t flips[] = { 0x01, 0x80, 0xff };

	for (size_t at = 0; at < len * ARRAY_SIZE(flips); at++) {
		struct seen seen = { 0 };
		struct ff_error err = { 0 };

		data[at / ARRAY_SIZE(flips)] ^= flips[at % ARRAY_SIZE(flips)];
		cr_assert_lt(decode(data, len, 333, &seen, &err), 0, "flip at %zu unseen",
			     at / ARRAY_SIZE(flips));
		cr_assert_not(seen.wrong, "damaged record handed on, flip at %zu",
			      at / ARRAY_SIZE(flips));
		cr_assert(err.message[0] && err.code[0]);
		if (at / ARRAY_SIZE(flips) < header)
			cr_assert_eq(seen.headers, 0);
		data[at / ARRAY_SIZE(flips)] ^= flips[at % ARRAY_SIZE(flips)];
	}
}

Test(stream, every_truncation_is_found)
{
	size_t len, header;
	_cleanup_free_ uint8_t *data = stream_make(RECORDS, PER_BLOCK, &len, &header);

	for (size_t cut = 0; cut < len; cut++) {
		struct seen seen = { 0 };

		cr_assert_eq(decode(data, cut, 100, &seen, NULL), -EPROTO, "cut at %zu", cut);
		cr_assert_not(seen.wrong);
		cr_assert_eq(seen.records % PER_BLOCK, 0, "a part of a block handed on");
	}
}

Test(stream, bytes_behind_the_end_are_refused)
{
	size_t len, header;
	_cleanup_free_ uint8_t *data = stream_make(RECORDS, PER_BLOCK, &len, &header);
	struct seen seen = { 0 };
	struct ff_error err;

	data = realloc(data, len + 1);
	data[len] = 0;
	cr_assert_eq(decode(data, len + 1, len + 1, &seen, &err), -EPROTO);
	cr_assert_str_eq(err.message, "bytes follow the end of the state stream");
}

/* A block left out, with the header and the end record intact. */
Test(stream, missing_block_is_found)
{
	size_t len, header, block;
	_cleanup_free_ uint8_t *data = stream_make(RECORDS, PER_BLOCK, &len, &header);
	struct seen seen = { 0 };
	struct wire_block wire;

	memcpy(&wire, data + header, sizeof(wire));
	block = sizeof(wire) + wire.len;
	memmove(data + header, data + header + block, len - header - block);
	cr_assert_eq(decode(data, len - block, 64, &seen, NULL), -EPROTO);
}

/* Each with a checksum that is right: the decoder's own bounds have to catch it. */
Test(stream, foreign_headers_are_refused)
{
	static const struct {
		const char *what;
		size_t offset;
		uint8_t byte;
	} cases[] = {
		{ "magic", offsetof(struct wire_header, magic), 'X' },
		{ "version", offsetof(struct wire_header, version), 1 },
		{ "byte order", offsetof(struct wire_header, byte_order), 0x01 },
		{ "key size 0", offsetof(struct wire_header, key_size), 0 },
		{ "key size", offsetof(struct wire_header, key_size) + 1, 1 },
		{ "value size", offsetof(struct wire_header, value_size) + 2, 1 },
		{ "value size without a head", offsetof(struct wire_header, value_size),
		  STREAM_VALUE_MIN - 1 },
		{ "schema size", offsetof(struct wire_header, schema_len) + 3, 1 },
		{ "no operation", offsetof(struct wire_header, op), 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len, header;
		_cleanup_free_ uint8_t *data = stream_make(3, 3, &len, &header);
		struct wire_header wire;
		struct seen seen = { 0 };

		data[cases[i].offset] = cases[i].byte;
		memcpy(&wire, data, sizeof(wire));
		wire.crc = 0;
		wire.crc = stream_crc(&wire, sizeof(wire), schema_text, sizeof(schema_text) - 1);
		memcpy(data, &wire, sizeof(wire));
		cr_assert_eq(decode(data, len, len, &seen, NULL), -EPROTO, "%s", cases[i].what);
		cr_assert_eq(seen.headers, 0, "%s", cases[i].what);
	}
}

Test(stream, malformed_blocks_are_refused)
{
	static const struct {
		const char *what;
		size_t offset; /* in the block */
		uint8_t byte;
	} cases[] = {
		{ "no records", offsetof(struct wire_block, records), 0 },
		{ "more records than fit", offsetof(struct wire_block, records) + 1, 1 },
		{ "one record less", offsetof(struct wire_block, records), PER_BLOCK - 1 },
		{ "one record more", offsetof(struct wire_block, records), PER_BLOCK + 1 },
		{ "huge", offsetof(struct wire_block, len) + 3, 0x7f },
		{ "unknown kind", sizeof(struct wire_block), 3 },
		{ "a word too few", sizeof(struct wire_block) + 1, 0xfe },
		{ "a word too many", sizeof(struct wire_block) + 2, 0x07 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len, header;
		_cleanup_free_ uint8_t *data = stream_make(RECORDS, PER_BLOCK, &len, &header);
		struct wire_block wire;
		struct seen seen = { 0 };

		data[header + cases[i].offset] = cases[i].byte;
		memcpy(&wire, data + header, sizeof(wire));
		wire.crc = 0;
		if (wire.len < len)
			wire.crc = stream_crc(&wire, sizeof(wire), data + header + sizeof(wire),
					      wire.len);
		memcpy(data + header, &wire, sizeof(wire));
		cr_assert_eq(decode(data, len, len, &seen, NULL), -EPROTO, "%s", cases[i].what);
		cr_assert_eq(seen.records, 0, "%s", cases[i].what);
	}
}

Test(stream, the_sink_may_refuse)
{
	size_t len, header;
	_cleanup_free_ uint8_t *data = stream_make(RECORDS, PER_BLOCK, &len, &header);
	struct seen at_header = { .refuse = EPERM };
	struct seen at_block = { .refuse = ENOSPC, .refuse_block = true };
	struct ff_error err;

	cr_assert_eq(decode(data, len, len, &at_header, &err), -EPERM);
	cr_assert_str_eq(err.message, "not today");
	cr_assert_eq(decode(data, len, len, &at_block, &err), -ENOSPC);
	cr_assert(err.message[0], "a sink without words gets some");
}

Test(stream, headers_out_of_bounds_are_not_sent)
{
	_cleanup_free_ uint8_t *buf = malloc(STREAM_BUFFER_MIN);
	_cleanup_free_ char *schema = malloc(STREAM_SCHEMA_MAX + 1);
	struct stream_header header = header_make();
	struct stream_encoder e;
	struct ff_error err;

	header.value_size = STREAM_VALUE_MAX + 1;
	cr_assert_eq(stream_encoder_begin(&e, &header, buf, STREAM_BUFFER_MIN, &err), -EINVAL);
	header = header_make();
	header.value_size = STREAM_VALUE_MIN - 1;
	cr_assert_eq(stream_encoder_begin(&e, &header, buf, STREAM_BUFFER_MIN, &err), -EINVAL);
	cr_assert(strstr(err.message, "no room for the head"), "%s", err.message);
	header.value_size = STREAM_VALUE_MIN;
	cr_assert_eq(stream_encoder_begin(&e, &header, buf, STREAM_BUFFER_MIN, &err), 0);
	header = header_make();
	header.key_size = 0;
	cr_assert_eq(stream_encoder_begin(&e, &header, buf, STREAM_BUFFER_MIN, &err), -EINVAL);
	header = header_make();
	memset(schema, 'x', STREAM_SCHEMA_MAX);
	schema[STREAM_SCHEMA_MAX] = 0;
	header.schema = schema;
	cr_assert_eq(stream_encoder_begin(&e, &header, buf, STREAM_BUFFER_MIN, &err), -EINVAL);
}
