/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_source.c - the source's thread: there is one at a time, and none once the flows are taken back,
 * whatever requests come late.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "agent/source.h"

static struct agent_config config = { .host = "h" };
static struct ff_host_info info;
static struct datapath dp = { .host = &info, .park_rings_fd = -1 };
static struct agent agent = { .config = &config, .dp = &dp };
static struct ff_lane lane;
static struct move move = { .agent = &agent,
			    .id = "m",
			    .is_source = true,
			    .source = PHASE_CONVERGED,
			    .source_lane = { .dp = &dp, .map = &lane },
			    .lock = PTHREAD_MUTEX_INITIALIZER };
static bool let_go;

static void setup(void)
{
	clock_cond_init(&move.changed);
}

TestSuite(source, .init = setup, .timeout = 20);

/* As the real one, when it is cancelled; but not before it is let go. */
static void *thread_main(void *arg)
{
	pthread_mutex_lock(&move.lock);
	while (!let_go)
		pthread_cond_wait(&move.changed, &move.lock);
	move.error = -ECANCELED;
	error_set(&move.why, ECANCELED, FF_CODE_REFUSED, NULL, "stopped");
	pthread_cond_broadcast(&move.changed);
	pthread_mutex_unlock(&move.lock);
	return arg;
}

static void *stop(void *arg)
{
	source_stop(&move);
	return arg;
}

static void *ask_final(void *arg)
{
	json_t *reply = NULL;
	struct ff_error err = { 0 };

	*(int *)arg = source_final(&move, true, &reply, &err);
	return NULL;
}

static void wait_until(const bool *condition)
{
	bool is = false;

	while (!is) {
		pthread_mutex_lock(&move.lock);
		is = *condition;
		pthread_mutex_unlock(&move.lock);
		clock_sleep_ns(NSEC_PER_MSEC);
	}
}

/* A request that comes while a thread is being stopped starts no other one, which nobody would stop. */
Test(source, one_thread_at_a_time)
{
	pthread_t stopper, asker;
	int answer = 1;

	move.running = true;
	cr_assert_eq(pthread_create(&move.thread, NULL, thread_main, NULL), 0);
	cr_assert_eq(pthread_create(&stopper, NULL, stop, NULL), 0);
	wait_until(&move.stopping);
	cr_assert_eq(pthread_create(&asker, NULL, ask_final, &answer), 0);
	wait_until(&move.final_asked);
	pthread_mutex_lock(&move.lock);
	cr_expect(move.cancel, "what stops it was taken back");
	cr_expect(move.running);
	cr_expect_not(move.resending, "another one was started");
	let_go = true;
	pthread_cond_broadcast(&move.changed);
	pthread_mutex_unlock(&move.lock);
	cr_assert_eq(pthread_join(asker, NULL), 0);
	cr_assert_eq(pthread_join(stopper, NULL), 0);
	cr_expect_eq(answer, -ECANCELED);
	cr_expect_not(move.running);
	cr_expect_not(move.cancel);
}

/* It would hand over what the source holds by then, or is about to. */
Test(source, a_final_that_is_late_hands_over_nothing)
{
	json_t *body = json_pack("{s[]}", "steering"), *reply = NULL;
	struct ff_error err = { 0 };

	cr_expect_lt(source_hold(&move, body, &err), 0, "it has no ring to hold them in");
	cr_expect_eq(source_final(&move, true, &reply, &err), -EBUSY);
	cr_expect(strstr(err.message, "being taken back"), "%s", err.message);
	cr_expect_not(move.running);
	json_decref(body);
}
