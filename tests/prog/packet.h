/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * packet.h - builds frames from descriptions, for tables of test cases.
 *
 * A field left zero means its usual value (correct length, correct checksum, TTL 64, no tags), so
 * that a test names only what it is about:
 *
 *	PACKET(.src = "198.18.1.2", .dst = "198.18.2.2", .proto = IPPROTO_TCP,
 *	       .sport = 1234, .dport = 80, .tcp_flags = TH_SYN)
 */
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_SIZE_MAX	  9216 /* a jumbo frame */
#define PACKET_VLANS_MAX  4    /* more than the data path looks through, to exceed it */
#define PACKET_EXT_MAX	  10   /* likewise, IPv6 extension headers */
#define PACKET_OPTION_MAX 40   /* both IPv4's and TCP's bound */

/* Octets with their length; OCTETS(1, 2, 3) writes one in a table. */
struct octets {
	const uint8_t *data;
	size_t len;
};
#define OCTETS(...)                                                                                \
	{                                                                                          \
		.data = (const uint8_t[]){ __VA_ARGS__ },                                          \
		.len = sizeof((const uint8_t[]){ __VA_ARGS__ }),                                   \
	}

struct packet {
	/* Ethernet */
	uint8_t dst_mac[6], src_mac[6];	 /* zero: PACKET_MAC_DST, PACKET_MAC_SRC */
	uint16_t vlan[PACKET_VLANS_MAX]; /* outermost first, up to the first 0 */
	uint16_t ethertype;		 /* 0: by the address family */

	/* IP: a colon in `src` makes it IPv6 */
	const char *src, *dst;
	uint8_t ttl; /* 0: 64 */
	bool ttl_zero;
	uint8_t tos;
	bool dont_fragment;
	bool more_fragments;
	uint16_t frag_off; /* bytes, a multiple of 8; not 0: no transport header is built */
	uint32_t frag_id;  /* IPv6: a fragment header is built if this is not 0 */
	uint16_t ip_len;   /* 0: the true one; IPv4 total, IPv6 payload */
	uint8_t ihl;	   /* 0: the true one, in words */
	uint8_t version;   /* 0: the true one */
	struct octets ip_options;
	uint8_t ext[PACKET_EXT_MAX]; /* IPv6 extension headers of 8 bytes each, by their numbers */
	uint8_t ext_count;

	/* transport */
	uint8_t proto; /* IPPROTO_* */
	uint16_t sport, dport;
	uint8_t tcp_flags; /* TH_* */
	uint32_t seq, ack;
	uint16_t window; /* 0: 65535 */
	bool window_zero;
	uint8_t data_offset; /* 0: the true one, in words */
	struct octets tcp_options;
	uint8_t icmp_type, icmp_code;
	uint16_t icmp_id, icmp_seq;
	uint32_t icmp_info; /* errors: the word after the checksum, e.g. an MTU */
	uint8_t sctp_chunk;
	uint32_t sctp_tag;

	/* payload: one of */
	struct octets payload;
	size_t payload_len;	     /* of a counting pattern */
	const struct packet *quoted; /* ICMP errors: from its IP header on */
	size_t quoted_len;	     /* 0: all of it */
	const struct geneve *tunnel; /* UDP: a tunnelled frame */

	size_t padding;	   /* bytes after the packet, such as Ethernet's to 60 */
	bool bad_checksum; /* of the transport header */
};

/* The payload of a tunnel packet; see struct ff_geneve_option. */
struct geneve {
	const struct packet *inner;
	struct octets raw; /* instead of inner: e.g. a fence */
	uint32_t vni;
	uint16_t protocol; /* 0: transparent Ethernet bridging */
	bool no_option;
	uint8_t version;
	uint8_t option_len;    /* of all options, words; 0: the true one */
	uint16_t option_class; /* 0: FF_GENEVE_CLASS */
	uint16_t slot;
	uint8_t hops; /* 0: 1 */
	uint8_t kind;
	uint16_t port[2]; /* 0: as in `inner` */
	uint8_t proto;	  /* likewise */
};

#define PACKET(...) (&(const struct packet){ __VA_ARGS__ })
#define GENEVE(...) (&(const struct geneve){ __VA_ARGS__ })

extern const uint8_t PACKET_MAC_SRC[6], PACKET_MAC_DST[6];

/* A built frame and where its parts begin. */
struct frame {
	uint8_t data[PACKET_SIZE_MAX];
	size_t len;
	size_t l3_off, l4_off, payload_off;
};

/* Builds `packet`; a description that doesn't fit or makes no sense is the test's own bug. */
void packet_build(const struct packet *packet, struct frame *ret_frame);

/*
 * The Internet checksum (RFC 1071) over data, as it would stand in a header: 0 when data holds a
 * right one already. packet_checksum_ok() checks every checksum of a frame: IPv4, TCP, UDP, ICMP,
 * ICMPv6, the outer ones of a tunnel packet.
 */
uint16_t packet_checksum(const void *data, size_t len, uint32_t sum);
bool packet_checksum_ok(const uint8_t *data, size_t len);

/* A text of the frame's first bytes, for a test's message. Static storage. */
const char *packet_dump(const uint8_t *data, size_t len);
