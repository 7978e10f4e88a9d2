/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* traffic_tcp_conn.c - one TCP connection: its life in the epoll set, and how it is counted. */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "tools/traffic_tcp.h"

struct traffic_tcp_counts *conn_counts(struct tcp_side *side, const struct tcp_conn *conn)
{
	return &side->result.counts[conn->flags & RECORD_SHORT ? TRAFFIC_SHORT : TRAFFIC_LONG];
}

static int conns_append(struct tcp_side *side, struct tcp_conn *conn)
{
	if (side->n_conns == side->conns_space) {
		uint32_t space = side->conns_space ? 2 * side->conns_space : 64;
		struct tcp_conn **conns =
			reallocarray(side->conns, space, sizeof(struct tcp_conn *));

		if (!conns)
			return -ENOMEM;
		side->conns = conns;
		side->conns_space = space;
	}
	conn->place = side->n_conns;
	side->conns[side->n_conns++] = conn;
	return 0;
}

struct tcp_conn *conn_new(struct tcp_side *side, int fd)
{
	struct tcp_conn *conn = calloc(1, sizeof(*conn));
	struct epoll_event event = { .data.ptr = conn };
	int one = 1;

	if (!conn)
		return NULL;
	conn->fd = fd;
	conn->started_ns = conn->last_ns = clock_ns();
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* latency, not throughput */
	if (epoll_ctl(side->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ||
	    conns_append(side, conn) < 0) {
		free(conn);
		return NULL;
	}
	return conn;
}

int conn_interest(struct tcp_side *side, struct tcp_conn *conn)
{
	bool own = side->client || conn->flags & RECORD_BOTH;
	bool produces = conn->state == CONN_OPEN && own && !side->settings->tcp_rate &&
			!(conn->flags & RECORD_SHORT) && (side->client || conn->known);
	struct epoll_event event = { .data.ptr = conn };

	if (!conn->peer_shut && !conn_full(conn) && conn->state != CONN_CONNECTING)
		event.events |= EPOLLIN;
	if (conn->state == CONN_CONNECTING || conn->out_at < conn->out_len || produces)
		event.events |= EPOLLOUT;
	if (event.events == conn->interest)
		return 0;
	conn->interest = event.events;
	return epoll_ctl(side->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event) < 0 ? -errno : 0;
}

static void end_count(struct traffic_tcp_counts *counts, int error)
{
	switch (error) {
	case 0:
		counts->completed++;
		return;
	case -ECONNREFUSED:
		counts->refused++;
		return;
	case -ECONNRESET:
	case -EPIPE:
		counts->reset++;
		return;
	case -ETIMEDOUT:
		counts->timed_out++;
		return;
	case -ENODATA:
		counts->truncated++;
		return;
	case -EBADMSG:
		counts->corrupted++;
		return;
	case -ECANCELED:
		counts->unfinished++;
		return;
	default:
		counts->failed++;
		if (!counts->error)
			counts->error = error;
	}
}

uint64_t traffic_tcp_broken(const struct traffic_tcp_counts *counts)
{
	return counts->refused + counts->reset + counts->timed_out + counts->truncated +
	       counts->unfinished + counts->failed;
}

void conn_end(struct tcp_side *side, struct tcp_conn *conn, int error)
{
	struct traffic_tcp_counts *counts = conn_counts(side, conn);
	struct tcp_info info = {};
	socklen_t len = sizeof(info);

	end_count(counts, error);
	if (getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
		counts->retransmits += info.tcpi_total_retrans;
	close(conn->fd);
	side->conns[conn->place] = side->conns[--side->n_conns];
	side->conns[conn->place]->place = conn->place;
	free(conn->in);
	free(conn->out);
	free(conn);
}
