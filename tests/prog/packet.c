/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* packet.c - see packet.h. Each layer appends its header, then mends it when its payload stands. */
#include "tests/prog/packet.h"

#include <arpa/inet.h>
#include <assert.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>

#include "bpf/abi.h"

const uint8_t PACKET_MAC_SRC[6] = { 0x02, 0, 0, 0, 0, 0x01 };
const uint8_t PACKET_MAC_DST[6] = { 0x02, 0, 0, 0, 0, 0x02 };

struct sctp_header {
	uint16_t sport, dport;
	uint32_t tag, checksum;
	uint8_t chunk, flags;
	uint16_t chunk_len;
};

static void *frame_put(struct frame *frame, const void *data, size_t len)
{
	void *at = frame->data + frame->len;

	assert(frame->len + len <= sizeof(frame->data));
	if (data)
		memcpy(at, data, len);
	else
		memset(at, 0, len);
	frame->len += len;
	return at;
}

static void frame_put_be16(struct frame *frame, uint16_t value)
{
	value = htons(value);
	frame_put(frame, &value, sizeof(value));
}

static uint32_t sum_add(const void *data, size_t len, uint32_t sum)
{
	const uint8_t *byte = data;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)byte[i] << 8 | byte[i + 1];
	if (len & 1)
		sum += (uint32_t)byte[len - 1] << 8;
	return sum;
}

uint16_t packet_checksum(const void *data, size_t len, uint32_t sum)
{
	sum = sum_add(data, len, sum);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static bool packet_is_v6(const struct packet *packet)
{
	return packet->src && strchr(packet->src, ':');
}

static void ethernet_put(const struct packet *packet, struct frame *frame)
{
	static const uint8_t none[6];
	uint16_t ethertype = packet->ethertype;
	int vlans = 0;

	if (!ethertype)
		ethertype = packet_is_v6(packet) ? ETH_P_IPV6 : ETH_P_IP;
	while (vlans < PACKET_VLANS_MAX && packet->vlan[vlans])
		vlans++;
	frame_put(frame, memcmp(packet->dst_mac, none, 6) ? packet->dst_mac : PACKET_MAC_DST, 6);
	frame_put(frame, memcmp(packet->src_mac, none, 6) ? packet->src_mac : PACKET_MAC_SRC, 6);
	for (int i = 0; i < vlans; i++) {
		frame_put_be16(frame, i + 1 < vlans ? ETH_P_8021AD : ETH_P_8021Q);
		frame_put_be16(frame, packet->vlan[i]);
	}
	frame_put_be16(frame, ethertype);
}

static size_t ipv4_put(const struct packet *packet, struct frame *frame)
{
	size_t options = (packet->ip_options.len + 3) & ~3ul;
	struct iphdr ip = {
		.version = packet->version ?: 4,
		.ihl = packet->ihl ?: (sizeof(ip) + options) / 4,
		.tos = packet->tos,
		.id = htons((uint16_t)packet->frag_id),
		.frag_off = htons(packet->frag_off / 8 | (packet->more_fragments ? IP_MF : 0) |
				  (packet->dont_fragment ? IP_DF : 0)),
		.ttl = packet->ttl_zero ? 0 :
		       packet->ttl	?:
					  64,
		.protocol = packet->proto,
	};
	size_t at = frame->len;

	assert(inet_pton(AF_INET, packet->src, &ip.saddr) == 1);
	assert(inet_pton(AF_INET, packet->dst, &ip.daddr) == 1);
	frame_put(frame, &ip, sizeof(ip));
	frame_put(frame, packet->ip_options.data, packet->ip_options.len);
	frame_put(frame, NULL, options - packet->ip_options.len);
	return at;
}

static size_t ipv6_put(const struct packet *packet, struct frame *frame)
{
	bool fragment = packet->frag_id || packet->frag_off || packet->more_fragments;
	uint8_t last = fragment ? IPPROTO_FRAGMENT : packet->proto;
	struct ip6_hdr ip = {
		.ip6_flow =
			htonl((uint32_t)(packet->version ?: 6) << 28 | (uint32_t)packet->tos << 20),
		.ip6_nxt = packet->ext_count ? packet->ext[0] : last,
		.ip6_hlim = packet->ttl_zero ? 0 :
			    packet->ttl	     ?:
					       64,
	};
	size_t at = frame->len;

	assert(inet_pton(AF_INET6, packet->src, &ip.ip6_src) == 1);
	assert(inet_pton(AF_INET6, packet->dst, &ip.ip6_dst) == 1);
	frame_put(frame, &ip, sizeof(ip));
	for (int i = 0; i < packet->ext_count; i++) {
		/* eight bytes: next header, length 0, and a PadN of four */
		uint8_t ext[8] = { i + 1 < packet->ext_count ? packet->ext[i + 1] : last, 0, 1, 4 };

		frame_put(frame, ext, sizeof(ext));
	}
	if (fragment) {
		struct ip6_frag frag = {
			.ip6f_nxt = packet->proto,
			.ip6f_offlg = htons(packet->frag_off | packet->more_fragments),
			.ip6f_ident = htonl(packet->frag_id),
		};

		frame_put(frame, &frag, sizeof(frag));
	}
	return at;
}

static void tcp_put(const struct packet *packet, struct frame *frame)
{
	size_t options = (packet->tcp_options.len + 3) & ~3ul;
	struct tcphdr tcp = {
		.th_sport = htons(packet->sport),
		.th_dport = htons(packet->dport),
		.th_seq = htonl(packet->seq),
		.th_ack = htonl(packet->ack),
		.th_off = packet->data_offset ?: (sizeof(tcp) + options) / 4,
		.th_flags = packet->tcp_flags,
		.th_win = htons(packet->window_zero ? 0 :
				packet->window	    ?:
						      65535),
	};

	frame_put(frame, &tcp, sizeof(tcp));
	frame_put(frame, packet->tcp_options.data, packet->tcp_options.len);
	frame_put(frame, NULL, options - packet->tcp_options.len);
}

static bool icmp_is_echo(const struct packet *packet)
{
	return packet->proto == IPPROTO_ICMPV6 ? packet->icmp_type == ICMP6_ECHO_REQUEST ||
							 packet->icmp_type == ICMP6_ECHO_REPLY :
						 packet->icmp_type == 8 || packet->icmp_type == 0;
}

static void icmp_put(const struct packet *packet, struct frame *frame)
{
	struct icmp6_hdr icmp = {
		/* the first eight bytes of ICMP and ICMPv6 are alike */
		.icmp6_type = packet->icmp_type,
		.icmp6_code = packet->icmp_code,
	};

	if (icmp_is_echo(packet)) {
		icmp.icmp6_id = htons(packet->icmp_id);
		icmp.icmp6_seq = htons(packet->icmp_seq);
	} else {
		icmp.icmp6_data32[0] = htonl(packet->icmp_info);
	}
	frame_put(frame, &icmp, sizeof(icmp));
}

static void transport_put(const struct packet *packet, struct frame *frame)
{
	switch (packet->proto) {
	case IPPROTO_TCP:
		tcp_put(packet, frame);
		break;
	case IPPROTO_UDP:
		frame_put(frame,
			  &(struct udphdr){ .uh_sport = htons(packet->sport),
					    .uh_dport = htons(packet->dport) },
			  sizeof(struct udphdr));
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		icmp_put(packet, frame);
		break;
	case IPPROTO_SCTP:
		frame_put(frame,
			  &(struct sctp_header){ .sport = htons(packet->sport),
						 .dport = htons(packet->dport),
						 .tag = htonl(packet->sctp_tag),
						 .chunk = packet->sctp_chunk,
						 .chunk_len = htons(4) },
			  sizeof(struct sctp_header));
		break;
	default:
		break;
	}
}

static void geneve_put(const struct geneve *geneve, struct frame *frame)
{
	struct ff_geneve header = {
		.ver_optlen = (uint8_t)(geneve->version << 6 |
					(geneve->option_len ?:
						 geneve->no_option ?
						 0 :
						 sizeof(struct ff_geneve_option) / 4)),
		.protocol = htons(geneve->protocol ?: FF_ETH_P_TEB),
		.vni = { (uint8_t)(geneve->vni >> 16), (uint8_t)(geneve->vni >> 8),
			 (uint8_t)geneve->vni },
	};
	const struct packet *inner = geneve->inner;
	struct ff_geneve_option option = {
		.class = htons(geneve->option_class ?: FF_GENEVE_CLASS),
		.type = FF_GENEVE_TYPE,
		.length = sizeof(option) / 4 - 1,
		.slot = htons(geneve->slot),
		.hops = geneve->hops ?: 1,
		.kind = geneve->kind,
		.proto = geneve->proto ?:
				 inner ? inner->proto :
					 0,
		.port = { htons(geneve->port[0] ?:
					inner	? inner->sport :
						  0),
			  htons(geneve->port[1] ?:
					inner	? inner->dport :
						  0) },
	};
	struct frame payload;

	if (geneve->port[0])
		option.port[0] = htons(geneve->port[0]);
	if (geneve->port[1])
		option.port[1] = htons(geneve->port[1]);
	frame_put(frame, &header, sizeof(header));
	if (!geneve->no_option)
		frame_put(frame, &option, sizeof(option));
	if (inner) {
		packet_build(inner, &payload);
		frame_put(frame, payload.data, payload.len);
	} else {
		frame_put(frame, geneve->raw.data, geneve->raw.len);
	}
}

static void payload_put(const struct packet *packet, struct frame *frame)
{
	struct frame quoted;
	uint8_t *at;

	if (packet->quoted) {
		packet_build(packet->quoted, &quoted);
		quoted.len -= quoted.l3_off;
		if (packet->quoted_len && packet->quoted_len < quoted.len)
			quoted.len = packet->quoted_len;
		frame_put(frame, quoted.data + quoted.l3_off, quoted.len);
	} else if (packet->tunnel) {
		geneve_put(packet->tunnel, frame);
	} else if (packet->payload_len) {
		at = frame_put(frame, NULL, packet->payload_len);
		for (size_t i = 0; i < packet->payload_len; i++)
			at[i] = (uint8_t)i;
	} else {
		frame_put(frame, packet->payload.data, packet->payload.len);
	}
}

/* The pseudo-header's sum: addresses, length and protocol (RFC 9293, RFC 8200 section 8.1). */
static uint32_t pseudo_sum(const uint8_t *ip, bool v6, uint8_t proto, size_t len)
{
	return v6 ? sum_add(ip + 8, 32, proto + (uint32_t)len) :
		    sum_add(ip + 12, 8, proto + (uint32_t)len);
}

/* Offset of the checksum in a transport header; 0: none that this file computes. */
static size_t checksum_offset(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return offsetof(struct tcphdr, th_sum);
	case IPPROTO_UDP:
		return offsetof(struct udphdr, uh_sum);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return offsetof(struct icmp6_hdr, icmp6_cksum);
	default:
		return 0;
	}
}

static void lengths_mend(const struct packet *packet, struct frame *frame)
{
	uint8_t *ip = frame->data + frame->l3_off, *l4 = frame->data + frame->l4_off;
	size_t l3_len = frame->len - frame->l3_off, l4_len = frame->len - frame->l4_off;
	size_t offset = checksum_offset(packet->proto);
	bool v6 = packet_is_v6(packet);
	uint16_t sum;

	if (v6) {
		((struct ip6_hdr *)ip)->ip6_plen = htons(packet->ip_len ?: l3_len - 40);
	} else {
		((struct iphdr *)ip)->tot_len = htons(packet->ip_len ?: l3_len);
		((struct iphdr *)ip)->check = packet_checksum(ip, frame->l4_off - frame->l3_off, 0);
	}
	if (packet->frag_off || !offset)
		return;
	if (packet->proto == IPPROTO_UDP)
		((struct udphdr *)l4)->uh_ulen = htons((uint16_t)l4_len);
	sum = packet_checksum(l4, l4_len,
			      packet->proto == IPPROTO_ICMP ?
				      0 :
				      pseudo_sum(ip, v6, packet->proto, l4_len));
	if (packet->proto == IPPROTO_UDP && !sum)
		sum = 0xffff; /* RFC 768: 0 means none */
	if (packet->bad_checksum)
		sum ^= 0x5555;
	memcpy(l4 + offset, &sum, sizeof(sum));
}

void packet_build(const struct packet *packet, struct frame *ret_frame)
{
	ret_frame->len = 0;
	ethernet_put(packet, ret_frame);
	ret_frame->l3_off = ret_frame->l4_off = ret_frame->payload_off = ret_frame->len;
	if (packet->src) {
		if (packet_is_v6(packet))
			ipv6_put(packet, ret_frame);
		else
			ipv4_put(packet, ret_frame);
		ret_frame->l4_off = ret_frame->len;
		if (!packet->frag_off)
			transport_put(packet, ret_frame);
	}
	ret_frame->payload_off = ret_frame->len;
	payload_put(packet, ret_frame);
	if (packet->src)
		lengths_mend(packet, ret_frame);
	frame_put(ret_frame, NULL, packet->padding);
}

/* Finds the transport header of an unfragmented packet; false: there is none to check. */
static bool transport_find(const uint8_t *ip, size_t len, size_t *ret_off, uint8_t *ret_proto)
{
	if (ip[0] >> 4 == 4) {
		const struct iphdr *ip4 = (const void *)ip;

		*ret_off = ip4->ihl * 4u;
		*ret_proto = ip4->protocol;
		return !(ip4->frag_off & htons(IP_MF | IP_OFFMASK)) && *ret_off < len;
	}
	*ret_off = 40;
	*ret_proto = ip[6];
	while (*ret_off + 8 <= len &&
	       (*ret_proto == IPPROTO_HOPOPTS || *ret_proto == IPPROTO_ROUTING ||
		*ret_proto == IPPROTO_DSTOPTS)) {
		*ret_proto = ip[*ret_off];
		*ret_off += 8 + ip[*ret_off + 1] * 8u;
	}
	return *ret_proto != IPPROTO_FRAGMENT && *ret_off < len;
}

static bool checksum_ok_ip(const uint8_t *ip, size_t len)
{
	bool v6 = ip[0] >> 4 == 6;
	size_t off, sum_off;
	uint8_t proto;

	if (v6)
		len = ntohs(((const struct ip6_hdr *)ip)->ip6_plen) + 40u;
	else
		len = ntohs(((const struct iphdr *)ip)->tot_len);
	if (!v6 && packet_checksum(ip, (ip[0] & 15) * 4u, 0))
		return false;
	if (!transport_find(ip, len, &off, &proto))
		return true;
	sum_off = checksum_offset(proto);
	if (!sum_off)
		return true;
	if (proto == IPPROTO_UDP && !v6 && !ip[off + sum_off] && !ip[off + sum_off + 1])
		return true; /* RFC 768: not computed */
	if (proto == IPPROTO_UDP && v6 && !ip[off + sum_off] && !ip[off + sum_off + 1] &&
	    !memcmp(ip + off + 2, (uint8_t[]){ FF_GENEVE_PORT >> 8, FF_GENEVE_PORT & 255 }, 2))
		return true; /* RFC 6935: a tunnel may leave it out */
	return !packet_checksum(ip + off, len - off,
				proto == IPPROTO_ICMP ? 0 : pseudo_sum(ip, v6, proto, len - off));
}

bool packet_checksum_ok(const uint8_t *data, size_t len)
{
	size_t off = 12;

	while (off + 6 <= len && ((data[off] == 0x81 && data[off + 1] == 0) ||
				  (data[off] == 0x88 && data[off + 1] == 0xa8)))
		off += 4;
	off += 2;
	return off + 20 <= len && checksum_ok_ip(data + off, len - off);
}

const char *packet_dump(const uint8_t *data, size_t len)
{
	static char text[3 * 160 + 1];
	size_t at = 0;

	for (size_t i = 0; i < len && i < 160; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%02x%s", data[i],
				       i % 16 == 15 ? "\n" : " ");
	return text;
}
