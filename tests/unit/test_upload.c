/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_upload.c - state of a move is taken from one upload at a time: what a source sent before it
 * was restarted would land upon what it sends anew.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/move.h"
#include "agent/target.h"
#include "lib/clock.h"

#define CALL_MS 30000

static struct agent_config config = { .host = "h", .state_dir = "/nonexistent" };
static struct ff_host_info info;
static struct datapath dp = { .host = &info };
static struct agent agent = { .config = &config,
			      .dp = &dp,
			      .lock = PTHREAD_MUTEX_INITIALIZER,
			      .moves_lock = PTHREAD_MUTEX_INITIALIZER };
static struct move move = { .agent = &agent,
			    .id = "m",
			    .refs = 1,
			    .is_target = true,
			    .prepared = true,
			    .target_phase = PHASE_PREPARED,
			    .lock = PTHREAD_MUTEX_INITIALIZER };
static char dir[] = "/tmp/ff-upload-XXXXXX";
static struct http_client *client;

static const struct http_route routes[] = {
	{ "POST", "/v1/moves/:id/state", NULL, &target_state_upload, 0 },
	{ NULL, NULL, NULL, NULL, 0 },
};

static void setup(void)
{
	struct ff_error err = {};
	char socket[64];

	clock_cond_init(&move.changed);
	agent.moves[3] = &move;
	cr_assert(mkdtemp(dir));
	snprintf(socket, sizeof(socket), "%s/s", dir);
	cr_assert_eq(http_server_new(routes, &agent, &agent.server, &err), 0);
	cr_assert_eq(http_server_listen_unix(agent.server, socket, &err), 0, "%s", err.message);
	cr_assert_eq(http_client_new(socket, NULL, &client, &err), 0);
}

static void teardown(void)
{
	http_client_free(client);
	http_server_free(agent.server);
	rmdir(dir);
}

TestSuite(upload, .init = setup, .fini = teardown, .timeout = 60);

/* One that has begun, and sends nothing until it is told to end. */
struct held {
	sem_t end;
	struct ff_error err;
	pthread_t thread;
};

static ssize_t held_read(void *ctx, void *buf, size_t len)
{
	struct held *held = ctx;

	(void)buf, (void)len;
	sem_wait(&held->end);
	return 0;
}

static void *held_main(void *arg)
{
	struct held *held = arg;
	struct http_upload upload = {
		.path = "/v1/moves/m/state", .read = held_read, .ctx = held, .timeout_ms = CALL_MS
	};

	http_upload(client, &upload, NULL, NULL, &held->err);
	return NULL;
}

static void receiving_await(unsigned int count)
{
	uint64_t until_ns = clock_ns() + CALL_MS * NSEC_PER_MSEC;

	pthread_mutex_lock(&move.lock);
	while (move.receiving != count)
		cr_assert(clock_cond_wait(&move.changed, &move.lock,
					  MIN(until_ns, clock_ns() + NSEC_PER_MSEC)) ||
				  clock_ns() < until_ns,
			  "%u are received, not %u", move.receiving, count);
	pthread_mutex_unlock(&move.lock);
}

/* Why one that comes now is refused. */
static const char *refusal(void)
{
	struct http_upload upload = {
		.path = "/v1/moves/m/state", .data = "x", .len = 1, .timeout_ms = CALL_MS
	};
	static struct ff_error err;

	cr_assert_lt(http_upload(client, &upload, NULL, NULL, &err), 0);
	return err.message;
}

Test(upload, one_at_a_time)
{
	struct held held = {};
	const char *why;

	sem_init(&held.end, 0, 0);
	cr_assert_eq(pthread_create(&held.thread, NULL, held_main, &held), 0);
	receiving_await(1);
	why = refusal();
	cr_expect(strstr(why, "still writes older state"), "%s", why);
	cr_expect_eq(move.receiving, 1);
	sem_post(&held.end);
	pthread_join(held.thread, NULL);
	receiving_await(0);
	why = refusal();
	cr_expect_not(strstr(why, "takes no state here"), "%s", why);
	receiving_await(0);
}
