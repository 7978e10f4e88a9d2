/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * station.h - which frames are ours to steer and to forward: those addressed to the interface.
 *
 * A promiscuous NIC, a mirror port, a bridge or a switch that floods shows others', which their own
 * gateway forwards, too. They are left to the kernel as they came: it doesn't route them, but may have a
 * bridge, a capture or a virtual interface (macvlan, VRRP) for them.
 */
#pragma once

#include "bpf/maps.h"

#define STATION_NS 100000000ull /* the agent looks for a changed MAC once a second */

static __always_inline int mac_equal(const __u16 a[3], const __u16 b[3])
{
	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]));
}

/* Is it for the interface that it came in by? 0, or a reason. `iface` NULL: not one of ours. */
static __always_inline int station_check(const void *start, const void *end,
					 const struct ff_iface *iface)
{
	const struct ethhdr *eth = start;

	if (start + sizeof(*eth) > end)
		return FF_REASON_PASS_TRUNCATED;
	if (iface && mac_equal(start, (const __u16 *)iface->mac))
		return 0;
	return eth->h_dest[0] & 1 ? FF_REASON_PASS_MULTICAST : FF_REASON_PASS_NOT_US;
}

/*
 * As station_check(), for the packet that has just begun. Packets come in batches from one interface,
 * so its MAC is looked up once in a while only: each time, it would add a fifth to `steer`'s cost.
 */
static __always_inline int frame_check(struct xdp_md *ctx, struct ff_pkt *pkt)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	int reason;

	if (pkt->station_ifindex == pkt->ifindex && pkt->now_ns - pkt->station_ns < STATION_NS &&
	    data + sizeof(struct ethhdr) <= end && mac_equal(data, pkt->station_mac))
		return 0;
	reason = station_check(data, end, iface_of(ctx));
	if (!reason) {
		pkt->station_ifindex = pkt->ifindex;
		pkt->station_ns = pkt->now_ns;
		__builtin_memcpy(pkt->station_mac, data, sizeof(pkt->station_mac));
	}
	return reason;
}
