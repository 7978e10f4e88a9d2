/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tunnel.h - Geneve (RFC 8926) between hosts: encapsulation, and the check of what arrives.
 *
 * The outer header is a template that the agent keeps in `peers`; per packet only the lengths, the
 * IPv4 checksum, the source port and the option change. The source port is the slot's path, so one
 * slot takes one path and one receive queue. UDP checksum is zero (RFC 8926 section 3.3, RFC 6935).
 */
#pragma once

#include "bpf/maps.h"
#include "bpf/parse.h"

#define ENCAP_INNER 32 /* UDP 8, Geneve 8, option 16: what follows the outer IP header */

struct ff_outer {
	struct udphdr udp;
	struct ff_geneve geneve;
	struct ff_geneve_option option;
} __attribute__((packed));
_Static_assert(sizeof(struct ff_outer) == ENCAP_INNER, "ff_outer");

static __always_inline __u16 csum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* A template's Ethernet and IP header, of `len` bytes, a constant; by words: byte by byte it takes 20 ns. */
static __always_inline void header_copy(void *to, const struct ff_peer *peer, __u32 len)
{
	const __u64 *from = (const __u64 *)peer->header;
	__u32 words = len / 8;

#pragma unroll
	for (__u32 i = 0; i < words; i++)
		((__u64 *)to)[i] = from[i];
	if (len & 4)
		((__u32 *)to)[2 * words] = ((const __u32 *)from)[2 * words];
	((__u16 *)to)[len / 2 - 1] = ((const __u16 *)from)[len / 2 - 1];
}
#define HEADER_V4 (FF_ENCAP_V4 - ENCAP_INNER)
#define HEADER_V6 (FF_ENCAP_V6 - ENCAP_INNER)
_Static_assert(HEADER_V4 % 4 == 2 && HEADER_V6 % 4 == 2, "header_copy");
_Static_assert(__builtin_offsetof(struct ff_peer, header) % 8 == 0, "header_copy");

/* What the tunnel says of a packet: the words of the Geneve header and of its option, of which the
 * template has the rest. */
struct outer_words {
	__be64 geneve, option[2];
};

static __always_inline struct outer_words outer_words(__u8 service, __u16 slot, __u8 hops,
						      __u8 kind)
{
	return (struct outer_words){
		.geneve = bpf_cpu_to_be64((__u64)service << 8),
		.option = { bpf_cpu_to_be64((__u64)slot << 16 | (__u32)hops << 8 | kind) },
	};
}

/*
 * Writes the outer header at `data`, where encap_len bytes are free; `payload` bytes follow it.
 * Returns the part behind the IP header.
 */
static __always_inline struct ff_outer *outer_write(void *data, void *end,
						    const struct ff_peer *peer, __u32 payload,
						    __u32 path, const struct outer_words *words)
{
	const __u64 *from;
	__u64 *to;

	if (peer->encap_len == FF_ENCAP_V4) {
		struct iphdr *ip = data + sizeof(struct ethhdr);

		if (data + FF_ENCAP_V4 > end)
			return NULL;
		header_copy(data, peer, HEADER_V4);
		payload += ENCAP_INNER;
		ip->tot_len = bpf_htons(payload + sizeof(*ip));
		ip->check = csum_fold(peer->csum + ip->tot_len);
		from = (const __u64 *)(peer->header + HEADER_V4);
		to = data + HEADER_V4;
	} else {
		struct ipv6hdr *ip6 = data + sizeof(struct ethhdr);

		if (data + FF_ENCAP_V6 > end)
			return NULL;
		header_copy(data, peer, HEADER_V6);
		payload += ENCAP_INNER;
		ip6->payload_len = bpf_htons(payload);
		from = (const __u64 *)(peer->header + HEADER_V6);
		to = data + HEADER_V6;
	}
	to[0] = from[0] | bpf_cpu_to_be64((__u64)(FF_PATH_PORT + path % FF_PATHS) << 48 |
					  (__u64)payload << 16);
	to[1] = from[1] | words->geneve;
	to[2] = from[2] | words->option[0];
	to[3] = from[3] | words->option[1];
	return (struct ff_outer *)to;
}

static __always_inline struct ff_peer *peer_of(__u32 host)
{
	struct ff_peer *peer = &peers[ff_detach(host) & (FF_HOSTS_MAX - 1)];
	__u32 ready = *(volatile __u32 *)&peer->ready;

	if (ready == FF_PEER_SECOND)
		peer += FF_HOSTS_MAX;
	return ready ? peer : NULL;
}

/* One more data packet that depends on that host: should it be dead, this one is lost. */
static __always_inline void sent_count(__u32 host)
{
	__u32 cpu = bpf_get_smp_processor_id();

	peer_sent[cpu & (FF_CPUS_MAX - 1)].packets[ff_detach(host) & (FF_HOSTS_MAX - 1)]++;
}

/* Sends the packet, a frame as it arrived, to a host. */
static __always_inline int tunnel_send(struct xdp_md *ctx, struct ff_pkt *pkt, __u32 host,
				       __u8 kind)
{
	struct ff_peer *peer = peer_of(host);
	__u32 frame = ff_frame_len(ctx);
	struct outer_words words;

	if (!peer)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_NO_PEER);
	if (pkt->hops >= FF_HOPS_MAX)
		return ff_verdict(XDP_DROP, FF_REASON_DROP_HOPS);
	if (frame + peer->encap_len - sizeof(struct ethhdr) > peer->mtu) {
		pkt->peer = host;
		bpf_tail_call(ctx, &progs, FF_PROG_TOO_BIG);
		return ff_verdict(XDP_DROP, FF_REASON_DROP_TOO_BIG);
	}
	if (bpf_xdp_adjust_head(ctx, -(int)peer->encap_len))
		return ff_verdict(XDP_DROP, FF_REASON_DROP_HEADROOM);
	words = outer_words(pkt->key.service, pkt->slot, pkt->hops + 1, kind);
	words.option[1] = bpf_cpu_to_be64((__u64)pkt->proto << 56 | bpf_ntohl(ff_ports(pkt->port)));
	if (!outer_write((void *)(long)ctx->data, (void *)(long)ctx->data_end, peer, frame,
			 pkt->slot, &words))
		return ff_verdict(XDP_DROP, FF_REASON_DROP_INTERNAL);
	sent_count(host);
	return bpf_redirect_map(&tx_ports, peer->ifindex, XDP_DROP);
}

/* What tunnel_check found. */
struct ff_arrival {
	struct ff_service *service;
	__u32 header; /* bytes to strip */
	__u32 vni;
	struct ff_geneve_option option;
	__be16 protocol;
};

#define NOT_TUNNEL (-1)

/* May that host send tunnel packets? Looked up once a tick, as a hash lookup takes 50 ns. */
static __always_inline int peer_check(struct ff_pkt *pkt, const struct ff_addr *addr)
{
	const __u64 *word = (const __u64 *)addr->word;
	struct ff_known_peer *known = &pkt->known[(word[1] >> 56) & (FF_KNOWN_PEERS - 1)];

	if (known->tick == pkt->tick && addr_equal(known->addr, word))
		return 1;
	if (!bpf_map_lookup_elem(&peer_addrs, addr))
		return 0;
	addr_copy(known->addr, word);
	known->tick = pkt->tick;
	return 1;
}

/*
 * Is the frame, which is for this interface, a tunnel packet for this host, and a proper one? 0,
 * NOT_TUNNEL, or a reason.
 * No IP options, no VLAN: that's how peers send.
 */
static __always_inline int tunnel_check(struct xdp_md *ctx, struct ff_pkt *pkt,
					struct ff_arrival *ret)
{
	const struct ff_iface *iface = &pkt->iface;
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct ff_outer *outer;
	struct ff_addr src __attribute__((aligned(8))) = {};
	__u32 vni;

	if (data + FF_ENCAP_V4 > end)
		return NOT_TUNNEL;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + sizeof(*eth);

		if (ip->protocol != PROTO_UDP || ip->ihl != 5 ||
		    (ip->frag_off & bpf_htons(IP_MF | IP_OFFSET)) ||
		    ip->daddr != *(__be32 *)iface->ipv4)
			return NOT_TUNNEL;
		addr_map_v4((__u64 *)src.word, ip->saddr);
		ret->header = FF_ENCAP_V4;
	} else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip6 = data + sizeof(*eth);
		__u64 *to = (__u64 *)&ip6->daddr, *me = (__u64 *)iface->ipv6;

		if (data + FF_ENCAP_V6 > end)
			return NOT_TUNNEL;
		if (ip6->nexthdr != PROTO_UDP || to[0] != me[0] || to[1] != me[1])
			return NOT_TUNNEL;
		addr_copy((__u64 *)src.word, &ip6->saddr);
		ret->header = FF_ENCAP_V6;
	} else {
		return NOT_TUNNEL;
	}
	outer = data + (ret->header - ENCAP_INNER);
	if ((void *)(outer + 1) > end || outer->udp.dest != bpf_htons(FF_GENEVE_PORT))
		return NOT_TUNNEL;

	if (!peer_check(pkt, &src))
		return FF_REASON_DROP_STRANGER;
	if (outer->geneve.ver_optlen != sizeof(struct ff_geneve_option) / 4 ||
	    outer->option.class != bpf_htons(FF_GENEVE_CLASS) ||
	    outer->option.type != FF_GENEVE_TYPE || outer->option.length != 3)
		return FF_REASON_DROP_TUNNEL;
	vni = outer->geneve.vni[2];
	if (outer->geneve.vni[0] || outer->geneve.vni[1] || vni >= FF_SERVICES_MAX)
		return FF_REASON_DROP_VNI;
	ret->service = service_at(vni);
	if (!ret->service->used)
		return FF_REASON_DROP_VNI;
	ret->option = outer->option;
	ret->protocol = outer->geneve.protocol;
	ret->vni = vni;
	if (bpf_ntohs(ret->option.slot) > ret->service->slot_mask)
		return FF_REASON_DROP_SLOT;
	if (ret->option.hops < 1 || ret->option.hops > FF_HOPS_MAX)
		return FF_REASON_DROP_HOPS;
	return 0;
}
