/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_monitor.c - the monitor: what it keeps in each scope, and that it never drops. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>

#include "tests/prog/harness.h"

#define TCP_C  .proto = IPPROTO_TCP, .sport = 1234, .dport = 80
#define TCP_S  .proto = IPPROTO_TCP, .sport = 80, .dport = 1234
#define UDP_C  .proto = IPPROTO_UDP, .sport = 5000, .dport = 53
#define UDP_S  .proto = IPPROTO_UDP, .sport = 53, .dport = 5000
#define FLOW   "tcp 198.18.1.2:1234 198.18.2.2:80"
#define UFLOW  "udp 198.18.1.2:5000 198.18.2.2:53"
#define SYNACK (TH_SYN | TH_ACK)

static void monitor_init(void)
{
	rig_init("monitor", RIG_STEERING);
}

TestSuite(monitor, .init = monitor_init, .timeout = 60);

static const uint8_t *host_key(const char *address)
{
	static uint8_t key[16];

	memset(key, 0, sizeof(key));
	if (strchr(address, ':')) {
		cr_assert_eq(inet_pton(AF_INET6, address, key), 1);
	} else {
		key[10] = key[11] = 0xff;
		cr_assert_eq(inet_pton(AF_INET, address, key + 12), 1);
	}
	return key;
}

static uint64_t host(const char *address, const char *field, unsigned int index)
{
	return rig_value_field("mon_hosts", host_key(address), field, index);
}

static uint64_t totals(const char *field, unsigned int index)
{
	uint32_t zero = 0;

	return rig_value_field("mon_totals", &zero, field, index);
}

/* A struct mon_offer as a number: the port in network order, then the protocol. */
static uint64_t offer(uint16_t port, uint8_t proto)
{
	return (uint64_t)htons(port) | (uint64_t)proto << 16;
}

static const struct row tcp_life[] = {
	{ "SYN", RIG_CLIENT, { C4, TCP_C, .tcp_flags = TH_SYN }, SENT },
	{ "SYN+ACK", RIG_SERVER, { S4, TCP_S, .tcp_flags = SYNACK }, SENT },
	{ "ACK", RIG_CLIENT, { C4, TCP_C, .tcp_flags = TH_ACK }, SENT },
	{ "data",
	  RIG_CLIENT,
	  { C4, TCP_C, .tcp_flags = TH_ACK | TH_PUSH, .payload_len = 100 },
	  SENT },
	{ "more", RIG_SERVER, { S4, TCP_S, .tcp_flags = TH_ACK, .payload_len = 1400 }, SENT },
};

Test(monitor, flow_counters_and_flags)
{
	rig_rows(tcp_life, COUNT(tcp_life));
	cr_expect_eq(rig_flow(FLOW, "packets", 0), 3);
	cr_expect_eq(rig_flow(FLOW, "packets", 1), 2);
	cr_expect_eq(rig_flow(FLOW, "bytes", 0), 3 * 40 + 100);
	cr_expect_eq(rig_flow(FLOW, "bytes", 1), 2 * 40 + 1400);
	cr_expect_eq(rig_flow(FLOW, "tcp_flags", 0), TH_SYN | TH_ACK | TH_PUSH);
	cr_expect_eq(rig_flow(FLOW, "tcp_flags", 1), TH_SYN | TH_ACK);
	cr_expect_eq(rig_flow(FLOW, "opener", 0), 1);
	cr_expect_eq(rig_flow(FLOW, "answered", 0), 1);
	cr_expect_gt(rig_flow(FLOW, "first_ns", 0), 0);
	cr_expect_gt(rig_flow(FLOW, "last_ns", 0), rig_flow(FLOW, "first_ns", 0));
	cr_expect_eq(rig_flow_lifetime_s(FLOW), 300);
}

Test(monitor, mid_stream_is_watched_too)
{
	rig_rows(tcp_life + 4, 1);
	cr_expect_eq(rig_flow(FLOW, "opener", 0), 2, "the server was seen first");
	cr_expect_eq(rig_flow(FLOW, "answered", 0), 0);
}

Test(monitor, lifetime_follows_the_end)
{
	const struct row rst = { "RST", RIG_CLIENT, { C4, TCP_C, .tcp_flags = TH_RST }, SENT };
	const struct row fins[] = {
		{ "FIN", RIG_CLIENT, { C6, TCP_C, .tcp_flags = TH_FIN | TH_ACK }, SENT },
		{ "FIN", RIG_SERVER, { S6, TCP_S, .tcp_flags = TH_FIN | TH_ACK }, SENT },
	};
	const char *flow6 = "tcp [2001:db8:1::2]:1234 [2001:db8:2::2]:80";

	rig_config_set("idle_s", 0, 50);
	rig_rows(tcp_life, COUNT(tcp_life));
	cr_expect_eq(rig_flow_lifetime_s(FLOW), 50);
	rig_rows(&rst, 1);
	cr_expect_eq(rig_flow_lifetime_s(FLOW), 10);
	rig_config_set("closed_s", 0, 5);
	rig_rows(fins, 1);
	cr_expect_eq(rig_flow_lifetime_s(flow6), 50);
	rig_rows(fins + 1, 1);
	cr_expect_eq(rig_flow_lifetime_s(flow6), 5);
}

Test(monitor, expired_flow_starts_afresh)
{
	rig_rows(tcp_life, COUNT(tcp_life));
	rig_flow_expire(FLOW);
	cr_expect_not(rig_flow_known(FLOW));
	rig_rows(tcp_life + 1, 1);
	cr_expect_eq(rig_flow(FLOW, "packets", 0), 0);
	cr_expect_eq(rig_flow(FLOW, "packets", 1), 1);
	cr_expect_eq(rig_flow(FLOW, "opener", 0), 2);
	cr_expect_eq(rig_flows(), 1);
}

Test(monitor, hosts_and_what_they_offer)
{
	const struct row rows[] = {
		{ "DNS question", RIG_CLIENT, { C4, UDP_C }, SENT },
		{ "DNS answer", RIG_SERVER, { S4, UDP_S }, SENT },
		{ "DNS answer again", RIG_SERVER, { S4, UDP_S }, SENT },
		{ "SYN+ACK again", RIG_SERVER, { S4, TCP_S, .tcp_flags = SYNACK }, SENT },
		{ "RST from a closed port",
		  RIG_SERVER,
		  { S4, .proto = IPPROTO_TCP, .sport = 81, .dport = 9, .tcp_flags = TH_RST },
		  SENT },
	};

	rig_rows(tcp_life, COUNT(tcp_life));
	rig_rows(rows, COUNT(rows));
	cr_expect_eq(host("198.18.1.2", "packets", 0), 4);
	cr_expect_eq(host("198.18.1.2", "bytes", 0), 3 * 40 + 100 + 28);
	cr_expect_eq(host("198.18.1.2", "flows", 0), 2);
	cr_expect_eq(host("198.18.1.2", "offers_count", 0), 0);
	cr_expect_eq(host("198.18.2.2", "packets", 0), 6);
	cr_expect_eq(host("198.18.2.2", "flows", 0), 1, "the RST out of nowhere");
	cr_expect_eq(host("198.18.2.2", "offers_count", 0), 2);
	cr_expect_eq(host("198.18.2.2", "offers", 0), offer(80, IPPROTO_TCP));
	cr_expect_eq(host("198.18.2.2", "offers", 1), offer(53, IPPROTO_UDP));
	cr_expect_eq(host("198.18.2.2", "offers_more", 0), 0);
	cr_expect_gt(host("198.18.2.2", "last_ns", 0), host("198.18.2.2", "first_ns", 0));
}

Test(monitor, offers_are_bounded)
{
	struct packet synack = { S4, .proto = IPPROTO_TCP, .dport = 9, .tcp_flags = SYNACK };
	struct outcome outcome;

	for (uint16_t port = 1; port <= 40; port++) {
		synack.sport = port;
		rig_run(RIG_SERVER, &synack, &outcome);
		cr_assert_eq(outcome.verdict, XDP_REDIRECT);
	}
	cr_expect_eq(host("198.18.2.2", "offers_count", 0), 32);
	cr_expect_eq(host("198.18.2.2", "offers", 31), offer(32, IPPROTO_TCP));
	cr_expect_eq(host("198.18.2.2", "offers_more", 0), 8);
}

Test(monitor, fingerprint_of_a_syn)
{
	const struct row rows[] = {
		/* Linux: MSS 1460, SACK, timestamps, NOP, window scale 7 */
		{ "IPv4",
		  RIG_CLIENT,
		  { C4, TCP_C, .tcp_flags = TH_SYN, .window = 64240, .ttl = 57,
		    .dont_fragment = true,
		    .tcp_options = OCTETS(2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3,
					  3, 7) },
		  SENT },
		{ "IPv6",
		  RIG_CLIENT,
		  { C6, TCP_C, .tcp_flags = TH_SYN, .window = 65535, .ttl = 128,
		    .tcp_options = OCTETS(2, 4, 5, 0xa0, 1, 3, 3, 8, 1, 1, 4, 2) },
		  SENT },
		{ "not a SYN",
		  RIG_CLIENT,
		  { C6, TCP_C, .tcp_flags = TH_ACK, .window = 1, .ttl = 9 },
		  SENT },
	};

	rig_rows(rows, COUNT(rows));
	cr_expect_eq(host("198.18.1.2", "layout", 0), 0x24813);
	cr_expect_eq(host("198.18.1.2", "mss", 0), 1460);
	cr_expect_eq(host("198.18.1.2", "scale", 0), 7);
	cr_expect_eq(host("198.18.1.2", "window", 0), 64240);
	cr_expect_eq(host("198.18.1.2", "ttl", 0), 57);
	cr_expect_eq(host("198.18.1.2", "dont_fragment", 0), 1);
	cr_expect_eq(host("198.18.1.2", "syns", 0), 1);
	cr_expect_eq(host("2001:db8:1::2", "layout", 0), 0x213114);
	cr_expect_eq(host("2001:db8:1::2", "mss", 0), 1440);
	cr_expect_eq(host("2001:db8:1::2", "ttl", 0), 128);
	cr_expect_eq(host("2001:db8:1::2", "window", 0), 65535);
}

Test(monitor, histograms)
{
	static const size_t sizes[] = { 0, 35, 36, 99, 227, 228, 1400 }; /* L3: + 28 */
	static const struct packet question = { C4, UDP_C };
	const struct row rows[] = {
		{ "SCTP", RIG_CLIENT, { C4, .proto = IPPROTO_SCTP, .sport = 1, .dport = 2 }, SENT },
		{ "ping", RIG_CLIENT, { C4, .proto = IPPROTO_ICMP, .icmp_type = 8 }, SENT },
		{ "ping of IPv6",
		  RIG_CLIENT,
		  { C6, .proto = IPPROTO_ICMPV6, .icmp_type = 128 },
		  SENT },
		{ "error",
		  RIG_SERVER,
		  { S4, .proto = IPPROTO_ICMP, .icmp_type = 3, .quoted = &question },
		  SENT },
		{ "fragment",
		  RIG_CLIENT,
		  { C4, UDP_C, .frag_id = 1, .more_fragments = true },
		  SENT },
	};
	struct packet packet = question;
	struct outcome outcome;

	for (size_t i = 0; i < COUNT(sizes); i++) {
		packet.payload_len = sizes[i];
		rig_run(RIG_CLIENT, &packet, &outcome);
		cr_assert_eq(outcome.verdict, XDP_REDIRECT);
	}
	cr_expect_eq(totals("sizes", 0), 2); /* 28, 63 */
	cr_expect_eq(totals("sizes", 1), 2); /* 64, 127 */
	cr_expect_eq(totals("sizes", 2), 1); /* 255 */
	cr_expect_eq(totals("sizes", 3), 1); /* 256 */
	cr_expect_eq(totals("sizes", 5), 1); /* 1428 */
	rig_rows(rows, COUNT(rows));
	cr_expect_eq(totals("packets", 0), 12);
	cr_expect_eq(totals("udp", 0), 8);
	cr_expect_eq(totals("tcp", 0), 0);
	cr_expect_eq(totals("sctp", 0), 1);
	cr_expect_eq(totals("icmp", 0), 2);
	cr_expect_eq(totals("icmp6", 0), 1);
	cr_expect_eq(totals("ipv4", 0), 11);
	cr_expect_eq(totals("ipv6", 0), 1);
	cr_expect_eq(totals("fragments", 0), 1);
	cr_expect_eq(totals("related", 0), 1);
	cr_expect_eq(rig_flow(UFLOW, "related", 0), 1);
	cr_expect_eq(rig_flow(UFLOW, "packets", 0), 8);
	cr_expect_eq(rig_flow(UFLOW, "packets", 1), 0);
	cr_expect_eq(rig_flow(UFLOW, "fragments", 0), 1);
}

Test(monitor, full_table_stops_nothing)
{
	const struct row known = { "known flow", RIG_CLIENT, { C4, UDP_C }, SENT };
	const struct row unknown = { "no room",
				     RIG_CLIENT,
				     { C4, TCP_C, .tcp_flags = TH_SYN },
				     XDP_REDIRECT,
				     REASON(NF_TABLE_FULL) };
	const struct row refused = { "no room, strict",
				     RIG_CLIENT,
				     { C4, TCP_C, .tcp_flags = TH_SYN },
				     DROPPED(NF_TABLE_FULL) };

	rig_capacity_set(1);
	rig_rows(&known, 1);
	rig_rows(&unknown, 1);
	rig_rows(&known, 1);
	cr_expect_eq(rig_flow(UFLOW, "packets", 0), 2);
	cr_expect_eq(totals("flows_unkept", 0), 1);
	cr_expect_eq(host("198.18.1.2", "packets", 0), 3, "the host counts all the same");
	cr_expect_eq(rig_stats().flows_refused, 1);
	rig_config_set("full_drop", 0, 1);
	rig_rows(&refused, 1);
}

Test(monitor, counters_are_exact_on_two_cpus)
{
	const unsigned int count = 50000;

	rig_run_twice(PACKET(C4, TCP_C, .tcp_flags = TH_SYN),
		      PACKET(S4, TCP_S, .tcp_flags = SYNACK), RIG_CLIENT, RIG_SERVER, count);
	cr_expect_eq(rig_flow(FLOW, "packets", 0), count);
	cr_expect_eq(rig_flow(FLOW, "packets", 1), count);
	cr_expect_eq(rig_flow(FLOW, "bytes", 0), count * 40);
	cr_expect_eq(host("198.18.1.2", "packets", 0), count);
	cr_expect_eq(host("198.18.1.2", "syns", 0), count);
	cr_expect_eq(host("198.18.2.2", "packets", 0), count);
	cr_expect_eq(host("198.18.2.2", "offers_count", 0), 1);
	cr_expect_eq(totals("packets", 0), 2 * count);
	cr_expect_eq(totals("bytes", 0), 80 * count);
	cr_expect_eq(rig_flows(), 1);
	cr_expect_eq(host("198.18.1.2", "flows", 0) + host("198.18.2.2", "flows", 0), 1);
	/* one direction from both CPUs */
	rig_run_twice(PACKET(S4, UDP_S), PACKET(S4, UDP_S), RIG_SERVER, RIG_SERVER, count);
	cr_expect_eq(rig_flow(UFLOW, "packets", 1), 2 * count);
	cr_expect_eq(host("198.18.2.2", "packets", 0), 3 * count);
}
