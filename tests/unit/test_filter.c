/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Filters: what they take, both directions, and what they refuse: syntax errors, names, and
 * questions that a flow's key can't answer.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/filter.h"
#include "lib/flow.h"
#include "tests/unit/random_filter.h"

#define ROUNDS	3000
#define KEYS	200
#define THREADS 4

TestSuite(filter);

static bool takes(const char *expr, const char *flow)
{
	_cleanup_filter_ struct filter *filter = NULL;
	struct ff_error err = {};
	struct ff_flow_key key;

	cr_assert_eq(filter_new(expr, &filter, &err), 0, "%s: %s", expr, err.message);
	cr_assert_eq(flow_parse(flow, &key), 0, "%s", flow);
	return filter_matches(filter, &key);
}

Test(filter, takes_flows_by_a_packet_of_either_direction)
{
	static const char tcp4[] = "tcp 198.18.1.2:1234 198.18.2.2:80";
	static const char udp6[] = "udp [2001:db8:1::2]:53 [2001:db8:2::2]:9";
	static const char icmp4[] = "icmp 198.18.1.2 198.18.2.2 id 77";
	static const char icmp6[] = "icmpv6 2001:db8:1::2 2001:db8:2::2 id 77";
	static const char sctp4[] = "sctp 10.0.0.1:5 10.0.0.2:6";
	static const struct {
		const char *expr, *flow;
		bool takes;
	} cases[] = {
		{ "", tcp4, true },
		{ "  ", udp6, true },
		{ "tcp", tcp4, true },
		{ "tcp", udp6, false },
		{ "udp", udp6, true },
		{ "ip", tcp4, true },
		{ "ip", udp6, false },
		{ "ip6", udp6, true },
		{ "icmp", icmp4, true },
		{ "icmp", icmp6, false },
		{ "icmp6", icmp6, true },
		{ "sctp", sctp4, true },
		{ "sctp port 6", sctp4, true },
		{ "sctp port 7", sctp4, false },
		{ "src net 198.18.1.0/24", tcp4, true },
		{ "dst net 198.18.1.0/24", tcp4, true },
		{ "src net 198.18.3.0/24", tcp4, false },
		{ "src host 198.18.1.2 and dst port 80", tcp4, true },
		{ "src host 198.18.2.2 and src port 80", tcp4, true },
		{ "src host 198.18.1.2 and src port 80", tcp4, false },
		{ "src host 198.18.1.2 and dst host 198.18.1.2", tcp4, false },
		{ "host 198.18.1.2 and port 80", tcp4, true },
		{ "net 2001:db8::/32", udp6, true },
		{ "net 2001:db8:3::/48", udp6, false },
		{ "ip6 and udp port 53", udp6, true },
		{ "portrange 1000-2000", tcp4, true },
		{ "portrange 81-1233", tcp4, false },
		{ "port 77", icmp4, false }, /* an identifier is no port */
		{ "port 77", icmp6, false },
		{ "not tcp", tcp4, false },
		{ "not tcp", udp6, true },
		{ "tcp port 443 or udp port 53", udp6, true },
		{ "icmp[icmptype] = icmp-echo", icmp4, true },
		{ "icmp[icmptype] = icmp-echoreply", icmp4, true },
		{ "icmp[icmptype] = 3", icmp4, false },
		{ "icmp6[icmp6type] = icmp6-echo", icmp6, true },
		{ "tcp[0:2] > 1000 and tcp[2:2] = 80", tcp4, true },
		{ "ip proto 6", tcp4, true },
		{ "ip proto \\tcp", tcp4, true },
		{ "ip[9] = 6", tcp4, true },
		{ "ip[12:4] & 0xffffff00 = 0xc6120100", tcp4, true },
		{ "ip6[6] = 17", udp6, true },
		{ "ip6[8:4] = 0x20010db8", udp6, true },
		{ "ip multicast", "udp 224.0.0.5:1 10.0.0.1:1", true },
		{ "tcp port http", tcp4, true },
		{ "host 198.18.1.2 or 198.18.1.3", tcp4, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_expect_eq(takes(cases[i].expr, cases[i].flow), cases[i].takes, "%s on %s",
			     cases[i].expr, cases[i].flow);
}

Test(filter, refuses_what_is_no_filter_for_flows)
{
	static const struct {
		const char *expr, *says;
	} cases[] = {
		{ "tcp and", "syntax error" },
		{ "and", "syntax error" },
		{ "((((", "syntax error" },
		{ "tcp port 70000", "70000" },
		{ "net 10.0.0.1/8", "10.0.0.1" },
		{ "net 10.0.0.0/33", "mask length" },
		{ "tcp and udp", "rejects all packets" },
		{ "icmp host 1.2.3.4", "icmp" },
		{ "host example.com", "\"example.com\" is no word" },
		{ "example.com", "\"example.com\" is no word" },
		{ "host 1.2.3.4 or localhost", "\"localhost\" is no word" },
		{ "src 7up", "\"7up\" is no word" },
		{ "net loopback", "\"loopback\" is no word" },
		{ "tpc port 80", "\"tpc\" is no word" },
		{ "port no-such-service", "no-such-service" },
		{ "tcp[tcpflags] & tcp-syn != 0", "key doesn't hold" },
		{ "tcp[13] = 2", "key doesn't hold" },
		{ "ip[8] < 5", "key doesn't hold" }, /* TTL */
		{ "ip[2:2] > 100", "key doesn't hold" },
		{ "ip[33] = 2", "key doesn't hold" },
		{ "ip6[7] < 5", "key doesn't hold" }, /* hop limit */
		{ "ip6[4:2] > 5", "key doesn't hold" },
		{ "udp[4:2] > 100", "key doesn't hold" },
		{ "udp[8] = 1", "key doesn't hold" },
		{ "icmp[4:2] = 7", "key doesn't hold" },
		{ "tcp[tcp[12]] = 1", "key doesn't hold" },
		{ "tcp[tcp[0]] = 1", "key doesn't hold" },
		{ "greater 100", "key doesn't hold" },
		{ "len > 100", "key doesn't hold" },
		{ "tcp or len > 100", "key doesn't hold" },
		{ "ip[0:4] = 1", "key doesn't hold" },
		{ "ether host 00:11:22:33:44:55", "" },
		{ "vlan 5", "vlan" },
		{ "\xff\xfe", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct filter *filter = (void *)1;
		struct ff_error err = {};

		cr_expect_eq(filter_new(cases[i].expr, &filter, &err), -EINVAL, "%s",
			     cases[i].expr);
		cr_expect(strstr(err.message, cases[i].says), "%s: says %s", cases[i].expr,
			  err.message);
		cr_expect(strstr(err.message, cases[i].expr), "names the filter: %s", err.message);
		cr_expect_str_eq(err.code, FF_CODE_BAD_REQUEST);
		cr_expect_str_not_empty(err.mend);
		cr_expect_eq(filter, (void *)1, "touched by %s", cases[i].expr);
	}
}

Test(filter, bounds_its_text)
{
	_cleanup_free_ char *text = malloc(FILTER_TEXT_MAX + 2);
	struct filter *filter = NULL;
	struct ff_error err = {};

	memset(text, '(', FILTER_TEXT_MAX + 1);
	text[FILTER_TEXT_MAX + 1] = '\0';
	cr_expect_eq(filter_new(text, &filter, &err), -E2BIG);
	cr_expect(strstr(err.message, "4097 characters"));
	text[FILTER_TEXT_MAX] = '\0'; /* as long as may be, and as deep */
	cr_expect_eq(filter_new(text, &filter, &err), -EINVAL);
	memset(text, ' ', FILTER_TEXT_MAX);
	cr_assert_eq(filter_new(text, &filter, &err), 0);
	filter_free(filter);
	filter_free(NULL);
}

/* Whatever libpcap takes, a filter and its negation divide the packets between them. */
Test(filter, negation_takes_the_rest)
{
	struct random random = { 6 };
	int tested = 0;

	for (int i = 0; i < ROUNDS; i++) {
		_cleanup_filter_ struct filter *filter = NULL, *inverse = NULL;
		char expr[RANDOM_FILTER_MAX], negated[RANDOM_FILTER_MAX + 8];

		random_filter(&random, true, expr);
		snprintf(negated, sizeof(negated), "not (%s)", expr);
		if (filter_new(expr, &filter, NULL) || filter_new(negated, &inverse, NULL))
			continue;
		tested++;
		for (int k = 0; k < 20; k++) {
			struct ff_flow_key key = random_key(&random);

			cr_assert(filter_matches(filter, &key) || filter_matches(inverse, &key),
				  "%s", expr);
		}
	}
	cr_expect_gt(tested, ROUNDS / 10, "only %d filters compiled", tested);
}

static void *thread_run(void *arg)
{
	struct random random = { (uintptr_t)arg };

	for (int i = 0; i < ROUNDS / 10; i++) {
		_cleanup_filter_ struct filter *filter = NULL;
		struct ff_flow_key key = random_key(&random);
		char expr[RANDOM_FILTER_MAX];

		random_filter(&random, true, expr);
		if (!filter_new(expr, &filter, NULL))
			filter_matches(filter, &key);
	}
	return NULL;
}

Test(filter, is_made_by_several_threads)
{
	pthread_t threads[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, thread_run, (void *)(i + 7)), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}
