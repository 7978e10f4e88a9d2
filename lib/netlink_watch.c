/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "lib/netlink_watch.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "lib/cleanup.h"

DEFINE_CLEANUP(struct rtnl_addr *, rtnl_addr_put);
DEFINE_CLEANUP(struct rtnl_link *, rtnl_link_put);

/*
 * A hundred thousand events of some hundred bytes come at once when a host's links are torn down.
 */
#define WATCH_BUFFER (1 << 20)

int netlink_watch_open(struct nl_sock **ret_nl)
{
	_cleanup_netlink_ struct nl_sock *nl = NULL;
	int err = netlink_open(&nl);

	if (err)
		return err;
	nl_socket_disable_seq_check(nl);
	err = nl_socket_add_memberships(nl, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
					0);
	if (!err)
		err = nl_socket_set_nonblocking(nl);
	if (!err)
		err = nl_socket_set_buffer_size(nl, WATCH_BUFFER, 0);
	if (err)
		return netlink_errno(err);
	*ret_nl = TAKE_PTR(nl);
	return 0;
}

int netlink_watch_fd(const struct nl_sock *nl)
{
	return nl_socket_get_fd(nl);
}

struct watch {
	netlink_event_fn fn;
	void *ctx;
};

static void link_received(const struct watch *watch, struct nlmsghdr *header)
{
	const struct ifinfomsg *info = nlmsg_data(header);
	struct nlattr *name = nlmsg_find_attr(header, sizeof(*info), IFLA_IFNAME);
	struct nlattr *mtu = nlmsg_find_attr(header, sizeof(*info), IFLA_MTU);
	struct nlattr *carrier = nlmsg_find_attr(header, sizeof(*info), IFLA_CARRIER);
	struct netlink_event event = {
		.kind = NETLINK_LINK,
		.ifindex = (unsigned int)info->ifi_index,
		.gone = header->nlmsg_type == RTM_DELLINK,
		.up = info->ifi_flags & IFF_UP,
		.carrier = carrier && nla_get_u8(carrier),
		.mtu = mtu ? nla_get_u32(mtu) : 0,
	};

	if (name)
		nla_strlcpy(event.name, name, sizeof(event.name));
	watch->fn(watch->ctx, &event);
}

static void address_received(const struct watch *watch, struct nlmsghdr *header)
{
	const struct ifaddrmsg *info = nlmsg_data(header);
	struct nlattr *addr = nlmsg_find_attr(header, sizeof(*info), IFA_LOCAL);
	struct netlink_event event = {
		.kind = NETLINK_ADDRESS,
		.ifindex = info->ifa_index,
		.gone = header->nlmsg_type == RTM_DELADDR,
		.prefix_len = info->ifa_prefixlen,
	};

	if (!addr) /* IPv6 has a local one only where there is a peer's, too */
		addr = nlmsg_find_attr(header, sizeof(*info), IFA_ADDRESS);
	if (!addr || (info->ifa_family != AF_INET && info->ifa_family != AF_INET6) ||
	    nla_len(addr) < (info->ifa_family == AF_INET ? 4 : 16))
		return;
	addr_set(&event.addr, info->ifa_family, nla_data(addr));
	if_indextoname(event.ifindex, event.name);
	watch->fn(watch->ctx, &event);
}

static int event_received(struct nl_msg *msg, void *arg)
{
	struct nlmsghdr *header = nlmsg_hdr(msg);

	switch (header->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		if (nlmsg_valid_hdr(header, sizeof(struct ifinfomsg)))
			link_received(arg, header);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		if (nlmsg_valid_hdr(header, sizeof(struct ifaddrmsg)))
			address_received(arg, header);
		break;
	}
	return NL_OK;
}

int netlink_watch_read(struct nl_sock *nl, netlink_event_fn fn, void *ctx)
{
	struct watch watch = { fn, ctx };
	int err = nl_socket_modify_cb(nl, NL_CB_VALID, NL_CB_CUSTOM, event_received, &watch);

	while (!err)
		err = nl_recvmsgs_default(nl);
	nl_socket_modify_cb(nl, NL_CB_VALID, NL_CB_DEFAULT, NULL, NULL);
	if (err == -NLE_AGAIN)
		return 0;
	if (err == -NLE_NOMEM) { /* libnl's word for ENOBUFS, too */
		fn(ctx, &(struct netlink_event){ .kind = NETLINK_LOST });
		return 0;
	}
	return netlink_errno(err);
}

/* ---- what links have carried ----------------------------------------------------------------- */

int netlink_link_counters(struct nl_sock *nl, const char *name, struct netlink_counters *ret)
{
	_cleanup_(rtnl_link_putp) struct rtnl_link *link = NULL;
	int err = rtnl_link_get_kernel(nl, 0, name, &link);
	unsigned int flags;

	if (err)
		return err == -NLE_OBJ_NOTFOUND ? -ENODEV : netlink_errno(err);
	flags = rtnl_link_get_flags(link);
	*ret = (struct netlink_counters){
		.ifindex = (unsigned int)rtnl_link_get_ifindex(link),
		.up = flags & IFF_UP,
		.carrier = rtnl_link_get_carrier(link),
		.mtu = rtnl_link_get_mtu(link),
		.rx_packets = rtnl_link_get_stat(link, RTNL_LINK_RX_PACKETS),
		.rx_bytes = rtnl_link_get_stat(link, RTNL_LINK_RX_BYTES),
		.rx_errors = rtnl_link_get_stat(link, RTNL_LINK_RX_ERRORS),
		.rx_dropped = rtnl_link_get_stat(link, RTNL_LINK_RX_DROPPED),
		.tx_packets = rtnl_link_get_stat(link, RTNL_LINK_TX_PACKETS),
		.tx_bytes = rtnl_link_get_stat(link, RTNL_LINK_TX_BYTES),
		.tx_errors = rtnl_link_get_stat(link, RTNL_LINK_TX_ERRORS),
		.tx_dropped = rtnl_link_get_stat(link, RTNL_LINK_TX_DROPPED),
	};
	return 0;
}

/* Asked twice: the first answer says how many words of link modes the second one must have. */
int netlink_link_speed(const char *name, uint64_t *ret_bits_per_s)
{
	struct {
		struct ethtool_link_settings base;
		uint32_t modes[3 * 127];
	} settings = { .base.cmd = ETHTOOL_GLINKSETTINGS };
	struct ifreq ifr = { .ifr_data = (char *)&settings };
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, SIOCETHTOOL, &ifr) < 0)
		return -errno;
	settings.base.link_mode_masks_nwords = (int8_t)-settings.base.link_mode_masks_nwords;
	if (ioctl(fd, SIOCETHTOOL, &ifr) < 0)
		return -errno;
	if (!settings.base.speed || settings.base.speed == (uint32_t)SPEED_UNKNOWN)
		return -EOPNOTSUPP;
	*ret_bits_per_s = settings.base.speed * 1000000ull;
	return 0;
}
