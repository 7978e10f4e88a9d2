/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/heartbeat.h"

#include <arpa/inet.h>
#include <endian.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "agent/agent.h"
#include "agent/silence.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"

/* From this address: by which the peers know this host. */
struct mouth {
	int fd; /* -1: none */
	bool failed;
	struct ff_addr addr;
};

struct heartbeat {
	struct agent *agent;
	heartbeat_tell_fn tell;
	int timer_fd, stop_fd;
	bool running;
	pthread_t thread;
	struct mouth mouths[2]; /* IPv4, IPv6; the thread's own */

	pthread_mutex_t lock; /* guards all below */
	uint32_t failure_ms;
	struct silence peers[FF_HOSTS_MAX];
	bool asked[FF_HOSTS_MAX];
};

/* What follows the UDP header. */
struct beat {
	struct ff_geneve geneve;
	struct ff_geneve_option option;
	struct ff_heartbeat heartbeat;
} __attribute__((packed));

/* ---- asking ---------------------------------------------------------------------------------- */

static socklen_t address_of(const struct ff_addr *addr, uint16_t port, struct sockaddr_storage *ret)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (addr_is_ipv4(addr)) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		in->sin_addr.s_addr = addr->word[3];
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, addr->word, sizeof(in6->sin6_addr));
	return sizeof(*in6);
}

/* Without a checksum: the answering program changes the packet and would have to mend it. */
static int mouth_open(const char *ifname, const struct ff_addr *addr)
{
	bool is_v4 = addr_is_ipv4(addr);
	_cleanup_close_ int fd =
		socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_storage name;
	socklen_t len = address_of(addr, 0, &name);
	int one = 1;

	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, ifname, (socklen_t)strlen(ifname)) < 0 ||
	    (is_v4 ? setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &one, sizeof(one)) :
		     setsockopt(fd, SOL_UDP, UDP_NO_CHECK6_TX, &one, sizeof(one))) < 0 ||
	    bind(fd, (struct sockaddr *)&name, len) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static void mouth_close(struct mouth *mouth)
{
	if (mouth->fd >= 0)
		close(mouth->fd);
	mouth->fd = -1;
}

/* Peers answer only an address that they know: another one needs another socket. */
static void mouth_refresh(struct heartbeat *hb, struct mouth *mouth, const struct ff_addr *addr)
{
	char text[ADDR_TEXT_MAX];

	if (mouth->fd >= 0 && !memcmp(&mouth->addr, addr, sizeof(*addr)))
		return;
	mouth_close(mouth);
	mouth->addr = *addr;
	if (addr_is_zero(addr))
		return;
	mouth->fd = mouth_open(hb->agent->config->fabric->interface, addr);
	if (mouth->fd >= 0)
		mouth->failed = false;
	else if (!mouth->failed) {
		mouth->failed = true;
		log_warn("heartbeats can't be sent from %s: %s", addr_format(addr, text),
			 strerror(-mouth->fd));
		mouth->fd = -1;
	}
}

/* What can't be sent is as good as lost: the peer will owe the answer. */
static void peer_ask(const struct mouth *mouth, const struct ff_addr *addr, uint64_t now_ns)
{
	struct beat beat = {
		.geneve = { .ver_optlen = sizeof(beat.option) / 4,
			    .protocol = htons(FF_ETH_P_FENCE) },
		.option = { .class = htons(FF_GENEVE_CLASS),
			    .type = FF_GENEVE_TYPE,
			    .length = 3,
			    .hops = 1,
			    .kind = FF_KIND_HEARTBEAT },
		.heartbeat = { .sent_ns = htobe64(now_ns) },
	};
	struct sockaddr_storage name;
	socklen_t len = address_of(addr, FF_GENEVE_PORT, &name);

	if (mouth->fd >= 0)
		sendto(mouth->fd, &beat, sizeof(beat), 0, (struct sockaddr *)&name, len);
}

/* ---- judging --------------------------------------------------------------------------------- */

/* A question is asked just before the next look: it mustn't count as owed for a whole period more. */
static uint64_t silent_after_ns(uint32_t failure_ms)
{
	return (failure_ms > HEARTBEAT_MS ? failure_ms - HEARTBEAT_MS : 1) * NSEC_PER_MSEC;
}

static void peer_tick(struct heartbeat *hb, uint32_t host, const struct ff_addr *addr,
		      uint32_t failure_ms)
{
	struct ff_heard *heard = &hb->agent->dp->heard[host];
	struct silence *peer = &hb->peers[host];
	uint64_t now_ns = clock_ns(), heard_ns = __atomic_load_n(&heard->sent_ns, __ATOMIC_ACQUIRE);
	bool changed;

	pthread_mutex_lock(&hb->lock);
	if (!hb->asked[host])
		*peer = (struct silence){};
	hb->asked[host] = true;
	changed = silence_judge(peer, now_ns, heard_ns, silent_after_ns(failure_ms));
	silence_ask(peer, now_ns, datapath_sent(hb->agent->dp, host));
	pthread_mutex_unlock(&hb->lock);
	if (changed)
		hb->tell(hb->agent, host, peer->silent,
			 (now_ns -
			  (__atomic_load_n(&heard->at_ns, __ATOMIC_RELAXED) ?: peer->owed_ns)) /
				 NSEC_PER_MSEC);
	peer_ask(&hb->mouths[!addr_is_ipv4(addr)], addr, now_ns);
}

static void peer_forget(struct heartbeat *hb, uint32_t host)
{
	if (!hb->asked[host])
		return;
	pthread_mutex_lock(&hb->lock);
	hb->asked[host] = false;
	memset(&hb->agent->dp->heard[host], 0, sizeof(struct ff_heard));
	pthread_mutex_unlock(&hb->lock);
}

/* By which address each peer is asked, the data path's one; zero: it isn't. */
static void addresses_copy(struct agent *agent, struct ff_addr ret_self[2],
			   struct ff_addr ret[FF_HOSTS_MAX])
{
	uint32_t own = agent->dp->host->host;

	pthread_rwlock_rdlock(&agent->instances_lock);
	ret_self[0] = agent->hosts[own].ipv4;
	ret_self[1] = agent->hosts[own].ipv6;
	for (uint32_t host = 0; host < FF_HOSTS_MAX; host++) {
		const struct desired_host *h = &agent->hosts[host];

		ret[host] = (struct ff_addr){};
		if (h->known && host != own)
			ret[host] = addr_is_zero(&h->ipv4) ? h->ipv6 : h->ipv4;
	}
	pthread_rwlock_unlock(&agent->instances_lock);
}

static void tick(struct heartbeat *hb)
{
	struct ff_addr self[2], peers[FF_HOSTS_MAX];
	uint32_t failure_ms;

	pthread_mutex_lock(&hb->lock);
	failure_ms = hb->failure_ms;
	pthread_mutex_unlock(&hb->lock);
	addresses_copy(hb->agent, self, peers);
	for (int i = 0; i < 2; i++)
		mouth_refresh(hb, &hb->mouths[i], &self[i]);
	for (uint32_t host = 1; host < FF_HOSTS_MAX; host++) {
		if (failure_ms && !addr_is_zero(&peers[host]))
			peer_tick(hb, host, &peers[host], failure_ms);
		else
			peer_forget(hb, host);
	}
}

static void *heartbeat_main(void *arg)
{
	struct heartbeat *hb = arg;

	cpus_pace(PACE_URGENT);
	for (;;) {
		struct pollfd fds[] = { { .fd = hb->stop_fd, .events = POLLIN },
					{ .fd = hb->timer_fd, .events = POLLIN } };
		uint64_t expired;

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			continue;
		if (fds[0].revents)
			return NULL;
		if (read(hb->timer_fd, &expired, sizeof(expired)) > 0)
			tick(hb);
	}
}

/* ---- from outside ---------------------------------------------------------------------------- */

int heartbeat_new(struct agent *agent, struct heartbeat **ret, struct ff_error *err)
{
	struct heartbeat *hb = calloc(1, sizeof(*hb));

	if (!hb)
		return error_nomem(err);
	hb->agent = agent;
	hb->mouths[0].fd = hb->mouths[1].fd = -1;
	pthread_mutex_init(&hb->lock, NULL);
	hb->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	hb->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (hb->timer_fd < 0 || hb->stop_fd < 0) {
		heartbeat_free(hb);
		return error_set(err, errno, FF_CODE_INTERNAL, NULL,
				 "can't make the heartbeat's timer: %s", strerror(errno));
	}
	*ret = hb;
	return 0;
}

int heartbeat_start(struct heartbeat *hb, heartbeat_tell_fn tell, struct ff_error *err)
{
	int r;

	hb->tell = tell;
	r = pthread_create(&hb->thread, NULL, heartbeat_main, hb);

	if (r)
		return error_set(err, r, FF_CODE_INTERNAL, "raise the limit of threads",
				 "can't start the heartbeat: %s", strerror(r));
	hb->running = true;
	return 0;
}

void heartbeat_stop(struct heartbeat *hb)
{
	if (!hb || !hb->running)
		return;
	eventfd_write(hb->stop_fd, 1);
	pthread_join(hb->thread, NULL);
	hb->running = false;
}

void heartbeat_free(struct heartbeat *hb)
{
	if (!hb)
		return;
	for (int i = 0; i < 2; i++)
		mouth_close(&hb->mouths[i]);
	if (hb->timer_fd >= 0)
		close(hb->timer_fd);
	if (hb->stop_fd >= 0)
		close(hb->stop_fd);
	pthread_mutex_destroy(&hb->lock);
	free(hb);
}

void heartbeat_configure(struct heartbeat *hb, uint32_t failure_ms)
{
	struct timespec period = { .tv_nsec = (long)(HEARTBEAT_MS * NSEC_PER_MSEC) };
	struct itimerspec timer = {};
	bool was;

	if (!hb)
		return;
	pthread_mutex_lock(&hb->lock);
	was = hb->failure_ms;
	hb->failure_ms = failure_ms;
	if (!failure_ms)
		memset(hb->asked, 0, sizeof(hb->asked));
	if (was != (failure_ms != 0)) {
		if (failure_ms)
			timer = (struct itimerspec){ period, period };
		timerfd_settime(hb->timer_fd, 0, &timer, NULL);
	}
	pthread_mutex_unlock(&hb->lock);
}

/* Since its last answer; but while nobody asked it wasn't silent. */
static json_t *heard_json(const struct heartbeat *hb, uint32_t host, uint64_t now_ns)
{
	const struct ff_heard *heard = &hb->agent->dp->heard[host];
	uint64_t sent_ns = __atomic_load_n(&heard->sent_ns, __ATOMIC_ACQUIRE);
	uint64_t at_ns = __atomic_load_n(&heard->at_ns, __ATOMIC_RELAXED);
	uint64_t owed_ns = silence_owed(&hb->peers[host], now_ns, sent_ns);
	uint64_t age_ns = now_ns - MIN(at_ns, now_ns);

	return at_ns ? json_integer(
			       (json_int_t)(MIN(age_ns, owed_ns + HEARTBEAT_MS * NSEC_PER_MSEC) /
					    NSEC_PER_MSEC)) :
		       json_null();
}

static json_t *peer_json(const struct heartbeat *hb, uint32_t host, uint64_t now_ns)
{
	uint64_t sent = datapath_sent(hb->agent->dp, host);

	return json_pack("{si so sI sI}", "host", (int)host, "heard_ms",
			 heard_json(hb, host, now_ns), "tx_packets", (json_int_t)sent, "tx_unheard",
			 (json_int_t)silence_unheard(&hb->peers[host], sent));
}

int heartbeat_json(struct heartbeat *hb, uint64_t now_ns, json_t **ret)
{
	_cleanup_json_ json_t *list = NULL;
	int r = 0;

	pthread_mutex_lock(&hb->lock);
	if (hb->failure_ms)
		list = json_array();
	for (uint32_t host = 1; list && host < FF_HOSTS_MAX && !r; host++)
		if (hb->asked[host])
			r = json_array_append_new(list, peer_json(hb, host, now_ns));
	if (hb->failure_ms && !list)
		r = -ENOMEM;
	pthread_mutex_unlock(&hb->lock);
	if (!r)
		*ret = TAKE_PTR(list);
	return r ? -ENOMEM : 0;
}
