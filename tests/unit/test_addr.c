/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/addr.h"
#include "lib/cleanup.h"

Test(addr, text_and_back)
{
	static const struct {
		const char *text;
		const char *canonical;
		bool ipv4;
	} cases[] = {
		{ "198.18.1.2", "198.18.1.2", true },
		{ "0.0.0.0", "0.0.0.0", true },
		{ "255.255.255.255", "255.255.255.255", true },
		{ "2001:db8:8::1", "2001:db8:8::1", false },
		{ "2001:0DB8:0008:0:0:0:0:0001", "2001:db8:8::1", false },
		{ "::", "::", false },
		{ "::ffff:198.18.1.2", "198.18.1.2",
		  true }, /* the mapped form is the same address */
	};
	char text[ADDR_TEXT_MAX];
	struct ff_addr addr;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cr_assert_eq(addr_parse(cases[i].text, &addr), 0, "%s", cases[i].text);
		cr_assert_str_eq(addr_format(&addr, text), cases[i].canonical);
		cr_assert_eq(addr_is_ipv4(&addr), cases[i].ipv4, "%s", cases[i].text);
	}
}

Test(addr, garbage_is_refused_and_changes_nothing)
{
	static const char *const garbage[] = {
		"",
		"198.18.1",
		"198.18.1.256",
		"198.18.1.2/24",
		"198.18.1.2 ",
		"2001:db8::1::2",
		"fe80::1%eth0",
		"localhost",
		"[::1]",
	};
	struct ff_addr addr, before;

	memset(&before, 0x5a, sizeof(before));
	for (size_t i = 0; i < ARRAY_SIZE(garbage); i++) {
		addr = before;
		cr_assert_eq(addr_parse(garbage[i], &addr), -EINVAL, "'%s'", garbage[i]);
		cr_assert_eq(memcmp(&addr, &before, sizeof(addr)), 0, "'%s'", garbage[i]);
	}
}

Test(addr, bytes_of_either_family)
{
	const uint8_t v4[4] = { 198, 18, 1, 2 };
	struct ff_addr addr;
	int family;

	addr_set(&addr, AF_INET, v4);
	cr_assert_eq(memcmp(addr_bytes(&addr, &family), v4, sizeof(v4)), 0);
	cr_assert_eq(family, AF_INET);
	cr_assert_eq(addr_parse("2001:db8::1", &addr), 0);
	cr_assert_eq(addr_bytes(&addr, &family), addr.word);
	cr_assert_eq(family, AF_INET6);
	cr_assert(!addr_is_zero(&addr));
	cr_assert_eq(addr_parse("::", &addr), 0);
	cr_assert(addr_is_zero(&addr));
}
