/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What http_server.c (listeners, life and end), http_listen.c (sockets, who may come in),
 * http_request.c (a request's way to its handler) and http_response.c (answers, streams) share.
 *
 *	http_server -> http_listener (one MHD daemon) -> http_conn -> http_request + http_response
 *
 * A connection, its request and its response belong to the connection's thread. http_server.lock
 * guards in_flight and the list of streams.
 */
#pragma once

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "lib/http_server.h"
#include "lib/tls_store.h"

#define HTTP_LISTENERS_MAX 4 /* a unix socket, IPv4, IPv6, and one to spare */
#define HTTP_PARAMS_MAX	   4 /* the API's longest pattern has one */
#define HTTP_HEADERS_MAX   8 /* of a response, beside those that MHD adds */
#define HTTP_PEER_TEXT_MAX 160
#define HTTP_STOP_GRACE_MS 2000
/* A thread each. Beyond: hosts * (operations in flight + followers), which is far below. */
#define HTTP_CONNECTIONS_MAX 512
/* Until its first request a stranger may hold a thread for so long. */
#define HTTP_HANDSHAKE_S 10
/*
 * Between two requests; longer than libcurl keeps an idle connection (118 s), so it closes first.
 */
#define HTTP_IDLE_S 300

enum http_listener_kind { HTTP_LISTENER_UNIX, HTTP_LISTENER_TCP, HTTP_LISTENER_TLS };

struct http_listener {
	struct http_server *server;
	enum http_listener_kind kind;
	struct MHD_Daemon *mhd;
	int fd;
	char *path; /* of the unix socket, else NULL */
	dev_t path_dev;
	ino_t path_ino;
	uid_t uid;	       /* the daemon's own, as it made the socket */
	struct tls_store *tls; /* NULL: no TLS */
};

struct http_stream;

struct http_server {
	const struct http_route *routes;
	void *userdata;
	struct http_listener *listeners[HTTP_LISTENERS_MAX];
	unsigned int listeners_n;
	atomic_bool stopping;
	pthread_mutex_t lock;
	pthread_cond_t idle; /* in_flight became 0 */
	unsigned int in_flight;
	struct http_stream *streams;
};

struct http_conn {
	struct http_listener *listener;
	int fd;
	bool unix_allowed;
	struct tls_identity *tls; /* by which it was judged last */
	char peer[HTTP_PEER_TEXT_MAX];
};

struct http_response {
	struct http_request *req;
	unsigned int status;
	struct MHD_Response *mhd; /* NULL: not answered yet */
	char *header_names[HTTP_HEADERS_MAX];
	char *header_values[HTTP_HEADERS_MAX];
	unsigned int headers_n;
	bool close; /* the connection, after this answer */
	struct ff_error err;
};

struct http_param {
	const char *name; /* in the route's pattern, name_len bytes */
	size_t name_len;
	char *value;
};

struct http_request {
	struct http_server *server;
	struct http_conn *conn;
	struct MHD_Connection *mhd;
	const struct http_route *route;
	int result; /* negative: it is refused, resp says why; what follows of it is discarded */
	char *method;
	char *path;
	char *segments; /* a copy of path, cut into param values */
	struct http_param params[HTTP_PARAMS_MAX];
	unsigned int params_n;

	char *body;
	size_t body_len, body_size;
	size_t discarded;
	json_t *json;
	void *upload_ctx;
	bool upload_begun; /* so ops->free() is owed */

	struct http_response resp;
};

/* http_listen.c: sockets are non-blocking and close-on-exec; *ret_fd is the caller's */
int http_socket_unix(const char *path, int *ret_fd, dev_t *ret_dev, ino_t *ret_ino,
		     struct ff_error *err);
int http_socket_tcp(const char *address, uint16_t port, bool plain, bool insecure, int *ret_fd,
		    uint16_t *ret_port, struct ff_error *err);
/* libmicrohttpd's upcall for a connection's begin and end */
void http_conn_notify(void *cls, struct MHD_Connection *mhd, void **conn,
		      enum MHD_ConnectionNotificationCode code);
/*
 * Is it somebody who may speak to us? Learns the peer's name by the way. -EKEYREJECTED:
 * not any more, since the certificates were renewed; it gets no answer, so that it
 * comes anew, with what it has now.
 */
int http_conn_admit(struct http_conn *conn, struct MHD_Connection *mhd, struct ff_error *err);

/* http_request.c: libmicrohttpd's upcalls for a request */
enum MHD_Result http_request_handle(void *cls, struct MHD_Connection *mhd, const char *url,
				    const char *method, const char *version,
				    const char *upload_data, size_t *upload_data_size,
				    void **con_cls);
void http_request_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
			    enum MHD_RequestTerminationCode code);

/* http_route.c: the route of method and path with its params; else 404 or 405 into req->resp */
int http_route_find(struct http_request *req);

/* http_response.c */
/* Sends what the handler (which returned handler_result) left in resp. */
enum MHD_Result http_response_queue(struct http_response *resp, int handler_result);
void http_response_done(struct http_response *resp);
