/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_firewall.c - the firewall but for TCP's lives: rules, other protocols, time, room. */
#include <bpf/bpf.h>
#include <criterion/criterion.h>

#include "tests/prog/firewall_rig.h"

#define ECHO6  .proto = IPPROTO_ICMPV6, .icmp_type = 128, .icmp_id = 77
#define REPLY6 .proto = IPPROTO_ICMPV6, .icmp_type = 129, .icmp_id = 77
#define PING   "icmp 198.18.1.2 198.18.2.2 id 77"

TestSuite(firewall, .init = firewall_init, .timeout = 60);

/* ---- pseudo-states ------------------------------------------------------------------------- */

Test(firewall, udp)
{
	static const struct row ask[] = {
		{ "question", RIG_CLIENT, { C4, UDP_C, .payload_len = 10 }, SENT },
	};
	const struct row answer[] = {
		{ "answer", RIG_SERVER, { S4, UDP_S, .payload_len = 100 }, SENT },
		{ "answer to another port",
		  RIG_SERVER,
		  { S4, .proto = IPPROTO_UDP, .sport = 53, .dport = 5001 },
		  SENT },
	};

	rig_rows(ask, COUNT(ask));
	state_expect(UDP_FLOW, "FW_UDP_NEW");
	cr_expect_eq(rig_flow_lifetime_s(UDP_FLOW), 30);
	rig_rows(ask, COUNT(ask));
	state_expect(UDP_FLOW, "FW_UDP_NEW");
	rig_rows(answer, COUNT(answer));
	state_expect(UDP_FLOW, "FW_UDP_REPLIED");
	cr_expect_eq(rig_flow_lifetime_s(UDP_FLOW), 120);
	cr_expect_eq(rig_flow(UDP_FLOW, "packets", 0), 2);
	cr_expect_eq(rig_flow(UDP_FLOW, "packets", 1), 1);
	cr_expect_eq(rig_flow(UDP_FLOW, "bytes", 1), 128);
	cr_expect_eq(rig_flows(), 2, "the answer to another port is a flow of its own");
}

Test(firewall, ping)
{
	const struct row rows[] = {
		{ "reply to nothing", RIG_SERVER, { S4, REPLY }, DROPPED(NF_NO_STATE) },
		{ "question", RIG_CLIENT, { C4, ECHO, .payload_len = 56 }, SENT },
		{ "reply", RIG_SERVER, { S4, REPLY, .payload_len = 56 }, SENT },
		{ "reply with another id",
		  RIG_SERVER,
		  { S4, .proto = IPPROTO_ICMP, .icmp_type = 0, .icmp_id = 78 },
		  DROPPED(NF_NO_STATE) },
		{ "reply of IPv6 to nothing", RIG_SERVER, { S6, REPLY6 }, DROPPED(NF_NO_STATE) },
		{ "question of IPv6", RIG_CLIENT, { C6, ECHO6 }, SENT },
		{ "reply of IPv6", RIG_SERVER, { S6, REPLY6 }, SENT },
	};

	rig_rows(rows, COUNT(rows));
	state_expect(PING, "FW_ICMP_REPLIED");
	state_expect("icmp6 2001:db8:1::2 2001:db8:2::2 id 77", "FW_ICMP_REPLIED");
	cr_expect_eq(rig_flows(), 2);
}

#define SCTP_C	  .proto = IPPROTO_SCTP, .sport = 1000, .dport = 2000
#define SCTP_S	  .proto = IPPROTO_SCTP, .sport = 2000, .dport = 1000
#define SCTP_FLOW "sctp 198.18.1.2:1000 198.18.2.2:2000"
/* what follows the chunk's header of INIT and INIT ACK: the initiate tag, and the rest of it */
#define TAG_C .payload = OCTETS(0, 0, 0, 0xcc, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1)
#define TAG_S .payload = OCTETS(0, 0, 0, 0x55, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1)

Test(firewall, sctp_without_an_association)
{
	const struct row rows[] = {
		{ "DATA without state",
		  RIG_CLIENT,
		  { C4, SCTP_C, .sctp_tag = 0x55 },
		  DROPPED(NF_NO_STATE) },
		{ "INIT cut short",
		  RIG_CLIENT,
		  { C4, SCTP_C, .sctp_chunk = 1 },
		  DROPPED(NF_INVALID) },
		{ "INIT with initiate tag 0",
		  RIG_CLIENT,
		  { C4, SCTP_C, .sctp_chunk = 1, .payload = OCTETS(0, 0, 0, 0) },
		  DROPPED(NF_INVALID) },
	};

	rig_rows(rows, COUNT(rows));
	cr_expect_eq(rig_flows(), 0);
}

Test(firewall, sctp)
{
	const struct {
		struct row row;
		const char *state;
	} life[] = {
		{ { "INIT", RIG_CLIENT, { C4, SCTP_C, .sctp_chunk = 1, TAG_C }, SENT },
		  "FW_SCTP_COOKIE_WAIT" },
		{ { "INIT again", RIG_CLIENT, { C4, SCTP_C, .sctp_chunk = 1, TAG_C }, SENT },
		  "FW_SCTP_COOKIE_WAIT" },
		{ { "INIT with a tag",
		    RIG_CLIENT,
		    { C4, SCTP_C, .sctp_chunk = 1, .sctp_tag = 1, TAG_C },
		    DROPPED(NF_INVALID) },
		  "FW_SCTP_COOKIE_WAIT" },
		{ { "INIT ACK",
		    RIG_SERVER,
		    { S4, SCTP_S, .sctp_chunk = 2, .sctp_tag = 0xcc, TAG_S },
		    SENT },
		  "FW_SCTP_COOKIE_WAIT" },
		{ { "COOKIE ECHO",
		    RIG_CLIENT,
		    { C4, SCTP_C, .sctp_chunk = 10, .sctp_tag = 0x55 },
		    SENT },
		  "FW_SCTP_COOKIE_ECHOED" },
		{ { "COOKIE ACK",
		    RIG_SERVER,
		    { S4, SCTP_S, .sctp_chunk = 11, .sctp_tag = 0xcc },
		    SENT },
		  "FW_SCTP_ESTABLISHED" },
		{ { "DATA", RIG_CLIENT, { C4, SCTP_C, .sctp_chunk = 0, .sctp_tag = 0x55 }, SENT },
		  "FW_SCTP_ESTABLISHED" },
		{ { "ABORT with a foreign tag",
		    RIG_SERVER,
		    { S4, SCTP_S, .sctp_chunk = 6, .sctp_tag = 0x99 },
		    SENT },
		  "FW_SCTP_ESTABLISHED" },
		{ { "SHUTDOWN",
		    RIG_CLIENT,
		    { C4, SCTP_C, .sctp_chunk = 7, .sctp_tag = 0x55 },
		    SENT },
		  "FW_SCTP_SHUTDOWN" },
		{ { "SHUTDOWN ACK",
		    RIG_SERVER,
		    { S4, SCTP_S, .sctp_chunk = 8, .sctp_tag = 0xcc },
		    SENT },
		  "FW_SCTP_SHUTDOWN" },
		{ { "SHUTDOWN COMPLETE",
		    RIG_CLIENT,
		    { C4, SCTP_C, .sctp_chunk = 14, .sctp_tag = 0x55 },
		    SENT },
		  "FW_SCTP_CLOSED" },
		{ { "a new INIT", RIG_SERVER, { S4, SCTP_S, .sctp_chunk = 1, TAG_S }, SENT },
		  "FW_SCTP_COOKIE_WAIT" },
		{ { "ABORT in answer",
		    RIG_CLIENT,
		    { C4, SCTP_C, .sctp_chunk = 6, .sctp_tag = 0x55 },
		    SENT },
		  "FW_SCTP_CLOSED" },
	};

	for (size_t i = 0; i < COUNT(life); i++) {
		rig_rows(&life[i].row, 1);
		state_expect(SCTP_FLOW, life[i].state);
	}
	cr_expect_eq(rig_flow(SCTP_FLOW, "outside", 0), 1);
}

/* ---- ICMP errors and fragments ------------------------------------------------------------- */

Test(firewall, icmp_errors_need_the_flow)
{
	static const struct packet question = { C4, UDP_C, .payload_len = 20 };
	static const struct packet question6 = { C6, UDP_C, .payload_len = 20 };
	const struct row rows[] = {
		{ "error about nothing",
		  RIG_SERVER,
		  { .src = "198.18.2.9",
		    .dst = "198.18.1.2",
		    .proto = IPPROTO_ICMP,
		    .icmp_type = 3,
		    .icmp_code = 3,
		    .quoted = &question,
		    .quoted_len = 28 },
		  DROPPED(NF_NO_STATE) },
		{ "the flow", RIG_CLIENT, question, SENT },
		{ "port unreachable",
		  RIG_SERVER,
		  { S4, .proto = IPPROTO_ICMP, .icmp_type = 3, .icmp_code = 3, .quoted = &question,
		    .quoted_len = 28 },
		  SENT },
		{ "from a router on the way",
		  RIG_SERVER,
		  { .src = "198.18.2.9",
		    .dst = "198.18.1.2",
		    .proto = IPPROTO_ICMP,
		    .icmp_type = 11,
		    .quoted = &question },
		  SENT },
		{ "the flow of IPv6", RIG_CLIENT, question6, SENT },
		{ "packet too big",
		  RIG_SERVER,
		  { .src = "2001:db8:2::9",
		    .dst = "2001:db8:1::2",
		    .proto = IPPROTO_ICMPV6,
		    .icmp_type = 2,
		    .icmp_info = 1280,
		    .quoted = &question6 },
		  SENT },
	};

	rig_rows(rows, 2);
	cr_expect_eq(rig_flow_lifetime_s(UDP_FLOW), 30);
	rig_rows(rows + 2, COUNT(rows) - 2);
	state_expect(UDP_FLOW, "FW_UDP_NEW"); /* an error is no reply */
	cr_expect_eq(rig_flow(UDP_FLOW, "related", 0), 2);
	cr_expect_eq(rig_flow(UDP_FLOW, "packets", 0), 1);
	cr_expect_eq(rig_flow(UDP_FLOW, "packets", 1), 0);
	cr_expect_eq(rig_flow("udp [2001:db8:1::2]:5000 [2001:db8:2::2]:53", "related", 0), 1);
}

Test(firewall, fragments_count_for_their_flow)
{
	const struct row rows[] = {
		{ "first fragment",
		  RIG_CLIENT,
		  { C4, UDP_C, .frag_id = 7, .more_fragments = true, .payload_len = 1000 },
		  SENT },
		{ "middle one",
		  RIG_CLIENT,
		  { C4, .proto = IPPROTO_UDP, .frag_id = 7, .frag_off = 1008,
		    .more_fragments = true, .payload_len = 800 },
		  SENT },
		{ "last one",
		  RIG_CLIENT,
		  { C4, .proto = IPPROTO_UDP, .frag_id = 7, .frag_off = 1808, .payload_len = 5 },
		  SENT },
		{ "of IPv6: first",
		  RIG_CLIENT,
		  { C6, UDP_C, .frag_id = 8, .more_fragments = true, .payload_len = 1000 },
		  SENT },
		{ "of IPv6: last",
		  RIG_CLIENT,
		  { C6, .proto = IPPROTO_UDP, .frag_id = 8, .frag_off = 1008, .payload_len = 9 },
		  SENT },
	};

	rig_rows(rows, COUNT(rows));
	cr_expect_eq(rig_flow(UDP_FLOW, "packets", 0), 3);
	cr_expect_eq(rig_flow(UDP_FLOW, "bytes", 0), 1028 + 820 + 25);
	cr_expect_eq(rig_flow("udp [2001:db8:1::2]:5000 [2001:db8:2::2]:53", "packets", 0), 2);
	cr_expect_eq(rig_flows(), 2);
}

/* A first fragment that the firewall refuses opens no way for the later ones. */
Test(firewall, later_fragments_of_an_unknown_flow)
{
	const struct row rows[] = {
		{ "first, in mid-stream",
		  RIG_CLIENT,
		  { C4, TCP_C, .tcp_flags = TH_ACK, .frag_id = 7, .more_fragments = true,
		    .payload_len = 1000 },
		  DROPPED(NF_NO_STATE) },
		{ "later",
		  RIG_CLIENT,
		  { C4, .proto = IPPROTO_TCP, .frag_id = 7, .frag_off = 1024, .payload_len = 80 },
		  DROPPED(NF_NO_STATE) },
	};

	rig_rows(rows, COUNT(rows));
	cr_expect_eq(rig_flows(), 0);
}

/* ---- room ---------------------------------------------------------------------------------- */

Test(firewall, syn_flood_harms_no_existing_flow)
{
	const struct row life[] = {
		syn_c,
		synack_s,
		{ "ACK", RIG_CLIENT, { C4, TCP_C, .tcp_flags = TH_ACK, .seq = 1, .ack = 1 }, SENT },
	};
	struct packet flood = { C4, .proto = IPPROTO_TCP, .dport = 80, .tcp_flags = TH_SYN };
	unsigned int refused = 0, opened = 0;
	struct outcome outcome;

	rig_capacity_set(100);
	rig_rows(life, COUNT(life));
	for (uint16_t port = 10000; port < 10300; port++) {
		flood.sport = port;
		rig_run(RIG_CLIENT, &flood, &outcome);
		opened += outcome.verdict == XDP_REDIRECT;
		refused += outcome.verdict == XDP_DROP && outcome.reasons == REASON(NF_TABLE_FULL);
	}
	cr_expect_eq(opened, 99, "%u opened", opened);
	cr_expect_eq(refused, 201, "%u refused", refused);
	cr_expect_eq(rig_flows(), 100);
	cr_expect_eq(rig_stats().flows_refused, 201);
	cr_expect_eq(rig_stats().flows_new, 100);
	rig_rows(&(struct row){ "the old flow goes on",
				RIG_SERVER,
				{ S4, TCP_S, .tcp_flags = TH_ACK, .seq = 1, .ack = 1,
				  .payload_len = 99 },
				SENT },
		 1);
	state_expect(TCP_FLOW, "FW_ESTABLISHED");
	/* an expired flow's place is taken again by the same flow, without growing */
	rig_flow_expire(TCP_FLOW);
	rig_rows(&syn_c, 1);
	cr_expect_eq(rig_flows(), 100);
}

/* ---- two CPUs ------------------------------------------------------------------------------ */

Test(firewall, counters_are_exact_on_two_cpus)
{
	const unsigned int count = 50000;

	rig_run_twice(PACKET(C4, UDP_C, .payload_len = 30), PACKET(S4, UDP_S, .payload_len = 70),
		      RIG_CLIENT, RIG_SERVER, count);
	cr_expect_eq(rig_flow(UDP_FLOW, "packets", 0), count);
	cr_expect_eq(rig_flow(UDP_FLOW, "packets", 1), count);
	cr_expect_eq(rig_flow(UDP_FLOW, "bytes", 0), count * 58);
	cr_expect_eq(rig_flow(UDP_FLOW, "bytes", 1), count * 98);
	cr_expect_eq(rig_flows(), 1);
	/* the same direction from both */
	rig_run_twice(PACKET(C4, UDP_C), PACKET(C4, UDP_C), RIG_CLIENT, RIG_CLIENT, count);
	cr_expect_eq(rig_flow(UDP_FLOW, "packets", 0), 3 * count);
	cr_expect_eq(rig_stats().packets, 4 * count);
	cr_expect_eq(rig_stats().dropped, 0);
}

static void locks_set(uint32_t held)
{
	uint32_t i = 0;

	while (!bpf_map_update_elem(rig_map("locks"), &i, &held, BPF_ANY))
		i++;
	cr_assert(i);
}

/* Who holds it may have lost its CPU to another guest, but a packet waits for so long only. */
Test(firewall, packet_whose_lock_is_never_given_back_is_dropped)
{
	struct outcome outcome;

	rig_run(RIG_CLIENT, PACKET(C4, UDP_C), &outcome);
	cr_expect_eq(outcome.verdict, XDP_REDIRECT);
	locks_set(1);
	rig_run(RIG_CLIENT, PACKET(C4, UDP_C), &outcome);
	cr_expect_eq(outcome.verdict, XDP_DROP);
	cr_expect_eq(outcome.reasons, REASON(DROP_INTERNAL));
	cr_expect_eq(rig_flow(UDP_FLOW, "packets", 0), 1);
	locks_set(0);
	rig_run(RIG_CLIENT, PACKET(C4, UDP_C), &outcome);
	cr_expect_eq(outcome.verdict, XDP_REDIRECT);
	cr_expect_eq(rig_flow(UDP_FLOW, "packets", 0), 2);
}
