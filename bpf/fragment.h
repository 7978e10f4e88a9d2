/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fragment.h - later fragments follow their datagram's first one, which alone has the ports.
 *
 * With IPv6 it alone tells the protocol, too: the fragment header names what comes behind it, which
 * may be another extension header, and the next header fields of later ones may differ (RFC 8200,
 * section 4.5). So there the datagram is known by addresses and identification, and a first fragment
 * without a flow is noted as well.
 *
 * A note outlives its datagram until the map needs the place. It may then only be replaced by a first
 * fragment with a flow: else a forged first fragment that is the kernel's would lead the later ones
 * of a flow past the NF.
 */
#pragma once

#include "bpf/maps.h"
#include "bpf/parse.h"

static __always_inline int is_exthdr(__u8 proto)
{
	return proto == PROTO_HOPOPTS || proto == PROTO_ROUTING || proto == PROTO_DSTOPTS ||
	       proto == PROTO_MOBILITY || proto == PROTO_AH || proto == PROTO_FRAGMENT;
}

static __always_inline void fragment_key(struct ff_frag_key *key, const struct ff_pkt *pkt,
					 const struct ff_cursor *c)
{
	__builtin_memcpy(key->addr, c->addr, 32);
	key->id = c->frag_id;
	key->proto = pkt->family == 6 ? 0 : c->proto;
	key->pad[0] = key->pad[1] = key->pad[2] = 0;
}

/* Remembers a first fragment, and the reason for which it is left to the kernel, or 0. */
static __always_inline void fragment_note(const struct ff_pkt *pkt, const struct ff_cursor *c,
					  int reason)
{
	struct ff_frag first = {};
	struct ff_frag_key key;

	if (pkt->flags & FF_PKT_RELATED) /* the cursor speaks of the quote */
		return;
	fragment_key(&key, pkt, c);
	first.port[0] = pkt->port[0];
	first.port[1] = pkt->port[1];
	first.reason = reason;
	first.proto = c->proto;
	bpf_map_update_elem(&fragments, &key, &first, reason ? BPF_NOEXIST : BPF_ANY);
}

/* A packet that the parser refused: may later fragments have to follow it? */
static __always_inline void fragment_refused(const struct ff_pkt *pkt, const struct ff_cursor *c,
					     int reason)
{
	/* those of IPv4 tell their protocol themselves */
	if (reason == FF_REASON_PASS_PROTOCOL && (pkt->flags & FF_PKT_FRAGMENT) && pkt->family == 6)
		fragment_note(pkt, c, reason);
}

/* Gives a later fragment its first one's ports and protocol; 0 or a reason. */
static __always_inline int fragment_follow(struct ff_pkt *pkt, struct ff_cursor *c)
{
	struct ff_frag_key key;
	struct ff_frag *first;

	fragment_key(&key, pkt, c);
	first = bpf_map_lookup_elem(&fragments, &key);
	if (!first) {
		if (pkt->family == 6 && is_exthdr(c->proto))
			return FF_REASON_DROP_FRAG_NO_FIRST;
		return later_fragment_check(pkt, c) ?: FF_REASON_DROP_FRAG_NO_FIRST;
	}
	if (first->reason)
		return first->reason;
	c->proto = first->proto;
	pkt->port[0] = first->port[0];
	pkt->port[1] = first->port[1];
	return later_fragment_check(pkt, c);
}
