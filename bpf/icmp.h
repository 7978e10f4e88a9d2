/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * icmp.h - the answer to a packet that no longer fits once encapsulated: ICMP Fragmentation Needed
 * (RFC 792, 1191) or ICMPv6 Packet Too Big (RFC 4443), sent back where the packet came from.
 *
 * The answer quotes as much as its RFC allows; that much is there, for the packet is larger.
 */
#pragma once

#include "bpf/tunnel.h"

#define QUOTE_V4 548  /* 576 - 20 - 8: RFC 1812 section 4.3.2.3 */
#define QUOTE_V6 1232 /* 1280 - 40 - 8: RFC 4443 section 2.4 (c) */
#define L2_MAX	 (14 + 4 * FF_VLANS_MAX)

/* Sum of `len` (even, at most QUOTE_V6 + 8) bytes at offset `off`. */
static __always_inline __u32 sum_bytes(struct xdp_md *ctx, __u32 off, __u32 len, __u32 sum)
{
	__u32 i;

	for (i = 0; i < (QUOTE_V6 + 8) / 2; i++) {
		void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
		__u32 at = off + 2 * i;

		if (2 * i >= len || at > 2047 || data + at + 2 > end)
			break;
		sum += *(__u16 *)(data + at);
	}
	return (sum & 0xffff) + (sum >> 16);
}

static __always_inline __u32 sum_words(const __u16 *word, int count)
{
	__u32 sum = 0;
	int i;

	for (i = 0; i < count; i++)
		sum += word[i];
	return sum;
}

static __always_inline int icmp4_write(struct xdp_md *ctx, struct ff_iface *iface, __u32 l2,
				       __u32 mtu, __u32 quote)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip, *old;
	struct icmphdr *icmp;

	if (l2 > L2_MAX || data + l2 + 48 > end)
		return -1;
	ip = data + l2;
	icmp = (void *)(ip + 1);
	old = (void *)(icmp + 1);
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = 0xc0; /* internetwork control: RFC 1812 section 4.3.2.5 */
	ip->tot_len = bpf_htons(28 + quote);
	ip->ttl = 64;
	ip->protocol = PROTO_ICMP;
	ip->saddr = *(__be32 *)iface->ipv4;
	ip->daddr = old->saddr;
	ip->check = csum_fold(sum_words((__u16 *)ip, 10));
	icmp->type = 3;
	icmp->code = 4;
	icmp->checksum = 0;
	icmp->un.gateway = 0;
	icmp->un.frag.mtu = bpf_htons(mtu);
	icmp->checksum = csum_fold(sum_bytes(ctx, l2 + 20, 8 + quote, 0));
	return 0;
}

static __always_inline int icmp6_write(struct xdp_md *ctx, struct ff_iface *iface, __u32 l2,
				       __u32 mtu, __u32 quote)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ipv6hdr *ip6, *old;
	struct icmp6hdr *icmp;
	__u32 sum;

	if (l2 > L2_MAX || data + l2 + 88 > end)
		return -1;
	ip6 = data + l2;
	icmp = (void *)(ip6 + 1);
	old = (void *)(icmp + 1);
	__builtin_memset(ip6, 0, sizeof(*ip6));
	ip6->version = 6;
	ip6->payload_len = bpf_htons(8 + quote);
	ip6->nexthdr = PROTO_ICMPV6;
	ip6->hop_limit = 64;
	__builtin_memcpy(&ip6->saddr, iface->ipv6, 16);
	ip6->daddr = old->saddr;
	icmp->icmp6_type = 2;
	icmp->icmp6_code = 0;
	icmp->icmp6_cksum = 0;
	icmp->icmp6_dataun.un_data32[0] = bpf_htonl(mtu);
	sum = sum_words((__u16 *)&ip6->saddr, 16) + bpf_htons(8 + quote) + bpf_htons(PROTO_ICMPV6);
	icmp->icmp6_cksum = csum_fold(sum_bytes(ctx, l2 + 40, 8 + quote, sum));
	return 0;
}

/* Must this packet be answered at all? RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e). */
static __always_inline int may_answer(const struct ff_pkt *pkt, const struct ff_iface *iface)
{
	if (pkt->flags & (FF_PKT_RELATED | FF_PKT_FRAG_LATER | FF_PKT_TUNNELED))
		return 0;
	if (pkt->family == 4)
		return *(__u32 *)iface->ipv4 != 0;
	return *(__u64 *)iface->ipv6 != 0;
}

/* Turns the frame into the answer. 0: to be sent back by the interface it came from. */
static __always_inline int too_big_answer(struct xdp_md *ctx, struct ff_pkt *pkt, __u32 mtu)
{
	__u32 l2, tags = ff_detach(pkt->l3_off - sizeof(struct ethhdr));
	__u32 have = ff_frame_len(ctx);
	__u32 quote = pkt->family == 4 ? QUOTE_V4 : QUOTE_V6;
	int grow = pkt->family == 4 ? 28 : 48;
	struct ff_iface *iface;
	__u8 head[L2_MAX];
	void *data, *end;

	if (tags > L2_MAX - sizeof(struct ethhdr))
		return -1;
	l2 = ff_detach(tags + sizeof(struct ethhdr)); /* 14 .. L2_MAX, and remembered as that */
	iface = iface_of(ctx);
	if (!iface || !may_answer(pkt, iface))
		return -1;
	if (quote > pkt->l3_len)
		quote = pkt->l3_len & ~1u;
	if (have < l2 + quote || bpf_xdp_adjust_tail(ctx, (int)(l2 + quote) - (int)have))
		return -1;
	__builtin_memset(head, 0, sizeof(head));
	if (bpf_xdp_load_bytes(ctx, 0, head, l2))
		return -1;
	if (bpf_xdp_adjust_head(ctx, -grow) || bpf_xdp_store_bytes(ctx, 0, head, l2))
		return -1;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + 14 > end)
		return -1;
	__builtin_memcpy(data, head + 6, 6);
	__builtin_memcpy(data + 6, iface->mac, 6);
	return pkt->family == 4 ? icmp4_write(ctx, iface, l2, mtu, quote) :
				  icmp6_write(ctx, iface, l2, mtu, quote);
}
