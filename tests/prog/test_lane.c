/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_lane.c - the agent's release of a parking ring (agent/lane_live.c): live frames
 * that really leave, while packets are still coming. What leaves to the server is
 * captured at the far end of its link.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/lane.h"
#include "bpf/datapath.skel.h"
#include "tests/prog/harness.h"
#include "tests/prog/harness_internal.h"

#define FAR	     "s0-far"
#define CAPTURE_SIZE (128 << 20)
#define WAIT_MS	     20000
#define LIMIT	     8192
#define UDP_HEADER   42
#define TOKEN	     0x1234

static struct datapath dp;
static struct cpus *cpus;
static struct lane lane;
static int capture;

/* ---- the host -------------------------------------------------------------------------------- */

static void *map_memory(const char *name, size_t size)
{
	void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, rig_map(name), 0);

	cr_assert_neq(mem, MAP_FAILED, "map %s: %s", name, strerror(errno));
	return mem;
}

/* The rig's data path, as lane.c sees it. */
static void datapath_init(void)
{
	dp = (struct datapath){
		.cpus = 2,
		.host = map_memory("host_info", sizeof(*dp.host)),
		.lanes = map_memory("lanes", FF_LANES_MAX * sizeof(*dp.lanes)),
		.fences = map_memory("fences", FF_LANES_MAX * sizeof(*dp.fences)),
		.jobs = map_memory("jobs", FF_CPUS_MAX * sizeof(*dp.jobs)),
		.park_rings_fd = rig_map("park_rings"),
		.log_rings_fd = rig_map("log_rings"),
		.fabric_fd = bpf_program__fd(rig->datapath->progs.fabric),
		.fabric_ifindex = rig->ifindex[RIG_FABRIC],
	};
}

/* A veth takes redirected frames where its peer has a program; and what comes there ends there. */
static void far_init(void)
{
	static const struct bpf_insn pass[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	struct sockaddr_ll address = { .sll_family = AF_PACKET,
				       .sll_protocol = htons(ETH_P_IP),
				       .sll_ifindex = (int)if_nametoindex(FAR) };
	int size = CAPTURE_SIZE, fd = open("/proc/sys/net/ipv4/conf/" FAR "/forwarding", O_WRONLY);
	int prog = bpf_prog_load(BPF_PROG_TYPE_XDP, "pass", "GPL", pass, COUNT(pass), NULL);

	cr_assert(fd >= 0 && write(fd, "0", 1) == 1, "%s", strerror(errno));
	close(fd);
	cr_assert_geq(prog, 0, "%s", strerror(errno));
	cr_assert_eq(bpf_xdp_attach(address.sll_ifindex, prog, XDP_FLAGS_DRV_MODE, NULL), 0);
	capture = socket(AF_PACKET, SOCK_RAW, 0);
	cr_assert_geq(capture, 0);
	cr_assert_eq(setsockopt(capture, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)), 0);
	cr_assert_eq(bind(capture, (struct sockaddr *)&address, sizeof(address)), 0, "%s",
		     strerror(errno));
}

static void lane_init(void)
{
	const struct lane_spec spec = { .op = "test",
					.token = TOKEN,
					.service = RIG_SERVICE,
					.from = RIG_THERE,
					.to = RIG_HERE,
					.park = true,
					.park_limit = LIMIT };
	struct ff_steer parked = { .owner = RIG_HERE, .here = RIG_HERE, .flags = FF_STEER_PARK };
	struct ff_error err = {};

	rig_init("firewall", RIG_ALL);
	datapath_init();
	far_init();
	cr_assert_eq(cpus_new(dp.cpus, &cpus, &err), 0, "%s", err.message);
	cr_assert_eq(lane_open(&dp, cpus, &spec, &lane, &err), 0, "%s", err.message);
	parked.lane = (uint8_t)lane.number;
	rig_owner_set_all(&parked);
}

TestSuite(lane, .init = lane_init, .timeout = 120);

static void release(void)
{
	struct ff_error err = {};
	uint64_t parked = 0;

	cr_assert_eq(lane_release(&lane, RIG_HERE, 0, &parked, &err), 0, "%s", err.message);
	cr_expect_eq(parked, lane.map->parked);
	cr_expect_eq(lane.map->released, parked);
	cr_expect_eq(lane.map->park_tail & FF_PARK_OPEN, FF_PARK_OPEN);
}

/* ---- packets --------------------------------------------------------------------------------- */

/* The number-th packet of a flow, told by its source port. */
static void frame_make(struct frame *ret, uint16_t flow, uint32_t number, size_t payload)
{
	packet_build(PACKET(C4, .proto = IPPROTO_UDP, .sport = flow, .dport = 53,
			    .payload_len = payload),
		     ret);
	memcpy(ret->data + UDP_HEADER, &number, sizeof(number));
}

/* The next frame that has left; 0: there is none. */
static size_t capture_next(uint8_t *data, size_t size)
{
	struct pollfd wait = { .fd = capture, .events = POLLIN };

	if (poll(&wait, 1, WAIT_MS) != 1)
		return 0;
	return (size_t)recv(capture, data, size, 0);
}

static uint16_t flow_of(const uint8_t *data)
{
	return (uint16_t)(data[34] << 8 | data[35]);
}

static uint32_t number_of(const uint8_t *data)
{
	uint32_t number;

	memcpy(&number, data + UDP_HEADER, sizeof(number));
	return number;
}

/* More than one batch of live frames, of all sizes that the link takes. */
Test(lane, everything_leaves_in_order)
{
	static const size_t payloads[] = { 18, 1472, 446, 447, 1000 };
	struct outcome outcome;
	uint8_t data[2048];
	struct frame frame;

	for (uint32_t i = 0; i < 300; i++) {
		frame_make(&frame, 5000, i, payloads[i % COUNT(payloads)]);
		rig_run_frame(RIG_CLIENT, frame.data, frame.len, &outcome);
		cr_assert_eq(outcome.reasons, REASON(PARKED));
	}
	release();
	for (uint32_t i = 0; i < 300; i++) {
		size_t len = capture_next(data, sizeof(data));

		frame_make(&frame, 5000, i, payloads[i % COUNT(payloads)]);
		cr_assert_eq(len, frame.len, "%u: %zu bytes", i, len);
		cr_assert_arr_eq(data + 26, frame.data + 26, len - 26, "%u", i);
	}
	rig_run_frame(RIG_CLIENT, frame.data, frame.len, &outcome);
	cr_expect(outcome.verdict == XDP_REDIRECT && !outcome.reasons, "the ring isn't open");
	lane_close(&lane);
	cpus_free(cpus);
}

/* ---- while packets come ---------------------------------------------------------------------- */

#define PRODUCERS	 2
#define PRODUCER_PACKETS 5000 /* of each: a socket's buffer holds them all */

struct producer {
	int cpu;
	uint32_t parked; /* its first ones; what came after the first that went on, did so, too */
	bool wrong;
	atomic_uint sent;
	pthread_t thread;
};

static int producer_send(struct frame *frame)
{
	struct xdp_md ctx = { .data_end = (uint32_t)frame->len,
			      .ingress_ifindex = rig->ifindex[RIG_CLIENT] };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame->data,
		    .data_size_in = (uint32_t)frame->len, .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .repeat = 1);

	return bpf_prog_test_run_opts(bpf_program__fd(rig->datapath->progs.steer), &opts) ?
		       -1 :
		       (int)opts.retval;
}

/* The capture's own loss: then nothing can be told. */
static unsigned int capture_drops(void)
{
	struct tpacket_stats stats = { 0 };
	socklen_t len = sizeof(stats);

	getsockopt(capture, SOL_PACKET, PACKET_STATISTICS, &stats, &len);
	return stats.tp_drops;
}

static void *producer_main(void *arg)
{
	struct producer *p = arg;
	struct frame frame;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(p->cpu, &set);
	p->wrong = sched_setaffinity(0, sizeof(set), &set) != 0;
	for (uint32_t i = 0; i < PRODUCER_PACKETS; i++) {
		int verdict;

		frame_make(&frame, (uint16_t)(5000 + p->cpu), i, 18);
		verdict = producer_send(&frame);
		if (verdict == XDP_DROP && p->parked == i)
			p->parked++;
		else if (verdict != XDP_REDIRECT)
			p->wrong = true;
		atomic_store(&p->sent, i + 1);
	}
	return NULL;
}

/*
 * Two CPUs park while the agent releases and at last opens: of each, all that was parked leaves
 * once and in order, and nothing is parked after it.
 */
Test(lane, opens_while_packets_come)
{
	struct producer producers[PRODUCERS] = { { .cpu = 0 }, { .cpu = 1 } };
	uint32_t seen[PRODUCERS] = { 0 };
	uint8_t data[2048];

	for (int i = 0; i < PRODUCERS; i++)
		cr_assert_eq(pthread_create(&producers[i].thread, NULL, producer_main,
					    &producers[i]),
			     0);
	for (int i = 0; i < PRODUCERS; i++)
		while (atomic_load(&producers[i].sent) < PRODUCER_PACKETS / 10)
			sched_yield();
	release();
	for (int i = 0; i < PRODUCERS; i++)
		pthread_join(producers[i].thread, NULL);
	for (uint64_t n = 0; n < lane.map->parked; n++) {
		uint16_t flow;

		cr_assert_gt(capture_next(data, sizeof(data)), UDP_HEADER, "%zu of %zu have left",
			     (size_t)n, (size_t)lane.map->parked);
		flow = (uint16_t)(flow_of(data) - 5000);
		cr_assert_lt(flow, PRODUCERS);
		cr_assert_eq(number_of(data), seen[flow], "flow %u: %u after %u of %u (%u dropped)",
			     flow, number_of(data), seen[flow], producers[flow].parked,
			     capture_drops());
		seen[flow]++;
	}
	for (int i = 0; i < PRODUCERS; i++) {
		cr_expect(!producers[i].wrong, "CPU %d: parked after the ring was open", i);
		cr_expect_eq(producers[i].parked, seen[i]);
		cr_expect_gt(seen[i], 0);
	}
	cr_expect_eq(lane.map->dropped, 0);
}
