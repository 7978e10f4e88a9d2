/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A client for the control API, over libcurl. A struct http_client is one base (a host, or a local
 * daemon's socket) with a pool of kept-alive connections: any number of threads may use it at once,
 * each call takes a connection of its own.
 *
 * Errors, everywhere here: what can't be reached, doesn't answer in time or answers nonsense is
 * `unreachable` (-EHOSTUNREACH, -ETIMEDOUT, -EPROTO ...), naming the host, the cause and the mend.
 * An answer of 400 and above fills err from its error body and returns the errno of its code
 * (http_errno_of_code()), so that a caller can tell `busy` by err->code. *ret_status is set
 * whenever there was an answer, else it is 0; every ret_ may be NULL.
 *
 * Headers are "Name: value" strings in an array that ends with NULL; NULL: none.
 * timeout_ms is for the whole call, 0: none. A peer that is gone without a word is noticed anyhow
 * (TCP keep-alive, HTTP_CLIENT_DEAD_MS).
 */
#pragma once

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/error.h"
#include "lib/http.h"

/* A neighbour on the fabric answers a SYN in well under a millisecond, if it is there at all. */
#define HTTP_CLIENT_CONNECT_MS 3000
/* A peer that acknowledges nothing for so long is dead. */
#define HTTP_CLIENT_DEAD_MS 10000

struct http_client;

/*
 * base: "/run/flowferry/orchestrator.sock" (a path: unix socket), "https://198.18.8.2:4433", or
 * "http://127.0.0.1:8080". `tls` is needed for https and not used otherwise; its strings are
 * copied. When the files change, the next call shows and trusts what is in them then, and uses no
 * connection of before; see tls_store.h. Nothing is connected yet.
 */
int http_client_new(const char *base, const struct tls_files *tls, struct http_client **ret,
		    struct ff_error *err);
/* For another user, who calls http_client_free() as well. */
struct http_client *http_client_ref(struct http_client *client);
/* NULL is fine. The last user's, when no call may be running, closes the connections. */
void http_client_free(struct http_client *client);
const char *http_client_base(const struct http_client *client);

/* `body` is borrowed, NULL: none. *ret_reply is a new reference; NULL where the answer was empty. */
int http_call(struct http_client *client, const char *method, const char *path, json_t *body,
	      const char *const *headers, unsigned int timeout_ms, unsigned int *ret_status,
	      json_t **ret_reply, struct ff_error *err);

/* As http_call(), but given up soon (some 20 ms) after *cancel becomes true: -ECANCELED. */
int http_call_unless(struct http_client *client, const char *method, const char *path, json_t *body,
		     const char *const *headers, unsigned int timeout_ms, const atomic_bool *cancel,
		     unsigned int *ret_status, json_t **ret_reply, struct ff_error *err);

/* --------------------------------------------------------------------------------- streaming */

/*
 * POSTs bytes: either `data` and `len`, or `read`, which fills up to `len` bytes of `buf` and
 * returns how many, 0 at the end, a negative errno to give up (which the call then returns).
 * Send large pieces: one TLS record is 16 KiB. `cancel`, where not NULL, gives the call up soon
 * (some 20 ms) after becoming true (-ECANCELED), also while it waits for the answer.
 */
struct http_upload {
	const char *path;
	const char *const *headers;
	const void *data;
	size_t len;
	ssize_t (*read)(void *ctx, void *buf, size_t len);
	void *ctx;
	unsigned int timeout_ms;
	const atomic_bool *cancel;
};

int http_upload(struct http_client *client, const struct http_upload *upload,
		unsigned int *ret_status, json_t **ret_reply, struct ff_error *err);

/* A longer line from a followed answer is refused: an event is one line of JSON, far below. */
#define HTTP_LINE_MAX ((size_t)1 << 20)

/*
 * GETs an answer that stays open and calls `line` for each of its lines (NUL-terminated, without
 * the newline, empty ones left out). Nonzero from `line` ends the call, which then returns 0 for a
 * positive value, the value itself for a negative one. Returns 0 when the server ended the stream.
 */
typedef int (*http_line_fn)(void *ctx, const char *line, size_t len);

int http_follow(struct http_client *client, const char *path, const char *const *headers,
		http_line_fn line, void *ctx, const atomic_bool *cancel, struct ff_error *err);

/* ---------------------------------------------------------------------------- many at a time */

/*
 * Calls to many clients in flight at once, awaited one by one. A multi belongs to one thread
 * (but http_multi_wakeup() may come from any) and keeps its own connections alive: make one per
 * thread that drives operations and keep it, and the second call to a host finds a warm
 * connection; the clients' own pools are not used. The clients must outlive their calls.
 */
struct http_multi;

struct http_completion {
	void *user;
	struct http_client *client;
	int result;	     /* as http_call() would have returned */
	unsigned int status; /* 0: no answer */
	json_t *reply;	     /* a new reference (json_decref() it) or NULL */
	struct ff_error error;
};

int http_multi_new(struct http_multi **ret, struct ff_error *err);
void http_multi_free(struct http_multi *multi); /* cancels what is in flight; NULL is fine */

/* Starts a call. `body` is serialised before this returns. A failure to connect is a completion. */
int http_multi_start(struct http_multi *multi, struct http_client *client, const char *method,
		     const char *path, json_t *body, const char *const *headers,
		     unsigned int timeout_ms, void *user, struct ff_error *err);

/*
 * Waits for the next completion: 1 and *ret is filled; 0 when timeout_ms passed (-1: no limit);
 * -ENOENT when nothing is in flight; -EINTR after http_multi_wakeup().
 */
int http_multi_wait(struct http_multi *multi, int timeout_ms, struct http_completion *ret);
unsigned int http_multi_in_flight(const struct http_multi *multi);
/* Gives up every call started with `user`; they complete no more. Returns how many there were. */
unsigned int http_multi_cancel(struct http_multi *multi, const void *user);
/* Makes the running or the next http_multi_wait() return -EINTR. Any thread. */
void http_multi_wakeup(struct http_multi *multi);
