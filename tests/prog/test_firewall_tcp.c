/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_firewall_tcp.c - whole lives of TCP connections through the firewall. */
#include <criterion/criterion.h>

#include "tests/prog/firewall_rig.h"

#define FLOW6  "tcp [2001:db8:1::2]:1234 [2001:db8:2::2]:80"
#define FINACK (TH_FIN | TH_ACK)

/* Initial sequence numbers near the wrap, so that every life crosses it. */
#define C 0xffffff00u
#define S 0xfffffff0u

/* One segment of a life: what happens to it, and in which state it leaves the flow. */
struct step {
	const char *what;
	char from; /* 'c'lient or 's'erver */
	uint8_t flags;
	uint32_t seq, ack; /* relative to C and S: 0 is the SYN */
	uint16_t len;
	uint64_t reasons;  /* 0: sent on */
	const char *state; /* NULL: has none */
};

static void step_packet(const struct step *step, bool v6, struct packet *ret)
{
	bool client = step->from == 'c';

	*ret = (struct packet){
		.src = client ? "198.18.1.2" : "198.18.2.2",
		.dst = client ? "198.18.2.2" : "198.18.1.2",
		.proto = IPPROTO_TCP,
		.sport = client ? 1234 : 80,
		.dport = client ? 80 : 1234,
		.tcp_flags = step->flags,
		.seq = step->seq + (client ? C : S),
		.ack = step->flags & TH_ACK ? step->ack + (client ? S : C) : 0,
		.window = 8192,
		.payload_len = step->len,
	};
	if (v6) {
		ret->src = client ? "2001:db8:1::2" : "2001:db8:2::2";
		ret->dst = client ? "2001:db8:2::2" : "2001:db8:1::2";
	}
}

static void steps_run_family(const struct step *steps, size_t count, bool v6)
{
	const char *flow = v6 ? FLOW6 : TCP_FLOW;

	for (size_t i = 0; i < count; i++) {
		const struct step *step = &steps[i];
		struct outcome outcome;
		struct packet packet;

		step_packet(step, v6, &packet);
		rig_run(step->from == 'c' ? RIG_CLIENT : RIG_SERVER, &packet, &outcome);
		cr_expect(outcome.reasons == step->reasons &&
				  outcome.verdict == (step->reasons ? XDP_DROP : XDP_REDIRECT),
			  "%zu. %s: verdict %d, %s", i + 1, step->what, outcome.verdict,
			  rig_reasons_text(outcome.reasons));
		if (!step->state)
			cr_expect_not(rig_flow_known(flow), "%zu. %s: has state", i + 1,
				      step->what);
		else if (!rig_flow_known(flow))
			cr_expect_fail("%zu. %s: no state", i + 1, step->what);
		else
			cr_expect_eq((int)rig_flow(flow, "state", 0), rig_enum(step->state),
				     "%zu. %s: state is %d, not %s", i + 1, step->what,
				     (int)rig_flow(flow, "state", 0), step->state);
	}
}

static void steps_run(const struct step *steps, size_t count)
{
	steps_run_family(steps, count, false);
}
#define STEPS_RUN(...)                                                                             \
	steps_run((const struct step[]){ __VA_ARGS__ },                                            \
		  sizeof((const struct step[]){ __VA_ARGS__ }) / sizeof(struct step))

/* A handshake; 1 and 1 are the next sequence numbers of both sides afterwards. */
#define HANDSHAKE                                                                                  \
	{ "SYN", 'c', TH_SYN, 0, 0, 0, 0, "FW_SYN_SENT" },                                         \
		{ "SYN+ACK", 's', SYNACK, 0, 1, 0, 0, "FW_SYN_RECV" },                             \
	{                                                                                          \
		"ACK", 'c', TH_ACK, 1, 1, 0, 0, "FW_ESTABLISHED"                                   \
	}
#define DATA                                                                                       \
	{ "request", 'c', TH_ACK | TH_PUSH, 1, 1, 300, 0, "FW_ESTABLISHED" },                      \
		{ "answer", 's', TH_ACK | TH_PUSH, 1, 301, 1000, 0, "FW_ESTABLISHED" },            \
	{                                                                                          \
		"ack of it", 'c', TH_ACK, 301, 1001, 0, 0, "FW_ESTABLISHED"                        \
	}

static const struct step life[] = {
	HANDSHAKE,
	DATA,
	{ "client's FIN", 'c', FINACK, 301, 1001, 0, 0, "FW_FIN_WAIT" },
	{ "its ACK", 's', TH_ACK, 1001, 302, 0, 0, "FW_CLOSE_WAIT" },
	{ "half-closed: server sends on", 's', TH_ACK, 1001, 302, 500, 0, "FW_CLOSE_WAIT" },
	{ "and is acknowledged", 'c', TH_ACK, 302, 1501, 0, 0, "FW_CLOSE_WAIT" },
	{ "server's FIN", 's', FINACK, 1501, 302, 0, 0, "FW_LAST_ACK" },
	{ "its ACK", 'c', TH_ACK, 302, 1502, 0, 0, "FW_TIME_WAIT" },
	{ "data after its FIN", 'c', TH_ACK, 302, 1502, 10, 0, "FW_TIME_WAIT" },
	{ "server's FIN again", 's', FINACK, 1501, 302, 0, 0, "FW_TIME_WAIT" },
	{ "its ACK again", 'c', TH_ACK, 302, 1502, 0, 0, "FW_TIME_WAIT" },
};

TestSuite(firewall_tcp, .init = firewall_init, .timeout = 60);

Test(firewall_tcp, whole_life)
{
	steps_run(life, sizeof(life) / sizeof(life[0]));
	/* headers of 40 bytes */
	cr_expect_eq(rig_flow(TCP_FLOW, "packets", 0), 9);
	cr_expect_eq(rig_flow(TCP_FLOW, "packets", 1), 6);
	cr_expect_eq(rig_flow(TCP_FLOW, "bytes", 0), 9 * 40 + 310);
	cr_expect_eq(rig_flow(TCP_FLOW, "bytes", 1), 6 * 40 + 1500);
	cr_expect_eq(rig_flow(TCP_FLOW, "outside", 0), 0);
	cr_expect_eq(rig_flows(), 1);
}

Test(firewall_tcp, whole_life_ipv6)
{
	steps_run_family(life, sizeof(life) / sizeof(life[0]), true);
	cr_expect_eq(rig_flow(FLOW6, "bytes", 0), 9 * 60 + 310);
}

Test(firewall_tcp, server_closes_first)
{
	STEPS_RUN(HANDSHAKE, DATA, { "server's FIN", 's', FINACK, 1001, 301, 0, 0, "FW_FIN_WAIT" },
		  { "its ACK", 'c', TH_ACK, 301, 1002, 0, 0, "FW_CLOSE_WAIT" },
		  { "client's FIN", 'c', FINACK, 301, 1002, 0, 0, "FW_LAST_ACK" },
		  { "its ACK", 's', TH_ACK, 1002, 302, 0, 0, "FW_TIME_WAIT" });
}

Test(firewall_tcp, both_close_at_once)
{
	STEPS_RUN(HANDSHAKE, { "client's FIN", 'c', FINACK, 1, 1, 0, 0, "FW_FIN_WAIT" },
		  { "server's FIN", 's', FINACK, 1, 1, 0, 0, "FW_LAST_ACK" },
		  { "ack of the server's", 'c', TH_ACK, 2, 2, 0, 0, "FW_LAST_ACK" },
		  { "ack of the client's", 's', TH_ACK, 2, 2, 0, 0, "FW_TIME_WAIT" });
}

Test(firewall_tcp, fin_with_data_and_ack_of_both)
{
	STEPS_RUN(HANDSHAKE, { "FIN with data", 'c', FINACK, 1, 1, 100, 0, "FW_FIN_WAIT" },
		  { "only the data is acked", 's', TH_ACK, 1, 101, 0, 0, "FW_FIN_WAIT" },
		  { "FIN again", 'c', FINACK, 1, 1, 100, 0, "FW_FIN_WAIT" },
		  { "FIN+ACK in answer", 's', FINACK, 1, 102, 0, 0, "FW_LAST_ACK" },
		  { "last ACK", 'c', TH_ACK, 102, 2, 0, 0, "FW_TIME_WAIT" });
}

Test(firewall_tcp, retransmissions_change_nothing)
{
	STEPS_RUN({ "SYN", 'c', TH_SYN, 0, 0, 0, 0, "FW_SYN_SENT" },
		  { "SYN again", 'c', TH_SYN, 0, 0, 0, 0, "FW_SYN_SENT" },
		  { "SYN+ACK", 's', SYNACK, 0, 1, 0, 0, "FW_SYN_RECV" },
		  { "SYN+ACK again", 's', SYNACK, 0, 1, 0, 0, "FW_SYN_RECV" },
		  { "late SYN", 'c', TH_SYN, 0, 0, 0, 0, "FW_SYN_RECV" },
		  { "ACK", 'c', TH_ACK, 1, 1, 0, 0, "FW_ESTABLISHED" },
		  { "late SYN+ACK", 's', SYNACK, 0, 1, 0, 0, "FW_ESTABLISHED" }, DATA,
		  { "request again", 'c', TH_ACK, 1, 1, 300, 0, "FW_ESTABLISHED" },
		  { "answer again", 's', TH_ACK, 1, 301, 1000, 0, "FW_ESTABLISHED" },
		  { "keep-alive", 'c', TH_ACK, 300, 1001, 0, 0, "FW_ESTABLISHED" },
		  { "its answer", 's', TH_ACK, 1001, 301, 0, 0, "FW_ESTABLISHED" });
	cr_expect_eq(rig_flow(TCP_FLOW, "outside", 0), 0);
}

Test(firewall_tcp, simultaneous_open)
{
	STEPS_RUN({ "client's SYN", 'c', TH_SYN, 0, 0, 0, 0, "FW_SYN_SENT" },
		  { "server's SYN", 's', TH_SYN, 0, 0, 0, 0, "FW_SYN_SENT2" },
		  { "client's SYN+ACK", 'c', SYNACK, 0, 1, 0, 0, "FW_SYN_RECV" },
		  { "server's SYN+ACK", 's', SYNACK, 0, 1, 0, 0, "FW_ESTABLISHED" }, DATA);
	cr_expect_eq(rig_flow(TCP_FLOW, "outside", 0), 0);
}

Test(firewall_tcp, simultaneous_open_ended_by_ack)
{
	STEPS_RUN({ "client's SYN", 'c', TH_SYN, 0, 0, 0, 0, "FW_SYN_SENT" },
		  { "server's SYN", 's', TH_SYN, 0, 0, 0, 0, "FW_SYN_SENT2" },
		  { "server's SYN+ACK", 's', SYNACK, 0, 1, 0, 0, "FW_SYN_RECV" },
		  { "client's ACK", 'c', TH_ACK, 1, 1, 0, 0, "FW_ESTABLISHED" }, DATA);
}

Test(firewall_tcp, without_state)
{
	STEPS_RUN({ "ACK", 'c', TH_ACK, 1, 1, 0, REASON(NF_NO_STATE), NULL },
		  { "data", 's', TH_ACK, 1, 1, 100, REASON(NF_NO_STATE), NULL },
		  { "SYN+ACK", 's', SYNACK, 0, 1, 0, REASON(NF_NO_STATE), NULL },
		  { "FIN", 'c', FINACK, 1, 1, 0, REASON(NF_NO_STATE), NULL },
		  { "RST", 's', TH_RST, 1, 0, 0, REASON(NF_NO_STATE), NULL });
	cr_expect_eq(rig_flows(), 0);
}

Test(firewall_tcp, impossible_flags)
{
	STEPS_RUN({ "null scan", 'c', 0, 0, 0, 0, REASON(NF_INVALID), NULL },
		  { "SYN+FIN", 'c', TH_SYN | TH_FIN, 0, 0, 0, REASON(NF_INVALID), NULL },
		  { "SYN+RST", 'c', TH_SYN | TH_RST, 0, 0, 0, REASON(NF_INVALID), NULL },
		  { "FIN alone", 'c', TH_FIN, 0, 0, 0, REASON(NF_INVALID), NULL },
		  { "FIN+RST", 'c', TH_FIN | TH_RST | TH_ACK, 0, 0, 0, REASON(NF_INVALID), NULL },
		  { "xmas", 'c', 0x3f, 0, 0, 0, REASON(NF_INVALID), NULL });
}

Test(firewall_tcp, answers_that_are_none)
{
	STEPS_RUN({ "SYN", 'c', TH_SYN, 0, 0, 0, 0, "FW_SYN_SENT" },
		  { "SYN+ACK of another SYN", 's', SYNACK, 0, 7, 0, REASON(NF_INVALID),
		    "FW_SYN_SENT" },
		  { "opener's own SYN+ACK", 'c', SYNACK, 0, 1, 0, REASON(NF_INVALID),
		    "FW_SYN_SENT" },
		  { "opener goes on unanswered", 'c', TH_ACK, 1, 1, 0, REASON(NF_INVALID),
		    "FW_SYN_SENT" },
		  { "RST of another SYN", 's', TH_RST | TH_ACK, 0, 9, 0, 0, "FW_SYN_SENT" },
		  { "RST without ACK", 's', TH_RST, 0, 0, 0, 0, "FW_SYN_SENT" },
		  { "SYN+ACK", 's', SYNACK, 0, 1, 0, 0, "FW_SYN_RECV" },
		  { "ACK that acks no SYN+ACK", 'c', TH_ACK, 1, (uint32_t)-5, 0, 0, "FW_SYN_RECV" },
		  { "ACK", 'c', TH_ACK, 1, 1, 0, 0, "FW_ESTABLISHED" });
	cr_expect_eq(rig_flow(TCP_FLOW, "dropped", 0), 3);
	cr_expect_eq(rig_flow(TCP_FLOW, "outside", 0), 3);
}

Test(firewall_tcp, refused_connection)
{
	STEPS_RUN({ "SYN", 'c', TH_SYN, 0, 0, 0, 0, "FW_SYN_SENT" },
		  { "RST+ACK", 's', TH_RST | TH_ACK, 0, 1, 0, 0, "FW_CLOSE" },
		  { "new attempt", 'c', TH_SYN, 70000, 0, 0, 0, "FW_SYN_SENT" },
		  { "SYN+ACK", 's', SYNACK, 0, 70001, 0, 0, "FW_SYN_RECV" });
}

Test(firewall_tcp, reset)
{
	STEPS_RUN(HANDSHAKE, DATA, { "RST", 's', TH_RST, 1001, 0, 0, 0, "FW_CLOSE" },
		  { "what was under way", 'c', TH_ACK, 301, 1001, 100, 0, "FW_CLOSE" },
		  { "RST again", 's', TH_RST, 1001, 0, 0, 0, "FW_CLOSE" },
		  { "SYN+ACK out of nowhere", 's', SYNACK, 5000, 301, 0, REASON(NF_INVALID),
		    "FW_CLOSE" },
		  { "new SYN", 'c', TH_SYN, 9000, 0, 0, 0, "FW_SYN_SENT" });
	cr_expect_eq(rig_flow(TCP_FLOW, "packets", 0), 6);
}

Test(firewall_tcp, leftovers_keep_nothing_alive)
{
	STEPS_RUN(HANDSHAKE, { "RST", 's', TH_RST, 1, 0, 0, 0, "FW_CLOSE" });
	rig_config_set("timeouts.tcp_close_s", 0, 1000);
	STEPS_RUN({ "data", 'c', TH_ACK, 1, 1, 100, 0, "FW_CLOSE" },
		  { "RST again", 's', TH_RST, 1, 0, 0, 0, "FW_CLOSE" });
	cr_expect_leq(rig_flow_lifetime_s(TCP_FLOW), 10);
}

Test(firewall_tcp, blind_reset_closes_nothing)
{
	STEPS_RUN(HANDSHAKE, DATA,
		  { "RST before the window", 's', TH_RST, 1000, 0, 0, 0, "FW_ESTABLISHED" },
		  { "RST after it", 's', TH_RST, 1001 + 8192, 0, 0, 0, "FW_ESTABLISHED" },
		  { "RST far away", 'c', TH_RST, 0x40000000, 0, 0, 0, "FW_ESTABLISHED" },
		  { "it goes on", 'c', TH_ACK, 301, 1001, 100, 0, "FW_ESTABLISHED" });
	cr_expect_eq(rig_flow(TCP_FLOW, "outside", 0), 3);
}

Test(firewall_tcp, strict_window_drops)
{
	rig_config_set("strict_window", 0, 1);
	STEPS_RUN(HANDSHAKE, DATA,
		  { "blind RST", 's', TH_RST, 0x1000000, 0, 0, REASON(NF_INVALID),
		    "FW_ESTABLISHED" },
		  { "data past the window", 's', TH_ACK, 1001 + 8193, 301, 10, REASON(NF_INVALID),
		    "FW_ESTABLISHED" },
		  { "data at its end", 's', TH_ACK, 1001 + 8192, 301, 1, 0, "FW_ESTABLISHED" },
		  { "data from long ago", 'c', TH_ACK, (uint32_t)-9000, 1001, 100,
		    REASON(NF_INVALID), "FW_ESTABLISHED" },
		  { "ACK from long ago", 'c', TH_ACK, 301, (uint32_t)-70000, 0, REASON(NF_INVALID),
		    "FW_ESTABLISHED" },
		  { "ACK of what wasn't sent", 'c', TH_ACK, 301, 20000, 0, REASON(NF_INVALID),
		    "FW_ESTABLISHED" },
		  { "blind FIN", 'c', FINACK, 0x1000000, 1001, 0, REASON(NF_INVALID),
		    "FW_ESTABLISHED" });
	cr_expect_eq(rig_flow(TCP_FLOW, "dropped", 0), 6);
	cr_expect_eq(rig_flow(TCP_FLOW, "outside", 0), 6);
}

/* A window of 8192 scaled by 7 is a megabyte: without the option, this data would be outside. */
static void scaled_handshake(bool both)
{
	static const uint8_t scale7[] = { 2, 4, 5, 0xb4, 1, 3, 3, 7 };
	struct outcome outcome;
	struct packet packet;
	struct step steps[] = { HANDSHAKE };

	rig_config_set("strict_window", 0, 1);
	for (int i = 0; i < 3; i++) {
		step_packet(&steps[i], false, &packet);
		if (i == 0 || (i == 1 && both))
			packet.tcp_options = (struct octets){ scale7, sizeof(scale7) };
		rig_run(steps[i].from == 'c' ? RIG_CLIENT : RIG_SERVER, &packet, &outcome);
		cr_assert_eq(outcome.verdict, XDP_REDIRECT);
	}
}

Test(firewall_tcp, window_scaling)
{
	scaled_handshake(true);
	STEPS_RUN({ "far into a scaled window", 's', TH_ACK, 1000001, 1, 1000, 0,
		    "FW_ESTABLISHED" },
		  { "past it", 's', TH_ACK, 1 + (8192 << 7) + 1, 1, 10, REASON(NF_INVALID),
		    "FW_ESTABLISHED" });
	cr_expect_eq(rig_flow(TCP_FLOW, "scale", 0), 7);
	cr_expect_eq(rig_flow(TCP_FLOW, "max_win", 0), 8192 << 7);
}

Test(firewall_tcp, window_scaling_refused)
{
	scaled_handshake(false);
	STEPS_RUN({ "past the unscaled window", 's', TH_ACK, 1000001, 1, 1000, REASON(NF_INVALID),
		    "FW_ESTABLISHED" });
}

Test(firewall_tcp, malformed_options_are_survived)
{
	const struct octets options[] = {
		OCTETS(3),
		OCTETS(3, 0, 0, 0),
		OCTETS(3, 1, 7, 0),
		OCTETS(3, 40, 7, 1),
		OCTETS(2, 4, 5),
		OCTETS(1, 1, 1, 3),
		OCTETS(255, 255, 255, 255),
		OCTETS(3, 3, 99, 0), /* a scale above 14 counts as 14: RFC 7323 */
	};
	struct outcome outcome;
	struct packet packet;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		step_packet(&(struct step){ .from = 'c', .flags = TH_SYN }, false, &packet);
		packet.tcp_options = options[i];
		rig_run(RIG_CLIENT, &packet, &outcome);
		cr_expect_eq(outcome.verdict, XDP_REDIRECT, "options %zu: %s", i,
			     rig_reasons_text(outcome.reasons));
	}
	cr_expect_eq(rig_flow(TCP_FLOW, "scale", 0), 14);
}

Test(firewall_tcp, time_wait_is_reused)
{
	steps_run(life, sizeof(life) / sizeof(life[0]));
	STEPS_RUN({ "SYN in TIME_WAIT", 'c', TH_SYN, 500000, 0, 0, 0, "FW_SYN_SENT" },
		  { "SYN+ACK", 's', SYNACK, 700000, 500001, 0, 0, "FW_SYN_RECV" },
		  { "ACK", 'c', TH_ACK, 500001, 700001, 0, 0, "FW_ESTABLISHED" });
	cr_expect_eq(rig_flows(), 1, "the entry is the same");
	cr_expect_eq(rig_flow(TCP_FLOW, "packets", 0), 11, "and so are its counters");
	cr_expect_eq(rig_flow(TCP_FLOW, "outside", 0), 0);
}

/* The server has forgotten, or remembers an older connection: RFC 9293, section 3.5.1. */
Test(firewall_tcp, half_open_is_discovered)
{
	STEPS_RUN({ "SYN", 'c', TH_SYN, 0, 0, 0, 0, "FW_SYN_SENT" },
		  { "old ACK of the server", 's', TH_ACK, 333, 4444, 0, 0, "FW_SYN_SENT" },
		  { "client resets it", 'c', TH_RST, 4444, 0, 0, 0, "FW_CLOSE" },
		  { "and tries again", 'c', TH_SYN, 0, 0, 0, 0, "FW_SYN_SENT" });
}

/* A client that crashed and comes back with the same port: RFC 5961, section 4. */
Test(firewall_tcp, client_comes_back)
{
	STEPS_RUN(HANDSHAKE, DATA,
		  { "SYN into the connection", 'c', TH_SYN, 900000, 0, 0, 0, "FW_ESTABLISHED" },
		  { "challenge ACK", 's', TH_ACK, 1001, 301, 0, 0, "FW_ESTABLISHED" },
		  { "client resets it", 'c', TH_RST, 301, 0, 0, 0, "FW_CLOSE" },
		  { "SYN again", 'c', TH_SYN, 900000, 0, 0, 0, "FW_SYN_SENT" });
}

/* A fragment hides how much data its segment has: no number of the flow is judged any more. */
Test(firewall_tcp, fragments_end_the_tracking)
{
	const struct row fragments[] = {
		{ "first",
		  RIG_CLIENT,
		  { C4, .proto = IPPROTO_TCP, .sport = 1234, .dport = 80, .tcp_flags = TH_ACK,
		    .seq = C + 1, .ack = S + 1, .frag_id = 7, .more_fragments = true,
		    .payload_len = 804 },
		  SENT },
		{ "last",
		  RIG_CLIENT,
		  { C4, .proto = IPPROTO_TCP, .frag_id = 7, .frag_off = 824, .payload_len = 800 },
		  SENT },
	};

	rig_config_set("strict_window", 0, 1);
	STEPS_RUN(HANDSHAKE);
	rig_rows(fragments, 2);
	STEPS_RUN({ "all of it is acked", 's', TH_ACK, 1, 1605, 0, 0, "FW_ESTABLISHED" },
		  { "it goes on", 'c', TH_ACK, 1605, 1, 100, 0, "FW_ESTABLISHED" },
		  { "FIN", 'c', FINACK, 1705, 1, 0, 0, "FW_FIN_WAIT" },
		  { "RST", 's', TH_RST, 1, 0, 0, 0, "FW_CLOSE" }, HANDSHAKE,
		  { "a new life is tracked", 's', TH_ACK, 1, 1605, 0, REASON(NF_INVALID),
		    "FW_ESTABLISHED" });
}
