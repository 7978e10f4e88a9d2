/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_fence.c - fences: those of a move are noted, others refused; and the agent's live frames. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <endian.h>
#include <string.h>

#include "tests/prog/harness.h"

#define TOKEN 0x1122334455667788ull

static void fence_init(void)
{
	rig_init("firewall", RIG_ALL);
}

TestSuite(fence, .init = fence_init, .timeout = 120);

static void fence_run(const struct ff_fence *fence, size_t len, uint16_t protocol, uint8_t kind,
		      struct outcome *ret)
{
	struct geneve geneve = { .raw = { (const uint8_t *)fence, len },
				 .vni = RIG_SERVICE,
				 .protocol = protocol,
				 .kind = kind };

	rig_run(RIG_FABRIC, PACKET(PEER, .tunnel = &geneve), ret);
}

Test(fence, of_a_move_and_not)
{
	const struct ff_fence good = { .token = htobe64(TOKEN),
				       .age_ns = htobe64(1000),
				       .from = htons(2),
				       .cpu = htons(5),
				       .path = htons(6) };
	const struct {
		const char *what;
		struct ff_fence fence;
		size_t len;
	} bad[] = {
		{ "another move's", { .token = htobe64(1) }, sizeof(good) },
		{ "token 0", {}, sizeof(good) },
		{ "no such steering host",
		  { .token = htobe64(TOKEN), .from = htons(FF_STEERING_MAX) },
		  sizeof(good) },
		{ "no such CPU",
		  { .token = htobe64(TOKEN), .cpu = htons(FF_CPUS_MAX) },
		  sizeof(good) },
		{ "no such path",
		  { .token = htobe64(TOKEN), .path = htons(FF_PATHS) },
		  sizeof(good) },
		{ "cut short", good, sizeof(good) - 1 },
		{ "empty", good, 0 },
	};
	struct ff_lane lane = { .token = TOKEN };
	static struct ff_fences board, empty;
	struct outcome outcome;
	uint32_t index = 3;

	rig_map_set("lanes", &index, &lane);
	for (size_t i = 0; i < COUNT(bad); i++) {
		fence_run(&bad[i].fence, bad[i].len, FF_ETH_P_FENCE, FF_KIND_FENCE, &outcome);
		cr_expect(outcome.verdict == XDP_DROP && outcome.reasons == REASON(DROP_FENCE),
			  "%s: %s", bad[i].what, rig_reasons_text(outcome.reasons));
	}
	for (index = 0; index < FF_LANES_MAX; index++) {
		rig_map_get("fences", &index, &board);
		cr_expect_arr_eq(&board, &empty, sizeof(board), "lane %u has a fence", index);
	}
	fence_run(&good, sizeof(good), FF_ETH_P_FENCE, FF_KIND_FENCE, &outcome);
	cr_expect_eq(outcome.reasons, REASON(FENCE_SEEN), "%s", rig_reasons_text(outcome.reasons));
	index = 3;
	rig_map_get("fences", &index, &board);
	cr_expect_eq(board.seen[2][5][0], 1ull << 6);
	board.seen[2][5][0] = 0;
	cr_expect_arr_eq(&board, &empty, sizeof(board), "and no other bit");
	rig_map_get("lanes", &index, &lane);
	cr_expect_gt(lane.fence_origin_ns, 0);
}

Test(fence, from_a_stranger)
{
	const struct ff_fence fence = { .token = htobe64(TOKEN) };
	struct geneve geneve = { .raw = { (const uint8_t *)&fence, sizeof(fence) },
				 .vni = RIG_SERVICE,
				 .protocol = FF_ETH_P_FENCE,
				 .kind = FF_KIND_FENCE };
	const struct row row = {
		"forged",
		RIG_FABRIC,
		{ .src = "198.18.8.66", .dst = "198.18.8.1", TUNNEL_UDP, .tunnel = &geneve },
		DROPPED(DROP_STRANGER)
	};
	struct ff_lane lane = { .token = TOKEN };
	static struct ff_fences board, empty;
	uint32_t index = 0;

	rig_map_set("lanes", &index, &lane);
	rig_rows(&row, 1);
	rig_map_get("fences", &index, &board);
	cr_expect_arr_eq(&board, &empty, sizeof(board));
}

/* The agent's live frames have no addresses; their cookie is what they're known by. */
Test(fence, live_frames)
{
	struct ff_job_frame frame = { .proto = htons(FF_ETH_P_FENCE), .cookie = { 11, 22 } };
	struct ff_job job = { .cookie = { 11, 22 },
			      .token = TOKEN,
			      .paths = { 1ull << 5 },
			      .host = 2,
			      .service = RIG_SERVICE,
			      .prog = FF_PROG_FENCE };
	struct outcome outcome;
	uint16_t port;

	for (uint32_t cpu = 0; cpu < FF_CPUS_MAX; cpu++)
		rig_map_set("jobs", &cpu, &job);
	rig_run_frame(RIG_FABRIC, &frame, sizeof(frame), &outcome);
	cr_expect_eq(outcome.verdict, XDP_REDIRECT);
	cr_expect_eq(outcome.reasons, REASON(FENCE_SENT), "%s", rig_reasons_text(outcome.reasons));
	cr_assert_eq(outcome.out.len, FF_ENCAP_V4 + sizeof(struct ff_fence));
	memcpy(&port, outcome.out.data + 34, sizeof(port));
	cr_expect_eq(ntohs(port), FF_PATH_PORT + 5);
	frame.cookie[1]++;
	rig_run_frame(RIG_FABRIC, &frame, sizeof(frame), &outcome);
	cr_expect_eq(outcome.verdict, XDP_PASS);
	cr_expect_eq(outcome.reasons, REASON(PASS_NOT_US), "%s", rig_reasons_text(outcome.reasons));
}
