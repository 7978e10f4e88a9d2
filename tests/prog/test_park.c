/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_park.c - packets held for a flow between owners: nothing of them is lost, changed or
 * overtaken until their release, and what doesn't fit is what the move's policy says.
 *
 * Each release is a frame as the agent's live ones are, run by the test itself;
 * test_lane.c has the agent's own release.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/prog/harness.h"

#define UDP_C	   .proto = IPPROTO_UDP, .sport = 5000, .dport = 53
#define FLOW	   "udp 198.18.1.2:5000 198.18.2.2:53"
#define FLOW6	   "udp [2001:db8:1::2]:5000 [2001:db8:2::2]:53"
#define LANE	   3
#define LIMIT	   100 /* packets */
#define RESERVE	   448 /* cells, of a packet of the largest size for each of 64 CPUs */
#define ROOM	   64
#define RING	   (RESERVE + ROOM) /* smaller than any that an agent makes: a lap is soon done */
#define UDP_HEADER 42		    /* Ethernet, IPv4, UDP */
#define PAYLOAD	   (3400 - UDP_HEADER) /* the largest */

/* ---- the lane -------------------------------------------------------------------------------- */

static struct ff_lane lane_get(void)
{
	uint32_t number = LANE;
	struct ff_lane lane;

	rig_map_get("lanes", &number, &lane);
	return lane;
}

static void lane_set(const struct ff_lane *lane)
{
	uint32_t number = LANE;

	rig_map_set("lanes", &number, lane);
}

/* An empty ring of so many cells, as if `ticket` cells had gone through it. */
static void ring_set(uint32_t cells, uint64_t ticket)
{
	struct ff_lane lane = lane_get();

	lane.park_size = cells;
	lane.park_head = lane.park_tail = ticket;
	lane.released = lane.parked;
	lane_set(&lane);
}

static void ring_create(uint32_t cells)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_INNER_MAP);
	uint32_t number = LANE;
	int ring = bpf_map_create(BPF_MAP_TYPE_ARRAY, "ring", sizeof(number), FF_CELL_SIZE, cells,
				  &opts);

	cr_assert_geq(ring, 0, "parking ring: %s", strerror(errno));
	rig_map_set("park_rings", &number, &ring);
	ring_set(cells, 0);
}

static void lane_policy(uint16_t overflow, uint16_t from, uint64_t limit)
{
	struct ff_lane lane = lane_get();

	lane.overflow = overflow;
	lane.from = from;
	lane.park_limit = limit;
	lane_set(&lane);
}

static void job_set(uint32_t host)
{
	const struct ff_job job = { .cookie = { 11, 22 },
				    .lane = LANE,
				    .instance = RIG_HERE,
				    .service = RIG_SERVICE,
				    .host = host,
				    .prog = FF_PROG_RELEASE };

	for (uint32_t cpu = 0; cpu < FF_CPUS_MAX; cpu++)
		rig_map_set("jobs", &cpu, &job);
}

static void park_init(void)
{
	const struct ff_steer parked = {
		.owner = RIG_HERE, .here = RIG_HERE, .flags = FF_STEER_PARK, .lane = LANE
	};
	const struct ff_lane lane = { .token = 1, .from = RIG_THERE };

	rig_init("firewall", RIG_ALL);
	lane_set(&lane);
	lane_policy(FF_OVERFLOW_DROP, RIG_THERE, LIMIT);
	ring_create(RING);
	job_set(0);
	rig_owner_set_all(&parked);
}

TestSuite(park, .init = park_init, .timeout = 120);

/* ---- packets --------------------------------------------------------------------------------- */

/* A packet of so many bytes of payload; `seed` tells it from others. */
static void frame_make(struct frame *ret, size_t payload, uint32_t seed)
{
	packet_build(PACKET(C4, UDP_C, .payload_len = payload), ret);
	for (size_t i = 0; i < payload; i++)
		ret->data[UDP_HEADER + i] = (uint8_t)((seed + i) * 2654435761u >> 24);
}

static void frame_park(const struct frame *frame, uint64_t reasons)
{
	struct outcome outcome;
	char wanted[256];

	snprintf(wanted, sizeof(wanted), "%s", rig_reasons_text(reasons));
	rig_run_frame(RIG_CLIENT, frame->data, frame->len, &outcome);
	cr_assert(outcome.verdict == XDP_DROP && outcome.reasons == reasons,
		  "%zu bytes: %s, expected %s", frame->len, rig_reasons_text(outcome.reasons),
		  wanted);
}

/* Parks a packet, or whatever becomes of it. */
static void park(size_t payload, uint64_t reasons)
{
	struct frame frame;

	frame_make(&frame, payload, 0);
	frame_park(&frame, reasons);
}

/* A live frame of the agent's, which becomes the next parked packet. */
static void release_one(struct outcome *ret)
{
	struct ff_job_frame frame = { .proto = htons(FF_ETH_P_FENCE), .cookie = { 11, 22 } };

	rig_run_frame(RIG_FABRIC, &frame, sizeof(frame), ret);
}

static void released_expect(const struct frame *frame)
{
	struct outcome outcome;

	release_one(&outcome);
	/* one that the next link can't take is the kernel's to answer */
	cr_assert_eq(outcome.reasons & ~REASON(PASS_TOO_BIG), REASON(RELEASED), "%s",
		     rig_reasons_text(outcome.reasons));
	cr_assert_eq(outcome.out.len, frame->len);
	/* MACs and TTL are the next hop's, the latter with a new checksum */
	cr_assert_arr_eq(outcome.out.data + 12, frame->data + 12, 10, "changed");
	cr_assert_arr_eq(outcome.out.data + 26, frame->data + 26, frame->len - 26, "changed");
}

static void nothing_expect(const char *why)
{
	struct ff_lane before = lane_get(), after;
	struct outcome outcome;

	release_one(&outcome);
	after = lane_get();
	cr_assert(outcome.verdict == XDP_DROP && !outcome.reasons, "%s: %s", why,
		  rig_reasons_text(outcome.reasons));
	cr_assert_eq(before.park_head, after.park_head, "%s", why);
}

/* ---- the ring -------------------------------------------------------------------------------- */

/* Of each number of cells the shortest and the longest. */
Test(park, held_and_released_in_order)
{
	static const struct {
		size_t len, cells;
	} sizes[] = {
		{ 42, 1 },   { 60, 1 },	  { 488, 1 },  { 489, 2 },  { 992, 2 },	 { 993, 3 },
		{ 1496, 3 }, { 1497, 4 }, { 1514, 4 }, { 2000, 4 }, { 2001, 5 }, { 2504, 5 },
		{ 2505, 6 }, { 3008, 6 }, { 3009, 7 }, { 3400, 7 }, { 60, 1 },
	};
	struct frame frame;

	for (size_t i = 0; i < COUNT(sizes); i++) {
		uint64_t tail = lane_get().park_tail;

		frame_make(&frame, sizes[i].len - UDP_HEADER, (uint32_t)i);
		frame_park(&frame, REASON(PARKED));
		cr_expect_eq(lane_get().park_tail - tail, sizes[i].cells,
			     "%zu bytes take %zu cells", sizes[i].len,
			     (size_t)(lane_get().park_tail - tail));
	}
	cr_expect_eq(rig_stats().packets, 0);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		frame_make(&frame, sizes[i].len - UDP_HEADER, (uint32_t)i);
		released_expect(&frame);
	}
	cr_expect_eq(rig_flow(FLOW, "packets", 0), COUNT(sizes));
	nothing_expect("there is no other");
}

Test(park, longer_than_a_live_frame)
{
	park(PAYLOAD + 1, REASON(DROP_PARK_SIZE));
	cr_expect_eq(lane_get().dropped, 1);
	cr_expect_eq(lane_get().park_tail, 0, "it has taken cells");
}

/* Several laps, in which each packet begins at each place sooner or later. */
Test(park, ring_goes_round)
{
	static const size_t payloads[] = { 18, 1472, PAYLOAD, 447, 900, 1000 };
	uint32_t in = 0, out = 0;
	struct frame frame;

	while (lane_get().park_head < 4 * RING) {
		for (; lane_get().park_tail - lane_get().park_head < ROOM - 7; in++) {
			frame_make(&frame, payloads[in % COUNT(payloads)], in);
			frame_park(&frame, REASON(PARKED));
		}
		for (unsigned int i = 0; i < 1 + out % 5 && out < in; i++, out++) {
			frame_make(&frame, payloads[out % COUNT(payloads)], out);
			released_expect(&frame);
		}
	}
	cr_expect_eq(lane_get().parked, in);
	cr_expect_eq(lane_get().released, out);
}

/* Takes the ticket of a packet that its CPU hasn't put there yet. */
static void ticket_take(void)
{
	struct ff_lane lane = lane_get();

	lane.park_tail += 1;
	lane.parked++;
	lane_set(&lane);
}

Test(park, unfinished_packet_holds_up_the_next)
{
	struct frame frame;

	frame_make(&frame, 18, 1);
	frame_park(&frame, REASON(PARKED));
	ticket_take();
	frame_park(&frame, REASON(PARKED));
	released_expect(&frame);
	nothing_expect("the second isn't ready, and the third is behind it");
}

/*
 * What lies in a ring is what strangers have sent. A lap later a packet begins somewhere in it, and
 * isn't there yet: no eight bytes of the former one may look as if it were.
 */
Test(park, data_that_looks_like_a_ready_packet)
{
	struct frame frame;

	for (uint64_t cell = 0; cell < 7; cell++)
		for (size_t shift = 0; shift < 8; shift++) {
			uint64_t next = 5 * RING + cell, ready = next + 1;

			frame_make(&frame, PAYLOAD, 0);
			for (size_t i = 0; i < PAYLOAD; i++)
				frame.data[UDP_HEADER + i] =
					((uint8_t *)&ready)[(i + shift) % sizeof(ready)];
			ring_set(RING, next - cell - RING);
			frame_park(&frame, REASON(PARKED));
			ring_set(RING, next);
			ticket_take();
			nothing_expect("it isn't ready");
		}
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
		{ "another flow's",
		  RIG_CLIENT,
		  { C4, .proto = IPPROTO_UDP, .sport = 9, .dport = 10 },
		  DROPPED(PARKED) },
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

/* ---- bounds ---------------------------------------------------------------------------------- */

static void counts_expect(uint64_t parked, uint64_t overflowed, uint64_t dropped)
{
	struct ff_lane lane = lane_get();

	cr_expect_eq(lane.parked, parked, "%zu parked", (size_t)lane.parked);
	cr_expect_eq(lane.overflowed, overflowed, "%zu overflowed", (size_t)lane.overflowed);
	cr_expect_eq(lane.dropped, dropped, "%zu dropped", (size_t)lane.dropped);
}

/* It goes past the parked ones, to host 2, which takes it at once. */
static void overtaking_expect(void)
{
	struct ff_geneve_option option;
	struct outcome outcome;
	struct frame frame;

	frame_make(&frame, 18, 0);
	rig_run_frame(RIG_CLIENT, frame.data, frame.len, &outcome);
	cr_assert_eq(outcome.reasons, REASON(OVERTOOK), "%s", rig_reasons_text(outcome.reasons));
	cr_assert_eq(outcome.verdict, XDP_REDIRECT);
	memcpy(&option, outcome.out.data + 50, sizeof(option));
	cr_expect_eq(option.kind, FF_KIND_RETURN);
	cr_expect_arr_eq(outcome.out.data + FF_ENCAP_V4, frame.data, frame.len);
}

Test(park, bound_in_packets)
{
	struct outcome outcome;

	for (unsigned int i = 0; i < 3; i++)
		park(18, REASON(PARKED));
	lane_policy(FF_OVERFLOW_DROP, RIG_THERE, 3);
	park(18, REASON(DROP_PARK_FULL));
	counts_expect(3, 1, 1);
	/* the move will be rolled back: until then they are held */
	lane_policy(FF_OVERFLOW_ABORT, RIG_THERE, 3);
	park(18, REASON(PARKED));
	counts_expect(4, 2, 1);
	lane_policy(FF_OVERFLOW_REORDER, RIG_THERE, 4);
	overtaking_expect();
	counts_expect(4, 3, 1);
	/* of a local move, whose source has given up: there's no way past, so it is held */
	lane_policy(FF_OVERFLOW_REORDER, RIG_HERE, 4);
	park(18, REASON(PARKED));
	counts_expect(5, 3, 1);
	/* a packet that has gone makes room for another one */
	lane_policy(FF_OVERFLOW_DROP, RIG_THERE, 5);
	release_one(&outcome);
	park(18, REASON(PARKED));
	park(18, REASON(DROP_PARK_FULL));
	counts_expect(6, 4, 2);
}

/* One that went past the parked ones in vain comes back, and must not do so for ever. */
Test(park, no_second_way_past)
{
	const struct packet inner = { C4, UDP_C };
	struct ff_flow_key key = rig_key(FLOW);
	struct packet outer = { PEER,
				.tunnel = GENEVE(.inner = &inner, .vni = RIG_SERVICE,
						 .slot = rig_slot(&key), .hops = FF_HOPS_MAX) };

	lane_policy(FF_OVERFLOW_REORDER, RIG_THERE, 1);
	park(18, REASON(PARKED));
	rig_rows(&(struct row){ "back", RIG_FABRIC, outer, DROPPED(PARKED) }, 1);
	counts_expect(2, 0, 0);
}

/* However many packets may be held, what isn't there can't be filled. */
Test(park, bound_in_cells)
{
	static const uint16_t policies[] = { FF_OVERFLOW_DROP, FF_OVERFLOW_ABORT,
					     FF_OVERFLOW_REORDER };

	for (unsigned int i = 0; i < ROOM / 7; i++)
		park(PAYLOAD, REASON(PARKED));
	park(18, REASON(PARKED)); /* the last cell but those that each CPU may be about to take */
	cr_assert_eq(lane_get().park_tail, ROOM);
	for (size_t i = 0; i < COUNT(policies); i++) {
		lane_policy(policies[i], RIG_HERE, LIMIT);
		park(18, REASON(DROP_PARK_FULL));
		counts_expect(ROOM / 7 + 1, i + 1, i + 1);
	}
	lane_policy(FF_OVERFLOW_REORDER, RIG_THERE, LIMIT);
	overtaking_expect();
	counts_expect(ROOM / 7 + 1, COUNT(policies) + 1, COUNT(policies));
}

Test(park, lane_without_a_ring)
{
	ring_set(0, 0);
	park(18, REASON(DROP_INTERNAL));
	cr_expect_eq(lane_get().park_tail, 0, "it has taken a ticket");
	nothing_expect("there is no ring");
}

/* Everything has been released: packets that still find the flag go on at once, in order. */
Test(park, open_ring)
{
	ring_set(RING, FF_PARK_OPEN);
	rig_rows(&(struct row){ "open", RIG_CLIENT, { C4, UDP_C }, SENT }, 1);
	cr_expect_eq(rig_flow(FLOW, "packets", 0), 1);
	cr_expect_eq(lane_get().parked, 0);
	nothing_expect("it is open");
}

/* ---- back to the source ---------------------------------------------------------------------- */

/* As it came, in a tunnel packet that tells the source not to park it again. */
Test(park, returned_to_another_host)
{
	static const size_t payloads[] = { 18, 1400, 1000 };
	struct ff_flow_key key = rig_key(FLOW);
	struct ff_geneve_option option;
	struct outcome outcome;
	struct frame frame;

	for (uint32_t i = 0; i < COUNT(payloads); i++) {
		frame_make(&frame, payloads[i], i);
		frame_park(&frame, REASON(PARKED));
	}
	job_set(RIG_THERE); /* instance 2 is on host 2 */
	for (uint32_t i = 0; i < COUNT(payloads); i++) {
		frame_make(&frame, payloads[i], i);
		release_one(&outcome);
		cr_assert_eq(outcome.verdict, XDP_REDIRECT);
		cr_assert_eq(outcome.reasons, REASON(RETURNED), "%s",
			     rig_reasons_text(outcome.reasons));
		cr_assert_eq(outcome.out.len, FF_ENCAP_V4 + frame.len);
		cr_expect_arr_eq(outcome.out.data + FF_ENCAP_V4, frame.data, frame.len);
		memcpy(&option, outcome.out.data + 50, sizeof(option));
		cr_expect_eq(option.kind, FF_KIND_RETURN);
		cr_expect_eq(option.hops, 1);
		cr_expect_eq(ntohs(option.slot), rig_slot(&key));
		cr_expect_eq(ntohs(option.port[0]), 5000);
		cr_expect_eq(ntohs(option.port[1]), 53);
	}
	cr_expect_eq(rig_stats().packets, 0, "the NF here has seen them");
}
