/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sockets, errors, links and addresses; routes and neighbours are in netlink_route.c. */
#include <errno.h>
#include <linux/if_addr.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/qdisc/fifo.h>
#include <string.h>
#include <unistd.h>

#include "lib/netlink.h"
#include "lib/netns.h"

DEFINE_CLEANUP(struct nl_addr *, nl_addr_put);
DEFINE_CLEANUP(struct nl_cache *, nl_cache_free);
DEFINE_CLEANUP(struct rtnl_addr *, rtnl_addr_put);
DEFINE_CLEANUP(struct rtnl_link *, rtnl_link_put);
DEFINE_CLEANUP(struct rtnl_link *, rtnl_link_veth_release);
DEFINE_CLEANUP(struct rtnl_qdisc *, rtnl_qdisc_put);

/* libnl folds several errnos into one NLE_*; each gets the likeliest back. */
int netlink_errno(int nle)
{
	static const int errnos[] = {
		[NLE_INTR] = EINTR,	      [NLE_BAD_SOCK] = EBADF,
		[NLE_AGAIN] = EAGAIN,	      [NLE_NOMEM] = ENOMEM,
		[NLE_EXIST] = EEXIST,	      [NLE_INVAL] = EINVAL,
		[NLE_RANGE] = ERANGE,	      [NLE_MSGSIZE] = EMSGSIZE,
		[NLE_OPNOTSUPP] = EOPNOTSUPP, [NLE_AF_NOSUPPORT] = EAFNOSUPPORT,
		[NLE_OBJ_NOTFOUND] = ENOENT,  [NLE_NOADDR] = EADDRNOTAVAIL,
		[NLE_BUSY] = EBUSY,	      [NLE_NOACCESS] = EACCES,
		[NLE_PERM] = EPERM,	      [NLE_NODEV] = ENODEV,
		[NLE_DUMP_INTR] = EAGAIN,
	};
	unsigned int code = nle < 0 ? -nle : nle;

	if (!code)
		return 0;
	return -(code < ARRAY_SIZE(errnos) && errnos[code] ? errnos[code] : EIO);
}

int netlink_open(struct nl_sock **ret_nl)
{
	struct nl_sock *nl = nl_socket_alloc();
	int err;

	if (!nl)
		return -ENOMEM;
	err = nl_connect(nl, NETLINK_ROUTE);
	if (err) {
		nl_socket_free(nl);
		return netlink_errno(err);
	}
	*ret_nl = nl;
	return 0;
}

int netlink_addr_parse(const char *text, int family, struct nl_addr **ret_addr)
{
	_cleanup_(nl_addr_putp) struct nl_addr *addr = NULL;
	int err = nl_addr_parse(text, family, &addr);

	if (err == -NLE_NOMEM)
		return -ENOMEM;
	if (err)
		return -EINVAL; /* its other codes tell where in the text it stumbled */
	/* it takes "1.2.3" for DECnet's, and any prefix length */
	if ((nl_addr_get_family(addr) != AF_INET && nl_addr_get_family(addr) != AF_INET6) ||
	    nl_addr_get_prefixlen(addr) > (nl_addr_get_family(addr) == AF_INET ? 32u : 128u))
		return -EINVAL;
	*ret_addr = TAKE_PTR(addr);
	return 0;
}

static int open_here(void *ret_nl)
{
	return netlink_open(ret_nl);
}

int netlink_open_in(int netns_fd, struct nl_sock **ret_nl)
{
	return netns_call(netns_fd, open_here, ret_nl);
}

void netlink_close(struct nl_sock *nl)
{
	nl_socket_free(nl); /* takes NULL */
}

/* ---- links ----------------------------------------------------------------------------------- */

static int link_lookup(struct nl_sock *nl, const char *name, unsigned int ifindex,
		       struct rtnl_link **ret_link)
{
	int err = rtnl_link_get_kernel(nl, (int)ifindex, name, ret_link);

	return err == -NLE_OBJ_NOTFOUND ? -ENODEV : netlink_errno(err);
}

int netlink_link_get(struct nl_sock *nl, const char *name, unsigned int ifindex,
		     struct netlink_link *ret_link)
{
	_cleanup_(rtnl_link_putp) struct rtnl_link *link = NULL;
	struct netlink_link found = {};
	struct nl_addr *mac;
	int err;

	err = link_lookup(nl, name, ifindex, &link);
	if (err)
		return err;
	found.ifindex = (unsigned int)rtnl_link_get_ifindex(link);
	found.mtu = rtnl_link_get_mtu(link);
	found.up = rtnl_link_get_flags(link) & IFF_UP;
	mac = rtnl_link_get_addr(link);
	if (mac && nl_addr_get_len(mac) == NETLINK_MAC_LEN)
		memcpy(found.mac, nl_addr_get_binary_addr(mac), NETLINK_MAC_LEN);
	snprintf(found.name, sizeof(found.name), "%s", rtnl_link_get_name(link));
	*ret_link = found;
	return 0;
}

int netlink_link_index(struct nl_sock *nl, const char *name, unsigned int *ret_ifindex)
{
	struct netlink_link link;
	int err = netlink_link_get(nl, name, 0, &link);

	if (!err)
		*ret_ifindex = link.ifindex;
	return err;
}

int netlink_link_up(struct nl_sock *nl, const char *name)
{
	_cleanup_(rtnl_link_putp) struct rtnl_link *link = NULL;
	_cleanup_(rtnl_link_putp) struct rtnl_link *change = rtnl_link_alloc();
	int err;

	if (!change)
		return -ENOMEM;
	err = link_lookup(nl, name, 0, &link);
	if (err)
		return err;
	rtnl_link_set_flags(change, IFF_UP);
	return netlink_errno(rtnl_link_change(nl, link, change, 0));
}

int netlink_link_delete(struct nl_sock *nl, const char *name)
{
	_cleanup_(rtnl_link_putp) struct rtnl_link *link = NULL;
	int err = link_lookup(nl, name, 0, &link);

	return err ? err : netlink_errno(rtnl_link_delete(nl, link));
}

int netlink_qdisc_fifo(struct nl_sock *nl, const char *link, unsigned int limit)
{
	_cleanup_(rtnl_qdisc_putp) struct rtnl_qdisc *qdisc = rtnl_qdisc_alloc();
	unsigned int ifindex;
	int err;

	if (!qdisc)
		return -ENOMEM;
	err = netlink_link_index(nl, link, &ifindex);
	if (err)
		return err;
	rtnl_tc_set_ifindex(TC_CAST(qdisc), (int)ifindex);
	rtnl_tc_set_parent(TC_CAST(qdisc), TC_H_ROOT);
	err = rtnl_tc_set_kind(TC_CAST(qdisc), "pfifo");
	if (!err)
		err = rtnl_qdisc_fifo_set_limit(qdisc, (int)limit);
	if (!err)
		err = rtnl_qdisc_add(nl, qdisc, NLM_F_CREATE);
	return netlink_errno(err);
}

static int veth_end_fill(struct rtnl_link *link, const struct netlink_veth_end *end,
			 unsigned int mtu)
{
	_cleanup_(nl_addr_putp) struct nl_addr *mac = NULL;
	unsigned int queues = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);

	mac = nl_addr_build(AF_LLC, end->mac, NETLINK_MAC_LEN);
	if (!mac)
		return -ENOMEM;
	rtnl_link_set_name(link, end->name);
	rtnl_link_set_ns_fd(link, end->netns_fd);
	rtnl_link_set_addr(link, mac);
	rtnl_link_set_mtu(link, mtu);
	rtnl_link_set_num_tx_queues(link, queues);
	rtnl_link_set_num_rx_queues(link, queues);
	return 0;
}

int netlink_veth_add(struct nl_sock *nl, const struct netlink_veth_end ends[2], unsigned int mtu)
{
	_cleanup_(rtnl_link_veth_releasep) struct rtnl_link *link = rtnl_link_veth_alloc();
	struct rtnl_link *peer;
	int err;

	if (!link)
		return -ENOMEM;
	peer = rtnl_link_veth_get_peer(link); /* with a reference of ours */
	err = veth_end_fill(link, &ends[0], mtu);
	if (!err)
		err = veth_end_fill(peer, &ends[1], mtu);
	rtnl_link_put(peer);
	if (err)
		return err;
	return netlink_errno(rtnl_link_add(nl, link, NLM_F_CREATE | NLM_F_EXCL));
}

/* ---- addresses ------------------------------------------------------------------------------- */

int netlink_address_add(struct nl_sock *nl, const char *link, const char *address)
{
	_cleanup_(nl_addr_putp) struct nl_addr *local = NULL;
	_cleanup_(rtnl_addr_putp) struct rtnl_addr *addr = rtnl_addr_alloc();
	unsigned int ifindex;
	int err;

	if (!addr)
		return -ENOMEM;
	err = netlink_link_index(nl, link, &ifindex);
	if (err)
		return err;
	err = netlink_addr_parse(address, AF_UNSPEC, &local);
	if (err)
		return err;
	rtnl_addr_set_ifindex(addr, (int)ifindex);
	err = rtnl_addr_set_local(addr, local);
	if (err)
		return netlink_errno(err);
	if (nl_addr_get_family(local) == AF_INET6)
		rtnl_addr_set_flags(addr, IFA_F_NODAD);
	return netlink_errno(rtnl_addr_add(nl, addr, 0));
}

int netlink_address_list(struct nl_sock *nl, unsigned int ifindex, struct netlink_address **ret,
			 size_t *ret_count)
{
	_cleanup_(nl_cache_freep) struct nl_cache *cache = NULL;
	_cleanup_free_ struct netlink_address *list = NULL;
	struct nl_object *obj;
	size_t count = 0;
	int err;

	err = rtnl_addr_alloc_cache(nl, &cache);
	if (err)
		return netlink_errno(err);
	list = calloc((size_t)nl_cache_nitems(cache) + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (obj = nl_cache_get_first(cache); obj; obj = nl_cache_get_next(obj)) {
		struct rtnl_addr *addr = (struct rtnl_addr *)obj;
		struct nl_addr *local = rtnl_addr_get_local(addr);
		int family = rtnl_addr_get_family(addr);

		if (ifindex && (unsigned int)rtnl_addr_get_ifindex(addr) != ifindex)
			continue;
		if (!local || (family != AF_INET && family != AF_INET6))
			continue;
		list[count].ifindex = (unsigned int)rtnl_addr_get_ifindex(addr);
		list[count].prefix_len = (uint8_t)rtnl_addr_get_prefixlen(addr);
		list[count].scope = (uint8_t)rtnl_addr_get_scope(addr);
		addr_set(&list[count++].addr, family, nl_addr_get_binary_addr(local));
	}
	*ret = TAKE_PTR(list);
	*ret_count = count;
	return 0;
}
