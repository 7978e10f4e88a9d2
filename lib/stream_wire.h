/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stream_wire.h - the state stream as bytes. For lib/stream*.c and their test only.
 *
 * Little-endian, but for byte_order, and for keys and values. Each crc is a CRC-32 (zlib's) over
 * its own structure with crc 0, followed by what the structure announces: the schema's text, the
 * block's records, nothing.
 */
#pragma once

#include <linux/types.h>

#include "lib/stream.h"

#define WIRE_MAGIC_HEADER 0x54534646u /* "FFST" */
#define WIRE_MAGIC_BLOCK  0x4b424646u /* "FFBK" */
#define WIRE_MAGIC_END	  0x44454646u /* "FFED" */
#define WIRE_FINAL	  1u
/* Stored as the source would any other number: reads 0x0102 only on a host of the same order. */
#define STREAM_BYTE_ORDER 0x0102

struct wire_header {
	__le32 magic;
	__le16 version;
	__u16 byte_order;
	__le32 crc;
	__le32 schema_len; /* its text follows, without a NUL */
	__le32 service;
	__le32 epoch;
	__le32 round;
	__le32 flags;
	__le32 key_size;
	__le32 value_size;
	__le64 token;
	__le64 clock_ns;
	__le64 schema_hash;
	__u8 op[24];
	__u8 pad[8];
};
_Static_assert(sizeof(struct wire_header) == 96, "wire_header");
_Static_assert(sizeof(struct wire_header) + STREAM_SCHEMA_MAX <= STREAM_HEADER_MAX, "header");
_Static_assert(STREAM_HEADER_MAX <= STREAM_BUFFER_MIN, "buffer holds a header");

struct wire_block {
	__le32 magic;
	__le32 crc;
	__le32 len; /* of the records that follow */
	__le32 records;
};
_Static_assert(sizeof(struct wire_block) == 16, "wire_block");

/*
 * A record is its kind in a byte, its key, packed, and for an upsert its value, packed. Packed are:
 * a mask of bits, the first in bit 0 of the first byte, for the words that differ from those of the
 * record before; then these words. The last word is filled up; no bit behind it may be set.
 */
#define STREAM_WORDS(size) (((size) + 3) / 4)
#define STREAM_MASK(size)  ((STREAM_WORDS(size) + 7) / 8)
/* In full, with both parts aligned to 8: what a decoder keeps of a record. */
#define STREAM_FULL(size) (((size) + 7) / 8 * 8)

/*
 * Packs @data, and leaves it in @base, where the record before was. Returns the
 * length; writes up to 4 bytes more.
 */
size_t stream_pack(const void *data, uint32_t size, uint32_t *base, uint8_t *to);

/*
 * Unpacks @size bytes, rounded up to words. Returns how many it took, 0 if the mask
 * is malformed. It reads what the mask announces, whether it is there or not: the
 * caller has room behind, and looks.
 */
size_t stream_unpack(const uint8_t *from, uint32_t size, const uint32_t *base, uint32_t *to);

struct wire_end {
	__le32 magic;
	__le32 crc;
	__le64 blocks;
	__le64 upserts;
	__le64 deletes;
};
_Static_assert(sizeof(struct wire_end) == 32, "wire_end");
_Static_assert(sizeof(struct wire_block) + STREAM_PAYLOAD_MAX + sizeof(struct wire_end) + 4 <=
		       STREAM_BUFFER_MIN,
	       "buffer holds a block, what is written behind it, and the end");

/* CRC-32 over two pieces. */
uint32_t stream_crc(const void *head, size_t head_len, const void *data, size_t len);
