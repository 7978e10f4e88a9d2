/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * traffic.bpf.c - the traffic generator and its judge, for one end of the traffic.
 *
 * One program is both. As generator it is run by BPF_PROG_TEST_RUN in live-frame mode, in paced
 * batches; as judge it is attached to the end host's interfaces.
 *
 * Two programs would be nicer, but slower by a factor of a thousand: a test run of a program that
 * is attached nowhere enters it into the kernel's XDP dispatcher and takes it out again, which
 * waits for grace periods each time.
 */
#include "bpf/traffic_generate.h"
#include "bpf/traffic_judge.h"

#define LOOPBACK_IFINDEX 1 /* in every network namespace */

/* Frames of a test run come from the loopback, where nothing is attached. */
SEC("xdp")
int traffic_end(struct xdp_md *ctx)
{
	return ctx->ingress_ifindex == LOOPBACK_IFINDEX ? packet_generate(ctx) : packet_judge(ctx);
}

/* What stays on an interface in the judge's place, where frames need some program to arrive. */
SEC("xdp")
int traffic_pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
