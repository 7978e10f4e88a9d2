/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * heartbeat.h - does a peer's data path live? Asked by its agents, answered by programs.
 *
 * An agent sends each peer a small tunnel packet of VNI 0 through the kernel (agent/heartbeat.c). The
 * peer's program sends it back as it is but for addresses and kind, whether or not an agent runs there:
 * what is proven is that packets get there, are processed, and come back. The asker's program notes
 * when. Who is no peer gets no answer: tunnel_check() has dropped it before.
 */
#pragma once

#include "bpf/tunnel.h"

struct ff_beat {
	struct ff_outer outer;
	struct ff_heartbeat heartbeat;
} __attribute__((packed));

/* Back to where it came from. Swapped words leave IPv4's checksum right; UDP has none here. */
static __always_inline int heartbeat_answer(void *data, struct ff_outer *outer, int is_v4)
{
	struct ethhdr *eth = data;
	__u16 *mac = data;
	__u16 word;

#pragma unroll
	for (int i = 0; i < 3; i++)
		word = mac[i], mac[i] = mac[3 + i], mac[3 + i] = word;
	if (is_v4) {
		struct iphdr *ip = (void *)(eth + 1);
		__be32 from = ip->saddr;

		ip->saddr = ip->daddr;
		ip->daddr = from;
	} else {
		struct ipv6hdr *ip6 = (void *)(eth + 1);
		struct in6_addr from = ip6->saddr;

		ip6->saddr = ip6->daddr;
		ip6->daddr = from;
	}
	outer->udp.source = bpf_htons(FF_PATH_PORT);
	outer->udp.check = 0;
	outer->option.kind = FF_KIND_HEARD;
	return XDP_TX;
}

/* An answer is the latest if its question is; answers may overtake each other. */
static __always_inline int heartbeat_heard(const struct ff_addr *from, __u64 sent_ns)
{
	__u32 *host = bpf_map_lookup_elem(&peer_addrs, from), number;
	__u64 now_ns = bpf_ktime_get_ns();
	struct ff_heard *peer;

	if (!host)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_STRANGER);
	number = *host;
	peer = bpf_map_lookup_elem(&peer_heard, &number);
	if (!peer || sent_ns > now_ns)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_TUNNEL);
	if (sent_ns > peer->sent_ns) {
		*(volatile __u64 *)&peer->at_ns = now_ns;
		*(volatile __u64 *)&peer->sent_ns = sent_ns;
	}
	return XDP_DROP;
}

/* A tunnel packet of no service, otherwise in order, whose outer header has that length. */
static __noinline int heartbeat_arrived(struct xdp_md *ctx, __u32 header)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ff_addr from __attribute__((aligned(8))) = {};
	int is_v4 = header == FF_ENCAP_V4;
	struct ff_beat *beat = data + (is_v4 ? FF_ENCAP_V4 : FF_ENCAP_V6) - ENCAP_INNER;
	struct ff_geneve geneve;
	__u8 kind;

	if ((void *)(beat + 1) > end)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_VNI);
	geneve = beat->outer.geneve;
	kind = beat->outer.option.kind;
	if (geneve.vni[0] || geneve.vni[1] || geneve.vni[2] ||
	    geneve.protocol != bpf_htons(FF_ETH_P_FENCE) ||
	    (kind != FF_KIND_HEARTBEAT && kind != FF_KIND_HEARD))
		return ff_verdict(XDP_DROP, FF_REASON_DROP_VNI);
	if (kind == FF_KIND_HEARTBEAT)
		return heartbeat_answer(data, &beat->outer, is_v4);
	if (is_v4)
		addr_map_v4((__u64 *)from.word,
			    ((struct iphdr *)(data + sizeof(struct ethhdr)))->saddr);
	else
		addr_copy((__u64 *)from.word,
			  &((struct ipv6hdr *)(data + sizeof(struct ethhdr)))->saddr);
	return heartbeat_heard(&from, bpf_be64_to_cpu(beat->heartbeat.sent_ns));
}
