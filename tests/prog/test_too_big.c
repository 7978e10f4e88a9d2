/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_too_big.c - packets that no longer fit once encapsulated: the ICMP answer, byte by byte. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>

#include "tests/prog/harness.h"

#define UDP_C	  .proto = IPPROTO_UDP, .sport = 5000, .dport = 53

#define INNER_MTU (RIG_MTU - (FF_ENCAP_V4 - 14) - 14) /* what is left for the inner IP packet */

static void too_big_init(void)
{
	rig_init(NULL, RIG_ALL);
	rig_owner_set_all(&(struct ff_steer){ .owner = RIG_THERE });
}

TestSuite(too_big, .init = too_big_init, .timeout = 120);

static void run_too_big(const struct packet *packet, struct frame *ret_sent,
			struct outcome *ret_outcome)
{
	packet_build(packet, ret_sent);
	rig_run_frame(RIG_CLIENT, ret_sent->data, ret_sent->len, ret_outcome);
	cr_assert_eq(ret_outcome->reasons, REASON(DROP_TOO_BIG), "%s",
		     rig_reasons_text(ret_outcome->reasons));
	cr_assert_eq(ret_outcome->verdict, XDP_REDIRECT, "no answer");
}

/* Back to where it came from, from the interface it came in by, tags kept. */
static void ethernet_expect(const struct outcome *answer, const struct frame *sent)
{
	cr_expect_arr_eq(answer->out.data, sent->data + 6, 6, "to the sender");
	cr_expect_arr_eq(answer->out.data + 6, PACKET_MAC_DST, 6, "from c0");
	cr_expect_arr_eq(answer->out.data + 12, sent->data + 12, sent->l3_off - 12, "tags");
	cr_expect(packet_checksum_ok(answer->out.data, answer->out.len), "checksum:\n%s",
		  packet_dump(answer->out.data, answer->out.len));
}

static void ipv4_expect(const struct packet *packet, size_t mtu)
{
	struct outcome answer;
	struct frame sent;
	const uint8_t *ip;
	size_t quoted;

	run_too_big(packet, &sent, &answer);
	ethernet_expect(&answer, &sent);
	ip = answer.out.data + sent.l3_off;
	quoted = answer.out.len - sent.l3_off - 28;
	cr_expect_eq(ip[0], 0x45);
	cr_expect_eq(ntohs(*(uint16_t *)(ip + 2)), answer.out.len - sent.l3_off);
	cr_expect_eq(ip[9], IPPROTO_ICMP);
	cr_expect_arr_eq(ip + 12, ((uint8_t[]){ 198, 18, 1, 1 }), 4, "from c0's address");
	cr_expect_arr_eq(ip + 16, ((uint8_t[]){ 198, 18, 1, 2 }), 4, "to the sender");
	cr_expect_eq(ip[20], 3, "destination unreachable");
	cr_expect_eq(ip[21], 4, "fragmentation needed");
	cr_expect_eq(ntohs(*(uint16_t *)(ip + 26)), mtu, "MTU %u", ntohs(*(uint16_t *)(ip + 26)));
	cr_expect_geq(quoted, 28, "RFC 792");
	cr_expect_leq(quoted, 576 - 28, "RFC 1812, 4.3.2.3");
	cr_expect_arr_eq(ip + 28, sent.data + sent.l3_off, quoted, "the quote is the packet");
}

static void ipv6_expect(const struct packet *packet, size_t mtu)
{
	struct outcome answer;
	struct frame sent;
	const uint8_t *ip;
	uint8_t from[16];
	size_t quoted;

	run_too_big(packet, &sent, &answer);
	ethernet_expect(&answer, &sent);
	ip = answer.out.data + sent.l3_off;
	quoted = answer.out.len - sent.l3_off - 48;
	inet_pton(AF_INET6, "2001:db8:1::1", from);
	cr_expect_eq(ntohs(*(uint16_t *)(ip + 4)), answer.out.len - sent.l3_off - 40);
	cr_expect_eq(ip[6], IPPROTO_ICMPV6);
	cr_expect_arr_eq(ip + 8, from, 16, "from c0's address");
	cr_expect_arr_eq(ip + 24, sent.data + sent.l3_off + 8, 16, "to the sender");
	cr_expect_eq(ip[40], 2, "packet too big");
	cr_expect_eq(ip[41], 0);
	cr_expect_eq(ntohl(*(uint32_t *)(ip + 44)), mtu, "MTU %u", ntohl(*(uint32_t *)(ip + 44)));
	cr_expect_eq(quoted, 1280 - 48, "as much as fits: RFC 4443, 2.4 (c)");
	cr_expect_arr_eq(ip + 48, sent.data + sent.l3_off, quoted, "the quote is the packet");
}

Test(too_big, ipv4)
{
	ipv4_expect(PACKET(C4, UDP_C, .dont_fragment = true, .payload_len = 1472), INNER_MTU);
	ipv4_expect(PACKET(C4, UDP_C, .dont_fragment = true, .payload_len = 1471), INNER_MTU);
	ipv4_expect(PACKET(C4, .proto = IPPROTO_TCP, .tcp_flags = TH_ACK, .dont_fragment = true,
			   .ip_options = OCTETS(7, 7, 4, 0, 0, 0, 0), .payload_len = 1448),
		    INNER_MTU);
}

Test(too_big, ipv6)
{
	ipv6_expect(PACKET(C6, UDP_C, .payload_len = 1452), INNER_MTU);
	ipv6_expect(PACKET(C6, UDP_C, .payload_len = 1451), INNER_MTU);
	ipv6_expect(PACKET(C6, .proto = IPPROTO_TCP, .tcp_flags = TH_ACK, .ext = { 60 },
			   .ext_count = 1, .payload_len = 1400),
		    INNER_MTU);
}

Test(too_big, tags_count)
{
	ipv4_expect(PACKET(C4, UDP_C, .vlan = { 7 }, .dont_fragment = true, .payload_len = 1440),
		    INNER_MTU - 4);
	ipv6_expect(PACKET(C6, UDP_C, .vlan = { 7, 8 }, .payload_len = 1440), INNER_MTU - 8);
}

/* What the answer names must be right to the byte: that much passes, one more doesn't. */
Test(too_big, the_mtu_told_is_the_one_that_fits)
{
	const struct row rows[] = {
		{ "IPv4, fits", RIG_CLIENT, { C4, UDP_C, .payload_len = INNER_MTU - 28 }, SENT },
		{ "IPv4, one more",
		  RIG_CLIENT,
		  { C4, UDP_C, .payload_len = INNER_MTU - 27 },
		  XDP_REDIRECT,
		  REASON(DROP_TOO_BIG) },
		{ "IPv6, fits", RIG_CLIENT, { C6, UDP_C, .payload_len = INNER_MTU - 48 }, SENT },
		{ "IPv6, one more",
		  RIG_CLIENT,
		  { C6, UDP_C, .payload_len = INNER_MTU - 47 },
		  XDP_REDIRECT,
		  REASON(DROP_TOO_BIG) },
		{ "tagged, fits",
		  RIG_CLIENT,
		  { C4, UDP_C, .vlan = { 1 }, .payload_len = INNER_MTU - 32 },
		  SENT },
		{ "tagged, one more",
		  RIG_CLIENT,
		  { C4, UDP_C, .vlan = { 1 }, .payload_len = INNER_MTU - 31 },
		  XDP_REDIRECT,
		  REASON(DROP_TOO_BIG) },
	};

	rig_rows(rows, COUNT(rows));
}

/* RFC 1122, 3.2.2 and RFC 4443, 2.4 (e): never an error about an error, or a later fragment. */
Test(too_big, some_are_never_answered)
{
	static const struct packet question = { C4, UDP_C, .payload_len = 1400 };
	const struct row rows[] = {
		{ "ICMP error",
		  RIG_SERVER,
		  { .src = "198.18.2.2",
		    .dst = "198.18.1.2",
		    .proto = IPPROTO_ICMP,
		    .icmp_type = 3,
		    .quoted = &question,
		    .padding = 60 },
		  DROPPED(DROP_TOO_BIG) },
		{ "first fragment",
		  RIG_CLIENT,
		  { C4, UDP_C, .frag_id = 1, .more_fragments = true, .payload_len = 1448 },
		  XDP_REDIRECT,
		  REASON(DROP_TOO_BIG) },
		{ "later fragment",
		  RIG_CLIENT,
		  { C4, .proto = IPPROTO_UDP, .frag_id = 1, .frag_off = 1456, .payload_len = 1448 },
		  DROPPED(DROP_TOO_BIG) },
	};

	rig_rows(rows, COUNT(rows));
}
