/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pkt.h - a parsed packet, and the maps that the data path shares with NF objects.
 *
 * The packet under way is described once, in the per-CPU map `scratch`: programs that tail-call
 * each other find it there. XDP programs run with softirqs off, one at a time on a CPU, so the
 * description can't be overwritten before the packet's verdict.
 */
#pragma once

#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/abi.h"
#include "vmlinux/vmlinux.h" /* packet headers, by the kernel's own names */

#define FF_PKT_RELATED	  1u  /* an ICMP error: key, dir and proto are those of the quoted flow */
#define FF_PKT_FRAGMENT	  2u  /* part of a fragmented datagram */
#define FF_PKT_FRAG_LATER 4u  /* not its first part: it has no L4 header */
#define FF_PKT_TUNNELED	  8u  /* arrived by the tunnel */
#define FF_PKT_RACED	  16u /* its flow's state is just being deleted: see NAME_new() in nf.h */

/* What IP's protocol and IPv6's next header fields say. <linux/in6.h> clashes with vmlinux.h. */
enum {
	PROTO_HOPOPTS = 0,
	PROTO_ICMP = 1,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_ROUTING = 43,
	PROTO_FRAGMENT = 44,
	PROTO_AH = 51,
	PROTO_ICMPV6 = 58,
	PROTO_DSTOPTS = 60,
	PROTO_SCTP = 132,
	PROTO_MOBILITY = 135,
};

/* A host that is allowed to send tunnel packets, as of this tick; its place: from its address. */
#define FF_KNOWN_PEERS 8
struct ff_known_peer {
	__u64 addr[2];
	__u64 tick;
};

struct ff_pkt {
	struct ff_flow_key key;
	__u64 now_ns;	  /* CLOCK_MONOTONIC, of the tick; bpf_ktime_get_ns() is exact */
	__u64 sampled_ns; /* the packet is a sample, see struct ff_meter, since then; else 0 */
	__u32 ifindex;
	__u16 slot;
	__u16 group; /* of state maps */
	__u16 instance;
	__u8 lane;
	__u8 dir; /* 0: sent by endpoint 0 of the key */
	__u8 flags;
	__u8 hops; /* tunnel hops taken */
	__u8 kind; /* FF_KIND_* it arrived as */
	__u8 steer_flags;
	__u8 proto;	/* key.proto */
	__u8 tcp_flags; /* byte 13 of the TCP header; 0 for others */
	__u8 family;	/* 4 or 6 */
	__u8 vlans;	/* tags in front of L3 */
	__u16 l3_off;
	__u16 l4_off;
	__u16 l3_len;				    /* of the whole packet, L3 header included */
	__be16 port[2] __attribute__((aligned(4))); /* source, destination */
	__u16 peer;				    /* host it no longer fits to */
	__u32 opaque;				    /* see ff_opaque() */
	/*
	 * What the data path keeps from packet to packet, on each CPU: looked up once a tick (1 to 10 ms),
	 * see tick_begin(). A packet comes with many others of the same interface, peer and destination.
	 */
	__u32 iface_index; /* whose `iface` is */
	__u64 tick;
	__u64 tick_ns;	       /* CLOCK_MONOTONIC, when the tick's first packet came */
	struct ff_iface iface; /* role 0: it isn't one of ours */
	struct ff_known_peer known[FF_KNOWN_PEERS];
	__u32 sample_wait; /* packets until the next sample */
	__u32 pad;
};

/* A pointer into the packet, or NULL; offsets come from the scratch map, so they're bounded here. */
#define FF_OFFSET_MAX 1023u
static __always_inline void *ff_at(struct xdp_md *ctx, __u32 offset, __u32 size)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	offset &= FF_OFFSET_MAX;
	if (data + offset + size > end)
		return NULL;
	return data + offset;
}

/* Both ports at once. */
static __always_inline __u32 ff_ports(const __be16 port[2])
{
	return *(const __u32 *)port;
}

static __always_inline void ff_ports_set(__be16 port[2], __u32 ports)
{
	*(__u32 *)port = ports;
}

static __always_inline __u32 ff_frame_len(struct xdp_md *ctx)
{
	__u64 len = (void *)(long)ctx->data_end - (void *)(long)ctx->data;

	/* Or the compiler spills half a packet pointer, which the verifier refuses. */
	asm volatile("" : "+r"(len));
	return len;
}

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ff_pkt);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FF_REASON_MAX);
	__type(key, __u32);
	__type(value, __u64);
} reasons SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, FF_PROG_MAX);
	__type(key, __u32);
	__type(value, __u32);
} progs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FF_LANES_MAX);
	__type(key, __u32);
	__type(value, struct ff_lane);
} lanes SEC(".maps");

/*
 * Of flow keys; but not by name. The agent's rings carry no types, and kernels before 6.2 take a map whose
 * values are known to be a struct, if only one without timers, for another kind than such a ring.
 */
struct ff_log_ring {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8[sizeof(struct ff_flow_key)]);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, FF_LANES_MAX * 2);
	__type(key, __u32);
	__array(values, struct ff_log_ring);
} log_rings SEC(".maps");

/*
 * Locks for the flows' state, each shared by the flows that hash to it. Of the NF's own making, for
 * bpf_spin_lock takes 60 ns: two functions, of which each saves or restores the flags of interrupts. That
 * isn't needed here, as an NF's packets never interrupt each other: all run with softirqs off. (Nor
 * is one allowed in the value of an inner map, which a flow's entry is, before kernel 6.2.) One set for all
 * NFs of a host: so flows that go from one instance to another with their map keep their locks.
 */
#define FF_LOCKS 1024 /* a power of two; enough that two CPUs seldom want the same one */

struct ff_lock {
	__u32 held;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FF_LOCKS);
	__type(key, __u32);
	__type(value, struct ff_lock);
} locks SEC(".maps");

static __always_inline struct ff_pkt *ff_scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

/*
 * Makes the verifier forget what it knows of a value. Behind a loop over headers it would otherwise
 * follow each combination of lengths on its own: 490 k instructions for `fabric` instead of 32 k.
 */
static __always_inline __u32 ff_opaque(__u32 value)
{
	struct ff_pkt *pkt = ff_scratch();

	if (!pkt)
		return value;
	*(volatile __u32 *)&pkt->opaque = value;
	return *(volatile __u32 *)&pkt->opaque;
}

/*
 * A value that the compiler can't connect with the one it was made of. For sizes given to helpers,
 * which refuse 0: kernels before 6.8 learn nothing from `len != 0`, which the compiler makes of
 * `len < 1`. So what is checked is below = ff_detach(len - 1), and what is passed is below + 1.
 */
static __always_inline __u32 ff_detach(__u32 value)
{
	asm volatile("" : "+r"(value));
	return value;
}

/*
 * Fetches the cache line, early, that will be needed later: so several lines that aren't in the caches
 * are waited for at once.
 */
#define ff_touch(pointer) ((void)*(const volatile __u8 *)(pointer))

static __always_inline void ff_count(__u32 reason)
{
	__u64 *count = bpf_map_lookup_elem(&reasons, &reason);

	if (count)
		(*count)++;
}

/* The one way out: counts why, and returns the verdict. */
static __always_inline int ff_verdict(int action, __u32 reason)
{
	ff_count(reason);
	return action;
}
