/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The state stream's wire format and its encoder; the decoder is in stream_decoder.c.
 */
#include <assert.h>
#include <endian.h>
#include <string.h>
#include <zlib.h>

#include "lib/stream.h"
#include "lib/stream_wire.h"

uint32_t stream_crc(const void *head, size_t head_len, const void *data, size_t len)
{
	uLong crc = crc32(0, head, (uInt)head_len);

	/* zlib takes NULL as a wish for the initial value, whatever came before */
	return (uint32_t)(len ? crc32(crc, data, (uInt)len) : crc);
}

static int header_check(const struct stream_header *header, struct ff_error *err)
{
	const char *mend = "declare smaller state in the NF";
	size_t schema = strlen(header->schema);

	if (!header->key_size || header->key_size > STREAM_KEY_MAX)
		return error_set(err, EINVAL, FF_CODE_REFUSED, mend,
				 "state keys of %u bytes can't be sent, the limit is %u",
				 header->key_size, STREAM_KEY_MAX);
	if (header->value_size < STREAM_VALUE_MIN)
		return error_set(err, EINVAL, FF_CODE_REFUSED,
				 "begin the NF's state with struct ff_head (bpf/nf.h)",
				 "state values of %u bytes have no room for the head of %zu",
				 header->value_size, STREAM_VALUE_MIN);
	if (header->value_size > STREAM_VALUE_MAX)
		return error_set(err, EINVAL, FF_CODE_REFUSED, mend,
				 "state values of %u bytes can't be sent, the limit is %u",
				 header->value_size, STREAM_VALUE_MAX);
	if (schema >= STREAM_SCHEMA_MAX)
		return error_set(err, EINVAL, FF_CODE_REFUSED, mend,
				 "a schema of %zu characters can't be sent, the limit is %u",
				 schema, STREAM_SCHEMA_MAX - 1);
	return 0;
}

int stream_encoder_begin(struct stream_encoder *e, const struct stream_header *header, void *buf,
			 size_t size, struct ff_error *err)
{
	struct wire_header wire = {
		.magic = htole32(WIRE_MAGIC_HEADER),
		.version = htole16(STREAM_VERSION),
		.byte_order = STREAM_BYTE_ORDER,
	};
	size_t schema;
	int r;

	assert(size >= STREAM_BUFFER_MIN);
	r = header_check(header, err);
	if (r < 0)
		return r;
	schema = strlen(header->schema);
	wire.schema_len = htole32((uint32_t)schema);
	wire.service = htole32(header->service);
	wire.epoch = htole32(header->epoch);
	wire.round = htole32(header->round);
	wire.flags = htole32(header->final ? WIRE_FINAL : 0);
	wire.key_size = htole32(header->key_size);
	wire.value_size = htole32(header->value_size);
	wire.token = htole64(header->token);
	wire.clock_ns = htole64(header->clock_ns);
	wire.schema_hash = htole64(header->schema_hash);
	memcpy(wire.op, header->op, strnlen(header->op, sizeof(wire.op)));
	/* the checksum is over the header with crc 0, and the schema's text */
	wire.crc = htole32(stream_crc(&wire, sizeof(wire), header->schema, schema));

	*e = (struct stream_encoder){
		.buf = buf,
		.size = size,
		.len = sizeof(wire) + schema,
		.key_size = header->key_size,
		.value_size = header->value_size,
		.records_max = STREAM_BLOCK_MAX /
			       (STREAM_FULL(header->key_size) + STREAM_FULL(header->value_size)),
	};
	memcpy(e->buf, &wire, sizeof(wire));
	memcpy(e->buf + sizeof(wire), header->schema, schema);
	return 0;
}

int stream_encoder_add(struct stream_encoder *e, enum stream_kind kind, const void *key,
		       const void *value)
{
	uint8_t *place = e->buf + sizeof(struct wire_block) + e->block, *next = place;

	assert(kind == STREAM_DELETE || value);
	if (e->records == e->records_max)
		return -ENOSPC;

	e->len = 0;
	if (!e->records) {
		memset(e->key, 0, sizeof(e->key));
		memset(e->value, 0, STREAM_WORDS(e->value_size) * sizeof(*e->value));
	}
	*next++ = (uint8_t)kind;
	next += stream_pack(key, e->key_size, e->key, next);
	if (kind == STREAM_UPSERT)
		next += stream_pack(value, e->value_size, e->value, next);
	e->block += (size_t)(next - place);
	e->records++;
	if (kind == STREAM_UPSERT)
		e->counts.upserts++;
	else
		e->counts.deletes++;
	return 0;
}

size_t stream_encoder_flush(struct stream_encoder *e)
{
	struct wire_block block = {
		.magic = htole32(WIRE_MAGIC_BLOCK),
		.len = htole32((uint32_t)e->block),
		.records = htole32(e->records),
	};

	e->len = 0;
	if (!e->records)
		return 0;
	block.crc = htole32(stream_crc(&block, sizeof(block), e->buf + sizeof(block), e->block));
	memcpy(e->buf, &block, sizeof(block));
	e->len = sizeof(block) + e->block;
	e->block = 0;
	e->records = 0;
	e->counts.blocks++;
	return e->len;
}

size_t stream_encoder_end(struct stream_encoder *e)
{
	struct wire_end end = { .magic = htole32(WIRE_MAGIC_END) };
	size_t len = stream_encoder_flush(e);

	end.blocks = htole64(e->counts.blocks);
	end.upserts = htole64(e->counts.upserts);
	end.deletes = htole64(e->counts.deletes);
	end.crc = htole32(stream_crc(&end, sizeof(end), NULL, 0));
	/* STREAM_BUFFER_MIN leaves room for both */
	memcpy(e->buf + len, &end, sizeof(end));
	e->len = len + sizeof(end);
	return e->len;
}
