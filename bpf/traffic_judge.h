/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * traffic_judge.h - the judge: takes its own packets out (XDP_DROP) and notes each in its flow's
 * record, so nothing between the network and the record can lose one. All others go to the kernel.
 */
#pragma once

#include "bpf/traffic_maps.h"

#define IP_OFFSET   0x3fff /* more-fragments flag and fragment offset */
#define IPV4_WORDS  15	   /* of 4 bytes in the longest header */
#define OFFSET_MASK 2047   /* a frame's bytes are all below */

/* What a packet of the judge claims, and what was found wrong with it. */
struct claim {
	struct udp *udp;
	__u64 sum;    /* of the addresses */
	__u32 offset; /* of the UDP header in the frame */
	__u32 len;    /* of the UDP datagram, by the IP header */
	__u32 l3_len;
	__u32 ipv6;
	__u32 wrong;
};

/*
 * The loops below are global functions: those are verified once and by themselves, not once for
 * each way in and out of them, which would pass the verifier's limit.
 */

/* Whether the IPv4 header's checksum is right. */
__noinline int ipv4_csum_ok(struct xdp_md *ctx, __u32 ihl)
{
	void *end = (void *)(long)ctx->data_end;
	__u8 *at = (void *)(long)ctx->data + sizeof(struct ethhdr);
	__u64 sum = 0;
	__u32 i;

	for (i = 0; i < IPV4_WORDS; i++, at += 4) {
		if (4 * i >= ihl)
			break;
		if ((void *)at + 4 > end)
			return 0;
		sum += *(__u32 *)at;
	}
	return traffic_fold(sum) == 0xffff;
}

#define FILLING_WRONG (1u << 16)

/* The last @len bytes, fewer than 8, of the filling: as filling_read(). @word is what they begin. */
__noinline __u32 filling_tail_read(struct xdp_md *ctx, __u32 offset, __u32 len, __u64 word)
{
	void *end = (void *)(long)ctx->data_end;
	__u8 *at = (void *)(long)ctx->data + (offset & OFFSET_MASK);
	__u32 i, wrong = 0;
	union {
		__u8 byte[8];
		__u64 word;
	} tail = { .word = 0 };

	for (i = 0; i < 7 && i < len; i++, at++) {
		barrier_var(at); /* else clang compares end - at, which the verifier refuses */
		if ((void *)at + 1 > end)
			return FILLING_WRONG;
		wrong |= *at != (__u8)(word >> (8 * i));
		tail.byte[i] = *at;
	}
	return traffic_fold(traffic_sum64(tail.word)) | (wrong ? FILLING_WRONG : 0);
}

/*
 * Compares @len bytes at @offset with the filling that follows from @word. Returns their folded
 * sum, with FILLING_WRONG if they differ from it.
 */
__noinline __u32 filling_read(struct xdp_md *ctx, __u32 offset, __u32 len, __u64 word)
{
	void *end = (void *)(long)ctx->data_end;
	__u8 *at = (void *)(long)ctx->data + (offset & OFFSET_MASK);
	__u32 words = len / 8, wrong = 0, tail, i;
	__u64 sum = 0;

	for (i = 0; i < WORDS_MAX && i < words; i++, at += 8) {
		barrier_var(at);
		if ((void *)at + 8 > end)
			return FILLING_WRONG;
		word += TRAFFIC_FILL_STEP;
		wrong |= *(__u64 *)at != word;
		sum += traffic_sum64(*(__u64 *)at);
	}
	tail = filling_tail_read(ctx, offset + words * 8, len % 8, word + TRAFFIC_FILL_STEP);
	wrong |= tail & FILLING_WRONG;
	return traffic_fold(sum + (tail & 0xffff)) | (wrong ? FILLING_WRONG : 0);
}

/* Linux 6.1's verifier knows no bounds of a byte swap's result, and clang drops a plain mask. */
static __always_inline __u32 length_read(__be16 len)
{
	__u32 length = bpf_ntohs(len);

	barrier_var(length);
	return length & 0xffff;
}

static __always_inline int ipv4_read(struct xdp_md *ctx, void *at, void *end, struct claim *claim)
{
	struct ipv4 *ip = at;
	__u32 ihl;

	if ((void *)(ip + 1) > end || ip->proto != IPPROTO_UDP || ip->version_ihl >> 4 != 4 ||
	    ip->frag & bpf_htons(IP_OFFSET))
		return -1;
	ihl = (ip->version_ihl & 0xf) * 4;
	claim->l3_len = length_read(ip->len);
	if (ihl < sizeof(*ip) || claim->l3_len < ihl || at + claim->l3_len > end)
		return -1;
	claim->wrong = !ipv4_csum_ok(ctx, ihl);
	claim->sum = (__u64)ip->src + ip->dst;
	claim->len = claim->l3_len - ihl;
	claim->udp = at + ihl;
	claim->offset = sizeof(struct ethhdr) + ihl;
	return 0;
}

static __always_inline int ipv6_read(void *at, void *end, struct claim *claim)
{
	struct ipv6 *ip = at;
	__u32 i;

	if ((void *)(ip + 1) > end || ip->proto != IPPROTO_UDP)
		return -1;
	claim->l3_len = length_read(ip->len) + sizeof(*ip);
	if (at + claim->l3_len > end)
		return -1;
	for (i = 0; i < 4; i++)
		claim->sum += (__u64)ip->src[i] + ip->dst[i];
	claim->len = claim->l3_len - sizeof(*ip);
	claim->udp = (void *)(ip + 1);
	claim->offset = sizeof(struct ethhdr) + sizeof(*ip);
	claim->ipv6 = 1;
	return 0;
}

/* Whether everything but the payload's own header is as its sender made it. */
static __always_inline __u32 datagram_wrong(struct xdp_md *ctx, struct claim *claim, __u32 flow)
{
	struct udp *udp = claim->udp;
	__u64 sum = claim->sum + bpf_htons(IPPROTO_UDP) + bpf_htons(claim->len);
	__u32 filling, wrong = claim->wrong;

	sum += udp->sport + udp->dport + udp->len + udp->csum;
	sum += traffic_sum64(udp->payload.magic) + udp->payload.run + udp->payload.flow;
	sum += traffic_sum64(udp->payload.seq) + traffic_sum64(udp->payload.sent_ns) +
	       traffic_sum64(udp->payload.check);
	filling = filling_read(ctx, claim->offset + sizeof(*udp), claim->len - sizeof(*udp),
			       bpf_be64_to_cpu(udp->payload.check));
	sum += filling & 0xffff;
	wrong |= filling >> 16;
	wrong |= !udp->csum || traffic_fold(sum) != 0xffff;
	wrong |= udp->len != bpf_htons(claim->len);
	wrong |= udp->sport != flow_port(flow, !config.direction) ||
		 udp->dport != flow_port(flow, config.direction);
	return wrong | (claim->ipv6 != traffic_is_ipv6(config.families, flow));
}

/* The addresses between Ethernet and UDP, against the configured ones. */
static __always_inline __u32 addresses_wrong(void *l3, void *end, __u32 is_ipv6)
{
	__u32 from = !config.direction, to = config.direction, i, wrong = 0;
	struct ipv4 *ip4 = l3;
	struct ipv6 *ip6 = l3;

	if (!is_ipv6) {
		if ((void *)(ip4 + 1) > end)
			return 1;
		return ip4->src != *(__u32 *)config.addr4[from] ||
		       ip4->dst != *(__u32 *)config.addr4[to];
	}
	if ((void *)(ip6 + 1) > end)
		return 1;
	for (i = 0; i < 4; i++)
		wrong |= ip6->src[i] != ((__u32 *)config.addr6[from])[i] ||
			 ip6->dst[i] != ((__u32 *)config.addr6[to])[i];
	return wrong;
}

/* A kernel would not take a frame for another station either. */
static __always_inline int frame_is_ours(struct xdp_md *ctx, struct ethhdr *eth)
{
	__u32 i, j, wrong;

	for (i = 0; i < TRAFFIC_LINKS_MAX; i++) {
		if (i >= config.links || config.link[i].ifindex != ctx->ingress_ifindex)
			continue;
		for (j = 0, wrong = 0; j < ETH_ALEN; j++)
			wrong |= eth->h_dest[j] ^ config.link[i].src[j];
		return !wrong;
	}
	return 0;
}

static __always_inline int run_matches(__u32 run)
{
	__u32 expected = run_id;

	if (!expected && !config.run)
		expected = __sync_val_compare_and_swap(&run_id, 0, run) ?: run;
	return run == expected;
}

/* Global for the same reason as the loops above: its branches would multiply all that follow. */
__noinline __u32 latency_bucket(__u64 latency)
{
	return traffic_bucket(latency);
}

static __always_inline void packet_note(struct traffic_tally *all, struct traffic_flow *flow,
					struct claim *claim, __u32 wrong)
{
	__u64 seq = bpf_be64_to_cpu(claim->udp->payload.seq);
	__u64 sent_ns = bpf_be64_to_cpu(claim->udp->payload.sent_ns);
	__u64 now_ns = bpf_ktime_get_ns();
	__u64 latency = now_ns > sent_ns ? now_ns - sent_ns : 0;
	__u32 bucket = latency_bucket(latency);

	bpf_spin_lock(&flow->lock);
	traffic_flow_note(flow, seq, sent_ns, now_ns, wrong);
	bpf_spin_unlock(&flow->lock);

	__sync_fetch_and_add(&judged_packets, 1);
	all->packets++;
	all->bytes += claim->l3_len;
	all->corrupted += wrong;
	all->last_ns = now_ns;
	if (latency > all->latency_max_ns)
		all->latency_max_ns = latency;
	barrier_var(bucket); /* clang knows its range and the verifier doesn't */
	if (bucket < TRAFFIC_BUCKETS)
		all->latency[bucket]++;
}

static __always_inline int packet_judge(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct claim claim = {};
	struct ethhdr *eth = data;
	struct traffic_tally *all;
	struct traffic_payload *p;
	struct traffic_flow *flow;
	__u32 zero = 0, index, run;
	int read = -1;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		read = ipv4_read(ctx, eth + 1, end, &claim);
	else if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		read = ipv6_read(eth + 1, end, &claim);
	if (read || claim.len < sizeof(struct udp) || (void *)(claim.udp + 1) > end)
		return XDP_PASS;
	p = &claim.udp->payload;
	all = bpf_map_lookup_elem(&tally, &zero);
	if (!all || p->magic != bpf_cpu_to_be64(TRAFFIC_MAGIC))
		return XDP_PASS;

	run = bpf_ntohl(p->run);
	index = bpf_ntohl(p->flow);
	if (bpf_be64_to_cpu(p->check) != traffic_check(run, index, bpf_be64_to_cpu(p->seq),
						       bpf_be64_to_cpu(p->sent_ns),
						       claim.len - 8)) {
		all->corrupted++;
		all->unreadable++;
		return XDP_DROP;
	}
	if (index >> TRAFFIC_FLOW_DIR_SHIFT == config.direction || !frame_is_ours(ctx, eth) ||
	    !run_matches(run)) {
		all->foreign++;
		return XDP_DROP;
	}
	index &= ~(1u << TRAFFIC_FLOW_DIR_SHIFT);
	flow = bpf_map_lookup_elem(&flows, &index);
	if (!flow) {
		all->out_of_range++;
		return XDP_DROP;
	}
	packet_note(all, flow, &claim,
		    datagram_wrong(ctx, &claim, index) | addresses_wrong(eth + 1, end, claim.ipv6));
	return XDP_DROP;
}
