/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * protect_recovery.c - the agent of the flows' host is killed and the host's link goes
 * down at both ends. Then packets are lost; the sample has failed if more were than
 * was told, or if one came twice.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lib/json.h"
#include "lib/netns.h"
#include "tests/bench/proc.h"
#include "tests/bench/protect_rig.h"

#define FAULT_FLOWS 1000
#define FAULT_RATE  10000
#define POLL_NS	    (5 * NSEC_PER_MSEC)
#define REQUEST_MS  1000

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

int recoveries_run(struct bench *bench, const struct recovery *figures, struct ff_error *err)
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
