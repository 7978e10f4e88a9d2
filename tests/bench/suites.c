/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/bench/suites.h"

#include <stddef.h>
#include <string.h>

const struct bench_suite *const suites[] = {
	&suite_datapath,
	&suite_state,
	&suite_conntrackd,
	&suite_move,
	&suite_throughput,
	&suite_handover,
	&suite_idle,
	&suite_monitor,
	&suite_loop,
	&suite_protect,
	NULL,
};

const struct bench_suite *suite_find(const char *name)
{
	for (const struct bench_suite *const *suite = suites; *suite; suite++)
		if (strcmp((*suite)->name, name) == 0)
			return *suite;
	return NULL;
}
