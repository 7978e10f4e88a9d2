/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* State with a bitfield, which can't be converted by name: the agent must refuse it. */
#include "bpf/nf.h"

struct bitfield_flow {
	__u64 packets ff_sum;
	__u32 low : 4, high : 28;
};
FF_FLOW_STATE(bitfield_flows, struct bitfield_flow);

static __always_inline int bitfield(struct xdp_md *ctx, struct ff_pkt *pkt)
{
	struct bitfield_flows_entry *e = bitfield_flows_get(pkt);

	(void)ctx;
	if (!e)
		e = bitfield_flows_new(pkt, FF_SEC);
	return e ? FF_PASS : ff_refuse(pkt);
}
FF_NF(bitfield);
