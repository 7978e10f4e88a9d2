/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* traffic_route.c - which way an end's packets leave: addresses, next hops, their MACs. */

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/cache.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/netlink.h"
#include "tools/traffic.h"

#define RESOLVE_NS	(3 * NSEC_PER_SEC) /* the kernel asks three times, a second apart */
#define RESOLVE_STEP_NS (20 * NSEC_PER_MSEC)

DEFINE_CLEANUP(struct nl_cache *, nl_cache_free);

int traffic_address(int netns_fd, int family, struct ff_addr *ret_addr)
{
	_cleanup_netlink_ struct nl_sock *nl = NULL;
	_cleanup_free_ struct netlink_address *list = NULL;
	size_t count;
	int r;

	r = netlink_open_in(netns_fd, &nl);
	if (r < 0)
		return r;
	r = netlink_address_list(nl, 0, &list, &count);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		if (list[i].scope != RT_SCOPE_UNIVERSE ||
		    addr_is_ipv4(&list[i].addr) != (family == AF_INET))
			continue;
		*ret_addr = list[i].addr;
		return 0;
	}
	return -ENOENT;
}

/* Does the route cover @dst? */
static bool route_covers(struct rtnl_route *route, int family, const void *dst)
{
	struct nl_addr *prefix = rtnl_route_get_dst(route);
	unsigned int len = prefix ? nl_addr_get_prefixlen(prefix) : 0;
	const uint8_t *a = dst, *b;

	if (rtnl_route_get_family(route) != family || rtnl_route_get_type(route) != RTN_UNICAST ||
	    rtnl_route_get_table(route) != RT_TABLE_MAIN)
		return false;
	if (!len)
		return true;
	b = nl_addr_get_binary_addr(prefix);
	if (memcmp(a, b, len / 8))
		return false;
	return len % 8 == 0 || (a[len / 8] ^ b[len / 8]) >> (8 - len % 8) == 0;
}

/*
 * The longest prefix that covers @dst, with all its next hops: asking the kernel for a route to
 * @dst would only tell the one that this very address hashes to.
 */
static struct rtnl_route *route_find(struct nl_cache *cache, int family, const void *dst)
{
	struct rtnl_route *best = NULL;
	int best_len = -1;

	for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o)) {
		struct rtnl_route *route = (struct rtnl_route *)o;
		struct nl_addr *prefix = rtnl_route_get_dst(route);
		int len = prefix ? (int)nl_addr_get_prefixlen(prefix) : 0;

		if (!route_covers(route, family, dst) || len < best_len ||
		    (len == best_len &&
		     rtnl_route_get_priority(route) >= rtnl_route_get_priority(best)))
			continue;
		best = route;
		best_len = len;
	}
	return best;
}

static int neighbour_resolve(struct nl_sock *nl, uint32_t ifindex, const struct ff_addr *addr,
			     uint8_t ret_mac[NETLINK_MAC_LEN])
{
	uint64_t deadline_ns = clock_ns() + RESOLVE_NS;
	int r;

	for (;;) {
		r = netlink_neighbour_get(nl, ifindex, addr, ret_mac);
		if (r != -EAGAIN || clock_ns() > deadline_ns)
			return r;
		netlink_neighbour_use(nl, ifindex, addr);
		clock_sleep_ns(RESOLVE_STEP_NS);
	}
}

static int hop_fill(struct traffic_hop *hop, struct nl_sock *nl, struct rtnl_nexthop *nh,
		    const struct ff_addr *dst, struct ff_error *err)
{
	uint32_t ifindex = (uint32_t)rtnl_route_nh_get_ifindex(nh);
	struct nl_addr *via = rtnl_route_nh_get_gateway(nh);
	struct netlink_link link;
	struct ff_addr next = *dst;
	char text[ADDR_TEXT_MAX];
	int r;

	if (via)
		addr_set(&next, nl_addr_get_family(via), nl_addr_get_binary_addr(via));
	r = netlink_link_get(nl, NULL, ifindex, &link);
	if (r < 0)
		return error_set(err, r, FF_CODE_NOT_FOUND, NULL, "interface %u: %s", ifindex,
				 strerror(-r));
	r = neighbour_resolve(nl, ifindex, &next, hop->dst);
	if (r < 0)
		return error_set(err, EHOSTUNREACH, FF_CODE_UNREACHABLE,
				 "see that it is up and on this link",
				 "%s: next hop %s doesn't answer", link.name,
				 addr_format(&next, text));
	hop->ifindex = ifindex;
	memcpy(hop->src, link.mac, sizeof(hop->src));
	return 0;
}

/* Notes the interface of a hop, on which the end's packets arrive as well. */
static int link_note(struct traffic_end *end, const struct traffic_hop *hop)
{
	for (size_t i = 0; i < end->n_links; i++)
		if (end->links[i].ifindex == hop->ifindex)
			return 0;
	if (end->n_links == TRAFFIC_LINKS_MAX)
		return -E2BIG;
	end->config.link[end->n_links] = *hop;
	end->links[end->n_links++] =
		(struct traffic_link){ .ifindex = hop->ifindex, .old_prog_fd = -1, .lock_fd = -1 };
	end->config.links = (uint8_t)end->n_links;
	return 0;
}

static int family_route(struct traffic_end *end, struct nl_sock *nl, int family,
			struct ff_error *err)
{
	unsigned int ipv6 = family == AF_INET6, to = !end->config.direction;
	const void *dst = ipv6 ? (void *)end->config.addr6[to] : (void *)end->config.addr4[to];
	_cleanup_(nl_cache_freep) struct nl_cache *cache = NULL;
	struct rtnl_route *route;
	char text[ADDR_TEXT_MAX];
	struct ff_addr addr;
	int r, n;

	addr_set(&addr, family, dst);
	r = rtnl_route_alloc_cache(nl, family, 0, &cache);
	if (r < 0)
		return error_set(err, netlink_errno(r), FF_CODE_INTERNAL, NULL, "%s: no routes: %s",
				 end->name, strerror(-netlink_errno(r)));
	route = route_find(cache, family, dst);
	n = route ? rtnl_route_get_nnexthops(route) : 0;
	if (!n)
		return error_set(err, ENETUNREACH, FF_CODE_UNREACHABLE, "add a route",
				 "%s has no route to %s", end->name, addr_format(&addr, text));
	for (int i = 0; i < n && i < TRAFFIC_LINKS_MAX; i++) {
		struct traffic_hop *hop = &end->config.hop[ipv6][i];

		r = hop_fill(hop, nl, rtnl_route_nexthop_n(route, i), &addr, err);
		if (r < 0)
			return r;
		r = link_note(end, hop);
		if (r < 0)
			return error_set(err, -r, FF_CODE_REFUSED, NULL,
					 "%s: more than %d interfaces lead to the other end",
					 end->name, TRAFFIC_LINKS_MAX);
		end->config.hops[ipv6]++;
	}
	return 0;
}

int traffic_end_route(struct traffic_end *end, struct ff_error *err)
{
	_cleanup_netlink_ struct nl_sock *nl = NULL;
	int r;

	r = netlink_open_in(end->netns_fd, &nl);
	if (r < 0)
		return error_set(err, r, FF_CODE_INTERNAL, NULL, "%s: no netlink socket: %s",
				 end->name, strerror(-r));
	if (end->config.families & TRAFFIC_IPV4) {
		r = family_route(end, nl, AF_INET, err);
		if (r < 0)
			return r;
	}
	if (end->config.families & TRAFFIC_IPV6) {
		r = family_route(end, nl, AF_INET6, err);
		if (r < 0)
			return r;
	}
	return 0;
}
