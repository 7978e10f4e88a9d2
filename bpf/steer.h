/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * steer.h - service, slot and owner of a parsed packet. Free of XDP's types.
 *
 * One read of service->active chooses the bank for slot, rules and pin together, so a packet
 * never sees half of a plan.
 */
#pragma once

#include "bpf/maps.h"
#include "bpf/match.h"

/* Does the packet match? A function of its own, so that the verifier looks at it once. */
__noinline int ff_match_packet(const struct ff_match *match, const struct ff_pkt *pkt)
{
	return match && pkt && match_packet(match, pkt, match->flags & FF_MATCH_EITHER);
}

/* The service that the packet belongs to, by its class; number 0: none. */
static __always_inline struct ff_service *service_of(struct ff_pkt *pkt)
{
	struct ff_service *service;
	__u32 i;

	for (i = 1; i < FF_SERVICES_MAX; i++) {
		service = service_at(i);
		if (!service->used)
			continue;
		if (service->any || ff_match_packet(&service->class, pkt)) {
			((__u64 *)&pkt->key)[4] |= (__u64)i << 48; /* see key_rest_set() */
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

/*
 * The flow's pin in that bank: 1, 0 if there is none, -1 if its element went to other keys again and
 * again while we looked (see ff_pin).
 */
static __always_inline int pin_of(const struct ff_pkt *pkt, __u32 bank, struct ff_steer *ret)
{
	union {
		__u64 word;
		struct ff_steer steer;
	} entry;
	struct ff_pin *pin;
	int i;

#pragma unroll
	for (i = 0; i < 2; i++) {
		pin = bpf_map_lookup_elem(&pins, &pkt->key);
		if (!pin)
			return 0;
		entry.word = *(volatile __u64 *)&pin->steer[bank & 1];
		if (entry.steer.mark == ff_pin_mark(&pkt->key)) {
			*ret = entry.steer;
			return !(entry.steer.flags & FF_STEER_ABSENT);
		}
	}
	return -1;
}

static __always_inline struct ff_slot *slot_find(const struct ff_pkt *pkt, __u32 bank)
{
	__u32 index = FF_TABLE_INDEX(pkt->key.service, bank, pkt->slot);

	return bpf_map_lookup_elem(&table, &index);
}

/* Fetches what steer_of() will want, see ff_touch(). */
static __always_inline void slot_touch(struct ff_service *service, const struct ff_pkt *pkt)
{
	struct ff_slot *slot = slot_find(pkt, service->active & 1);

	if (slot)
		ff_touch(slot);
}

/* Answers where the packet goes; pkt->key and pkt->slot are set. Returns a reason or 0. */
static __always_inline int steer_of(struct ff_service *service, struct ff_pkt *pkt,
				    struct ff_steer *ret)
{
	__u32 bank = *(volatile __u32 *)&service->active & 1;
	struct ff_slot *slot = slot_find(pkt, bank);
	struct ff_rule *rule;
	int found;

	if (!slot)
		return FF_REASON_DROP_SLOT;
	pkt->group = pkt->slot >> (service->group_shift & 15);
	if (service->pins[bank]) {
		found = pin_of(pkt, bank, ret);
		if (found)
			return found > 0 ? 0 : FF_REASON_DROP_INTERNAL;
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
