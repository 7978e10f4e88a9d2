/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/online.h"

#include <stdio.h>
#include <string.h>

#include "bpf/abi.h"
#include "lib/cleanup.h"

#define ONLINE_FILE "/sys/devices/system/cpu/online"

int online_parse(const char *list, struct ff_error *err)
{
	int first, last, len = 0;

	if (sscanf(list, "%d-%d%n", &first, &last, &len) != 2 || !len) {
		if (sscanf(list, "%d%n", &first, &len) != 1 || !len)
			return error_set(err, EINVAL, FF_CODE_INTERNAL, NULL,
					 "`%s` is no list of CPUs", list);
		last = first;
	}
	/* the kernel joins neighbours, so whatever follows is behind a gap */
	if (first || list[len])
		return error_set(err, ENOTSUP, FF_CODE_REFUSED,
				 "bring the missing ones online, or take those behind them offline",
				 "CPUs %s are online: a gap is not supported", list);
	if (last >= FF_CPUS_MAX)
		return error_set(err, ENOTSUP, FF_CODE_REFUSED,
				 "take the others offline, or boot with maxcpus=64",
				 "CPUs %s are online: at most %d are supported", list, FF_CPUS_MAX);
	return last + 1;
}

int online_count(struct ff_error *err)
{
	_cleanup_fclose_ FILE *file = fopen(ONLINE_FILE, "re");
	char line[256];

	if (!file || !fgets(line, sizeof(line), file))
		return error_set(err, errno ?: EIO, FF_CODE_INTERNAL, "is sysfs mounted?",
				 "can't read " ONLINE_FILE);
	line[strcspn(line, "\n")] = '\0';
	return online_parse(line, err);
}
