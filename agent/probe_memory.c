/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* probe_memory.c - what room there is for flow state. */
#include "agent/probe.h"
#include "agent/proc.h"

static int memory_open(struct agent *agent, void **ret_state, struct ff_error *err)
{
	(void)agent;
	return proc_open("/proc/meminfo", (struct proc_file **)ret_state, err);
}

static int memory_read(struct agent *agent, void *state, uint64_t now_ns, struct json_text *out,
		       struct ff_error *err)
{
	struct proc_file *file = state;
	int r = proc_read(file, err);

	(void)agent;
	(void)now_ns;
	return r ?: proc_memory_parse(file->text, out, err);
}

static void memory_close(void *state)
{
	proc_close(state);
}

const struct probe probe_memory = { "memory", 1000, memory_open, memory_read, memory_close };
