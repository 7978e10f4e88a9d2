/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_online.c - which sets of CPUs the agent can work with, and which address tells peers apart.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "agent/datapath.h"
#include "agent/online.h"
#include "lib/addr.h"
#include "lib/netlink.h"

Test(online, lists_of_cpus)
{
	static const struct {
		const char *list;
		int result;
		const char *says;
	} rows[] = {
		{ "0", 1, NULL },
		{ "0-1", 2, NULL },
		{ "0-63", 64, NULL },
		{ "0-64", -ENOTSUP, "at most 64" },
		{ "0-95", -ENOTSUP, "at most 64" },
		{ "0-1,3", -ENOTSUP, "gap" },
		{ "0,2-7", -ENOTSUP, "gap" },
		{ "1-2", -ENOTSUP, "gap" },
		{ "1", -ENOTSUP, "gap" },
		{ "", -EINVAL, "no list" },
		{ "all", -EINVAL, "no list" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct ff_error err = { 0 };

		cr_expect_eq(online_parse(rows[i].list, &err), rows[i].result, "`%s`",
			     rows[i].list);
		if (rows[i].says)
			cr_expect(strstr(err.message, rows[i].says), "`%s`: %s", rows[i].list,
				  err.message);
	}
}

/* ---- of several addresses, that by which the others know this host ------------------------- */

static struct netlink_address address(unsigned int ifindex, uint8_t scope, const char *text)
{
	struct netlink_address a = { .ifindex = ifindex, .scope = scope };

	cr_assert_eq(addr_parse(text, &a.addr), 0);
	return a;
}

Test(online, preferred_addresses)
{
	const struct netlink_address list[] = {
		address(7, 253, "fe80::1"),	address(6, 0, "198.18.8.9"),
		address(7, 0, "198.18.8.1"),	address(7, 0, "198.18.8.2"),
		address(7, 0, "2001:db8:8::1"), address(7, 0, "2001:db8:8::2"),
	};
	const struct ff_addr none[2] = {};
	const struct ff_addr second[2] = { list[3].addr, list[5].addr };
	const struct ff_addr foreign[2] = { list[1].addr, list[0].addr };
	static const uint8_t v4[3] = { 198, 18, 8 };
	struct ff_iface iface = {};

	datapath_iface_addresses(&iface, 7, list, ARRAY_SIZE(list), none);
	cr_expect_arr_eq(iface.ipv4, v4, 3);
	cr_expect_eq(iface.ipv4[3], 1);
	cr_expect_eq(iface.ipv6[15], 1);
	cr_expect_eq(iface.ipv6[0], 0x20);
	datapath_iface_addresses(&iface, 7, list, ARRAY_SIZE(list), second);
	cr_expect_eq(iface.ipv4[3], 2);
	cr_expect_eq(iface.ipv6[15], 2);
	/* one that the interface doesn't have, or that isn't global, is not taken */
	datapath_iface_addresses(&iface, 7, list, ARRAY_SIZE(list), foreign);
	cr_expect_eq(iface.ipv4[3], 1);
	cr_expect_eq(iface.ipv6[15], 1);
	cr_expect_eq(iface.ipv6[0], 0x20);
}
