/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/bench/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "lib/json.h"
#include "lib/version.h"

#define GOVERNOR "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"

/* The value of the first line "NAME : VALUE" of /proc/cpuinfo; NULL: there is none. malloc'ed. */
static char *cpuinfo(const char *name)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/cpuinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t space = 0;

	while (file && getline(&line, &space, file) > 0) {
		char *value = strchr(line, ':');

		if (strncmp(line, name, strlen(name)) || !value)
			continue;
		value += strspn(value, ": \t");
		value[strcspn(value, "\n")] = '\0';
		return strdup(value);
	}
	return NULL;
}

/* The first line of a file; malloc'ed; NULL: there is none. */
static char *line_read(const char *path)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	size_t space = 0;

	if (!file || getline(&line, &space, file) <= 0)
		return NULL;
	line[strcspn(line, "\n")] = '\0';
	return TAKE_PTR(line);
}

json_t *machine_describe(void)
{
	_cleanup_free_ char *cpu = cpuinfo("model name"), *flags = cpuinfo("flags");
	_cleanup_free_ char *governor = line_read(GOVERNOR);
	json_t *json = json_object();
	double load[1] = { 0 };
	struct utsname system;

	uname(&system);
	if (getloadavg(load, 1) != 1)
		load[0] = -1;
	json_put_str(json, "cpu", cpu);
	json_put_bool(json, "virtual", flags && strstr(flags, " hypervisor"));
	json_put_int(json, "cores", sysconf(_SC_NPROCESSORS_ONLN));
	json_put_int(json, "memory", sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
	json_put_fmt(json, "kernel", "%s %s", system.sysname, system.release);
	json_put_str(json, "clang", FF_CLANG_VERSION);
	json_put_str(json, "governor", governor);
	json_put_real(json, "load", load[0]);
	json_put_str(json, "flowferry", FF_VERSION);
	return json;
}
