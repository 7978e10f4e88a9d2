/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The state stream's records without what they repeat: keys of one service and states of one NF
 * have half of their 32-bit words in common, and a byte that isn't sent need not be summed,
 * encrypted, copied six times and carried either. Both directions without a branch that depends on
 * the data.
 */
#include <endian.h>
#include <string.h>

#include "lib/stream_wire.h"

/* Packs @count words, at most 8, behind *next; returns their bits of the mask. */
static inline uint32_t words_pack(const uint8_t *from, uint32_t count, uint32_t *restrict base,
				  uint8_t **next)
{
	uint8_t *to = *next;
	uint32_t bits = 0;

#pragma GCC unroll 8
	for (uint32_t i = 0; i < count; i++) {
		uint32_t word, changed;

		memcpy(&word, from + i * sizeof(word), sizeof(word));
		memcpy(to, &word, sizeof(word)); /* to be overwritten if it isn't sent */
		changed = word != base[i];
		to += changed * sizeof(word);
		bits |= changed << i;
	}
	memcpy(base, from, count * sizeof(*base));
	*next = to;
	return bits;
}

size_t stream_pack(const void *data, uint32_t size, uint32_t *base, uint8_t *to)
{
	uint8_t *mask = to, *next = to + STREAM_MASK(size), last[sizeof(*base)] = { 0 };
	const uint8_t *from = data;
	uint32_t words = size / sizeof(*base);

	for (; words >= 8; words -= 8, from += 8 * sizeof(*base), base += 8)
		*mask++ = (uint8_t)words_pack(from, 8, base, &next);
	if (words)
		*mask = (uint8_t)words_pack(from, words, base, &next);
	if (size % sizeof(*base)) { /* the last word is filled up */
		memcpy(last, from + words * sizeof(*base), size % sizeof(*base));
		*mask = (uint8_t)((words ? *mask : 0) | words_pack(last, 1, base + words, &next)
								<< words);
	}
	return (size_t)(next - to);
}

/* Unpacks @count words, at most 8, from *next. */
static inline void words_unpack(uint32_t bits, uint32_t count, const uint32_t *restrict base,
				uint32_t *restrict to, const uint8_t **next)
{
	const uint8_t *from = *next;

#pragma GCC unroll 8
	for (uint32_t i = 0; i < count; i++) {
		uint32_t word, changed = bits >> i & 1;

		memcpy(&word, from, sizeof(word));
		from += changed * sizeof(word);
		to[i] = base[i] ^ ((word ^ base[i]) & -changed);
	}
	*next = from;
}

size_t stream_unpack(const uint8_t *from, uint32_t size, const uint32_t *base, uint32_t *to)
{
	const uint8_t *mask = from, *next = from + STREAM_MASK(size);
	uint32_t words = STREAM_WORDS(size);

	for (; words >= 8; words -= 8, base += 8, to += 8)
		words_unpack(*mask++, 8, base, to, &next);
	if (words) {
		if (*mask >> words)
			return 0;
		words_unpack(*mask, words, base, to, &next);
	}
	return (size_t)(next - from);
}
