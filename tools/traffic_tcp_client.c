/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* traffic_tcp_client.c - the side that opens the connections. */

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "tools/traffic_tcp.h"

#define EVENTS_MAX	64
#define SHORT_BURST_MAX 64 /* connections begun at once when behind */

static int conn_connect(struct tcp_side *side, uint32_t flow, uint32_t flags)
{
	const struct traffic_config *config = &side->end->config;
	bool ipv6 = traffic_is_ipv6(config->families, flow);
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6,
				    .sin6_port = htons(config->server_port) };
	struct sockaddr_in to4 = { .sin_family = AF_INET, .sin_port = htons(config->server_port) };
	_cleanup_close_ int fd = -1;
	struct tcp_conn *conn;
	int r;

	memcpy(&to6.sin6_addr, config->addr6[TRAFFIC_REVERSE], sizeof(to6.sin6_addr));
	memcpy(&to4.sin_addr, config->addr4[TRAFFIC_REVERSE], sizeof(to4.sin_addr));
	fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	conn = conn_new(side, fd);
	if (!conn)
		return -ENOMEM;
	conn->run = config->run;
	conn->flow = flow;
	conn->flags = flags;
	conn_counts(side, conn)->started++;
	r = connect(TAKE_FD(fd), ipv6 ? (void *)&to6 : (void *)&to4,
		    ipv6 ? sizeof(to6) : sizeof(to4));
	if (r < 0 && errno != EINPROGRESS) {
		conn_end(side, conn, -errno);
		return 0;
	}
	return conn_interest(side, conn);
}

/* connect() has come to its end. */
static int conn_connected(struct tcp_side *side, struct tcp_conn *conn)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	if (error)
		return -error;
	conn->state = CONN_OPEN;
	conn->last_ns = clock_ns();
	return conn->flags & RECORD_SHORT ? conn_emit(side, conn, conn->last_ns) : 0;
}

/* The server has shut its side: is that the end that was agreed on? */
static int conn_ended_well(const struct tcp_conn *conn)
{
	bool asked = conn->state == CONN_SHUT || conn->flags & RECORD_SHORT;

	if (!asked || (conn->flags & RECORD_ECHO && conn->received_seq != conn->sent_seq))
		return -ENODATA;
	return 0;
}

static void conn_handle(struct tcp_side *side, struct tcp_conn *conn, uint32_t events)
{
	int r = 0;

	if (conn->state == CONN_CONNECTING)
		r = conn_connected(side, conn);
	if (r == 0 && events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		r = conn_read(side, conn);
	if (r == 0 && conn->peer_shut) {
		r = conn_ended_well(conn);
		if (r == 0 && conn->flags & RECORD_SHORT) {
			struct traffic_tally *tally = &side->result.connections;
			uint64_t took_ns = clock_ns() - conn->started_ns;

			tally->packets++;
			tally->latency[traffic_bucket(took_ns)]++;
			tally->latency_max_ns = MAX(tally->latency_max_ns, took_ns);
		}
		conn_end(side, conn, r);
		return;
	}
	if (r == 0 && events & EPOLLOUT)
		r = conn_produce(side, conn, clock_ns());
	if (r == 0)
		r = conn_flush(side, conn);
	if (r == 0)
		r = conn_interest(side, conn);
	if (r < 0)
		conn_end(side, conn, r);
}

/* Once a tick: what is due on paced connections, and what has waited too long. */
static void conns_tick(struct tcp_side *side, uint64_t now_ns, bool stopping)
{
	for (uint32_t i = side->n_conns; i-- > 0;) { /* backwards: conn_end() moves the last one */
		struct tcp_conn *conn = side->conns[i];
		bool opening = conn->state == CONN_CONNECTING || conn->flags & RECORD_SHORT;
		int r = 0;

		if (opening && now_ns - conn->started_ns > CONNECT_NS) {
			conn_end(side, conn, -ETIMEDOUT);
			continue;
		}
		if (stopping && conn->state == CONN_OPEN && !(conn->flags & RECORD_SHORT)) {
			conn->state = CONN_ENDING;
			r = conn_flush(side, conn);
		} else if (side->settings->tcp_rate) {
			r = conn_produce(side, conn, now_ns);
		}
		if (r == 0)
			r = conn_interest(side, conn);
		if (r < 0)
			conn_end(side, conn, r);
	}
}

static int shorts_start(struct tcp_side *side, uint64_t elapsed_ns)
{
	uint64_t due =
		(uint64_t)((double)elapsed_ns * side->settings->tcp_short / (double)NSEC_PER_SEC);
	int r = 0;

	due -= MIN(due, side->short_started);
	for (uint64_t i = 0; i < MIN(due, (uint64_t)SHORT_BURST_MAX) && r == 0; i++)
		r = conn_connect(side, (uint32_t)(side->short_started++ & 0x7fffffff),
				 RECORD_SHORT | RECORD_ECHO);
	return r;
}

int client_run(struct tcp_side *side)
{
	const struct traffic_settings *s = side->settings;
	uint32_t flags = s->tcp_echo ? RECORD_ECHO : s->bidirectional ? RECORD_BOTH : 0;
	uint64_t begin_ns = clock_ns(), stopped_ns = 0, now_ns;
	struct epoll_event events[EVENTS_MAX];
	int n, r = 0;

	for (uint32_t i = 0; i < s->tcp_flows && r == 0; i++)
		r = conn_connect(side, i, flags);
	while (r == 0) {
		n = epoll_wait(side->epoll_fd, events, EVENTS_MAX, TICK_MS);
		for (int i = 0; i < n; i++)
			conn_handle(side, events[i].data.ptr, events[i].events);
		now_ns = clock_ns();
		if (!stopped_ns && atomic_load(&side->stop))
			stopped_ns = now_ns;
		conns_tick(side, now_ns, stopped_ns);
		if (!stopped_ns)
			r = shorts_start(side, now_ns - begin_ns);
		else if (!side->n_conns || now_ns - stopped_ns > s->drain_ns)
			break;
	}
	return r;
}
