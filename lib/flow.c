/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "lib/flow.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"

#define FLOW_MEND                                                                                  \
	"write a flow like: tcp 198.18.1.2:1234 198.18.2.2:80, udp [2001:db8::1]:53 "              \
	"[2001:db8::2]:9, or icmp 198.18.1.2 198.18.2.2 id 77"

#define WORDS_MAX 5   /* icmp A B id N */
#define QUOTE_MAX 100 /* of a user's text in a message */
/* an address in brackets, a colon and a port */
#define ENDPOINT_MAX (INET6_ADDRSTRLEN + 8)

static const __u8 mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

static const struct {
	const char *name;
	__u8 number;
	__u8 family; /* 0: either */
} protocols[] = {
	{ "tcp", IPPROTO_TCP, 0 },
	{ "udp", IPPROTO_UDP, 0 },
	{ "sctp", IPPROTO_SCTP, 0 },
	{ "icmp", IPPROTO_ICMP, 4 },
	{ "icmpv6", IPPROTO_ICMPV6, 6 },
	{ "icmp6", IPPROTO_ICMPV6, 6 }, /* pcap-filter(7)'s name, read but never written */
};

bool flow_proto_has_ports(unsigned int proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP;
}

const char *flow_proto_name(unsigned int proto)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (protocols[i].number == proto)
			return protocols[i].name;
	return NULL;
}

static bool address_is_ipv4(const __u8 addr[16])
{
	return !memcmp(addr, mapped_prefix, sizeof(mapped_prefix));
}

bool flow_is_ipv4(const struct ff_flow_key *key)
{
	return address_is_ipv4(key->addr[0]) && address_is_ipv4(key->addr[1]);
}

bool flow_canonicalize(struct ff_flow_key *key)
{
	int order = memcmp(key->addr[0], key->addr[1], sizeof(key->addr[0]));
	__u8 addr[16];
	__be16 port;

	if (!order)
		order = memcmp(&key->port[0], &key->port[1], sizeof(key->port[0]));
	if (order <= 0)
		return false;
	memcpy(addr, key->addr[0], sizeof(addr));
	memcpy(key->addr[0], key->addr[1], sizeof(addr));
	memcpy(key->addr[1], addr, sizeof(addr));
	port = key->port[0];
	key->port[0] = key->port[1];
	key->port[1] = port;
	return true;
}

int flow_cmp(const struct ff_flow_key *x, const struct ff_flow_key *y)
{
	return memcmp(x, y, sizeof(*x)); /* no implicit padding; the named one is 0 */
}

/* ---- writing ------------------------------------------------------------------------------- */

static void address_format(const __u8 addr[16], char buf[INET6_ADDRSTRLEN])
{
	if (address_is_ipv4(addr))
		inet_ntop(AF_INET, addr + sizeof(mapped_prefix), buf, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, addr, buf, INET6_ADDRSTRLEN);
}

static void endpoint_format(const struct ff_flow_key *key, unsigned int end, char buf[ENDPOINT_MAX])
{
	char addr[INET6_ADDRSTRLEN];

	address_format(key->addr[end], addr);
	snprintf(buf, ENDPOINT_MAX, strchr(addr, ':') ? "[%s]:%u" : "%s:%u", addr,
		 ntohs(key->port[end]));
}

const char *flow_format(const struct ff_flow_key *key, char buf[FLOW_TEXT_MAX])
{
	const char *name = flow_proto_name(key->proto);
	char ends[2][ENDPOINT_MAX], proto[16];

	if (key->proto == IPPROTO_ICMP || key->proto == IPPROTO_ICMPV6) {
		address_format(key->addr[0], ends[0]);
		address_format(key->addr[1], ends[1]);
		snprintf(buf, FLOW_TEXT_MAX, "%s %s %s id %u", name, ends[0], ends[1],
			 ntohs(key->port[0]));
		return buf;
	}
	snprintf(proto, sizeof(proto), "proto-%u", key->proto);
	endpoint_format(key, 0, ends[0]);
	endpoint_format(key, 1, ends[1]);
	snprintf(buf, FLOW_TEXT_MAX, "%s %s %s", name ? name : proto, ends[0], ends[1]);
	return buf;
}

/* ---- reading ------------------------------------------------------------------------------- */

/* What the readers below share: the whole text, for messages, and where errors go. */
struct reader {
	const char *text;
	struct ff_error *err;
	struct ff_flow_key key;
	unsigned int family[2]; /* of each endpoint: 4 or 6 */
};

static int reader_refuse(struct reader *reader, const char *word, const char *why)
{
	return error_set(reader->err, EINVAL, FF_CODE_BAD_REQUEST, FLOW_MEND,
			 "flow \"%.*s\": \"%.*s\" %s", QUOTE_MAX, reader->text, QUOTE_MAX, word,
			 why);
}

static int number_read(struct reader *reader, const char *text, const char *why, __be16 *ret_number)
{
	unsigned int number = 0;
	size_t digits = strspn(text, "0123456789");

	if (!digits || text[digits] || digits > 5)
		return reader_refuse(reader, text, why);
	for (size_t i = 0; i < digits; i++)
		number = number * 10 + (unsigned int)(text[i] - '0');
	if (number > UINT16_MAX)
		return reader_refuse(reader, text, why);
	*ret_number = htons((__u16)number);
	return 0;
}

static int address_read(struct reader *reader, const char *text, bool brackets, unsigned int end)
{
	__u8 *addr = reader->key.addr[end];

	if (!brackets && inet_pton(AF_INET, text, addr + sizeof(mapped_prefix)) == 1) {
		memcpy(addr, mapped_prefix, sizeof(mapped_prefix));
		reader->family[end] = 4;
		return 0;
	}
	if (inet_pton(AF_INET6, text, addr) != 1)
		return reader_refuse(reader, text, "is no IP address");
	if (address_is_ipv4(addr))
		return reader_refuse(reader, text,
				     "is an IPv4 address in IPv6 form; write it bare");
	reader->family[end] = 6;
	return 0;
}

/* `A`, or `[A]` for IPv6. Changes @word. */
static int host_read(struct reader *reader, char *word, unsigned int end)
{
	size_t len = strlen(word);
	bool brackets = len > 2 && word[0] == '[' && word[len - 1] == ']';

	if (brackets) {
		word[len - 1] = '\0';
		word++;
	}
	return address_read(reader, word, brackets, end);
}

/* `A:PORT`, `[A]:PORT`. Changes @word. */
static int endpoint_read(struct reader *reader, char *word, unsigned int end)
{
	char *colon = strrchr(word, ':');
	int r;

	if (!colon)
		return reader_refuse(reader, word, "has no port");
	if (strchr(word, ':') != colon && (word[0] != '[' || colon[-1] != ']'))
		return reader_refuse(reader, word, "must have the IPv6 address in brackets");
	r = number_read(reader, colon + 1, "is no port: 0 to 65535", &reader->key.port[end]);
	if (r)
		return r;
	*colon = '\0';
	return host_read(reader, word, end);
}

/* Splits @text at spaces in place. Returns the number of words, or WORDS_MAX + 1 if more. */
static size_t words_split(char *text, char *words[WORDS_MAX])
{
	char *rest, *word;
	size_t count = 0;

	for (word = strtok_r(text, " \t\n", &rest); word; word = strtok_r(NULL, " \t\n", &rest)) {
		if (count == WORDS_MAX)
			return WORDS_MAX + 1;
		words[count++] = word;
	}
	return count;
}

static int ports_read(struct reader *reader, char *words[], size_t count)
{
	int r;

	if (count != 3)
		return reader_refuse(reader, words[0], "needs two endpoints with ports");
	r = endpoint_read(reader, words[1], 0);
	return r ? r : endpoint_read(reader, words[2], 1);
}

static int echo_read(struct reader *reader, char *words[], size_t count)
{
	int r;

	if (count != 5 || strcmp(words[3], "id") != 0)
		return reader_refuse(reader, words[0], "needs two addresses and \"id N\"");
	r = host_read(reader, words[1], 0);
	if (!r)
		r = host_read(reader, words[2], 1);
	if (!r)
		r = number_read(reader, words[4], "is no identifier: 0 to 65535",
				&reader->key.port[0]);
	reader->key.port[1] = reader->key.port[0];
	return r;
}

static int words_read(struct reader *reader, char *words[], size_t count)
{
	size_t p;
	int r;

	for (p = 0; p < ARRAY_SIZE(protocols); p++)
		if (!strcmp(words[0], protocols[p].name))
			break;
	if (p == ARRAY_SIZE(protocols))
		return reader_refuse(reader, words[0], "is none of tcp, udp, sctp, icmp, icmpv6");
	reader->key.proto = protocols[p].number;
	r = flow_proto_has_ports(reader->key.proto) ? ports_read(reader, words, count) :
						      echo_read(reader, words, count);
	if (r)
		return r;
	if (reader->family[0] != reader->family[1])
		return reader_refuse(reader, words[2], "is of another IP version than its peer");
	if (protocols[p].family && protocols[p].family != reader->family[0])
		return reader_refuse(reader, words[0],
				     protocols[p].family == 4 ?
					     "is IPv4's; IPv6 addresses go with icmpv6" :
					     "is IPv6's; IPv4 addresses go with icmp");
	return 0;
}

int flow_read(const char *text, struct ff_flow_key *ret_key, struct ff_error *err)
{
	struct reader reader = { .text = text, .err = err };
	char copy[2 * FLOW_TEXT_MAX], *words[WORDS_MAX];
	size_t count, len = strlen(text);
	int r;

	if (len >= sizeof(copy))
		return reader_refuse(&reader, text, "is too long");
	memcpy(copy, text, len + 1);
	count = words_split(copy, words);
	if (!count || count > WORDS_MAX)
		return reader_refuse(&reader, text, count ? "has too many words" : "is empty");
	r = words_read(&reader, words, count);
	if (r)
		return r;
	flow_canonicalize(&reader.key);
	*ret_key = reader.key;
	return 0;
}

int flow_parse(const char *text, struct ff_flow_key *ret_key)
{
	return flow_read(text, ret_key, NULL);
}
