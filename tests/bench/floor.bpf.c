/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * floor - the least that a program does that steers packets into a tunnel: find the 5-tuple of an
 * Ethernet frame with IPv4 and TCP or UDP, write the outer header, redirect. And the same with one
 * look into a table of flows, and its counter, as a load balancer with a connection table has it.
 * No VLAN, no IPv6, no fragments, no options, no ICMP, no service, no owner, no check of lengths.
 */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/abi.h"
#include "vmlinux/vmlinux.h"

#define ETH_P_IP  0x0800
#define PROTO_TCP 6
#define PROTO_UDP 17

/* Where to and with what outer header: user space's. */
struct ff_peer peer;

struct floor_tuple {
	__be32 addr[2];
	__be16 port[2];
	__u8 proto;
	__u8 pad[3];
};

struct floor_count {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 20); /* as an instance's capacity is by default */
	__type(key, struct floor_tuple);
	__type(value, struct floor_count);
} floor_flows SEC(".maps");

/* The data path's. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} tx_ports SEC(".maps");

static __always_inline int tuple_read(struct xdp_md *ctx, struct floor_tuple *ret)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	__be16 *port;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return -1;
	if (ip->protocol != PROTO_TCP && ip->protocol != PROTO_UDP)
		return -1;
	port = (void *)ip + ip->ihl * 4;
	if ((void *)(port + 2) > end)
		return -1;
	*ret = (struct floor_tuple){ .addr = { ip->saddr, ip->daddr },
				     .port = { port[0], port[1] },
				     .proto = ip->protocol };
	return 0;
}

static __always_inline __u16 checksum(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline int send(struct xdp_md *ctx, const struct floor_tuple *tuple)
{
	__u32 len = ctx->data_end - ctx->data + FF_ENCAP_V4 - sizeof(struct ethhdr);
	const __u64 *from = (const __u64 *)peer.header;
	void *data, *end;
	struct udphdr *udp;
	struct iphdr *ip;

	if (bpf_xdp_adjust_head(ctx, -FF_ENCAP_V4))
		return XDP_DROP;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + FF_ENCAP_V4 > end)
		return XDP_DROP;
#pragma unroll
	for (int i = 0; i < FF_ENCAP_V4 / 8; i++) /* byte by byte it takes twice as long */
		((__u64 *)data)[i] = from[i];
	((__u16 *)data)[FF_ENCAP_V4 / 2 - 1] = ((const __u16 *)from)[FF_ENCAP_V4 / 2 - 1];
	ip = data + sizeof(struct ethhdr);
	ip->tot_len = bpf_htons(len);
	ip->check = checksum(peer.csum + ip->tot_len);
	udp = (void *)(ip + 1);
	udp->len = bpf_htons(len - sizeof(*ip));
	/* an end for the tuple, or the compiler would not read it */
	udp->source = tuple->addr[0] ^ tuple->addr[1] ^ tuple->port[0] ^ tuple->port[1];
	return bpf_redirect_map(&tx_ports, peer.ifindex, XDP_DROP);
}

static __always_inline int count(struct xdp_md *ctx, const struct floor_tuple *tuple)
{
	struct floor_count *known = bpf_map_lookup_elem(&floor_flows, tuple), fresh = {};

	if (!known)
		return bpf_map_update_elem(&floor_flows, tuple, &fresh, BPF_NOEXIST);
	known->packets++;
	known->bytes += ctx->data_end - ctx->data;
	return 0;
}

SEC("xdp")
int floor_send(struct xdp_md *ctx)
{
	struct floor_tuple tuple;

	return tuple_read(ctx, &tuple) ? XDP_PASS : send(ctx, &tuple);
}

SEC("xdp")
int floor_count_send(struct xdp_md *ctx)
{
	struct floor_tuple tuple;

	if (tuple_read(ctx, &tuple))
		return XDP_PASS;
	return count(ctx, &tuple) ? XDP_DROP : send(ctx, &tuple);
}

char _license[] SEC("license")
= "Dual BSD/GPL";
