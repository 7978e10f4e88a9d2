/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * suite_protect.c - what protection costs while nothing happens, and
 * what it is worth when a host dies.
 *
 * Cost: 10,000 flows of one instance, of which packets come all the time; CPU time of the host's
 * agent and of the standby's, without protection and then with it; what the copies take on the
 * fabric; how old they are. What each packet pays for being noted is in suite datapath.
 *
 * Recovery: see protect_recovery.c. In a lab of its own for each sample.
 */
#include "lib/json.h"
#include "tests/bench/account.h"
#include "tests/bench/protect_rig.h"

#define COST_FLOWS 10000
#define COST_RATE  50000
#define WINDOW_NS  (2 * NSEC_PER_SEC)

/* ---- cost ------------------------------------------------------------------------------------ */

struct cost {
	struct figure *source[2], *standby[2]; /* CPU, without and with protection */
	struct figure *bytes, *lag;
};

static void cost_failed(const struct cost *cost, const char *why)
{
	for (int i = 0; i < 2; i++) {
		figure_failed(cost->source[i], "%s", why);
		figure_failed(cost->standby[i], "%s", why);
	}
	figure_failed(cost->bytes, "%s", why);
	figure_failed(cost->lag, "%s", why);
}

/* Looks at the copy until the window is over. *ret_bytes: what it has taken up to now. */
static int lag_sample(struct rig *rig, const struct cost *cost, uint64_t until_ns,
		      uint64_t *ret_bytes, struct ff_error *err)
{
	int r;

	do {
		_cleanup_json_ json_t *instance = NULL;
		const json_t *standby, *lag;

		r = standby_get(rig, &instance, &standby, err);
		if (r)
			return r;
		lag = json_object_get(standby, "lag_ms");
		*ret_bytes = field(standby, "bytes");
		if (!json_is_number(lag))
			figure_failed(cost->lag, "the standby had no whole copy any more");
		else if (until_ns)
			figure_sample(cost->lag, json_number_value(lag));
		if (until_ns)
			clock_sleep_ns(LAG_NS);
	} while (clock_ns() < until_ns);
	return 0;
}

static int window_sample(struct rig *rig, const struct cost *cost, bool protected,
			 struct ff_error *err)
{
	pid_t source = lab_host_find(&rig->lab, "nf1")->pid;
	pid_t standby = lab_host_find(&rig->lab, "nf2")->pid;
	uint64_t bytes[2] = {}, begun, cpu[2];
	double ns;
	int r = 0;

	if (protected)
		r = lag_sample(rig, cost, 0, &bytes[0], err);
	begun = clock_ns();
	cpu[0] = account_cpu_ns(source);
	cpu[1] = account_cpu_ns(standby);
	if (r)
		return r;
	if (protected)
		r = lag_sample(rig, cost, begun + WINDOW_NS, &bytes[1], err);
	else
		clock_sleep_ns(WINDOW_NS);
	ns = (double)(clock_ns() - begun);
	figure_sample(cost->source[protected],
		      100 * (double)(account_cpu_ns(source) - cpu[0]) / ns);
	figure_sample(cost->standby[protected],
		      100 * (double)(account_cpu_ns(standby) - cpu[1]) / ns);
	if (protected)
		figure_sample(cost->bytes, 1e3 * (double)(bytes[1] - bytes[0]) / ns);
	return r;
}

static int windows_sample(struct bench *bench, struct rig *rig, const struct cost *cost,
			  struct ff_error *err)
{
	int r = 0;

	for (int protected = 0; protected < 2 && !r; protected ++) {
		if (protected)
			r = protect_up(rig, err);
		for (int run = 0; run < bench_runs(bench) && !r; run++) {
			bench_progress(bench, "%s protection: %d of %d",
				       protected ? "with" : "without", run, bench_runs(bench));
			r = window_sample(rig, cost, protected, err);
		}
	}
	return r;
}

static int cost_run(struct bench *bench, const struct cost *cost, struct ff_error *err)
{
	const struct rig_traffic_spec spec = { .flows = COST_FLOWS, .rate = COST_RATE };
	_cleanup_json_ json_t *report = NULL;
	_cleanup_free_ char *wrong = NULL;
	struct rig_traffic traffic;
	struct rig rig;
	int r, ended;

	bench_progress(bench, "lab");
	r = rig_up(&rig, 2, true, err);
	if (!r)
		r = rig_gather(&rig, err) ?: rig_policy(&rig, POLICY("false"), err);
	if (!r)
		r = rig_traffic_start(&traffic, &spec, err);
	if (!r) {
		r = rig_flows_wait(&rig, COST_FLOWS, LIMIT_MS, err) ?:
			    windows_sample(bench, &rig, cost, err);
		ended = rig_traffic_end(&traffic, &report, &wrong, r ? NULL : err);
		if (!ended && wrong)
			cost_failed(cost, wrong);
		r = r ?: ended;
	}
	rig_down(&rig);
	return r;
}

/* ---- the suite ------------------------------------------------------------------------------- */

static void cost_figures(struct bench *bench, struct cost *cost)
{
	cost->source[0] = bench_figure(bench, "protect.source.cpu.without", "percent",
				       "CPU of the flows' agent, unprotected");
	cost->source[1] = bench_figure(bench, "protect.source.cpu", "percent",
				       "CPU of the flows' agent, protected");
	cost->standby[0] = bench_figure(bench, "protect.standby.cpu.without", "percent",
					"CPU of the other agent, unprotected");
	cost->standby[1] =
		bench_figure(bench, "protect.standby.cpu", "percent", "CPU of the standby's agent");
	cost->bytes = bench_figure(bench, "protect.bandwidth", "MB/s", "copies on the fabric");
	cost->lag = bench_figure(bench, "protect.lag", "ms", "age of the standby's copy");
	figure_beside(cost->source[1], cost->source[0]);
	figure_beside(cost->standby[1], cost->standby[0]);
	figure_target(cost->lag, BOUND_AT_MOST, 100, NULL);
}

static int protect_run(struct bench *bench, struct ff_error *err)
{
	struct recovery recovery;
	struct cost cost;
	int r;

	cost_figures(bench, &cost);
	recovery.detect = bench_figure(bench, "protect.fault.detect", "ms",
				       "a host dies: last heard, until that is known");
	recovery.on =
		bench_figure(bench, "protect.fault.on", "ms", "a host dies: until its flows go on");
	recovery.lost = bench_figure(bench, "protect.fault.lost", "packets",
				     "of 10,000 a second, lost meanwhile");
	figure_target(recovery.detect, BOUND_AT_MOST, 300, NULL);
	figure_target(recovery.on, BOUND_AT_MOST, 500, NULL);
	r = cost_run(bench, &cost, err);
	return r ?: recoveries_run(bench, &recovery, err);
}

const struct bench_suite suite_protect = {
	.name = "protect",
	.about = "what a standby costs, and how soon flows go on when their host dies",
	.run = protect_run,
};
