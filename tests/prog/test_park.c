/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_park.c - packets held for a flow between owners: nothing of them is lost until their release. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <string.h>

#include "tests/prog/harness.h"

#define UDP_C .proto = IPPROTO_UDP, .sport = 5000, .dport = 53
#define FLOW  "udp 198.18.1.2:5000 198.18.2.2:53"
#define FLOW6 "udp [2001:db8:1::2]:5000 [2001:db8:2::2]:53"
#define LANE  3
#define LIMIT 100 /* packets */

static void park_init(void)
{
	const struct ff_steer parked = {
		.owner = RIG_HERE, .here = RIG_HERE, .flags = FF_STEER_PARK, .lane = LANE
	};
	const struct ff_lane lane = { .token = 1,
				      .overflow = FF_OVERFLOW_DROP,
				      .park_size = FF_PARK_SIZE_MIN,
				      .park_limit = LIMIT };
	const struct ff_job job = { .cookie = { 11, 22 },
				    .lane = LANE,
				    .instance = RIG_HERE,
				    .service = RIG_SERVICE,
				    .prog = FF_PROG_RELEASE };
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_INNER_MAP);
	uint32_t number = LANE;
	int ring;

	rig_init("firewall", RIG_ALL);
	ring = bpf_map_create(BPF_MAP_TYPE_ARRAY, "ring", sizeof(number), FF_CELL_SIZE,
			      FF_PARK_SIZE_MIN, &opts);
	cr_assert_geq(ring, 0, "parking ring: %s", strerror(-ring));
	rig_map_set("park_rings", &number, &ring);
	rig_map_set("lanes", &number, &lane);
	for (uint32_t cpu = 0; cpu < FF_CPUS_MAX; cpu++)
		rig_map_set("jobs", &cpu, &job);
	rig_owner_set_all(&parked);
}

TestSuite(park, .init = park_init, .timeout = 120);

/* A live frame of the agent's, which becomes the next parked packet. */
static void release_one(struct outcome *ret)
{
	struct ff_job_frame frame = { .proto = htons(FF_ETH_P_FENCE), .cookie = { 11, 22 } };

	rig_run_frame(RIG_FABRIC, &frame, sizeof(frame), ret);
}

static void released_expect(const struct packet *packet)
{
	struct outcome outcome;
	struct frame frame;

	packet_build(packet, &frame);
	release_one(&outcome);
	cr_assert_eq(outcome.reasons, REASON(RELEASED), "%s", rig_reasons_text(outcome.reasons));
	cr_assert_eq(outcome.verdict, XDP_REDIRECT);
	cr_assert_eq(outcome.out.len, frame.len);
	/* MACs and TTL are the next hop's, the latter with a new checksum */
	cr_expect_arr_eq(outcome.out.data + 26, frame.data + 26, frame.len - 26, "changed");
}

/* From the smallest packet to the largest, one cell or several, in the order of their arrival. */
Test(park, held_and_released_in_order)
{
	static const size_t lengths[] = { 0, 1, 445, 446, 447, 1000, 950, 1472, 2, 3358 };
	struct packet packet = { C4, UDP_C };
	struct outcome outcome;

	for (size_t i = 0; i < COUNT(lengths); i++) {
		packet.payload_len = lengths[i];
		rig_rows(&(struct row){ "held", RIG_CLIENT, packet, DROPPED(PARKED) }, 1);
	}
	cr_expect_eq(rig_stats().packets, 0);
	for (size_t i = 0; i < COUNT(lengths) - 1; i++) {
		packet.payload_len = lengths[i];
		released_expect(&packet);
	}
	release_one(&outcome); /* larger than the next link: the kernel's to fragment */
	cr_expect_eq(outcome.reasons, REASON(RELEASED) | REASON(PASS_TOO_BIG));
	cr_expect_eq(outcome.out.len, 14 + 28 + 3358);
	cr_expect_eq(rig_flow(FLOW, "packets", 0), COUNT(lengths));
	release_one(&outcome);
	cr_expect(outcome.verdict == XDP_DROP && !outcome.reasons, "there is no other");
}

/* A later fragment can't be parsed again: ports and protocol are kept with it. */
Test(park, later_fragments)
{
	/* destination options, then UDP */
	const struct packet first = { C6, .proto = 60, .frag_id = 3, .more_fragments = true,
				      .payload = OCTETS(17, 0, 1, 4, 0, 0, 0, 0, 0x13, 0x88, 0, 53,
							0, 40, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8) };
	const struct packet later = { C6, .proto = 60, .frag_id = 3, .frag_off = 24,
				      .payload_len = 24 };
	const struct row rows[] = {
		{ "first", RIG_CLIENT, first, DROPPED(PARKED) },
		{ "later", RIG_CLIENT, later, DROPPED(PARKED) },
	};
	struct outcome outcome;

	rig_rows(rows, COUNT(rows));
	for (size_t i = 0; i < COUNT(rows); i++) {
		release_one(&outcome);
		cr_expect_eq(outcome.reasons, REASON(RELEASED), "%s: %s", rows[i].what,
			     rig_reasons_text(outcome.reasons));
	}
	cr_expect_eq(rig_flow(FLOW6, "packets", 0), 2);
}

Test(park, bound_and_policy)
{
	const struct packet packet = { C4, UDP_C };
	uint32_t number = LANE;
	struct ff_lane lane;

	rig_rows(&(struct row){ "could not be released",
				RIG_CLIENT,
				{ C4, UDP_C, .payload_len = 3359 },
				DROPPED(DROP_PARK_SIZE) },
		 1);
	for (unsigned int i = 0; i < LIMIT; i++)
		rig_rows(&(struct row){ "held", RIG_CLIENT, packet, DROPPED(PARKED) }, 1);
	rig_rows(&(struct row){ "full", RIG_CLIENT, packet, DROPPED(DROP_PARK_FULL) }, 1);
	rig_map_get("lanes", &number, &lane);
	cr_expect_eq(lane.overflowed, 1);
	cr_expect_eq(lane.dropped, 2);
	lane.overflow = FF_OVERFLOW_ABORT;
	rig_map_set("lanes", &number, &lane);
	rig_rows(&(struct row){ "held: the move will be rolled back", RIG_CLIENT, packet,
				DROPPED(PARKED) },
		 1);
	lane.park_tail = FF_PARK_OPEN;
	rig_map_set("lanes", &number, &lane);
	rig_rows(&(struct row){ "open", RIG_CLIENT, packet, SENT }, 1);
	cr_expect_eq(rig_flow(FLOW, "packets", 0), 1);
}
