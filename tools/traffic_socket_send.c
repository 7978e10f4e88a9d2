/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* traffic_socket_send.c - what an end on sockets sends, and to where. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "tools/traffic_socket.h"

/* ---- addresses ------------------------------------------------------------------------------ */

uint16_t traffic_flow_port(const struct traffic_config *config, uint32_t flow, unsigned int end)
{
	return (uint16_t)(end == TRAFFIC_FORWARD ?
				  config->client_port + flow % config->client_ports :
				  config->server_port + flow / config->client_ports);
}

socklen_t traffic_end_address(const struct traffic_config *config, unsigned int end, bool ipv6,
			      uint16_t port, struct sockaddr_in6 *ret)
{
	struct sockaddr_in *ipv4 = (struct sockaddr_in *)ret;

	memset(ret, 0, sizeof(*ret));
	if (ipv6) {
		ret->sin6_family = AF_INET6;
		ret->sin6_port = htons(port);
		memcpy(&ret->sin6_addr, config->addr6[end], sizeof(ret->sin6_addr));
		return sizeof(*ret);
	}
	ipv4->sin_family = AF_INET;
	ipv4->sin_port = htons(port);
	memcpy(&ipv4->sin_addr, config->addr4[end], sizeof(ipv4->sin_addr));
	return sizeof(*ipv4);
}

uint32_t traffic_socket_index(const struct traffic_sockets *s, uint32_t flow)
{
	const struct traffic_config *config = &s->end->config;
	uint32_t port = config->direction == TRAFFIC_FORWARD ? flow % config->client_ports :
							       flow / config->client_ports;

	return traffic_is_ipv6(config->families, flow) * s->n_ports + port;
}

/* ---- sending -------------------------------------------------------------------------------- */

static void datagram_make(struct traffic_sockets *s, uint32_t i, uint32_t flow)
{
	const struct traffic_config *config = &s->end->config;
	unsigned int to = !config->direction;
	bool ipv6 = traffic_is_ipv6(config->families, flow);
	struct msghdr *header = &s->out->headers[i].msg_hdr;
	struct traffic_stamp stamp = { s->run, flow, config->direction, s->sent[flow]++,
				       clock_ns() };

	s->out->vectors[i].iov_len = config->size - (ipv6 ? 48 : 28);
	header->msg_namelen = traffic_end_address(config, to, ipv6,
						  traffic_flow_port(config, flow, to),
						  &s->out->names[i]);
	traffic_payload_make(s->out->bytes[i], s->out->vectors[i].iov_len, &stamp);
}

static int datagrams_send(int fd, struct mmsghdr *headers, uint32_t count)
{
	for (uint32_t done = 0; done < count;) {
		int n = sendmmsg(fd, headers + done, count - done, 0);

		if (n < 0 && (errno == ENOBUFS || errno == EINTR))
			continue; /* a queue below is full: as if the call had blocked */
		if (n < 0)
			return -errno;
		done += (uint32_t)n;
	}
	return 0;
}

/*
 * A burst, grouped by socket so that each call sends several. A flow has one socket, and groups
 * keep their order, so flows do.
 */
int traffic_sockets_send(struct traffic_sockets *s, uint32_t count)
{
	uint32_t flows[TRAFFIC_BURST_MAX], taken = 0, done = 0;
	int r;

	count = MIN(count, (uint32_t)TRAFFIC_BURST_MAX);
	for (uint32_t i = 0; i < count; i++) {
		flows[i] = traffic_turn_take(&s->turn, &s->end->config, (uint32_t)random());
		s->choice[i] = traffic_socket_index(s, flows[i]);
	}
	while (done < count) {
		uint32_t index = UINT32_MAX, first = done;

		for (uint32_t i = taken; i < count; i++) {
			if (s->choice[i] == UINT32_MAX)
				continue;
			if (index == UINT32_MAX) {
				index = s->choice[i];
				taken = i + 1;
			}
			if (s->choice[i] != index)
				continue;
			s->choice[i] = UINT32_MAX;
			datagram_make(s, done++, flows[i]);
		}
		r = datagrams_send(s->fds[index], s->out->headers + first, done - first);
		if (r < 0)
			return r;
	}
	return (int)count;
}
