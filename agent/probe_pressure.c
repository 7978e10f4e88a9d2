/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* probe_pressure.c - pressure stall information: time in which something waited for a resource. */
#include <stdlib.h>
#include <unistd.h>

#include "agent/probe.h"
#include "agent/proc.h"
#include "lib/cleanup.h"

static const struct {
	const char *name;
	const char *path;
} resources[] = {
	{ "cpu", "/proc/pressure/cpu" },
	{ "memory", "/proc/pressure/memory" },
	{ "io", "/proc/pressure/io" },
};

struct pressure {
	struct proc_file *files[ARRAY_SIZE(resources)];
};

static void pressure_close(void *state)
{
	struct pressure *pressure = state;

	for (size_t i = 0; pressure && i < ARRAY_SIZE(resources); i++)
		proc_close(pressure->files[i]);
	free(pressure);
}

static int pressure_open(struct agent *agent, void **ret_state, struct ff_error *err)
{
	struct pressure *pressure;
	int r = 0;

	(void)agent;
	if (access("/proc/pressure", F_OK))
		return error_set(err, ENOENT, FF_CODE_INTERNAL, "boot with psi=1",
				 "this kernel tells no pressure stall information");
	pressure = calloc(1, sizeof(*pressure));
	if (!pressure)
		return error_nomem(err);
	for (size_t i = 0; i < ARRAY_SIZE(resources) && !r; i++)
		r = proc_open(resources[i].path, &pressure->files[i], err);
	if (r) {
		pressure_close(pressure);
		return r;
	}
	*ret_state = pressure;
	return 0;
}

static int pressure_read(struct agent *agent, void *state, uint64_t now_ns, struct json_text *out,
			 struct ff_error *err)
{
	struct pressure *pressure = state;
	int r = 0;

	(void)agent;
	(void)now_ns;
	json_text_open(out, NULL, '{');
	for (size_t i = 0; i < ARRAY_SIZE(resources) && !r; i++) {
		json_text_name(out, resources[i].name);
		r = proc_read(pressure->files[i], err);
		if (!r)
			r = proc_pressure_parse(pressure->files[i]->text, out, err);
	}
	json_text_close(out, '}');
	return r;
}

/* Who looks at it looks at a second. */
#define PRESSURE_PERIOD_MS 500

const struct probe probe_pressure = { "pressure", PRESSURE_PERIOD_MS, pressure_open, pressure_read,
				      pressure_close };
