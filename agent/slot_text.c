/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/slot_text.h"

#include <string.h>

/* snprintf() takes ten times as long. */
static void number_put(struct slot_text *out, uint64_t value)
{
	char digits[20];
	size_t n = sizeof(digits);

	do {
		digits[--n] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	memcpy(out->text + out->len, digits + n, sizeof(digits) - n);
	out->len += sizeof(digits) - n;
}

void slot_text_put(struct slot_text *out, uint32_t slot, uint64_t packets, uint64_t bytes,
		   uint32_t flows)
{
	if (!out->len || slot != out->next) {
		if (out->len)
			out->text[out->len++] = ';';
		number_put(out, slot);
	}
	out->next = slot + 1;
	out->text[out->len++] = ' ';
	number_put(out, packets);
	out->text[out->len++] = '/';
	number_put(out, bytes);
	out->text[out->len++] = '/';
	number_put(out, flows);
}

void slot_text_end(struct slot_text *out)
{
	out->text[out->len] = '\0';
}
