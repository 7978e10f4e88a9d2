/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* traffic_tcp.c - one side of the TCP connections: its thread, from start to result. */

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "lib/cleanup.h"
#include "lib/netns.h"
#include "tools/traffic_tcp.h"

/* Sockets belong to the namespace in which they are made. */
static void *side_main(void *arg)
{
	struct tcp_side *side = arg;
	int r = netns_enter(side->end->netns_fd);

	if (r == 0)
		r = side->client ? client_run(side) : server_run(side);
	if (r < 0 && !side->result.counts[TRAFFIC_LONG].error)
		side->result.counts[TRAFFIC_LONG].error = r;
	if (r < 0)
		side->result.counts[TRAFFIC_LONG].failed++;
	while (side->n_conns)
		conn_end(side, side->conns[side->n_conns - 1], -ECANCELED);
	return NULL;
}

static int listen_call(void *arg)
{
	return server_listen(arg);
}

/* A descriptor for each connection, and there may be many. */
static void descriptors_allow(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int traffic_tcp_start(const struct traffic_settings *settings, const struct traffic_end *end,
		      bool client, struct tcp_side **ret_side, struct ff_error *err)
{
	struct tcp_side *side = calloc(1, sizeof(*side));
	int r = -ENOMEM;

	if (!side)
		return error_nomem(err);
	side->settings = settings;
	side->end = end;
	side->client = client;
	side->listen_fd = -1;
	descriptors_allow();
	side->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	side->read_buf = malloc(READ_MAX);
	if (side->epoll_fd >= 0 && side->read_buf)
		r = client ? 0 : netns_call(end->netns_fd, listen_call, side);
	if (r == 0)
		r = -pthread_create(&side->thread, NULL, side_main, side);
	if (r < 0) {
		traffic_tcp_free(side);
		return error_set(err, r, FF_CODE_INTERNAL, "name another --port",
				 "%s: can't %s on TCP port %u: %s", end->name,
				 client ? "start" : "listen", settings->server_port, strerror(-r));
	}
	side->running = true;
	*ret_side = side;
	return 0;
}

void traffic_tcp_stop(struct tcp_side *side)
{
	atomic_store(&side->stop, true);
}

void traffic_tcp_join(struct tcp_side *side, struct traffic_tcp_result *ret)
{
	if (side->running)
		pthread_join(side->thread, NULL);
	side->running = false;
	*ret = side->result;
}

void traffic_tcp_free(struct tcp_side *side)
{
	if (!side)
		return;
	if (side->running) {
		traffic_tcp_stop(side);
		pthread_join(side->thread, NULL);
	}
	cleanup_close(&side->epoll_fd);
	cleanup_close(&side->listen_fd);
	free(side->conns);
	free(side->read_buf);
	free(side);
}

uint64_t traffic_tcp_progress(const struct tcp_side *side)
{
	return atomic_load_explicit(&side->records_received, memory_order_relaxed);
}
