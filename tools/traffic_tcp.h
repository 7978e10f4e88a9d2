/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * traffic_tcp.h - inside of the TCP part of `flowferry traffic`.
 *
 * A connection carries records: a length, flags that tell the server what kind of connection this
 * is, and a payload like that of a UDP packet. One thread and one epoll set for each side.
 */
#pragma once

#include "tools/traffic.h"

#define RECORD_SIZE_MAX 65536
#define OUT_MAX		(256 * 1024) /* not taken by the socket yet: then no more is read */
#define READ_MAX	65536
#define TICK_MS		1
#define CONNECT_NS	(10 * 1000000000ull) /* for connect(), and for a whole short connection */

#define RECORD_SHORT	1u /* one record each way, then the server closes */
#define RECORD_ECHO	2u /* each record comes back */
#define RECORD_BOTH	4u /* the server sends records of its own */

struct traffic_record {
	__be32 len; /* all of it */
	__be32 flags;
	struct traffic_payload payload;
};
_Static_assert(sizeof(struct traffic_record) == 48, "traffic_record");

enum conn_state {
	CONN_CONNECTING,
	CONN_OPEN,
	CONN_ENDING, /* sends nothing new; shutdown() when all is out */
	CONN_SHUT,   /* own side shut, the other one may still send */
};

struct tcp_conn {
	int fd;
	enum conn_state state;
	uint32_t run, flow, flags;
	bool known; /* server: the first record has told these */
	bool peer_shut;
	uint32_t place;	   /* in side->conns */
	uint32_t interest; /* epoll events asked for */
	uint64_t started_ns, last_ns;

	uint8_t *out;
	size_t out_len, out_at, out_space;
	uint64_t sent_seq;
	uint64_t due_ns; /* of the next record, if paced */

	uint8_t *in;
	size_t in_len, in_space;
	uint64_t received_seq;
};

struct tcp_side {
	const struct traffic_settings *settings;
	const struct traffic_end *end;
	bool client;
	pthread_t thread;
	bool running;
	atomic_bool stop;
	_Atomic uint64_t records_received;
	int epoll_fd;
	int listen_fd; /* server */
	struct tcp_conn **conns;
	uint32_t n_conns, conns_space;
	uint64_t short_started; /* client */
	uint8_t *read_buf;
	struct traffic_tcp_result result;
};

/* ---- traffic_tcp_conn.c ---- */
struct tcp_conn *conn_new(struct tcp_side *side, int fd);
/* Counts how the connection ended, by @error: 0 good, else a negative errno; frees it. */
void conn_end(struct tcp_side *side, struct tcp_conn *conn, int error);
struct traffic_tcp_counts *conn_counts(struct tcp_side *side, const struct tcp_conn *conn);
/* Adapts what epoll waits for to what the connection can do now. */
int conn_interest(struct tcp_side *side, struct tcp_conn *conn);

/* ---- traffic_tcp_stream.c ---- */
/* Puts one record into the out buffer. */
int conn_emit(struct tcp_side *side, struct tcp_conn *conn, uint64_t sent_ns);
/* Writes what the socket takes. */
int conn_flush(struct tcp_side *side, struct tcp_conn *conn);
/* Reads and checks what there is; sets peer_shut at its end. -EBADMSG: wrong bytes. */
int conn_read(struct tcp_side *side, struct tcp_conn *conn);
bool conn_full(const struct tcp_conn *conn);

/* ---- traffic_tcp_client.c, traffic_tcp_server.c ---- */
int client_run(struct tcp_side *side);
int server_listen(struct tcp_side *side);
int server_run(struct tcp_side *side);
/* Emits what is due on a long connection. */
int conn_produce(struct tcp_side *side, struct tcp_conn *conn, uint64_t now_ns);
