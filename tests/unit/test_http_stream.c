/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What takes long: uploads, followed answers, many calls in flight, and the server's end. */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "tests/unit/http_fixture.h"

#define CALL_MS 30000
#define MIB	((size_t)1 << 20)

TestSuite(http_stream, .init = http_fixture_setup, .fini = http_fixture_teardown, .timeout = 60);

/* ------------------------------------------------------------------------------------- upload */

struct source {
	uint64_t hash;
	uint32_t random;
	size_t left, fail_at;
	atomic_bool cancel;
};

static ssize_t source_read(void *ctx, void *buf, size_t len)
{
	struct source *source = ctx;
	size_t n = MIN(len, source->left);
	unsigned char *bytes = buf;

	if (source->left < source->fail_at)
		return -EPIPE;
	for (size_t i = 0; i < n; i++) {
		source->random = source->random * 1664525 + 1013904223;
		bytes[i] = (unsigned char)(source->random >> 24);
	}
	source->hash = http_fixture_hash(source->hash, buf, n);
	source->left -= n;
	return (ssize_t)n;
}

static void upload_64m(struct http_client *client)
{
	struct source source = { .random = 1, .left = 64 * MIB };
	struct http_upload upload = { .path = "/v1/upload", .read = source_read, .ctx = &source };
	_cleanup_json_ json_t *reply = NULL;
	struct ff_error err;
	char hash[20];

	cr_assert_eq(http_upload(client, &upload, NULL, &reply, &err), 0, "%s", err.message);
	snprintf(hash, sizeof(hash), "%016" PRIx64, source.hash);
	cr_assert_eq(json_integer_value(json_object_get(reply, "len")), 64 * (json_int_t)MIB);
	cr_assert_str_eq(json_string_value(json_object_get(reply, "hash")), hash);
}

Test(http_stream, upload_over_tls_arrives_whole)
{
	upload_64m(fixture.remote);
}

Test(http_stream, upload_over_the_unix_socket_arrives_whole)
{
	upload_64m(fixture.local);
}

Test(http_stream, upload_of_a_buffer_and_of_nothing)
{
	struct http_upload upload = { .path = "/v1/upload", .data = "abc", .len = 3 };
	_cleanup_json_ json_t *three = NULL, *none = NULL;

	cr_assert_eq(http_upload(fixture.remote, &upload, NULL, &three, NULL), 0);
	cr_assert_eq(json_integer_value(json_object_get(three, "len")), 3);
	upload.len = 0;
	cr_assert_eq(http_upload(fixture.remote, &upload, NULL, &none, NULL), 0);
	cr_assert_eq(json_integer_value(json_object_get(none, "len")), 0);
}

Test(http_stream, a_refused_upload_is_told_why)
{
	struct source source = { .random = 1, .left = 32 * MIB };
	struct http_upload upload = { .path = "/v1/upload?fail_at=100000",
				      .read = source_read,
				      .ctx = &source };
	_cleanup_free_ char *zeros = calloc(8, MIB);
	unsigned int status;
	struct ff_error err;

	cr_assert_eq(http_upload(fixture.remote, &upload, &status, NULL, &err), -EPERM);
	cr_assert_eq(status, 409);
	cr_assert_str_eq(err.message, "a foreign stream");
	/* refused at its headers */
	upload = (struct http_upload){ .path = "/v1/upload?fail_at=no",
				       .data = zeros,
				       .len = 8 * MIB };
	cr_assert_eq(http_upload(fixture.remote, &upload, &status, NULL, &err), -EINVAL);
	cr_assert_eq(status, 400);
	upload.path = "/v1/nowhere";
	cr_assert_eq(http_upload(fixture.remote, &upload, &status, NULL, &err), -ENOENT);
	cr_assert_eq(status, 404);
}

Test(http_stream, a_refused_upload_without_end_is_cut_off)
{
	struct source source = { .random = 1, .left = SIZE_MAX };
	struct http_upload upload = { .path = "/v1/upload?fail_at=0",
				      .read = source_read,
				      .ctx = &source };
	struct ff_error err;

	cr_assert_lt(http_upload(fixture.local, &upload, NULL, NULL, &err), 0);
	cr_assert_leq(SIZE_MAX - source.left, HTTP_DISCARD_MAX + 16 * MIB);
}

Test(http_stream, a_sender_that_gives_up_leaves_nothing_behind)
{
	struct source source = { .random = 1, .left = 4 * MIB, .fail_at = 2 * MIB };
	struct http_upload upload = { .path = "/v1/upload", .read = source_read, .ctx = &source };
	struct ff_error err;

	cr_assert_eq(http_upload(fixture.remote, &upload, NULL, NULL, &err), -EPIPE);
	http_fixture_wait(&fixture.uploads, 0, "the upload's context to be freed");
}

static ssize_t cancelling_read(void *ctx, void *buf, size_t len)
{
	struct source *source = ctx;

	atomic_store(&source->cancel, true);
	return source_read(ctx, buf, len);
}

Test(http_stream, an_upload_can_be_cancelled)
{
	struct source source = { .random = 1, .left = SIZE_MAX };
	struct http_upload upload = { .path = "/v1/upload",
				      .read = cancelling_read,
				      .ctx = &source,
				      .cancel = &source.cancel };
	struct ff_error err;

	cr_assert_eq(http_upload(fixture.remote, &upload, NULL, NULL, &err), -ECANCELED);
	http_fixture_wait(&fixture.uploads, 0, "the upload's context to be freed");
}

struct canceller {
	atomic_bool cancel;
	uint64_t at_ns;
};

static void *cancel_later(void *cls)
{
	struct canceller *canceller = cls;

	/* libcurl's own timers have run out; by itself it looks again after another 900 ms */
	clock_sleep_ns(1100 * NSEC_PER_MSEC);
	canceller->at_ns = clock_ns();
	atomic_store(&canceller->cancel, true);
	return NULL;
}

/* Its host has died: nobody answers, and flows wait until we give up. */
Test(http_stream, a_cancelled_upload_that_nobody_answers_ends_soon)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/ff-test-XXXXXX";
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct canceller canceller = {};
	struct http_upload upload = {
		.path = "/", .data = "state", .len = 5, .cancel = &canceller.cancel
	};
	struct http_client *client;
	struct ff_error err = { 0 };
	pthread_t thread;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/s", dir);
	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(listen(fd, 1), 0);
	cr_assert_eq(http_client_new(addr.sun_path, NULL, &client, &err), 0, "%s", err.message);
	pthread_create(&thread, NULL, cancel_later, &canceller);
	cr_expect_eq(http_upload(client, &upload, NULL, NULL, &err), -ECANCELED);
	cr_expect_lt(clock_ns() - canceller.at_ns, 700 * NSEC_PER_MSEC);
	pthread_join(thread, NULL);
	http_client_free(client);
	close(fd);
	unlink(addr.sun_path);
	rmdir(dir);
}

/* ------------------------------------------------------------------------------------- follow */

struct follower {
	pthread_t thread;
	struct http_client *client;
	atomic_uint lines;
	unsigned int stop_at;
	int stop_with;
	atomic_bool cancel;
	int result;
};

static int follower_line(void *ctx, const char *line, size_t len)
{
	struct follower *follower = ctx;
	unsigned int n = atomic_fetch_add(&follower->lines, 1) + 1;
	char want[32];

	snprintf(want, sizeof(want), "{\"seq\":%u}", n);
	if (strcmp(line, want) != 0 || strlen(line) != len)
		return -EBADMSG;
	return n == follower->stop_at ? follower->stop_with : 0;
}

static void *follower_run(void *cls)
{
	struct follower *follower = cls;

	follower->result = http_follow(follower->client, "/v1/events?follow=1", NULL, follower_line,
				       follower, &follower->cancel, NULL);
	return NULL;
}

static void follower_start(struct follower *follower, struct http_client *client)
{
	follower->client = client;
	pthread_create(&follower->thread, NULL, follower_run, follower);
	http_fixture_wait(&fixture.streams, 1, "the stream to open");
}

static void followed(struct http_client *client)
{
	struct follower follower = {};

	follower_start(&follower, client);
	for (unsigned int i = 1; i < 1000; i++) {
		http_fixture_event();
		if (i <= 3) /* each comes at once, not with the next */
			http_fixture_wait(&follower.lines, i, "an event");
	}
	http_fixture_event(); /* event 1000 is the end */
	pthread_join(follower.thread, NULL);
	cr_assert_eq(follower.result, 0);
	cr_assert_eq(follower.lines, 999);
}

Test(http_stream, events_are_followed_to_their_end_over_tls)
{
	followed(fixture.remote);
}

Test(http_stream, events_are_followed_to_their_end_locally)
{
	followed(fixture.local);
}

Test(http_stream, a_follower_may_stop)
{
	struct follower satisfied = { .stop_at = 2, .stop_with = 1 };
	struct follower broken = { .stop_at = 1, .stop_with = -EBADF };

	follower_start(&satisfied, fixture.remote);
	http_fixture_event();
	http_fixture_event();
	pthread_join(satisfied.thread, NULL);
	cr_assert_eq(satisfied.result, 0);
	http_fixture_wait(&fixture.streams, 0, "the stream to close without another event");
	broken.client = fixture.local;
	follower_run(&broken);
	cr_assert_eq(broken.result, -EBADF);
	http_fixture_wait(&fixture.streams, 0, "the stream to close without another event");
}

Test(http_stream, a_silent_stream_can_be_cancelled)
{
	struct follower follower = {};

	follower_start(&follower, fixture.remote);
	atomic_store(&follower.cancel, true);
	pthread_join(follower.thread, NULL);
	cr_assert_eq(follower.result, -ECANCELED);
	http_fixture_wait(&fixture.streams, 0, "the stream to close without any event");
}

static int no_line(void *ctx, const char *line, size_t len)
{
	(void)ctx, (void)line, (void)len;
	return -EBADMSG;
}

Test(http_stream, following_an_error_is_an_error)
{
	struct ff_error err;

	cr_assert_eq(http_follow(fixture.remote, "/v1/fail/busy", NULL, no_line, NULL, NULL, &err),
		     -EBUSY);
	cr_assert_str_eq(err.message, "the message");
}

/* -------------------------------------------------------------------------------------- multi */

Test(http_stream, many_calls_at_once_complete_as_they_end)
{
	struct http_multi *multi;
	struct http_completion done;
	int turns[3] = { 3, 1, 2 };

	cr_assert_eq(http_multi_new(&multi, NULL), 0);
	cr_assert_eq(http_multi_wait(multi, 1000, &done), -ENOENT);
	for (size_t i = 0; i < 3; i++) {
		char path[64];

		snprintf(path, sizeof(path), "/v1/turn?n=%d", turns[i]);
		cr_assert_eq(http_multi_start(multi, i % 2 ? fixture.local : fixture.remote, "GET",
					      path, NULL, NULL, CALL_MS, &turns[i], NULL),
			     0);
	}
	cr_assert_eq(http_multi_in_flight(multi), 3);
	for (size_t i = 0; i < 3; i++) {
		static const size_t by_turn[] = { 1, 2, 0 };

		cr_assert_eq(http_multi_wait(multi, 0, &done), 0);
		atomic_fetch_add(&fixture.turn, 1);
		cr_assert_eq(http_multi_wait(multi, CALL_MS, &done), 1);
		cr_assert_eq(done.user, &turns[by_turn[i]]);
		cr_assert_eq(done.result, 0);
		cr_assert_eq(done.status, 200);
		cr_assert_eq(json_integer_value(json_object_get(done.reply, "n")),
			     *(int *)done.user);
		json_decref(done.reply);
	}
	cr_assert_eq(http_multi_wait(multi, 1000, &done), -ENOENT);
	http_multi_free(multi);
}

Test(http_stream, multi_reports_failures_as_completions)
{
	_cleanup_json_ json_t *body = json_object();
	struct http_completion done;
	struct http_multi *multi;
	struct http_client *gone;

	cr_assert_eq(http_client_new("http://127.0.0.1:1", NULL, &gone, NULL), 0);
	cr_assert_eq(http_multi_new(&multi, NULL), 0);
	cr_assert_eq(http_multi_start(multi, gone, "POST", "/v1/echo", body, NULL, CALL_MS, NULL,
				      NULL),
		     0);
	cr_assert_eq(http_multi_wait(multi, CALL_MS, &done), 1);
	cr_assert_eq(done.result, -ECONNREFUSED);
	cr_assert_eq(done.client, gone);
	cr_assert_str_eq(done.error.code, FF_CODE_UNREACHABLE);
	cr_assert_eq(http_multi_start(multi, fixture.remote, "GET", "/v1/fail/stale-epoch", NULL,
				      NULL, CALL_MS, NULL, NULL),
		     0);
	cr_assert_eq(http_multi_wait(multi, CALL_MS, &done), 1);
	cr_assert_eq(done.result, -ESTALE);
	cr_assert_eq(done.status, 409);
	http_multi_free(multi);
	http_client_free(gone);
}

static void *waker(void *cls)
{
	clock_sleep_ns(20 * NSEC_PER_MSEC);
	http_multi_wakeup(cls);
	return NULL;
}

Test(http_stream, multi_waits_no_longer_than_asked_and_cancels)
{
	struct http_completion done;
	struct http_multi *multi;
	pthread_t thread;
	int mine, other;

	cr_assert_eq(http_multi_new(&multi, NULL), 0);
	http_multi_start(multi, fixture.remote, "GET", "/v1/slow?ms=60000", NULL, NULL, 0, &mine,
			 NULL);
	http_multi_start(multi, fixture.local, "GET", "/v1/slow?ms=60000", NULL, NULL, 0, &other,
			 NULL);
	cr_assert_eq(http_multi_wait(multi, 0, &done), 0);
	cr_assert_eq(http_multi_wait(multi, 50, &done), 0);
	pthread_create(&thread, NULL, waker, multi);
	cr_assert_eq(http_multi_wait(multi, -1, &done), -EINTR);
	pthread_join(thread, NULL);
	http_fixture_wait(&fixture.slow, 2, "both handlers to run");
	cr_assert_eq(http_multi_cancel(multi, &mine), 1);
	http_fixture_wait(&fixture.slow, 1, "the cancelled one's handler to notice");
	http_multi_free(multi);
	http_fixture_wait(&fixture.slow, 0, "the other one's handler to notice");
}

/* ---------------------------------------------------------------------------------------- end */

Test(http_stream, stop_ends_streams_at_once)
{
	struct follower far = {}, near = {};
	uint64_t start;

	follower_start(&far, fixture.remote);
	near.client = fixture.local;
	pthread_create(&near.thread, NULL, follower_run, &near);
	http_fixture_wait(&fixture.streams, 2, "both streams to open");
	start = clock_ns();
	atomic_fetch_add(&fixture.events, 1); /* appended, and nobody was woken: not lost */
	http_server_stop(fixture.server, 50000);
	cr_assert_lt(clock_ns() - start, HTTP_FIXTURE_SOON_NS);
	pthread_join(far.thread, NULL);
	pthread_join(near.thread, NULL);
	cr_assert_eq(far.result, 0);
	cr_assert_eq(near.result, 0);
	cr_assert_eq(far.lines, 1);
	cr_assert_eq(near.lines, 1);
}

struct one_call {
	const char *path;
	int result;
};

static void *one_call_run(void *cls)
{
	struct one_call *call = cls;

	call->result =
		http_call(fixture.remote, "GET", call->path, NULL, NULL, 0, NULL, NULL, NULL);
	return NULL;
}

Test(http_stream, stop_lets_running_handlers_answer)
{
	struct ff_error err;
	struct one_call call = { "/v1/last", -1 };
	pthread_t thread;

	/* an idle connection is open as well, and no hindrance */
	http_call(fixture.local, "GET", "/v1/slow", NULL, NULL, CALL_MS, NULL, NULL, NULL);
	pthread_create(&thread, NULL, one_call_run, &call);
	http_fixture_wait(&fixture.slow, 1, "the handler to run");
	http_server_stop(fixture.server, 50000);
	pthread_join(thread, NULL);
	cr_assert_eq(call.result, 0);
	cr_assert_lt(http_call(fixture.local, "GET", "/v1/slow", NULL, NULL, CALL_MS, NULL, NULL,
			       &err),
		     0);
	cr_assert_str_eq(err.code, FF_CODE_UNREACHABLE);
}

Test(http_stream, stop_waits_for_handlers_no_longer_than_its_grace)
{
	struct one_call call = { "/v1/slow?ms=60000", 0 };
	pthread_t thread;
	uint64_t start;

	pthread_create(&thread, NULL, one_call_run, &call);
	http_fixture_wait(&fixture.slow, 1, "the handler to run");
	start = clock_ns();
	http_server_stop(fixture.server, 10);
	cr_assert_lt(clock_ns() - start, HTTP_FIXTURE_SOON_NS);
	pthread_join(thread, NULL);
	cr_assert_lt(call.result, 0, "its answer can't have arrived");
}

/* ------------------------------------------------------------------------------------ latency */

#define POSTS 500

/*
 * Catches Nagle and delayed ACKs (40 ms) and a sleeping poll, which slow down all of them. Of a
 * busy machine a quarter of them are fast enough.
 */
Test(http_stream, a_small_post_is_fast)
{
	struct http_upload upload = { .path = "/v1/upload", .data = "abc", .len = 3 };
	unsigned int fast = 0;

	for (int i = 0; i < POSTS; i++) {
		uint64_t start = clock_ns();

		cr_assert_eq(http_upload(fixture.remote, &upload, NULL, NULL, NULL), 0);
		fast += clock_ns() - start < 10 * NSEC_PER_MSEC;
	}
	cr_assert_gt(fast, POSTS / 4, "%u of %u", fast, POSTS);
}
