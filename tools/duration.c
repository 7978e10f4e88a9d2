/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* duration.c - see duration.h. */

#include "tools/duration.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"

int duration_parse(const char *text, uint64_t min_ms, uint64_t max_ms, uint64_t *ret_ms)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = { { "ms", 1 }, { "", 1000 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 } };
	unsigned long long value;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(end, units[i].unit) != 0)
			continue;
		if (value > max_ms / units[i].ms || value * units[i].ms < min_ms)
			return -EINVAL;
		*ret_ms = value * units[i].ms;
		return 0;
	}
	return -EINVAL;
}
