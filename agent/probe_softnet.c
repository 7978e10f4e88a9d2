/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* probe_softnet.c - packets that each CPU took from its queues, dropped, or left for want of time. */
#include "agent/probe.h"
#include "agent/proc.h"

static int softnet_open(struct agent *agent, void **ret_state, struct ff_error *err)
{
	(void)agent;
	return proc_open("/proc/net/softnet_stat", (struct proc_file **)ret_state, err);
}

static int softnet_read(struct agent *agent, void *state, uint64_t now_ns, struct json_text *out,
			struct ff_error *err)
{
	struct proc_file *file = state;
	int r = proc_read(file, err);

	(void)agent;
	(void)now_ns;
	return r ?: proc_softnet_parse(file->text, out, err);
}

static void softnet_close(void *state)
{
	proc_close(state);
}

const struct probe probe_softnet = { "softnet", 0, softnet_open, softnet_read, softnet_close };
