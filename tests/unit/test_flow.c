/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flows as text: every form reads, both orders give one key, writing and reading are inverse, and
 * what is no flow is refused with words that help.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/flow.h"
#include "tests/unit/random.h"

#define ROUNDS 20000

TestSuite(flow);

Test(flow, reads_and_writes_each_form)
{
	static const struct {
		const char *text;
		const char *canonical;
	} cases[] = {
		{ "tcp 198.18.1.2:1234 198.18.2.2:80", NULL },
		{ "tcp 198.18.2.2:80 198.18.1.2:1234", "tcp 198.18.1.2:1234 198.18.2.2:80" },
		{ "udp [2001:db8:1::2]:53 [2001:db8:2::2]:9", NULL },
		{ "udp [2001:db8:2::2]:9 [2001:db8:1:0::2]:53",
		  "udp [2001:db8:1::2]:53 [2001:db8:2::2]:9" },
		{ "sctp 10.0.0.2:1 10.0.0.10:0", NULL },
		{ "icmp 198.18.1.2 198.18.2.2 id 77", NULL },
		{ "icmp 198.18.2.2 198.18.1.2 id 77", "icmp 198.18.1.2 198.18.2.2 id 77" },
		{ "icmpv6 2001:db8::1 2001:db8::2 id 65535", NULL },
		{ "icmp6 [2001:db8::1] [2001:db8::2] id 0", "icmpv6 2001:db8::1 2001:db8::2 id 0" },
		{ "  udp\t1.2.3.4:65535   1.2.3.4:2 ", "udp 1.2.3.4:2 1.2.3.4:65535" },
		/* 256 > 255 as a number, and as bytes in network order, but not as a __be16 */
		{ "udp 1.2.3.4:256 1.2.3.4:255", "udp 1.2.3.4:255 1.2.3.4:256" },
		{ "tcp [::]:0 [::1]:0", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *want = cases[i].canonical ? cases[i].canonical : cases[i].text;
		struct ff_flow_key key;
		char text[FLOW_TEXT_MAX];

		cr_assert_eq(flow_parse(cases[i].text, &key), 0, "%s", cases[i].text);
		cr_expect_str_eq(flow_format(&key, text), want);
		cr_expect_eq(key.service, 0);
		cr_expect_eq(key.pad, 0);
	}
}

Test(flow, key_is_laid_out_as_the_abi_says)
{
	static const __u8 first[16] = { [10] = 0xff, 0xff, 198, 18, 1, 2 };
	static const __u8 second[16] = { [10] = 0xff, 0xff, 198, 18, 2, 2 };
	struct ff_flow_key key;

	cr_assert_eq(flow_parse("tcp 198.18.2.2:80 198.18.1.2:1234", &key), 0);
	cr_expect_arr_eq(key.addr[0], first, 16);
	cr_expect_arr_eq(key.addr[1], second, 16);
	cr_expect_eq(key.port[0], htons(1234));
	cr_expect_eq(key.port[1], htons(80));
	cr_expect_eq(key.proto, IPPROTO_TCP);
	cr_expect(flow_is_ipv4(&key));

	cr_assert_eq(flow_parse("icmpv6 fe80::1 fe80::2 id 258", &key), 0);
	cr_expect_eq(key.port[0], htons(258));
	cr_expect_eq(key.port[1], htons(258));
	cr_expect_not(flow_is_ipv4(&key));
}

Test(flow, refuses_what_is_no_flow)
{
	static const struct {
		const char *text;
		const char *says;
	} cases[] = {
		{ "", "is empty" },
		{ "   ", "is empty" },
		{ "tcp", "needs two endpoints" },
		{ "tcp 1.2.3.4:5", "needs two endpoints" },
		{ "tcp 1.2.3.4:5 1.2.3.4:6 x", "needs two endpoints" },
		{ "icmp 1.2.3.4 1.2.3.5 id 1 2 3", "too many words" },
		{ "gre 1.2.3.4:5 1.2.3.4:6", "\"gre\" is none of tcp" },
		{ "TCP 1.2.3.4:5 1.2.3.4:6", "\"TCP\" is none of tcp" },
		{ "tcp 1.2.3.4 1.2.3.5:6", "\"1.2.3.4\" has no port" },
		{ "tcp 1.2.3.4: 1.2.3.5:6", "is no port" },
		{ "tcp 1.2.3.4:65536 1.2.3.5:6", "\"65536\" is no port" },
		{ "tcp 1.2.3.4:-1 1.2.3.5:6", "\"-1\" is no port" },
		{ "tcp 1.2.3.4:99999999999999999999 1.2.3.5:6", "is no port" },
		{ "tcp 1.2.3:5 1.2.3.5:6", "\"1.2.3\" is no IP address" },
		{ "tcp 1.2.3.4.5:5 1.2.3.5:6", "is no IP address" },
		{ "tcp example.com:5 1.2.3.5:6", "\"example.com\" is no IP address" },
		{ "tcp [1.2.3.4]:5 1.2.3.5:6", "is no IP address" },
		{ "tcp 2001:db8::1:5 [2001:db8::2]:6", "in brackets" },
		{ "tcp [2001:db8::1 [2001:db8::2]:6", "in brackets" },
		{ "tcp [2001:db8::1]5 [2001:db8::2]:6", "in brackets" },
		{ "tcp []:5 [2001:db8::2]:6", "is no IP address" },
		{ "tcp :5 1.2.3.4:6", "is no IP address" },
		{ "tcp [::ffff:1.2.3.4]:5 1.2.3.5:6", "write it bare" },
		{ "tcp 1.2.3.4:5 [2001:db8::2]:6", "another IP version" },
		{ "icmp 1.2.3.4 1.2.3.5", "\"id N\"" },
		{ "icmp 1.2.3.4 1.2.3.5 no 7", "\"id N\"" },
		{ "icmp 1.2.3.4 1.2.3.5 id 65536", "is no identifier" },
		{ "icmp 1.2.3.4:1 1.2.3.5:1 id 6", "is no IP address" },
		{ "icmp 2001:db8::1 2001:db8::2 id 6", "go with icmpv6" },
		{ "icmpv6 1.2.3.4 1.2.3.5 id 6", "go with icmp" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ff_flow_key key, before;
		struct ff_error err = {};

		memset(&key, 0xaa, sizeof(key));
		before = key;
		cr_expect_eq(flow_read(cases[i].text, &key, &err), -EINVAL, "%s", cases[i].text);
		cr_expect(strstr(err.message, cases[i].says), "%s: says %s", cases[i].text,
			  err.message);
		cr_expect_str_eq(err.code, FF_CODE_BAD_REQUEST);
		cr_expect(strstr(err.mend, "icmp 198.18.1.2 198.18.2.2 id 77"), "%s", err.mend);
		cr_expect_arr_eq(&key, &before, sizeof(key), "%s", cases[i].text);
	}
}

Test(flow, refuses_endless_text)
{
	_cleanup_free_ char *text = calloc(1, 100001);
	struct ff_error err = {};
	struct ff_flow_key key;

	memset(text, 'x', 100000);
	cr_expect_eq(flow_read(text, &key, &err), -EINVAL);
	cr_expect(strstr(err.message, "too long"));
	text[3] = ' ';
	cr_expect_eq(flow_parse(text, &key), -EINVAL);
}

Test(flow, text_is_the_inverse_of_reading)
{
	struct random random = { 1 };

	for (int i = 0; i < ROUNDS; i++) {
		struct ff_flow_key key = random_key(&random), again;
		char text[FLOW_TEXT_MAX], text2[FLOW_TEXT_MAX];

		flow_format(&key, text);
		cr_assert_eq(flow_parse(text, &again), 0, "%s", text);
		cr_assert_eq(flow_cmp(&key, &again), 0, "%s became %s", text,
			     flow_format(&again, text2));
	}
}

Test(flow, both_directions_are_one_key)
{
	struct random random = { 2 };

	for (int i = 0; i < ROUNDS; i++) {
		struct ff_flow_key key = random_key(&random), back = key;

		memcpy(back.addr[0], key.addr[1], 16);
		memcpy(back.addr[1], key.addr[0], 16);
		back.port[0] = key.port[1];
		back.port[1] = key.port[0];
		flow_canonicalize(&back);
		cr_assert_eq(flow_cmp(&key, &back), 0);
		cr_assert_not(flow_canonicalize(&back), "canonical stays as it is");
	}
}

Test(flow, mangled_text_never_reads_as_something_else)
{
	struct random random = { 3 };

	/* what reads at all must write as text that reads as the same key */
	for (int i = 0; i < ROUNDS; i++) {
		struct ff_flow_key key = random_key(&random), again;
		char text[FLOW_TEXT_MAX], written[FLOW_TEXT_MAX];
		size_t at;

		flow_format(&key, text);
		at = random_below(&random, (unsigned int)strlen(text));
		text[at] = " :.[]0a1tx\x7f\xff"[random_below(&random, 12)];
		if (flow_parse(text, &key))
			continue;
		cr_assert_eq(flow_parse(flow_format(&key, written), &again), 0, "%s", text);
		cr_assert_eq(flow_cmp(&key, &again), 0, "%s", text);
	}
}

Test(flow, other_protocols_are_only_written)
{
	struct ff_flow_key key;
	char text[FLOW_TEXT_MAX];

	cr_assert_eq(flow_parse("tcp 1.2.3.4:5 1.2.3.5:6", &key), 0);
	key.proto = IPPROTO_GRE;
	cr_expect_str_eq(flow_format(&key, text), "proto-47 1.2.3.4:5 1.2.3.5:6");
	cr_expect_eq(flow_parse(text, &key), -EINVAL);
	cr_expect_null(flow_proto_name(IPPROTO_GRE));
	cr_expect_str_eq(flow_proto_name(IPPROTO_ICMPV6), "icmpv6");
}
