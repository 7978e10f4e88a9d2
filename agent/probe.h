/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * probe.h - the sources of a sample, all with one face. A new one is a file probe_NAME.c with a
 * struct probe, and a line in probe.c.
 *
 * A probe reads; it never waits, and never says 0 for what it doesn't know: it fails with a reason,
 * which the sample then has in place of the figures. All run in the monitor's thread.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

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
	 * @now_ns is CLOCK_MONOTONIC. *ret NULL: nothing to tell this time. It is the caller's. A string
	 * is taken for JSON that is written already: some ten thousand numbers a second are cheaper so.
	 */
	int (*read)(struct agent *agent, void *state, uint64_t now_ns, json_t **ret,
		    struct ff_error *err);
	void (*close)(void *state);
};

#define PROBES 12
extern const struct probe *const probes[PROBES];

/* Counters whose names are in @names as an object of them; NULL: out of memory. */
json_t *probe_object(size_t count, const char *const names[], const uint64_t values[]);
