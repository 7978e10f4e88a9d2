/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Links, addresses, routes and neighbours between two namespaces, as the kernel takes them. */
#include <criterion/criterion.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "lib/clock.h"
#include "lib/netlink.h"
#include "lib/netns.h"

#define RESOLVE_TIMEOUT_NS (20 * NSEC_PER_SEC)

static struct {
	int fd[2];
	struct nl_sock *nl[2];
} pair;

static const uint8_t macs[2][NETLINK_MAC_LEN] = { { 2, 0, 0, 0, 0, 1 }, { 2, 0, 0, 0, 0, 2 } };

static int no_dad(void *arg)
{
	FILE *file = fopen("/proc/sys/net/ipv6/conf/default/accept_dad", "w");

	(void)arg;
	if (!file)
		return -errno;
	fputs("0", file);
	return fclose(file) ? -errno : 0;
}

/* ns-a: a0 10.9.0.1/24 2001:db8:9::1/64 --- b0 10.9.0.2/24 2001:db8:9::2/64: ns-b */
static void pair_up(void)
{
	static const char *const names[] = { "ns-a", "ns-b" }, *const links[] = { "a0", "b0" };
	static const char *const v4[] = { "10.9.0.1/24", "10.9.0.2/24" };
	static const char *const v6[] = { "2001:db8:9::1/64", "2001:db8:9::2/64" };
	struct netlink_veth_end ends[2];

	cr_assert_eq(unshare(CLONE_NEWNET | CLONE_NEWNS), 0, "needs root: %m");
	cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	cr_assert_eq(mount("none", "/run", "tmpfs", 0, NULL), 0);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(netns_create(names[i]), 0);
		pair.fd[i] = netns_open(names[i]);
		cr_assert_geq(pair.fd[i], 0);
		cr_assert_eq(netlink_open_in(pair.fd[i], &pair.nl[i]), 0);
		cr_assert_eq(netns_call(pair.fd[i], no_dad, NULL), 0);
		ends[i] = (struct netlink_veth_end){ .name = links[i], .netns_fd = pair.fd[i] };
		memcpy(ends[i].mac, macs[i], NETLINK_MAC_LEN);
	}
	cr_assert_eq(netlink_veth_add(pair.nl[0], ends, 1600), 0);
	cr_assert_eq(netlink_veth_add(pair.nl[0], ends, 1600), -EEXIST);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(netlink_link_up(pair.nl[i], links[i]), 0);
		cr_assert_eq(netlink_address_add(pair.nl[i], links[i], v4[i]), 0);
		cr_assert_eq(netlink_address_add(pair.nl[i], links[i], v6[i]), 0);
	}
}

static void pair_down(void)
{
	for (int i = 0; i < 2; i++)
		netlink_close(pair.nl[i]);
	cr_assert_eq(netns_delete("ns-a"), 0);
	cr_assert_eq(netns_delete("ns-b"), 0);
	cr_assert_eq(netns_delete("ns-b"), -ENOENT);
}

TestSuite(netlink, .init = pair_up, .fini = pair_down);

Test(netlink, links)
{
	struct netlink_link link, by_index;

	cr_assert_eq(netlink_link_get(pair.nl[0], "a0", 0, &link), 0);
	cr_assert_eq(link.mtu, 1600);
	cr_assert(link.up);
	cr_assert_eq(memcmp(link.mac, macs[0], NETLINK_MAC_LEN), 0);
	cr_assert_eq(netlink_link_get(pair.nl[0], NULL, link.ifindex, &by_index), 0);
	cr_assert_str_eq(by_index.name, "a0");
	cr_assert_eq(netlink_link_get(pair.nl[0], "b0", 0, &link), -ENODEV, "it is in ns-b");
	cr_assert_eq(netlink_link_up(pair.nl[0], "nope"), -ENODEV);
	cr_assert_eq(netlink_link_delete(pair.nl[1], "b0"), 0);
	cr_assert_eq(netlink_link_get(pair.nl[0], "a0", 0, &link), -ENODEV, "its peer is gone");
}

Test(netlink, addresses)
{
	_cleanup_free_ struct netlink_address *list = NULL;
	unsigned int ifindex = 0;
	char text[ADDR_TEXT_MAX];
	size_t count = 0, global = 0;

	cr_assert_eq(netlink_address_add(pair.nl[0], "a0", "10.9.0.1/24"), -EEXIST);
	cr_assert_eq(netlink_address_add(pair.nl[0], "a0", "10.9.0.1.1/24"), -EINVAL);
	cr_assert_eq(netlink_address_add(pair.nl[0], "a0", "10.9.1.1/33"), -EINVAL);
	cr_assert_eq(netlink_address_add(pair.nl[0], "nope", "10.9.1.1/24"), -ENODEV);
	cr_assert_eq(netlink_link_index(pair.nl[0], "a0", &ifindex), 0);
	cr_assert_eq(netlink_address_list(pair.nl[0], ifindex, &list, &count), 0);
	for (size_t i = 0; i < count; i++) {
		if (list[i].scope != RT_SCOPE_UNIVERSE)
			continue;
		addr_format(&list[i].addr, text);
		cr_assert_eq(list[i].prefix_len, addr_is_ipv4(&list[i].addr) ? 24 : 64);
		cr_assert_str_eq(text, addr_is_ipv4(&list[i].addr) ? "10.9.0.1" : "2001:db8:9::1");
		global++;
	}
	cr_assert_eq(global, 2);
}

/* As the agent asks: again and again, until the neighbour is resolved. */
static int nexthop_wait(const char *dst, struct netlink_nexthop *ret)
{
	uint64_t deadline = clock_ns() + RESOLVE_TIMEOUT_NS;
	struct ff_addr addr;
	int r;

	cr_assert_eq(addr_parse(dst, &addr), 0);
	do {
		r = netlink_nexthop(pair.nl[0], &addr, ret);
		if (r == -EAGAIN)
			clock_sleep_ns(10 * NSEC_PER_MSEC);
	} while (r == -EAGAIN && clock_ns() < deadline);
	return r;
}

/* ---- what decides where packets go ---------------------------------------------------------- */

struct plain {
	const char *command; /* first */
	size_t most;
	int r;
	bool plain;
};

static int plain_ask(void *arg)
{
	struct plain *ask = arg;

	if (ask->command && system(ask->command))
		return -EIO;
	ask->plain = false;
	ask->r = netlink_routes_plain(ask->most, &ask->plain);
	return 0;
}

static void plain_expect(const char *command, bool plain)
{
	struct plain ask = { .command = command, .most = 1000 };

	cr_assert_eq(netns_call(pair.fd[0], plain_ask, &ask), 0, "%s", command);
	cr_assert_eq(ask.r, 0);
	cr_expect_eq(ask.plain, plain, "after %s", command ? command : "nothing");
}

Test(netlink, routes_are_plain_if_the_destination_alone_decides)
{
	struct plain few = { .most = 2 };

	plain_expect(NULL, true);
	plain_expect("ip route add 10.10.0.0/16 via 10.9.0.2", true);
	plain_expect("ip rule add table 77", true);
	plain_expect("ip route add 10.11.0.0/16 nexthop via 10.9.0.2 nexthop via 10.9.0.3", false);
	plain_expect("ip route del 10.11.0.0/16", true);
	plain_expect("ip route add 10.11.0.0/16 tos 0x10 via 10.9.0.3", false);
	plain_expect("ip route del 10.11.0.0/16 tos 0x10", true);
	plain_expect("ip -6 route add default from 2001:db8:7::/64 via 2001:db8:9::2", false);
	plain_expect("ip -6 route del default from 2001:db8:7::/64", true);
	plain_expect("ip rule add from 10.9.0.9 table 77", false);
	plain_expect("ip rule del from 10.9.0.9 table 77", true);
	plain_expect("ip -6 rule add dport 80 table 77", false);
	plain_expect("ip -6 rule del dport 80 table 77", true);
	cr_assert_eq(netns_call(pair.fd[0], plain_ask, &few), 0);
	cr_assert_eq(few.r, -E2BIG);
}

Test(netlink, nexthop_on_the_link_and_behind_a_gateway)
{
	static const struct {
		const char *dst, *gateway, *src;
	} cases[] = {
		{ "10.9.0.2", "10.9.0.2", "10.9.0.1" },
		{ "10.10.1.1", "10.9.0.2", "10.9.0.1" },
		{ "2001:db8:9::2", "2001:db8:9::2", "2001:db8:9::1" },
		{ "2001:db8:ffff::1", "2001:db8:9::2", "2001:db8:9::1" },
	};
	const struct netlink_via via4 = { "10.9.0.2", "a0" }, via6 = { "2001:db8:9::2", "a0" };
	struct netlink_nexthop nexthop;
	char text[ADDR_TEXT_MAX];

	cr_assert_eq(netlink_route_add(pair.nl[0], "10.10.0.0/16", &via4, 1), 0);
	cr_assert_eq(netlink_route_add(pair.nl[0], "10.10.0.0/16", &via4, 1), -EEXIST);
	cr_assert_eq(netlink_route_add(pair.nl[0], "default", &via6, 1), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cr_assert_eq(nexthop_wait(cases[i].dst, &nexthop), 0, "%s", cases[i].dst);
		cr_assert_eq(memcmp(nexthop.src_mac, macs[0], NETLINK_MAC_LEN), 0);
		cr_assert_eq(memcmp(nexthop.dst_mac, macs[1], NETLINK_MAC_LEN), 0);
		cr_assert_eq(nexthop.mtu, 1600);
		cr_assert_str_eq(addr_format(&nexthop.gateway, text), cases[i].gateway);
		cr_assert_str_eq(addr_format(&nexthop.src, text), cases[i].src);
	}
}

Test(netlink, nexthop_that_there_is_none)
{
	static const struct {
		const char *dst;
		int result;
	} cases[] = {
		{ "10.9.0.77", -EAGAIN }, /* nobody there: never resolved */
		{ "10.77.0.1", -ENETUNREACH },	{ "2001:db8:77::1", -ENETUNREACH },
		{ "10.9.0.1", -EADDRNOTAVAIL }, { "10.9.0.255", -EADDRNOTAVAIL },
	};
	struct netlink_nexthop nexthop;
	struct ff_addr addr;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cr_assert_eq(addr_parse(cases[i].dst, &addr), 0);
		cr_assert_eq(netlink_nexthop(pair.nl[0], &addr, &nexthop), cases[i].result, "%s",
			     cases[i].dst);
	}
}

Test(netlink, ecmp_takes_both_gateways)
{
	const struct netlink_via via[2] = { { "10.9.0.2", "a0" }, { "10.9.0.3", "a0" } };
	unsigned int seen[2] = {};
	struct netlink_nexthop nexthop;
	struct ff_addr addr;
	char dst[32];

	cr_assert_eq(netlink_route_add(pair.nl[0], "default", via, 2), 0);
	cr_assert_eq(nexthop_wait("10.9.0.2", &nexthop), 0);
	for (int i = 100; i < 200; i++) {
		snprintf(dst, sizeof(dst), "10.20.0.%d", i);
		cr_assert_eq(addr_parse(dst, &addr), 0);
		/* .2 answers, .3 isn't there */
		seen[netlink_nexthop(pair.nl[0], &addr, &nexthop) == -EAGAIN]++;
	}
	cr_assert(seen[1] > 20 && seen[1] < 80, "%u of 100 went to the second gateway", seen[1]);
}

Test(netlink, namespaces)
{
	cr_assert_eq(netns_create("ns-a"), -EEXIST);
	cr_assert_eq(netns_create("../etc"), -EINVAL);
	cr_assert_eq(netns_create(""), -EINVAL);
	cr_assert_eq(netns_open("nope"), -ENOENT);
	cr_assert_eq(netns_delete("nope"), -ENOENT);
}

static int link_count(void *arg)
{
	struct if_nameindex *list = if_nameindex();

	(void)arg;
	cr_assert_not_null(list);
	int count = 0;
	while (list[count].if_index)
		count++;
	if_freenameindex(list);
	return count;
}

Test(netlink, call_comes_back)
{
	cr_assert_eq(netns_call(pair.fd[0], link_count, NULL), 2, "lo and a0");
	cr_assert_eq(link_count(NULL), 1, "lo: back at home");
}
