/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* meddler.c - see meddler.h. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <criterion/criterion.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include "bpf/traffic_abi.h"
#include "bpf/traffic.skel.h"
#include "lib/clock.h"
#include "lib/netlink.h"
#include "lib/netns.h"
#include "tests/prog/meddler.h"

#define BUFFER_SIZE (64 << 20) /* frames that may wait while the machine does something else */
#define WAIT_MS	    20
#define AWAIT_S	    60
#define HURT_AT	    90 /* a byte of the filling, behind all headers of either family */

static const char *const names[] = { "c", "s" }, *const inner[] = { "c0", "s0" },
			 *const outer[] = { "m0", "m1" };
static const uint8_t macs[2][6] = { { 2, 0, 0, 0, 0, 1 }, { 2, 0, 0, 0, 0, 2 } };
static int netns[2];

static pthread_t thread;
static atomic_bool stop;
static int sockets[2]; /* on m0 and m1 */
static struct meddler_plan plan;
static struct meddler_counts counts; /* the thread's; the test's when that has ended */

/* What the thread has told of itself under way. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t seen;
} told = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* A frame that is held back. */
static struct {
	uint8_t data[ETH_FRAME_LEN];
	size_t len; /* 0: none */
	uint32_t passed;
	bool overtaken; /* by one of its own flow: only that makes it late */
} held;

/* ---- the wire ------------------------------------------------------------------------------- */

/* Else checksums of what local stacks send are left to a card that isn't there. */
static int offload_off(void *arg)
{
	struct ethtool_value off = { .cmd = ETHTOOL_STXCSUM };
	struct ifreq request = { .ifr_data = (void *)&off };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;

	strcpy(request.ifr_name, arg);
	r = ioctl(fd, SIOCETHTOOL, &request);
	close(fd);
	return r;
}

static int no_dad(void *arg)
{
	FILE *file = fopen("/proc/sys/net/ipv6/conf/default/accept_dad", "w");

	(void)arg;
	if (!file || fputs("0", file) < 0)
		return -1;
	return fclose(file);
}

static void end_make(int i, int here)
{
	struct netlink_veth_end ends[2] = { { .name = inner[i] },
					    { .name = outer[i], .netns_fd = here } };
	_cleanup_netlink_ struct nl_sock *nl = NULL, *nl_here = NULL;
	char v4[] = "198.18.1.1/24", v6[] = "2001:db8:1::1/64";

	cr_assert_eq(netns_create(names[i]), 0);
	netns[i] = ends[0].netns_fd = netns_open(names[i]);
	memcpy(ends[0].mac, macs[i], sizeof(macs[i]));
	memcpy(ends[1].mac, macs[i], sizeof(macs[i]));
	ends[1].mac[4] = 9;
	v4[9] = v6[12] = (char)('1' + i);
	cr_assert_eq(netlink_open_in(netns[i], &nl), 0);
	cr_assert_eq(netlink_open(&nl_here), 0);
	cr_assert_eq(netns_call(netns[i], no_dad, NULL), 0);
	cr_assert_eq(netlink_veth_add(nl, ends, 1500), 0);
	cr_assert_eq(netns_call(netns[i], offload_off, (void *)(uintptr_t)inner[i]), 0);
	cr_assert_eq(netlink_link_up(nl, "lo"), 0);
	cr_assert_eq(netlink_link_up(nl, inner[i]), 0);
	cr_assert_eq(netlink_link_up(nl_here, outer[i]), 0);
	cr_assert_eq(netlink_address_add(nl, inner[i], v4), 0);
	cr_assert_eq(netlink_address_add(nl, inner[i], v6), 0);
}

static int socket_make(const char *link)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET,
				    .sll_protocol = htons(ETH_P_ALL),
				    .sll_ifindex = (int)if_nametoindex(link) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), size = BUFFER_SIZE, one = 1;

	cr_assert_geq(fd, 0);
	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)), 0);
	cr_assert_eq(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)), 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

void meddler_init(void)
{
	struct traffic_bpf *bpf;
	int here;

	cr_assert_eq(unshare(CLONE_NEWNET | CLONE_NEWNS), 0, "needs root: %m");
	cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	cr_assert_eq(mount("none", "/run", "tmpfs", 0, NULL), 0);
	here = netns_open_current();
	cr_assert_eq(no_dad(NULL), 0);
	for (int i = 0; i < 2; i++)
		end_make(i, here);
	close(here);
	/* frames redirected into a veth arrive only if its peer has a program */
	bpf = traffic_bpf__open_and_load();
	cr_assert_not_null(bpf);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(bpf_xdp_attach((int)if_nametoindex(outer[i]),
					    bpf_program__fd(bpf->progs.traffic_pass),
					    XDP_FLAGS_DRV_MODE, NULL),
			     0);
		sockets[i] = socket_make(outer[i]);
	}
	traffic_bpf__destroy(bpf);
}

static int program_query(void *arg)
{
	return bpf_xdp_query_id((int)if_nametoindex(inner[1]), XDP_FLAGS_DRV_MODE, arg);
}

uint32_t meddler_server_program(void)
{
	uint32_t id = 0;

	cr_assert_eq(netns_call(netns[1], program_query, &id), 0);
	return id;
}

int meddler_server_netns(void)
{
	return netns[1];
}

/* ---- meddling ------------------------------------------------------------------------------- */

static void frame_send(int i, const uint8_t *frame, size_t len)
{
	while (send(sockets[i], frame, len, 0) < 0)
		cr_assert(errno == ENOBUFS || errno == EINTR, "%m");
}

static bool every(uint32_t n)
{
	return n && counts.seen % n == 0;
}

static bool is_udp(const uint8_t *frame, size_t len)
{
	uint16_t type = (uint16_t)(frame[12] << 8 | frame[13]);

	if (len < HURT_AT + 1)
		return false;
	return (type == ETH_P_IP && frame[23] == IPPROTO_UDP) ||
	       (type == ETH_P_IPV6 && frame[20] == IPPROTO_UDP);
}

/* Both are UDP: addresses and ports stand side by side. */
static bool same_flow(const uint8_t *a, const uint8_t *b)
{
	bool ipv4 = a[12] == ETH_P_IP >> 8 && a[13] == 0;
	size_t from = ipv4 ? 26 : 22, to = ipv4 ? 38 : 58;

	return !memcmp(a + 12, b + 12, 2) && !memcmp(a + from, b + from, to - from);
}

static void held_send(void)
{
	frame_send(1, held.data, held.len);
	held.len = 0;
	counts.delayed += held.overtaken;
}

static void frame_meddle(uint8_t *frame, size_t len)
{
	counts.seen++;
	if (every(plan.drop)) {
		counts.dropped++;
		return;
	}
	if (every(plan.delay) && !held.len) {
		memcpy(held.data, frame, len);
		held.len = len;
		held.passed = 0;
		held.overtaken = false;
		return;
	}
	if (every(plan.corrupt)) {
		frame[HURT_AT] ^= 0x10;
		counts.corrupted++;
	}
	frame_send(1, frame, len);
	if (every(plan.duplicate)) {
		frame_send(1, frame, len);
		counts.duplicated++;
		counts.corrupted += every(plan.corrupt); /* twice */
	}
	if (!held.len)
		return;
	held.overtaken |= same_flow(held.data, frame);
	if (++held.passed == plan.delay_by)
		held_send();
}

static void socket_drain(int i)
{
	uint8_t frame[ETH_FRAME_LEN];
	ssize_t len;

	while ((len = recv(sockets[i], frame, sizeof(frame), MSG_DONTWAIT)) > 0) {
		if (i == 0 && is_udp(frame, (size_t)len))
			frame_meddle(frame, (size_t)len);
		else
			frame_send(!i, frame, (size_t)len);
	}
}

static void tell(void)
{
	pthread_mutex_lock(&told.lock);
	told.seen = counts.seen;
	pthread_cond_broadcast(&told.changed);
	pthread_mutex_unlock(&told.lock);
}

static void *meddler_main(void *arg)
{
	struct pollfd polls[2] = { { sockets[0], POLLIN, 0 }, { sockets[1], POLLIN, 0 } };

	cpu_set_t cpu; /* one: the wire has a queue for each, and no order among them */

	(void)arg;
	CPU_ZERO(&cpu);
	CPU_SET(0, &cpu);
	sched_setaffinity(0, sizeof(cpu), &cpu);
	while (!atomic_load(&stop)) {
		int n = poll(polls, 2, WAIT_MS);

		for (int i = 0; i < 2; i++)
			socket_drain(i);
		tell();
		if (n == 0 && held.len) /* nothing comes that it could wait for */
			held_send();
	}
	return NULL;
}

void meddler_start(const struct meddler_plan *what)
{
	plan = *what;
	memset(&counts, 0, sizeof(counts));
	atomic_store(&stop, false);
	told.seen = 0;
	clock_cond_init(&told.changed);
	cr_assert_eq(pthread_create(&thread, NULL, meddler_main, NULL), 0);
}

void meddler_await(uint64_t seen)
{
	uint64_t until = clock_ns() + AWAIT_S * NSEC_PER_SEC;

	pthread_mutex_lock(&told.lock);
	while (told.seen < seen)
		cr_assert(clock_cond_wait(&told.changed, &told.lock, until),
			  "the meddler saw %lu of %lu packets", told.seen, seen);
	pthread_mutex_unlock(&told.lock);
}

struct meddler_counts meddler_stop(void)
{
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	for (int i = 0; i < 2; i++) {
		struct tpacket_stats stats;
		socklen_t len = sizeof(stats);

		cr_assert_eq(getsockopt(sockets[i], SOL_PACKET, PACKET_STATISTICS, &stats, &len),
			     0);
		cr_assert_eq(stats.tp_drops, 0, "the meddler itself lost %u frames",
			     stats.tp_drops);
	}
	return counts;
}
