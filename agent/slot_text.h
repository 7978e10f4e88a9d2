/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * slot_text.h - the figures of some thousand slots as text: "0 12/640/3 0/0/1;2048 7/420/1" are slots
 * 0, 1 and 2048, each with packets/bytes/flows. An array of numbers in JSON takes ten times as long to
 * write and to read, and this is done several times a second.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for SLOT_TEXT_EACH bytes a slot is always enough. */
#define SLOT_TEXT_EACH 64

struct slot_text {
	char *text; /* not NUL-terminated */
	size_t len;
	uint32_t next; /* the slot that needs no number */
};

void slot_text_put(struct slot_text *out, uint32_t slot, uint64_t packets, uint64_t bytes,
		   uint32_t flows);
