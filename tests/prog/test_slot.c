/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_slot.c - which flow a packet belongs to, and so its slot: both directions, later fragments,
 * ICMP errors.
 *
 * All slots belong to an instance on another host, so that a packet leaves in the tunnel, whose
 * option shows its slot and ports.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/flow.h"
#include "tests/prog/harness.h"

#define UDP .proto = IPPROTO_UDP, .sport = 5000, .dport = 53
#define TCP .proto = IPPROTO_TCP, .sport = 1234, .dport = 80, .tcp_flags = TH_ACK

static const struct ff_steer elsewhere = { .owner = RIG_THERE };

static void slot_init(void)
{
	rig_init(NULL, RIG_STEERING);
	rig_owner_set_all(&elsewhere);
}

TestSuite(slot, .init = slot_init, .timeout = 60);

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

Test(slot, fragments)
{
	const struct row rows[] = {
		{ "later one first",
		  RIG_CLIENT,
		  { C4, .proto = IPPROTO_UDP, .frag_id = 3, .frag_off = 1008, .payload_len = 8 },
		  DROPPED(DROP_FRAG_NO_FIRST) },
		{ "first",
		  RIG_CLIENT,
		  { C4, UDP, .frag_id = 3, .more_fragments = true, .payload_len = 1000 },
		  SENT },
		{ "later",
		  RIG_CLIENT,
		  { C4, .proto = IPPROTO_UDP, .frag_id = 3, .frag_off = 1008, .payload_len = 8 },
		  SENT },
		{ "of another datagram",
		  RIG_CLIENT,
		  { C4, .proto = IPPROTO_UDP, .frag_id = 4, .frag_off = 1008, .payload_len = 8 },
		  DROPPED(DROP_FRAG_NO_FIRST) },
		{ "of another protocol",
		  RIG_CLIENT,
		  { C4, .proto = IPPROTO_TCP, .frag_id = 3, .frag_off = 1008, .payload_len = 8 },
		  DROPPED(DROP_FRAG_NO_FIRST) },
		{ "of another sender",
		  RIG_CLIENT,
		  { .src = "198.18.1.3",
		    .dst = "198.18.2.2",
		    .proto = IPPROTO_UDP,
		    .frag_id = 3,
		    .frag_off = 1008,
		    .payload_len = 8 },
		  DROPPED(DROP_FRAG_NO_FIRST) },
		{ "IPv6, later one first",
		  RIG_CLIENT,
		  { C6, .proto = IPPROTO_UDP, .frag_id = 3, .frag_off = 1008, .payload_len = 8 },
		  DROPPED(DROP_FRAG_NO_FIRST) },
		{ "IPv6, first",
		  RIG_CLIENT,
		  { C6, UDP, .frag_id = 3, .more_fragments = true, .payload_len = 1000 },
		  SENT },
		{ "IPv6, later",
		  RIG_CLIENT,
		  { C6, .proto = IPPROTO_UDP, .frag_id = 3, .frag_off = 1008, .payload_len = 8 },
		  SENT },
	};

	rig_rows(rows, COUNT(rows));
}

/* RFC 1858, 3128, 5722: fragments made to slip a header past a filter. */
Test(slot, fragments_that_hide_a_header)
{
	const struct row rows[] = {
		{ "tiny first fragment",
		  RIG_CLIENT,
		  { C4, TCP, .frag_id = 5, .more_fragments = true, .ip_len = 28 },
		  DROPPED(DROP_FRAG_OVERLAP) },
		{ "second one that cuts into TCP's header",
		  RIG_CLIENT,
		  { C4, .proto = IPPROTO_TCP, .frag_id = 5, .frag_off = 8, .payload_len = 16 },
		  DROPPED(DROP_FRAG_OVERLAP) },
		{ "the same, further on",
		  RIG_CLIENT,
		  { C4, .proto = IPPROTO_TCP, .frag_id = 5, .frag_off = 16, .payload_len = 16 },
		  DROPPED(DROP_FRAG_OVERLAP) },
		{ "tiny first fragment of IPv6",
		  RIG_CLIENT,
		  { C6, TCP, .frag_id = 5, .more_fragments = true, .ip_len = 16 },
		  DROPPED(DROP_FRAG_OVERLAP) },
		{ "cuts into TCP's header, IPv6",
		  RIG_CLIENT,
		  { C6, .proto = IPPROTO_TCP, .frag_id = 5, .frag_off = 8, .payload_len = 16 },
		  DROPPED(DROP_FRAG_OVERLAP) },
		{ "cuts into SCTP's header",
		  RIG_CLIENT,
		  { C4, .proto = IPPROTO_SCTP, .frag_id = 5, .frag_off = 8, .payload_len = 16 },
		  DROPPED(DROP_FRAG_OVERLAP) },
	};

	rig_rows(rows, COUNT(rows));
}

Test(slot, later_fragments_take_the_way_of_the_first)
{
	const struct packet first = { C4, UDP, .frag_id = 3, .more_fragments = true,
				      .payload_len = 64 };
	const struct packet later = { C4, .proto = IPPROTO_UDP, .frag_id = 3, .frag_off = 72,
				      .payload_len = 64 };
	uint16_t slot = slot_of(RIG_CLIENT, &first);
	struct outcome outcome;

	cr_expect_eq(slot_of(RIG_CLIENT, &later), slot);
	cr_expect_eq(slot_of(RIG_SERVER,
			     PACKET(S4, .proto = IPPROTO_UDP, .sport = 53, .dport = 5000)),
		     slot);
	rig_run(RIG_CLIENT, &later, &outcome);
	cr_expect_eq(ntohs(option_of(&outcome)->port[0]), 5000, "the other host can't know it");
	cr_expect_eq(ntohs(option_of(&outcome)->port[1]), 53);
}

/* A destination options header behind the fragment header, and what the first one has behind it. */
#define OPTIONS_UDP(...)                                                                           \
	OCTETS(17, 0, 1, 4, 0, 0, 0, 0, 0x13, 0x88, 0, 53, 0, 40, 0, 0, __VA_ARGS__)
#define OPTIONS_GRE OCTETS(47, 0, 1, 4, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0)
#define FIRST	    .proto = 60, .more_fragments = true
#define LATER	    .frag_off = 16, .payload_len = 32

Test(slot, fragments_with_an_extension_header_behind)
{
	const struct row rows[] = {
		{ "later one first",
		  RIG_CLIENT,
		  { C6, LATER, .proto = 60, .frag_id = 3 },
		  DROPPED(DROP_FRAG_NO_FIRST) },
		{ "first",
		  RIG_CLIENT,
		  { C6, FIRST, .frag_id = 3, .payload = OPTIONS_UDP(1, 2, 3, 4, 5, 6, 7, 8) },
		  SENT },
		{ "later", RIG_CLIENT, { C6, LATER, .proto = 60, .frag_id = 3 }, SENT },
		{ "later, which says something else (RFC 8200, 4.5)",
		  RIG_CLIENT,
		  { C6, LATER, .proto = 47, .frag_id = 3 },
		  SENT },
		{ "of another datagram",
		  RIG_CLIENT,
		  { C6, LATER, .proto = 60, .frag_id = 4 },
		  DROPPED(DROP_FRAG_NO_FIRST) },
		{ "first one of a protocol without flows",
		  RIG_CLIENT,
		  { C6, FIRST, .frag_id = 5, .payload = OPTIONS_GRE },
		  PASSED(PASS_PROTOCOL) },
		{ "later",
		  RIG_CLIENT,
		  { C6, LATER, .proto = 60, .frag_id = 5 },
		  PASSED(PASS_PROTOCOL) },
		{ "forged: a flow's datagram begins again, without one",
		  RIG_CLIENT,
		  { C6, FIRST, .frag_id = 3, .payload = OPTIONS_GRE },
		  PASSED(PASS_PROTOCOL) },
		{ "and changes nothing",
		  RIG_CLIENT,
		  { C6, LATER, .proto = 60, .frag_id = 3 },
		  SENT },
		{ "its identification used again, by a flow",
		  RIG_CLIENT,
		  { C6, FIRST, .frag_id = 5, .payload = OPTIONS_UDP(1, 2, 3, 4, 5, 6, 7, 8) },
		  SENT },
		{ "later", RIG_CLIENT, { C6, LATER, .proto = 60, .frag_id = 5 }, SENT },
		{ "to this host, of any datagram",
		  RIG_CLIENT,
		  { .src = "2001:db8:1::2",
		    .dst = "2001:db8:1::1",
		    LATER,
		    .proto = 60,
		    .frag_id = 9 },
		  PASSED(PASS_LOCAL) },
	};
	const struct packet later = { C6, LATER, .proto = 60, .frag_id = 3 };
	struct ff_flow_key key = rig_key("udp [2001:db8:1::2]:5000 [2001:db8:2::2]:53");
	struct outcome outcome;

	rig_rows(rows, COUNT(rows));
	rig_run(RIG_CLIENT, &later, &outcome);
	cr_expect_eq(ntohs(option_of(&outcome)->slot), rig_slot(&key));
	cr_expect_eq(option_of(&outcome)->proto, IPPROTO_UDP, "the other host can't know it");
	cr_expect_eq(ntohs(option_of(&outcome)->port[0]), 5000);
	cr_expect_eq(ntohs(option_of(&outcome)->port[1]), 53);
}

/* An ICMPv6 error that is itself a fragment, and quotes a datagram in order to lead it astray. */
Test(slot, a_quote_is_no_first_fragment)
{
	static const struct packet gre = { C6, .proto = 47, .frag_id = 3, .more_fragments = true,
					   .payload_len = 32 };
	const struct row rows[] = {
		{ "quotes another first fragment",
		  RIG_SERVER,
		  { S6, .proto = IPPROTO_ICMPV6, .icmp_type = 1, .frag_id = 8,
		    .more_fragments = true, .quoted = &gre },
		  PASSED(PASS_PROTOCOL) },
		{ "later one of what it quotes",
		  RIG_CLIENT,
		  { C6, LATER, .proto = 60, .frag_id = 3 },
		  DROPPED(DROP_FRAG_NO_FIRST) },
	};

	rig_rows(rows, COUNT(rows));
}

/* ---- slots --------------------------------------------------------------------------------- */

Test(slot, slot_is_the_same_in_user_space_and_both_ways)
{
	static const char *const addresses[][2] = {
		{ "198.18.1.2", "198.18.2.2" },
		{ "198.18.2.2", "198.18.1.2" },
		{ "10.0.0.1", "10.0.0.1" },
		{ "1.2.3.4", "200.1.2.3" },
		{ "2001:db8:1::2", "2001:db8:2::2" },
		{ "fd00::ffff:1", "2001::1" },
		{ "::1:0:0:5", "::1:0:0:5" },
		{ "2001:db8::2:0:0", "2001:db8::1:ffff:ffff" },
	};
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };
	uint32_t slots_seen = 0;

	for (unsigned int i = 0; i < 600; i++) {
		const char *const *pair = addresses[i % COUNT(addresses)];
		bool v6 = strchr(pair[0], ':');
		struct packet there = { .src = pair[0],
					.dst = pair[1],
					.proto = protos[i % COUNT(protos)],
					.sport = (uint16_t)(i * 7919),
					.dport = (uint16_t)(i * 104729),
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

Test(slot, ping_has_one_slot_both_ways)
{
	struct ff_flow_key key = rig_key("icmp 198.18.1.2 198.18.2.2 id 77");
	struct ff_flow_key key6 = rig_key("icmp6 2001:db8:1::2 2001:db8:2::2 id 77");

	cr_expect_eq(slot_of(RIG_CLIENT,
			     PACKET(C4, .proto = IPPROTO_ICMP, .icmp_type = 8, .icmp_id = 77)),
		     rig_slot(&key));
	cr_expect_eq(slot_of(RIG_SERVER,
			     PACKET(S4, .proto = IPPROTO_ICMP, .icmp_type = 0, .icmp_id = 77)),
		     rig_slot(&key));
	cr_expect_eq(slot_of(RIG_CLIENT,
			     PACKET(C6, .proto = IPPROTO_ICMPV6, .icmp_type = 128, .icmp_id = 77)),
		     rig_slot(&key6));
	cr_expect_eq(slot_of(RIG_SERVER,
			     PACKET(S6, .proto = IPPROTO_ICMPV6, .icmp_type = 129, .icmp_id = 77)),
		     rig_slot(&key6));
}

/* ---- ICMP errors --------------------------------------------------------------------------- */

Test(slot, icmp_errors_take_the_way_of_what_they_quote)
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
			struct packet error = { .src = "203.0.113.7",
						.dst = "198.18.1.2",
						.proto = IPPROTO_ICMP,
						.icmp_type = types[t],
						.quoted = &flows[i] };

			cr_expect_eq(slot_of(RIG_SERVER, &error), slot_of(RIG_CLIENT, &flows[i]),
				     "flow %zu, type %u", i, types[t]);
			error.quoted_len = 28 + flows[i].ip_options.len; /* RFC 792: 64 bits */
			cr_expect_eq(slot_of(RIG_SERVER, &error), slot_of(RIG_CLIENT, &flows[i]),
				     "flow %zu, type %u, 64 bits", i, types[t]);
		}
	for (size_t i = 0; i < COUNT(flows6); i++)
		for (size_t t = 0; t < COUNT(types6); t++) {
			struct packet error = { .src = "2001:db8:77::7",
						.dst = "2001:db8:1::2",
						.proto = IPPROTO_ICMPV6,
						.icmp_type = types6[t],
						.quoted = &flows6[i] };

			cr_expect_eq(slot_of(RIG_SERVER, &error), slot_of(RIG_CLIENT, &flows6[i]),
				     "flow %zu of IPv6, type %u", i, types6[t]);
		}
}

Test(slot, icmp_errors_that_quote_no_flow)
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
		{ "nothing",
		  RIG_SERVER,
		  { S4, .proto = IPPROTO_ICMP, .icmp_type = 3 },
		  DROPPED(DROP_ICMP_QUOTE) },
		{ "half a header",
		  RIG_SERVER,
		  { S4, .proto = IPPROTO_ICMP, .icmp_type = 3, .quoted = &question,
		    .quoted_len = 12 },
		  DROPPED(DROP_ICMP_QUOTE) },
		{ "no ports",
		  RIG_SERVER,
		  { S4, .proto = IPPROTO_ICMP, .icmp_type = 3, .quoted = &question,
		    .quoted_len = 20 },
		  DROPPED(DROP_ICMP_QUOTE) },
		{ "a later fragment",
		  RIG_SERVER,
		  { S4, .proto = IPPROTO_ICMP, .icmp_type = 3, .quoted = &later },
		  DROPPED(DROP_ICMP_QUOTE) },
		{ "an error",
		  RIG_SERVER,
		  { S4, .proto = IPPROTO_ICMP, .icmp_type = 3, .quoted = &error },
		  DROPPED(DROP_ICMP_QUOTE) },
		{ "another version",
		  RIG_SERVER,
		  { S4, .proto = IPPROTO_ICMP, .icmp_type = 3, .quoted = &version },
		  DROPPED(DROP_ICMP_QUOTE) },
		{ "IPv6 in ICMP",
		  RIG_SERVER,
		  { S4, .proto = IPPROTO_ICMP, .icmp_type = 3, .quoted = &question6 },
		  DROPPED(DROP_ICMP_QUOTE) },
		{ "IPv4 in ICMPv6",
		  RIG_SERVER,
		  { S6, .proto = IPPROTO_ICMPV6, .icmp_type = 1, .quoted = &question },
		  DROPPED(DROP_ICMP_QUOTE) },
		{ "a protocol without flows",
		  RIG_SERVER,
		  { S4, .proto = IPPROTO_ICMP, .icmp_type = 3, .quoted = &gre },
		  PASSED(PASS_PROTOCOL) },
	};

	rig_rows(rows, COUNT(rows));
}
