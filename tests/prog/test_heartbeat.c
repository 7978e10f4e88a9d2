/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_heartbeat.c - a peer's heartbeat is answered by the program alone, a stranger's isn't; what
 * is sent to a peer is counted; and a host whose lease has run out hands packets to no NF.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <endian.h>
#include <string.h>

#include "lib/addr.h"
#include "lib/clock.h"
#include "tests/prog/harness.h"

#define UDP_C .proto = IPPROTO_UDP, .sport = 5000, .dport = 53
#define PEER6 .src = "2001:db8:8::2", .dst = "2001:db8:8::1", TUNNEL_UDP
#define HOST  2

static const struct packet question = { C4, UDP_C, .payload_len = 33 };

static void heartbeat_init(void)
{
	struct ff_addr peer6;
	uint32_t host = HOST;

	rig_init("firewall", RIG_ALL);
	cr_assert_eq(addr_parse("2001:db8:8::2", &peer6), 0);
	rig_map_set("peer_addrs", &peer6, &host);
}

TestSuite(heartbeat, .init = heartbeat_init, .timeout = 120);

/* A heartbeat, or its answer, that was sent at `sent_ns`. */
static struct geneve beat(uint8_t kind, uint64_t sent_ns)
{
	static uint8_t raw[sizeof(struct ff_heartbeat)];
	struct ff_heartbeat heartbeat = { .sent_ns = htobe64(sent_ns) };

	memcpy(raw, &heartbeat, sizeof(raw));
	return (struct geneve){ .raw = { raw, sizeof(raw) },
				.protocol = FF_ETH_P_FENCE,
				.kind = kind };
}

static void swapped_expect(const uint8_t *out, const uint8_t *in, size_t a, size_t b, size_t len)
{
	cr_expect_arr_eq(out + a, in + b, len, "bytes %zu", a);
	cr_expect_arr_eq(out + b, in + a, len, "bytes %zu", b);
}

static void answer_expect(const struct packet *packet, size_t encap, size_t addr, size_t addr_len)
{
	struct outcome outcome;
	struct frame frame;

	packet_build(packet, &frame);
	rig_run_frame(RIG_FABRIC, frame.data, frame.len, &outcome);
	cr_assert_eq(outcome.verdict, XDP_TX, "%s", rig_reasons_text(outcome.reasons));
	cr_expect_eq(outcome.reasons, 0);
	cr_assert_eq(outcome.out.len, frame.len);
	cr_expect(packet_checksum_ok(outcome.out.data, outcome.out.len));
	swapped_expect(outcome.out.data, frame.data, 0, 6, 6);
	swapped_expect(outcome.out.data, frame.data, addr, addr + addr_len, addr_len);
	cr_expect_eq(outcome.out.data[encap - 16 + offsetof(struct ff_geneve_option, kind)],
		     FF_KIND_HEARD);
	cr_expect_arr_eq(outcome.out.data + encap, frame.data + encap, 8, "it tells which");
}

Test(heartbeat, is_answered)
{
	struct geneve geneve = beat(FF_KIND_HEARTBEAT, 7);

	answer_expect(PACKET(PEER, .tunnel = &geneve), FF_ENCAP_V4, 26, 4);
	answer_expect(PACKET(PEER6, .tunnel = &geneve), FF_ENCAP_V6, 22, 16);
}

Test(heartbeat, not_for_strangers_and_nonsense)
{
	struct geneve good = beat(FF_KIND_HEARTBEAT, 7), service = good, data = good, kind = good,
		      cut = good, future = beat(FF_KIND_HEARD, clock_ns() + NSEC_PER_SEC);
	const struct row rows[] = {
		{ "stranger's",
		  RIG_FABRIC,
		  { .src = "198.18.8.66", .dst = "198.18.8.1", TUNNEL_UDP, .tunnel = &good },
		  DROPPED(DROP_STRANGER) },
		{ "of a service", RIG_FABRIC, { PEER, .tunnel = &service }, DROPPED(DROP_TUNNEL) },
		{ "that calls itself data",
		  RIG_FABRIC,
		  { PEER, .tunnel = &data },
		  DROPPED(DROP_VNI) },
		{ "of another kind", RIG_FABRIC, { PEER, .tunnel = &kind }, DROPPED(DROP_VNI) },
		{ "cut short", RIG_FABRIC, { PEER, .tunnel = &cut }, DROPPED(DROP_VNI) },
		{ "answer to what isn't asked yet",
		  RIG_FABRIC,
		  { PEER, .tunnel = &future },
		  DROPPED(DROP_TUNNEL) },
	};

	service.vni = RIG_SERVICE;
	data.protocol = 0;
	kind.kind = FF_KIND_FENCE;
	cut.raw.len = 7;
	rig_rows(rows, COUNT(rows));
}

/* The time of the latest answered question, and when it was answered; old news change nothing. */
Test(heartbeat, answer_is_noted)
{
	const uint64_t now = clock_ns();
	struct geneve first = beat(FF_KIND_HEARD, now - 20);
	struct outcome outcome;
	struct ff_heard heard;
	uint32_t host = HOST;

	rig_run(RIG_FABRIC, PACKET(PEER, .tunnel = &first), &outcome);
	cr_expect_eq(outcome.verdict, XDP_DROP);
	cr_expect_eq(outcome.reasons, 0);
	rig_map_get("peer_heard", &host, &heard);
	cr_expect_eq(heard.sent_ns, now - 20);
	cr_expect_geq(heard.at_ns, now);
	first = beat(FF_KIND_HEARD, now - 30);
	rig_run(RIG_FABRIC, PACKET(PEER6, .tunnel = &first), &outcome);
	rig_map_get("peer_heard", &host, &heard);
	cr_expect_eq(heard.sent_ns, now - 20, "answers may overtake each other");
}

/* What may be lost with a peer: data to it, on any CPU; not what couldn't be sent. */
Test(heartbeat, sent_packets_are_counted)
{
	static struct ff_sent sent;
	uint64_t sum = 0, others = 0;
	struct outcome outcome;

	rig_owner_set_all(&(struct ff_steer){ .owner = RIG_THERE });
	rig_run_twice(&question, &question, RIG_CLIENT, RIG_CLIENT, 50);
	rig_owner_set_all(&(struct ff_steer){ .owner = RIG_NOWHERE });
	rig_run(RIG_CLIENT, &question, &outcome);
	for (uint32_t cpu = 0; cpu < FF_CPUS_MAX; cpu++) {
		rig_map_get("peer_sent", &cpu, &sent);
		for (uint32_t host = 0; host < FF_HOSTS_MAX; host++)
			*(host == HOST ? &sum : &others) += sent.packets[host];
	}
	cr_expect_eq(sum, 100);
	cr_expect_eq(others, 0);
}

/* ---- lease --------------------------------------------------------------------------------- */

static void lease_set(uint64_t lease_ns)
{
	uint32_t number = RIG_SERVICE;
	struct ff_service service;

	rig_map_get("services", &number, &service);
	service.lease_ns = lease_ns;
	rig_map_set("services", &number, &service);
}

Test(heartbeat, lease)
{
	const struct packet tunnelled = { PEER, .tunnel = GENEVE(.inner = &question,
								 .vni = RIG_SERVICE, .slot = 3) };
	const struct row open[] = {
		{ "steered", RIG_CLIENT, question, SENT },
		{ "tunnelled", RIG_FABRIC, tunnelled, SENT },
	};
	const struct row over[] = {
		{ "steered", RIG_CLIENT, question, DROPPED(DROP_FENCED) },
		{ "tunnelled", RIG_FABRIC, tunnelled, DROPPED(DROP_FENCED) },
	};
	const struct row elsewhere = { "to another owner", RIG_CLIENT, question, SENT };

	lease_set(clock_ns() + 60 * NSEC_PER_SEC);
	rig_rows(open, COUNT(open));
	cr_expect_eq(rig_stats().packets, 2);
	lease_set(clock_ns() - NSEC_PER_SEC); /* it is looked at to the tick */
	rig_rows(over, COUNT(over));
	cr_expect_eq(rig_stats().packets, 2, "no NF has seen them");
	rig_owner_set_all(&(struct ff_steer){ .owner = RIG_THERE });
	rig_rows(&elsewhere, 1);
	rig_owner_set_all(&(struct ff_steer){ .owner = RIG_HERE, .here = RIG_HERE });
	lease_set(0);
	rig_rows(open, COUNT(open));
}
