/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* State, but no program `nf`: the agent must refuse it. */
#include "bpf/nf.h"

struct noentry_flow {
	__u64 packets ff_sum;
};
FF_FLOW_STATE(noentry_flows, struct noentry_flow);

SEC("xdp")
int other(struct xdp_md *ctx)
{
	struct ff_pkt *pkt = ff_scratch();

	(void)ctx;
	return pkt && (noentry_flows_get(pkt) || noentry_flows_new(pkt, FF_SEC)) ? XDP_PASS :
										   XDP_DROP;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
