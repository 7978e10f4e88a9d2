/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The server's life: its listeners, each an MHD daemon of its own, and its orderly end. */
#include <errno.h>
#include <gnutls/abstract.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/http_server_internal.h"
#include "lib/log.h"

/* A connection's buffers for headers and body: a whole TLS record, and several, fit. */
#define CONNECTION_MEMORY    ((size_t)256 << 10)
#define CONNECTION_INCREMENT ((size_t)64 << 10)

static void listener_free(struct http_listener *listener);
DEFINE_CLEANUP(struct http_listener *, listener_free);

int http_server_new(const struct http_route *routes, void *userdata, struct http_server **ret,
		    struct ff_error *err)
{
	struct http_server *server = calloc(1, sizeof(*server));

	if (!server)
		return error_nomem(err);
	server->routes = routes;
	server->userdata = userdata;
	pthread_mutex_init(&server->lock, NULL);
	clock_cond_init(&server->idle);
	*ret = server;
	return 0;
}

/* ---------------------------------------------------------------------------------- listeners */

/* A stranger's broken handshake is no event of ours; and lib/ leaves the logging to its callers. */
static void mhd_log(void *cls, const char *fmt, va_list args)
{
	char line[512];
	size_t len;

	(void)cls;
	vsnprintf(line, sizeof(line), fmt, args);
	len = strcspn(line, "\n");
	log_debug("http: %.*s", (int)len, line);
}

static int listener_new(struct http_server *server, enum http_listener_kind kind,
			struct http_listener **ret, struct ff_error *err)
{
	struct http_listener *listener;

	if (server->listeners_n == HTTP_LISTENERS_MAX)
		return error_set(err, ENOSPC, FF_CODE_REFUSED, "remove one",
				 "a server has at most %d listeners", HTTP_LISTENERS_MAX);
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return error_nomem(err);
	listener->server = server;
	listener->kind = kind;
	listener->fd = -1;
	*ret = listener;
	return 0;
}

/*
 * libmicrohttpd's own credentials are for its whole life, and empty;
 * http_listen.c gives each session its own.
 */
static int certificate_none(gnutls_session_t session, const gnutls_datum_t *ca_names,
			    int ca_names_n, const gnutls_pk_algorithm_t *algorithms,
			    int algorithms_n, gnutls_pcert_st **ret_certs,
			    unsigned int *ret_certs_n, gnutls_privkey_t *ret_key)
{
	(void)session, (void)ca_names, (void)ca_names_n, (void)algorithms, (void)algorithms_n;
	(void)ret_certs, (void)ret_certs_n, (void)ret_key;
	return -1;
}

static struct MHD_Daemon *listener_daemon(struct http_listener *listener)
{
	unsigned int flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
			     MHD_USE_POLL | MHD_USE_ITC | MHD_USE_ERROR_LOG;
	struct MHD_OptionItem tls[] = {
		{ MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)certificate_none },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)TLS_PRIORITY },
		{ MHD_OPTION_END, 0, NULL },
	};

	if (listener->kind == HTTP_LISTENER_TLS)
		flags |= MHD_USE_TLS;
	else
		tls[0] = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };
	return MHD_start_daemon(flags, 0, NULL, NULL, http_request_handle, listener,
				MHD_OPTION_EXTERNAL_LOGGER, mhd_log,
				NULL, /* first: it logs the rest */
				MHD_OPTION_LISTEN_SOCKET, listener->fd,
				MHD_OPTION_STRICT_FOR_CLIENT, 1, /* as RFC 7230 wants it */
				MHD_OPTION_NOTIFY_CONNECTION, http_conn_notify, listener,
				MHD_OPTION_NOTIFY_COMPLETED, http_request_completed, listener,
				MHD_OPTION_CONNECTION_LIMIT, (unsigned int)HTTP_CONNECTIONS_MAX,
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
				MHD_OPTION_CONNECTION_MEMORY_INCREMENT, CONNECTION_INCREMENT,
				MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
}

static int listener_start(struct http_listener *listener, struct ff_error *err)
{
	sigset_t all, old;

	/* the server's threads inherit the mask: signals go to the daemon's own threads */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	listener->mhd = listener_daemon(listener);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!listener->mhd)
		return error_set(err, EIO, FF_CODE_INTERNAL, "see the log at level debug",
				 "libmicrohttpd can't start a listener");
	listener->server->listeners[listener->server->listeners_n++] = listener;
	return 0;
}

int http_server_listen_unix(struct http_server *server, const char *path, struct ff_error *err)
{
	_cleanup_(listener_freep) struct http_listener *listener = NULL;
	int r;

	r = listener_new(server, HTTP_LISTENER_UNIX, &listener, err);
	if (r < 0)
		return r;
	r = http_socket_unix(path, &listener->fd, &listener->path_dev, &listener->path_ino, err);
	if (r < 0)
		return r;
	listener->uid = geteuid();
	listener->path = strdup(path);
	if (!listener->path)
		return error_nomem(err);
	r = listener_start(listener, err);
	if (r < 0)
		return r;
	TAKE_PTR(listener);
	return 0;
}

int http_server_listen_tcp(struct http_server *server, const char *address, uint16_t port,
			   const struct tls_files *tls, bool insecure, uint16_t *ret_port,
			   struct ff_error *err)
{
	_cleanup_(listener_freep) struct http_listener *listener = NULL;
	uint16_t bound;
	int r;

	r = listener_new(server, tls ? HTTP_LISTENER_TLS : HTTP_LISTENER_TCP, &listener, err);
	if (r < 0)
		return r;
	if (tls && (r = tls_store_open(tls, &listener->tls, err)) < 0)
		return r;
	r = http_socket_tcp(address, port, !tls, insecure, &listener->fd, &bound, err);
	if (r < 0)
		return r;
	r = listener_start(listener, err);
	if (r < 0)
		return r;
	TAKE_PTR(listener);
	if (ret_port)
		*ret_port = bound;
	return 0;
}

/* Removes the socket file, unless somebody has put another in its place. */
static void listener_unlink(struct http_listener *listener)
{
	struct stat st;

	if (listener->path && lstat(listener->path, &st) == 0 && st.st_dev == listener->path_dev &&
	    st.st_ino == listener->path_ino)
		unlink(listener->path);
	free(TAKE_PTR(listener->path));
}

static void listener_quiesce(struct http_listener *listener)
{
	if (listener->mhd)
		MHD_quiesce_daemon(listener->mhd); /* hands the socket back to us */
	if (listener->path)
		listener_unlink(listener);
	if (listener->fd >= 0)
		close(TAKE_FD(listener->fd));
}

static void listener_free(struct http_listener *listener)
{
	listener_quiesce(listener);
	if (listener->mhd)
		MHD_stop_daemon(listener->mhd); /* cuts the connections, joins their threads */
	tls_store_close(listener->tls);
	free(listener);
}

/* ---------------------------------------------------------------------------------------- end */

bool http_server_stopping(const struct http_server *server)
{
	return atomic_load(&server->stopping);
}

static void wait_idle(struct http_server *server, unsigned int grace_ms)
{
	uint64_t end = clock_ns() + grace_ms * NSEC_PER_MSEC;

	pthread_mutex_lock(&server->lock);
	while (server->in_flight > 0)
		if (!clock_cond_wait(&server->idle, &server->lock, end))
			break;
	if (server->in_flight > 0)
		log_debug("http: %u requests are still running, their answers are lost",
			  server->in_flight);
	pthread_mutex_unlock(&server->lock);
}

void http_server_stop(struct http_server *server, unsigned int grace_ms)
{
	atomic_store(&server->stopping, true);
	for (unsigned int i = 0; i < server->listeners_n; i++)
		listener_quiesce(server->listeners[i]);
	http_server_wake_streams(server);
	wait_idle(server, grace_ms);
	while (server->listeners_n > 0)
		listener_free(server->listeners[--server->listeners_n]);
}

void http_server_free(struct http_server *server)
{
	if (!server)
		return;
	http_server_stop(server, HTTP_STOP_GRACE_MS);
	pthread_cond_destroy(&server->idle);
	pthread_mutex_destroy(&server->lock);
	free(server);
}
