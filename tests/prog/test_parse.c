/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_parse.c - what the data path takes for a packet of a flow, and what it leaves to the kernel.
 *
 * All slots belong to an instance on another host, so that a packet that is taken leaves in the
 * tunnel, unchanged.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/prog/harness.h"

#define UDP .proto = IPPROTO_UDP, .sport = 5000, .dport = 53
#define TCP .proto = IPPROTO_TCP, .sport = 1234, .dport = 80, .tcp_flags = TH_ACK

static const struct ff_steer elsewhere = { .owner = RIG_THERE };

static void parse_init(void)
{
	rig_init(NULL, RIG_STEERING);
	rig_owner_set_all(&elsewhere);
}

TestSuite(parse, .init = parse_init, .timeout = 60);

static void taken_expect(const struct row *row)
{
	struct outcome outcome;
	struct frame frame;

	packet_build(&row->packet, &frame);
	rig_run_frame(row->port, frame.data, frame.len, &outcome);
	cr_expect(outcome.verdict == XDP_REDIRECT && !outcome.reasons, "%s: %s", row->what,
		  rig_reasons_text(outcome.reasons));
	cr_expect(outcome.out.len == frame.len + FF_ENCAP_V4 &&
			  !memcmp(outcome.out.data + FF_ENCAP_V4, frame.data, frame.len),
		  "%s: changed on its way", row->what);
}

Test(parse, takes)
{
	const struct row rows[] = {
		{ "TCP", RIG_CLIENT, { C4, TCP }, SENT },
		{ "TCP of IPv6", RIG_CLIENT, { C6, TCP }, SENT },
		{ "UDP", RIG_CLIENT, { C4, UDP }, SENT },
		{ "UDP of IPv6", RIG_CLIENT, { C6, UDP }, SENT },
		{ "SCTP", RIG_CLIENT, { C4, .proto = IPPROTO_SCTP, .sport = 1, .dport = 2 }, SENT },
		{ "ping", RIG_CLIENT, { C4, .proto = IPPROTO_ICMP, .icmp_type = 8 }, SENT },
		{ "ping of IPv6",
		  RIG_CLIENT,
		  { C6, .proto = IPPROTO_ICMPV6, .icmp_type = 128 },
		  SENT },
		{ "VLAN", RIG_CLIENT, { C4, TCP, .vlan = { 5 } }, SENT },
		{ "QinQ", RIG_CLIENT, { C6, TCP, .vlan = { 5, 6 } }, SENT },
		{ "IPv4 options",
		  RIG_CLIENT,
		  { C4, TCP, .ip_options = OCTETS(7, 7, 4, 0, 0, 0, 0, 0) },
		  SENT },
		{ "all of them",
		  RIG_CLIENT,
		  { C4, TCP, .ip_options = { (const uint8_t[40]){ 1, 1, 1, 1 }, 40 } },
		  SENT },
		{ "TCP options",
		  RIG_CLIENT,
		  { C4, TCP, .tcp_options = { (const uint8_t[40]){ 1, 1, 1, 1 }, 40 } },
		  SENT },
		{ "one extension header",
		  RIG_CLIENT,
		  { C6, TCP, .ext = { 0 }, .ext_count = 1 },
		  SENT },
		{ "six of them",
		  RIG_CLIENT,
		  { C6, UDP, .ext = { 0, 60, 43, 60, 135, 60 }, .ext_count = 6 },
		  SENT },
		{ "an atomic fragment (RFC 6946)", RIG_CLIENT, { C6, UDP, .frag_id = 1 }, SENT },
		{ "padding after the packet", RIG_CLIENT, { C4, UDP, .padding = 18 }, SENT },
		{ "no payload", RIG_CLIENT, { C4, UDP }, SENT },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		taken_expect(&rows[i]);
}

Test(parse, leaves_to_the_kernel)
{
	const struct row rows[] = {
		{ "ARP",
		  RIG_CLIENT,
		  { .ethertype = 0x0806, .payload_len = 28 },
		  PASSED(PASS_NOT_IP) },
		{ "ARP in a VLAN",
		  RIG_CLIENT,
		  { .vlan = { 7 }, .ethertype = 0x0806, .payload_len = 28 },
		  PASSED(PASS_NOT_IP) },
		{ "to this host",
		  RIG_CLIENT,
		  { .src = "198.18.1.2", .dst = "198.18.1.1", TCP },
		  PASSED(PASS_LOCAL) },
		{ "to its other address",
		  RIG_CLIENT,
		  { .src = "198.18.1.2", .dst = "198.18.8.1", TCP },
		  PASSED(PASS_LOCAL) },
		{ "to its IPv6 address",
		  RIG_CLIENT,
		  { .src = "2001:db8:1::2", .dst = "2001:db8:2::1", TCP },
		  PASSED(PASS_LOCAL) },
		{ "multicast",
		  RIG_CLIENT,
		  { .src = "198.18.1.2", .dst = "224.0.0.251", UDP },
		  PASSED(PASS_MULTICAST) },
		{ "broadcast",
		  RIG_CLIENT,
		  { .src = "198.18.1.2", .dst = "255.255.255.255", UDP },
		  PASSED(PASS_MULTICAST) },
		{ "multicast of IPv6",
		  RIG_CLIENT,
		  { .src = "2001:db8:1::2", .dst = "ff02::1", UDP },
		  PASSED(PASS_MULTICAST) },
		{ "link-local",
		  RIG_CLIENT,
		  { .src = "fe80::2", .dst = "fe80::1", UDP },
		  PASSED(PASS_MULTICAST) },
		{ "neighbour solicitation",
		  RIG_CLIENT,
		  { .src = "2001:db8:1::2",
		    .dst = "2001:db8:1::1",
		    .proto = IPPROTO_ICMPV6,
		    .icmp_type = 135,
		    .payload_len = 16 },
		  PASSED(PASS_PROTOCOL) },
		{ "GRE", RIG_CLIENT, { C4, .proto = 47, .payload_len = 8 }, PASSED(PASS_PROTOCOL) },
		{ "ICMPv6 in IPv4",
		  RIG_CLIENT,
		  { C4, .proto = IPPROTO_ICMPV6, .icmp_type = 128 },
		  PASSED(PASS_PROTOCOL) },
		{ "ICMP in IPv6",
		  RIG_CLIENT,
		  { C6, .proto = IPPROTO_ICMP, .icmp_type = 8 },
		  PASSED(PASS_PROTOCOL) },
		{ "router solicitation of IPv4",
		  RIG_CLIENT,
		  { C4, .proto = IPPROTO_ICMP, .icmp_type = 10 },
		  PASSED(PASS_PROTOCOL) },
		{ "no next header", RIG_CLIENT, { C6, .proto = 59 }, PASSED(PASS_PROTOCOL) },
		{ "three VLAN tags",
		  RIG_CLIENT,
		  { C4, TCP, .vlan = { 5, 6, 7 } },
		  PASSED(PASS_VLANS) },
		{ "four", RIG_CLIENT, { C4, TCP, .vlan = { 5, 6, 7, 8 } }, PASSED(PASS_VLANS) },
	};

	rig_rows(rows, COUNT(rows));
}

/* A promiscuous interface sees them; their own gateway forwards them, and once is enough. */
Test(parse, frames_for_others)
{
	const struct row rows[] = {
		{ "for another station",
		  RIG_CLIENT,
		  { C4, TCP, .dst_mac = { 2, 0, 0, 0, 0, 3 } },
		  PASSED(PASS_NOT_US) },
		{ "first byte differs",
		  RIG_CLIENT,
		  { C4, TCP, .dst_mac = { 6, 0, 0, 0, 0, 2 } },
		  PASSED(PASS_NOT_US) },
		{ "IPv6, tagged",
		  RIG_CLIENT,
		  { C6, UDP, .vlan = { 5 }, .dst_mac = { 2, 0, 0, 1, 0, 2 } },
		  PASSED(PASS_NOT_US) },
		{ "malformed",
		  RIG_CLIENT,
		  { S4, .proto = IPPROTO_ICMP, .icmp_type = 3, .dst_mac = { 2, 0, 0, 0, 0, 3 } },
		  PASSED(PASS_NOT_US) },
		{ "for everybody",
		  RIG_CLIENT,
		  { C4, UDP, .dst_mac = { 255, 255, 255, 255, 255, 255 } },
		  PASSED(PASS_MULTICAST) },
		{ "for a group",
		  RIG_CLIENT,
		  { C6, UDP, .dst_mac = { 0x33, 0x33, 0, 0, 0, 1 } },
		  PASSED(PASS_MULTICAST) },
		{ "for this one", RIG_CLIENT, { C4, TCP, .dst_mac = { 2, 0, 0, 0, 0, 2 } }, SENT },
	};
	const struct packet strange = rows[0].packet;
	struct outcome outcome;
	struct frame frame;

	rig_rows(rows, COUNT(rows));
	packet_build(&strange, &frame);
	rig_run_frame(RIG_CLIENT, frame.data, frame.len, &outcome);
	cr_assert_eq(outcome.out.len, frame.len);
	cr_expect_arr_eq(outcome.out.data, frame.data, frame.len, "the kernel gets it as it came");
}

Test(parse, bad_ip_headers)
{
	const struct row rows[] = {
		{ "IP version 5", RIG_CLIENT, { C4, TCP, .version = 5 }, PASSED(PASS_BAD_HEADER) },
		{ "IPv4 in IPv6's ethertype",
		  RIG_CLIENT,
		  { C4, TCP, .ethertype = 0x86dd },
		  PASSED(PASS_BAD_HEADER) },
		{ "IPv6 in IPv4's ethertype",
		  RIG_CLIENT,
		  { C6, TCP, .ethertype = 0x0800 },
		  PASSED(PASS_BAD_HEADER) },
		{ "IHL 4", RIG_CLIENT, { C4, TCP, .ihl = 4 }, PASSED(PASS_BAD_HEADER) },
		{ "IHL past the packet",
		  RIG_CLIENT,
		  { C4, UDP, .ihl = 15 },
		  PASSED(PASS_BAD_HEADER) },
		{ "IHL that eats the transport header",
		  RIG_CLIENT,
		  { C4, UDP, .ihl = 7 },
		  PASSED(PASS_TRUNCATED) },
		{ "total length 19",
		  RIG_CLIENT,
		  { C4, TCP, .ip_len = 19 },
		  PASSED(PASS_BAD_HEADER) },
		{ "total length past the frame",
		  RIG_CLIENT,
		  { C4, TCP, .ip_len = 1400 },
		  PASSED(PASS_TRUNCATED) },
		{ "total length 65535",
		  RIG_CLIENT,
		  { C4, TCP, .ip_len = 65535 },
		  PASSED(PASS_TRUNCATED) },
		{ "no room for TCP's header",
		  RIG_CLIENT,
		  { C4, TCP, .ip_len = 39 },
		  PASSED(PASS_TRUNCATED) },
		{ "no room for UDP's",
		  RIG_CLIENT,
		  { C4, UDP, .ip_len = 27 },
		  PASSED(PASS_TRUNCATED) },
		{ "IPv6 payload past the frame",
		  RIG_CLIENT,
		  { C6, TCP, .ip_len = 1000 },
		  PASSED(PASS_TRUNCATED) },
		{ "IPv6 payload too short",
		  RIG_CLIENT,
		  { C6, TCP, .ip_len = 19 },
		  PASSED(PASS_TRUNCATED) },
	};

	rig_rows(rows, COUNT(rows));
}

Test(parse, bad_transport_headers)
{
	const struct row rows[] = {
		{ "data offset 4",
		  RIG_CLIENT,
		  { C4, TCP, .data_offset = 4 },
		  PASSED(PASS_BAD_HEADER) },
		{ "data offset past the packet",
		  RIG_CLIENT,
		  { C4, TCP, .data_offset = 6 },
		  PASSED(PASS_BAD_HEADER) },
		{ "UDP longer than the packet",
		  RIG_CLIENT,
		  { C4, UDP, .payload_len = 20, .ip_len = 40 },
		  PASSED(PASS_BAD_HEADER) },
	};

	rig_rows(rows, COUNT(rows));
}

Test(parse, bad_extension_headers)
{
	const struct row rows[] = {
		{ "extension header past the payload",
		  RIG_CLIENT,
		  { C6, .proto = 0, .payload = OCTETS(17, 9, 1, 4, 0, 0, 0, 0) },
		  PASSED(PASS_BAD_HEADER) },
		{ "extension header cut short",
		  RIG_CLIENT,
		  { C6, .proto = 0, .payload = OCTETS(17) },
		  PASSED(PASS_TRUNCATED) },
		{ "seven extension headers",
		  RIG_CLIENT,
		  { C6, UDP, .ext = { 0, 60, 43, 60, 135, 60, 60 }, .ext_count = 7 },
		  PASSED(PASS_EXTHDRS) },
		{ "a loop of hop-by-hop headers",
		  RIG_CLIENT,
		  { C6, .proto = 0, .ext_count = 10, .payload_len = 8 },
		  PASSED(PASS_EXTHDRS) },
		{ "fragment headers in a row",
		  RIG_CLIENT,
		  { C6, .proto = 44,
		    .payload = OCTETS(44, 0, 0, 0, 0, 0, 0, 1, 44, 0, 0, 0, 0, 0, 0, 1, 44, 0, 0, 0,
				      0, 0, 0, 1, 44, 0, 0, 0, 0, 0, 0, 1, 44, 0, 0, 0, 0, 0, 0, 1,
				      44, 0, 0, 0, 0, 0, 0, 1, 44, 0, 0, 0, 0, 0, 0, 1) },
		  PASSED(PASS_EXTHDRS) },
	};

	rig_rows(rows, COUNT(rows));
}

/* Cut anywhere, a packet is the kernel's; nothing that is cut is taken for a flow. */
Test(parse, cut_at_each_byte)
{
	static const struct packet question = { C4, UDP, .payload_len = 30 };
	static const struct packet question6 = { C6, TCP };
	const struct packet packets[] = {
		{ C4, TCP, .ip_options = OCTETS(7, 3, 4, 0), .tcp_options = OCTETS(2, 4, 5, 0xb4) },
		{ C6, TCP, .ext = { 0, 60 }, .ext_count = 2, .payload_len = 3 },
		{ C4, UDP, .vlan = { 1, 2 }, .payload_len = 5 },
		{ C6, UDP, .frag_id = 9, .more_fragments = true, .payload_len = 16 },
		{ C4, .proto = IPPROTO_SCTP },
		{ S4, .proto = IPPROTO_ICMP, .icmp_type = 3, .quoted = &question },
		{ S6, .proto = IPPROTO_ICMPV6, .icmp_type = 2, .quoted = &question6 },
	};

	for (size_t i = 0; i < COUNT(packets); i++) {
		struct outcome outcome;
		struct frame frame;

		packet_build(&packets[i], &frame);
		for (size_t len = 14; len < frame.len; len++) {
			rig_run_frame(RIG_CLIENT, frame.data, len, &outcome);
			cr_expect(outcome.verdict == XDP_PASS &&
					  outcome.reasons == REASON(PASS_TRUNCATED),
				  "packet %zu cut to %zu of %zu bytes: %d, %s", i, len, frame.len,
				  outcome.verdict, rig_reasons_text(outcome.reasons));
		}
		rig_run_frame(RIG_CLIENT, frame.data, frame.len, &outcome);
		cr_expect_eq(outcome.verdict, XDP_REDIRECT, "packet %zu, whole: %s", i,
			     rig_reasons_text(outcome.reasons));
	}
}

/* Any one byte of the headers changed: whatever comes of it, it isn't a failure inside. */
Test(parse, each_byte_changed)
{
	static const struct packet question = { C4, UDP, .payload_len = 30 };
	const struct packet packets[] = {
		{ C4, TCP, .ip_options = OCTETS(7, 3, 4, 0), .tcp_options = OCTETS(2, 4, 5, 0xb4) },
		{ C6, UDP, .ext = { 0, 60 }, .ext_count = 2, .payload_len = 3 },
		{ S4, .proto = IPPROTO_ICMP, .icmp_type = 3, .quoted = &question },
	};
	static const uint8_t values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
	const uint64_t internal = REASON(DROP_INTERNAL) | REASON(DROP_HEADROOM) |
				  REASON(DROP_SLOT) | REASON(DROP_NO_OWNER);

	for (size_t i = 0; i < COUNT(packets); i++) {
		struct outcome outcome;
		struct frame frame;

		packet_build(&packets[i], &frame);
		for (size_t at = 12; at < frame.len; at++) {
			uint8_t was = frame.data[at];

			for (size_t v = 0; v < COUNT(values); v++) {
				frame.data[at] = values[v];
				rig_run_frame(RIG_CLIENT, frame.data, frame.len, &outcome);
				cr_expect(outcome.verdict != XDP_ABORTED &&
						  !(outcome.reasons & internal),
					  "packet %zu, byte %zu is %u: %d, %s", i, at, values[v],
					  outcome.verdict, rig_reasons_text(outcome.reasons));
			}
			frame.data[at] = was;
		}
	}
}

/* ---- services ------------------------------------------------------------------------------ */

Test(parse, class_of_the_service)
{
	const struct row rows[] = {
		{ "in the class", RIG_CLIENT, { C4, TCP }, SENT },
		{ "its answer",
		  RIG_SERVER,
		  { S4, .proto = IPPROTO_TCP, .sport = 80, .dport = 1234, .tcp_flags = TH_ACK },
		  SENT },
		{ "another port",
		  RIG_CLIENT,
		  { C4, .proto = IPPROTO_TCP, .sport = 1234, .dport = 81 },
		  PASSED(PASS_NO_SERVICE) },
		{ "another protocol", RIG_CLIENT, { C4, UDP }, PASSED(PASS_NO_SERVICE) },
		{ "IPv6", RIG_CLIENT, { C6, TCP }, PASSED(PASS_NO_SERVICE) },
	};
	struct ff_service service;
	uint32_t number = RIG_SERVICE;

	rig_map_get("services", &number, &service);
	service.any = 0;
	service.class = (struct ff_match){
		.a = { .port_max = 65535 },
		.b = { .port_min = 80, .port_max = 80 },
		.proto = IPPROTO_TCP,
		.family = 4,
		.flags = FF_MATCH_USED | FF_MATCH_EITHER,
	};
	rig_map_set("services", &number, &service);
	rig_rows(rows, COUNT(rows));
}
