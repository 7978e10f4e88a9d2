/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* traffic_tcp_stream.c - records on a TCP connection: made, sent, received, checked. */

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "tools/traffic_tcp.h"

#define RECORD_HEAD offsetof(struct traffic_record, payload)
#define READS_MAX   8 /* of one connection before the others get their turn */

/* ---- out ------------------------------------------------------------------------------------- */

bool conn_full(const struct tcp_conn *conn)
{
	return conn->out_len - conn->out_at > OUT_MAX;
}

/* Room for @len more bytes behind what is in the out buffer. */
static int out_reserve(struct tcp_conn *conn, size_t len)
{
	size_t space = conn->out_space ?: 4096;
	uint8_t *out;

	if (conn->out_at) {
		memmove(conn->out, conn->out + conn->out_at, conn->out_len - conn->out_at);
		conn->out_len -= conn->out_at;
		conn->out_at = 0;
	}
	while (space < conn->out_len + len)
		space *= 2;
	if (space == conn->out_space)
		return 0;
	out = realloc(conn->out, space);
	if (!out)
		return -ENOMEM;
	conn->out = out;
	conn->out_space = space;
	return 0;
}

int conn_emit(struct tcp_side *side, struct tcp_conn *conn, uint64_t sent_ns)
{
	struct traffic_stamp stamp = {
		.run = conn->run,
		.flow = conn->flow,
		.direction = side->client ? TRAFFIC_FORWARD : TRAFFIC_REVERSE,
		.seq = conn->sent_seq,
		.sent_ns = sent_ns,
	};
	uint32_t len = side->settings->tcp_size;
	uint32_t head[2] = { htobe32(len), htobe32(conn->flags) };
	struct traffic_tcp_counts *counts = conn_counts(side, conn);
	int r = out_reserve(conn, len);

	if (r < 0)
		return r;
	memcpy(conn->out + conn->out_len, head, sizeof(head));
	traffic_payload_make(conn->out + conn->out_len + RECORD_HEAD, len - RECORD_HEAD, &stamp);
	conn->out_len += len;
	conn->sent_seq++;
	counts->records_sent++;
	return 0;
}

int conn_flush(struct tcp_side *side, struct tcp_conn *conn)
{
	while (conn->out_at < conn->out_len) {
		ssize_t n = send(conn->fd, conn->out + conn->out_at, conn->out_len - conn->out_at,
				 MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		conn->out_at += (size_t)n;
		conn_counts(side, conn)->bytes_sent += (uint64_t)n;
	}
	conn->out_at = conn->out_len = 0;
	if (conn->state == CONN_ENDING) {
		if (shutdown(conn->fd, SHUT_WR) < 0)
			return -errno;
		conn->state = CONN_SHUT;
	}
	return 0;
}

int conn_produce(struct tcp_side *side, struct tcp_conn *conn, uint64_t now_ns)
{
	uint64_t step_ns = side->settings->tcp_rate ? NSEC_PER_SEC / side->settings->tcp_rate : 0;
	int r = 0;

	if (conn->state != CONN_OPEN || conn->flags & RECORD_SHORT ||
	    (!side->client && !(conn->known && conn->flags & RECORD_BOTH)))
		return 0;
	if (!step_ns) {
		while (r == 0 && conn->out_len - conn->out_at < READ_MAX)
			r = conn_emit(side, conn, now_ns);
	} else if (!conn->due_ns) {
		conn->due_ns = now_ns;
	}
	/* held up: what was due earlier keeps its time, so that the wait shows as latency */
	for (; step_ns && r == 0 && conn->due_ns <= now_ns && !conn_full(conn);
	     conn->due_ns += step_ns)
		r = conn_emit(side, conn,
			      now_ns - conn->due_ns > 2 * TICK_MS * NSEC_PER_MSEC ? conn->due_ns :
										    now_ns);
	return r < 0 ? r : conn_flush(side, conn);
}

/* ---- in -------------------------------------------------------------------------------------- */

static void latency_note(struct traffic_tally *tally, uint64_t sent_ns, uint64_t now_ns)
{
	uint64_t latency = now_ns - MIN(sent_ns, now_ns);

	tally->packets++;
	tally->latency[traffic_bucket(latency)]++;
	tally->latency_max_ns = MAX(tally->latency_max_ns, latency);
	tally->last_ns = now_ns;
}

static int echo_append(struct tcp_side *side, struct tcp_conn *conn, uint32_t len)
{
	int r = out_reserve(conn, len);

	if (r < 0)
		return r;
	memcpy(conn->out + conn->out_len, conn->in, len);
	conn->out_len += len;
	conn->sent_seq++;
	conn_counts(side, conn)->records_sent++;
	return 0;
}

/* A whole record is in: it must be the next one of this connection, byte by byte. */
static int record_take(struct tcp_side *side, struct tcp_conn *conn, uint32_t len)
{
	const struct traffic_record *record = (const void *)conn->in;
	uint32_t flags = be32toh(record->flags), direction;
	struct traffic_stamp stamp;
	uint64_t now_ns = clock_ns();

	if (traffic_payload_read(&record->payload, len - RECORD_HEAD, &stamp) < 0)
		return -EBADMSG;
	if (!conn->known && !side->client) {
		conn->known = true;
		conn->flow = stamp.flow;
		conn->run = stamp.run;
		conn->flags = flags;
		/* counted as a long one when it was accepted */
		side->result.counts[TRAFFIC_LONG].started--;
		conn_counts(side, conn)->started++;
	}
	direction = side->client && !(conn->flags & RECORD_ECHO) ? TRAFFIC_REVERSE :
								   TRAFFIC_FORWARD;
	if (stamp.seq != conn->received_seq || stamp.flow != conn->flow || flags != conn->flags ||
	    stamp.direction != direction || stamp.run != conn->run)
		return -EBADMSG;
	conn->received_seq++;
	conn_counts(side, conn)->records_received++;
	atomic_fetch_add_explicit(&side->records_received, 1, memory_order_relaxed);
	latency_note(&side->result.records, stamp.sent_ns, now_ns);
	if (side->client || !(flags & RECORD_ECHO))
		return 0;
	return echo_append(side, conn, len);
}

/* Bytes still missing to what can be looked at next: the length, then the whole record. */
static int record_missing(const struct tcp_conn *conn, size_t *ret_missing)
{
	uint32_t len;

	if (conn->in_len < RECORD_HEAD) {
		*ret_missing = RECORD_HEAD - conn->in_len;
		return 0;
	}
	memcpy(&len, conn->in, sizeof(len));
	len = be32toh(len);
	if (len < sizeof(struct traffic_record) || len > RECORD_SIZE_MAX)
		return -EBADMSG;
	*ret_missing = len - conn->in_len;
	return 0;
}

static int in_reserve(struct tcp_conn *conn, size_t len)
{
	uint8_t *in;

	if (len <= conn->in_space)
		return 0;
	in = realloc(conn->in, len);
	if (!in)
		return -ENOMEM;
	conn->in = in;
	conn->in_space = len;
	return 0;
}

static int bytes_take(struct tcp_side *side, struct tcp_conn *conn, const uint8_t *data, size_t len)
{
	size_t missing, part;
	int r;

	while (len) {
		r = record_missing(conn, &missing);
		if (r == 0)
			r = in_reserve(conn, conn->in_len + missing);
		if (r < 0)
			return r;
		part = MIN(missing, len);
		memcpy(conn->in + conn->in_len, data, part);
		conn->in_len += part;
		data += part;
		len -= part;
		if (part < missing || conn->in_len == RECORD_HEAD)
			continue;
		r = record_take(side, conn, (uint32_t)conn->in_len);
		if (r < 0)
			return r;
		conn->in_len = 0;
	}
	return 0;
}

int conn_read(struct tcp_side *side, struct tcp_conn *conn)
{
	for (int i = 0; i < READS_MAX && !conn->peer_shut && !conn_full(conn); i++) {
		ssize_t n = recv(conn->fd, side->read_buf, READ_MAX, 0);
		struct traffic_tcp_counts *counts;
		uint64_t now_ns = clock_ns();
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (n == 0) {
			conn->peer_shut = true;
			return conn->in_len ? -ENODATA : 0;
		}
		r = bytes_take(side, conn, side->read_buf, (size_t)n);
		counts = conn_counts(side, conn);
		counts->bytes_received += (uint64_t)n;
		counts->gap_max_ns = MAX(counts->gap_max_ns, now_ns - conn->last_ns);
		conn->last_ns = now_ns;
		if (r < 0)
			return r;
	}
	return 0;
}
