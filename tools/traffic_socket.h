/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* traffic_socket.h - an end on ordinary UDP sockets; traffic_end.c chooses between it and BPF. */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "tools/traffic.h"

#define TRAFFIC_SOCKET_CLIENT_PORTS 64	  /* so many flows share a server port */
#define TRAFFIC_SOCKET_FLOWS_MAX    65536 /* 1024 server sockets for each family */

/* Opens the sockets; judges from then on. Sets end->sockets, even on failure, sent and flows. */
int traffic_sockets_open(struct traffic_end *end);
/* No more is judged; flows are final. */
void traffic_sockets_stop(struct traffic_sockets *s);
void traffic_sockets_free(struct traffic_sockets *s);

int traffic_sockets_send(struct traffic_sockets *s, uint32_t count);
void traffic_sockets_tally(struct traffic_sockets *s, struct traffic_tally *ret_tally);
/* Which run it judged; 0: it was to take the first one, and none came. */
uint32_t traffic_sockets_run(const struct traffic_sockets *s);
/* Datagrams that full receive buffers dropped. */
uint64_t traffic_sockets_overload(const struct traffic_sockets *s);

/* ---- inside, between traffic_socket.c and traffic_socket_send.c ----------------------------- */

struct datagrams {
	struct mmsghdr headers[TRAFFIC_BURST_MAX];
	struct iovec vectors[TRAFFIC_BURST_MAX];
	struct sockaddr_in6 names[TRAFFIC_BURST_MAX]; /* or sockaddr_in */
	uint8_t bytes[TRAFFIC_BURST_MAX][TRAFFIC_SIZE_MAX];
};

struct traffic_sockets {
	struct traffic_end *end;
	int *fds; /* [family][local port] */
	uint32_t n_ports;
	int epoll_fd;
	struct datagrams *out, *in;
	struct traffic_turn turn;
	uint32_t choice[TRAFFIC_BURST_MAX]; /* the socket of each packet of a burst */
	uint64_t *sent;

	pthread_t thread;
	bool running;
	atomic_bool stop;
	pthread_mutex_t lock; /* of tally and flows */
	struct traffic_tally tally;
	struct traffic_flow *flows;
	_Atomic uint32_t run; /* of the packets judged: configured, or that of the first one */
};

/* The address of one end, 0 the client's; returns its length. */
socklen_t traffic_end_address(const struct traffic_config *config, unsigned int end, bool ipv6,
			      uint16_t port, struct sockaddr_in6 *ret);
/* The port of a flow at one end, and which of an end's sockets is the flow's. */
uint16_t traffic_flow_port(const struct traffic_config *config, uint32_t flow, unsigned int end);
uint32_t traffic_socket_index(const struct traffic_sockets *s, uint32_t flow);
