/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The state stream's records without what they repeat: keys of one service and states of one NF have
 * half of their 32-bit words in common, and a byte that isn't sent need not be summed, encrypted,
 * copied six times and carried either. Both directions without a branch that depends on the data.
 */
#include <endian.h>
#include <string.h>

#include "lib/stream_wire.h"

/* The word at @at of @size bytes; the last one may be a part. */
static uint32_t word_load(const uint8_t *data, uint32_t size, uint32_t at)
{
	uint32_t word = 0;

	if (size - at >= sizeof(word))
		memcpy(&word, data + at, sizeof(word));
	else
		memcpy(&word, data + at, size - at);
	return word;
}

size_t stream_pack(const void *data, uint32_t size, uint32_t *base, uint8_t *to)
{
	uint32_t words = STREAM_WORDS(size);
	uint8_t *mask = to, *next = to + STREAM_MASK(size);

	for (uint32_t first = 0; first < words; first += 8) {
		uint32_t bits = 0, count = MIN(words - first, 8u);

		for (uint32_t i = 0; i < count; i++) {
			uint32_t word = word_load(data, size, (first + i) * 4);
			uint32_t changed = word != base[first + i];

			memcpy(next, &word, sizeof(word)); /* to be overwritten if it isn't sent */
			next += changed * sizeof(word);
			base[first + i] = word;
			bits |= changed << i;
		}
		*mask++ = (uint8_t)bits;
	}
	return (size_t)(next - to);
}

size_t stream_unpack(const uint8_t *from, uint32_t size, const uint32_t *base, uint32_t *to)
{
	uint32_t words = STREAM_WORDS(size);
	const uint8_t *mask = from, *next = from + STREAM_MASK(size);

	for (uint32_t first = 0; first < words; first += 8) {
		uint32_t bits = *mask++, count = MIN(words - first, 8u);

		if (bits >> count)
			return 0;
		for (uint32_t i = 0; i < count; i++) {
			uint32_t word, changed = bits >> i & 1;

			memcpy(&word, next, sizeof(word));
			next += changed * sizeof(word);
			to[first + i] = changed ? word : base[first + i];
		}
	}
	return (size_t)(next - from);
}
