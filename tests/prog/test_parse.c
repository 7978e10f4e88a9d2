/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_parse.c - what the data path takes for a flow, what it leaves to the kernel, what it drops.
 *
 * All slots belong to an instance on another host, so that a packet that is taken leaves in the
 * tunnel, whose option shows its slot and ports.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/flow.h"
#include "tests/prog/harness.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define C4  .src = "198.18.1.2", .dst = "198.18.2.2"
#define S4  .src = "198.18.2.2", .dst = "198.18.1.2"
#define C6  .src = "2001:db8:1::2", .dst = "2001:db8:2::2"
#define S6  .src = "2001:db8:2::2", .dst = "2001:db8:1::2"
#define UDP .proto = IPPROTO_UDP, .sport = 5000, .dport = 53
#define TCP .proto = IPPROTO_TCP, .sport = 1234, .dport = 80, .tcp_flags = TH_ACK
#define PASSED(name) XDP_PASS, REASON(PASS_##name)
#define DROPPED(name) XDP_DROP, REASON(DROP_##name)

static const struct ff_steer elsewhere = { .owner = RIG_THERE };

static void parse_init(void)
{
	rig_init(NULL, RIG_STEERING);
	rig_owner_set_all(&elsewhere);
}

TestSuite(parse, .init = parse_init, .timeout = 60);

/* The option of a frame that left in the tunnel. */
static const struct ff_geneve_option *option_of(const struct outcome *outcome)
{
	cr_assert_eq(outcome->verdict, XDP_REDIRECT, "not sent: %s",
		     rig_reasons_text(outcome->reasons));
	return (const void *)(outcome->out.data + FF_ENCAP_V4 - sizeof(struct ff_geneve_option));
}

static uint16_t slot_of(enum rig_port port, const struct packet *packet)
{
	struct outcome outcome;

	rig_run(port, packet, &outcome);
	return ntohs(option_of(&outcome)->slot);
}

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
		{ "TCP", RIG_CLIENT, { C4, TCP }, 0, 0 },
		{ "TCP of IPv6", RIG_CLIENT, { C6, TCP }, 0, 0 },
		{ "UDP", RIG_CLIENT, { C4, UDP }, 0, 0 },
		{ "UDP of IPv6", RIG_CLIENT, { C6, UDP }, 0, 0 },
		{ "SCTP", RIG_CLIENT, { C4, .proto = IPPROTO_SCTP, .sport = 1, .dport = 2 }, 0, 0 },
		{ "ping", RIG_CLIENT, { C4, .proto = IPPROTO_ICMP, .icmp_type = 8 }, 0, 0 },
		{ "ping of IPv6", RIG_CLIENT, { C6, .proto = IPPROTO_ICMPV6, .icmp_type = 128 }, 0,
		  0 },
		{ "VLAN", RIG_CLIENT, { C4, TCP, .vlan = { 5 } }, 0, 0 },
		{ "QinQ", RIG_CLIENT, { C6, TCP, .vlan = { 5, 6 } }, 0, 0 },
		{ "IPv4 options", RIG_CLIENT,
		  { C4, TCP, .ip_options = OCTETS(7, 7, 4, 0, 0, 0, 0, 0) }, 0, 0 },
		{ "all of them", RIG_CLIENT,
		  { C4, TCP, .ip_options = { (const uint8_t[40]){ 1, 1, 1, 1 }, 40 } }, 0, 0 },
		{ "TCP options", RIG_CLIENT,
		  { C4, TCP, .tcp_options = { (const uint8_t[40]){ 1, 1, 1, 1 }, 40 } }, 0, 0 },
		{ "one extension header", RIG_CLIENT, { C6, TCP, .ext = { 0 }, .ext_count = 1 }, 0,
		  0 },
		{ "six of them", RIG_CLIENT,
		  { C6, UDP, .ext = { 0, 60, 43, 60, 135, 60 }, .ext_count = 6 }, 0, 0 },
		{ "an atomic fragment (RFC 6946)", RIG_CLIENT, { C6, UDP, .frag_id = 1 }, 0, 0 },
		{ "padding after the packet", RIG_CLIENT,
		  { C4, UDP, .padding = 18 }, 0, 0 },
		{ "no payload", RIG_CLIENT, { C4, UDP }, 0, 0 },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		taken_expect(&rows[i]);
}

Test(parse, leaves_to_the_kernel)
{
	const struct row rows[] = {
		{ "ARP", RIG_CLIENT, { .ethertype = 0x0806, .payload_len = 28 }, PASSED(NOT_IP) },
		{ "ARP in a VLAN", RIG_CLIENT,
		  { .vlan = { 7 }, .ethertype = 0x0806, .payload_len = 28 }, PASSED(NOT_IP) },
		{ "to this host", RIG_CLIENT,
		  { .src = "198.18.1.2", .dst = "198.18.1.1", TCP }, PASSED(LOCAL) },
		{ "to its other address", RIG_CLIENT,
		  { .src = "198.18.1.2", .dst = "198.18.8.1", TCP }, PASSED(LOCAL) },
		{ "to its IPv6 address", RIG_CLIENT,
		  { .src = "2001:db8:1::2", .dst = "2001:db8:2::1", TCP }, PASSED(LOCAL) },
		{ "multicast", RIG_CLIENT,
		  { .src = "198.18.1.2", .dst = "224.0.0.251", UDP }, PASSED(MULTICAST) },
		{ "broadcast", RIG_CLIENT,
		  { .src = "198.18.1.2", .dst = "255.255.255.255", UDP }, PASSED(MULTICAST) },
		{ "multicast of IPv6", RIG_CLIENT,
		  { .src = "2001:db8:1::2", .dst = "ff02::1", UDP }, PASSED(MULTICAST) },
		{ "link-local", RIG_CLIENT,
		  { .src = "fe80::2", .dst = "fe80::1", UDP }, PASSED(MULTICAST) },
		{ "neighbour solicitation", RIG_CLIENT,
		  { .src = "2001:db8:1::2", .dst = "2001:db8:1::1", .proto = IPPROTO_ICMPV6,
		    .icmp_type = 135, .payload_len = 16 }, PASSED(PROTOCOL) },
		{ "GRE", RIG_CLIENT, { C4, .proto = 47, .payload_len = 8 }, PASSED(PROTOCOL) },
		{ "ICMPv6 in IPv4", RIG_CLIENT, { C4, .proto = IPPROTO_ICMPV6, .icmp_type = 128 },
		  PASSED(PROTOCOL) },
		{ "ICMP in IPv6", RIG_CLIENT, { C6, .proto = IPPROTO_ICMP, .icmp_type = 8 },
		  PASSED(PROTOCOL) },
		{ "router solicitation of IPv4", RIG_CLIENT,
		  { C4, .proto = IPPROTO_ICMP, .icmp_type = 10 }, PASSED(PROTOCOL) },
		{ "no next header", RIG_CLIENT, { C6, .proto = 59 }, PASSED(PROTOCOL) },
		{ "three VLAN tags", RIG_CLIENT, { C4, TCP, .vlan = { 5, 6, 7 } }, PASSED(VLANS) },
		{ "four", RIG_CLIENT, { C4, TCP, .vlan = { 5, 6, 7, 8 } }, PASSED(VLANS) },
	};

	rig_rows(rows, COUNT(rows));
}

Test(parse, bad_headers)
{
	const struct row rows[] = {
		{ "IP version 5", RIG_CLIENT, { C4, TCP, .version = 5 }, PASSED(BAD_HEADER) },
		{ "IPv4 in IPv6's ethertype", RIG_CLIENT, { C4, TCP, .ethertype = 0x86dd },
		  PASSED(BAD_HEADER) },
		{ "IPv6 in IPv4's ethertype", RIG_CLIENT, { C6, TCP, .ethertype = 0x0800 },
		  PASSED(BAD_HEADER) },
		{ "IHL 4", RIG_CLIENT, { C4, TCP, .ihl = 4 }, PASSED(BAD_HEADER) },
		{ "IHL past the packet", RIG_CLIENT, { C4, UDP, .ihl = 15 }, PASSED(BAD_HEADER) },
		{ "IHL that eats the transport header", RIG_CLIENT,
		  { C4, UDP, .ihl = 7 }, PASSED(TRUNCATED) },
		{ "total length 19", RIG_CLIENT, { C4, TCP, .ip_len = 19 }, PASSED(BAD_HEADER) },
		{ "total length past the frame", RIG_CLIENT, { C4, TCP, .ip_len = 1400 },
		  PASSED(TRUNCATED) },
		{ "total length 65535", RIG_CLIENT, { C4, TCP, .ip_len = 65535 },
		  PASSED(TRUNCATED) },
		{ "no room for TCP's header", RIG_CLIENT, { C4, TCP, .ip_len = 39 },
		  PASSED(TRUNCATED) },
		{ "no room for UDP's", RIG_CLIENT, { C4, UDP, .ip_len = 27 }, PASSED(TRUNCATED) },
		{ "IPv6 payload past the frame", RIG_CLIENT, { C6, TCP, .ip_len = 1000 },
		  PASSED(TRUNCATED) },
		{ "IPv6 payload too short", RIG_CLIENT, { C6, TCP, .ip_len = 19 },
		  PASSED(TRUNCATED) },
		{ "data offset 4", RIG_CLIENT, { C4, TCP, .data_offset = 4 }, PASSED(BAD_HEADER) },
		{ "data offset past the packet", RIG_CLIENT, { C4, TCP, .data_offset = 6 },
		  PASSED(BAD_HEADER) },
		{ "UDP longer than the packet", RIG_CLIENT,
		  { C4, UDP, .payload_len = 20, .ip_len = 40 }, PASSED(BAD_HEADER) },
		{ "extension header past the payload", RIG_CLIENT,
		  { C6, .proto = 0, .payload = OCTETS(17, 9, 1, 4, 0, 0, 0, 0) },
		  PASSED(BAD_HEADER) },
		{ "extension header cut short", RIG_CLIENT,
		  { C6, .proto = 0, .payload = OCTETS(17) }, PASSED(TRUNCATED) },
		{ "seven extension headers", RIG_CLIENT,
		  { C6, UDP, .ext = { 0, 60, 43, 60, 135, 60, 60 }, .ext_count = 7 },
		  PASSED(EXTHDRS) },
		{ "a loop of hop-by-hop headers", RIG_CLIENT,
		  { C6, .proto = 0, .ext_count = 10, .payload_len = 8 }, PASSED(EXTHDRS) },
		{ "fragment headers in a row", RIG_CLIENT,
		  { C6, .proto = 44, .payload = OCTETS(44, 0, 0, 0, 0, 0, 0, 1, 44, 0, 0, 0, 0, 0, 0,
						       1, 44, 0, 0, 0, 0, 0, 0, 1, 44, 0, 0, 0, 0,
						       0, 0, 1, 44, 0, 0, 0, 0, 0, 0, 1, 44, 0, 0,
						       0, 0, 0, 0, 1, 44, 0, 0, 0, 0, 0, 0, 1) },
		  PASSED(EXTHDRS) },
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

Test(parse, fragments)
{
	const struct row rows[] = {
		{ "later one first", RIG_CLIENT,
		  { C4, .proto = IPPROTO_UDP, .frag_id = 3, .frag_off = 1008, .payload_len = 8 },
		  DROPPED(FRAG_NO_FIRST) },
		{ "first", RIG_CLIENT,
		  { C4, UDP, .frag_id = 3, .more_fragments = true, .payload_len = 1000 }, 0, 0 },
		{ "later", RIG_CLIENT,
		  { C4, .proto = IPPROTO_UDP, .frag_id = 3, .frag_off = 1008, .payload_len = 8 }, 0,
		  0 },
		{ "of another datagram", RIG_CLIENT,
		  { C4, .proto = IPPROTO_UDP, .frag_id = 4, .frag_off = 1008, .payload_len = 8 },
		  DROPPED(FRAG_NO_FIRST) },
		{ "of another protocol", RIG_CLIENT,
		  { C4, .proto = IPPROTO_TCP, .frag_id = 3, .frag_off = 1008, .payload_len = 8 },
		  DROPPED(FRAG_NO_FIRST) },
		{ "of another sender", RIG_CLIENT,
		  { .src = "198.18.1.3", .dst = "198.18.2.2", .proto = IPPROTO_UDP, .frag_id = 3,
		    .frag_off = 1008, .payload_len = 8 },
		  DROPPED(FRAG_NO_FIRST) },
		{ "IPv6, later one first", RIG_CLIENT,
		  { C6, .proto = IPPROTO_UDP, .frag_id = 3, .frag_off = 1008, .payload_len = 8 },
		  DROPPED(FRAG_NO_FIRST) },
		{ "IPv6, first", RIG_CLIENT,
		  { C6, UDP, .frag_id = 3, .more_fragments = true, .payload_len = 1000 }, 0, 0 },
		{ "IPv6, later", RIG_CLIENT,
		  { C6, .proto = IPPROTO_UDP, .frag_id = 3, .frag_off = 1008, .payload_len = 8 }, 0,
		  0 },
		/* RFC 1858, 3128, 5722: fragments made to slip a header past a filter */
		{ "tiny first fragment", RIG_CLIENT,
		  { C4, TCP, .frag_id = 5, .more_fragments = true, .ip_len = 28 },
		  DROPPED(FRAG_OVERLAP) },
		{ "second one that cuts into TCP's header", RIG_CLIENT,
		  { C4, .proto = IPPROTO_TCP, .frag_id = 5, .frag_off = 8, .payload_len = 16 },
		  DROPPED(FRAG_OVERLAP) },
		{ "the same, further on", RIG_CLIENT,
		  { C4, .proto = IPPROTO_TCP, .frag_id = 5, .frag_off = 16, .payload_len = 16 },
		  DROPPED(FRAG_OVERLAP) },
		{ "tiny first fragment of IPv6", RIG_CLIENT,
		  { C6, TCP, .frag_id = 5, .more_fragments = true, .ip_len = 16 },
		  DROPPED(FRAG_OVERLAP) },
		{ "cuts into TCP's header, IPv6", RIG_CLIENT,
		  { C6, .proto = IPPROTO_TCP, .frag_id = 5, .frag_off = 8, .payload_len = 16 },
		  DROPPED(FRAG_OVERLAP) },
		{ "cuts into SCTP's header", RIG_CLIENT,
		  { C4, .proto = IPPROTO_SCTP, .frag_id = 5, .frag_off = 8, .payload_len = 16 },
		  DROPPED(FRAG_OVERLAP) },
	};

	rig_rows(rows, COUNT(rows));
}

Test(parse, later_fragments_take_the_way_of_the_first)
{
	const struct packet first = { C4, UDP, .frag_id = 3, .more_fragments = true,
				      .payload_len = 64 };
	const struct packet later = { C4, .proto = IPPROTO_UDP, .frag_id = 3, .frag_off = 72,
				      .payload_len = 64 };
	uint16_t slot = slot_of(RIG_CLIENT, &first);
	struct outcome outcome;

	cr_expect_eq(slot_of(RIG_CLIENT, &later), slot);
	cr_expect_eq(slot_of(RIG_SERVER, PACKET(S4, .proto = IPPROTO_UDP, .sport = 53,
						.dport = 5000)), slot);
	rig_run(RIG_CLIENT, &later, &outcome);
	cr_expect_eq(ntohs(option_of(&outcome)->port[0]), 5000, "the other host can't know it");
	cr_expect_eq(ntohs(option_of(&outcome)->port[1]), 53);
}

/* ---- slots --------------------------------------------------------------------------------- */

Test(parse, slot_is_the_same_in_user_space_and_both_ways)
{
	static const char *const addresses[][2] = {
		{ "198.18.1.2", "198.18.2.2" },	      { "198.18.2.2", "198.18.1.2" },
		{ "10.0.0.1", "10.0.0.1" },	      { "1.2.3.4", "200.1.2.3" },
		{ "2001:db8:1::2", "2001:db8:2::2" }, { "fd00::ffff:1", "2001::1" },
		{ "::1:0:0:5", "::1:0:0:5" },	      { "2001:db8::2:0:0", "2001:db8::1:ffff:ffff" },
	};
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };
	uint32_t slots_seen = 0;

	for (unsigned int i = 0; i < 600; i++) {
		const char *const *pair = addresses[i % COUNT(addresses)];
		bool v6 = strchr(pair[0], ':');
		struct packet there = { .src = pair[0], .dst = pair[1],
					.proto = protos[i % COUNT(protos)],
					.sport = (uint16_t)(i * 7919), .dport = (uint16_t)(i * 104729),
					.tcp_flags = TH_ACK };
		struct packet back = there;
		char text[FLOW_TEXT_MAX];
		struct ff_flow_key key;
		uint16_t slot;

		back.src = there.dst, back.dst = there.src;
		back.sport = there.dport, back.dport = there.sport;
		snprintf(text, sizeof(text), v6 ? "%s [%s]:%u [%s]:%u" : "%s %s:%u %s:%u",
			 flow_proto_name(there.proto), there.src, there.sport, there.dst,
			 there.dport);
		key = rig_key(text);
		slot = slot_of(RIG_CLIENT, &there);
		cr_expect_eq(slot, rig_slot(&key), "%s: BPF %u, user space %u", text, slot,
			     rig_slot(&key));
		cr_expect_eq(slot_of(RIG_SERVER, &back), slot, "%s: not the same back", text);
		slots_seen |= 1u << slot;
	}
	cr_expect_eq(slots_seen, (1u << RIG_SLOTS) - 1, "slots %#x", slots_seen);
}

Test(parse, ping_has_one_slot_both_ways)
{
	struct ff_flow_key key = rig_key("icmp 198.18.1.2 198.18.2.2 id 77");
	struct ff_flow_key key6 = rig_key("icmp6 2001:db8:1::2 2001:db8:2::2 id 77");

	cr_expect_eq(slot_of(RIG_CLIENT, PACKET(C4, .proto = IPPROTO_ICMP, .icmp_type = 8,
						.icmp_id = 77)), rig_slot(&key));
	cr_expect_eq(slot_of(RIG_SERVER, PACKET(S4, .proto = IPPROTO_ICMP, .icmp_type = 0,
						.icmp_id = 77)), rig_slot(&key));
	cr_expect_eq(slot_of(RIG_CLIENT, PACKET(C6, .proto = IPPROTO_ICMPV6, .icmp_type = 128,
						.icmp_id = 77)), rig_slot(&key6));
	cr_expect_eq(slot_of(RIG_SERVER, PACKET(S6, .proto = IPPROTO_ICMPV6, .icmp_type = 129,
						.icmp_id = 77)), rig_slot(&key6));
}

/* ---- ICMP errors --------------------------------------------------------------------------- */

Test(parse, icmp_errors_take_the_way_of_what_they_quote)
{
	static const uint8_t types[] = { 3, 4, 5, 11, 12 }, types6[] = { 1, 2, 3, 4 };
	const struct packet flows[] = {
		{ C4, UDP, .payload_len = 40 },
		{ C4, TCP, .ip_options = OCTETS(7, 3, 4, 0) },
		{ C4, .proto = IPPROTO_SCTP, .sport = 9, .dport = 10 },
		{ C4, .proto = IPPROTO_ICMP, .icmp_type = 8, .icmp_id = 5 },
		{ C4, UDP, .frag_id = 1, .more_fragments = true, .payload_len = 8 },
	};
	const struct packet flows6[] = {
		{ C6, UDP, .payload_len = 40 },
		{ C6, TCP, .ext = { 0, 60 }, .ext_count = 2 },
		{ C6, .proto = IPPROTO_ICMPV6, .icmp_type = 128, .icmp_id = 5 },
	};

	for (size_t i = 0; i < COUNT(flows); i++)
		for (size_t t = 0; t < COUNT(types); t++) {
			struct packet error = { .src = "203.0.113.7", .dst = "198.18.1.2",
						.proto = IPPROTO_ICMP, .icmp_type = types[t],
						.quoted = &flows[i] };

			cr_expect_eq(slot_of(RIG_SERVER, &error), slot_of(RIG_CLIENT, &flows[i]),
				     "flow %zu, type %u", i, types[t]);
			error.quoted_len = 28 + flows[i].ip_options.len; /* RFC 792: 64 bits */
			cr_expect_eq(slot_of(RIG_SERVER, &error), slot_of(RIG_CLIENT, &flows[i]),
				     "flow %zu, type %u, 64 bits", i, types[t]);
		}
	for (size_t i = 0; i < COUNT(flows6); i++)
		for (size_t t = 0; t < COUNT(types6); t++) {
			struct packet error = { .src = "2001:db8:77::7", .dst = "2001:db8:1::2",
						.proto = IPPROTO_ICMPV6, .icmp_type = types6[t],
						.quoted = &flows6[i] };

			cr_expect_eq(slot_of(RIG_SERVER, &error), slot_of(RIG_CLIENT, &flows6[i]),
				     "flow %zu of IPv6, type %u", i, types6[t]);
		}
}

Test(parse, icmp_errors_that_quote_no_flow)
{
	static const struct packet question = { C4, UDP, .payload_len = 30 };
	static const struct packet later = { C4, .proto = IPPROTO_UDP, .frag_id = 1, .frag_off = 8,
					     .payload_len = 8 };
	static const struct packet error = { C4, .proto = IPPROTO_ICMP, .icmp_type = 3,
					     .quoted = &question };
	static const struct packet version = { C4, UDP, .version = 9 };
	static const struct packet question6 = { C6, UDP, .payload_len = 30 };
	static const struct packet gre = { C4, .proto = 47, .payload_len = 8 };
	const struct row rows[] = {
		{ "nothing", RIG_SERVER, { S4, .proto = IPPROTO_ICMP, .icmp_type = 3 },
		  DROPPED(ICMP_QUOTE) },
		{ "half a header", RIG_SERVER,
		  { S4, .proto = IPPROTO_ICMP, .icmp_type = 3, .quoted = &question,
		    .quoted_len = 12 }, DROPPED(ICMP_QUOTE) },
		{ "no ports", RIG_SERVER,
		  { S4, .proto = IPPROTO_ICMP, .icmp_type = 3, .quoted = &question,
		    .quoted_len = 20 }, DROPPED(ICMP_QUOTE) },
		{ "a later fragment", RIG_SERVER,
		  { S4, .proto = IPPROTO_ICMP, .icmp_type = 3, .quoted = &later },
		  DROPPED(ICMP_QUOTE) },
		{ "an error", RIG_SERVER,
		  { S4, .proto = IPPROTO_ICMP, .icmp_type = 3, .quoted = &error },
		  DROPPED(ICMP_QUOTE) },
		{ "another version", RIG_SERVER,
		  { S4, .proto = IPPROTO_ICMP, .icmp_type = 3, .quoted = &version },
		  DROPPED(ICMP_QUOTE) },
		{ "IPv6 in ICMP", RIG_SERVER,
		  { S4, .proto = IPPROTO_ICMP, .icmp_type = 3, .quoted = &question6 },
		  DROPPED(ICMP_QUOTE) },
		{ "IPv4 in ICMPv6", RIG_SERVER,
		  { S6, .proto = IPPROTO_ICMPV6, .icmp_type = 1, .quoted = &question },
		  DROPPED(ICMP_QUOTE) },
		{ "a protocol without flows", RIG_SERVER,
		  { S4, .proto = IPPROTO_ICMP, .icmp_type = 3, .quoted = &gre },
		  PASSED(PROTOCOL) },
	};

	rig_rows(rows, COUNT(rows));
}

/* ---- services ------------------------------------------------------------------------------ */

Test(parse, class_of_the_service)
{
	const struct row rows[] = {
		{ "in the class", RIG_CLIENT, { C4, TCP }, 0, 0 },
		{ "its answer", RIG_SERVER,
		  { S4, .proto = IPPROTO_TCP, .sport = 80, .dport = 1234, .tcp_flags = TH_ACK }, 0,
		  0 },
		{ "another port", RIG_CLIENT,
		  { C4, .proto = IPPROTO_TCP, .sport = 1234, .dport = 81 }, PASSED(NO_SERVICE) },
		{ "another protocol", RIG_CLIENT, { C4, UDP }, PASSED(NO_SERVICE) },
		{ "IPv6", RIG_CLIENT, { C6, TCP }, PASSED(NO_SERVICE) },
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
