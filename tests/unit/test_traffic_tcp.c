/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_traffic_tcp.c - records on a byte stream: only whole ones in order are taken. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "tools/traffic_tcp.h"

#define SIZE 200

static const struct traffic_settings settings = { .tcp_size = SIZE, .drain_ns = 1000000000 };
static const struct traffic_end end = { .config.run = 5 };

static struct tcp_side client, server;
static struct tcp_conn *sender, *receiver;

static void side_init(struct tcp_side *side)
{
	side->settings = &settings;
	side->end = &end;
	side->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	side->read_buf = malloc(READ_MAX);
	cr_assert(side->epoll_fd >= 0 && side->read_buf);
}

static void side_done(struct tcp_side *side)
{
	if (!side->read_buf)
		return; /* it hasn't begun */
	while (side->n_conns)
		conn_end(side, side->conns[0], 0);
	side->conns_space = 0;
	free(TAKE_PTR(side->conns));
	free(TAKE_PTR(side->read_buf));
	close(side->epoll_fd);
}

/* What they have counted stays. */
static void pair_done(void)
{
	side_done(&client);
	side_done(&server);
}

TestSuite(traffic_tcp, .fini = pair_done);

static void pair_init(void)
{
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	side_init(&client);
	side_init(&server);
	client.client = true;
	sender = conn_new(&client, fds[0]);
	receiver = conn_new(&server, fds[1]);
	cr_assert(sender && receiver);
	sender->state = receiver->state = CONN_OPEN;
	sender->run = 5;
	sender->flow = 3;
	server.result.counts[TRAFFIC_LONG].started = 1;
}

/* `count` records, unsent, in the sender's out buffer. */
static void records_make(int count)
{
	pair_init();
	for (int i = 0; i < count; i++)
		cr_assert_eq(conn_emit(&client, sender, 1), 0);
	cr_assert_eq(sender->out_len, (size_t)count * SIZE);
}

static const struct traffic_tcp_counts *received(void)
{
	return &server.result.counts[TRAFFIC_LONG];
}

Test(traffic_tcp, whole)
{
	records_make(5);
	cr_expect_eq(conn_flush(&client, sender), 0);
	cr_expect_eq(conn_read(&server, receiver), 0);
	cr_expect_eq(received()->records_received, 5);
	cr_expect_eq(received()->bytes_received, 5 * SIZE);
	cr_expect_eq(receiver->flow, 3);
}

Test(traffic_tcp, byte_by_byte)
{
	records_make(3);
	for (size_t i = 0; i < 3 * SIZE; i++) {
		cr_assert_eq(write(sender->fd, sender->out + i, 1), 1);
		cr_assert_eq(conn_read(&server, receiver), 0);
	}
	cr_expect_eq(received()->records_received, 3);
}

Test(traffic_tcp, each_wrong_byte_is_seen)
{
	for (size_t i = 0; i < SIZE; i++) {
		int r;

		records_make(2);
		sender->out[SIZE + i] ^= 0x40;
		cr_assert_eq(conn_flush(&client, sender), 0);
		r = conn_read(&server, receiver);
		/* a wrong length may ask for more than there is: the end shows it then */
		if (r == 0 && i < 4) {
			shutdown(sender->fd, SHUT_WR);
			r = conn_read(&server, receiver);
			cr_expect_eq(r, -ENODATA, "byte %zu: %d", i, r);
		} else {
			cr_expect_eq(r, -EBADMSG, "byte %zu: %d", i, r);
		}
		conn_end(&server, receiver, r);
		conn_end(&client, sender, 0);
		pair_done();
	}
	cr_expect_eq(received()->corrupted + received()->truncated, SIZE);
}

static int bytes_send(size_t from, size_t len)
{
	cr_assert_eq(write(sender->fd, sender->out + from, len), (ssize_t)len);
	return conn_read(&server, receiver);
}

Test(traffic_tcp, record_missing)
{
	records_make(3);
	cr_expect_eq(bytes_send(0, SIZE), 0);
	cr_expect_eq(bytes_send(2 * SIZE, SIZE), -EBADMSG);
}

Test(traffic_tcp, record_twice)
{
	records_make(3);
	cr_expect_eq(bytes_send(0, SIZE), 0);
	cr_expect_eq(bytes_send(0, SIZE), -EBADMSG);
}

Test(traffic_tcp, bytes_missing)
{
	records_make(3);
	cr_expect_eq(bytes_send(0, SIZE + 100), 0);
	cr_expect_eq(bytes_send(SIZE + 101, 2 * SIZE - 101), -EBADMSG);
}

Test(traffic_tcp, cut_off)
{
	records_make(2);
	cr_expect_eq(bytes_send(0, SIZE + 100), 0);
	shutdown(sender->fd, SHUT_WR);
	cr_expect_eq(conn_read(&server, receiver), -ENODATA);
}

/* The server sends back what came, and the client checks it as if it were the server's own. */
Test(traffic_tcp, echo)
{
	pair_init();
	sender->flags = RECORD_ECHO;
	for (int i = 0; i < 4; i++)
		cr_assert_eq(conn_emit(&client, sender, 1), 0);
	cr_assert_eq(conn_flush(&client, sender), 0);
	cr_assert_eq(conn_read(&server, receiver), 0);
	cr_assert_eq(conn_flush(&server, receiver), 0);
	cr_assert_eq(conn_read(&client, sender), 0);
	cr_expect_eq(client.result.counts[TRAFFIC_LONG].records_received, 4);
	cr_expect_eq(client.result.records.packets, 4);
}

/* How connections end, and what they are counted as. */
Test(traffic_tcp, ends)
{
	static const struct {
		int error;
		size_t field;
	} ends[] = {
		{ 0, offsetof(struct traffic_tcp_counts, completed) },
		{ -ECONNREFUSED, offsetof(struct traffic_tcp_counts, refused) },
		{ -ECONNRESET, offsetof(struct traffic_tcp_counts, reset) },
		{ -EPIPE, offsetof(struct traffic_tcp_counts, reset) },
		{ -ETIMEDOUT, offsetof(struct traffic_tcp_counts, timed_out) },
		{ -ENODATA, offsetof(struct traffic_tcp_counts, truncated) },
		{ -EBADMSG, offsetof(struct traffic_tcp_counts, corrupted) },
		{ -ECANCELED, offsetof(struct traffic_tcp_counts, unfinished) },
		{ -EHOSTUNREACH, offsetof(struct traffic_tcp_counts, failed) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		const struct traffic_tcp_counts *c = &client.result.counts[TRAFFIC_LONG];

		pair_done();
		memset(&client, 0, sizeof(client));
		memset(&server, 0, sizeof(server));
		pair_init();
		conn_end(&client, sender, ends[i].error);
		cr_expect_eq(*(const uint64_t *)((const char *)c + ends[i].field), 1);
		cr_expect_eq(traffic_tcp_broken(c) + c->corrupted, ends[i].error != 0);
		cr_expect_eq(client.n_conns, 0);
	}
}
