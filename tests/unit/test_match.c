/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Matches: exactly the conjunctions are exact, and an exact match answers as the filter that it
 * came from, for every flow.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/filter.h"
#include "lib/flow.h"
#include "lib/match.h"
#include "tests/unit/random_filter.h"

#define ROUNDS 20000
#define KEYS   60

TestSuite(match);

static struct ff_match exact(const char *expr)
{
	struct ff_error err = {};
	struct ff_match match;
	bool is_exact = false;

	cr_assert_eq(match_from_text(expr, &match, &is_exact, &err), 0, "%s: %s", expr,
		     err.message);
	cr_assert(is_exact, "%s", expr);
	cr_assert_eq(match.flags, FF_MATCH_USED | FF_MATCH_EITHER, "%s", expr);
	return match;
}

Test(match, conjunctions_are_exact)
{
	static const struct {
		const char *expr, *text;
	} cases[] = {
		{ "", "" },
		{ "  ", "" },
		{ "ip", "ip" },
		{ "ip6", "ip6" },
		{ "tcp", "tcp" },
		{ "icmp", "icmp" },
		{ "icmp6", "icmp6" },
		{ "ip and icmp", "icmp" },
		{ "ip6 and sctp", "sctp and ip6" },
		{ "tcp and src net 198.18.1.0/24", "tcp and src net 198.18.1.0/24" },
		{ "src net 198.18.1.0/24 and dst port 80",
		  "src net 198.18.1.0/24 and dst port 80" },
		{ "dst port 80", "dst port 80" },
		{ "port 80", "src port 80" },
		{ "host 198.18.1.2", "src host 198.18.1.2" },
		{ "tcp port 80", "tcp and src port 80" },
		{ "tcp dst port 80", "tcp and dst port 80" },
		{ "ip host 1.2.3.4", "src host 1.2.3.4" },
		{ "net 0.0.0.0/0", "src net 0.0.0.0/0" },
		{ "net ::/0", "ip6" },
		{ "src net 2001:db8::/32", "src net 2001:db8::/32" },
		{ "src host ::1 and dst portrange 1-1024",
		  "src host ::1 and dst portrange 1-1024" },
		{ "portrange 1024-1", "src portrange 1-1024" },
		{ "udp and portrange 0-65535", "udp" },
		{ "((tcp) and (src host 1.2.3.4 && (dst port 5)))",
		  "tcp and src host 1.2.3.4 and dst port 5" },
		{ "tcp&&src port 5", "tcp and src port 5" },
		{ "tcp and tcp", "tcp" },
		{ "src net 10.0.0.0/8 and src net 10.1.0.0/16", "src net 10.1.0.0/16" },
		{ "src net 10.1.0.0/16 and src net 10.0.0.0/8", "src net 10.1.0.0/16" },
		{ "src portrange 1-10 and src portrange 5-20", "src portrange 5-10" },
		{ "host 1.2.3.4 and host 1.2.3.5", "src host 1.2.3.4 and dst host 1.2.3.5" },
		{ "net 10.0.0.0/8 and net 11.0.0.0/8 and udp",
		  "udp and src net 10.0.0.0/8 and dst net 11.0.0.0/8" },
		{ "port 80 and port 81", "src port 80 and dst port 81" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ff_match match = exact(cases[i].expr), again;
		char text[MATCH_TEXT_MAX];

		cr_assert_eq(match_format(&match, text), 0, "%s", cases[i].expr);
		cr_expect_str_eq(text, cases[i].text);
		again = exact(text);
		cr_expect_arr_eq(&match, &again, sizeof(match), "%s", text);
	}
}

Test(match, richer_filters_are_not_exact)
{
	static const char *const cases[] = {
		"host 198.18.1.2 and port 80",
		"tcp or udp",
		"not tcp",
		"tcp and not port 80",
		"! tcp",
		"tcp || udp",
		"host 1.2.3.4 and src port 80",
		"host 1.2.3.4 and host 1.2.3.5 and host 1.2.3.6",
		"host 1.2.3.4 and host 1.2.3.4",
		"net 10.0.0.0/8 and net 10.1.0.0/16",
		"portrange 1-10 and portrange 10-20",
		"src or dst host 1.2.3.4",
		"src and dst host 1.2.3.4",
		"portrange 0-65535",
		"src portrange 0-65535",
		"src host 1.2.3.4 and src host 1.2.3.5",
		"host 1.2.3.4 or 1.2.3.5",
		"net 10",
		"net 10.0.0.0 mask 255.0.0.0",
		"src 1.2.3.4 or 1.2.3.5",
		"src 1.2.3.4",
		"port http",
		"port 0x50",
		"port 010",
		"ip proto 6",
		"tcp[0:2] = 80",
		"ip multicast",
		"tcp and (udp or port 80)",
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		static const struct ff_match zero;
		struct ff_error err = {};
		struct ff_match match;
		bool is_exact = true;
		int r;

		memset(&match, 0xaa, sizeof(match));
		r = match_from_text(cases[i], &match, &is_exact, &err);
		if (r) { /* one that libpcap finds out as never true */
			cr_expect(strstr(err.message, "rejects all"), "%s", err.message);
			continue;
		}
		cr_expect_not(is_exact, "%s", cases[i]);
		cr_expect_arr_eq(&match, &zero, sizeof(match), "%s", cases[i]);
	}
}

Test(match, refuses_what_is_no_filter)
{
	static const char *const cases[] = { "tcp and",	    "tpc",	  "host example.com",
					     "tcp[13] = 2", "port 70000", "(tcp",
					     "tcp)" };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ff_match match = { .proto = 99 };
		struct ff_error err = {};
		bool is_exact = true;

		cr_expect_eq(match_from_text(cases[i], &match, &is_exact, &err), -EINVAL, "%s",
			     cases[i]);
		cr_expect(strstr(err.message, cases[i]), "%s", err.message);
		cr_expect_str_not_empty(err.mend);
		cr_expect(match.proto == 99 && is_exact, "touched by %s", cases[i]);
	}
}

/* The heart of it: for random filters and flows, an exact match answers as libpcap does. */
static void agree_on_random(struct random *random, bool wild, int *ret_exact)
{
	_cleanup_filter_ struct filter *filter = NULL;
	char expr[RANDOM_FILTER_MAX], text[MATCH_TEXT_MAX];
	struct ff_match match, again;
	bool is_exact, again_exact;

	random_filter(random, wild, expr);
	if (filter_new(expr, &filter, NULL))
		return;
	cr_assert_eq(match_from_text(expr, &match, &is_exact, NULL), 0, "%s", expr);
	if (!is_exact)
		return;
	(*ret_exact)++;
	cr_assert_eq(match_format(&match, text), 0, "%s", expr);
	cr_assert_eq(match_from_text(text, &again, &again_exact, NULL), 0, "%s", text);
	cr_assert(again_exact, "%s", text);
	cr_assert_arr_eq(&match, &again, sizeof(match), "%s became %s", expr, text);
	for (int k = 0; k < KEYS; k++) {
		struct ff_flow_key key = random_key(random);
		bool wanted = filter_matches(filter, &key);
		char flow[FLOW_TEXT_MAX];

		cr_assert_eq(match_test(&match, &key), wanted, "%s on %s: filter says %d", expr,
			     flow_format(&key, flow), wanted);
		cr_assert_eq(match_test_packet(&match, &key, 0), wanted);
		cr_assert_eq(match_test_packet(&match, &key, 1), wanted);
	}
}

Test(match, agrees_with_filters)
{
	struct random random = { 8 };
	int count = 0;

	for (int i = 0; i < ROUNDS; i++)
		agree_on_random(&random, false, &count);
	cr_expect_gt(count, ROUNDS / 5, "only %d were exact", count);
}

Test(match, agrees_with_wild_filters)
{
	struct random random = { 9 };
	int count = 0;

	for (int i = 0; i < ROUNDS; i++)
		agree_on_random(&random, true, &count);
	cr_expect_gt(count, ROUNDS / 20, "only %d were exact", count);
}

Test(match, tests_one_direction)
{
	struct ff_match match = exact("src host 198.18.1.2 and dst port 80");
	struct ff_flow_key key;

	cr_assert_eq(flow_parse("tcp 198.18.1.2:1234 198.18.2.2:80", &key), 0);
	cr_expect(match_test_packet(&match, &key, 0));
	cr_expect(match_test_packet(&match, &key, 1), "EITHER: a reply too");
	match.flags = FF_MATCH_USED;
	cr_expect(match_test_packet(&match, &key, 0));
	cr_expect_not(match_test_packet(&match, &key, 1));
	cr_expect(match_test(&match, &key), "some packet of the flow");
	match.flags = FF_MATCH_EITHER;
	cr_expect_not(match_test(&match, &key), "not in use");
}

Test(match, an_identifier_is_no_port)
{
	struct ff_match match = exact("port 77");
	struct ff_flow_key key;

	cr_assert_eq(flow_parse("icmp 198.18.1.2 198.18.2.2 id 77", &key), 0);
	cr_expect_not(match_test(&match, &key));
	match = exact("host 198.18.1.2");
	cr_expect(match_test(&match, &key));
}

Test(match, writes_only_what_text_can_say)
{
	struct ff_match good = exact("tcp and src net 10.0.0.0/8"), bad;
	char text[MATCH_TEXT_MAX];

#define EXPECT_UNSAYABLE(change)                                                                   \
	do {                                                                                       \
		bad = good;                                                                        \
		change;                                                                            \
		cr_expect_eq(match_format(&bad, text), -EINVAL, #change);                          \
	} while (0)

	EXPECT_UNSAYABLE(bad.flags = FF_MATCH_USED);
	EXPECT_UNSAYABLE(bad.flags = 0);
	EXPECT_UNSAYABLE(bad.proto = IPPROTO_GRE);
	EXPECT_UNSAYABLE(bad.family = 6);
	EXPECT_UNSAYABLE(bad.a.mask[3] = htonl(0xff00ff00));
	EXPECT_UNSAYABLE(bad.a.addr[3] |= htonl(1));
	EXPECT_UNSAYABLE((bad.a.port_min = 7, bad.a.port_max = 6));
	EXPECT_UNSAYABLE((bad.proto = IPPROTO_ICMP, bad.b.port_min = 7));
	EXPECT_UNSAYABLE((bad.proto = IPPROTO_ICMPV6));
	EXPECT_UNSAYABLE(bad.b = exact("src host ::1").a);
	/* ::/8 without a family takes IPv4's mapped addresses too; `net ::/8` doesn't */
	EXPECT_UNSAYABLE((bad = exact("src net ::/8"), bad.family = 0));
}
