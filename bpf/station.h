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

/*
 * The interface that the packet came in by; role 0: not one of ours. Packets come in batches, so it is
 * looked up once a tick only (1 to 10 ms): each time, it would take as long as the rest of `steer`.
 */
static __always_inline const struct ff_iface *iface_here(struct xdp_md *ctx, struct ff_pkt *pkt)
{
	__u64 tick = bpf_jiffies64();
	struct ff_iface *iface;

	if (pkt->iface_tick != tick || pkt->iface_index != pkt->ifindex) {
		iface = iface_of(ctx);
		if (iface)
			pkt->iface = *iface;
		else
			pkt->iface.role = 0;
		pkt->iface_tick = tick;
		pkt->iface_index = pkt->ifindex;
	}
	return &pkt->iface;
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
