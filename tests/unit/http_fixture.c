/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/unit/http_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "lib/pki.h"

struct http_fixture fixture;

/* ------------------------------------------------------------------------------------- routes */

static int get_echo(struct http_request *req, struct http_response *resp)
{
	int64_t limit;
	uint64_t epoch;
	bool follow;
	int r;

	if ((r = req_query_int(req, "limit", 1, 1000, 100, &limit, resp_err(resp))) < 0 ||
	    (r = req_query_bool(req, "follow", false, &follow, resp_err(resp))) < 0 ||
	    (r = req_header_u64(req, HTTP_HEADER_EPOCH, 0, &epoch, resp_err(resp))) < 0)
		return r;
	return resp_json(resp, 200,
			 json_pack("{s:s, s:s, s:I, s:b, s:I, s:s}", "id", req_param(req, "id"),
				   "peer", req_peer(req), "limit", (json_int_t)limit, "follow",
				   follow, "epoch", (json_int_t)epoch, "text",
				   req_query(req, "text", "none")));
}

static int get_fixed(struct http_request *req, struct http_response *resp)
{
	(void)req;
	return resp_json(resp, 200, json_pack("{s:s}", "id", "the fixed one"));
}

static int delete_echo(struct http_request *req, struct http_response *resp)
{
	(void)req;
	return resp_empty(resp, 204);
}

static int post_echo(struct http_request *req, struct http_response *resp)
{
	resp_header(resp, "Location", "/v1/operations/1");
	return resp_json(resp, 202, json_incref(req_json(req)));
}

static int put_optional(struct http_request *req, struct http_response *resp)
{
	return resp_json(resp, 200, json_pack("{s:b}", "body", req_json(req) != NULL));
}

static int get_fail(struct http_request *req, struct http_response *resp)
{
	const char *code = req_param(req, "code");

	if (strcmp(code, "bare") == 0)
		return -ENOENT;
	if (strcmp(code, "silent") == 0)
		return 0;
	return error_set(resp_err(resp), http_errno_of_code(code), code, "the mend", "the message");
}

static int get_slow(struct http_request *req, struct http_response *resp)
{
	int64_t ms;
	int r = req_query_int(req, "ms", 0, 60000, 0, &ms, resp_err(resp));

	if (r < 0)
		return r;
	atomic_fetch_add(&fixture.slow, 1);
	for (int64_t i = 0; i < ms && !req_client_gone(req); i++)
		clock_sleep_ns(NSEC_PER_MSEC);
	atomic_fetch_sub(&fixture.slow, 1);
	return resp_json(resp, 200, json_pack("{s:I}", "ms", (json_int_t)ms));
}

/* Answers when it is its turn. */
static int get_turn(struct http_request *req, struct http_response *resp)
{
	int64_t n;
	int r = req_query_int(req, "n", 1, 100, 1, &n, resp_err(resp));

	if (r < 0)
		return r;
	atomic_fetch_add(&fixture.slow, 1);
	while (atomic_load(&fixture.turn) < n && !req_client_gone(req))
		clock_sleep_ns(NSEC_PER_MSEC);
	atomic_fetch_sub(&fixture.slow, 1);
	return resp_json(resp, 200, json_pack("{s:I}", "n", (json_int_t)n));
}

/* Answers a while after the server has begun to stop. */
static int get_last(struct http_request *req, struct http_response *resp)
{
	atomic_fetch_add(&fixture.slow, 1);
	while (!http_server_stopping(req_server(req)) && !req_client_gone(req))
		clock_sleep_ns(NSEC_PER_MSEC);
	clock_sleep_ns(100 * NSEC_PER_MSEC);
	atomic_fetch_sub(&fixture.slow, 1);
	return resp_json(resp, 200, json_object());
}

/* ------------------------------------------------------------------------------------- upload */

struct upload {
	uint64_t hash;
	size_t len, fail_at;
};

static int upload_begin(struct http_request *req, struct http_response *resp, void **ret_ctx)
{
	struct upload *upload;
	int64_t fail_at;
	int r = req_query_int(req, "fail_at", 0, INT64_MAX, INT64_MAX, &fail_at, resp_err(resp));

	if (r < 0)
		return r;
	upload = calloc(1, sizeof(*upload));
	upload->fail_at = (size_t)fail_at;
	atomic_fetch_add(&fixture.uploads, 1);
	*ret_ctx = upload;
	return 0;
}

static int upload_data(void *ctx, const void *data, size_t len, struct ff_error *err)
{
	struct upload *upload = ctx;

	upload->hash = http_fixture_hash(upload->hash, data, len);
	upload->len += len;
	if (upload->len > upload->fail_at)
		return error_set(err, EPERM, FF_CODE_REFUSED, "send another", "a foreign stream");
	return 0;
}

static int upload_end(void *ctx, struct http_request *req, struct http_response *resp)
{
	struct upload *upload = ctx;
	char hash[20];

	(void)req;
	snprintf(hash, sizeof(hash), "%016" PRIx64, upload->hash);
	return resp_json(resp, 200,
			 json_pack("{s:I, s:s}", "len", (json_int_t)upload->len, "hash", hash));
}

static void upload_free(void *ctx)
{
	atomic_fetch_sub(&fixture.uploads, 1);
	free(ctx);
}

static const struct http_upload_ops upload_ops = {
	.begin = upload_begin,
	.data = upload_data,
	.end = upload_end,
	.free = upload_free,
};

/* ------------------------------------------------------------------------------------- events */

static ssize_t events_next(void *ctx, char *buf, size_t len)
{
	unsigned int *seen = ctx;

	if (*seen == atomic_load(&fixture.events))
		return 0;
	++*seen;
	if (*seen == 1000)
		return HTTP_STREAM_END;
	return snprintf(buf, len, "{\"seq\":%u}\n", *seen);
}

static void events_free(void *ctx)
{
	atomic_fetch_sub(&fixture.streams, 1);
	free(ctx);
}

static int get_events(struct http_request *req, struct http_response *resp)
{
	(void)req;
	atomic_fetch_add(&fixture.streams, 1);
	return resp_stream(resp, 200, "application/x-ndjson", events_next, events_free,
			   calloc(1, sizeof(unsigned int)));
}

void http_fixture_event(void)
{
	atomic_fetch_add(&fixture.events, 1);
	http_server_wake_streams(fixture.server);
}

static const struct http_route routes[] = {
	{ "GET", "/v1/echo/:id", get_echo, NULL, 0 },
	{ "GET", "/v1/echo/fixed", get_fixed, NULL, 0 },
	{ "DELETE", "/v1/echo/:id", delete_echo, NULL, 0 },
	{ "GET", "/v1/echo/:id/state", get_echo, NULL, 0 },
	{ "POST", "/v1/echo", post_echo, NULL, HTTP_BODY_REQUIRED },
	{ "PUT", "/v1/optional", put_optional, NULL, HTTP_BODY_OPTIONAL },
	{ "GET", "/v1/fail/:code", get_fail, NULL, 0 },
	{ "GET", "/v1/slow", get_slow, NULL, 0 },
	{ "GET", "/v1/turn", get_turn, NULL, 0 },
	{ "GET", "/v1/last", get_last, NULL, 0 },
	{ "GET", "/v1/events", get_events, NULL, 0 },
	{ "POST", "/v1/upload", NULL, &upload_ops, 0 },
	{ NULL, NULL, NULL, NULL, 0 },
};

/* -------------------------------------------------------------------------------- setup, tools */

static void pki_make(const char *ca, struct tls_files *files, char paths[3][128])
{
	const char *const sans[] = { "127.0.0.1", "::1", NULL };
	char dir[96];

	snprintf(dir, sizeof(dir), "%s/%s", fixture.dir, ca);
	cr_assert_eq(pki_ca_create(dir, NULL), 0);
	cr_assert_eq(pki_issue(dir, "host", sans, NULL), 0);
	snprintf(paths[0], sizeof(paths[0]), "%s/ca.pem", dir);
	snprintf(paths[1], sizeof(paths[1]), "%s/host.pem", dir);
	snprintf(paths[2], sizeof(paths[2]), "%s/host.key", dir);
	*files = (struct tls_files){ .ca = paths[0], .cert = paths[1], .key = paths[2] };
}

static void server_start(void)
{
	struct ff_error err = {};
	uint16_t port6;

	cr_assert_eq(http_server_new(routes, &fixture, &fixture.server, &err), 0);
	cr_assert_eq(http_server_listen_unix(fixture.server, fixture.socket, &err), 0, "%s",
		     err.message);
	cr_assert_eq(http_server_listen_tcp(fixture.server, "127.0.0.1", fixture.port4,
					    &fixture.files, false, &fixture.port4, &err),
		     0, "%s", err.message);
	cr_assert_eq(http_server_listen_tcp(fixture.server, "::1", 0, &fixture.files, false, &port6,
					    &err),
		     0, "%s", err.message);
	snprintf(fixture.url4, sizeof(fixture.url4), "https://127.0.0.1:%u", fixture.port4);
	snprintf(fixture.url6, sizeof(fixture.url6), "https://[::1]:%u", port6);
}

void http_fixture_restart(void)
{
	http_server_free(fixture.server);
	server_start();
}

void http_fixture_setup(void)
{
	static char site[3][128], stranger[3][128];
	struct ff_error err = {};

	snprintf(fixture.dir, sizeof(fixture.dir), "/tmp/ff-http-XXXXXX");
	cr_assert(mkdtemp(fixture.dir));
	pki_make("site", &fixture.files, site);
	pki_make("stranger", &fixture.stranger, stranger);
	snprintf(fixture.socket, sizeof(fixture.socket), "%s/test.sock", fixture.dir);
	server_start();
	cr_assert_eq(http_client_new(fixture.socket, NULL, &fixture.local, &err), 0, "%s",
		     err.message);
	cr_assert_eq(http_client_new(fixture.url4, &fixture.files, &fixture.remote, &err), 0, "%s",
		     err.message);
}

void http_fixture_teardown(void)
{
	char command[96];

	http_client_free(fixture.local);
	http_client_free(fixture.remote);
	http_server_free(fixture.server);
	cr_assert_eq(fixture.uploads, 0, "an upload's context leaked");
	cr_assert_eq(fixture.streams, 0, "a stream's context leaked");
	snprintf(command, sizeof(command), "rm -r %s", fixture.dir);
	cr_assert_eq(system(command), 0);
}

uint64_t http_fixture_hash(uint64_t hash, const void *data, size_t len)
{
	const unsigned char *bytes = data;

	hash = hash ? hash : 0xcbf29ce484222325;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3;
	return hash;
}

char *http_fixture_raw(const char *request)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = 0, size = 1 << 16;
	char *answer = calloc(1, size);
	ssize_t n;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", fixture.socket);
	cr_assert_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
	shutdown(fd, SHUT_WR); /* that was all: the server needn't wait for more */
	while (len < size - 1 && (n = read(fd, answer + len, size - 1 - len)) > 0)
		len += (size_t)n;
	return answer;
}

void http_fixture_wait(const atomic_uint *value, unsigned int want, const char *what)
{
	uint64_t end = clock_ns() + HTTP_FIXTURE_SOON_NS;

	while (atomic_load(value) != want) {
		cr_assert_lt(clock_ns(), end, "waited in vain for %s: %u, not %u", what,
			     atomic_load(value), want);
		clock_sleep_ns(NSEC_PER_MSEC);
	}
}

int http_fixture_get(struct http_client *client, const char *path, unsigned int *ret_status,
		     json_t **ret_reply, struct ff_error *err)
{
	return http_call(client, "GET", path, NULL, NULL, HTTP_FIXTURE_MS, ret_status, ret_reply,
			 err);
}

const char *http_fixture_text(const json_t *obj, const char *key)
{
	const char *text = json_string_value(json_object_get(obj, key));

	return text ? text : "(none)";
}
