/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_pace.c - threads of the agent that serve connections: one that has been made urgent isn't left so
 * by a request that is refused. Here and not among the unit tests, as it takes root to be urgent.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/control.h"
#include "agent/cpus.h"
#include "lib/cleanup.h"
#include "lib/http_client.h"

#define CALL_MS 5000

/* Of this process. */
static unsigned int threads(bool urgent)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	unsigned int n = 0;

	cr_assert_not_null(dir);
	while ((entry = readdir(dir))) {
		pid_t tid = atoi(entry->d_name);

		n += tid > 0 && (!urgent || sched_getscheduler(tid) == SCHED_FIFO);
	}
	closedir(dir);
	return n;
}

/* Nothing of the agent is looked at: no number of an epoch is refused first of all. */
static void refuse(struct http_client *client, const char *path)
{
	static const char *const headers[] = { HTTP_HEADER_EPOCH ": none", NULL };
	struct ff_error err = {};
	unsigned int status;

	http_call(client, "POST", path, json_object(), headers, CALL_MS, &status, NULL, &err);
	cr_assert_eq(status, 400, "%s: %u: %s", path, status, err.message);
}

/* The threads of a server have the pace of the one that starts it: so it begins as after a step. */
static void refused_is_normal(const char *path)
{
	static struct agent_config config;
	static struct agent agent = { .config = &config };
	char dir[] = "/tmp/ff-pace-XXXXXX", socket[64];
	unsigned int all, urgent;
	struct http_client *client;
	struct ff_error err = {};

	cr_assert(mkdtemp(dir));
	snprintf(socket, sizeof(socket), "%s/agent.sock", dir);
	config.socket = socket;
	cpus_pace(PACE_URGENT);
	cr_assert_eq(control_start(&agent, &err), 0, "%s", err.message);
	all = threads(false);
	urgent = threads(true);
	cr_assert_gt(urgent, 1, "the server's own isn't urgent");
	cr_assert_eq(http_client_new(socket, NULL, &client, &err), 0, "%s", err.message);
	refuse(client, path);
	cr_assert_eq(threads(false), all + 1, "not one connection with a thread");
	cr_expect_eq(threads(true), urgent, "it is urgent still");
	http_client_free(client);
	control_stop(&agent);
	rmdir(dir);
}

Test(pace, a_move_that_is_refused, .timeout = 30)
{
	refused_is_normal("/v1/moves/1/prepare");
}

Test(pace, a_step_that_is_refused, .timeout = 30)
{
	refused_is_normal("/v1/moves/1/switch");
}

Test(pace, ordinary_work, .timeout = 30)
{
	refused_is_normal("/v1/lease");
}
