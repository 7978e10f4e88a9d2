/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An HTTP/1.1 server for the control API: libmicrohttpd with a thread for each connection, so that
 * handlers may block for as long as they like. One server may have several listeners; all serve the
 * same table of routes.
 *
 * Threads: a handler runs in its connection's thread. Handlers of different connections run in
 * parallel; the daemon's own mutex guards what they share. http_server_wake_streams() and
 * http_server_stopping() may be called from anywhere, the rest of http_server_* from one thread.
 *
 * Who gets in: on the unix socket root and the daemon's own uid (SO_PEERCRED; others read a 403);
 * over TLS whoever presents a certificate of the CA (others fail in the handshake). Certificate, key and
 * CA may be replaced on disk (tls_store.h): each connection begins with those of now, and a kept one is
 * judged by them anew at its next request. An answer that is under way, a stream too, goes on to its end.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/error.h"
#include "lib/http.h"

struct http_server;
struct http_request;
struct http_response;

/*
 * Answers a request by one of the resp_*() below and returns 0. As a shortcut it may return a
 * negative errno without having answered: the server then answers with what resp_err() holds, e.g.
 *
 *	r = move_abort(daemon, req_param(req, "id"), resp_err(resp));
 *	if (r < 0)
 *		return r;
 *	return resp_json(resp, 200, json_object());
 */
typedef int (*http_handler_fn)(struct http_request *req, struct http_response *resp);

/*
 * A request body of any length, taken as it comes (libmicrohttpd delivers a body by upcalls; a
 * read() for the handler would need one more thread for each request). All four run in the
 * connection's thread, one after the other; data() may block: that is the sender's back-pressure.
 *
 *	begin -> data* -> end -> free
 *
 * begin(), data() and end() fail like a handler: a negative errno, the reason in resp_err(). After
 * a failure the rest of the body is thrown away (HTTP_DISCARD_MAX) and the error is answered. When
 * the sender goes away in the middle, end() isn't called. free() follows every begin() that
 * returned 0, whatever else happened. begin() hands its context over through ret_ctx (which may
 * stay NULL); data and free may be NULL pointers.
 */
struct http_upload_ops {
	int (*begin)(struct http_request *req, struct http_response *resp, void **ret_ctx);
	int (*data)(void *ctx, const void *data, size_t len, struct ff_error *err);
	int (*end)(void *ctx, struct http_request *req, struct http_response *resp);
	void (*free)(void *ctx);
};

enum http_route_flags {
	HTTP_BODY_OPTIONAL = 0,	     /* req_json() is NULL where there was none */
	HTTP_BODY_REQUIRED = 1 << 0, /* 400 without a JSON object; not for `upload` */
};

/* A table of them ends with one whose method is NULL. Strings and tables outlive the server. */
struct http_route {
	const char *method;  /* "GET" (answers HEAD too), "POST", "PUT", "DELETE" */
	const char *pattern; /* "/v1/moves/:id/state"; a fixed segment wins over a parameter */
	http_handler_fn handler;
	const struct http_upload_ops *upload; /* instead of handler */
	unsigned int flags;		      /* enum http_route_flags */
};

/* ------------------------------------------------------------------------------- the server */

/* Serves nothing yet: see http_server_listen_*(). `userdata` is what req_userdata() gives. */
int http_server_new(const struct http_route *routes, void *userdata, struct http_server **ret,
		    struct ff_error *err);

/*
 * Listens on a unix socket, mode 0660. A socket file that nobody answers on is replaced; one that
 * somebody answers on is left alone (`exists`), so is a file that is no socket. Requests may
 * arrive before this returns.
 */
int http_server_listen_unix(struct http_server *server, const char *path, struct ff_error *err);

/*
 * Listens on a numeric IPv4 or IPv6 address ("0.0.0.0", "::", "198.18.8.2"); port 0 takes a free
 * one; ret_port may be NULL. Without `tls` it is plain TCP, which is refused outside loopback
 * unless `insecure` (then a warning is logged, once).
 */
int http_server_listen_tcp(struct http_server *server, const char *address, uint16_t port,
			   const struct tls_files *tls, bool insecure, uint16_t *ret_port,
			   struct ff_error *err);

/*
 * Takes no new connections, refuses new requests on open ones (503), ends streams, and waits up to
 * grace_ms for the running handlers and their answers; then cuts the connections and waits for the
 * handlers alone. A handler that waits for something must look at http_server_stopping(), or be
 * woken by its daemon, or this waits for it. Idempotent; http_server_free() calls it with 2 s.
 */
void http_server_stop(struct http_server *server, unsigned int grace_ms);
bool http_server_stopping(const struct http_server *server);
void http_server_free(struct http_server *server); /* NULL is fine */

/* ------------------------------------------------------------------------------ the request */

void *req_userdata(const struct http_request *req);
struct http_server *req_server(const struct http_request *req);
const char *req_method(const struct http_request *req);
const char *req_path(const struct http_request *req); /* decoded, without the query */
/* "uid 0 pid 4711" or "ff-nf1 198.18.8.3" (the certificate's common name): for logs and audit. */
const char *req_peer(const struct http_request *req);
const char *req_header(const struct http_request *req, const char *name); /* NULL: none */
/* The part of the path that matched ":name", decoded; asserts that the pattern has it. */
const char *req_param(const struct http_request *req, const char *name);
/* The body, borrowed; NULL without one (never with HTTP_BODY_REQUIRED); always an object. */
json_t *req_json(const struct http_request *req);
/* True when the peer has hung up: a handler that waits for long may give up. A cheap system call. */
bool req_client_gone(const struct http_request *req);
/*
 * Ends the connection, from any thread, for as long as the request is known to last: its thread finds the
 * peer gone, whatever it waits for from there.
 */
void req_hang_up(const struct http_request *req);

/*
 * The query (?limit=10) and numbers in headers. Absent: fallback (which may be NULL, or out of
 * range). Not a number or outside [min, max]: -EINVAL, `bad-request` naming the parameter.
 * A name without value ("?follow") is "".
 */
const char *req_query(const struct http_request *req, const char *name, const char *fallback);
int req_query_int(const struct http_request *req, const char *name, int64_t min, int64_t max,
		  int64_t fallback, int64_t *ret, struct ff_error *err);
/* "1", "true", "yes", "" -> true; "0", "false", "no" -> false */
int req_query_bool(const struct http_request *req, const char *name, bool fallback, bool *ret,
		   struct ff_error *err);
int req_header_u64(const struct http_request *req, const char *name, uint64_t fallback,
		   uint64_t *ret, struct ff_error *err);

/* ----------------------------------------------------------------------------- the response */

/* All return 0 or a negative errno, so that a handler may `return resp_json(...)`. */

/* Takes over the reference to `json`, whatever happens. NULL json (out of memory) answers 500. */
int resp_json(struct http_response *resp, unsigned int status, json_t *json);
int resp_empty(struct http_response *resp, unsigned int status); /* 204 */
/* API.md's error body. Status 0: the one that belongs to err->code. */
int resp_error(struct http_response *resp, unsigned int status, const struct ff_error *err);
/* Bytes as they are, copied; for what isn't JSON. */
int resp_data(struct http_response *resp, unsigned int status, const char *content_type,
	      const void *data, size_t len);
/* Before or after the body is set. The value must not contain line breaks (-EINVAL). */
int resp_header(struct http_response *resp, const char *name, const char *value);
/* Scratch for the reason of a failure, see http_handler_fn. Never NULL. */
struct ff_error *resp_err(struct http_response *resp);

/*
 * An answer that stays open, e.g. followed events. next() puts up to `len` (>= 16 KiB) bytes into
 * `buf` and returns how many; 0: nothing now; HTTP_STREAM_END: done; another negative errno cuts
 * the connection. It must not block: after a 0 the server sleeps until http_server_wake_streams(),
 * the client goes away, or the server stops (then next() is asked until it returns 0 or less, and
 * the stream ends). A source appends, then wakes: no event is missed and no thread polls.
 * free() is called once the connection is done with it, also if resp_stream() fails.
 */
#define HTTP_STREAM_END (-ENODATA)

typedef ssize_t (*http_stream_fn)(void *ctx, char *buf, size_t len);

int resp_stream(struct http_response *resp, unsigned int status, const char *content_type,
		http_stream_fn next, void (*free_ctx)(void *ctx), void *ctx);

/* Something may be there to read for the open streams. Cheap, any thread, also under your mutex. */
void http_server_wake_streams(struct http_server *server);
