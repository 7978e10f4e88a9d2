/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * suite_protect.c - what protection costs while nothing happens, and what it is worth when a host dies.
 *
 * Cost: 10,000 flows of one instance, of which packets come all the time; CPU time of the host's agent
 * and of the standby's, without protection and then with it; what the copies take on the fabric; how old
 * they are. What each packet pays for being noted is in suite datapath.
 *
 * Recovery: the agent of the flows' host is killed and the host's link goes down at both ends, in a lab
 * of its own for each sample. Then packets are lost; the sample has failed if more were than was told,
 * or if one came twice.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "lib/netns.h"
#include "tests/bench/account.h"
#include "tests/bench/proc.h"
#include "tests/bench/rig.h"

#define COST_FLOWS  10000
#define COST_RATE   50000
#define FAULT_FLOWS 1000
#define FAULT_RATE  10000
#define WINDOW_NS   (2 * NSEC_PER_SEC)
#define LAG_NS	    (100 * NSEC_PER_MSEC) /* between two looks: a sample's period */
#define POLL_NS	    (5 * NSEC_PER_MSEC)
#define LIMIT_NS    (20 * NSEC_PER_SEC)
#define LIMIT_MS    20000
#define REQUEST_MS  1000
#define SERVICE	    "/v1/services/fw"
#define OWNER	    "/v1/instances/fw-1"

/* Nothing but protection makes the loop act. */
#define POLICY(protect)                                                                            \
	"{\"utilisation\": {\"up_percent\": 99, \"target_percent\": 98, "                          \
	"\"down_percent\": 0, \"imbalance_percent\": 100, \"host_percent\": 100, "                 \
	"\"pressure_percent\": 100}, \"capacity\": {\"packets_per_s\": 1000000}, "                 \
	"\"protect\": {\"enabled\": " protect ", \"lag_ms\": 100}}"

/* ---- standbys ---------------------------------------------------------------------------------- */

static uint64_t field(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

static int too_long(const char *what, struct ff_error *err)
{
	return error_set(err, ETIMEDOUT, FF_CODE_INTERNAL, NULL, "after %d s still not %s",
			 LIMIT_MS / 1000, what);
}

/* Until fw-1's standby has a whole copy. */
static int protect_up(struct rig *rig, struct ff_error *err)
{
	uint64_t deadline = clock_ns() + LIMIT_NS;
	int r = rig_policy(rig, POLICY("true"), err);

	while (!r) {
		_cleanup_json_ json_t *service = NULL;
		const json_t *protect;

		r = rig_call(rig, "GET", SERVICE, NULL, &service, err);
		protect = json_object_get(service, "protect");
		if (!r && field(protect, "owners") &&
		    field(protect, "owners") == field(protect, "protected"))
			return 0;
		if (!r && clock_ns() > deadline)
			r = too_long("protected", err);
		clock_sleep_ns(LAG_NS);
	}
	return r;
}

/* What fw-1's agent last said of it; *ret_instance holds it. */
static int standby_get(struct rig *rig, json_t **ret_instance, const json_t **ret_standby,
		       struct ff_error *err)
{
	int r = rig_call(rig, "GET", OWNER, NULL, ret_instance, err);

	if (r)
		return r;
	*ret_standby = json_object_get(*ret_instance, "standby");
	if (json_is_object(*ret_standby))
		return 0;
	return error_set(err, ENOENT, FF_CODE_INTERNAL, NULL, "fw-1 has no standby");
}

/* ---- cost -------------------------------------------------------------------------------------- */

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

/* ---- recovery ---------------------------------------------------------------------------------- */

struct recovery {
	struct figure *detect, *on, *lost;
};

/* All that runs on the host dies, and its fabric link at both ends. */
static int host_kill(struct rig *rig, const char *name, struct ff_error *err)
{
	const struct lab_host *host = lab_host_find(&rig->lab, name);
	const char *const own[] = { "ip", "link", "set", "f0", "down", NULL };
	const char *const port[] = { "ip", "link", "set", name, "down", NULL };
	_cleanup_close_ int fd = netns_open(host->netns);
	_cleanup_close_ int fabric = netns_open(lab_host_find(&rig->lab, "fabric")->netns);

	if (fd < 0 || fabric < 0)
		return error_set(err, ENOENT, FF_CODE_INTERNAL, NULL, "no namespace of %s", name);
	kill(host->pid, SIGKILL);
	return proc_run(fd, own, NULL, err) ?: proc_run(fabric, port, NULL, err);
}

/* Until the standby, which had none before, has packets, by its own agent's word. */
static int packets_wait(const char *host, const char *instance, struct ff_error *err)
{
	uint64_t deadline = clock_ns() + LIMIT_NS;
	struct http_client *agent = NULL;
	char path[128];
	int r;

	snprintf(path, sizeof(path), LAB_RUN_DIR "/%s/agent.sock", host);
	r = http_client_new(path, NULL, &agent, err);
	while (!r) {
		_cleanup_json_ json_t *reply = NULL;
		uint64_t packets = 0;
		json_t *one;
		size_t i;

		r = http_call(agent, "GET", "/v1/instances", NULL, NULL, REQUEST_MS, NULL, &reply,
			      err);
		json_array_foreach(json_object_get(reply, "instances"), i, one)
			if (!strcmp(json_string_value(json_object_get(one, "name")) ?: "",
				    instance))
				packets = field(one, "packets");
		if (packets)
			break;
		if (!r && clock_ns() > deadline)
			r = too_long("going on", err);
		clock_sleep_ns(POLL_NS);
	}
	http_client_free(agent);
	return r;
}

/* *ret: what the recovery, as it ended, says of itself. */
static int recovery_wait(struct rig *rig, json_t **ret, struct ff_error *err)
{
	uint64_t deadline = clock_ns() + LIMIT_NS;

	for (;;) {
		_cleanup_json_ json_t *reply = NULL;
		json_t *operation;
		size_t i;
		int r = rig_call(rig, "GET", "/v1/operations", NULL, &reply, err);

		json_array_foreach(json_object_get(reply, "operations"), i, operation) {
			const char *kind = json_string_value(json_object_get(operation, "kind"));

			if (kind && !strcmp(kind, "recovery") &&
			    json_is_number(json_object_get(operation, "ended"))) {
				*ret = json_incref(json_object_get(operation, "recovery"));
				return 0;
			}
		}
		if (r || clock_ns() > deadline)
			return r ?: too_long("recovered", err);
		clock_sleep_ns(LAG_NS);
	}
}

struct death {
	json_t *recovery;
	uint64_t on_ns; /* from the kill until flows went on */
};

static int die(struct rig *rig, struct death *ret, struct ff_error *err)
{
	_cleanup_json_ json_t *instance = NULL;
	const json_t *standby;
	const char *name, *host;
	uint64_t begun;
	int r = standby_get(rig, &instance, &standby, err);

	if (!r)
		r = json_get_str(standby, "instance", &name, err) ?:
			    json_get_str(standby, "host", &host, err);
	if (r)
		return r;
	begun = clock_ns();
	r = host_kill(rig, "nf1", err) ?: packets_wait(host, name, err);
	ret->on_ns = clock_ns() - begun;
	return r ?: recovery_wait(rig, &ret->recovery, err);
}

static void death_sample(const struct recovery *figures, const struct death *death,
			 const json_t *report)
{
	uint64_t told = field(death->recovery, "packets_lost_at_most");
	uint64_t lost = field(report, "lost"), twice = field(report, "duplicated");

	if (lost > told || twice) {
		figure_failed(figures->lost,
			      "%llu packets were lost, of which %llu were told; %llu came twice",
			      (unsigned long long)lost, (unsigned long long)told,
			      (unsigned long long)twice);
		figure_failed(figures->on, "packets were lost that weren't told, or came twice");
	}
	figure_sample(figures->detect,
		      json_number_value(json_object_get(death->recovery, "detect_ms")));
	figure_sample(figures->on, (double)death->on_ns / NSEC_PER_MSEC);
	figure_sample(figures->lost, (double)lost);
}

static int recovery_sample(struct rig *rig, const struct recovery *figures, struct ff_error *err)
{
	const struct rig_traffic_spec spec = { .flows = FAULT_FLOWS, .rate = FAULT_RATE };
	_cleanup_json_ json_t *report = NULL;
	_cleanup_free_ char *wrong = NULL;
	struct rig_traffic traffic;
	struct death death = {};
	int r, ended;

	r = rig_gather(rig, err) ?: rig_traffic_start(&traffic, &spec, err);
	if (r)
		return r;
	r = rig_flows_wait(rig, FAULT_FLOWS, LIMIT_MS, err) ?:
		    protect_up(rig, err)		    ?:
							      die(rig, &death, err);
	ended = rig_traffic_end(&traffic, &report, &wrong, r ? NULL : err);
	if (!r && !ended)
		death_sample(figures, &death, report);
	json_decref(death.recovery);
	return r ?: ended;
}

static int recoveries_run(struct bench *bench, const struct recovery *figures, struct ff_error *err)
{
	int r = 0;

	for (int run = 0; run < bench_runs(bench) && !r; run++) {
		struct rig rig;

		bench_progress(bench, "recovery: %d of %d", run, bench_runs(bench));
		r = rig_up(&rig, 3, true, err) ?: recovery_sample(&rig, figures, err);
		rig_down(&rig);
	}
	return r;
}

/* ---- the suite --------------------------------------------------------------------------------- */

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
