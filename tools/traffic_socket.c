/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * traffic_socket.c - one side of the UDP traffic through the host's own stack: for hosts without
 * native XDP, and to see that real stacks come to the same verdict.
 *
 * Flows share sockets: one for each local port. What its full receive buffers drop is no loss of
 * the network's, so the judge asks the kernel for it and reports it as its own overload.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/netns.h"
#include "tools/traffic_socket.h"

#define RECEIVE_BATCH  64
#define RECEIVE_BUFFER (16 << 20) /* of each socket: 10 ms at a million packets a second and more */
#define EVENTS_MAX     64
#define WAIT_MS	       20

/* ---- judging -------------------------------------------------------------------------------- */

static bool source_wrong(const struct traffic_sockets *s, uint32_t i, uint32_t flow, int fd)
{
	const struct traffic_config *config = &s->end->config;
	unsigned int from = !config->direction;
	bool ipv6 = traffic_is_ipv6(config->families, flow);
	struct sockaddr_in6 wanted;
	socklen_t len = traffic_end_address(config, from, ipv6,
					    traffic_flow_port(config, flow, from), &wanted);

	/* all fields but IPv6's flow label and scope */
	if (fd != s->fds[traffic_socket_index(s, flow)] ||
	    s->in->names[i].sin6_family != wanted.sin6_family ||
	    s->in->headers[i].msg_hdr.msg_namelen != len)
		return true;
	if (!ipv6)
		return memcmp(&s->in->names[i], &wanted, 8) != 0;
	return s->in->names[i].sin6_port != wanted.sin6_port ||
	       memcmp(&s->in->names[i].sin6_addr, &wanted.sin6_addr, 16) != 0;
}

static void datagram_judge(struct traffic_sockets *s, uint32_t i, int fd)
{
	const struct traffic_config *config = &s->end->config;
	struct traffic_tally *all = &s->tally;
	struct traffic_stamp stamp;
	uint64_t now_ns = clock_ns(), latency;
	uint32_t len = s->in->headers[i].msg_len, wrong;
	int r = traffic_payload_read(s->in->bytes[i], len, &stamp);

	if (r == -EBADMSG) {
		all->corrupted++;
		all->unreadable++;
		return;
	}
	if (!s->run && r != -ENOMSG)
		s->run = stamp.run;
	if (r == -ENOMSG || stamp.run != s->run || stamp.direction == config->direction) {
		all->foreign++;
		return;
	}
	if (stamp.flow >= config->flows) {
		all->out_of_range++;
		return;
	}
	wrong = r < 0 || source_wrong(s, i, stamp.flow, fd);
	traffic_flow_note(&s->flows[stamp.flow], stamp.seq, stamp.sent_ns, now_ns, wrong);
	latency = now_ns - MIN(now_ns, stamp.sent_ns);
	all->packets++;
	all->bytes += len + (traffic_is_ipv6(config->families, stamp.flow) ? 48 : 28);
	all->corrupted += wrong;
	all->last_ns = now_ns;
	all->latency_max_ns = MAX(all->latency_max_ns, latency);
	all->latency[traffic_bucket(latency)]++;
}

static void socket_drain(struct traffic_sockets *s, int fd)
{
	int n;

	do {
		for (int i = 0; i < RECEIVE_BATCH; i++) {
			s->in->headers[i].msg_hdr.msg_namelen = sizeof(s->in->names[i]);
			s->in->vectors[i].iov_len = TRAFFIC_SIZE_MAX;
		}
		n = recvmmsg(fd, s->in->headers, RECEIVE_BATCH, MSG_DONTWAIT, NULL);
		pthread_mutex_lock(&s->lock);
		for (int i = 0; i < n; i++)
			datagram_judge(s, (uint32_t)i, fd);
		pthread_mutex_unlock(&s->lock);
	} while (n == RECEIVE_BATCH);
}

static void *judge_main(void *arg)
{
	struct traffic_sockets *s = arg;
	struct epoll_event events[EVENTS_MAX];

	while (!atomic_load_explicit(&s->stop, memory_order_relaxed)) {
		int n = epoll_wait(s->epoll_fd, events, EVENTS_MAX, WAIT_MS);

		for (int i = 0; i < n; i++)
			socket_drain(s, events[i].data.fd);
	}
	return NULL;
}

void traffic_sockets_tally(struct traffic_sockets *s, struct traffic_tally *ret_tally)
{
	pthread_mutex_lock(&s->lock);
	*ret_tally = s->tally;
	pthread_mutex_unlock(&s->lock);
}

/*
 * SO_RXQ_OVFL would tell the same count, but only with the next packet, and after the last one
 * there is none.
 */
uint64_t traffic_sockets_overload(const struct traffic_sockets *s)
{
	uint64_t drops = 0;

	for (uint32_t i = 0; i < 2 * s->n_ports; i++) {
		uint32_t info[SK_MEMINFO_VARS] = {};
		socklen_t len = sizeof(info);

		if (s->fds[i] >= 0 &&
		    getsockopt(s->fds[i], SOL_SOCKET, SO_MEMINFO, info, &len) == 0)
			drops += info[SK_MEMINFO_DROPS];
	}
	return drops;
}

uint32_t traffic_sockets_run(const struct traffic_sockets *s)
{
	return s->run;
}

/* ---- life ----------------------------------------------------------------------------------- */

static int socket_open(struct traffic_sockets *s, bool ipv6, uint32_t port)
{
	const struct traffic_config *config = &s->end->config;
	uint16_t first = config->direction == TRAFFIC_FORWARD ? config->client_port :
								config->server_port;
	_cleanup_close_ int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
	int size = RECEIVE_BUFFER, one = 1;
	struct sockaddr_in6 addr;
	socklen_t len = traffic_end_address(config, config->direction, ipv6,
					    (uint16_t)(first + port), &addr);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (ipv6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&addr, len) < 0 ||
	    epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	s->fds[ipv6 * s->n_ports + port] = TAKE_FD(fd);
	return 0;
}

static int sockets_open(void *arg)
{
	struct traffic_sockets *s = arg;
	uint8_t families = s->end->config.families;
	int r = 0;

	for (uint32_t i = 0; i < s->n_ports && r == 0; i++) {
		if (families & TRAFFIC_IPV4)
			r = socket_open(s, false, i);
		if (r == 0 && families & TRAFFIC_IPV6)
			r = socket_open(s, true, i);
	}
	return r;
}

static struct datagrams *datagrams_new(void)
{
	struct datagrams *d = calloc(1, sizeof(*d));

	for (size_t i = 0; d && i < TRAFFIC_BURST_MAX; i++) {
		d->vectors[i].iov_base = d->bytes[i];
		d->headers[i].msg_hdr.msg_iov = &d->vectors[i];
		d->headers[i].msg_hdr.msg_iovlen = 1;
		d->headers[i].msg_hdr.msg_name = &d->names[i];
	}
	return d;
}

static void descriptors_allow(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int sockets_allocate(struct traffic_sockets *s)
{
	const struct traffic_config *config = &s->end->config;

	s->n_ports = config->direction == TRAFFIC_FORWARD ?
			     MIN(config->client_ports, config->flows) :
			     (config->flows + config->client_ports - 1) / config->client_ports;
	s->fds = calloc(2 * (size_t)s->n_ports, sizeof(*s->fds));
	s->flows = calloc(config->flows, sizeof(*s->flows));
	s->sent = calloc(config->flows, sizeof(*s->sent));
	s->out = datagrams_new();
	s->in = datagrams_new();
	if (!s->fds || !s->flows || !s->sent || !s->out || !s->in)
		return -ENOMEM;
	for (uint32_t i = 0; i < 2 * s->n_ports; i++)
		s->fds[i] = -1;
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return s->epoll_fd < 0 ? -errno : 0;
}

int traffic_sockets_open(struct traffic_end *end)
{
	struct traffic_sockets *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	end->sockets = s;
	s->end = end;
	s->epoll_fd = -1;
	s->run = end->config.run;
	pthread_mutex_init(&s->lock, NULL);
	descriptors_allow();
	r = sockets_allocate(s);
	if (r == 0)
		r = netns_call(end->netns_fd, sockets_open, s);
	if (r == 0)
		r = -pthread_create(&s->thread, NULL, judge_main, s);
	s->running = r == 0;
	end->sent = s->sent;
	end->flows = s->flows;
	return r;
}

void traffic_sockets_stop(struct traffic_sockets *s)
{
	atomic_store(&s->stop, true);
	if (s->running)
		pthread_join(s->thread, NULL);
	s->running = false;
}

void traffic_sockets_free(struct traffic_sockets *s)
{
	if (!s)
		return;
	traffic_sockets_stop(s);
	for (uint32_t i = 0; s->fds && i < 2 * s->n_ports; i++)
		cleanup_close(&s->fds[i]);
	cleanup_close(&s->epoll_fd);
	pthread_mutex_destroy(&s->lock);
	free(s->fds);
	free(s->sent);
	free(s->flows);
	free(s->out);
	free(s->in);
	free(s);
}
