/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* match.h - does a packet fit a struct ff_match? For steering rules and for NFs alike. */
#pragma once

#include "bpf/pkt.h"

/* An ICMP echo has no ports: its identifier stands in for them, and fits only where any port does. */
static __always_inline int match_end(const struct ff_end *end, const struct ff_pkt *pkt, __u32 side)
{
	const __be32 *word = (const __be32 *)pkt->key.addr[side & 1];
	__u32 min = end->port_min, max = end->port_max;
	__u16 port = bpf_ntohs(pkt->key.port[side & 1]);
	__u32 diff;

	diff = (word[0] & end->mask[0]) ^ end->addr[0];
	diff |= (word[1] & end->mask[1]) ^ end->addr[1];
	diff |= (word[2] & end->mask[2]) ^ end->addr[2];
	diff |= (word[3] & end->mask[3]) ^ end->addr[3];
	if (diff)
		return 0;
	if (pkt->key.proto == PROTO_ICMP || pkt->key.proto == PROTO_ICMPV6)
		return min == 0 && max == 0xffff;
	return port >= min && port <= max;
}

/*
 * Is the packet one from match.a to match.b, or, with `either`, the other way round? Whether the
 * match's own FF_MATCH_EITHER counts is the caller's to say.
 */
static __always_inline int match_packet(const struct ff_match *match, const struct ff_pkt *pkt,
					int either)
{
	__u32 src = pkt->dir & 1;

	if (!(match->flags & FF_MATCH_USED))
		return 0;
	if (match->proto && match->proto != pkt->key.proto)
		return 0;
	if (match->family && match->family != pkt->family)
		return 0;
	if (match_end(&match->a, pkt, src) && match_end(&match->b, pkt, src ^ 1))
		return 1;
	return either && match_end(&match->a, pkt, src ^ 1) && match_end(&match->b, pkt, src);
}
