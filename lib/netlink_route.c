/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/route.h>
#include <string.h>

#include "lib/netlink.h"

DEFINE_CLEANUP(struct nl_addr *, nl_addr_put);
DEFINE_CLEANUP(struct nl_cache *, nl_cache_free);
DEFINE_CLEANUP(struct nl_msg *, nlmsg_free);
DEFINE_CLEANUP(struct rtnl_neigh *, rtnl_neigh_put);
DEFINE_CLEANUP(struct rtnl_nexthop *, rtnl_route_nh_free);
DEFINE_CLEANUP(struct rtnl_route *, rtnl_route_put);

/* a MAC that a packet may be sent to (NUD_DELAY and NUD_PROBE: being confirmed, but still good) */
#define NUD_USABLE (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP)

static struct nl_addr *addr_to_nl(const struct ff_addr *addr)
{
	int family;
	const void *bytes = addr_bytes(addr, &family);

	return nl_addr_build(family, bytes, family == AF_INET ? 4 : 16);
}

/* ---- routes ---------------------------------------------------------------------------------- */

static int via_to_nexthop(struct nl_sock *nl, const struct netlink_via *via, int *ret_family,
			  struct rtnl_nexthop **ret_nexthop)
{
	_cleanup_(nl_addr_putp) struct nl_addr *gateway = NULL;
	_cleanup_(rtnl_route_nh_freep) struct rtnl_nexthop *nh = rtnl_route_nh_alloc();
	unsigned int ifindex;
	int err;

	if (!nh)
		return -ENOMEM;
	err = netlink_link_index(nl, via->link, &ifindex);
	if (err)
		return err;
	rtnl_route_nh_set_ifindex(nh, (int)ifindex);
	if (via->gateway) {
		err = netlink_addr_parse(via->gateway, AF_UNSPEC, &gateway);
		if (err)
			return err;
		*ret_family = nl_addr_get_family(gateway);
		rtnl_route_nh_set_gateway(nh, gateway);
	}
	*ret_nexthop = TAKE_PTR(nh);
	return 0;
}

int netlink_route_add(struct nl_sock *nl, const char *dst, const struct netlink_via *via,
		      size_t count)
{
	_cleanup_(nl_addr_putp) struct nl_addr *to = NULL;
	_cleanup_(rtnl_route_putp) struct rtnl_route *route = rtnl_route_alloc();
	int family = AF_UNSPEC;
	int err;

	if (!route)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct rtnl_nexthop *nh = NULL;

		err = via_to_nexthop(nl, &via[i], &family, &nh);
		if (err)
			return err;
		rtnl_route_add_nexthop(route, nh); /* owns it from now on */
	}
	err = netlink_addr_parse(dst, family, &to);
	if (err)
		return err;
	err = rtnl_route_set_dst(route, to);
	if (err)
		return netlink_errno(err);
	rtnl_route_set_table(route, RT_TABLE_MAIN);
	rtnl_route_set_protocol(route, RTPROT_STATIC);
	rtnl_route_set_scope(route, via[0].gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK);
	return netlink_errno(rtnl_route_add(nl, route, NLM_F_EXCL));
}

/* rtnl_route_lookup() tells a missing route only as one of several vague NLE codes. */
static int route_lookup(struct nl_sock *nl, const struct ff_addr *dst,
			struct rtnl_route **ret_route)
{
	_cleanup_(nl_addr_putp) struct nl_addr *to = addr_to_nl(dst);
	int err;

	if (!to)
		return -ENOMEM;
	err = rtnl_route_lookup(nl, to, ret_route);
	if (err == -NLE_NOMEM)
		return -ENOMEM;
	return err ? -ENETUNREACH : 0;
}

static int route_type_check(struct rtnl_route *route)
{
	switch (rtnl_route_get_type(route)) {
	case RTN_UNICAST:
		return 0;
	case RTN_LOCAL:
	case RTN_BROADCAST:
	case RTN_ANYCAST:
	case RTN_MULTICAST:
		return -EADDRNOTAVAIL;
	default:
		return -EHOSTUNREACH;
	}
}

int netlink_nexthop(struct nl_sock *nl, const struct ff_addr *dst,
		    struct netlink_nexthop *ret_nexthop)
{
	_cleanup_(rtnl_route_putp) struct rtnl_route *route = NULL;
	struct netlink_nexthop found = { .gateway = *dst };
	struct netlink_link link;
	struct nl_addr *addr;
	struct rtnl_nexthop *nh;
	uint32_t mtu;
	int err;

	err = route_lookup(nl, dst, &route);
	if (err)
		return err;
	err = route_type_check(route);
	if (err)
		return err;
	nh = rtnl_route_nexthop_n(route, 0);
	if (!nh)
		return -ENETUNREACH;
	found.ifindex = (unsigned int)rtnl_route_nh_get_ifindex(nh);
	addr = rtnl_route_nh_get_gateway(nh);
	if (addr)
		addr_set(&found.gateway, nl_addr_get_family(addr), nl_addr_get_binary_addr(addr));
	addr = rtnl_route_get_pref_src(route);
	if (addr)
		addr_set(&found.src, nl_addr_get_family(addr), nl_addr_get_binary_addr(addr));

	err = netlink_link_get(nl, NULL, found.ifindex, &link);
	if (err)
		return err;
	memcpy(found.src_mac, link.mac, sizeof(found.src_mac));
	found.mtu = link.mtu;
	if (!rtnl_route_get_metric(route, RTAX_MTU, &mtu) && mtu && mtu < found.mtu)
		found.mtu = mtu;

	err = netlink_neighbour_get(nl, found.ifindex, &found.gateway, found.dst_mac);
	if (err == -EAGAIN)
		netlink_neighbour_use(nl, found.ifindex, &found.gateway);
	if (err)
		return err;
	*ret_nexthop = found;
	return 0;
}

/* ---- neighbours ------------------------------------------------------------------------------ */

struct neighbour_reply {
	uint8_t mac[NETLINK_MAC_LEN];
	bool usable;
	bool stale;
};

static int neighbour_received(struct nl_msg *msg, void *arg)
{
	_cleanup_(rtnl_neigh_putp) struct rtnl_neigh *neigh = NULL;
	struct neighbour_reply *reply = arg;
	struct nl_addr *mac;

	if (nlmsg_hdr(msg)->nlmsg_type != RTM_NEWNEIGH ||
	    rtnl_neigh_parse(nlmsg_hdr(msg), &neigh) < 0)
		return NL_OK;
	mac = rtnl_neigh_get_lladdr(neigh);
	if (!mac || nl_addr_get_len(mac) != NETLINK_MAC_LEN)
		return NL_OK;
	memcpy(reply->mac, nl_addr_get_binary_addr(mac), NETLINK_MAC_LEN);
	reply->usable = rtnl_neigh_get_state(neigh) & NUD_USABLE;
	reply->stale = rtnl_neigh_get_state(neigh) & NUD_STALE;
	return NL_OK;
}

/* RTM_GETNEIGH for one neighbour (Linux 5.0): a dump would read a fabric's whole table. */
static int neighbour_query(struct nl_sock *nl, unsigned int ifindex, const struct ff_addr *addr,
			   struct neighbour_reply *reply)
{
	_cleanup_(nl_addr_putp) struct nl_addr *dst = addr_to_nl(addr);
	_cleanup_(nlmsg_freep) struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETNEIGH, 0);
	struct ndmsg ndm = { .ndm_ifindex = (int)ifindex };
	int err;

	if (!dst || !msg)
		return -ENOMEM;
	ndm.ndm_family = (uint8_t)nl_addr_get_family(dst);
	err = nlmsg_append(msg, &ndm, sizeof(ndm), NLMSG_ALIGNTO);
	if (!err)
		err = nla_put_addr(msg, NDA_DST, dst);
	if (err)
		return netlink_errno(err);
	err = nl_socket_modify_cb(nl, NL_CB_VALID, NL_CB_CUSTOM, neighbour_received, reply);
	if (err)
		return netlink_errno(err);
	err = nl_send_auto(nl, msg);
	if (err >= 0)
		err = nl_recvmsgs_default(nl);
	if (err >= 0)
		err = nl_wait_for_ack(nl);
	nl_socket_modify_cb(nl, NL_CB_VALID, NL_CB_DEFAULT, NULL, NULL);
	return netlink_errno(MIN(err, 0));
}

int netlink_neighbour_get(struct nl_sock *nl, unsigned int ifindex, const struct ff_addr *addr,
			  uint8_t ret_mac[NETLINK_MAC_LEN])
{
	struct neighbour_reply reply = {};
	int err = neighbour_query(nl, ifindex, addr, &reply);

	if (err == -ENOENT || (!err && !reply.usable))
		return -EAGAIN;
	if (err)
		return err;
	memcpy(ret_mac, reply.mac, NETLINK_MAC_LEN);
	/*
	 * Only the kernel's own packets would have it confirmed: a dead host's MAC must not stay.
	 */
	if (reply.stale)
		netlink_neighbour_use(nl, ifindex, addr);
	return 0;
}

int netlink_neighbour_use(struct nl_sock *nl, unsigned int ifindex, const struct ff_addr *addr)
{
	_cleanup_(nl_addr_putp) struct nl_addr *dst = addr_to_nl(addr);
	_cleanup_(rtnl_neigh_putp) struct rtnl_neigh *neigh = rtnl_neigh_alloc();
	int err;

	if (!dst || !neigh)
		return -ENOMEM;
	rtnl_neigh_set_ifindex(neigh, (int)ifindex);
	rtnl_neigh_set_flags(neigh, NTF_USE);
	err = rtnl_neigh_set_dst(neigh, dst);
	if (err)
		return netlink_errno(err);
	return netlink_errno(rtnl_neigh_add(nl, neigh, NLM_F_CREATE));
}
