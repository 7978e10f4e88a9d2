/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The NF that the state tests load, in two versions: `counter`, and `counter2` with COUNTER_VERSION
 * 2, whose state has the fields in another order, one wider and one new.
 */
#pragma once

#include "bpf/nf.h"

enum counter_mode { COUNTER_IDLE, COUNTER_BUSY };

struct counter_peer {
	__u32 seq ff_last;
	__u8 scale;
	__u8 pad[3];
};

#if COUNTER_VERSION == 1
struct counter_flow {
	__u64 packets[2] ff_sum;
	__u64 first_ns ff_min ff_clock;
	__u32 hits ff_sum;
	enum counter_mode mode;
	struct counter_peer peer[2];
	__be16 port;
	__u8 mac[6];
	__s32 balance;
};
#else
struct counter_flow {
	__u8 mac[6];
	__be16 port;
	struct counter_peer peer[2];
	enum counter_mode mode;
	__s32 balance;
	__u64 hits ff_sum;	       /* wider */
	__u64 last_ns ff_max ff_clock; /* new */
	__u64 first_ns ff_min ff_clock;
	__u64 packets[4] ff_sum; /* longer */
};
#endif
FF_FLOW_STATE(counter_flows, struct counter_flow);

struct counter_source {
	__be32 addr;
};
struct counter_offer {
	__u64 flows ff_sum;
	char tag[8];
};
FF_SHARED_STATE(counter_offers, struct counter_source, struct counter_offer, 128);

struct counter_total {
	__u64 packets ff_sum;
	__u32 sizes[4] ff_sum;
};
FF_GLOBAL_STATE(counter_totals, struct counter_total);

struct counter_rule {
	struct ff_match match;
	enum counter_mode mode;
};

struct counter_config {
	struct counter_rule rules[2];
	__u32 rules_count;
	__u8 mac[6];
	__u16 window;
	__s8 offset;
	__u8 pad[3];
	__be32 gateway_ip;
	struct ff_addr server;
	char title[8];
	__u64 lifetime_ns;
};
FF_CONFIG(struct counter_config);

static __always_inline int counter(struct xdp_md *ctx, struct ff_pkt *pkt)
{
	struct counter_config *config = ff_config();
	struct counter_flows_entry *e = counter_flows_get(pkt);
	struct counter_total *total = counter_totals_all();
	struct ff_lock *lock;
	__u64 lifetime = config && config->lifetime_ns ? config->lifetime_ns : 30 * FF_SEC;

	if (!e)
		e = counter_flows_new(pkt, lifetime);
	if (!e)
		return ff_refuse(pkt);
	lock = ff_lock(pkt);
	if (!lock)
		return FF_REASON_DROP_INTERNAL;
	e->state.packets[pkt->dir & 1]++;
	if (!e->state.first_ns)
		e->state.first_ns = pkt->now_ns;
	ff_unlock(lock);
	if (total)
		__sync_fetch_and_add(&total->packets, 1);
	ff_keep(&e->head, pkt, lifetime);
	return FF_PASS;
}
FF_NF(counter);
