/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * parse.h - Ethernet to L4, into struct ff_pkt. Free of XDP's verdicts: returns a reason, 0 if
 * the packet has a flow.
 *
 * A packet comes as two pointers, so that the same code serves XDP and TC.
 */
#pragma once

#include "bpf/pkt.h"

#define ETH_P_IP     0x0800
#define ETH_P_IPV6   0x86dd
#define ETH_P_8021Q  0x8100
#define ETH_P_8021AD 0x88a8

#define IP_MF	     0x2000
#define IP_OFFSET    0x1fff

/* What the walk through the headers carries along. */
struct ff_cursor {
	void *start; /* of the frame */
	void *end;
	__u32 off;	  /* of the header at hand; bounded, so that the verifier follows */
	__u32 l4_len;	  /* bytes of the datagram from off on, by the IP header */
	__u64 addr[2][2]; /* source, destination; by words: byte by byte they take 20 ns */
	__be32 frag_id;
	__u16 frag_off; /* in bytes */
	__u8 proto;
	__u8 more;
};

#define CURSOR_MAX 768 /* headers end by here: 14 + 8 + 60 or 40 + 6 extension headers, twice */

static __always_inline void *cursor_at(const struct ff_cursor *c, __u32 size)
{
	/* or it is checked in one register and used from the stack: kernels before 6.2 then forget */
	__u32 off = ff_detach(c->off);

	if (off > CURSOR_MAX)
		return NULL;
	if (c->start + off + size > c->end)
		return NULL;
	return c->start + off;
}

/* As words that are written whole, so that they can be read again without waiting for two stores. */
static __always_inline void addr_map_v4(__u64 addr[2], __be32 v4)
{
	addr[0] = 0;
	addr[1] = bpf_cpu_to_be64(0xffffull << 32 | bpf_ntohl(v4)); /* ::ffff:a.b.c.d */
}

/* `from` may be a packet's, on no boundary: fine for the architectures that have native XDP. */
static __always_inline void addr_copy(__u64 to[2], const void *from)
{
	to[0] = ((const __u64 *)from)[0];
	to[1] = ((const __u64 *)from)[1];
}

static __always_inline int addr_equal(const __u64 a[2], const __u64 b[2])
{
	return a[0] == b[0] && a[1] == b[1];
}

static __always_inline int addr_before(const __u64 a[2], const __u64 b[2])
{
	return a[0] != b[0] ? bpf_be64_to_cpu(a[0]) < bpf_be64_to_cpu(b[0]) :
			      bpf_be64_to_cpu(a[1]) < bpf_be64_to_cpu(b[1]);
}

static __always_inline int parse_ipv4(struct ff_cursor *c, __u32 *ret_total)
{
	struct iphdr *ip = cursor_at(c, sizeof(*ip));
	__u32 header, total, frag;

	if (!ip)
		return FF_REASON_PASS_TRUNCATED;
	header = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header < sizeof(*ip) || total < header)
		return FF_REASON_PASS_BAD_HEADER;
	addr_map_v4(c->addr[0], ip->saddr);
	addr_map_v4(c->addr[1], ip->daddr);
	frag = bpf_ntohs(ip->frag_off);
	c->frag_off = (frag & IP_OFFSET) * 8;
	c->more = !!(frag & IP_MF);
	c->frag_id = ip->id;
	c->proto = ip->protocol;
	c->l4_len = total - header;
	c->off += header;
	*ret_total = total;
	return 0;
}

static __always_inline int parse_exthdrs(struct ff_cursor *c)
{
	int i;

	for (i = 0; i < FF_EXTHDRS_MAX; i++) {
		struct ipv6_opt_hdr *opt;
		struct frag_hdr *frag;
		__u32 len;

		switch (c->proto) {
		case PROTO_HOPOPTS:
		case PROTO_ROUTING:
		case PROTO_DSTOPTS:
		case PROTO_MOBILITY:
		case PROTO_AH:
			opt = cursor_at(c, sizeof(*opt));
			if (!opt)
				return FF_REASON_PASS_TRUNCATED;
			len = c->proto == PROTO_AH ? (opt->hdrlen + 2) * 4 : (opt->hdrlen + 1) * 8;
			c->proto = opt->nexthdr;
			break;
		case PROTO_FRAGMENT:
			frag = cursor_at(c, sizeof(*frag));
			if (!frag)
				return FF_REASON_PASS_TRUNCATED;
			len = sizeof(*frag);
			c->frag_off = bpf_ntohs(frag->frag_off) & 0xfff8;
			c->more = bpf_ntohs(frag->frag_off) & 1;
			c->frag_id = frag->identification;
			c->proto = frag->nexthdr;
			break;
		default:
			return 0;
		}
		if (len > c->l4_len)
			return FF_REASON_PASS_BAD_HEADER;
		c->l4_len = ff_opaque(c->l4_len - len);
		c->off = ff_opaque(c->off + len);
		if (c->off > CURSOR_MAX)
			return FF_REASON_PASS_EXTHDRS;
		if (c->frag_off) /* what follows is the middle of a datagram, no header */
			return 0;
	}
	switch (c->proto) {
	case PROTO_HOPOPTS:
	case PROTO_ROUTING:
	case PROTO_DSTOPTS:
	case PROTO_MOBILITY:
	case PROTO_AH:
	case PROTO_FRAGMENT:
		return FF_REASON_PASS_EXTHDRS;
	}
	return 0;
}

static __always_inline int parse_ipv6(struct ff_cursor *c, __u32 *ret_total)
{
	struct ipv6hdr *ip6 = cursor_at(c, sizeof(*ip6));

	if (!ip6)
		return FF_REASON_PASS_TRUNCATED;
	if (ip6->version != 6)
		return FF_REASON_PASS_BAD_HEADER;
	addr_copy(c->addr[0], &ip6->saddr);
	addr_copy(c->addr[1], &ip6->daddr);
	c->frag_off = 0;
	c->more = 0;
	c->frag_id = 0;
	c->proto = ip6->nexthdr;
	c->l4_len = bpf_ntohs(ip6->payload_len);
	*ret_total = c->l4_len + sizeof(*ip6);
	c->off += sizeof(*ip6);
	return parse_exthdrs(c);
}

/*
 * The rest of a key, behind its addresses: as one word, as a little-endian host has it. Written piece by
 * piece, it couldn't be read again before all pieces have left the store buffer, which takes 6 ns.
 */
static __always_inline void key_rest_set(struct ff_flow_key *key, __u32 ports, __u8 proto,
					 __u16 service)
{
	((__u64 *)key)[4] = ports | (__u64)proto << 32 | (__u64)service << 48;
}

/* Endpoint 0 of the key is the smaller one by address, then port, byte by byte. */
static __always_inline void flow_key_set(struct ff_pkt *pkt, const struct ff_cursor *c,
					 __u16 service)
{
	__u64 *addr = (__u64 *)pkt->key.addr;
	__u32 ports = ff_ports(pkt->port);
	__u32 second = addr_equal(c->addr[0], c->addr[1]) ?
			       bpf_ntohs(pkt->port[0]) > bpf_ntohs(pkt->port[1]) :
			       addr_before(c->addr[1], c->addr[0]);

	pkt->dir = second;
	if (second) {
		addr_copy(addr, c->addr[1]);
		addr_copy(addr + 2, c->addr[0]);
		ports = ports << 16 | ports >> 16;
	} else {
		addr_copy(addr, c->addr[0]);
		addr_copy(addr + 2, c->addr[1]);
	}
	key_rest_set(&pkt->key, ports, c->proto, service);
	pkt->proto = c->proto;
}

static __always_inline int is_icmp_error(__u8 family, __u8 type)
{
	if (family == 6)
		return type >= 1 && type <= 4;
	return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

static __always_inline int is_icmp_echo(__u8 family, __u8 type)
{
	return family == 6 ? type == 128 || type == 129 : type == 8 || type == 0;
}

static __always_inline int proto_has_flows(__u8 family, __u8 proto)
{
	return proto == PROTO_TCP || proto == PROTO_UDP || proto == PROTO_SCTP ||
	       proto == (family == 4 ? PROTO_ICMP : PROTO_ICMPV6);
}

/*
 * An ICMP error travels against the flow that it quotes: the quote's destination is its source. From
 * here on the cursor, with what it says of fragments, is the quote's.
 */
static __always_inline int parse_quote(struct ff_pkt *pkt, struct ff_cursor *c)
{
	__u64 to[2] = { c->addr[1][0], c->addr[1][1] }, swap[2];
	__u32 total;
	__be16 *ports;
	int reason;

	pkt->flags |= FF_PKT_RELATED;
	c->off += sizeof(struct icmphdr);
	reason = pkt->family == 4 ? parse_ipv4(c, &total) : parse_ipv6(c, &total);
	if (reason || c->frag_off)
		return FF_REASON_DROP_ICMP_QUOTE;
	/* it goes to whom the quoted packet came from; else it's forged, to look like a flow's */
	if (!addr_equal(to, c->addr[0]))
		return FF_REASON_DROP_ICMP_QUOTE;
	if (!proto_has_flows(pkt->family, c->proto)) /* what it speaks of was the kernel's, too */
		return FF_REASON_PASS_PROTOCOL;
	ports = cursor_at(c, 8);
	if (!ports)
		return FF_REASON_DROP_ICMP_QUOTE;
	if (c->proto == PROTO_ICMP || c->proto == PROTO_ICMPV6) {
		if (!is_icmp_echo(pkt->family, *(__u8 *)ports))
			return FF_REASON_DROP_ICMP_QUOTE;
		pkt->port[0] = pkt->port[1] = ports[2];
	} else {
		pkt->port[0] = ports[1];
		pkt->port[1] = ports[0];
	}
	addr_copy(swap, c->addr[0]);
	addr_copy(c->addr[0], c->addr[1]);
	addr_copy(c->addr[1], swap);
	return 0;
}

static __always_inline int parse_l4(struct ff_pkt *pkt, struct ff_cursor *c)
{
	int first_part = pkt->flags & FF_PKT_FRAGMENT;
	__u32 need = c->proto == PROTO_TCP ? 20 : c->proto == PROTO_SCTP ? 12 : 8;
	struct tcphdr *tcp;
	struct udphdr *udp;
	__u8 *icmp;

	if (!proto_has_flows(pkt->family, c->proto))
		return FF_REASON_PASS_PROTOCOL;
	if (c->l4_len < need) /* a first fragment this short hides its ports: RFC 1858, 8200 */
		return first_part ? FF_REASON_DROP_FRAG_OVERLAP : FF_REASON_PASS_TRUNCATED;
	udp = cursor_at(c, 8);
	if (!udp)
		return FF_REASON_PASS_TRUNCATED;
	pkt->port[0] = udp->source; /* TCP, UDP and SCTP alike */
	pkt->port[1] = udp->dest;
	switch (c->proto) {
	case PROTO_TCP:
		tcp = cursor_at(c, sizeof(*tcp));
		if (!tcp)
			return FF_REASON_PASS_TRUNCATED;
		if (tcp->doff < 5 || (!first_part && tcp->doff * 4 > c->l4_len))
			return FF_REASON_PASS_BAD_HEADER;
		pkt->tcp_flags = ((__u8 *)tcp)[13];
		return 0;
	case PROTO_UDP:
		if (bpf_ntohs(udp->len) < 8 || (!first_part && bpf_ntohs(udp->len) > c->l4_len))
			return FF_REASON_PASS_BAD_HEADER;
		return 0;
	case PROTO_SCTP:
		return 0;
	}
	icmp = (__u8 *)udp;
	if (is_icmp_echo(pkt->family, icmp[0])) {
		pkt->port[0] = pkt->port[1] = *(__be16 *)(icmp + 4);
		return 0;
	}
	if (is_icmp_error(pkt->family, icmp[0]))
		return parse_quote(pkt, c);
	return FF_REASON_PASS_PROTOCOL;
}

/* May a later fragment be one of the datagram's whose protocol this is? 0 or a reason. */
static __always_inline int later_fragment_check(const struct ff_pkt *pkt, const struct ff_cursor *c)
{
	if (!proto_has_flows(pkt->family, c->proto))
		return FF_REASON_PASS_PROTOCOL;
	if ((c->proto == PROTO_TCP && c->frag_off < 20) ||
	    (c->proto == PROTO_SCTP && c->frag_off < 16)) /* header and first chunk's */
		return FF_REASON_DROP_FRAG_OVERLAP;
	return 0;
}

/*
 * What most packets are: IPv4 without options or fragmentation, TCP or UDP, no tags. 0: parsed, as
 * parse_packet() would; else it's not so plain, or not in order. In one piece, without the cursor's
 * steps, it takes half the time.
 */
static __always_inline int parse_plain(void *start, void *end, struct ff_pkt *pkt,
				       struct ff_cursor *c)
{
	struct ethhdr *eth = start;
	struct iphdr *ip = start + sizeof(*eth);
	struct tcphdr *tcp =
		(void *)(ip + 1); /* of UDP at least the padding up to Ethernet's least */
	struct udphdr *udp = (void *)tcp;
	__u64 have = end - (void *)ip;
	__u32 total;

	asm volatile("" : "+r"(have)); /* see ff_frame_len() */
	if ((void *)(tcp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || *(__u8 *)ip != 0x45 ||
	    (ip->frag_off & bpf_htons(IP_MF | IP_OFFSET)))
		return -1;
	total = bpf_ntohs(ip->tot_len);
	if (total > have) /* no pointer to the end: kernels before 6.2 lose bounds in a byte swap */
		return -1;
	if (ip->protocol == PROTO_TCP) {
		if (tcp->doff < 5 || sizeof(*ip) + tcp->doff * 4 > total)
			return -1;
		pkt->tcp_flags = ((__u8 *)tcp)[13];
	} else if (ip->protocol == PROTO_UDP) {
		if (bpf_ntohs(udp->len) < sizeof(*udp) || sizeof(*ip) + bpf_ntohs(udp->len) > total)
			return -1;
		pkt->tcp_flags = 0;
	} else {
		return -1;
	}
	addr_map_v4(c->addr[0], ip->saddr);
	addr_map_v4(c->addr[1], ip->daddr);
	c->frag_off = 0;
	c->more = 0;
	c->proto = ip->protocol;
	pkt->family = 4;
	pkt->vlans = 0;
	pkt->l3_off = sizeof(*eth);
	pkt->l4_off = sizeof(*eth) + sizeof(*ip);
	pkt->l3_len = total;
	ff_ports_set(pkt->port, ff_ports(&udp->source)); /* TCP's, too */
	pkt->proto = ip->protocol;
	return 0;
}

/*
 * Parses the frame from `start`. Fills in pkt's family, offsets, length, ports, protocol and flags;
 * leaves the rest alone.
 *
 * A later fragment's ports, and with IPv6 its protocol, are told by its datagram's first one only.
 * If it came by the tunnel (FF_PKT_TUNNELED), the option told them, and pkt->port and pkt->proto must
 * hold them: so it needs no memory here of its first one, which another host may have seen. Else
 * they are for the caller to find, see fragment.h.
 */
static __always_inline int parse_packet(void *start, void *end, struct ff_pkt *pkt,
					struct ff_cursor *c)
{
	struct ethhdr *eth = start;
	__be16 proto;
	__u32 total;
	int i, reason;

	if (start + sizeof(*eth) > end)
		return FF_REASON_PASS_TRUNCATED;
	c->start = start;
	c->end = end;
	c->off = sizeof(*eth);
	proto = eth->h_proto;
	pkt->vlans = 0;
	for (i = 0; i <= FF_VLANS_MAX; i++) {
		struct vlan_hdr *vlan;

		if (proto != bpf_htons(ETH_P_8021Q) && proto != bpf_htons(ETH_P_8021AD))
			break;
		if (i == FF_VLANS_MAX)
			return FF_REASON_PASS_VLANS;
		vlan = cursor_at(c, sizeof(*vlan));
		if (!vlan)
			return FF_REASON_PASS_TRUNCATED;
		proto = vlan->h_vlan_encapsulated_proto;
		c->off += sizeof(*vlan);
		pkt->vlans++;
	}
	pkt->l3_off = c->off;
	pkt->tcp_flags = 0;
	if (proto == bpf_htons(ETH_P_IP)) {
		pkt->family = 4;
		reason = parse_ipv4(c, &total);
	} else if (proto == bpf_htons(ETH_P_IPV6)) {
		pkt->family = 6;
		reason = parse_ipv6(c, &total);
	} else {
		return FF_REASON_PASS_NOT_IP;
	}
	if (reason)
		return reason;
	pkt->l3_len = total;
	pkt->l4_off = c->off;
	if (start + pkt->l3_off + total > end)
		return FF_REASON_PASS_TRUNCATED;
	if (c->more || c->frag_off)
		pkt->flags |= FF_PKT_FRAGMENT;
	if (!c->frag_off) {
		pkt->port[0] = pkt->port[1] = 0;
		reason = parse_l4(pkt, c);
		if (reason)
			return reason;
	} else {
		pkt->flags |= FF_PKT_FRAG_LATER;
		if (pkt->flags & FF_PKT_TUNNELED) {
			if (pkt->proto) /* 0: the sender's agent is older than that field */
				c->proto = pkt->proto;
			return later_fragment_check(pkt, c);
		}
		pkt->port[0] = pkt->port[1] = 0;
	}
	pkt->proto = c->proto;
	return 0;
}
