/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * random.h - repeatable random input for property tests: a failure's seed can be run again.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>

#include "lib/cleanup.h"
#include "lib/flow.h"

struct random {
	uint64_t state;
};

/* SplitMix64 (Steele, Lea, Flood 2014). */
static inline uint64_t random_u64(struct random *random)
{
	uint64_t z = (random->state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* 0 .. bound - 1 */
static inline unsigned int random_below(struct random *random, unsigned int bound)
{
	return (unsigned int)(random_u64(random) % bound);
}

/*
 * Addresses and ports come from small pools, with neighbours that differ in one bit, so that random
 * filters and random flows meet often, and nearly meet as often.
 */
static inline unsigned int random_port(struct random *random)
{
	static const unsigned int ports[] = { 0, 1, 53, 79, 80, 81, 443, 1023, 1024, 65534, 65535 };

	return ports[random_below(random, ARRAY_SIZE(ports))];
}

static inline void random_ipv4(struct random *random, uint8_t addr[4])
{
	static const uint8_t bases[][4] = {
		{ 198, 18, 1, 2 }, { 198, 18, 2, 2 }, { 10, 0, 0, 1 }, { 255, 255, 255, 255 }, {}
	};

	memcpy(addr, bases[random_below(random, ARRAY_SIZE(bases))], 4);
	if (random_below(random, 2))
		addr[random_below(random, 4)] ^= (uint8_t)(1u << random_below(random, 8));
}

static inline void random_ipv6(struct random *random, uint8_t addr[16])
{
	static const char *const bases[] = { "2001:db8:1::2", "2001:db8:2::2", "fe80::1", "::1" };

	inet_pton(AF_INET6, bases[random_below(random, ARRAY_SIZE(bases))], addr);
	/* not within the last six bytes of ::1's zeros, where mapped addresses begin */
	if (random_below(random, 2))
		addr[random_below(random, 10)] ^= (uint8_t)(1u << random_below(random, 8));
}

/* A canonical key of any protocol and family that flows have; service 0. */
static inline struct ff_flow_key random_key(struct random *random)
{
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP };
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct ff_flow_key key = {};
	bool ipv6 = random_below(random, 2);

	for (int end = 0; end < 2; end++) {
		if (ipv6) {
			random_ipv6(random, key.addr[end]);
		} else {
			memcpy(key.addr[end], mapped, sizeof(mapped));
			random_ipv4(random, key.addr[end] + 12);
		}
		key.port[end] = htons((uint16_t)random_port(random));
	}
	key.proto = protos[random_below(random, ARRAY_SIZE(protos))];
	if (key.proto == IPPROTO_ICMP) {
		key.port[1] = key.port[0];
		if (ipv6)
			key.proto = IPPROTO_ICMPV6;
	}
	flow_canonicalize(&key);
	return key;
}
