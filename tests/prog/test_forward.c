/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where forwarded packets go: the FIB's word, kept until the next tick where the agent vouches. */
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "tests/prog/harness.h"

#define TICKS_NS (30 * NSEC_PER_SEC) /* more than a tick takes on any machine */

static const struct packet segment = { .src = "198.18.1.2",
				       .dst = "198.18.2.2",
				       .proto = IPPROTO_TCP,
				       .sport = 1234,
				       .dport = 80,
				       .tcp_flags = TH_SYN };
static const struct packet segment6 = { .src = "2001:db8:1::2",
					.dst = "2001:db8:2::2",
					.proto = IPPROTO_TCP,
					.sport = 1234,
					.dport = 80,
					.tcp_flags = TH_SYN };

static void forward_init(void)
{
	rig_init("firewall", RIG_STEERING);
}

TestSuite(forward, .init = forward_init);

static void vouch(uint64_t until_ns)
{
	struct ff_host_info host;
	uint32_t zero = 0;

	rig_map_get("host_info", &zero, &host);
	host.routes_plain_ns = until_ns;
	rig_map_set("host_info", &zero, &host);
}

/* The last byte of the MAC to which the server's packets go. */
static uint8_t sent_to(const struct packet *packet)
{
	struct outcome outcome;

	rig_run(RIG_CLIENT, packet, &outcome);
	cr_assert_eq(outcome.verdict, XDP_REDIRECT);
	return outcome.out.data[5];
}

static void server_mac(unsigned int last)
{
	char command[256];

	snprintf(
		command, sizeof(command),
		"ip neighbour replace 198.18.2.2 lladdr 02:00:00:00:02:%1$02x dev s0 nud permanent && "
		"ip neighbour replace 2001:db8:2::2 lladdr 02:00:00:00:02:%1$02x dev s0 nud permanent",
		last);
	cr_assert_eq(system(command), 0);
}

static bool sent_to_soon(const struct packet *packet, uint8_t last)
{
	uint64_t deadline = clock_ns() + TICKS_NS;

	while (sent_to(packet) != last)
		if (clock_ns() > deadline)
			return false;
	return true;
}

Test(forward, a_change_counts_at_once_where_nobody_vouches)
{
	for (unsigned int i = 0; i < 20; i++) {
		server_mac(16 + i);
		cr_assert_eq(sent_to(&segment), 16 + i);
		cr_assert_eq(sent_to(&segment6), 16 + i);
	}
}

Test(forward, a_change_counts_from_the_next_tick_on)
{
	vouch(clock_ns() + 3600 * NSEC_PER_SEC);
	for (unsigned int i = 0; i < 20; i++) {
		server_mac(16 + i);
		cr_assert(sent_to_soon(&segment, (uint8_t)(16 + i)));
		cr_assert(sent_to_soon(&segment6, (uint8_t)(16 + i)));
	}
}

Test(forward, who_vouched_long_ago_vouches_no_more)
{
	vouch(clock_ns() - NSEC_PER_SEC);
	for (unsigned int i = 0; i < 20; i++) {
		server_mac(16 + i);
		cr_assert_eq(sent_to(&segment), 16 + i);
	}
}

Test(forward, other_destinations_go_their_own_way)
{
	struct packet back = segment;
	struct outcome outcome;

	vouch(clock_ns() + 3600 * NSEC_PER_SEC);
	back.src = segment.dst, back.dst = segment.src;
	back.sport = segment.dport, back.dport = segment.sport;
	back.tcp_flags = TH_SYN | TH_ACK;
	back.seq = 100, back.ack = 1;
	for (int i = 0; i < 50; i++) {
		cr_assert_eq(sent_to(&segment), 2);
		rig_run(RIG_SERVER, &back, &outcome);
		cr_assert_eq(outcome.verdict, XDP_REDIRECT);
		cr_assert_eq(outcome.out.data[4], 1, "to the client's link");
	}
}
