/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * probe.h - the sources of a sample, all with one face. A new one is a file probe_NAME.c with a
 * struct probe, and a line in probe.c.
 *
 * A probe reads; it never waits, and never says 0 for what it doesn't know: it fails with a reason,
 * which the sample then has in place of the figures. All run in the monitor's thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/json_text.h"

struct agent;

struct probe {
	const char *name;	/* of its part of a sample; see API.md */
	unsigned int period_ms; /* 0: part of every sample */

	/*
	 * Makes what read() is given; may be NULL. Tried again, at the next read, after it failed or
	 * read() did: what is broken may have been mended.
	 */
	int (*open)(struct agent *agent, void **ret_state, struct ff_error *err);
	/*
	 * Writes the part's value to @out, or nothing: there is nothing to tell this time. What a read that
	 * fails has written is taken back. @now_ns is CLOCK_MONOTONIC.
	 */
	int (*read)(struct agent *agent, void *state, uint64_t now_ns, struct json_text *out,
		    struct ff_error *err);
	void (*close)(void *state);
};

#define PROBES 13
extern const struct probe *const probes[PROBES];
