/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* traffic_tcp_server.c - the side that accepts; a connection's first record tells what to do. */

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "tools/traffic_tcp.h"

#define EVENTS_MAX  64
#define BACKLOG	    4096
#define ACCEPTS_MAX 64 /* before the connections that are open get their turn */

int server_listen(struct tcp_side *side)
{
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6,
				     .sin6_port = htons(side->end->config.server_port),
				     .sin6_addr = IN6ADDR_ANY_INIT };
	_cleanup_close_ int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct epoll_event event = { .events = EPOLLIN };
	int one = 1, off = 0;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, BACKLOG) < 0 ||
	    epoll_ctl(side->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	side->listen_fd = TAKE_FD(fd);
	return 0;
}

static int conns_accept(struct tcp_side *side)
{
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int fd = accept4(side->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct tcp_conn *conn;

		if (fd < 0)
			return errno == EAGAIN || errno == ECONNABORTED || errno == EINTR ? 0 :
											    -errno;
		conn = conn_new(side, fd);
		if (!conn) {
			close(fd);
			return -ENOMEM;
		}
		conn->state = CONN_OPEN;
		conn_counts(side, conn)->started++;
		conn_interest(side, conn);
	}
	return 0;
}

static void conn_handle(struct tcp_side *side, struct tcp_conn *conn, uint32_t events)
{
	int r = 0;

	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		r = conn_read(side, conn);
	if (r == 0 && conn->state == CONN_OPEN &&
	    (conn->peer_shut || (conn->flags & RECORD_SHORT && conn->received_seq)))
		conn->state = CONN_ENDING;
	if (r == 0)
		r = conn_produce(side, conn, clock_ns());
	if (r == 0)
		r = conn_flush(side, conn);
	if (r == 0 && conn->state == CONN_SHUT && conn->peer_shut) {
		conn_end(side, conn, 0);
		return;
	}
	if (r == 0)
		r = conn_interest(side, conn);
	if (r < 0)
		conn_end(side, conn, r);
}

static void conns_tick(struct tcp_side *side, uint64_t now_ns)
{
	for (uint32_t i = side->n_conns; i-- > 0;) { /* backwards: conn_end() moves the last one */
		struct tcp_conn *conn = side->conns[i];
		int r = conn_produce(side, conn, now_ns);

		if (r == 0)
			r = conn_interest(side, conn);
		if (r < 0)
			conn_end(side, conn, r);
	}
}

int server_run(struct tcp_side *side)
{
	struct epoll_event events[EVENTS_MAX];
	uint64_t stopped_ns = 0, now_ns;
	int n, r = 0;

	while (r == 0) {
		n = epoll_wait(side->epoll_fd, events, EVENTS_MAX, TICK_MS);
		for (int i = 0; i < n && r == 0; i++) {
			if (events[i].data.ptr)
				conn_handle(side, events[i].data.ptr, events[i].events);
			else
				r = conns_accept(side);
		}
		now_ns = clock_ns();
		if (side->settings->tcp_rate && side->settings->bidirectional)
			conns_tick(side, now_ns);
		if (!stopped_ns && atomic_load(&side->stop))
			stopped_ns = now_ns;
		if (stopped_ns &&
		    (!side->n_conns || now_ns - stopped_ns > side->settings->drain_ns))
			break;
	}
	return r;
}
