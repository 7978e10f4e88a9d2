/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bare.bpf.c - what a chain of redirects costs that does nothing else; see bare.h. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>

enum { BARE_TO_NF, BARE_TO_SERVER, BARE_PORTS };

const volatile __u8 bare_to[BARE_PORTS][ETH_ALEN], bare_from[BARE_PORTS][ETH_ALEN];

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, BARE_PORTS);
	__type(key, __u32);
	__type(value, __u32);
} bare_ports SEC(".maps");

static __always_inline int relay(struct xdp_md *ctx, __u32 port)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > data_end)
		return XDP_DROP;
	if (eth->h_proto != __builtin_bswap16(ETH_P_IP))
		return XDP_PASS; /* neighbours look for each other */
	for (int i = 0; i < ETH_ALEN; i++) {
		eth->h_dest[i] = bare_to[port][i];
		eth->h_source[i] = bare_from[port][i];
	}
	return bpf_redirect_map(&bare_ports, port, XDP_DROP);
}

/* On the gateway's interface to the client. */
SEC("xdp")
int bare_to_nf(struct xdp_md *ctx)
{
	return relay(ctx, BARE_TO_NF);
}

/* On the NF host's interface to the fabric: back to where it came from. */
SEC("xdp")
int bare_back(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	__u8 mac[ETH_ALEN];

	if ((void *)(eth + 1) > data_end)
		return XDP_DROP;
	if (eth->h_proto != __builtin_bswap16(ETH_P_IP))
		return XDP_PASS;
	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
	return XDP_TX;
}

/* On the gateway's interface to the fabric. */
SEC("xdp")
int bare_to_server(struct xdp_md *ctx)
{
	return relay(ctx, BARE_TO_SERVER);
}

char _license[] SEC("license")
= "Dual BSD/GPL";
