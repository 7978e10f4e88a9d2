/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/bench/account.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"

uint64_t account_cpu_ns(pid_t pid)
{
	char path[64];
	uint64_t sum = 0;
	struct dirent *task;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (task = readdir(dir))) {
		_cleanup_fclose_ FILE *file = NULL;
		uint64_t ns;

		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/schedstat", pid, task->d_name);
		file = fopen(path, "re");
		if (file && fscanf(file, "%" SCNu64, &ns) == 1)
			sum += ns;
	}
	if (dir)
		closedir(dir);
	return sum;
}

uint64_t account_bytes(const char *path, const char *name)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	char line[128];
	uint64_t kib;

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)) &&
		    sscanf(line + strlen(name), ": %" SCNu64 " kB", &kib) == 1)
			return kib * 1024;
	return 0;
}
