/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_firewall_rules.c - who may open a connection, and how long its state lives. */
#include <criterion/criterion.h>

#include "lib/match.h"
#include "tests/prog/firewall_rig.h"

TestSuite(firewall_rules, .init = firewall_init, .timeout = 60);

/* ---- rules --------------------------------------------------------------------------------- */

/* struct fw_rule, whose match comes first. */
static void rule_set(unsigned int index, const char *filter, const char *action, uint32_t either)
{
	struct {
		struct ff_match match;
		uint32_t action, either;
	} rule = { .action = (uint32_t)rig_enum(action), .either = either };
	struct ff_error err;
	bool exact;

	cr_assert_eq(match_from_text(filter, &rule.match, &exact, &err), 0, "%s", err.message);
	cr_assert(exact, "%s is no conjunction", filter);
	rig_config_put("rules", index, &rule, sizeof(rule));
	rig_config_set("rules_count", 0, index + 1);
}

static const struct row syn_s = { "from the server",
				  RIG_SERVER,
				  { S4, TCP_S, .tcp_flags = TH_SYN },
				  DROPPED(NF_DENIED) };

Test(firewall_rules, rules_know_the_opener)
{
	rig_config_set("default_deny", 0, 1);
	rule_set(0, "tcp and src net 198.18.1.0/24 and dst port 80", "FW_ALLOW", 0);
	rig_rows(&syn_s, 1);
	cr_expect_eq(rig_flows(), 0, "what is denied leaves no state");
	rig_rows(&syn_c, 1);
	rig_rows(&synack_s, 1);
	state_expect(TCP_FLOW, "FW_SYN_RECV");
}

Test(firewall_rules, first_rule_decides)
{
	const struct row rows[] = {
		{ "denied host",
		  RIG_CLIENT,
		  { C4, TCP_C, .tcp_flags = TH_SYN },
		  DROPPED(NF_DENIED) },
		{ "allowed network",
		  RIG_CLIENT,
		  { .src = "198.18.1.3", .dst = "198.18.2.2", TCP_C, .tcp_flags = TH_SYN },
		  SENT },
		{ "allowed either way", RIG_SERVER, { S4, UDP_S }, SENT },
		{ "no port of its own", RIG_CLIENT, { C4, ECHO }, DROPPED(NF_DENIED) },
		{ "IPv6 isn't named",
		  RIG_CLIENT,
		  { C6, TCP_C, .tcp_flags = TH_SYN },
		  DROPPED(NF_DENIED) },
		{ "but this prefix is", RIG_SERVER, { S6, TCP_S, .tcp_flags = TH_SYN }, SENT },
		{ "outside the range",
		  RIG_CLIENT,
		  { .src = "198.18.1.3",
		    .dst = "198.18.2.2",
		    .proto = IPPROTO_TCP,
		    .sport = 7,
		    .dport = 1024,
		    .tcp_flags = TH_SYN },
		  DROPPED(NF_DENIED) },
	};

	rig_config_set("default_deny", 0, 1);
	rule_set(0, "src host 198.18.1.2 and dst host 198.18.2.2 and tcp", "FW_DENY", 0);
	rule_set(1, "src net 198.18.1.0/24 and tcp and dst portrange 1-1023", "FW_ALLOW", 0);
	rule_set(2, "udp and src net 198.18.1.0/24", "FW_ALLOW", 1);
	rule_set(3, "src net 2001:db8:2::/48", "FW_ALLOW", 0);
	rule_set(4, "ip and dst port 77", "FW_ALLOW", 0); /* an echo identifier is no port */
	rig_rows(rows, COUNT(rows));
}

Test(firewall_rules, last_of_all_rules_counts)
{
	for (unsigned int i = 0; i < 63; i++)
		rule_set(i, "tcp and dst port 9", "FW_DENY", 0);
	rule_set(63, "tcp and dst port 80", "FW_DENY", 0);
	rig_rows(&(struct row){ "rule 64",
				RIG_CLIENT,
				{ C4, TCP_C, .tcp_flags = TH_SYN },
				DROPPED(NF_DENIED) },
		 1);
	rig_config_set("rules_count", 0, 63);
	rig_rows(&syn_c, 1);
}

/* What is open stays open when the rules change; a connection that is over needs them again. */
Test(firewall_rules, rules_are_for_openings)
{
	const struct row life[] = {
		syn_c,
		synack_s,
		{ "ACK", RIG_CLIENT, { C4, TCP_C, .tcp_flags = TH_ACK, .seq = 1, .ack = 1 }, SENT },
		{ "RST", RIG_CLIENT, { C4, TCP_C, .tcp_flags = TH_RST, .seq = 1 }, SENT },
		{ "SYN", RIG_CLIENT, { C4, TCP_C, .tcp_flags = TH_SYN }, DROPPED(NF_DENIED) },
	};

	rig_rows(life, 1);
	rig_config_set("default_deny", 0, 1);
	rig_rows(life + 1, COUNT(life) - 1);
	state_expect(TCP_FLOW, "FW_CLOSE");
	cr_expect_eq(rig_flow_lifetime_s(TCP_FLOW), 10);
}

/* A ping from the other side with the same identifier isn't covered by the first one. */
Test(firewall_rules, ping_back_needs_a_rule)
{
	const struct row rows[] = {
		{ "ping", RIG_CLIENT, { C4, ECHO }, SENT },
		{ "pong", RIG_SERVER, { S4, REPLY }, SENT },
		{ "ping back", RIG_SERVER, { S4, ECHO }, DROPPED(NF_DENIED) },
		{ "ping on", RIG_CLIENT, { C4, ECHO }, SENT },
	};

	rig_config_set("default_deny", 0, 1);
	rule_set(0, "icmp and src host 198.18.1.2", "FW_ALLOW", 0);
	rig_rows(rows, COUNT(rows));
}

/* ---- time ---------------------------------------------------------------------------------- */

Test(firewall_rules, timeouts_by_state)
{
	const struct {
		struct row row;
		int64_t lifetime_s;
	} life[] = {
		{ syn_c, 120 },
		{ synack_s, 60 },
		{ { "ACK",
		    RIG_CLIENT,
		    { C4, TCP_C, .tcp_flags = TH_ACK, .seq = 1, .ack = 1 },
		    SENT },
		  432000 },
		{ { "FIN",
		    RIG_CLIENT,
		    { C4, TCP_C, .tcp_flags = TH_FIN | TH_ACK, .seq = 1, .ack = 1 },
		    SENT },
		  120 },
		{ { "ACK",
		    RIG_SERVER,
		    { S4, TCP_S, .tcp_flags = TH_ACK, .seq = 1, .ack = 2 },
		    SENT },
		  60 },
		{ { "FIN",
		    RIG_SERVER,
		    { S4, TCP_S, .tcp_flags = TH_FIN | TH_ACK, .seq = 1, .ack = 2 },
		    SENT },
		  7 /* configured */ },
		{ { "ACK",
		    RIG_CLIENT,
		    { C4, TCP_C, .tcp_flags = TH_ACK, .seq = 2, .ack = 2 },
		    SENT },
		  120 },
	};

	rig_config_set("timeouts.tcp_last_ack_s", 0, 7);
	for (size_t i = 0; i < COUNT(life); i++) {
		rig_rows(&life[i].row, 1);
		cr_expect_eq(rig_flow_lifetime_s(TCP_FLOW), life[i].lifetime_s,
			     "%zu. %s: %ld s, not %ld", i + 1, life[i].row.what,
			     rig_flow_lifetime_s(TCP_FLOW), life[i].lifetime_s);
	}
}

Test(firewall_rules, configured_timeout_of_a_large_number)
{
	rig_config_set("timeouts.udp_new_s", 0, 4000000000u);
	rig_rows(&(struct row){ "question", RIG_CLIENT, { C4, UDP_C }, SENT }, 1);
	cr_expect_eq(rig_flow_lifetime_s(UDP_FLOW), 4000000000);
}

Test(firewall_rules, expired_flow_is_unknown_and_revives_afresh)
{
	const struct row before[] = {
		syn_c,
		synack_s,
		{ "ACK", RIG_CLIENT, { C4, TCP_C, .tcp_flags = TH_ACK, .seq = 1, .ack = 1 }, SENT },
	};
	const struct row after[] = {
		{ "data",
		  RIG_CLIENT,
		  { C4, TCP_C, .tcp_flags = TH_ACK, .seq = 1, .ack = 1 },
		  DROPPED(NF_NO_STATE) },
		syn_c,
	};

	rig_rows(before, COUNT(before));
	rig_flow_expire(TCP_FLOW);
	cr_expect_not(rig_flow_known(TCP_FLOW));
	cr_expect_eq(rig_lives_ended(), 0);
	rig_rows(after, COUNT(after));
	state_expect(TCP_FLOW, "FW_SYN_SENT");
	cr_expect_eq(rig_flow(TCP_FLOW, "packets", 0), 1, "counters begin again");
	cr_expect_eq(rig_flow(TCP_FLOW, "packets", 1), 0);
	cr_expect_eq(rig_flow_lifetime_s(TCP_FLOW), 120);
	cr_expect_eq(rig_flows(), 1, "revived, not added");
	cr_expect_eq(rig_lives_ended(), 1, "its former life");
}

/* The opener may be another one after expiry: nothing of the old life is left. */
Test(firewall_rules, revived_by_the_other_side)
{
	const struct row open_s = {
		"SYN from the server", RIG_SERVER, { S4, TCP_S, .tcp_flags = TH_SYN }, SENT
	};

	rig_rows(&syn_c, 1);
	cr_expect_eq(rig_flow(TCP_FLOW, "opener", 0), 0);
	rig_flow_expire(TCP_FLOW);
	rig_rows(&open_s, 1);
	state_expect(TCP_FLOW, "FW_SYN_SENT");
	cr_expect_eq(rig_flow(TCP_FLOW, "opener", 0), 1);
}

/* Caught between the sweep's two steps: neither revived, nor taken for a full table. */
Test(firewall_rules, flow_that_is_being_deleted)
{
	const struct row race = {
		"SYN", RIG_CLIENT, { C4, TCP_C, .tcp_flags = TH_SYN }, DROPPED(DROP_STATE_RACE)
	};

	rig_rows(&syn_c, 1);
	rig_flow_die(TCP_FLOW);
	rig_rows(&race, 1);
	cr_expect_not(rig_flow_known(TCP_FLOW));
	cr_expect_eq(rig_stats().flows_refused, 0);
	cr_expect_eq(rig_stats().dropped, 1);
	cr_expect_eq(rig_flows(), 1, "counted until the sweep has deleted it");
}
