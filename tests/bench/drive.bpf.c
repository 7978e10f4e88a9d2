/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * drive - packets for a program under test.
 *
 * BPF_PROG_TEST_RUN with `repeat` hands the same frame on, again and again, as the last run left
 * it: encapsulated already, and so sent another way. So each run of this program writes a flow's
 * fields into the frame, calls the program under test, judges its verdict and the frame's new
 * length, and takes off or puts back what the program put in front or took off. What all that costs
 * is measured with a target that does nothing, and subtracted.
 */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "tests/bench/drive_abi.h"
#include "vmlinux/vmlinux.h"

#define ETH_P_IP  0x0800
#define NO_TARGET 99 /* no XDP verdict */

/* Set before loading. */
const volatile __u32 tunnelled; /* the flow's own frame is behind a tunnel header */
const volatile __u32 slot_mask; /* of the service */
const volatile __u16 mac[3];	/* to which the flow's frame is addressed */

/* User space's between runs, this program's during one. */
struct ff_slot_keys slot_keys; /* of the service */
struct drive_plan plan;
struct drive_score score;

struct frame {
	struct ethhdr eth;
	struct iphdr ip;
	struct tcphdr tcp;
} __attribute__((packed));

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} target SEC(".maps");

/* What is entered by a tail call from a function returns to that function's caller. */
static __noinline int target_call(struct xdp_md *ctx)
{
	int none = NO_TARGET;

	bpf_tail_call(ctx, &target, 0);
	/* or clang takes this for the only value that can be returned */
	asm volatile("" : "+r"(none));
	return none;
}

/* The target that does nothing. */
SEC("xdp")
int nothing(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_ABORTED;
}

static __always_inline __u32 flow_next(void)
{
	__u32 random = plan.random;

	if (!random)
		return score.packets % plan.flows;
	random ^= random << 13; /* xorshift (Marsaglia) */
	random ^= random >> 17;
	random ^= random << 5;
	plan.random = random;
	return (__u64)random * plan.flows >> 32;
}

static __always_inline void flow_write(struct frame *frame, __u32 flow)
{
	__be32 client = bpf_htonl(DRIVE_CLIENTS + (flow >> 8)), server = bpf_htonl(DRIVE_SERVER);
	__be16 port = bpf_htons(1024 + (flow & 255)), service = bpf_htons(80);

	/* forwarding has changed the next three; nobody on the way looks at the checksum */
	((__u16 *)frame)[0] = mac[0];
	((__u16 *)frame)[1] = mac[1];
	((__u16 *)frame)[2] = mac[2];
	frame->ip.ttl = 64;
	frame->ip.check = 0;
	frame->ip.saddr = plan.reverse ? server : client;
	frame->ip.daddr = plan.reverse ? client : server;
	frame->tcp.source = plan.reverse ? service : port;
	frame->tcp.dest = plan.reverse ? port : service;
	frame->tcp.seq = bpf_htonl(plan.seq);
	frame->tcp.ack_seq = bpf_htonl(plan.ack);
	((__u8 *)&frame->tcp)[13] = plan.tcp_flags;
}

/* As a steering host writes it: the slot decides in which map the flow's state is. */
static __always_inline void slot_write(void *outer, const struct frame *frame)
{
	struct udphdr *udp = outer + sizeof(struct ethhdr) + sizeof(struct iphdr);
	struct ff_geneve_option *option = (void *)(udp + 1) + sizeof(struct ff_geneve);
	__u32 client = plan.reverse, server = !client; /* their places in source and destination */
	__be32 addr[2] = { frame->ip.saddr, frame->ip.daddr };
	__be16 port[2] = { frame->tcp.source, frame->tcp.dest };
	struct ff_flow_key key = { .proto = frame->ip.protocol };
	__u32 slot;

	/*
	 * the server's address is the smaller one; this host is little-endian, as x86 and arm64 are
	 */
	*(__u64 *)&key.addr[0][8] = (__u64)addr[server & 1] << 32 | bpf_htonl(0xffff);
	*(__u64 *)&key.addr[1][8] = (__u64)addr[client & 1] << 32 | bpf_htonl(0xffff);
	key.port[0] = port[server & 1];
	key.port[1] = port[client & 1];
	slot = ff_slot_hash_keyed(&key, &slot_keys) & slot_mask;
	udp->source = bpf_htons(FF_PATH_PORT + slot % FF_PATHS);
	option->slot = bpf_htons(slot);
}

static __always_inline int packet_write(struct xdp_md *ctx, __u32 flow)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (tunnelled) {
		if (data + FF_ENCAP_V4 + sizeof(struct frame) > end)
			return -1;
		flow_write(data + FF_ENCAP_V4, flow);
		slot_write(data, data + FF_ENCAP_V4);
		return 0;
	}
	if (data + sizeof(struct frame) > end)
		return -1;
	flow_write(data, flow);
	return 0;
}

SEC("xdp")
int drive(struct xdp_md *ctx)
{
	__u32 before = ctx->data_end - ctx->data, after;
	int got;

	if (packet_write(ctx, flow_next()))
		return XDP_ABORTED; /* not counted, which is noticed */
	score.packets++;
	got = target_call(ctx);
	after = ctx->data_end - ctx->data;
	if (got != plan.verdict || after != before + plan.growth)
		score.wrong++;
	if (bpf_xdp_adjust_head(ctx, plan.growth))
		score.wrong++;
	return got;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
