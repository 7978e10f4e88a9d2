/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* traffic_socket.h - an end on ordinary UDP sockets; traffic_end.c chooses between it and BPF. */
#pragma once

#include "tools/traffic.h"

#define TRAFFIC_SOCKET_CLIENT_PORTS 64	  /* so many flows share a server port */
#define TRAFFIC_SOCKET_FLOWS_MAX    65536 /* 1024 server sockets for each family */

/* Opens the sockets, and judges from then on. Sets end->sockets, even on failure, sent and flows. */
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
