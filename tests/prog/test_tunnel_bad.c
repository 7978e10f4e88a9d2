/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_tunnel_bad.c - what comes by the fabric and is no good, or for others: forged, malformed,
 * cut, and frames for other stations. None of it reaches an NF.
 */
#include <criterion/criterion.h>

#include "tests/prog/harness.h"

#define UDP_C	.proto = IPPROTO_UDP, .sport = 5000, .dport = 53
#define TCP_C	.proto = IPPROTO_TCP, .sport = 1234, .dport = 80
#define IN(...) .tunnel = GENEVE(.inner = &question, .vni = RIG_SERVICE, __VA_ARGS__)

static const struct packet question = { C4, UDP_C, .payload_len = 33 };

static void tunnel_bad_init(void)
{
	rig_init("firewall", RIG_ALL);
}

TestSuite(tunnel_bad, .init = tunnel_bad_init, .timeout = 120);

static void refused_expect(const struct row *rows, size_t count)
{
	rig_rows(rows, count);
	cr_expect_eq(rig_flows(), 0);
	cr_expect_eq(rig_stats().packets, 0);
}

Test(tunnel_bad, sender_service_slot_hops_and_port)
{
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
		{ "one hop too many",
		  RIG_FABRIC,
		  { PEER, IN(.hops = FF_HOPS_MAX + 1) },
		  DROPPED(DROP_HOPS) },
		{ "255 hops", RIG_FABRIC, { PEER, IN(.hops = 255) }, DROPPED(DROP_HOPS) },
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

	refused_expect(rows, COUNT(rows));
}

Test(tunnel_bad, tunnel_header)
{
	const struct row rows[] = {
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
	};

	refused_expect(rows, COUNT(rows));
}

Test(tunnel_bad, inner_frame)
{
	static const struct packet arp = { .ethertype = 0x0806, .payload_len = 28 };
	static const struct packet mid = { C4, TCP_C, .ip_len = 20 };
	const struct row rows[] = {
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
	};

	refused_expect(rows, COUNT(rows));
}

/* A frame for another station is no tunnel packet, whatever its addresses, and isn't forwarded. */
Test(tunnel_bad, frames_for_others)
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
Test(tunnel_bad, cut_at_each_byte)
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
