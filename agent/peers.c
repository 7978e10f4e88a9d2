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
	struct udphdr udp = { .dest = htons(FF_GENEVE_PORT) };
	struct ff_geneve geneve = {
		.ver_optlen = sizeof(struct ff_geneve_option) / 4,
		.protocol = htons(FF_ETH_P_TEB),
	};
	struct ff_geneve_option option = { .class = htons(FF_GENEVE_CLASS),
					   .type = FF_GENEVE_TYPE,
					   .length = 3 };

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

/* `src`: by which the others know this host; of several addresses the kernel might take another. */
static void header_make(struct ff_peer *peer, const struct netlink_nexthop *hop,
			const struct ff_addr *src, const struct ff_addr *dst)
{
	struct ethhdr eth = { .h_proto = htons(addr_is_ipv4(dst) ? ETH_P_IP : ETH_P_IPV6) };
	uint8_t *l3 = peer->header + sizeof(eth);

	memset(peer, 0, sizeof(*peer));
	peer->ifindex = hop->ifindex;
	peer->mtu = (uint16_t)MIN(hop->mtu, 65535u);
	memcpy(eth.h_dest, hop->dst_mac, 6);
	memcpy(eth.h_source, hop->src_mac, 6);
	memcpy(peer->header, &eth, sizeof(eth));
	if (addr_is_ipv4(dst)) {
		struct iphdr ip = { .version = 4,
				    .ihl = 5,
				    .ttl = 64,
				    .frag_off = htons(IP_DF),
				    .protocol = IPPROTO_UDP,
				    .saddr = src->word[3],
				    .daddr = dst->word[3] };

		peer->encap_len = FF_ENCAP_V4;
		peer->csum = sum_words(&ip, sizeof(ip));
		memcpy(l3, &ip, sizeof(ip));
		tunnel_header(l3 + sizeof(ip));
	} else {
		struct ip6_hdr ip6 = {};

		ip6.ip6_flow = htonl(6u << 28);
		ip6.ip6_nxt = IPPROTO_UDP;
		ip6.ip6_hlim = 64;
		memcpy(&ip6.ip6_src, src, 16);
		memcpy(&ip6.ip6_dst, dst, 16);
		peer->encap_len = FF_ENCAP_V6;
		memcpy(l3, &ip6, sizeof(ip6));
		tunnel_header(l3 + sizeof(ip6));
	}
}

/* `ready` says which of the two headers is used. When this returns, nobody reads the other one. */
static void peer_switch(struct agent *agent, uint32_t number, uint32_t ready)
{
	__atomic_store_n(&agent->dp->peers[number].ready, ready, __ATOMIC_SEQ_CST);
	cpus_quiesce(agent->cpus);
}

/* Packets see the old header or the new one, whole. */
static void peer_write(struct agent *agent, uint32_t number, const struct ff_peer *fresh)
{
	struct ff_peer *first = &agent->dp->peers[number], *second = first + FF_HOSTS_MAX;
	struct ff_peer *used = first->ready == FF_PEER_SECOND ? second : first;
	struct ff_peer *spare = first->ready == FF_PEER_FIRST ? second : first;
	const size_t at = sizeof(fresh->ready), size = sizeof(*fresh) - at;

	if (first->ready && !memcmp((uint8_t *)used + at, (const uint8_t *)fresh + at, size))
		return;
	memcpy((uint8_t *)spare + at, (const uint8_t *)fresh + at, size);
	peer_switch(agent, number, spare == first ? FF_PEER_FIRST : FF_PEER_SECOND);
}

static void peer_refresh(struct agent *agent, struct nl_sock *nl, uint32_t number)
{
	const struct desired_host *self = &agent->hosts[agent->dp->host->host];
	const struct desired_host *host = &agent->hosts[number];
	bool is_v6 = addr_is_zero(&host->ipv4);
	const struct ff_addr *dst = is_v6 ? &host->ipv6 : &host->ipv4;
	const struct ff_addr *src = is_v6 ? &self->ipv6 : &self->ipv4;
	struct netlink_nexthop hop;
	struct ff_peer fresh;
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
	header_make(&fresh, &hop, addr_is_zero(src) ? &hop.src : src, dst);
	peer_write(agent, number, &fresh);
}

/* Only known hosts may send us tunnel packets. */
static void senders_sync(struct agent *agent)
{
	struct ff_addr next, key, *prev = NULL;
	__u32 number;

	for (number = 1; number < FF_HOSTS_MAX; number++) {
		struct desired_host *host = &agent->hosts[number];

		if (!host->known || number == agent->dp->host->host)
			continue;
		if (!addr_is_zero(&host->ipv4))
			bpf_map_update_elem(agent->dp->peer_addrs_fd, &host->ipv4, &number, 0);
		if (!addr_is_zero(&host->ipv6))
			bpf_map_update_elem(agent->dp->peer_addrs_fd, &host->ipv6, &number, 0);
	}
	while (!bpf_map_get_next_key(agent->dp->peer_addrs_fd, prev, &next)) {
		struct desired_host *host;

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

int peers_self_refresh(struct agent *agent, struct ff_error *err)
{
	const struct desired_host *self = &agent->hosts[agent->dp->host->host];
	const struct ff_addr own[2] = { self->ipv4, self->ipv6 };

	return datapath_addresses_refresh(agent->dp, own, err);
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
		else if (agent->dp->peers[number].ready)
			peer_switch(agent, number, 0);
	}
}
