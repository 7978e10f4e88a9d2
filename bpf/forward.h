/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * forward.h - on to the next hop by the kernel's FIB, in XDP where it can be.
 *
 * Whatever XDP can't do (unresolved neighbour, TTL at its end, link too small, an egress without
 * our program such as a VLAN device) goes to the kernel, which does it and answers with the right
 * ICMP. It gets the packet as it was, TTL and all, in a frame to the interface without VLAN tags.
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

static __always_inline int forward_packet(struct xdp_md *ctx, struct ff_pkt *pkt)
{
	struct bpf_fib_lookup fib = {};
	void *data, *end, *l3;
	struct ethhdr *eth;
	long code;

	if (vlans_strip(ctx, pkt))
		return ff_verdict(XDP_DROP, FF_REASON_DROP_HEADROOM);
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	eth = data;
	l3 = data + sizeof(*eth);
	if (l3 + sizeof(struct iphdr) > end)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_INTERNAL);
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
			return ff_verdict(XDP_DROP, FF_REASON_DROP_INTERNAL);
		fib.family = FF_AF_INET6;
		fib.flowinfo = *(__be32 *)ip6 & bpf_htonl(0x0fffffff);
		__builtin_memcpy(fib.ipv6_src, &ip6->saddr, 16);
		__builtin_memcpy(fib.ipv6_dst, &ip6->daddr, 16);
	}
	code = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	if (code != BPF_FIB_LKUP_RET_SUCCESS)
		return to_kernel(ctx, fib_reason(code));
	if (!bpf_map_lookup_elem(&tx_ports, &fib.ifindex))
		return to_kernel(ctx, FF_REASON_PASS_NO_ROUTE);
	if (ttl_take(l3, end, pkt->family))
		return to_kernel(ctx, FF_REASON_PASS_TTL);
	__builtin_memcpy(eth->h_dest, fib.dmac, 6);
	__builtin_memcpy(eth->h_source, fib.smac, 6);
	return bpf_redirect_map(&tx_ports, fib.ifindex, XDP_DROP);
}
