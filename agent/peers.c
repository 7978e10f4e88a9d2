/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/peers.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <string.h>

#include <bpf/bpf.h>

#include "lib/log.h"
#include "lib/netlink.h"

/* What follows the outer IP header: the parts that don't change from packet to packet. */
static void tunnel_header(uint8_t *at)
{
	struct udphdr udp = {.dest = htons(FF_GENEVE_PORT)};
	struct ff_geneve geneve = {
		.ver_optlen = sizeof(struct ff_geneve_option) / 4,
		.protocol = htons(FF_ETH_P_TEB),
	};
	struct ff_geneve_option option = {
		.class = htons(FF_GENEVE_CLASS), .type = FF_GENEVE_TYPE, .length = 3};

	memcpy(at, &udp, sizeof(udp));
	memcpy(at + 8, &geneve, sizeof(geneve));
	memcpy(at + 16, &option, sizeof(option));
}

static uint32_t sum_words(const void *data, size_t bytes)
{
	const uint16_t *word = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < bytes / 2; i++)
		sum += word[i];
	return sum;
}

static void header_make(struct ff_peer *peer, const struct netlink_nexthop *hop,
			const struct ff_addr *dst)
{
	struct ethhdr eth = {.h_proto = htons(addr_is_ipv4(dst) ? ETH_P_IP : ETH_P_IPV6)};
	uint8_t *l3 = peer->header + sizeof(eth);

	memset(peer, 0, sizeof(*peer));
	peer->ifindex = hop->ifindex;
	peer->mtu = (uint16_t)MIN(hop->mtu, 65535u);
	memcpy(eth.h_dest, hop->dst_mac, 6);
	memcpy(eth.h_source, hop->src_mac, 6);
	memcpy(peer->header, &eth, sizeof(eth));
	if (addr_is_ipv4(dst)) {
		struct iphdr ip = {.version = 4,
				   .ihl = 5,
				   .ttl = 64,
				   .frag_off = htons(IP_DF),
				   .protocol = IPPROTO_UDP,
				   .saddr = hop->src.word[3],
				   .daddr = dst->word[3]};

		peer->encap_len = FF_ENCAP_V4;
		peer->csum = sum_words(&ip, sizeof(ip));
		memcpy(l3, &ip, sizeof(ip));
		tunnel_header(l3 + sizeof(ip));
	} else {
		struct ip6_hdr ip6 = {};

		ip6.ip6_flow = htonl(6u << 28);
		ip6.ip6_nxt = IPPROTO_UDP;
		ip6.ip6_hlim = 64;
		memcpy(&ip6.ip6_src, &hop->src, 16);
		memcpy(&ip6.ip6_dst, dst, 16);
		peer->encap_len = FF_ENCAP_V6;
		memcpy(l3, &ip6, sizeof(ip6));
		tunnel_header(l3 + sizeof(ip6));
	}
	peer->ready = 1;
}

static void peer_refresh(struct agent *agent, struct nl_sock *nl, uint32_t number)
{
	const struct agent_host *host = &agent->hosts[number];
	struct ff_peer *peer = &agent->dp->peers[number], fresh;
	const struct ff_addr *dst = addr_is_zero(&host->ipv4) ? &host->ipv6 : &host->ipv4;
	struct netlink_nexthop hop;
	int r = netlink_nexthop(nl, dst, &hop);

	/* -EAGAIN: resolution is going; an old header is better than none */
	if (r) {
		if (r != -EAGAIN)
			log_debug("host %s: %s", host->name, strerror(-r));
		return;
	}
	if (hop.ifindex != agent->dp->fabric_ifindex) {
		log_debug("host %s isn't reached by the fabric interface", host->name);
		return;
	}
	header_make(&fresh, &hop, dst);
	if (!memcmp(&fresh, peer, sizeof(fresh)))
		return;
	memcpy((uint8_t *)peer + 4, (uint8_t *)&fresh + 4, sizeof(fresh) - 4);
	__atomic_store_n(&peer->ready, 1, __ATOMIC_RELEASE);
}

/* Only known hosts may send us tunnel packets. */
static void senders_sync(struct agent *agent)
{
	struct ff_addr next, key, *prev = NULL;
	__u32 number;

	for (number = 1; number < FF_HOSTS_MAX; number++) {
		struct agent_host *host = &agent->hosts[number];

		if (!host->known || number == agent->dp->host->host)
			continue;
		if (!addr_is_zero(&host->ipv4))
			bpf_map_update_elem(agent->dp->peer_addrs_fd, &host->ipv4, &number, 0);
		if (!addr_is_zero(&host->ipv6))
			bpf_map_update_elem(agent->dp->peer_addrs_fd, &host->ipv6, &number, 0);
	}
	while (!bpf_map_get_next_key(agent->dp->peer_addrs_fd, prev, &next)) {
		struct agent_host *host;

		key = next;
		if (bpf_map_lookup_elem(agent->dp->peer_addrs_fd, &key, &number))
			break;
		host = &agent->hosts[number % FF_HOSTS_MAX];
		if (host->known && (!memcmp(&host->ipv4, &key, sizeof(key)) ||
				    !memcmp(&host->ipv6, &key, sizeof(key)))) {
			prev = &key;
			continue;
		}
		bpf_map_delete_elem(agent->dp->peer_addrs_fd, &key);
		prev = NULL;
	}
}

void peers_refresh(struct agent *agent)
{
	_cleanup_netlink_ struct nl_sock *nl = NULL;

	senders_sync(agent);
	if (netlink_open(&nl))
		return;
	for (uint32_t number = 1; number < FF_HOSTS_MAX; number++) {
		if (number == agent->dp->host->host)
			continue;
		if (agent->hosts[number].known)
			peer_refresh(agent, nl, number);
		else
			agent->dp->peers[number].ready = 0;
	}
}
