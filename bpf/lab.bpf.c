/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lab.bpf.c - the lab's wires: the fabric's switch, and what its ends need to receive from it.
 *
 * The switch runs on the fabric's end of each host's veth. It learns nothing: `flowferry lab`
 * knows every MAC and fills the table. Frames go from veth to veth as XDP frames and never become
 * skbs, so that the fabric is no slower than the data path that is tried on it.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>

#define LAB_PORTS_MAX 128 /* FF_HOSTS_MAX hosts, the orchestrator, and room */

struct lab_mac {
	__u8 octet[8]; /* six, and zeros */
};

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, LAB_PORTS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} lab_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LAB_PORTS_MAX);
	__type(key, struct lab_mac);
	__type(value, __u32);
} lab_macs SEC(".maps");

SEC("xdp")
int lab_switch(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct lab_mac mac = {};
	__u32 *port;

	if ((void *)(eth + 1) > data_end)
		return XDP_DROP;
	if (eth->h_dest[0] & 1) /* group bit: broadcast and multicast */
		return bpf_redirect_map(&lab_ports, 0, BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS);
	__builtin_memcpy(mac.octet, eth->h_dest, ETH_ALEN);
	port = bpf_map_lookup_elem(&lab_macs, &mac);
	if (!port)
		return XDP_DROP; /* the table is complete: nobody has this MAC */
	return bpf_redirect_map(&lab_ports, *port, XDP_DROP);
}

/* A veth delivers redirected frames only while its own end has a program. */
SEC("xdp")
int lab_pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
