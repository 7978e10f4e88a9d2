/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * steer.h - service, slot and owner of a parsed packet. Free of XDP's types.
 *
 * One read of service->active chooses the bank for slot, rules and pin together, so a packet
 * never sees half of a plan.
 */
#pragma once

#include "bpf/maps.h"
#include "bpf/parse.h"

static __always_inline int end_matches(const struct ff_end *end, const __u8 addr[16], __be16 port)
{
	const __u32 *word = (const __u32 *)addr;
	__u32 diff;

	diff = (word[0] & end->mask[0]) ^ end->addr[0];
	diff |= (word[1] & end->mask[1]) ^ end->addr[1];
	diff |= (word[2] & end->mask[2]) ^ end->addr[2];
	diff |= (word[3] & end->mask[3]) ^ end->addr[3];
	return !diff && bpf_ntohs(port) >= end->port_min && bpf_ntohs(port) <= end->port_max;
}

static __always_inline int end_wants_port(const struct ff_end *end)
{
	return end->port_min != 0 || end->port_max != 0xffff;
}

/*
 * Does the packet match? With FF_MATCH_EITHER in any of the two directions. A function of its own,
 * so that the verifier looks at it once.
 */
__noinline int ff_match_packet(const struct ff_match *match, const struct ff_pkt *pkt)
{
	__u32 src;

	if (!match || !pkt || !(match->flags & FF_MATCH_USED))
		return 0;
	if (match->proto && match->proto != pkt->key.proto)
		return 0;
	if (match->family && match->family != pkt->family)
		return 0;
	if ((pkt->key.proto == PROTO_ICMP || pkt->key.proto == PROTO_ICMPV6) &&
	    (end_wants_port(&match->a) || end_wants_port(&match->b)))
		return 0; /* an echo identifier is no port */
	src = pkt->dir & 1;
	if (end_matches(&match->a, pkt->key.addr[src], pkt->key.port[src]) &&
	    end_matches(&match->b, pkt->key.addr[!src], pkt->key.port[!src]))
		return 1;
	return (match->flags & FF_MATCH_EITHER) &&
	       end_matches(&match->a, pkt->key.addr[!src], pkt->key.port[!src]) &&
	       end_matches(&match->b, pkt->key.addr[src], pkt->key.port[src]);
}

/* The service that the packet belongs to, by its class; number 0: none. */
static __always_inline struct ff_service *service_of(struct ff_pkt *pkt)
{
	struct ff_service *service;
	__u32 i;

	for (i = 1; i < FF_SERVICES_MAX; i++) {
		__u32 number = i;

		service = bpf_map_lookup_elem(&services, &number);
		if (!service)
			break;
		if (!service->used)
			continue;
		if (service->any || ff_match_packet(&service->class, pkt)) {
			pkt->key.service = i;
			return service;
		}
	}
	return NULL;
}

/* The rule that decides for this packet, or NULL. `mask`: the rules that apply to its slot. */
static __always_inline struct ff_rule *rule_of(struct ff_service *service, struct ff_pkt *pkt,
					       __u32 bank, __u32 mask)
{
	__u32 count = service->rules[bank & 1], base, i;
	struct ff_rule *rule;

	base = FF_RULES_INDEX(pkt->key.service, bank, 0);
	for (i = 0; i < FF_RULES_MAX; i++) {
		__u32 index = base + i;

		if (i >= count)
			break;
		if (!(mask & (1u << i)))
			continue;
		rule = bpf_map_lookup_elem(&rules, &index);
		if (rule && ff_match_packet(&rule->match, pkt))
			return rule;
	}
	return NULL;
}

/* Answers where the packet goes; pkt->key and pkt->slot are set. Returns a reason or 0. */
static __always_inline int steer_of(struct ff_service *service, struct ff_pkt *pkt,
				    struct ff_steer *ret)
{
	__u32 bank = *(volatile __u32 *)&service->active & 1;
	__u32 index = FF_TABLE_INDEX(pkt->key.service, bank, pkt->slot);
	struct ff_slot *slot = bpf_map_lookup_elem(&table, &index);
	struct ff_rule *rule;
	struct ff_pin *pin;

	if (!slot)
		return FF_REASON_DROP_SLOT;
	pkt->group = pkt->slot >> (service->group_shift & 15);
	if (service->pins[bank]) {
		pin = bpf_map_lookup_elem(&pins, &pkt->key);
		if (pin && !(pin->steer[bank].flags & FF_STEER_ABSENT)) {
			*ret = pin->steer[bank];
			return 0;
		}
	}
	if (slot->rules) {
		rule = rule_of(service, pkt, bank, slot->rules);
		if (rule) {
			*ret = rule->steer;
			return 0;
		}
	}
	*ret = slot->steer;
	return 0;
}
