/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_http_kept.c - connections that are kept from one call to the next, by a client and by many
 * calls in flight: used again, and replaced without a word when the peer has closed them meanwhile.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/http_client.h"
#include "lib/json.h"

#define CALL_MS	     30000
#define CALLS	     5
#define CONNS_MAX    (2 * CALLS)
#define REQUEST_MAX  4096
#define ANSWER	     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
#define FOR_EVER     1000
#define HEADERS_END  "\r\n\r\n"
#define LENGTH_FIELD "Content-Length: "

/* ---- a peer that does what it is told -------------------------------------------------------- */

struct conn {
	int fd;
	char request[REQUEST_MAX]; /* what of it has come */
	size_t len;
	unsigned int answered;
};

/* One thread serves all; the test reads what is atomic, and sets the rest before a call. */
static struct peer {
	char dir[32];
	struct sockaddr_un addr;
	int listener;
	pthread_t thread;
	struct conn conns[CONNS_MAX];
	unsigned int answers;	   /* of each connection, before it is closed ... */
	bool waits;		   /* ... when one more has been asked for; else at once */
	atomic_uint accepted;	   /* connections */
	atomic_uint closed, asked; /* by the peer; requests that came whole */
} peer;

static struct http_client *client;
static struct http_multi *multi;

static void conn_close(struct conn *conn)
{
	close(conn->fd);
	*conn = (struct conn){ .fd = -1 };
	atomic_fetch_add(&peer.closed, 1);
}

static bool request_is_whole(const struct conn *conn)
{
	const char *end = strstr(conn->request, HEADERS_END);
	const char *length = strstr(conn->request, LENGTH_FIELD);
	size_t body = length ? strtoul(length + strlen(LENGTH_FIELD), NULL, 10) : 0;

	return end && conn->len == (size_t)(end - conn->request) + strlen(HEADERS_END) + body;
}

static void conn_serve(struct conn *conn)
{
	ssize_t n = read(conn->fd, conn->request + conn->len, REQUEST_MAX - 1 - conn->len);

	if (n <= 0) {
		conn_close(conn);
		return;
	}
	conn->len += (size_t)n;
	if (!request_is_whole(conn))
		return;
	atomic_fetch_add(&peer.asked, 1);
	memset(conn->request, 0, sizeof(conn->request));
	conn->len = 0;
	if (conn->answered == peer.answers) {
		conn_close(conn);
		return;
	}
	if (write(conn->fd, ANSWER, strlen(ANSWER)) != (ssize_t)strlen(ANSWER))
		abort();
	if (++conn->answered == peer.answers && !peer.waits)
		conn_close(conn);
}

static void *peer_main(void *arg)
{
	struct pollfd polls[CONNS_MAX + 1] = { { peer.listener, POLLIN, 0 } };

	for (;;) {
		for (size_t i = 0; i < CONNS_MAX; i++)
			polls[i + 1] = (struct pollfd){ peer.conns[i].fd, POLLIN, 0 };
		poll(polls, CONNS_MAX + 1, -1);
		for (size_t i = 0; i < CONNS_MAX; i++)
			if (polls[i + 1].revents)
				conn_serve(&peer.conns[i]);
		if (polls[0].revents) {
			int fd = accept(peer.listener, NULL, NULL);

			if (fd < 0)
				return arg; /* shut down: the end */
			if (atomic_load(&peer.accepted) == CONNS_MAX)
				abort();
			peer.conns[atomic_fetch_add(&peer.accepted, 1)].fd = fd;
		}
	}
}

static void setup(void)
{
	peer = (struct peer){ .dir = "/tmp/ff-kept-XXXXXX",
			      .addr.sun_family = AF_UNIX,
			      .answers = FOR_EVER };
	cr_assert(mkdtemp(peer.dir));
	snprintf(peer.addr.sun_path, sizeof(peer.addr.sun_path), "%s/s", peer.dir);
	for (size_t i = 0; i < CONNS_MAX; i++)
		peer.conns[i].fd = -1;
	peer.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(peer.listener, (struct sockaddr *)&peer.addr, sizeof(peer.addr)), 0);
	cr_assert_eq(listen(peer.listener, CONNS_MAX), 0);
	cr_assert_eq(pthread_create(&peer.thread, NULL, peer_main, NULL), 0);
	cr_assert_eq(http_client_new(peer.addr.sun_path, NULL, &client, NULL), 0);
	cr_assert_eq(http_multi_new(&multi, NULL), 0);
}

static void teardown(void)
{
	http_multi_free(multi);
	http_client_free(client);
	shutdown(peer.listener, SHUT_RDWR);
	pthread_join(peer.thread, NULL);
	close(peer.listener);
	unlink(peer.addr.sun_path);
	rmdir(peer.dir);
}

TestSuite(http_kept, .init = setup, .fini = teardown, .timeout = 60);

/* ---- calls, each when the one before has ended ----------------------------------------------- */

static int call_by_client(const char *method, json_t *body)
{
	return http_call(client, method, "/v1/x", body, NULL, CALL_MS, NULL, NULL, NULL);
}

static int call_by_multi(const char *method, json_t *body)
{
	struct http_completion done;

	cr_assert_eq(http_multi_start(multi, client, method, "/v1/x", body, NULL, CALL_MS, NULL,
				      NULL),
		     0);
	cr_assert_eq(http_multi_wait(multi, CALL_MS, &done), 1);
	json_decref(done.reply);
	return done.result;
}

typedef int (*call_fn)(const char *method, json_t *body);

static void calls_expect(call_fn call, unsigned int connections)
{
	_cleanup_json_ json_t *body = json_pack("{ss}", "some", "body");

	for (unsigned int i = 0; i < CALLS; i++) {
		cr_assert_eq(i % 2 ? call("POST", body) : call("GET", NULL), 0, "call %u", i);
		while (peer.answers == 1 && !peer.waits && atomic_load(&peer.closed) <= i)
			sched_yield();
	}
	cr_expect_eq(atomic_load(&peer.accepted), connections);
}

Test(http_kept, one_is_used_again)
{
	calls_expect(call_by_client, 1);
}

Test(http_kept, many_calls_use_one_again)
{
	calls_expect(call_by_multi, 1);
}

/* As a daemon that was restarted. */
Test(http_kept, what_the_peer_has_closed_is_replaced)
{
	peer.answers = 1;
	calls_expect(call_by_client, CALLS);
}

Test(http_kept, what_the_peer_has_closed_is_replaced_among_many_calls)
{
	peer.answers = 1;
	calls_expect(call_by_multi, CALLS);
}

/*
 * As a daemon that goes while the next request is on its way: nobody has begun to answer, so it is
 * asked again, whatever the method: in our protocol what is said twice is done once.
 */
Test(http_kept, what_the_peer_closes_unanswered_is_replaced)
{
	peer.answers = 1;
	peer.waits = true;
	calls_expect(call_by_client, CALLS);
	cr_expect_eq(atomic_load(&peer.asked), 2 * CALLS - 1);
}

Test(http_kept, what_the_peer_closes_unanswered_is_replaced_among_many_calls)
{
	peer.answers = 1;
	peer.waits = true;
	calls_expect(call_by_multi, CALLS);
	cr_expect_eq(atomic_load(&peer.asked), 2 * CALLS - 1);
}

/* It wasn't kept, so it wasn't closed for being old: that is an error, and not asked again. */
Test(http_kept, a_new_one_without_an_answer_is_an_error)
{
	peer.answers = 0;
	cr_expect_eq(call_by_client("GET", NULL), -ECONNRESET);
	cr_expect_eq(call_by_multi("GET", NULL), -ECONNRESET);
	cr_expect_eq(atomic_load(&peer.asked), 2);
}
