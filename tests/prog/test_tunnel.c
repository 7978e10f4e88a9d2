/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_tunnel.c - Geneve between hosts: what is sent, what arrives, and strays. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>

#include "tests/prog/harness.h"

#define UDP_C .proto = IPPROTO_UDP, .sport = 5000, .dport = 53
#define FLOW  "udp 198.18.1.2:5000 198.18.2.2:53"
#define FLOW6 "udp [2001:db8:1::2]:5000 [2001:db8:2::2]:53"

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

/* ---- strays -------------------------------------------------------------------------------- */

Test(tunnel, stray_goes_on_to_the_owner_once)
{
	struct geneve geneve = { .inner = &question, .vni = RIG_SERVICE, .slot = 3 };
	struct geneve hopped = { .inner = &question, .vni = RIG_SERVICE, .slot = 3, .hops = 2 };
	const struct packet first = { PEER, .tunnel = &geneve };
	const struct packet second = { PEER, .tunnel = &hopped };
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
