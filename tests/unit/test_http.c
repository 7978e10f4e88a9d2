/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Server and client of the control API against each other: requests, errors, many at once. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "tests/unit/http_fixture.h"

TestSuite(http, .init = http_fixture_setup, .fini = http_fixture_teardown, .timeout = 60);

/* ------------------------------------------------------------------------------------- routes */

Test(http, params_query_and_headers_reach_the_handler)
{
	const char *const headers[] = { HTTP_HEADER_EPOCH ": 18446744073709551", NULL };
	_cleanup_json_ json_t *reply = NULL;
	struct ff_error err = {};
	unsigned int status;

	cr_assert_eq(http_call(fixture.local, "GET", "/v1/echo/a%20b?limit=7&follow&text=tcp+1%3A2",
			       NULL, headers, HTTP_FIXTURE_MS, &status, &reply, &err),
		     0, "%s", err.message);
	cr_assert_eq(status, 200);
	cr_assert_str_eq(http_fixture_text(reply, "id"), "a b");
	cr_assert_str_eq(http_fixture_text(reply, "text"), "tcp 1:2");
	cr_assert_eq(json_integer_value(json_object_get(reply, "limit")), 7);
	cr_assert(json_is_true(json_object_get(reply, "follow")));
	cr_assert_eq(json_integer_value(json_object_get(reply, "epoch")), 18446744073709551);
	cr_assert_eq(strncmp(http_fixture_text(reply, "peer"), "uid ", 4), 0);
}

Test(http, a_fixed_segment_wins_over_a_parameter)
{
	_cleanup_json_ json_t *fixed = NULL, *deeper = NULL;

	cr_assert_eq(http_fixture_get(fixture.local, "/v1/echo/fixed", NULL, &fixed, NULL), 0);
	cr_assert_str_eq(http_fixture_text(fixed, "id"), "the fixed one");
	cr_assert_eq(http_fixture_get(fixture.local, "/v1/echo/fixed/state", NULL, &deeper, NULL),
		     0);
	cr_assert_str_eq(http_fixture_text(deeper, "id"), "fixed");
}

Test(http, bad_numbers_are_refused_by_name)
{
	static const struct {
		const char *path, *message;
	} cases[] = {
		{ "/v1/echo/x?limit=0", "?limit=0 must be a number from 1 to 1000" },
		{ "/v1/echo/x?limit=1001", "?limit=1001 must be a number from 1 to 1000" },
		{ "/v1/echo/x?limit=7up", "?limit=7up must be a number from 1 to 1000" },
		{ "/v1/echo/x?limit=", "?limit= must be a number from 1 to 1000" },
		{ "/v1/echo/x?follow=maybe", "?follow=maybe must be 0 or 1" },
	};
	const char *const headers[] = { HTTP_HEADER_EPOCH ": -1", NULL };
	unsigned int status;
	struct ff_error err;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cr_assert_eq(http_fixture_get(fixture.local, cases[i].path, &status, NULL, &err),
			     -EINVAL);
		cr_assert_eq(status, 400);
		cr_assert_str_eq(err.code, FF_CODE_BAD_REQUEST);
		cr_assert_str_eq(err.message, cases[i].message);
	}
	cr_assert_eq(http_call(fixture.local, "GET", "/v1/echo/x", NULL, headers, HTTP_FIXTURE_MS,
			       &status, NULL, &err),
		     -EINVAL);
	cr_assert_str_eq(err.message, HTTP_HEADER_EPOCH ": -1 must be a number");
}

Test(http, unknown_paths_are_404)
{
	static const char *const paths[] = {
		"/",
		"/v1",
		"/v1/",
		"/v1/echo/",
		"/v1/echo/x/",
		"/v1/echo/x/y",
		"/v1/echo//",
		"/v2/echo/x",
		"/v1/slo",
		"/v1/slows",
		"/v1/echo/x/state/y",
	};
	unsigned int status;
	struct ff_error err;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		cr_assert_eq(http_fixture_get(fixture.local, paths[i], &status, NULL, &err),
			     -ENOENT, "%s", paths[i]);
		cr_assert_eq(status, 404);
		cr_assert_str_eq(err.code, FF_CODE_NOT_FOUND);
	}
}

Test(http, a_wrong_method_is_405_and_told_which)
{
	_cleanup_free_ char *answer = http_fixture_raw("PUT /v1/echo/x HTTP/1.1\r\nHost: x\r\n"
						       "Connection: close\r\n"
						       "Content-Length: 2\r\n\r\n{}");

	cr_assert_eq(strncmp(answer, "HTTP/1.1 405 ", 13), 0, "%s", answer);
	cr_assert(strstr(answer, "Allow: GET, HEAD, DELETE\r\n"), "%s", answer);
	cr_assert(strstr(answer, "Content-Type: application/json\r\n"), "%s", answer);
	cr_assert(strstr(answer, "{\"error\":{\"code\":\"bad-request\""), "%s", answer);
}

Test(http, a_handler_sets_headers_and_empty_answers)
{
	_cleanup_free_ char *answer = http_fixture_raw("POST /v1/echo HTTP/1.1\r\nHost: x\r\n"
						       "Connection: close\r\n"
						       "Content-Length: 7\r\n\r\n{\"a\":1}");
	unsigned int status;

	cr_assert_eq(strncmp(answer, "HTTP/1.1 202 ", 13), 0, "%s", answer);
	cr_assert(strstr(answer, "Location: /v1/operations/1\r\n"), "%s", answer);
	cr_assert(strstr(answer, "\r\n\r\n{\"a\":1}\n"), "%s", answer);
	cr_assert_eq(http_call(fixture.local, "DELETE", "/v1/echo/x", NULL, NULL, HTTP_FIXTURE_MS,
			       &status, NULL, NULL),
		     0);
	cr_assert_eq(status, 204);
}

Test(http, head_is_answered_where_get_is)
{
	unsigned int status;

	cr_assert_eq(http_call(fixture.local, "HEAD", "/v1/echo/x", NULL, NULL, HTTP_FIXTURE_MS,
			       &status, NULL, NULL),
		     0);
	cr_assert_eq(status, 200);
}

/* ------------------------------------------------------------------------------------- errors */

Test(http, each_code_has_its_status_and_errno)
{
	static const struct {
		const char *path;
		unsigned int status;
		int result;
		const char *code;
	} cases[] = {
		{ "/v1/fail/bad-request", 400, -EINVAL, "bad-request" },
		{ "/v1/fail/not-found", 404, -ENOENT, "not-found" },
		{ "/v1/fail/exists", 409, -EEXIST, "exists" },
		{ "/v1/fail/busy", 409, -EBUSY, "busy" },
		{ "/v1/fail/overlap", 409, -EALREADY, "overlap" },
		{ "/v1/fail/stale-epoch", 409, -ESTALE, "stale-epoch" },
		{ "/v1/fail/refused", 409, -EPERM, "refused" },
		{ "/v1/fail/unreachable", 502, -EHOSTUNREACH, "unreachable" },
		{ "/v1/fail/internal", 500, -EIO, "internal" },
		{ "/v1/fail/bare", 404, -ENOENT, "not-found" },
		{ "/v1/fail/silent", 500, -EIO, "internal" },
	};
	unsigned int status;
	struct ff_error err;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = http_fixture_get(fixture.remote, cases[i].path, &status, NULL, &err);

		cr_assert_eq(r, cases[i].result, "%s: %d", cases[i].path, r);
		cr_assert_eq(err.err, r);
		cr_assert_eq(status, cases[i].status, "%s: %u", cases[i].path, status);
		cr_assert_str_eq(err.code, cases[i].code);
	}
	http_fixture_get(fixture.local, "/v1/fail/busy", NULL, NULL, &err);
	cr_assert_str_eq(err.message, "the message");
	cr_assert_str_eq(err.mend, "the mend");
}

static int post_text(const char *path, const char *text, unsigned int *ret_status,
		     struct ff_error *err)
{
	struct http_upload upload = { .path = path, .data = text, .len = strlen(text) };

	return http_upload(fixture.local, &upload, ret_status, NULL, err);
}

Test(http, bad_json_is_refused_with_its_place)
{
	static const struct {
		const char *body, *part;
	} cases[] = {
		{ "{\"a\":1,\n \"b\" 2}", "line 2" }, { "{\"a\":1} x", "line 1" },
		{ "{\"a\":1,\"a\":2}", "duplicate" }, { "[1]", "is no JSON object" },
		{ "", "wants a JSON object" },	      { "{\"a\":\"\xff\"}", "byte 0xff" },
	};
	unsigned int status;
	struct ff_error err;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cr_assert_eq(post_text("/v1/echo", cases[i].body, &status, &err), -EINVAL, "%s",
			     cases[i].body);
		cr_assert_eq(status, 400);
		cr_assert(strstr(err.message, cases[i].part), "%s: %s", cases[i].body, err.message);
	}
}

Test(http, a_body_may_be_optional)
{
	_cleanup_json_ json_t *with = NULL, *without = NULL, *body = json_object();

	cr_assert_eq(http_call(fixture.local, "PUT", "/v1/optional", body, NULL, HTTP_FIXTURE_MS,
			       NULL, &with, NULL),
		     0);
	cr_assert(json_is_true(json_object_get(with, "body")));
	cr_assert_eq(http_call(fixture.local, "PUT", "/v1/optional", NULL, NULL, HTTP_FIXTURE_MS,
			       NULL, &without, NULL),
		     0);
	cr_assert(json_is_false(json_object_get(without, "body")));
}

static ssize_t read_spaces(void *ctx, void *buf, size_t len)
{
	size_t *left = ctx, n = len < *left ? len : *left;

	memset(buf, ' ', n);
	*left -= n;
	return (ssize_t)n;
}

Test(http, a_body_too_large_is_413)
{
	size_t len = HTTP_JSON_BODY_MAX + 1, left = len;
	_cleanup_free_ char *spaces = malloc(len);
	struct http_upload known = { .path = "/v1/echo", .data = spaces, .len = len };
	struct http_upload unknown = { .path = "/v1/echo", .read = read_spaces, .ctx = &left };
	_cleanup_json_ json_t *reply = NULL;
	unsigned int status;
	struct ff_error err;

	memset(spaces, ' ', len);
	cr_assert_eq(http_upload(fixture.remote, &known, &status, NULL, &err), -EINVAL);
	cr_assert_eq(status, 413);
	cr_assert(strstr(err.message, "larger than 64 MiB"), "%s", err.message);
	cr_assert_eq(http_upload(fixture.remote, &unknown, &status, NULL, &err), -EINVAL);
	cr_assert_eq(status, 413);
	/* just fits: it is the JSON that is wrong with it then */
	known.len--;
	cr_assert_eq(http_upload(fixture.remote, &known, &status, NULL, &err), -EINVAL);
	cr_assert_eq(status, 400);
	cr_assert_eq(http_fixture_get(fixture.remote, "/v1/echo/x", NULL, &reply, NULL), 0);
}

Test(http, a_large_json_body_passes)
{
	_cleanup_json_ json_t *body = json_object(), *reply = NULL;
	struct ff_error err;

	for (int i = 0; i < 200000; i++) {
		char key[16];

		snprintf(key, sizeof(key), "key%d", i);
		json_put_int(body, key, i);
	}
	cr_assert_eq(http_call(fixture.remote, "POST", "/v1/echo", body, NULL, HTTP_FIXTURE_MS,
			       NULL, &reply, &err),
		     0, "%s", err.message);
	cr_assert(json_equal(body, reply));
}

/* -------------------------------------------------------------------------------- unreachable */

Test(http, what_cannot_be_reached_is_named_with_a_mend)
{
	struct http_client *gone, *nobody;
	struct ff_error err;
	unsigned int status = 7;

	cr_assert_eq(http_client_new("/nonexistent/x.sock", NULL, &gone, NULL), 0);
	cr_assert_eq(http_fixture_get(gone, "/v1/echo/x", &status, NULL, &err), -ENOENT, "%s",
		     err.message);
	cr_assert_eq(status, 0);
	cr_assert_str_eq(err.code, FF_CODE_UNREACHABLE);
	cr_assert_str_eq(err.message, "can't reach /nonexistent/x.sock: No such file or directory");
	cr_assert(err.mend[0]);
	http_client_free(gone);
	cr_assert_eq(http_client_new("http://127.0.0.1:1", NULL, &nobody, NULL), 0);
	cr_assert_eq(http_fixture_get(nobody, "/v1/echo/x", NULL, NULL, &err), -ECONNREFUSED, "%s",
		     err.message);
	cr_assert_str_eq(err.message, "can't reach http://127.0.0.1:1: Connection refused");
	http_client_free(nobody);
}

Test(http, a_call_times_out)
{
	uint64_t start = clock_ns();
	struct ff_error err;

	cr_assert_eq(http_call(fixture.remote, "GET", "/v1/slow?ms=60000", NULL, NULL, 100, NULL,
			       NULL, &err),
		     -ETIMEDOUT);
	cr_assert_str_eq(err.code, FF_CODE_UNREACHABLE);
	cr_assert_lt(clock_ns() - start, HTTP_FIXTURE_SOON_NS);
	http_fixture_wait(&fixture.slow, 0, "the handler to see that its client is gone");
}

Test(http, a_restarted_daemon_is_found_again)
{
	struct http_upload upload = { .path = "/v1/upload", .data = "abc", .len = 3 };
	struct ff_error err;

	for (int i = 0; i < 3; i++) {
		cr_assert_eq(http_fixture_get(fixture.local, "/v1/echo/x", NULL, NULL, &err), 0,
			     "%s", err.message);
		cr_assert_eq(http_fixture_get(fixture.remote, "/v1/echo/x", NULL, NULL, &err), 0,
			     "%s", err.message);
		http_fixture_restart(); /* both clients hold a connection that has ended */
		cr_assert_eq(http_upload(fixture.remote, &upload, NULL, NULL, &err), 0, "%s",
			     err.message);
	}
}

Test(http, garbage_ends_its_own_connection_only)
{
	static const char *const garbage[] = {
		"\r\n\r\n",
		"GET\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\r\n\r\n",
		"GET /v1/echo/x HTTP/1.1\r\n\r\n", /* no Host */
		"POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
		"POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(garbage); i++) {
		_cleanup_free_ char *answer = http_fixture_raw(garbage[i]);

		cr_assert_neq(strncmp(answer, "HTTP/1.1 2", 10), 0, "%zu: %s", i, answer);
		cr_assert_eq(http_fixture_get(fixture.local, "/v1/echo/x", NULL, NULL, NULL), 0);
	}
}

/* -------------------------------------------------------------------------------- concurrency */

#define THREADS	   16
#define CALLS_EACH 50

static void *caller(void *cls)
{
	struct http_client *client = cls;
	uintptr_t failed = 0;

	for (int i = 0; i < CALLS_EACH; i++) {
		_cleanup_json_ json_t *reply = NULL, *body = json_pack("{s:i}", "i", i);

		failed += http_call(client, "POST", "/v1/echo", body, NULL, HTTP_FIXTURE_MS, NULL,
				    &reply, NULL) < 0 ||
			  !json_equal(body, reply);
	}
	return (void *)failed;
}

Test(http, many_threads_share_clients)
{
	pthread_t threads[THREADS];
	void *failed;

	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, caller, i % 2 ? fixture.local : fixture.remote);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &failed);
		cr_assert_null(failed);
	}
}
