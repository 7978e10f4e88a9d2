/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * netlink.h - links, addresses, routes and neighbours through libnl's route library.
 *
 * A socket stays in the network namespace in which it was opened, wherever its thread goes later;
 * so work on several namespaces takes a socket for each (netlink_open_in()) and no further setns().
 * A socket is not thread-safe. Functions return 0 or a negative errno; libnl's own NLE_* codes end
 * in netlink.c. Addresses in text are as people write them, with or without a prefix length.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <net/if.h>
#include <linux/types.h>

#include "bpf/abi.h"
#include "lib/addr.h"
#include "lib/cleanup.h"

struct nl_sock;

#define NETLINK_MAC_LEN 6

/* Opens a socket in the calling thread's namespace, or in that of the descriptor @netns_fd. */
int netlink_open(struct nl_sock **ret_nl);
int netlink_open_in(int netns_fd, struct nl_sock **ret_nl);
void netlink_close(struct nl_sock *nl);
DEFINE_CLEANUP(struct nl_sock *, netlink_close);
#define _cleanup_netlink_ _cleanup_(netlink_closep)

/* libnl's negative NLE_* -> negative errno; what has no counterpart is -EIO. */
int netlink_errno(int nle);

struct nl_addr;

/* An address or a prefix in text, for the family that it must have (AF_UNSPEC: any). -EINVAL. */
int netlink_addr_parse(const char *text, int family, struct nl_addr **ret_addr);

/* ---- links ----------------------------------------------------------------------------------- */

struct netlink_link {
	unsigned int ifindex;
	unsigned int mtu;
	bool up; /* administratively */
	uint8_t mac[NETLINK_MAC_LEN];
	char name[IF_NAMESIZE];
};

/* One link, by name or (name NULL) by ifindex. -ENODEV if there is none. */
int netlink_link_get(struct nl_sock *nl, const char *name, unsigned int ifindex,
		     struct netlink_link *ret_link);
int netlink_link_index(struct nl_sock *nl, const char *name, unsigned int *ret_ifindex);
int netlink_link_up(struct nl_sock *nl, const char *name);
int netlink_link_delete(struct nl_sock *nl, const char *name);

/*
 * Queues up to @limit packets before the link. A veth has no queue of its own by default and drops
 * what its peer doesn't take at once; with one it holds the sender back (Linux 6.16 and later).
 */
int netlink_qdisc_fifo(struct nl_sock *nl, const char *link, unsigned int limit);

struct netlink_veth_end {
	const char *name;
	int netns_fd;
	uint8_t mac[NETLINK_MAC_LEN];
};

/*
 * A veth pair, each end made inside its namespace (never visible in another), down. It has a queue
 * for each CPU: a queue of 256 frames that one CPU fills and another one empties overflows, and XDP
 * then loses packets, as soon as the other one is busy. -EEXIST if either name is taken there.
 */
int netlink_veth_add(struct nl_sock *nl, const struct netlink_veth_end ends[2], unsigned int mtu);

/* ---- addresses ------------------------------------------------------------------------------- */

/* "198.18.1.2/24"; IPv6 addresses skip duplicate address detection, so they serve at once. */
int netlink_address_add(struct nl_sock *nl, const char *link, const char *address);

struct netlink_address {
	unsigned int ifindex;
	uint8_t prefix_len;
	uint8_t scope; /* RT_SCOPE_* */
	struct ff_addr addr;
};

/* All addresses of one link (ifindex 0: of all). The array is the caller's: free(). */
int netlink_address_list(struct nl_sock *nl, unsigned int ifindex, struct netlink_address **ret,
			 size_t *ret_count);

/* ---- routes ---------------------------------------------------------------------------------- */

struct netlink_via {
	const char *gateway; /* NULL: the destination is on the link itself */
	const char *link;
};

/*
 * A route to "198.18.1.0/24" or "default" (whose family is the gateways'), through @count next hops
 * that share the flows evenly (ECMP) when there are several.
 */
int netlink_route_add(struct nl_sock *nl, const char *dst, const struct netlink_via *via,
		      size_t count);

struct netlink_nexthop {
	unsigned int ifindex;
	unsigned int
		mtu; /* of the path: the route's own if it has one, else the link's; L3 bytes */
	uint8_t src_mac[NETLINK_MAC_LEN];
	uint8_t dst_mac[NETLINK_MAC_LEN];
	struct ff_addr src;	/* what the kernel would send from */
	struct ff_addr gateway; /* the next hop; the destination itself when it is on the link */
};

/*
 * All that it takes to send a frame to @dst. While the next hop's MAC isn't known: -EAGAIN, with
 * its resolution set going; ask again. -ENETUNREACH, -EHOSTUNREACH (unreachable, blackhole and the
 * like), -EADDRNOTAVAIL for an address of this host, a multicast or broadcast one.
 */
int netlink_nexthop(struct nl_sock *nl, const struct ff_addr *dst,
		    struct netlink_nexthop *ret_nexthop);

/*
 * Whether a packet's way depends on its destination only: no rule with a selector, no route by
 * source or TOS, none with several next hops. -E2BIG: more than `most` rules and routes, and none
 * of those that were looked at is such a one.
 */
int netlink_routes_plain(size_t most, bool *ret_plain);

/* ---- neighbours ------------------------------------------------------------------------------ */

/* The MAC of a neighbour. -EAGAIN while it isn't known (and nothing is set going). */
int netlink_neighbour_get(struct nl_sock *nl, unsigned int ifindex, const struct ff_addr *addr,
			  uint8_t ret_mac[NETLINK_MAC_LEN]);

/*
 * Sets the resolution of a neighbour going, or its confirmation when it is stale (NTF_USE): what
 * the kernel does by itself for packets that it sends, and XDP's packets don't make it do.
 */
int netlink_neighbour_use(struct nl_sock *nl, unsigned int ifindex, const struct ff_addr *addr);
