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

static __always_inline int mac_equal(const void *a, const void *b)
{
	return *(const __u32 *)a == *(const __u32 *)b &&
	       ((const __u16 *)a)[2] == ((const __u16 *)b)[2];
}

/* Looks up what has not been looked up in this tick yet. */
static __always_inline void tick_begin(struct xdp_md *ctx, struct ff_pkt *pkt)
{
	__u64 tick = bpf_jiffies64();
	struct ff_iface *iface;

	if (pkt->tick == tick && pkt->iface_index == pkt->ifindex)
		return;
	if (pkt->tick != tick) {
		pkt->tick = tick;
		pkt->tick_ns = bpf_ktime_get_ns();
	}
	iface = iface_of(ctx);
	if (iface)
		pkt->iface = *iface;
	else
		pkt->iface.role = 0;
	pkt->iface_index = pkt->ifindex;
}

/* Is it for the interface that it came in by? 0, or a reason. */
static __always_inline int station_check(const void *start, const void *end,
					 const struct ff_iface *iface)
{
	const struct ethhdr *eth = start;

	if (start + sizeof(*eth) > end)
		return FF_REASON_PASS_TRUNCATED;
	if (iface->role && mac_equal(eth->h_dest, iface->mac))
		return 0;
	return eth->h_dest[0] & 1 ? FF_REASON_PASS_MULTICAST : FF_REASON_PASS_NOT_US;
}
