/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "lib/match.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/flow.h"
#include "lib/match_prefix.h"

/* ---- testing ------------------------------------------------------------------------------- */

static bool ports_are_any(const struct ff_end *end)
{
	return end->port_min == 0 && end->port_max == UINT16_MAX;
}

static bool end_test(const struct ff_end *end, const struct ff_flow_key *key, unsigned int which)
{
	__u16 port = ntohs(key->port[which]);
	__be32 addr[4];

	memcpy(addr, key->addr[which], sizeof(addr)); /* the key is aligned to 2 only */
	for (unsigned int i = 0; i < 4; i++)
		if ((addr[i] & end->mask[i]) != end->addr[i])
			return false;
	if (ports_are_any(end))
		return true;
	return flow_proto_has_ports(key->proto) && port >= end->port_min && port <= end->port_max;
}

bool match_test_packet(const struct ff_match *match, const struct ff_flow_key *key,
		       unsigned int source)
{
	unsigned int dest = !source;

	if (!(match->flags & FF_MATCH_USED))
		return false;
	if (match->proto && match->proto != key->proto)
		return false;
	if (match->family && match->family != (flow_is_ipv4(key) ? 4 : 6))
		return false;
	if (end_test(&match->a, key, source) && end_test(&match->b, key, dest))
		return true;
	return (match->flags & FF_MATCH_EITHER) && end_test(&match->a, key, dest) &&
	       end_test(&match->b, key, source);
}

bool match_test(const struct ff_match *match, const struct ff_flow_key *key)
{
	return match_test_packet(match, key, 0) || match_test_packet(match, key, 1);
}

/* ---- prefixes ------------------------------------------------------------------------------ */

void prefix_mask(unsigned int len, __be32 ret_mask[4])
{
	for (unsigned int i = 0; i < 4; i++) {
		unsigned int ones = len > 32 * i ? MIN(len - 32 * i, 32u) : 0;

		ret_mask[i] = htonl(ones ? ~0u << (32 - ones) : 0);
	}
}

int prefix_length(const __be32 mask[4])
{
	unsigned int len = 0;
	__be32 wanted[4];

	for (unsigned int i = 0; i < 4; i++)
		len += (unsigned int)__builtin_popcount(mask[i]);
	prefix_mask(len, wanted);
	return memcmp(mask, wanted, sizeof(wanted)) ? -EINVAL : (int)len;
}

/* ---- writing ------------------------------------------------------------------------------- */

struct text {
	char *buf;
	size_t len;
};

static void __attribute__((format(printf, 2, 3))) text_add(struct text *text, const char *fmt, ...)
{
	va_list args;

	if (text->len)
		text->len += (size_t)snprintf(text->buf + text->len, MATCH_TEXT_MAX - text->len,
					      " and ");
	va_start(args, fmt);
	text->len +=
		(size_t)vsnprintf(text->buf + text->len, MATCH_TEXT_MAX - text->len, fmt, args);
	va_end(args);
}

/*
 * The family that a prefix of an address implies: 4, 6, or 0 for the prefix of everything.
 * -EINVAL if no text says it: bits set outside the mask match nothing, and a short IPv6 prefix
 * around the mapped addresses takes IPv4 too, unless @family forbids it.
 */
static int end_family(const struct ff_end *end, unsigned int family)
{
	static const __u8 mapped[16] = { [10] = 0xff, [11] = 0xff };
	int len = prefix_length(end->mask);
	bool around = true;
	__be32 word[4];

	if (len < 0)
		return -EINVAL;
	memcpy(word, mapped, sizeof(word));
	for (unsigned int i = 0; i < 4; i++) {
		if (end->addr[i] & ~end->mask[i])
			return -EINVAL;
		if (i < 3 && (word[i] & end->mask[i]) != end->addr[i])
			around = false;
	}
	if (!len)
		return 0;
	if (!around)
		return 6;
	if (len >= 96)
		return 4;
	return family == 6 ? 6 : -EINVAL;
}

/* Adds one endpoint's conditions. */
static void end_format(struct text *text, const struct ff_end *end, const char *side, int family)
{
	int len = prefix_length(end->mask);
	char addr[INET6_ADDRSTRLEN];

	if (family) {
		inet_ntop(family == 4 ? AF_INET : AF_INET6, family == 4 ? &end->addr[3] : end->addr,
			  addr, sizeof(addr));
		if (len == 128)
			text_add(text, "%s host %s", side, addr);
		else
			text_add(text, "%s net %s/%d", side, addr, family == 4 ? len - 96 : len);
	}
	if (ports_are_any(end))
		return;
	if (end->port_min == end->port_max)
		text_add(text, "%s port %u", side, end->port_min);
	else
		text_add(text, "%s portrange %u-%u", side, end->port_min, end->port_max);
}

/* Whether text can say the ports: a range, of a protocol that has ports. */
static bool ports_are_sayable(const struct ff_match *match, const struct ff_end *end)
{
	if (ports_are_any(end))
		return true;
	return end->port_min <= end->port_max &&
	       (!match->proto || flow_proto_has_ports(match->proto));
}

int match_format(const struct ff_match *match, char ret_text[MATCH_TEXT_MAX])
{
	const char *proto = flow_proto_name(match->proto);
	struct text text = { .buf = ret_text };
	int family = match->family, a, b;

	if (match->flags != (FF_MATCH_USED | FF_MATCH_EITHER) || (match->proto && !proto))
		return -EINVAL;
	if (match->proto == IPPROTO_ICMP || match->proto == IPPROTO_ICMPV6) {
		int own = match->proto == IPPROTO_ICMP ? 4 : 6;

		if (family && family != own)
			return -EINVAL;
		family = own;
	}
	a = end_family(&match->a, match->family);
	b = end_family(&match->b, match->family);
	if (a < 0 || b < 0 || (a && b && a != b) || (family && a && a != family) ||
	    (family && b && b != family))
		return -EINVAL;
	if (!ports_are_sayable(match, &match->a) || !ports_are_sayable(match, &match->b))
		return -EINVAL;

	ret_text[0] = '\0';
	if (match->proto)
		text_add(&text, "%s", match->proto == IPPROTO_ICMPV6 ? "icmp6" : proto);
	if (match->family && !a && !b && match->proto != IPPROTO_ICMP &&
	    match->proto != IPPROTO_ICMPV6)
		text_add(&text, "%s", match->family == 4 ? "ip" : "ip6");
	end_format(&text, &match->a, "src", a);
	end_format(&text, &match->b, "dst", b);
	return 0;
}
