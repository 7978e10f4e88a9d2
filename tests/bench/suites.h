/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* suites.h - all suites, in the order in which they run. */
#pragma once

#include "tests/bench/bench.h"

extern const struct bench_suite *const suites[]; /* ends with NULL */

/* NULL: there is none of that name. */
const struct bench_suite *suite_find(const char *name);
