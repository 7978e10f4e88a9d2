/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_pace.c - threads of the agent that serve connections: one that has been made urgent isn't
 * left so by a request that is refused, nor by the end of what was urgent. Here and not among the
 * unit tests, as it takes root to be urgent.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/control.h"
#include "agent/cpus.h"
#include "agent/move.h"
#include "agent/target.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/http_client.h"
#include "lib/stream.h"

#define CALL_MS 20000

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

Test(pace, the_end_of_a_move, .timeout = 30)
{
	refused_is_normal("/v1/moves/1/finish");
}

Test(pace, ordinary_work, .timeout = 30)
{
	refused_is_normal("/v1/lease");
}

/* ---- rounds of a move, at its target --------------------------------------------------------- */

static const struct http_route upload_routes[] = {
	{ "POST", "/v1/moves/:id/state", NULL, &target_state_upload, 0 },
	{ NULL, NULL, NULL, NULL, 0 },
};

static struct ff_host_info info;
static struct datapath dp = { .host = &info };
static struct instance instance; /* of another service than what is sent: each round is refused */
static struct agent target = { .dp = &dp, .moves_lock = PTHREAD_MUTEX_INITIALIZER };
static struct move move = { .agent = &target,
			    .id = "m",
			    .refs = 1,
			    .is_target = true,
			    .prepared = true,
			    .target_phase = PHASE_PREPARED,
			    .instance_to = &instance,
			    .lock = PTHREAD_MUTEX_INITIALIZER };

/* A round that begins as an urgent one. */
static void round_send(struct http_client *client, bool final)
{
	const struct stream_header header = { .service = 1,
					      .op = "m",
					      .final = final,
					      .key_size = 48,
					      .value_size = STREAM_VALUE_MIN,
					      .schema = "-" };
	static uint8_t buf[STREAM_BUFFER_MIN];
	static struct stream_encoder encoder;
	struct http_upload upload = { .path = "/v1/moves/m/state?pace=2",
				      .data = buf,
				      .timeout_ms = CALL_MS };
	struct ff_error err = {};

	cr_assert_eq(stream_encoder_begin(&encoder, &header, buf, sizeof(buf), &err), 0, "%s",
		     err.message);
	upload.len = encoder.len;
	cr_assert_lt(http_upload(client, &upload, NULL, NULL, &err), 0);
	cr_assert(strstr(err.message, "state of service 1"), "%s", err.message);
}

/* What a thread does when a round has ended, it does after the answer has gone. */
static void urgent_await(unsigned int count)
{
	uint64_t until_ns = clock_ns() + CALL_MS * NSEC_PER_MSEC;

	while (threads(true) != count) {
		cr_assert_lt(clock_ns(), until_ns, "%u threads are urgent, not %u", threads(true),
			     count);
		clock_sleep_ns(NSEC_PER_MSEC);
	}
}

Test(pace, the_last_round_ends_the_hurry, .timeout = 30)
{
	char dir[] = "/tmp/ff-pace-XXXXXX", socket[64];
	struct http_client *client;
	struct ff_error err = {};

	clock_cond_init(&move.changed);
	target.moves[3] = &move;
	cr_assert(mkdtemp(dir));
	snprintf(socket, sizeof(socket), "%s/s", dir);
	cr_assert_eq(http_server_new(upload_routes, &target, &target.server, &err), 0);
	cr_assert_eq(http_server_listen_unix(target.server, socket, &err), 0, "%s", err.message);
	cr_assert_eq(http_client_new(socket, NULL, &client, &err), 0);
	round_send(client, false);
	urgent_await(1);
	round_send(client, true);
	urgent_await(0);
	http_client_free(client);
	http_server_free(target.server);
	rmdir(dir);
}
