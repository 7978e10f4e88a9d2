/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_tunnel.c - Geneve between hosts: what is sent, what is accepted, what is too big. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <endian.h>
#include <string.h>

#include "tests/prog/harness.h"

#define UDP_C .proto = IPPROTO_UDP, .sport = 5000, .dport = 53
#define TCP_C .proto = IPPROTO_TCP, .sport = 1234, .dport = 80
#define FLOW  "udp 198.18.1.2:5000 198.18.2.2:53"
#define FLOW6 "udp [2001:db8:1::2]:5000 [2001:db8:2::2]:53"

/* From host 2 to this one, or from another pair of addresses. */
#define TUNNEL_UDP .proto = IPPROTO_UDP, .sport = FF_PATH_PORT, .dport = FF_GENEVE_PORT
#define PEER	   .src = "198.18.8.2", .dst = "198.18.8.1", TUNNEL_UDP

static const struct packet question = { C4, UDP_C, .payload_len = 33 };
static const struct packet question6 = { C6, UDP_C, .payload_len = 33 };

static void tunnel_init(void)
{
	rig_init("firewall", RIG_ALL);
}

TestSuite(tunnel, .init = tunnel_init, .timeout = 120);

static uint16_t flow_slot(const char *flow)
{
	struct ff_flow_key key = rig_key(flow);

	return rig_slot(&key);
}

/* ---- sending ------------------------------------------------------------------------------- */

static void encapsulated_expect(const struct packet *packet, const char *flow)
{
	struct ff_geneve_option option;
	struct ff_geneve geneve;
	struct outcome outcome;
	struct frame frame;
	uint16_t ports[3], slot = flow_slot(flow);

	packet_build(packet, &frame);
	rig_run_frame(RIG_CLIENT, frame.data, frame.len, &outcome);
	cr_assert_eq(outcome.verdict, XDP_REDIRECT, "%s", rig_reasons_text(outcome.reasons));
	cr_assert_eq(outcome.reasons, 0);
	cr_assert_eq(outcome.out.len, frame.len + FF_ENCAP_V4);
	cr_expect(packet_checksum_ok(outcome.out.data, outcome.out.len));
	cr_expect_arr_eq(outcome.out.data + FF_ENCAP_V4, frame.data, frame.len, "inner changed");
	memcpy(ports, outcome.out.data + 34, sizeof(ports));
	memcpy(&geneve, outcome.out.data + 42, sizeof(geneve));
	memcpy(&option, outcome.out.data + 50, sizeof(option));
	cr_expect_eq(ntohs(*(uint16_t *)(outcome.out.data + 16)), outcome.out.len - 14,
		     "outer length");
	cr_expect_eq(ntohs(ports[0]), FF_PATH_PORT + slot % FF_PATHS, "a slot takes one path");
	cr_expect_eq(ntohs(ports[1]), FF_GENEVE_PORT);
	cr_expect_eq(ntohs(ports[2]), outcome.out.len - 34, "UDP length");
	cr_expect_eq(geneve.ver_optlen, 4);
	cr_expect_eq(ntohs(geneve.protocol), FF_ETH_P_TEB);
	cr_expect_eq(geneve.vni[2], RIG_SERVICE);
	cr_expect_eq(ntohs(option.class), FF_GENEVE_CLASS);
	cr_expect_eq(option.type, FF_GENEVE_TYPE);
	cr_expect_eq(ntohs(option.slot), slot);
	cr_expect_eq(option.hops, 1);
	cr_expect_eq(option.kind, FF_KIND_DATA);
	cr_expect_eq(ntohs(option.port[0]), packet->sport);
	cr_expect_eq(ntohs(option.port[1]), packet->dport);
}

Test(tunnel, to_the_owner)
{
	struct packet tagged = question;

	rig_owner_set_all(&(struct ff_steer){ .owner = RIG_THERE });
	encapsulated_expect(&question, FLOW);
	encapsulated_expect(&question6, FLOW6);
	tagged.vlan[0] = 4, tagged.vlan[1] = 5;
	encapsulated_expect(&tagged, FLOW);
	cr_expect_eq(rig_flows(), 0, "state is the owner's business");
}

/* The agent writes a new header beside the old one, and then says by one store which is used. */
Test(tunnel, the_header_in_use)
{
	uint32_t first = 2, second = FF_HOSTS_MAX + 2;
	struct ff_peer peer, junk;

	rig_owner_set_all(&(struct ff_steer){ .owner = RIG_THERE });
	rig_map_get("peers", &first, &peer);
	cr_assert_eq(peer.ready, FF_PEER_FIRST);
	rig_map_set("peers", &second, &peer);
	memset(&junk, 0xff, sizeof(junk));
	junk.ready = FF_PEER_SECOND;
	rig_map_set("peers", &first, &junk);
	encapsulated_expect(&question, FLOW);
	junk.ready = FF_PEER_FIRST;
	rig_map_set("peers", &second, &junk);
	rig_map_set("peers", &first, &peer);
	encapsulated_expect(&question, FLOW);
}

/* A pin's element may have become another flow's before its entry is read: never followed then. */
Test(tunnel, a_pin_of_this_flow_only)
{
	const struct row stolen = { "packet", RIG_CLIENT, question, DROPPED(DROP_INTERNAL) };
	struct ff_flow_key key = rig_key(FLOW);
	struct ff_steer there = { .owner = RIG_THERE };
	struct ff_service service;
	uint32_t number = RIG_SERVICE;
	struct ff_pin pin;

	key.service = RIG_SERVICE;
	there.mark = ff_pin_mark(&key);
	pin.steer[0] = pin.steer[1] = there;
	rig_map_get("services", &number, &service);
	service.pins[0] = service.pins[1] = 1;
	rig_map_set("services", &number, &service);
	rig_map_set("pins", &key, &pin);
	encapsulated_expect(&question, FLOW);
	pin.steer[0].mark ^= 0x40;
	pin.steer[1].mark ^= 0x40;
	rig_map_set("pins", &key, &pin);
	rig_rows(&stolen, 1);
	pin.steer[0] = pin.steer[1] = there;
	pin.steer[0].flags = pin.steer[1].flags = FF_STEER_ABSENT;
	rig_map_set("pins", &key, &pin);
	rig_rows(&(struct row){ "packet", RIG_CLIENT, question, SENT }, 1);
}

Test(tunnel, no_way_to_the_owner)
{
	const struct row row = { "packet", RIG_CLIENT, question, DROPPED(DROP_NO_PEER) };
	const struct row nobody = { "packet", RIG_CLIENT, question, DROPPED(DROP_NO_OWNER) };
	const struct row missing = { "packet", RIG_CLIENT, question, DROPPED(DROP_NO_INSTANCE) };
	struct ff_instance here = { .host = 1, .service = RIG_SERVICE };
	uint32_t number = 9;

	rig_owner_set_all(&(struct ff_steer){ .owner = RIG_NOWHERE });
	rig_rows(&row, 1);
	rig_owner_set_all(&(struct ff_steer){});
	rig_rows(&nobody, 1);
	rig_owner_set_all(&(struct ff_steer){ .owner = 77 });
	rig_rows(&nobody, 1);
	rig_map_set("instances", &number, &here);
	rig_owner_set_all(&(struct ff_steer){ .owner = 9, .here = 9 });
	rig_rows(&missing, 1);
}

/* ---- receiving ----------------------------------------------------------------------------- */

Test(tunnel, arrives_at_the_nf_and_goes_on)
{
	struct geneve geneve = { .inner = &question, .vni = RIG_SERVICE, .slot = flow_slot(FLOW) };
	const struct packet packet = { PEER, .tunnel = &geneve };
	struct outcome outcome;
	struct frame inner;

	packet_build(&question, &inner);
	rig_run(RIG_FABRIC, &packet, &outcome);
	cr_assert_eq(outcome.verdict, XDP_REDIRECT, "%s", rig_reasons_text(outcome.reasons));
	cr_expect_eq(outcome.reasons, 0);
	cr_expect_eq(rig_flow(FLOW, "packets", 0), 1);
	cr_assert_eq(outcome.out.len, inner.len);
	cr_expect(packet_checksum_ok(outcome.out.data, outcome.out.len));
	cr_expect_eq(outcome.out.data[14 + 8], 63, "TTL");
	cr_expect_arr_eq(outcome.out.data, ((uint8_t[]){ 2, 0, 0, 0, 2, 2 }), 6, "to the server");
	cr_expect_arr_eq(outcome.out.data + 26, inner.data + 26, inner.len - 26);
}

Test(tunnel, ipv6_inside)
{
	struct geneve geneve = { .inner = &question6,
				 .vni = RIG_SERVICE,
				 .slot = flow_slot(FLOW6) };
	struct outcome outcome;

	rig_run(RIG_FABRIC, PACKET(PEER, .tunnel = &geneve), &outcome);
	cr_assert_eq(outcome.verdict, XDP_REDIRECT, "%s", rig_reasons_text(outcome.reasons));
	cr_expect_eq(outcome.out.data[14 + 7], 63, "hop limit");
	cr_expect_eq(rig_flow(FLOW6, "packets", 0), 1);
}

Test(tunnel, ipv6_outside)
{
	struct geneve geneve = { .inner = &question, .vni = RIG_SERVICE, .slot = flow_slot(FLOW) };
	struct packet packet = {
		.src = "2001:db8:8::2", .dst = "2001:db8:8::1", TUNNEL_UDP, .tunnel = &geneve
	};
	struct row row = { "stranger", RIG_FABRIC, packet, DROPPED(DROP_STRANGER) };
	uint32_t host = 2;
	struct ff_addr peer;

	rig_rows(&row, 1);
	inet_pton(AF_INET6, packet.src, &peer);
	rig_map_set("peer_addrs", &peer, &host);
	row = (struct row){ "peer", RIG_FABRIC, packet, SENT };
	rig_rows(&row, 1);
	cr_expect_eq(rig_flow(FLOW, "packets", 0), 1);
}

Test(tunnel, vlan_tags_of_the_inner_frame_end_here)
{
	struct packet tagged = question;
	struct geneve geneve = { .inner = &tagged, .vni = RIG_SERVICE, .slot = flow_slot(FLOW) };
	struct outcome outcome;
	struct frame plain;

	tagged.vlan[0] = 9, tagged.vlan[1] = 10;
	packet_build(&question, &plain);
	rig_run(RIG_FABRIC, PACKET(PEER, .tunnel = &geneve), &outcome);
	cr_assert_eq(outcome.verdict, XDP_REDIRECT, "%s", rig_reasons_text(outcome.reasons));
	cr_assert_eq(outcome.out.len, plain.len);
	cr_expect(packet_checksum_ok(outcome.out.data, outcome.out.len));
	cr_expect_arr_eq(outcome.out.data + 26, plain.data + 26, plain.len - 26);
}

/* A later fragment knows its flow by the option alone: its first one took another host. */
Test(tunnel, later_fragment_by_its_option)
{
	const struct packet later = { C4, .proto = IPPROTO_UDP, .frag_id = 3, .frag_off = 800,
				      .payload_len = 8 };
	struct geneve geneve = { .inner = &question, .vni = RIG_SERVICE, .slot = flow_slot(FLOW) };
	struct geneve fragment = geneve;
	const struct row rows[] = {
		{ "flow", RIG_FABRIC, { PEER, .tunnel = &geneve }, SENT },
		{ "fragment", RIG_FABRIC, { PEER, .tunnel = &fragment }, SENT },
	};

	fragment.inner = &later;
	fragment.port[0] = 5000, fragment.port[1] = 53;
	rig_rows(rows, COUNT(rows));
	cr_expect_eq(rig_flow(FLOW, "packets", 0), 2);
}

/* The same with IPv6, where the option names the protocol too. */
Test(tunnel, later_fragment_with_an_extension_header)
{
	const struct packet later = { C6, .proto = 60, .frag_id = 3, .frag_off = 800,
				      .payload_len = 8 };
	struct geneve geneve = { .inner = &question6,
				 .vni = RIG_SERVICE,
				 .slot = flow_slot(FLOW6) };
	struct geneve fragment = geneve, forged;
	const struct row rows[] = {
		{ "flow", RIG_FABRIC, { PEER, .tunnel = &geneve }, SENT },
		{ "fragment", RIG_FABRIC, { PEER, .tunnel = &fragment }, SENT },
		{ "of no protocol that has flows",
		  RIG_FABRIC,
		  { PEER, .tunnel = &forged },
		  DROPPED(DROP_INNER) },
	};

	fragment.inner = &later;
	fragment.port[0] = 5000, fragment.port[1] = 53;
	fragment.proto = IPPROTO_UDP;
	forged = fragment;
	forged.proto = 60;
	rig_rows(rows, COUNT(rows));
	cr_expect_eq(rig_flow(FLOW6, "packets", 0), 2);
}

#define IN(...) .tunnel = GENEVE(.inner = &question, .vni = RIG_SERVICE, __VA_ARGS__)

Test(tunnel, forged_and_malformed)
{
	static const struct packet arp = { .ethertype = 0x0806, .payload_len = 28 };
	static const struct packet mid = { C4, TCP_C, .ip_len = 20 };
	const struct row rows[] = {
		{ "from a stranger",
		  RIG_FABRIC,
		  { .src = "198.18.8.66", .dst = "198.18.8.1", TUNNEL_UDP, IN(.slot = 3) },
		  DROPPED(DROP_STRANGER) },
		{ "VNI 0",
		  RIG_FABRIC,
		  { PEER, .tunnel = GENEVE(.inner = &question) },
		  DROPPED(DROP_VNI) },
		{ "VNI of no service",
		  RIG_FABRIC,
		  { PEER, .tunnel = GENEVE(.inner = &question, .vni = 2) },
		  DROPPED(DROP_VNI) },
		{ "VNI past all services",
		  RIG_FABRIC,
		  { PEER, .tunnel = GENEVE(.inner = &question, .vni = 255) },
		  DROPPED(DROP_VNI) },
		{ "VNI whose low byte is right",
		  RIG_FABRIC,
		  { PEER, .tunnel = GENEVE(.inner = &question, .vni = 0x100 + RIG_SERVICE) },
		  DROPPED(DROP_VNI) },
		{ "the same, high byte",
		  RIG_FABRIC,
		  { PEER, .tunnel = GENEVE(.inner = &question, .vni = 0x10000 + RIG_SERVICE) },
		  DROPPED(DROP_VNI) },
		{ "slot that the service doesn't have",
		  RIG_FABRIC,
		  { PEER, IN(.slot = RIG_SLOTS) },
		  DROPPED(DROP_SLOT) },
		{ "slot 65535", RIG_FABRIC, { PEER, IN(.slot = 65535) }, DROPPED(DROP_SLOT) },
		{ "Geneve version 1",
		  RIG_FABRIC,
		  { PEER, IN(.version = 1) },
		  DROPPED(DROP_TUNNEL) },
		{ "no option", RIG_FABRIC, { PEER, IN(.no_option = true) }, DROPPED(DROP_TUNNEL) },
		{ "more options", RIG_FABRIC, { PEER, IN(.option_len = 6) }, DROPPED(DROP_TUNNEL) },
		{ "another class",
		  RIG_FABRIC,
		  { PEER, IN(.option_class = 0x0102) },
		  DROPPED(DROP_TUNNEL) },
		{ "IPv4 without Ethernet",
		  RIG_FABRIC,
		  { PEER, IN(.protocol = 0x0800) },
		  DROPPED(DROP_TUNNEL) },
		{ "data that calls itself a fence",
		  RIG_FABRIC,
		  { PEER, IN(.kind = FF_KIND_FENCE) },
		  DROPPED(DROP_TUNNEL) },
		{ "fence that calls itself data",
		  RIG_FABRIC,
		  { PEER, IN(.protocol = FF_ETH_P_FENCE) },
		  DROPPED(DROP_TUNNEL) },
		{ "unknown kind", RIG_FABRIC, { PEER, IN(.kind = 9) }, DROPPED(DROP_TUNNEL) },
		{ "one hop too many",
		  RIG_FABRIC,
		  { PEER, IN(.hops = FF_HOPS_MAX + 1) },
		  DROPPED(DROP_HOPS) },
		{ "255 hops", RIG_FABRIC, { PEER, IN(.hops = 255) }, DROPPED(DROP_HOPS) },
		{ "nothing inside",
		  RIG_FABRIC,
		  { PEER, .tunnel = GENEVE(.vni = RIG_SERVICE) },
		  DROPPED(DROP_INNER) },
		{ "ARP inside",
		  RIG_FABRIC,
		  { PEER, .tunnel = GENEVE(.inner = &arp, .vni = RIG_SERVICE) },
		  DROPPED(DROP_INNER) },
		{ "malformed inside",
		  RIG_FABRIC,
		  { PEER, .tunnel = GENEVE(.inner = &mid, .vni = RIG_SERVICE) },
		  DROPPED(DROP_INNER) },
		{ "to another port",
		  RIG_FABRIC,
		  { .src = "198.18.8.2",
		    .dst = "198.18.8.1",
		    .proto = IPPROTO_UDP,
		    .sport = 49152,
		    .dport = 6082,
		    IN(.slot = 3) },
		  PASSED(PASS_LOCAL) },
	};

	rig_rows(rows, COUNT(rows));
	cr_expect_eq(rig_flows(), 0);
	cr_expect_eq(rig_stats().packets, 0);
}

/* A frame for another station is no tunnel packet, whatever its addresses, and isn't forwarded. */
Test(tunnel, frames_for_others)
{
	const struct row rows[] = {
		{ "tunnel packet",
		  RIG_FABRIC,
		  { PEER, .dst_mac = { 2, 0, 0, 0, 0, 3 }, IN(.slot = 3) },
		  PASSED(PASS_NOT_US) },
		{ "stranger's",
		  RIG_FABRIC,
		  { .src = "198.18.8.66",
		    .dst = "198.18.8.1",
		    TUNNEL_UDP,
		    .dst_mac = { 2, 0, 0, 0, 0, 3 },
		    IN(.slot = 3) },
		  PASSED(PASS_NOT_US) },
		{ "to somewhere else",
		  RIG_FABRIC,
		  { C4, UDP_C, .dst_mac = { 2, 0, 0, 0, 0, 3 } },
		  PASSED(PASS_NOT_US) },
		{ "for everybody",
		  RIG_FABRIC,
		  { C4, UDP_C, .dst_mac = { 255, 255, 255, 255, 255, 255 } },
		  PASSED(PASS_MULTICAST) },
		{ "to somewhere else, by way of this host", RIG_FABRIC, { C4, UDP_C }, SENT },
	};

	rig_rows(rows, COUNT(rows));
	cr_expect_eq(rig_stats().packets, 0);
}

/* Cut at each byte, also with an outer header that tells the cut length, it reaches no NF. */
Test(tunnel, cut_at_each_byte)
{
	struct packet packet = { PEER, IN(.slot = 3) };
	struct outcome outcome;
	struct frame frame;

	packet_build(&packet, &frame);
	for (size_t len = 14; len < frame.len; len++) {
		rig_run_frame(RIG_FABRIC, frame.data, len, &outcome);
		cr_expect(outcome.verdict == XDP_PASS || outcome.verdict == XDP_DROP,
			  "cut to %zu of %zu: %d", len, frame.len, outcome.verdict);
		if (len < 20 + 14)
			continue;
		frame.data[16] = (uint8_t)((len - 14) >> 8);
		frame.data[17] = (uint8_t)(len - 14);
		rig_run_frame(RIG_FABRIC, frame.data, len, &outcome);
		cr_expect(outcome.verdict == XDP_PASS || outcome.verdict == XDP_DROP,
			  "short by %zu: %d", frame.len - len, outcome.verdict);
		packet_build(&packet, &frame);
	}
	cr_expect_eq(rig_stats().packets, 0);
	cr_expect_eq(rig_flows(), 0);
}

/* ---- strays -------------------------------------------------------------------------------- */

Test(tunnel, stray_goes_on_to_the_owner_once)
{
	const struct packet first = { PEER, IN(.slot = 3) };
	const struct packet second = { PEER, IN(.slot = 3, .hops = 2) };
	const struct row too_far = { "second hop", RIG_FABRIC, second, XDP_DROP,
				     REASON(STRAY) | REASON(DROP_HOPS) };
	struct ff_geneve_option option;
	struct outcome outcome;
	struct frame inner;

	rig_owner_set_all(&(struct ff_steer){ .owner = RIG_THERE });
	packet_build(&question, &inner);
	rig_run(RIG_FABRIC, &first, &outcome);
	cr_expect_eq(outcome.verdict, XDP_REDIRECT);
	cr_expect_eq(outcome.reasons, REASON(STRAY));
	cr_assert_eq(outcome.out.len, inner.len + FF_ENCAP_V4);
	memcpy(&option, outcome.out.data + 50, sizeof(option));
	cr_expect_eq(option.hops, 2);
	cr_expect_eq(ntohs(option.slot), 3, "the slot is kept, not computed again");
	cr_expect_arr_eq(outcome.out.data + FF_ENCAP_V4, inner.data, inner.len);
	rig_rows(&too_far, 1);
	/* at two hops it's still welcome where the flow lives */
	rig_owner_set_all(&(struct ff_steer){ .owner = RIG_THERE, .here = RIG_HERE });
	rig_run(RIG_FABRIC, &second, &outcome);
	cr_expect_eq(rig_stats().packets, 1, "%s", rig_reasons_text(outcome.reasons));
}

/* ---- fences -------------------------------------------------------------------------------- */

#define TOKEN 0x1122334455667788ull

static void fence_run(const struct ff_fence *fence, size_t len, uint16_t protocol, uint8_t kind,
		      struct outcome *ret)
{
	struct geneve geneve = { .raw = { (const uint8_t *)fence, len },
				 .vni = RIG_SERVICE,
				 .protocol = protocol,
				 .kind = kind };

	rig_run(RIG_FABRIC, PACKET(PEER, .tunnel = &geneve), ret);
}

Test(tunnel, fences)
{
	const struct ff_fence good = { .token = htobe64(TOKEN),
				       .age_ns = htobe64(1000),
				       .from = htons(2),
				       .cpu = htons(5),
				       .path = htons(6) };
	const struct {
		const char *what;
		struct ff_fence fence;
		size_t len;
	} bad[] = {
		{ "another move's", { .token = htobe64(1) }, sizeof(good) },
		{ "token 0", {}, sizeof(good) },
		{ "no such steering host",
		  { .token = htobe64(TOKEN), .from = htons(FF_STEERING_MAX) },
		  sizeof(good) },
		{ "no such CPU",
		  { .token = htobe64(TOKEN), .cpu = htons(FF_CPUS_MAX) },
		  sizeof(good) },
		{ "no such path",
		  { .token = htobe64(TOKEN), .path = htons(FF_PATHS) },
		  sizeof(good) },
		{ "cut short", good, sizeof(good) - 1 },
		{ "empty", good, 0 },
	};
	struct ff_lane lane = { .token = TOKEN };
	static struct ff_fences board, empty;
	struct outcome outcome;
	uint32_t index = 3;

	rig_map_set("lanes", &index, &lane);
	for (size_t i = 0; i < COUNT(bad); i++) {
		fence_run(&bad[i].fence, bad[i].len, FF_ETH_P_FENCE, FF_KIND_FENCE, &outcome);
		cr_expect(outcome.verdict == XDP_DROP && outcome.reasons == REASON(DROP_FENCE),
			  "%s: %s", bad[i].what, rig_reasons_text(outcome.reasons));
	}
	for (index = 0; index < FF_LANES_MAX; index++) {
		rig_map_get("fences", &index, &board);
		cr_expect_arr_eq(&board, &empty, sizeof(board), "lane %u has a fence", index);
	}
	fence_run(&good, sizeof(good), FF_ETH_P_FENCE, FF_KIND_FENCE, &outcome);
	cr_expect_eq(outcome.reasons, REASON(FENCE_SEEN), "%s", rig_reasons_text(outcome.reasons));
	index = 3;
	rig_map_get("fences", &index, &board);
	cr_expect_eq(board.seen[2][5][0], 1ull << 6);
	board.seen[2][5][0] = 0;
	cr_expect_arr_eq(&board, &empty, sizeof(board), "and no other bit");
	rig_map_get("lanes", &index, &lane);
	cr_expect_gt(lane.fence_origin_ns, 0);
}

Test(tunnel, fence_from_a_stranger)
{
	const struct ff_fence fence = { .token = htobe64(TOKEN) };
	struct geneve geneve = { .raw = { (const uint8_t *)&fence, sizeof(fence) },
				 .vni = RIG_SERVICE,
				 .protocol = FF_ETH_P_FENCE,
				 .kind = FF_KIND_FENCE };
	const struct row row = {
		"forged",
		RIG_FABRIC,
		{ .src = "198.18.8.66", .dst = "198.18.8.1", TUNNEL_UDP, .tunnel = &geneve },
		DROPPED(DROP_STRANGER)
	};
	struct ff_lane lane = { .token = TOKEN };
	static struct ff_fences board, empty;
	uint32_t index = 0;

	rig_map_set("lanes", &index, &lane);
	rig_rows(&row, 1);
	rig_map_get("fences", &index, &board);
	cr_expect_arr_eq(&board, &empty, sizeof(board));
}

/* The agent's live frames have no addresses; their cookie is what they're known by. */
Test(tunnel, live_frames)
{
	struct ff_job_frame frame = { .proto = htons(FF_ETH_P_FENCE), .cookie = { 11, 22 } };
	struct ff_job job = { .cookie = { 11, 22 },
			      .token = TOKEN,
			      .paths = { 1ull << 5 },
			      .host = 2,
			      .service = RIG_SERVICE,
			      .prog = FF_PROG_FENCE };
	struct outcome outcome;
	uint16_t port;

	for (uint32_t cpu = 0; cpu < FF_CPUS_MAX; cpu++)
		rig_map_set("jobs", &cpu, &job);
	rig_run_frame(RIG_FABRIC, &frame, sizeof(frame), &outcome);
	cr_expect_eq(outcome.verdict, XDP_REDIRECT);
	cr_expect_eq(outcome.reasons, REASON(FENCE_SENT), "%s", rig_reasons_text(outcome.reasons));
	cr_assert_eq(outcome.out.len, FF_ENCAP_V4 + sizeof(struct ff_fence));
	memcpy(&port, outcome.out.data + 34, sizeof(port));
	cr_expect_eq(ntohs(port), FF_PATH_PORT + 5);
	frame.cookie[1]++;
	rig_run_frame(RIG_FABRIC, &frame, sizeof(frame), &outcome);
	cr_expect_eq(outcome.verdict, XDP_PASS);
	cr_expect_eq(outcome.reasons, REASON(PASS_NOT_US), "%s", rig_reasons_text(outcome.reasons));
}
