/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stream.h - the state stream: per-flow state on its way from one agent to another.
 *
 *	header	magic, version, byte order mark, sizes, who, when, schema text; CRC-32
 *	block*	magic, length, number of records, CRC-32 | records
 *	end	magic, how many blocks, upserts and deletes there were; CRC-32
 *
 * A record is its kind, the flow's key and, for an upsert, the whole value as it stands in the
 * source's map. Of both, those 32-bit words are left out that are as in the record before (before a
 * block's first one: as zeros), and a bit for each word says which. Integers of the framing are
 * little-endian; keys and values are in the byte order of the source, and a receiver with another
 * one refuses the stream.
 *
 * The decoder takes pieces of any size and hands on a block only when all of it has arrived and its
 * checksum is right. It is complete only if stream_decoder_finish() says so: what was staged from a
 * stream that ends early is to be thrown away. It keeps one block in memory, never more.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/types.h>

#include "bpf/abi.h"
#include "lib/cleanup.h"
#include "lib/error.h"

#define STREAM_VERSION	    2
#define STREAM_CONTENT_TYPE "application/vnd.flowferry.state"

/* Bounds of what a receiver accepts; an NF's state beyond them is refused when it is loaded. */
#define STREAM_KEY_MAX	  64
#define STREAM_VALUE_MIN  sizeof(struct ff_head) /* with which every value begins */
#define STREAM_VALUE_MAX  4096
#define STREAM_SCHEMA_MAX 32768	 /* 256 fields of 128 characters */
#define STREAM_BLOCK_MAX  262144 /* keys and values of a block, in full: some 1500 flows */
#define STREAM_OP_MAX	  25	 /* operation id and NUL */
#define STREAM_HEADER_MAX (STREAM_SCHEMA_MAX + 256)
/* What an encoder's buffer must hold at least: one whole block, or the header. */
#define STREAM_BUFFER_MIN (STREAM_PAYLOAD_MAX + 128)
/*
 * What they may take on the way: at worst nothing is left out, and 5 words of 4 bytes need 2 more.
 */
#define STREAM_PAYLOAD_MAX (STREAM_BLOCK_MAX / 8 * 9)

enum stream_kind { STREAM_UPSERT = 1, STREAM_DELETE = 2 };

struct stream_header {
	uint32_t service;
	uint32_t epoch; /* of the orchestrator */
	uint64_t token; /* of the move */
	char op[STREAM_OP_MAX];
	uint32_t round;
	bool final;
	uint32_t key_size;
	uint32_t value_size;
	uint64_t clock_ns; /* the source's CLOCK_MONOTONIC when it began to send */
	uint64_t schema_hash;
	/* NUL-terminated; stream_encoder_begin() reads it, a decoder's lives as long as it does. */
	const char *schema;
};

struct stream_record {
	enum stream_kind kind;
	const void *key;
	const void *value; /* NULL in a delete */
};

struct stream_counts {
	uint64_t blocks;
	uint64_t upserts;
	uint64_t deletes;
};

/* ---- encoder ------------------------------------------------------------------------------- */

/*
 * Fills the caller's buffer; never allocates. What to send is buf[0 .. len) after _begin(),
 * _flush() and _end(). Usage:
 *
 *	stream_encoder_begin(&e, &header, buf, sizeof(buf), err);	send(buf, e.len)
 *	for each record:
 *		if (stream_encoder_add(&e, kind, key, value) == -ENOSPC) {
 *			stream_encoder_flush(&e);			send(buf, e.len)
 *			stream_encoder_add(&e, kind, key, value);
 *		}
 *	stream_encoder_end(&e);						send(buf, e.len)
 */
struct stream_encoder {
	uint8_t *buf;
	size_t size;
	size_t len;	  /* bytes to send; the block under way is not among them */
	size_t block;	  /* payload bytes of the block under way */
	uint32_t records; /* in it */
	uint32_t records_max;
	uint32_t key_size;
	uint32_t value_size;
	struct stream_counts counts;
	/* the record before, in words */
	uint32_t key[STREAM_KEY_MAX / 4];
	uint32_t value[STREAM_VALUE_MAX / 4];
};

/*
 * Writes the header. @size is at least STREAM_BUFFER_MIN. -EINVAL: a header beyond the bounds
 * above. Before anything else is added, e->len bytes are to be sent; the next call overwrites them.
 */
int stream_encoder_begin(struct stream_encoder *e, const struct stream_header *header, void *buf,
			 size_t size, struct ff_error *err);

/*
 * Adds a record to the block under way: 0, or -ENOSPC when the block is full: flush, send, repeat.
 */
int stream_encoder_add(struct stream_encoder *e, enum stream_kind kind, const void *key,
		       const void *value);

/* Closes the block under way: returns e->len, the bytes to send; 0 if there was no record. */
size_t stream_encoder_flush(struct stream_encoder *e);

/* Closes the block under way and writes the end record behind it: returns e->len. */
size_t stream_encoder_end(struct stream_encoder *e);

/* ---- decoder ------------------------------------------------------------------------------- */

struct stream_sink {
	/* Once, first. May refuse the stream (negative errno, *err filled). */
	int (*header)(void *ctx, const struct stream_header *header, struct ff_error *err);
	/* A verified block; the records live until it returns. */
	int (*block)(void *ctx, const struct stream_record *records, size_t count,
		     struct ff_error *err);
	void *ctx;
};

struct stream_decoder;

/* *ret is the caller's: stream_decoder_free(). -ENOMEM. */
int stream_decoder_new(const struct stream_sink *sink, struct stream_decoder **ret);
void stream_decoder_free(struct stream_decoder *d); /* NULL is fine */
DEFINE_CLEANUP(struct stream_decoder *, stream_decoder_free);
#define _cleanup_stream_decoder_ _cleanup_(stream_decoder_freep)

/*
 * Takes the next bytes. -EPROTO: not a state stream, of another version or byte order, beyond the
 * bounds, bytes behind its end; -EBADMSG: a checksum is wrong; or what the sink returned. After an
 * error each further call returns it again and the sink is called no more.
 */
int stream_decoder_feed(struct stream_decoder *d, const void *data, size_t len,
			struct ff_error *err);

/* No more bytes come. 0 only if the end record was there and its counts are right; else -EPROTO. */
int stream_decoder_finish(struct stream_decoder *d, struct ff_error *err);

/* What has been handed to the sink. */
const struct stream_counts *stream_decoder_counts(const struct stream_decoder *d);
