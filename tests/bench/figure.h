/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* figure.h - what is behind bench.h: figures, and the same as JSON for the report. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "tests/bench/bench.h"

struct figure {
	char *id, *unit, *what;
	char *failed; /* why it is none; NULL: it isn't known to have failed */
	double *samples;
	size_t count, space;
	bool has_target;
	enum bound bound;
	double limit;
	const struct figure *of, *beside;
};

struct bench {
	const struct bench_suite *suite;
	int runs;
	bool terminal; /* somebody watches progress on stderr */
	struct figure **figures;
	size_t count, space;
};

void bench_init(struct bench *bench, const struct bench_suite *suite, int runs, bool terminal);
void bench_done(struct bench *bench);
/* Takes the line of progress off the terminal. */
void bench_progress_end(const struct bench *bench);

/*
 * [{"id","what","unit","failed":null|TEXT,"median","min","max","p99","samples":[..],
 * "target":null|{"bound":"at-most"|"at-least","limit","of":null|ID,"floor":null|N,"ratio","met"},
 * "beside":null|{"of":ID,"median","ratio"}}]. The ratio is to the floor, or to the limit without
 * one. What has failed has no numbers at all; where the floor has failed, so has the figure.
 */
json_t *bench_to_json(const struct bench *bench);
