/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Listening sockets, and who may come in through them. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <libgen.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/http_server_internal.h"
#include "lib/log.h"

#define LISTEN_BACKLOG 128
/* A dead peer frees its thread after so long: probes after 5 s of silence, 10 s without an ACK. */
#define KEEPALIVE_IDLE_S     5
#define KEEPALIVE_INTERVAL_S 2
#define KEEPALIVE_PROBES     3
#define UNACKED_MAX_MS	     10000

/* -------------------------------------------------------------------------------- unix sockets */

/* 1: somebody answers, 0: a socket file without a process behind it, or none at all. */
static int unix_answers(const struct sockaddr_un *addr, struct ff_error *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct stat st;

	if (fd < 0)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "can't make a socket: %m");
	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT ? 0 :
					 error_set(err, errno, FF_CODE_REFUSED, NULL,
						   "can't look at %s: %m", addr->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, EEXIST, FF_CODE_EXISTS, "name another path for the socket",
				 "%s is there and is no socket", addr->sun_path);
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 || errno == EAGAIN)
		return 1; /* EAGAIN: its backlog is full */
	if (errno == ECONNREFUSED || errno == ENOENT)
		return 0;
	return error_set(err, errno, FF_CODE_REFUSED, NULL, "can't try the socket %s: %m",
			 addr->sun_path);
}

/* Held while a socket file is tried and replaced, so that of two daemons just one gets the path. */
static int directory_lock(const char *path, struct ff_error *err)
{
	_cleanup_free_ char *copy = strdup(path);
	_cleanup_close_ int fd = -1;
	const char *dir;

	if (!copy)
		return error_nomem(err);
	dir = dirname(copy);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		return error_set(err, errno, FF_CODE_REFUSED, "make the directory first",
				 "can't open the socket's directory %s: %m", dir);
	return TAKE_FD(fd);
}

int http_socket_unix(const char *path, int *ret_fd, dev_t *ret_dev, ino_t *ret_ino,
		     struct ff_error *err)
{
	_cleanup_close_ int fd = -1, lock = -1;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat st;
	int r;

	if (strlen(path) >= sizeof(addr.sun_path))
		return error_set(err, ENAMETOOLONG, FF_CODE_BAD_REQUEST, "choose a shorter path",
				 "a unix socket's path has at most %zu bytes: %s",
				 sizeof(addr.sun_path) - 1, path);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	lock = directory_lock(path, err);
	if (lock < 0)
		return lock;
	r = unix_answers(&addr, err);
	if (r < 0)
		return r;
	if (r > 0)
		return error_set(err, EADDRINUSE, FF_CODE_EXISTS,
				 "stop the daemon that runs, or give this one another socket",
				 "somebody answers on %s already", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* fchmod() before bind(): the file is never, not even for a moment, open to everybody;
	 * chmod() after it: whatever the umask is
	 */
	if (fd < 0 || fchmod(fd, 0660) < 0 || (unlink(path) < 0 && errno != ENOENT) ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || chmod(path, 0660) < 0 ||
	    listen(fd, LISTEN_BACKLOG) < 0 || lstat(path, &st) < 0)
		return error_set(err, errno, FF_CODE_REFUSED, "check the directory's permissions",
				 "can't listen on %s: %m", path);
	*ret_dev = st.st_dev;
	*ret_ino = st.st_ino;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* -------------------------------------------------------------------------------- TCP sockets */

static bool is_loopback(const struct sockaddr_storage *addr)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr;
	const struct sockaddr_in *in = (const struct sockaddr_in *)addr;

	if (addr->ss_family == AF_INET)
		return ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static int address_parse(const char *address, uint16_t port, struct sockaddr_storage *ret,
			 socklen_t *ret_len, struct ff_error *err)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
	struct sockaddr_in *in = (struct sockaddr_in *)ret;

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, address, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		*ret_len = sizeof(*in);
	} else if (inet_pton(AF_INET6, address, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		*ret_len = sizeof(*in6);
	} else {
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
				 "give a numeric IPv4 or IPv6 address, without port or brackets",
				 "can't listen on '%s': not an address", address);
	}
	return 0;
}

/* Accepted sockets inherit these. Their failure costs latency or a thread, never correctness. */
static void socket_tune(int fd)
{
	const struct {
		int level, name, value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S },
		{ IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S },
		{ IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKED_MAX_MS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (setsockopt(fd, options[i].level, options[i].name, &options[i].value,
			       sizeof(options[i].value)) < 0)
			log_debug("http: socket option %d/%d: %m", options[i].level,
				  options[i].name);
}

int http_socket_tcp(const char *address, uint16_t port, bool plain, bool insecure, int *ret_fd,
		    uint16_t *ret_port, struct ff_error *err)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_storage addr;
	socklen_t len;
	int r, one = 1;

	r = address_parse(address, port, &addr, &len, err);
	if (r < 0)
		return r;
	if (plain && !is_loopback(&addr) && !insecure)
		return error_set(err, EPERM, FF_CODE_REFUSED,
				 "configure ca, cert and key, or say `insecure: true`",
				 "plain TCP on %s would let anybody in", address);
	if (plain && !is_loopback(&addr))
		log_warn("listening on %s without TLS: anybody who reaches it commands this host; "
			 "remove `insecure: true` and configure ca, cert and key",
			 address);
	fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    (addr.ss_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0) ||
	    bind(fd, (struct sockaddr *)&addr, len) < 0 || listen(fd, LISTEN_BACKLOG) < 0 ||
	    getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		return error_set(err, errno, errno == EADDRINUSE ? FF_CODE_EXISTS : FF_CODE_REFUSED,
				 errno == EADDRINUSE ? "stop who has it, or choose another port" :
						       "check the address of this host",
				 "can't listen on %s port %u: %m", address, port);
	socket_tune(fd);
	*ret_port = ntohs(addr.ss_family == AF_INET ? ((struct sockaddr_in *)&addr)->sin_port :
						      ((struct sockaddr_in6 *)&addr)->sin6_port);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* ---------------------------------------------------------------------------------- admission */

static gnutls_session_t conn_session(struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);

	return info ? (gnutls_session_t)info->tls_session : NULL;
}

/* Who may come in: a client, by the words of its certificate. */
static gnutls_typed_vdata_st purpose = { .type = GNUTLS_DT_KEY_PURPOSE_OID,
					 .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT };

/*
 * libmicrohttpd asks for a client's certificate and leaves it at that. Before the handshake we make
 * it a requirement, to be verified in the handshake against the CA and for use by a client; and
 * both ends' certificates and the CA are those of now.
 */
static bool session_harden(struct http_conn *conn, struct MHD_Connection *mhd)
{
	gnutls_session_t session = conn_session(mhd);

	if (!session)
		return false;
	conn->tls = tls_store_get(conn->listener->tls);
	if (gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, conn->tls->credentials) < 0)
		return false;
	gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
	gnutls_session_set_verify_cert2(session, &purpose, 1, 0);
	return true;
}

/*
 * A connection may be kept for longer than a CA is trusted. When the certificates have been
 * renewed, the one that the peer has shown is judged anew.
 */
static bool session_trusted_still(struct http_conn *conn, gnutls_session_t session)
{
	struct tls_identity *tls = tls_store_get(conn->listener->tls);
	unsigned int status = 0;

	if (tls == conn->tls) {
		tls_identity_put(tls);
		return true;
	}
	if (gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, tls->credentials) < 0 ||
	    gnutls_certificate_verify_peers(session, &purpose, 1, &status) < 0 || status != 0) {
		tls_identity_put(tls);
		return false;
	}
	tls_identity_put(conn->tls);
	conn->tls = tls;
	return true;
}

static void conn_peer_unix(struct http_conn *conn)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(conn->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		snprintf(conn->peer, sizeof(conn->peer), "unknown peer");
		return;
	}
	conn->unix_allowed = cred.uid == 0 || cred.uid == conn->listener->uid;
	snprintf(conn->peer, sizeof(conn->peer), "uid %u pid %d", cred.uid, cred.pid);
}

static void conn_free(struct http_conn *conn)
{
	if (conn)
		tls_identity_put(conn->tls);
	free(conn);
}
DEFINE_CLEANUP(struct http_conn *, conn_free);

static struct http_conn *conn_new(struct http_listener *listener, struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	_cleanup_(conn_freep) struct http_conn *conn = calloc(1, sizeof(*conn));

	if (!conn || !info)
		return NULL;
	conn->listener = listener;
	conn->fd = info->connect_fd;
	if (listener->kind == HTTP_LISTENER_UNIX)
		conn_peer_unix(conn);
	if (listener->kind == HTTP_LISTENER_TLS && !session_harden(conn, mhd))
		return NULL;
	MHD_set_connection_option(mhd, MHD_CONNECTION_OPTION_TIMEOUT,
				  (unsigned int)HTTP_HANDSHAKE_S);
	return TAKE_PTR(conn);
}

void http_conn_notify(void *cls, struct MHD_Connection *mhd, void **conn,
		      enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		*conn = conn_new(cls, mhd); /* NULL: each of its requests is refused */
	else
		conn_free(TAKE_PTR(*conn));
}

static void conn_peer_name(struct http_conn *conn, gnutls_session_t session)
{
	char name[64] = "", host[INET6_ADDRSTRLEN] = "?";
	size_t len = sizeof(name);
	struct sockaddr_storage addr;
	socklen_t addr_len = sizeof(addr);
	const gnutls_datum_t *certs;
	gnutls_x509_crt_t crt;
	unsigned int n = 0;

	if (getpeername(conn->fd, (struct sockaddr *)&addr, &addr_len) == 0)
		getnameinfo((struct sockaddr *)&addr, addr_len, host, sizeof(host), NULL, 0,
			    NI_NUMERICHOST);
	certs = session ? gnutls_certificate_get_peers(session, &n) : NULL;
	if (certs && n && gnutls_x509_crt_init(&crt) == 0) {
		if (gnutls_x509_crt_import(crt, &certs[0], GNUTLS_X509_FMT_DER) < 0 ||
		    gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name,
						  &len) < 0)
			name[0] = '\0';
		gnutls_x509_crt_deinit(crt);
	}
	snprintf(conn->peer, sizeof(conn->peer), "%s%s%s", name, name[0] ? " " : "", host);
}

int http_conn_admit(struct http_conn *conn, struct MHD_Connection *mhd, struct ff_error *err)
{
	gnutls_session_t session;
	unsigned int n = 0;

	if (conn->listener->kind == HTTP_LISTENER_UNIX)
		return conn->unix_allowed ?
			       0 :
			       error_set(err, EPERM, FF_CODE_REFUSED,
					 "run it as root, or as the user that runs the daemon",
					 "%s may not use this socket", conn->peer);
	session = conn->listener->kind == HTTP_LISTENER_TLS ? conn_session(mhd) : NULL;
	if (!conn->peer[0])
		conn_peer_name(conn, session);
	if (conn->listener->kind == HTTP_LISTENER_TCP)
		return 0;
	/*
	 * the handshake has seen to it; a second look costs nothing and guards against its absence
	 */
	if (!session || !gnutls_certificate_get_peers(session, &n) || n == 0 ||
	    gnutls_session_get_verify_cert_status(session) != 0)
		return error_set(err, EPERM, FF_CODE_REFUSED,
				 "present a certificate of this site's CA",
				 "%s has no valid certificate", conn->peer);
	if (!session_trusted_still(conn, session))
		return error_set(err, EKEYREJECTED, FF_CODE_REFUSED, NULL,
				 "%s isn't trusted any more", conn->peer);
	return 0;
}
