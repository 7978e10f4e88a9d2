/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * forward.h - on to the next hop by the kernel's FIB, in XDP where it can be.
 *
 * Whatever XDP can't do (unresolved neighbour, TTL at its end, link too small, an egress without
 * our program such as a VLAN device) goes to the kernel, which does it and answers with the right
 * ICMP. It gets the packet as it was, TTL and all, in a frame to the interface without VLAN tags.
 *
 * The FIB takes 120 ns, for packets that come with many others for the same destination. So where it
 * sends them is kept until the next tick (1 to 10 ms): changes of routes, neighbours and links count
 * from there on, whether an agent is alive or not. It is kept by destination; that nothing else
 * decides (no rule, no multipath or source route, no TOS) is what the agent vouches for again and
 * again, see ff_host_info: where it can't, or is dead, each packet asks the FIB.
 */
#pragma once

#include "bpf/maps.h"
#include "bpf/parse.h"

#define FF_AF_INET  2
#define FF_AF_INET6 10

/* To the kernel, which only takes frames addressed to the interface they came in by. */
static __always_inline int to_kernel(struct xdp_md *ctx, __u32 reason)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ff_iface *iface = iface_of(ctx);
	struct ethhdr *eth = data;

	if (iface && data + sizeof(*eth) <= end)
		__builtin_memcpy(eth->h_dest, iface->mac, 6);
	return ff_verdict(XDP_PASS, reason);
}

static __always_inline int fib_reason(long code)
{
	switch (code) {
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		return FF_REASON_PASS_NO_NEIGHBOUR;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		return FF_REASON_PASS_TOO_BIG;
	default:
		return FF_REASON_PASS_NO_ROUTE;
	}
}

/* Drops the VLAN tags: routing ends the link that they belong to. The Ethernet header is stale
 * afterwards. */
static __always_inline int vlans_strip(struct xdp_md *ctx, struct ff_pkt *pkt)
{
	__u32 strip = pkt->vlans * sizeof(struct vlan_hdr);
	void *data, *end;
	struct ethhdr *eth;

	if (!strip)
		return 0;
	if (bpf_xdp_adjust_head(ctx, strip))
		return -1;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	eth = data;
	if (data + sizeof(*eth) > end)
		return -1;
	eth->h_proto = bpf_htons(pkt->family == 4 ? ETH_P_IP : ETH_P_IPV6);
	pkt->vlans = 0;
	pkt->l3_off = sizeof(*eth);
	return 0;
}

static __always_inline int ttl_take(void *l3, void *end, __u8 family)
{
	if (family == 4) {
		struct iphdr *ip = l3;
		__u32 check;

		if ((void *)(ip + 1) > end || ip->ttl <= 1)
			return -1;
		check = ip->check +
			bpf_htons(0x0100); /* RFC 1624 for a change of -1 in that byte */
		ip->check = check + (check >= 0xffff);
		ip->ttl--;
	} else {
		struct ipv6hdr *ip6 = l3;

		if ((void *)(ip6 + 1) > end || ip6->hop_limit <= 1)
			return -1;
		ip6->hop_limit--;
	}
	return 0;
}

/* Where this CPU's packets to a destination have gone in this tick. */
#define ROUTES 256 /* 16 KiB; two destinations of one place take it from each other */

struct route {
	__u64 dst[2];
	__u64 tick;
	__u32 from; /* ingress */
	__u32 ifindex;
	__u8 macs[12]; /* as they stand in the frame: destination, source */
	__u32 mtu;
	__u64 pad[2];
};
_Static_assert(sizeof(struct route) == 64, "a cache line");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ROUTES);
	__type(key, __u32);
	__type(value, struct route);
} routes SEC(".maps");

static __always_inline struct route *route_place(const __u64 dst[2])
{
	__u32 place = ((dst[0] ^ dst[1]) * 0x9e3779b97f4a7c15ull) >> 56;

	return bpf_map_lookup_elem(&routes, &place);
}
_Static_assert(ROUTES == 1 << 8, "route_place");

static __always_inline int route_is(const struct route *route, const struct ff_pkt *pkt,
				    const __u64 dst[2])
{
	return route->tick == pkt->tick && route->from == pkt->ifindex &&
	       addr_equal(route->dst, dst);
}

static __always_inline void macs_copy(void *to, const void *from)
{
	*(__u64 *)to = *(const __u64 *)from;
	((__u32 *)to)[2] = ((const __u32 *)from)[2];
}

/* Asks the FIB. 0, or the reason why it's for the kernel. */
static __always_inline int route_find(struct xdp_md *ctx, const struct ff_pkt *pkt, void *l3,
				      void *end, struct route *ret)
{
	struct bpf_fib_lookup fib = {};
	long code;

	fib.ifindex = ctx->ingress_ifindex;
	fib.tot_len = pkt->l3_len;
	fib.l4_protocol = pkt->proto;
	fib.sport = pkt->port[0];
	fib.dport = pkt->port[1];
	if (pkt->family == 4) {
		struct iphdr *ip = l3;

		fib.family = FF_AF_INET;
		fib.tos = ip->tos & 0x1c; /* IPTOS_RT_MASK: without ECN */
		fib.ipv4_src = ip->saddr;
		fib.ipv4_dst = ip->daddr;
	} else {
		struct ipv6hdr *ip6 = l3;

		if ((void *)(ip6 + 1) > end)
			return FF_REASON_PASS_TRUNCATED;
		fib.family = FF_AF_INET6;
		fib.flowinfo = *(__be32 *)ip6 & bpf_htonl(0x0fffffff);
		__builtin_memcpy(fib.ipv6_src, &ip6->saddr, 16);
		__builtin_memcpy(fib.ipv6_dst, &ip6->daddr, 16);
	}
	code = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	if (code != BPF_FIB_LKUP_RET_SUCCESS)
		return fib_reason(code);
	if (!bpf_map_lookup_elem(&tx_ports, &fib.ifindex))
		return FF_REASON_PASS_NO_ROUTE;
	ret->ifindex = fib.ifindex;
	ret->mtu = fib.mtu_result;
	__builtin_memcpy(ret->macs, fib.dmac, 6);
	__builtin_memcpy(ret->macs + 6, fib.smac, 6);
	return 0;
}

static __always_inline int forward_packet(struct xdp_md *ctx, struct ff_pkt *pkt)
{
	struct route *route;
	__u64 dst[2];
	void *data, *end, *l3;
	int reason;

	if (vlans_strip(ctx, pkt))
		return ff_verdict(XDP_DROP, FF_REASON_DROP_HEADROOM);
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	l3 = data + sizeof(struct ethhdr);
	if (l3 + sizeof(struct iphdr) > end)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_INTERNAL);
	if (pkt->family == 4) {
		addr_map_v4(dst, ((struct iphdr *)l3)->daddr);
	} else {
		if (l3 + sizeof(struct ipv6hdr) > end)
			return ff_verdict(XDP_DROP, FF_REASON_DROP_INTERNAL);
		addr_copy(dst, &((struct ipv6hdr *)l3)->daddr);
	}
	route = route_place(dst);
	if (!route)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_INTERNAL);
	if (!route_is(route, pkt, dst)) {
		route->tick = 0;
		reason = route_find(ctx, pkt, l3, end, route);
		if (reason)
			return to_kernel(ctx, reason);
		if (host_info.routes_plain_ns > pkt->tick_ns) {
			addr_copy(route->dst, dst);
			route->from = pkt->ifindex;
			route->tick = pkt->tick;
		}
	}
	if (pkt->l3_len > route->mtu)
		return to_kernel(ctx, FF_REASON_PASS_TOO_BIG);
	if (ttl_take(l3, end, pkt->family))
		return to_kernel(ctx, FF_REASON_PASS_TTL);
	macs_copy(data, route->macs);
	return bpf_redirect_map(&tx_ports, route->ifindex, XDP_DROP);
}
