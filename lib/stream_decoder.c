/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The state stream's decoder: a machine that waits for a part of known length (a structure, then
 * what it announces), and judges each part only when all of it is there.
 *
 *	HEADER -> SCHEMA -> ITEM -> BLOCK -> ITEM ... -> END -> DONE
 *
 * ITEM is the 16 bytes that a block and an end record have in common in size; the end's rest
 * follows. The first error is kept, and answered to all further calls.
 */
#include <endian.h>
#include <string.h>

#include "lib/stream.h"
#include "lib/stream_wire.h"

#define MEND_STREAM                                                                                \
	"the stream is damaged or not ours: repeat the move; check the versions at both ends"

enum part { PART_HEADER, PART_SCHEMA, PART_ITEM, PART_BLOCK, PART_END, PART_DONE };

struct stream_decoder {
	struct stream_sink sink;
	enum part part;
	size_t need; /* bytes of this part, gathered at buf */
	size_t have;
	struct stream_header header;
	struct wire_header wire;
	struct wire_block block;
	struct stream_counts counts;
	struct stream_record *records;
	size_t records_max;
	struct ff_error error; /* err 0: none yet */
	char schema[STREAM_SCHEMA_MAX];
	/* a record may announce more than is there */
	uint8_t buf[STREAM_PAYLOAD_MAX + STREAM_KEY_MAX + STREAM_VALUE_MAX + 1024];
	uint64_t full[STREAM_BLOCK_MAX / 8]; /* the block's records, unpacked */
};

int stream_decoder_new(const struct stream_sink *sink, struct stream_decoder **ret)
{
	struct stream_decoder *d = malloc(sizeof(*d));

	if (!d)
		return -ENOMEM;
	memset(d, 0, offsetof(struct stream_decoder, schema));
	d->sink = *sink;
	d->part = PART_HEADER;
	d->need = sizeof(struct wire_header);
	*ret = d;
	return 0;
}

void stream_decoder_free(struct stream_decoder *d)
{
	if (!d)
		return;
	free(d->records);
	free(d);
}

const struct stream_counts *stream_decoder_counts(const struct stream_decoder *d)
{
	return &d->counts;
}

static void decoder_expect(struct stream_decoder *d, enum part part, size_t need)
{
	d->part = part;
	d->need = need;
	d->have = 0;
}

#define bad(d, err, ...)                                                                           \
	error_set(&(d)->error, (err), FF_CODE_BAD_REQUEST, MEND_STREAM, __VA_ARGS__)

/* What can be judged before the schema is here: who speaks, and whether the sizes are sane. */
static int header_take(struct stream_decoder *d)
{
	struct wire_header *w = &d->wire;

	memcpy(w, d->buf, sizeof(*w));
	if (le32toh(w->magic) != WIRE_MAGIC_HEADER)
		return bad(d, EPROTO, "not a state stream: it begins with 0x%08x",
			   le32toh(w->magic));
	if (le16toh(w->version) != STREAM_VERSION)
		return bad(d, EPROTO, "state stream of version %u, this agent speaks %u",
			   le16toh(w->version), STREAM_VERSION);
	if (w->byte_order != STREAM_BYTE_ORDER)
		return bad(d, EPROTO, "state stream from a host of another byte order");
	if (!w->key_size || le32toh(w->key_size) > STREAM_KEY_MAX)
		return bad(d, EPROTO, "state stream with keys of %u bytes, the limit is %u",
			   le32toh(w->key_size), STREAM_KEY_MAX);
	if (le32toh(w->value_size) < STREAM_VALUE_MIN)
		return bad(d, EPROTO,
			   "state stream with values of %u bytes, of which %zu are the head",
			   le32toh(w->value_size), STREAM_VALUE_MIN);
	if (le32toh(w->value_size) > STREAM_VALUE_MAX)
		return bad(d, EPROTO, "state stream with values of %u bytes, the limit is %u",
			   le32toh(w->value_size), STREAM_VALUE_MAX);
	if (!w->schema_len || le32toh(w->schema_len) >= STREAM_SCHEMA_MAX)
		return bad(d, EPROTO, "state stream with a schema of %u bytes, the limit is %u",
			   le32toh(w->schema_len), STREAM_SCHEMA_MAX - 1);
	decoder_expect(d, PART_SCHEMA, le32toh(w->schema_len));
	return 0;
}

static int schema_take(struct stream_decoder *d)
{
	struct wire_header *w = &d->wire;
	uint32_t crc = le32toh(w->crc);

	w->crc = 0;
	if (stream_crc(w, sizeof(*w), d->buf, d->need) != crc)
		return bad(d, EBADMSG, "the header's checksum is wrong");
	if (memchr(d->buf, 0, d->need) || memchr(w->op, 0, sizeof(w->op)) == w->op)
		return bad(d, EPROTO,
			   "state stream without an operation, or with a malformed schema");
	memcpy(d->schema, d->buf, d->need);
	d->schema[d->need] = 0;
	d->header = (struct stream_header){
		.service = le32toh(w->service),
		.epoch = le32toh(w->epoch),
		.token = le64toh(w->token),
		.round = le32toh(w->round),
		.final = le32toh(w->flags) & WIRE_FINAL,
		.key_size = le32toh(w->key_size),
		.value_size = le32toh(w->value_size),
		.clock_ns = le64toh(w->clock_ns),
		.schema_hash = le64toh(w->schema_hash),
		.schema = d->schema,
	};
	memcpy(d->header.op, w->op, sizeof(w->op));
	decoder_expect(d, PART_ITEM, sizeof(struct wire_block));
	return d->sink.header(d->sink.ctx, &d->header, &d->error);
}

static int item_take(struct stream_decoder *d)
{
	uint32_t len, records,
		full = STREAM_FULL(d->header.key_size) + STREAM_FULL(d->header.value_size);
	struct wire_block *b = &d->block;

	memcpy(b, d->buf, sizeof(*b));
	if (le32toh(b->magic) == WIRE_MAGIC_END) {
		/* the rest of it goes behind these bytes */
		d->part = PART_END;
		d->need = sizeof(struct wire_end);
		return 0;
	}
	len = le32toh(b->len);
	records = le32toh(b->records);
	if (le32toh(b->magic) != WIRE_MAGIC_BLOCK)
		return bad(d, EPROTO, "neither a block nor the end follows block %llu",
			   (unsigned long long)d->counts.blocks);
	if (!len || len > STREAM_PAYLOAD_MAX || !records || records > STREAM_BLOCK_MAX / full)
		return bad(d, EPROTO, "block %llu claims %u records in %u bytes",
			   (unsigned long long)d->counts.blocks, records, len);
	decoder_expect(d, PART_BLOCK, len);
	return 0;
}

/* The records array grows to the largest block's count, which item_take() has bounded. */
static int records_reserve(struct stream_decoder *d, size_t count)
{
	struct stream_record *records;

	if (count <= d->records_max)
		return 0;
	records = reallocarray(d->records, count, sizeof(*records));
	if (!records)
		return error_nomem(&d->error);
	d->records = records;
	d->records_max = count;
	return 0;
}

/* Where records are unpacked to, and which one was the last. */
struct unpacking {
	const uint8_t *from;
	uint8_t *to;
	const uint32_t *key, *value;
};

static int record_take(struct stream_decoder *d, struct unpacking *u, struct stream_record *ret)
{
	const uint8_t *end = d->buf + d->need, *from = u->from;
	uint32_t *key = (uint32_t *)u->to, *value;
	size_t took = 0;

	if (from == end)
		return bad(d, EPROTO, "block %llu ends early",
			   (unsigned long long)d->counts.blocks);
	ret->kind = *from++;
	if (ret->kind != STREAM_UPSERT && ret->kind != STREAM_DELETE)
		return bad(d, EPROTO, "record of unknown kind %u", ret->kind);
	took = stream_unpack(from, d->header.key_size, u->key, key);
	ret->key = u->key = key;
	ret->value = NULL;
	from += took;
	u->to += STREAM_FULL(d->header.key_size);
	if (took && from < end && ret->kind == STREAM_UPSERT) {
		value = (uint32_t *)u->to;
		took = stream_unpack(from, d->header.value_size, u->value, value);
		ret->value = u->value = value;
		from += took;
		u->to += STREAM_FULL(d->header.value_size);
	}
	if (!took || from > end || (ret->kind == STREAM_UPSERT && !ret->value))
		return bad(d, EPROTO, "malformed record in block %llu",
			   (unsigned long long)d->counts.blocks);
	u->from = from;
	return 0;
}

static int block_take(struct stream_decoder *d)
{
	uint32_t crc = le32toh(d->block.crc), count = le32toh(d->block.records);
	static const uint32_t zeros[STREAM_VALUE_MAX / 4];
	struct unpacking unpacking = { d->buf, (uint8_t *)d->full, zeros, zeros };
	uint64_t upserts = 0;
	int r;

	d->block.crc = 0;
	if (stream_crc(&d->block, sizeof(d->block), d->buf, d->need) != crc)
		return bad(d, EBADMSG, "the checksum of block %llu is wrong",
			   (unsigned long long)d->counts.blocks);
	r = records_reserve(d, count);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < count; i++) {
		r = record_take(d, &unpacking, &d->records[i]);
		if (r < 0)
			return r;
		upserts += d->records[i].kind == STREAM_UPSERT;
	}
	if (unpacking.from != d->buf + d->need)
		return bad(d, EPROTO, "block %llu has %zu bytes behind its last record",
			   (unsigned long long)d->counts.blocks,
			   (size_t)(d->buf + d->need - unpacking.from));
	r = d->sink.block(d->sink.ctx, d->records, count, &d->error);
	if (r < 0)
		return r;
	d->counts.blocks++;
	d->counts.upserts += upserts;
	d->counts.deletes += count - upserts;
	decoder_expect(d, PART_ITEM, sizeof(struct wire_block));
	return 0;
}

static int end_take(struct stream_decoder *d)
{
	struct wire_end end;
	uint32_t crc;

	memcpy(&end, d->buf, sizeof(end));
	crc = le32toh(end.crc);
	end.crc = 0;
	if (stream_crc(&end, sizeof(end), NULL, 0) != crc)
		return bad(d, EBADMSG, "the checksum of the end record is wrong");
	if (le64toh(end.blocks) != d->counts.blocks || le64toh(end.upserts) != d->counts.upserts ||
	    le64toh(end.deletes) != d->counts.deletes)
		return bad(d, EPROTO,
			   "the end record tells of %llu blocks, %llu upserts and %llu deletes, "
			   "%llu, %llu and %llu came",
			   (unsigned long long)le64toh(end.blocks),
			   (unsigned long long)le64toh(end.upserts),
			   (unsigned long long)le64toh(end.deletes),
			   (unsigned long long)d->counts.blocks,
			   (unsigned long long)d->counts.upserts,
			   (unsigned long long)d->counts.deletes);
	decoder_expect(d, PART_DONE, 0);
	return 0;
}

static int part_take(struct stream_decoder *d)
{
	switch (d->part) {
	case PART_HEADER:
		return header_take(d);
	case PART_SCHEMA:
		return schema_take(d);
	case PART_ITEM:
		return item_take(d);
	case PART_BLOCK:
		return block_take(d);
	case PART_END:
		return end_take(d);
	case PART_DONE:
		break;
	}
	return bad(d, EPROTO, "bytes follow the end of the state stream");
}

/* Keeps the error for later calls; a sink that gave a number but no words gets some. */
static int decoder_fail(struct stream_decoder *d, int r, struct ff_error *err)
{
	if (!d->error.err)
		error_set(&d->error, r, error_code(r), NULL, "the state stream was refused");
	if (err)
		*err = d->error;
	return d->error.err;
}

int stream_decoder_feed(struct stream_decoder *d, const void *data, size_t len,
			struct ff_error *err)
{
	const uint8_t *from = data;
	int r;

	if (d->error.err)
		return decoder_fail(d, d->error.err, err);
	while (len > 0) {
		size_t piece = MIN(len, d->need - d->have);

		memcpy(d->buf + d->have, from, piece);
		d->have += piece;
		from += piece;
		len -= piece;
		if (d->have < d->need)
			break;
		r = part_take(d);
		if (r < 0)
			return decoder_fail(d, r, err);
	}
	return 0;
}

int stream_decoder_finish(struct stream_decoder *d, struct ff_error *err)
{
	if (!d->error.err && d->part != PART_DONE)
		bad(d, EPROTO, "the state stream ends early, after %llu blocks",
		    (unsigned long long)d->counts.blocks);
	return d->error.err ? decoder_fail(d, d->error.err, err) : 0;
}
