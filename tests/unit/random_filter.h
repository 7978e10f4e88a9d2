/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * random_filter.h - random filter text: conjunctions as operators write them, and wilder ones.
 */
#pragma once

#include "tests/unit/random.h"

#define RANDOM_FILTER_MAX 1024

static inline void random_value(struct random *random, const char *type, char *buf, size_t size)
{
	char text[INET6_ADDRSTRLEN];
	uint8_t addr[16] = {};
	unsigned int len, bits;
	bool ipv6 = random_below(random, 2);

	if (!strcmp(type, "port")) {
		snprintf(buf, size, "%u", random_port(random));
		return;
	}
	if (!strcmp(type, "portrange")) { /* either way round: libpcap takes both */
		snprintf(buf, size, "%u-%u", random_port(random), random_port(random));
		return;
	}
	if (ipv6)
		random_ipv6(random, addr);
	else
		random_ipv4(random, addr);
	bits = ipv6 ? 128 : 32;
	len = !strcmp(type, "net") ? random_below(random, bits + 1) : bits;
	for (unsigned int bit = len; bit < bits; bit++)
		addr[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
	inet_ntop(ipv6 ? AF_INET6 : AF_INET, addr, text, sizeof(text));
	if (!strcmp(type, "net"))
		snprintf(buf, size, "%s/%u", text, len);
	else
		snprintf(buf, size, "%s", text);
}

/* One term: a protocol, an endpoint's condition, or both (`tcp port 80`). */
static inline void random_term(struct random *random, char *buf, size_t size)
{
	static const char *const protos[] = { "ip",   "ip6",  "tcp",   "udp",
					      "sctp", "icmp", "icmp6", "tcp" };
	static const char *const sides[] = { "src ", "dst ", "", "src ", "dst " };
	static const char *const types[] = { "host", "net", "port", "portrange" };
	const char *proto = protos[random_below(random, 8)], *side = sides[random_below(random, 5)];
	const char *type = types[random_below(random, 4)];
	char value[64];

	random_value(random, type, value, sizeof(value));
	switch (random_below(random, 8)) {
	case 0:
	case 1:
		snprintf(buf, size, "%s", proto);
		break;
	case 2:
		snprintf(buf, size, "%s %s%s %s", proto, side, type, value);
		break;
	default:
		snprintf(buf, size, "%s%s %s", side, type, value);
	}
}

/*
 * One to four terms. @wild adds what a match can't say: or, not. Many of the results contradict
 * themselves or misuse a qualifier, and libpcap refuses those.
 */
static inline void random_filter(struct random *random, bool wild, char buf[RANDOM_FILTER_MAX])
{
	unsigned int terms = 1 + random_below(random, 4);
	size_t len = 0;

	for (unsigned int i = 0; i < terms; i++) {
		const char *join = !i ? "" : random_below(random, 4) ? " and " : " && ";
		char term[128];

		if (wild && i && !random_below(random, 3))
			join = random_below(random, 2) ? " or " : " || ";
		random_term(random, term, sizeof(term));
		len += (size_t)snprintf(buf + len, RANDOM_FILTER_MAX - len,
					random_below(random, 5) ? "%s%s%s" : "%s%s( %s)", join,
					wild && !random_below(random, 5) ? "not " : "", term);
	}
}
