/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* harness_run.c - packets through the data path, one by one or from two CPUs at once. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/prog/harness.h"
#include "tests/prog/harness_internal.h"
#include "bpf/datapath.skel.h" /* after what declares the types of its variables */

static const char *const REASON_NAMES[] = {
#define X(symbol, name, text) name,
	FF_REASONS(X)
#undef X
};

/* Sum over all CPUs of each reason. */
static void reasons_read(uint64_t ret_counts[FF_REASON_MAX])
{
	int cpus = libbpf_num_possible_cpus();
	uint64_t values[cpus];

	for (uint32_t reason = 0; reason < FF_REASON_MAX; reason++) {
		rig_map_get("reasons", &reason, values);
		ret_counts[reason] = 0;
		for (int cpu = 0; cpu < cpus; cpu++)
			ret_counts[reason] += values[cpu];
	}
}

static int program_run(enum rig_port port, const void *data, size_t len, unsigned int repeat,
		       struct outcome *ret)
{
	struct bpf_program *prog = port == RIG_FABRIC ? rig->datapath->progs.fabric :
							rig->datapath->progs.steer;
	struct xdp_md ctx = { .data_end = (uint32_t)len, .ingress_ifindex = rig->ifindex[port] };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data, .data_size_in = (uint32_t)len,
		    .data_out = ret->out.data, .data_size_out = sizeof(ret->out.data),
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = (int)repeat);
	int r = bpf_prog_test_run_opts(bpf_program__fd(prog), &opts);

	ret->verdict = (int)opts.retval;
	ret->out.len = opts.data_size_out;
	return r;
}

void rig_run_frame(enum rig_port port, const void *data, size_t len, struct outcome *ret)
{
	uint64_t before[FF_REASON_MAX], after[FF_REASON_MAX];
	int r;

	reasons_read(before);
	r = program_run(port, data, len, 1, ret);
	cr_assert_eq(r, 0, "test run of %zu bytes: %s", len, strerror(-r));
	reasons_read(after);
	ret->reasons = 0;
	for (int reason = 0; reason < FF_REASON_MAX; reason++)
		if (after[reason] != before[reason])
			ret->reasons |= 1ull << reason;
}

void rig_run(enum rig_port port, const struct packet *packet, struct outcome *ret)
{
	struct frame frame;

	packet_build(packet, &frame);
	rig_run_frame(port, frame.data, frame.len, ret);
}

const char *rig_reasons_text(uint64_t reasons)
{
	static char text[512];
	size_t at = 0;

	text[0] = '\0';
	for (int reason = 0; reason < FF_REASON_MAX && at < sizeof(text); reason++)
		if (reasons & 1ull << reason)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", at ? " " : "",
					       REASON_NAMES[reason]);
	return at ? text : "no reason";
}

static const char *verdict_text(int verdict)
{
	static const char *const names[] = { "aborted", "dropped", "passed to the kernel",
					     "sent back", "sent on" };

	return verdict >= 0 && verdict < 5 ? names[verdict] : "unknown verdict";
}

void rig_rows(const struct row *rows, size_t count)
{
	struct outcome outcome;

	for (size_t i = 0; i < count; i++) {
		const struct row *row = &rows[i];
		int verdict = row->verdict ?: row->reasons ? XDP_DROP : XDP_REDIRECT;
		char wanted[512];

		rig_run(row->port, &row->packet, &outcome);
		snprintf(wanted, sizeof(wanted), "%s", rig_reasons_text(row->reasons));
		cr_expect(outcome.verdict == verdict && outcome.reasons == row->reasons,
			  "%zu. %s: %s (%s), expected %s (%s)", i + 1, row->what,
			  verdict_text(outcome.verdict), rig_reasons_text(outcome.reasons),
			  verdict_text(verdict), wanted);
	}
}

/* ---- two CPUs at once ---------------------------------------------------------------------- */

struct runner {
	int cpu;
	enum rig_port port;
	struct frame frame;
	unsigned int count;
	pthread_barrier_t *start;
	int result;
};

static void *runner_main(void *arg)
{
	struct runner *runner = arg;
	struct outcome outcome;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(runner->cpu, &cpus);
	runner->result = sched_setaffinity(0, sizeof(cpus), &cpus);
	pthread_barrier_wait(runner->start);
	/* one call a packet: with `repeat`, each run would see what the one before made of it */
	for (unsigned int i = 0; i < runner->count && !runner->result; i++)
		runner->result = program_run(runner->port, runner->frame.data, runner->frame.len, 1,
					     &outcome);
	return NULL;
}

void rig_run_twice(const struct packet *a, const struct packet *b, enum rig_port port_a,
		   enum rig_port port_b, unsigned int count)
{
	pthread_barrier_t start;
	struct runner runners[2] = {
		{ .cpu = 0, .port = port_a, .count = count, .start = &start },
		{ .cpu = 1, .port = port_b, .count = count, .start = &start },
	};
	pthread_t threads[2];

	cr_assert_geq(sysconf(_SC_NPROCESSORS_ONLN), 2, "this test needs two CPUs");
	packet_build(a, &runners[0].frame);
	packet_build(b, &runners[1].frame);
	pthread_barrier_init(&start, NULL, 2);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, runner_main, &runners[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	cr_assert(!runners[0].result && !runners[1].result);
}
