/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* probe_cpu.c - time of each CPU by class: softirq is where packets are processed. */
#include "agent/probe.h"
#include "agent/proc.h"
#include "lib/clock.h"

#include <unistd.h>

static int cpu_open(struct agent *agent, void **ret_state, struct ff_error *err)
{
	(void)agent;
	return proc_open("/proc/stat", (struct proc_file **)ret_state, err);
}

static int cpu_read(struct agent *agent, void *state, uint64_t now_ns, struct json_text *out,
		    struct ff_error *err)
{
	struct proc_file *file = state;
	int r = proc_read(file, err);

	(void)agent;
	(void)now_ns;
	return r     ?:
		       proc_cpu_parse(file->text, NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK),
				      out, err);
}

static void cpu_close(void *state)
{
	proc_close(state);
}

const struct probe probe_cpu = { "cpu", 0, cpu_open, cpu_read, cpu_close };
