/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * suite_monitor.c - what it costs to know: CPU time of an agent that samples every 100 ms and is
 * listened to, with 10 instances that share a service's 4096 slots; nearly without flows, and with
 * a million. All of the agent's threads count, also what they do beside sampling.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bpf/traffic_abi.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "tests/bench/account.h"
#include "tests/bench/rig.h"

#define INSTANCES  10
#define WINDOW_NS  (4 * NSEC_PER_SEC) /* what an agent does once a second is in it several times */
#define SETTLE_NS  (2 * NSEC_PER_SEC)
#define FLOWS	   1000000
#define PARTS	   4 /* in which they begin */
#define FIRST_PORT 30000
#define THERE	   0.98 /* of the flows: less is another figure */

/* Slots of fw-1 to each of the others, evenly. */
static int instances_make(struct rig *rig, struct ff_error *err)
{
	int r = 0;

	for (unsigned int i = 1; i < INSTANCES && !r; i++) {
		unsigned int each = LAB_SLOTS_DEFAULT / INSTANCES;
		_cleanup_json_ json_t *options = json_object(), *operation = NULL;
		char name[LAB_NAME_MAX];

		snprintf(name, sizeof(name), "fw-%u", i + 1);
		json_put_fmt(options, "slots", "%u-%u", i * each, (i + 1) * each - 1);
		r = rig_instance_add(rig, name, "nf1", err);
		if (!r)
			r = rig_move(rig, "fw-1", name, options, &operation, err);
	}
	return r;
}

static int agent_find(struct rig *rig, pid_t *ret_pid, struct ff_error *err)
{
	const struct lab_host *host = lab_host_find(&rig->lab, "nf1");

	if (!host || !lab_proc_alive(host))
		return error_set(err, ESRCH, FF_CODE_INTERNAL, NULL, "nf1's agent doesn't run");
	*ret_pid = host->pid;
	return 0;
}

static void cpu_sample(struct bench *bench, pid_t pid, struct figure *figure)
{
	for (int run = 0; run < bench_runs(bench); run++) {
		uint64_t begun = clock_ns(), before = account_cpu_ns(pid);
		double spent;

		bench_progress(bench, "agent: %d of %d", run, bench_runs(bench));
		clock_sleep_ns(WINDOW_NS);
		spent = (double)(account_cpu_ns(pid) - before);
		figure_sample(figure, 100 * spent / (double)(clock_ns() - begun));
	}
}

static int flows_begin(struct bench *bench, struct ff_error *err)
{
	uint16_t port = FIRST_PORT;
	int r = 0;

	for (unsigned int part = 0; part < PARTS && !r; part++) {
		bench_progress(bench, "flows: %u of %d", FLOWS / PARTS * part, FLOWS);
		r = rig_flows_begin(FLOWS / PARTS, port, false, err);
		port += FLOWS / PARTS / TRAFFIC_CLIENT_PORTS + 1;
	}
	clock_sleep_ns(SETTLE_NS);
	return r;
}

/* Before and after the samples: flows that expire meanwhile are work that isn't the monitor's. */
static int flows_check(struct rig *rig, struct figure *figure, struct ff_error *err)
{
	uint64_t flows;
	int r = rig_flows(rig, &flows, err);

	if (!r && (double)flows < THERE * FLOWS)
		figure_failed(figure, "only %llu flows are there", (unsigned long long)flows);
	return r;
}

static int monitor_run(struct bench *bench, struct ff_error *err)
{
	struct figure *few, *many;
	struct rig rig;
	pid_t pid = 0;
	int r;

	few = bench_figure(bench, "monitor.agent.cpu", "percent",
			   "CPU of an agent, 10 instances, 4096 slots");
	many = bench_figure(bench, "monitor.agent.flows1000000.cpu", "percent",
			    "the same, with 1 M flows");
	figure_target(few, BOUND_AT_MOST, 1, NULL);
	figure_beside(many, few);
	bench_progress(bench, "lab");
	r = rig_up(&rig, 1, true, err);
	if (!r)
		r = instances_make(&rig, err);
	if (!r)
		r = agent_find(&rig, &pid, err);
	if (!r) {
		clock_sleep_ns(SETTLE_NS);
		cpu_sample(bench, pid, few);
		r = flows_begin(bench, err);
	}
	if (!r)
		r = flows_check(&rig, many, err);
	if (!r) {
		cpu_sample(bench, pid, many);
		r = flows_check(&rig, many, err);
	}
	rig_down(&rig);
	return r;
}

const struct bench_suite suite_monitor = {
	.name = "monitor",
	.about = "what an agent's sampling costs, with 10 instances and 4096 slots",
	.run = monitor_run,
};
