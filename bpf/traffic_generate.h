/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * traffic_generate.h - the generator: each run makes the next packet and sends it.
 *
 * Frames are reused, with whatever the network did to them, so every byte is written each time. One
 * thread alone runs it, and numbers the packets, so their order is well defined.
 */
#pragma once

#include "bpf/traffic_maps.h"

#define IP_DF	 0x4000
#define SEND_TTL 64

/* Fills the datagram behind the header with words that follow from @word; returns their sum. */
static __always_inline __u64 filling_write(__u8 *at, __u8 *end, __u64 word)
{
	union {
		__u8 byte[8];
		__u64 word;
	} tail = { .word = 0 };
	__u64 sum = 0;
	__u32 i;

	for (i = 0; i < WORDS_MAX && at + 8 <= end; i++, at += 8) {
		word += TRAFFIC_FILL_STEP;
		*(__u64 *)at = word;
		sum += traffic_sum64(word);
	}
	word += TRAFFIC_FILL_STEP;
	for (i = 0; i < 7 && at + 1 <= end; i++, at++) {
		*at = word >> (8 * i);
		tail.byte[i] = *at;
	}
	return sum + traffic_sum64(tail.word);
}

/* Writes UDP header and payload. @sum is that of the addresses. */
static __always_inline int udp_write(struct udp *udp, void *end, __u32 flow, __u64 seq, __u64 sum,
				     __u32 len)
{
	__u64 now_ns = bpf_ktime_get_ns();
	__u32 wire_flow = flow | (__u32)config.direction << TRAFFIC_FLOW_DIR_SHIFT;
	__u32 run = config.run ?: run_id; /* 0: answers to a run that began elsewhere */
	__u64 check = traffic_check(run, wire_flow, seq, now_ns, len - 8);
	__u16 csum;

	if ((void *)(udp + 1) > end)
		return -1;
	udp->sport = flow_port(flow, config.direction);
	udp->dport = flow_port(flow, !config.direction);
	udp->len = bpf_htons(len);
	udp->payload.magic = bpf_cpu_to_be64(TRAFFIC_MAGIC);
	udp->payload.run = bpf_htonl(run);
	udp->payload.flow = bpf_htonl(wire_flow);
	udp->payload.seq = bpf_cpu_to_be64(seq);
	udp->payload.sent_ns = bpf_cpu_to_be64(now_ns);
	udp->payload.check = bpf_cpu_to_be64(check);

	sum += bpf_htons(IPPROTO_UDP) + 2ull * udp->len + udp->sport + udp->dport;
	sum += traffic_sum64(udp->payload.magic) + udp->payload.run + udp->payload.flow;
	sum += traffic_sum64(udp->payload.seq) + traffic_sum64(udp->payload.sent_ns) +
	       traffic_sum64(udp->payload.check);
	sum += filling_write((__u8 *)(udp + 1), end, check);
	csum = ~traffic_fold(sum);
	udp->csum = csum ? csum : 0xffff; /* 0 means none (RFC 768) */
	return 0;
}

static __always_inline int ipv4_write(void *at, void *end, __u32 flow, __u64 seq)
{
	const __u32 *src = (void *)config.addr4[config.direction];
	const __u32 *dst = (void *)config.addr4[!config.direction];
	struct ipv4 *ip = at;
	__u64 sum;

	if ((void *)(ip + 1) > end)
		return -1;
	ip->version_ihl = 0x45;
	ip->tos = 0;
	ip->len = bpf_htons(config.size);
	ip->id = 0;
	ip->frag = bpf_htons(IP_DF);
	ip->ttl = SEND_TTL;
	ip->proto = IPPROTO_UDP;
	ip->src = *src;
	ip->dst = *dst;
	sum = (__u64)ip->src + ip->dst;
	ip->csum = ~traffic_fold(sum + bpf_htons(0x4500) + ip->len + ip->frag +
				 bpf_htons(SEND_TTL << 8 | IPPROTO_UDP));
	return udp_write((void *)(ip + 1), end, flow, seq, sum, config.size - sizeof(*ip));
}

static __always_inline int ipv6_write(void *at, void *end, __u32 flow, __u64 seq)
{
	const __u32 *src = (void *)config.addr6[config.direction];
	const __u32 *dst = (void *)config.addr6[!config.direction];
	struct ipv6 *ip = at;
	__u64 sum = 0;
	__u32 i;

	if ((void *)(ip + 1) > end)
		return -1;
	ip->version_class_label = bpf_htonl(0x60000000);
	ip->len = bpf_htons(config.size - sizeof(*ip));
	ip->proto = IPPROTO_UDP;
	ip->hops = SEND_TTL;
	for (i = 0; i < 4; i++) {
		ip->src[i] = src[i];
		ip->dst[i] = dst[i];
		sum += (__u64)src[i] + dst[i];
	}
	return udp_write((void *)(ip + 1), end, flow, seq, sum, config.size - sizeof(*ip));
}

/* Which of the next hops a flow takes: each direction by itself, as with ECMP. */
static __always_inline __u32 hop_choose(__u32 flow, __u32 ipv6)
{
	__u32 hops = config.hops[ipv6], key = flow ^ (__u32)config.direction << 20;

	return hops > 1 ? ((key * 0x9e3779b1u) >> 16) % hops % TRAFFIC_LINKS_MAX : 0;
}

static __always_inline int packet_generate(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 random = config.order == TRAFFIC_RANDOM ? bpf_get_prandom_u32() : 0;
	__u32 flow = traffic_turn_take(&turn, &config, random);
	__u32 ipv6 = traffic_is_ipv6(config.families, flow) & 1, i;
	__u32 choice = hop_choose(flow, ipv6);
	const volatile struct traffic_hop *hop = &config.hop[ipv6][choice];
	__u64 *seq = bpf_map_lookup_elem(&sent, &flow);
	struct ethhdr *eth = data;

	if (!seq || (void *)(eth + 1) > end)
		return XDP_ABORTED;
	for (i = 0; i < ETH_ALEN; i++) {
		eth->h_dest[i] = hop->dst[i];
		eth->h_source[i] = hop->src[i];
	}
	eth->h_proto = ipv6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	if (ipv6 ? ipv6_write(eth + 1, end, flow, *seq) : ipv4_write(eth + 1, end, flow, *seq))
		return XDP_ABORTED;
	(*seq)++;
	sent_packets++;
	sent_bytes += config.size;
	return bpf_redirect_map(&devices, TRAFFIC_HOP(ipv6, choice), XDP_ABORTED);
}
