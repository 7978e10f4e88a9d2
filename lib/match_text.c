/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From filter text to struct ff_match, where that is exact.
 *
 * libpcap judges first whether the text is a filter at all. What is left to do here is to know the
 * conjunctions for certain: whatever this reader doesn't know, down to unusual spellings of
 * numbers, just makes the answer "not exact". It must never be too generous.
 *
 *	conjunction = term { ("and" | "&&") term }
 *	term        = "(" conjunction ")" | protocol [endpoint] | endpoint
 *	endpoint    = ["src" | "dst"] ("host" A | "net" P/LEN | "port" N | "portrange" M-N)
 */
#include "lib/match.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/filter.h"
#include "lib/flow.h"
#include "lib/match_prefix.h"

#define DEPTH_MAX 32 /* nested parentheses; nobody writes more, and recursion stays bounded */
#define WORD_MAX  64 /* an IPv6 prefix is 43 characters */
#define ANY_MAX	  2  /* conditions about either endpoint that can be exact together */

struct condition {
	struct ff_end end;
	__u8 family; /* that an address implies */
};

struct reader {
	const char *at;
	char word[WORD_MAX]; /* the token at hand; "" at the end of the text */
	int depth;

	unsigned int proto, family;
	bool ports; /* some condition is about ports */
	bool sides; /* some condition is about src or dst */
	struct ff_end src, dst;
	struct condition any[ANY_MAX];
	unsigned int anys;
};

static const struct ff_end end_any = { .port_max = UINT16_MAX };

/* Moves to the next token: a parenthesis, "&&" or a word. False at what no conjunction has. */
static bool token_next(struct reader *reader)
{
	size_t len;

	reader->at += strspn(reader->at, " \t\r\n");
	if (*reader->at == '(' || *reader->at == ')')
		len = 1;
	else if (!strncmp(reader->at, "&&", 2))
		len = 2;
	else
		len = strspn(reader->at, "abcdefghijklmnopqrstuvwxyzABCDEF0123456789.:/-");
	if ((!len && *reader->at) || len >= WORD_MAX)
		return false;
	memcpy(reader->word, reader->at, len);
	reader->word[len] = '\0';
	reader->at += len;
	return true;
}

static bool token_is(const struct reader *reader, const char *word)
{
	return !strcmp(reader->word, word);
}

/* A decimal number up to @max, written as anybody would: no leading zeros, sign or base. */
static bool number_read(const char *text, size_t len, unsigned int max, unsigned int *ret_number)
{
	unsigned int number = 0;

	if (!len || len > 5 || (text[0] == '0' && len > 1) || strspn(text, "0123456789") < len)
		return false;
	for (size_t i = 0; i < len; i++)
		number = number * 10 + (unsigned int)(text[i] - '0');
	*ret_number = number;
	return number <= max;
}

/* Reads `A`, or `P/LEN` if @net, from the token at hand. */
static bool address_read(const struct reader *reader, bool net, struct condition *ret)
{
	unsigned int bits, len;
	char addr[WORD_MAX];
	const char *slash;

	memcpy(addr, reader->word, sizeof(addr));
	slash = strchr(reader->word, '/');
	if (net != !!slash)
		return false;
	if (slash)
		addr[slash - reader->word] = '\0';
	*ret = (struct condition){ .end = end_any };
	if (inet_pton(AF_INET, addr, &ret->end.addr[3]) == 1) {
		ret->end.addr[2] = htonl(0xffff);
		ret->family = 4;
	} else if (inet_pton(AF_INET6, addr, ret->end.addr) == 1) {
		ret->family = 6;
	} else {
		return false;
	}
	len = bits = ret->family == 4 ? 32 : 128;
	if (slash && !number_read(slash + 1, strlen(slash + 1), bits, &len))
		return false;
	prefix_mask(128 - bits + len, ret->end.mask);
	return true;
}

/* Reads `N`, or `M-N` if @range, from the token at hand. */
static bool port_read(const struct reader *reader, bool range, struct condition *ret)
{
	const char *dash = strchr(reader->word, '-');
	unsigned int first, last;

	if (range != !!dash)
		return false;
	*ret = (struct condition){ .end = end_any };
	if (!number_read(reader->word, dash ? (size_t)(dash - reader->word) : strlen(reader->word),
			 UINT16_MAX, &first))
		return false;
	last = first;
	if (dash && !number_read(dash + 1, strlen(dash + 1), UINT16_MAX, &last))
		return false;
	ret->end.port_min = (__u16)MIN(first, last); /* libpcap takes ranges either way round */
	ret->end.port_max = (__u16)MAX(first, last);
	return true;
}

static bool ends_are_disjoint(const struct ff_end *x, const struct ff_end *y)
{
	for (unsigned int i = 0; i < 4; i++)
		if ((x->addr[i] ^ y->addr[i]) & x->mask[i] & y->mask[i])
			return true;
	return x->port_max < y->port_min || y->port_max < x->port_min;
}

/* Narrows *end by a condition. False if nothing is left: no match says "never". */
static bool end_narrow(struct ff_end *end, const struct condition *condition)
{
	if (ends_are_disjoint(end, &condition->end))
		return false;
	/* of two prefixes that overlap, one is inside the other: the union of the masks */
	for (unsigned int i = 0; i < 4; i++) {
		end->addr[i] |= condition->end.addr[i];
		end->mask[i] |= condition->end.mask[i];
	}
	end->port_min = MAX(end->port_min, condition->end.port_min);
	end->port_max = MIN(end->port_max, condition->end.port_max);
	return true;
}

/* Takes what must agree over the whole conjunction; 0 is silent. */
static bool agree(unsigned int *have, unsigned int want)
{
	if (*have && want && *have != want)
		return false;
	if (want)
		*have = want;
	return true;
}

/* [src|dst] (host|net|port|portrange) VALUE, from the token at hand. */
static bool endpoint_read(struct reader *reader)
{
	bool src = token_is(reader, "src"), dst = token_is(reader, "dst"), ok = false;
	struct condition condition;
	char type[WORD_MAX];

	if ((src || dst) && !token_next(reader))
		return false;
	memcpy(type, reader->word, sizeof(type));
	if (!token_next(reader))
		return false;
	if (!strcmp(type, "host") || !strcmp(type, "net"))
		ok = address_read(reader, type[0] == 'n', &condition);
	else if (!strcmp(type, "port") || !strcmp(type, "portrange"))
		ok = port_read(reader, !!type[4], &condition);
	if (!ok || !agree(&reader->family, condition.family))
		return false;
	reader->ports |= type[0] == 'p';
	if (src || dst) {
		reader->sides = true;
		if (!end_narrow(src ? &reader->src : &reader->dst, &condition))
			return false;
	} else {
		if (reader->anys == ANY_MAX)
			return false;
		reader->any[reader->anys++] = condition;
	}
	return token_next(reader);
}

/* A protocol's name, alone or in front of an endpoint (`tcp port 80`, `ip6 host ::1`). */
static bool protocol_read(struct reader *reader)
{
	static const struct {
		const char *name;
		__u8 proto, family;
	} names[] = {
		{ "ip", 0, 4 },
		{ "ip6", 0, 6 },
		{ "tcp", IPPROTO_TCP, 0 },
		{ "udp", IPPROTO_UDP, 0 },
		{ "sctp", IPPROTO_SCTP, 0 },
		{ "icmp", IPPROTO_ICMP, 4 },
		{ "icmp6", IPPROTO_ICMPV6, 6 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!token_is(reader, names[i].name))
			continue;
		if (!agree(&reader->proto, names[i].proto) ||
		    !agree(&reader->family, names[i].family) || !token_next(reader))
			return false;
		if (!reader->word[0] || token_is(reader, "and") || token_is(reader, "&&") ||
		    token_is(reader, ")"))
			return true;
		return endpoint_read(reader);
	}
	return endpoint_read(reader);
}

static bool conjunction_read(struct reader *reader)
{
	if (++reader->depth > DEPTH_MAX)
		return false;
	for (;;) {
		if (token_is(reader, "(")) {
			if (!token_next(reader) || !conjunction_read(reader) ||
			    !token_is(reader, ")") || !token_next(reader))
				return false;
		} else if (!protocol_read(reader)) {
			return false;
		}
		if (!token_is(reader, "and") && !token_is(reader, "&&"))
			break;
		if (!token_next(reader))
			return false;
	}
	reader->depth--;
	return true;
}

/*
 * Puts the endpoints' conditions into *match. One condition about either endpoint is one about a,
 * as the match holds with a and b exchanged. Two that exclude each other must be about different
 * endpoints: one is a's, the other b's. Anything more would need an "or".
 */
static bool ends_place(const struct reader *reader, struct ff_match *match)
{
	const struct condition *any = reader->any;

	if (reader->anys && reader->sides)
		return false;
	if (reader->anys == 2 && !ends_are_disjoint(&any[0].end, &any[1].end))
		return false;
	match->a = reader->anys > 0 ? any[0].end : reader->src;
	match->b = reader->anys > 1 ? any[1].end : reader->dst;
	return true;
}

/* Whether the conjunction's ports mean in a match what they mean in the filter. */
static bool ports_are_exact(const struct reader *reader, const struct ff_match *match)
{
	bool all = match->a.port_min == 0 && match->a.port_max == UINT16_MAX &&
		   match->b.port_min == 0 && match->b.port_max == UINT16_MAX;

	if (!reader->ports || flow_proto_has_ports(reader->proto))
		return true;
	/* `portrange 0-65535` excludes ICMP, which the same range in a match does not */
	return !reader->proto && !all;
}

static bool match_read(const char *expr, struct ff_match *ret_match)
{
	struct reader reader = { .at = expr, .src = end_any, .dst = end_any };
	struct ff_match match = { .a = end_any, .b = end_any };

	if (!token_next(&reader))
		return false;
	if (reader.word[0]) {
		if (!conjunction_read(&reader) || reader.word[0])
			return false;
		if (!ends_place(&reader, &match) || !ports_are_exact(&reader, &match))
			return false;
	}
	match.proto = (__u8)reader.proto;
	match.family = (__u8)reader.family;
	match.flags = FF_MATCH_USED | FF_MATCH_EITHER;
	*ret_match = match;
	return true;
}

int match_from_text(const char *expr, struct ff_match *ret_match, bool *ret_exact,
		    struct ff_error *err)
{
	_cleanup_filter_ struct filter *filter = NULL;
	struct ff_match match = {};
	int r;

	r = filter_new(expr, &filter, err);
	if (r)
		return r;
	*ret_exact = match_read(filter_text(filter), &match);
	*ret_match = match;
	return 0;
}
