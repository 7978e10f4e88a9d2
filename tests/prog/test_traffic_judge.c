/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_traffic_judge.c - crafted packets through the judge's program: what it takes, what it
 * counts, what it leaves to the kernel. The packets come from the tests' own builder, not from the
 * generator, so that the two can't agree on a mistake.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <criterion/criterion.h>
#include <linux/bpf.h>
#include <sched.h>

#include "bpf/traffic_abi.h"
#include "bpf/traffic.skel.h"
#include "lib/cleanup.h"
#include "lib/netlink.h"
#include "lib/netns.h"
#include "tests/prog/packet.h"
#include "tools/traffic.h"

#define FLOWS	    8
#define RUN	    0x1234
#define CLIENT4	    "198.18.1.2"
#define SERVER4	    "198.18.2.2"
#define CLIENT6	    "2001:db8:1::2"
#define SERVER6	    "2001:db8:2::2"
#define CLIENT_PORT 10000
#define SERVER_PORT 20000
#define PAYLOAD	    69 /* an odd length: the last word of the filling is cut */

static struct traffic_bpf *bpf;
static uint32_t ifindex;

static void veth_make(void)
{
	_cleanup_netlink_ struct nl_sock *nl = NULL;
	struct netlink_veth_end ends[2] = { { .name = "t0" }, { .name = "t1" } };
	_cleanup_close_ int here = -1;

	cr_assert_eq(unshare(CLONE_NEWNET), 0, "needs root: %m");
	here = netns_open_current();
	ends[0].netns_fd = ends[1].netns_fd = here;
	memcpy(ends[0].mac, PACKET_MAC_DST, NETLINK_MAC_LEN);
	memcpy(ends[1].mac, PACKET_MAC_SRC, NETLINK_MAC_LEN);
	cr_assert_eq(netlink_open(&nl), 0);
	cr_assert_eq(netlink_veth_add(nl, ends, 1500), 0);
	cr_assert_eq(netlink_link_index(nl, "t0", &ifindex), 0);
}

/* The server's end: it judges what clients send. */
static void judge_load(uint8_t families, uint32_t run)
{
	struct traffic_config config = {
		.run = run,
		.flows = FLOWS,
		.client_ports = 4, /* so that flows 4 to 7 have the next server port */
		.client_port = CLIENT_PORT,
		.server_port = SERVER_PORT,
		.size = 128,
		.direction = TRAFFIC_REVERSE,
		.families = families,
		.links = 1,
		.link[0] = { .ifindex = ifindex },
	};

	memcpy(config.link[0].src, PACKET_MAC_DST, sizeof(config.link[0].src));
	inet_pton(AF_INET, CLIENT4, config.addr4[0]);
	inet_pton(AF_INET, SERVER4, config.addr4[1]);
	inet_pton(AF_INET6, CLIENT6, config.addr6[0]);
	inet_pton(AF_INET6, SERVER6, config.addr6[1]);
	bpf = traffic_bpf__open();
	cr_assert_not_null(bpf);
	memcpy((void *)(uintptr_t)&bpf->rodata->config, &config, sizeof(config));
	bpf->bss->run_id = run;
	bpf_map__set_max_entries(bpf->maps.flows, FLOWS);
	cr_assert_eq(traffic_bpf__load(bpf), 0);
}

static void judge_init(void)
{
	veth_make();
	judge_load(TRAFFIC_IPV4, RUN);
}

static void judge_done(void)
{
	traffic_bpf__destroy(bpf);
}

TestSuite(traffic_judge, .init = judge_init, .fini = judge_done, .timeout = 60);

/* A genuine packet of a flow. */
static void packet_make(const struct traffic_stamp *stamp, bool ipv6, struct packet *ret,
			uint8_t payload[PAYLOAD])
{
	traffic_payload_make(payload, PAYLOAD, stamp);
	*ret = (struct packet){
		.src = ipv6 ? CLIENT6 : CLIENT4,
		.dst = ipv6 ? SERVER6 : SERVER4,
		.proto = IPPROTO_UDP,
		.sport = (uint16_t)(CLIENT_PORT + stamp->flow % 4),
		.dport = (uint16_t)(SERVER_PORT + stamp->flow / 4),
		.payload = { payload, PAYLOAD },
	};
}

static uint32_t frame_judge(struct frame *frame)
{
	struct xdp_md md = { .data_end = (uint32_t)frame->len, .ingress_ifindex = ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame->data,
		    .data_size_in = (uint32_t)frame->len, .ctx_in = &md, .ctx_size_in = sizeof(md));

	cr_assert_eq(bpf_prog_test_run_opts(bpf_program__fd(bpf->progs.traffic_end), &opts), 0);
	return opts.retval;
}

static uint32_t packet_judge(const struct packet *packet)
{
	static struct frame frame;

	packet_build(packet, &frame);
	return frame_judge(&frame);
}

static uint32_t stamp_judge(uint32_t flow, uint64_t seq)
{
	struct traffic_stamp stamp = { .run = RUN, .flow = flow, .seq = seq, .sent_ns = 1 };
	uint8_t payload[PAYLOAD];
	struct packet packet;

	packet_make(&stamp, false, &packet, payload);
	return packet_judge(&packet);
}

static struct traffic_flow flow_get(uint32_t index)
{
	struct traffic_flow flow;

	cr_assert_eq(bpf_map_lookup_elem(bpf_map__fd(bpf->maps.flows), &index, &flow), 0);
	return flow;
}

static struct traffic_tally tally_get(void)
{
	struct traffic_end end = { .bpf = bpf };
	struct traffic_tally tally;

	cr_assert_eq(traffic_end_tally(&end, &tally), 0);
	return tally;
}

static void seqs_judge(uint32_t flow, const uint64_t *seqs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		cr_expect_eq(stamp_judge(flow, seqs[i]), XDP_DROP);
}
#define SEQS(flow, ...)                                                                            \
	seqs_judge(flow, (const uint64_t[]){ __VA_ARGS__ },                                        \
		   ARRAY_SIZE(((const uint64_t[]){ __VA_ARGS__ })))

/* ---- order and number ----------------------------------------------------------------------- */

Test(traffic_judge, clean)
{
	struct traffic_tally tally;

	for (uint64_t seq = 0; seq < 600; seq++)
		for (uint32_t flow = 0; flow < FLOWS; flow++)
			cr_assert_eq(stamp_judge(flow, seq), XDP_DROP);
	tally = tally_get();
	cr_expect_eq(tally.packets, 600 * FLOWS);
	cr_expect_eq(tally.bytes, 600ull * FLOWS * (28 + PAYLOAD));
	cr_expect_eq(tally.corrupted + tally.foreign + tally.out_of_range, 0);
	for (uint32_t i = 0; i < FLOWS; i++) {
		struct traffic_flow flow = flow_get(i);

		cr_expect_eq(flow.received, 600);
		cr_expect_eq(flow.next, 600);
		cr_expect_eq(flow.missing + flow.duplicates + flow.reordered + flow.corrupted, 0);
		cr_expect_gt(flow.latency_max_ns, 0);
	}
}

Test(traffic_judge, lost_twice_and_late_each_in_its_own_flow)
{
	struct traffic_flow flow;

	SEQS(0, 0, 1, 3);
	SEQS(1, 0, 1, 1, 2);
	SEQS(2, 0, 2, 1, 3);
	flow = flow_get(0);
	cr_expect_eq(flow.missing, 1);
	cr_expect_eq(flow.duplicates + flow.reordered, 0);
	flow = flow_get(1);
	cr_expect_eq(flow.duplicates, 1);
	cr_expect_eq(flow.missing + flow.reordered, 0);
	flow = flow_get(2);
	cr_expect_eq(flow.reordered, 1);
	cr_expect_eq(flow.displacement_max, 1);
	cr_expect_eq(flow.missing + flow.duplicates, 0);
}

Test(traffic_judge, far_out_of_order)
{
	struct traffic_flow flow;

	for (uint64_t seq = 0; seq < 1000; seq++)
		if (seq != 10 && seq != 900)
			stamp_judge(3, seq);
	SEQS(3, 900, 10, 11);
	flow = flow_get(3);
	cr_expect_eq(flow.reordered, 2);
	cr_expect_eq(flow.displacement_max, 989);
	cr_expect_eq(flow.beyond, 1);
	cr_expect_eq(flow.duplicates, 1);
	cr_expect_eq(flow.missing, 0);
}

Test(traffic_judge, beyond_32_bits)
{
	const uint64_t big = 1ull << 32;
	struct traffic_flow flow = { .next = big - 1 };
	uint32_t index = 5;

	cr_assert_eq(bpf_map_update_elem(bpf_map__fd(bpf->maps.flows), &index, &flow, 0), 0);
	SEQS(5, big - 1, big, big + 2, big + 1, big, big + 4);
	flow = flow_get(5);
	cr_expect_eq(flow.next, big + 5);
	cr_expect_eq(flow.missing, 1);
	cr_expect_eq(flow.reordered, 1);
	cr_expect_eq(flow.duplicates, 1);
}

/* ---- damage --------------------------------------------------------------------------------- */

Test(traffic_judge, each_flipped_bit_is_seen)
{
	struct traffic_stamp stamp = { .run = RUN, .flow = 1, .sent_ns = 1 };
	static struct frame frame, hurt;
	uint8_t payload[PAYLOAD];
	struct packet packet;
	uint64_t taken = 0;

	packet_make(&stamp, false, &packet, payload);
	packet_build(&packet, &frame);
	for (size_t bit = 0; bit < 8 * frame.len; bit++) {
		struct traffic_tally before = tally_get(), after;

		if (bit >= 48 && bit < 96)
			continue; /* the sender's MAC is nobody's business */
		hurt = frame;
		hurt.data[bit / 8] ^= 1u << bit % 8;
		if (frame_judge(&hurt) == XDP_PASS)
			continue; /* not recognised at all: its flow will miss it */
		after = tally_get();
		cr_expect_eq(after.corrupted + after.foreign, before.corrupted + before.foreign + 1,
			     "bit %zu goes unseen", bit);
		taken++;
	}
	cr_expect_gt(taken, 8 * (PAYLOAD - 8), "only %lu were taken for the judge's", taken);
	cr_expect_eq(flow_get(1).received, flow_get(1).corrupted);
}

Test(traffic_judge, parts_of_two_packets_are_no_packet)
{
	struct traffic_stamp stamp = { .run = RUN, .flow = 1, .sent_ns = 1 };
	uint8_t payload[PAYLOAD], other[PAYLOAD];
	struct packet packet;

	packet_make(&stamp, false, &packet, payload);
	stamp.seq = 1;
	traffic_payload_make(other, PAYLOAD, &stamp);
	memcpy(payload + 48, other + 48, PAYLOAD - 48); /* the builder makes the checksum right */
	cr_expect_eq(packet_judge(&packet), XDP_DROP);
	cr_expect_eq(flow_get(1).corrupted, 1);
	cr_expect_eq(flow_get(1).received, 1);
}

Test(traffic_judge, wrong_addresses_and_ports)
{
	struct traffic_stamp stamp = { .run = RUN, .flow = 2, .sent_ns = 1 };
	struct packet good, packets[5];
	uint8_t payload[PAYLOAD];

	packet_make(&stamp, false, &good, payload);
	for (size_t i = 0; i < ARRAY_SIZE(packets); i++)
		packets[i] = good;
	packets[0].src = "198.18.1.3";
	packets[1].dst = "198.18.2.3";
	packets[2].sport++;
	packets[3].dport++;
	packets[4].bad_checksum = true;
	for (size_t i = 0; i < ARRAY_SIZE(packets); i++) {
		cr_expect_eq(packet_judge(&packets[i]), XDP_DROP);
		cr_expect_eq(flow_get(2).corrupted, i + 1, "case %zu", i);
	}
}

Test(traffic_judge, cut_short)
{
	struct traffic_stamp stamp = { .run = RUN, .flow = 0, .sent_ns = 1 };
	uint8_t payload[PAYLOAD];
	struct packet packet;

	packet_make(&stamp, false, &packet, payload);
	packet.payload.len -= 5; /* lengths and checksum fit what is left */
	cr_expect_eq(packet_judge(&packet), XDP_DROP);
	cr_expect_eq(tally_get().unreadable, 1);
	cr_expect_eq(flow_get(0).received, 0);
	packet.payload.len = 39;
	cr_expect_eq(packet_judge(&packet), XDP_PASS);
	packet_make(&stamp, false, &packet, payload);
	packet.padding = 7; /* behind the packet: none of its business */
	cr_expect_eq(packet_judge(&packet), XDP_DROP);
	cr_expect_eq(flow_get(0).received, 1);
	cr_expect_eq(flow_get(0).corrupted, 0);
}

/* ---- whose packets -------------------------------------------------------------------------- */

Test(traffic_judge, foreign_packets_change_no_flow)
{
	struct traffic_stamp stamps[] = {
		{ .run = RUN + 1, .flow = 0, .sent_ns = 1 },
		{ .run = RUN, .flow = 0, .direction = TRAFFIC_REVERSE, .sent_ns = 1 },
	};
	struct traffic_stamp out = { .run = RUN, .flow = FLOWS, .sent_ns = 1 };
	static const uint8_t elsewhere[6] = { 2, 9, 9, 9, 9, 9 };
	uint8_t payload[PAYLOAD];
	struct packet packet;

	for (size_t i = 0; i < ARRAY_SIZE(stamps); i++) {
		packet_make(&stamps[i], false, &packet, payload);
		cr_expect_eq(packet_judge(&packet), XDP_DROP);
		cr_expect_eq(tally_get().foreign, i + 1);
	}
	packet_make(&out, false, &packet, payload);
	cr_expect_eq(packet_judge(&packet), XDP_DROP);
	cr_expect_eq(tally_get().out_of_range, 1);

	stamps[0].run = RUN;
	packet_make(&stamps[0], false, &packet, payload);
	memcpy(packet.dst_mac, elsewhere, sizeof(elsewhere));
	cr_expect_eq(packet_judge(&packet), XDP_DROP);
	cr_expect_eq(tally_get().foreign, 3);
	cr_expect_eq(tally_get().packets, 0);
	for (uint32_t i = 0; i < FLOWS; i++)
		cr_expect_eq(flow_get(i).received, 0);
}

Test(traffic_judge, others_go_to_the_kernel)
{
	const struct packet *const others[] = {
		PACKET(.src = CLIENT4, .dst = SERVER4, .proto = IPPROTO_UDP, .sport = 10000,
		       .dport = 20000, .payload_len = PAYLOAD),
		PACKET(.src = CLIENT4, .dst = SERVER4, .proto = IPPROTO_TCP, .sport = 10000,
		       .dport = 20000, .payload_len = PAYLOAD),
		PACKET(.src = CLIENT6, .dst = SERVER6, .proto = IPPROTO_UDP, .sport = 10000,
		       .dport = 20000),
		PACKET(.src = CLIENT4, .dst = SERVER4, .proto = IPPROTO_UDP, .frag_off = 8,
		       .frag_id = 1, .payload_len = PAYLOAD),
		PACKET(.src = CLIENT4, .dst = SERVER4, .ethertype = 0x0806, .proto = IPPROTO_UDP),
	};
	static struct frame frame;

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		cr_expect_eq(packet_judge(others[i]), XDP_PASS, "case %zu", i);
	packet_build(others[0], &frame);
	for (; frame.len >= 14; frame.len--) /* cut off at each byte */
		cr_expect_eq(frame_judge(&frame), XDP_PASS);
}

/* The receiver on its own learns the run from the first packet. */
Test(traffic_judge, run_of_the_first_packet)
{
	struct traffic_stamp stamp = { .run = 77, .sent_ns = 1 };
	uint8_t payload[PAYLOAD];
	struct packet packet;

	judge_done();
	judge_load(TRAFFIC_IPV4, 0);
	packet_make(&stamp, false, &packet, payload);
	packet_judge(&packet);
	stamp.run = 78;
	packet_make(&stamp, false, &packet, payload);
	packet_judge(&packet);
	cr_expect_eq(bpf->bss->run_id, 77);
	cr_expect_eq(tally_get().packets, 1);
	cr_expect_eq(tally_get().foreign, 1);
}

Test(traffic_judge, ipv6)
{
	struct traffic_stamp stamp = { .run = RUN, .sent_ns = 1 };
	uint8_t payload[PAYLOAD];
	struct packet packet;

	judge_done();
	judge_load(TRAFFIC_IPV4 | TRAFFIC_IPV6, RUN);
	for (stamp.flow = 0; stamp.flow < FLOWS; stamp.flow++) {
		packet_make(&stamp, stamp.flow & 1, &packet, payload);
		cr_expect_eq(packet_judge(&packet), XDP_DROP);
		cr_expect_eq(flow_get(stamp.flow).received, 1);
		cr_expect_eq(flow_get(stamp.flow).corrupted, 0, "flow %u", stamp.flow);
	}
	stamp.flow = 1; /* over the other family: not this flow */
	packet_make(&stamp, false, &packet, payload);
	packet_judge(&packet);
	cr_expect_eq(flow_get(1).corrupted, 1);
	packet_make(&stamp, true, &packet, payload);
	packet.bad_checksum = true;
	packet_judge(&packet);
	cr_expect_eq(flow_get(1).corrupted, 2);
}
