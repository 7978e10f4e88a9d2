/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bench_options.h - the options of `flowferry bench`, which flowferry-bench reads again. */
#pragma once

#include "tools/options.h"

#define BENCH_RUNS_MIN 5 /* fewer samples say nothing about how far they spread */
#define BENCH_RUNS_MAX 1000
#define BENCH_PROGRAM  "flowferry-bench"

struct bench_options {
	uint64_t runs;
	bool list;
};

extern const struct option_spec bench_specs[];
