/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/slot_text.h"

#include "lib/json_text.h"

static void number_put(struct slot_text *out, uint64_t value)
{
	out->len += json_text_digits(out->text + out->len, value);
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
