/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* traffic_maps.h - what generator and judge share: configuration, maps, headers. */
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/traffic_abi.h"

#define WORDS_MAX ((TRAFFIC_SIZE_MAX - 28 - sizeof(struct traffic_payload)) / 8)

const volatile struct traffic_config config = {};

__u32 run_id;	    /* of the packets judged; user space sets it unless config.run is 0 */
__u64 sent_packets; /* written by the one generator thread */
__u64 sent_bytes;   /* L3 */
struct traffic_turn turn;
__u64 judged_packets; /* by the judge, on any CPU: for whoever paces the other end */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} sent SEC(".maps"); /* [flow]: next sequence number */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY); /* a map with a lock can't be memory-mapped */
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct traffic_flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct traffic_tally);
} tally SEC(".maps");

/* Not bpf_redirect(): an ifindex would be one of the caller's namespace, and it sends from two. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 2 * TRAFFIC_LINKS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} devices SEC(".maps"); /* [TRAFFIC_HOP()] */

struct ipv4 {
	__u8 version_ihl, tos;
	__be16 len, id, frag;
	__u8 ttl, proto;
	__u16 csum;
	__be32 src, dst;
} __attribute__((packed));

struct ipv6 {
	__be32 version_class_label;
	__be16 len;
	__u8 proto, hops;
	__be32 src[4], dst[4];
} __attribute__((packed));

struct udp {
	__be16 sport, dport, len;
	__u16 csum;
	struct traffic_payload payload;
} __attribute__((packed));

static __always_inline __be16 flow_port(__u32 flow, __u32 end)
{
	return bpf_htons(end == TRAFFIC_FORWARD ? config.client_port + flow % config.client_ports :
						  config.server_port + flow / config.client_ports);
}
