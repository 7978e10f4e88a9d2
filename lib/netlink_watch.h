/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * netlink_watch.h - links and addresses as they change, and what links have carried.
 *
 * Beside lib/netlink.h, which asks and answers, this one listens: the kernel multicasts each change
 * to a socket of its own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <net/if.h>

#include "lib/addr.h"
#include "lib/netlink.h"

enum netlink_event_kind {
	NETLINK_LINK,	 /* a link has come, changed or gone */
	NETLINK_ADDRESS, /* an address has come or gone */
	NETLINK_LOST,	 /* more came than fitted into the socket: what was told may not be so */
};

struct netlink_event {
	enum netlink_event_kind kind;
	unsigned int ifindex;
	char name[IF_NAMESIZE]; /* of a link; "": not known any more */
	bool gone;
	bool up;      /* a link: administratively */
	bool carrier; /* a link: its other end is there */
	unsigned int mtu;
	uint8_t prefix_len;
	struct ff_addr addr;
};

/* Listens, without blocking; the rest is netlink_watch_read()'s. */
int netlink_watch_open(struct nl_sock **ret_nl);
int netlink_watch_fd(const struct nl_sock *nl); /* to poll */

typedef void (*netlink_event_fn)(void *ctx, const struct netlink_event *event);

/* Gives what has come to @fn. 0: nothing more now. */
int netlink_watch_read(struct nl_sock *nl, netlink_event_fn fn, void *ctx);

/* A link as it is, and what it has carried since it was made. */
struct netlink_counters {
	unsigned int ifindex;
	bool up;
	bool carrier;
	unsigned int mtu;
	uint64_t rx_packets, rx_bytes, rx_errors, rx_dropped;
	uint64_t tx_packets, tx_bytes, tx_errors, tx_dropped;
};
int netlink_link_counters(struct nl_sock *nl, const char *name, struct netlink_counters *ret);

/* Bits per second, by ethtool's word. -EOPNOTSUPP: the driver doesn't tell. */
int netlink_link_speed(const char *name, uint64_t *ret_bits_per_s);
