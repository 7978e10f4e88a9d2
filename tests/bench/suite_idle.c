/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * suite_idle.c - what flowferry costs while it has nothing to do: the daemons' CPU time and memory,
 * and the kernel memory of flows that only exist.
 *
 * Kernel memory is what the slab allocator has gained (/proc/meminfo, what can't be
 * reclaimed), which is where BPF keeps the entries of maps; what other programs have of that
 * is noise, small beside a million flows.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bpf/traffic_abi.h"
#include "lib/clock.h"
#include "tests/bench/account.h"
#include "tests/bench/rig.h"

#define WINDOW_NS  (2 * NSEC_PER_SEC) /* of CPU time: some polls of each daemon */
#define SETTLE_NS  NSEC_PER_SEC	      /* after the lab has come up, and after flows have begun */
#define FLOWS	   1000000
#define FIRST_PORT 30000
#define BEGUN	   0.98 /* of a step's flows */

/* ---- daemons --------------------------------------------------------------------------------- */

struct daemon {
	const char *host;
	struct figure *cpu, *memory;
	pid_t pid;
	uint64_t cpu_ns;
};

static int daemons_find(struct rig *rig, struct daemon *daemons, size_t count, struct ff_error *err)
{
	for (size_t i = 0; i < count; i++) {
		const struct lab_host *host = lab_host_find(&rig->lab, daemons[i].host);

		if (!host || !lab_proc_alive(host))
			return error_set(err, ESRCH, FF_CODE_INTERNAL, NULL,
					 "the daemon of %s doesn't run", daemons[i].host);
		daemons[i].pid = host->pid;
	}
	return 0;
}

static void daemons_sample(struct bench *bench, struct daemon *daemons, size_t count)
{
	char path[64];

	for (int run = 0; run < bench_runs(bench); run++) {
		uint64_t begun = clock_ns();

		bench_progress(bench, "daemons: %d of %d", run, bench_runs(bench));
		for (size_t i = 0; i < count; i++)
			daemons[i].cpu_ns = account_cpu_ns(daemons[i].pid);
		clock_sleep_ns(WINDOW_NS);
		for (size_t i = 0; i < count; i++) {
			struct daemon *d = &daemons[i];
			double spent = (double)(account_cpu_ns(d->pid) - d->cpu_ns);

			figure_sample(d->cpu, 100 * spent / (double)(clock_ns() - begun));
			snprintf(path, sizeof(path), "/proc/%d/status", d->pid);
			figure_sample(d->memory, (double)account_bytes(path, "VmRSS") / 1e6);
		}
	}
}

/* ---- flows ----------------------------------------------------------------------------------- */

static uint64_t kernel_memory(void)
{
	return account_bytes("/proc/meminfo", "SUnreclaim") +
	       account_bytes("/proc/meminfo", "Percpu");
}

/* A million in steps, each a sample, and each on server ports of its own. */
static int flows_sample(struct bench *bench, struct rig *rig, struct figure *figure,
			struct ff_error *err)
{
	uint64_t steps = (uint64_t)bench_runs(bench), before, there = 0, flows;
	uint16_t port = FIRST_PORT;
	int r = 0;

	clock_sleep_ns(SETTLE_NS);
	before = kernel_memory();
	for (uint64_t i = 0; i < steps && !r; i++) {
		uint64_t after;

		bench_progress(bench, "flows: %" PRIu64 " of %d", there, FLOWS);
		r = rig_flows_begin(FLOWS / steps, port, false, err);
		port += FLOWS / steps / TRAFFIC_CLIENT_PORTS + 1;
		clock_sleep_ns(SETTLE_NS); /* the traffic's own memory goes, the last count comes */
		if (!r)
			r = rig_flows(rig, &flows, err);
		if (r)
			break;
		if ((double)(flows - MIN(flows, there)) < BEGUN * FLOWS / (double)steps)
			figure_failed(figure, "flows have expired before all had begun");
		after = kernel_memory();
		figure_sample(figure, ((double)after - (double)before) / (double)(flows - there));
		before = after;
		there = flows;
	}
	return r;
}

/* ---- the suite ------------------------------------------------------------------------------- */

static void daemon_figures(struct bench *bench, struct daemon *daemon, const char *name)
{
	char id[64], what[64];

	snprintf(id, sizeof(id), "idle.%s.cpu", name);
	snprintf(what, sizeof(what), "CPU time of an idle %s", name);
	daemon->cpu = bench_figure(bench, id, "percent", what);
	snprintf(id, sizeof(id), "idle.%s.memory", name);
	snprintf(what, sizeof(what), "resident memory of an idle %s", name);
	daemon->memory = bench_figure(bench, id, "MB", what);
}

static int idle_run(struct bench *bench, struct ff_error *err)
{
	struct daemon daemons[] = { { .host = "nf1" }, { .host = "orch" } };
	struct figure *flows;
	struct rig rig;
	int r;

	daemon_figures(bench, &daemons[0], "agent");
	daemon_figures(bench, &daemons[1], "orchestrator");
	flows = bench_figure(bench, "idle.flow.memory", "bytes",
			     "kernel memory of a flow, up to 1 M flows");
	bench_progress(bench, "lab");
	r = rig_up(&rig, 1, true, err);
	if (!r)
		r = daemons_find(&rig, daemons, ARRAY_SIZE(daemons), err);
	if (!r) {
		clock_sleep_ns(SETTLE_NS);
		daemons_sample(bench, daemons, ARRAY_SIZE(daemons));
		r = flows_sample(bench, &rig, flows, err);
	}
	rig_down(&rig);
	return r;
}

const struct bench_suite suite_idle = {
	.name = "idle",
	.about = "what it costs while nothing is to be done",
	.run = idle_run,
};
