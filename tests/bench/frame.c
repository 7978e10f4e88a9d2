/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/bench/frame.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>

#include "tests/bench/host.h"

static void client_frame(uint8_t *at)
{
	struct ethhdr eth = { .h_source = { 2, 0, 0, 0, 1, 2 }, .h_proto = htons(ETH_P_IP) };
	struct iphdr ip = { .version = 4,
			    .ihl = 5,
			    .tot_len = htons(sizeof(struct iphdr) + sizeof(struct tcphdr)),
			    .protocol = IPPROTO_TCP };
	struct tcphdr tcp = { .doff = 5, .window = htons(65535) };

	memcpy(eth.h_dest, HOST_CLIENT_MAC, sizeof(eth.h_dest));
	memcpy(at, &eth, sizeof(eth));
	memcpy(at + sizeof(eth), &ip, sizeof(ip));
	memcpy(at + sizeof(eth) + sizeof(ip), &tcp, sizeof(tcp));
}

/* What this host would send to the other one, the other way round. */
static void tunnel_header(uint8_t *at, const struct ff_peer *peer, uint8_t vni)
{
	struct iphdr *ip = (struct iphdr *)(at + sizeof(struct ethhdr));
	struct udphdr *udp = (struct udphdr *)(ip + 1);
	struct ff_geneve *geneve = (struct ff_geneve *)(udp + 1);
	struct ff_geneve_option *option = (struct ff_geneve_option *)(geneve + 1);
	__be32 own;

	memcpy(at, peer->header, FF_ENCAP_V4);
	memcpy(at, peer->header + 6, 6);
	memcpy(at + 6, peer->header, 6);
	own = ip->saddr;
	ip->saddr = ip->daddr;
	ip->daddr = own;
	ip->tot_len = htons(FF_ENCAP_V4 + FRAME - sizeof(struct ethhdr));
	udp->len = htons(FF_ENCAP_V4 + FRAME - sizeof(struct ethhdr) - sizeof(*ip));
	geneve->vni[2] = vni;
	option->hops = 1;
	option->kind = FF_KIND_DATA;
	option->proto = IPPROTO_TCP;
}

void frame_make(const struct ff_peer *peer, uint8_t vni, struct frame *ret)
{
	size_t outer = vni ? FF_ENCAP_V4 : 0;

	*ret = (struct frame){ .len = outer + FRAME };
	if (vni)
		tunnel_header(ret->bytes, peer, vni);
	client_frame(ret->bytes + outer);
}
