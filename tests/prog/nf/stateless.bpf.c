/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* An NF without per-flow state: the agent must refuse it. */
#include "bpf/nf.h"

static __always_inline int stateless(struct xdp_md *ctx, struct ff_pkt *pkt)
{
	(void)ctx;
	(void)pkt;
	return FF_PASS;
}
FF_NF(stateless);
