/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "lib/addr.h"

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

_Static_assert(ADDR_TEXT_MAX == INET6_ADDRSTRLEN, "ADDR_TEXT_MAX");

void addr_set(struct ff_addr *addr, int family, const void *bytes)
{
	uint8_t *to = (uint8_t *)addr->word;

	if (family == AF_INET) {
		memcpy(to, mapped, sizeof(mapped));
		memcpy(to + sizeof(mapped), bytes, 4);
	} else {
		memcpy(to, bytes, sizeof(*addr));
	}
}

const void *addr_bytes(const struct ff_addr *addr, int *ret_family)
{
	bool ipv4 = addr_is_ipv4(addr);

	*ret_family = ipv4 ? AF_INET : AF_INET6;
	return ipv4 ? &addr->word[3] : &addr->word[0];
}

bool addr_is_ipv4(const struct ff_addr *addr)
{
	return !memcmp(addr->word, mapped, sizeof(mapped));
}

bool addr_is_zero(const struct ff_addr *addr)
{
	return !(addr->word[0] | addr->word[1] | addr->word[2] | addr->word[3]);
}

int addr_parse(const char *text, struct ff_addr *ret_addr)
{
	uint8_t bytes[16];
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;

	if (inet_pton(family, text, bytes) != 1)
		return -EINVAL;
	addr_set(ret_addr, family, bytes);
	return 0;
}

const char *addr_format(const struct ff_addr *addr, char buf[ADDR_TEXT_MAX])
{
	int family;
	const void *bytes = addr_bytes(addr, &family);

	/* can't fail: the family is one that it knows and the buffer is large enough */
	return inet_ntop(family, bytes, buf, ADDR_TEXT_MAX);
}
