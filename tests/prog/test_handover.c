/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flows change hands with the maps that they are in: all of them, once, with their counts, hints
 * and history; in each state in between, and over again from each.
 */
#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include "agent/handover_state.h"
#include "agent/instance_pins.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "tests/prog/state_rig.h"

#define FOREVER	 (UINT64_MAX / 2)
#define FLOWS	 20000
#define FEW	 100 /* of slots: all found by hints */
#define TOKEN	 0x1230
#define MAPS_DIR "/sys/fs/bpf/host/maps"

TestSuite(handover, .init = state_rig_init, .timeout = 600); /* emulated, too */

static struct instance *a, *b;
static struct slotset all;

static void two_load(void)
{
	a = state_rig_load("a", "counter", 1);
	b = state_rig_load("b", "counter", 2);
	slotset_set_range(&all, 0, RIG_SLOT_COUNT - 1);
}

static struct handing *handing(struct instance *from, struct instance *to)
{
	struct handing *handing = NULL;
	struct ff_error err = { 0 };

	cr_assert_eq(handing_new(from, to, &all, &handing, &err), 0, "%s", err.message);
	return handing;
}

static void share(struct handing *h)
{
	struct ff_error err = { 0 };

	cr_assert_eq(handing_share(h, TOKEN, &err), 0, "%s", err.message);
}

static uint64_t take(struct handing *h)
{
	struct ff_error err = { 0 };
	uint64_t flows = 0;

	cr_assert_eq(handing_take(h, &flows, &err), 0, "%s", err.message);
	return flows;
}

static void part(struct handing *h)
{
	struct ff_error err = { 0 };

	cr_assert_eq(handing_part(h, &err), 0, "%s", err.message);
}

/* What a dump of the instance visits, each flow once. */
static uint32_t dumped(struct instance *instance)
{
	struct state_tally *tally = state_tally_new(instance);
	struct ff_error err = { 0 };
	uint32_t visits;

	cr_assert_eq(state_dump(&instance->state, NULL, state_tally_visit, tally, NULL, &err), 0,
		     "%s", err.message);
	cr_assert_eq(tally->visits, state_tally_once(tally));
	visits = tally->visits;
	free(tally);
	return visits;
}

/* Slot by slot, as all together. */
static uint64_t counted(const struct instance *instance)
{
	uint64_t flows = 0;

	for (uint32_t slot = 0; slot < RIG_SLOT_COUNT; slot++)
		flows += meters_slot_flows(&instance->meters, slot);
	return flows;
}

static void owned(struct instance *instance, uint32_t flows)
{
	state_rig_agree(instance, flows);
	cr_assert_eq(counted(instance), flows);
	cr_assert_eq(dumped(instance), flows);
}

static void packets(const struct instance *instance, uint32_t first, uint32_t count)
{
	/* or, emulated, flows would expire before the test has seen the end of them */
	uint64_t later = clock_ns() + 600 * NSEC_PER_SEC;

	for (uint32_t i = first; i < first + count; i++) {
		struct ff_flow_key key = state_rig_key(i);

		state_rig_packet(instance, &key, later);
	}
}

static uint64_t packets_of(const struct instance *instance, uint32_t flow, struct ff_head *ret_head)
{
	struct ff_flow_key key = state_rig_key(flow);
	uint8_t value[STREAM_VALUE_MAX];

	cr_assert_eq(state_lookup(&instance->state, &key, value), 0, "flow %u", flow);
	memcpy(ret_head, value, sizeof(*ret_head));
	return state_rig_get(instance, value, "packets", 0);
}

Test(handover, all_flows_change_hands_and_come_back)
{
	struct handing *h;

	two_load();
	state_rig_fill(a, 0, FLOWS, FOREVER);
	cr_assert(handing_fits(a, b, &all));
	h = handing(a, b);
	share(h);
	cr_assert_eq(take(h), FLOWS);
	part(h);
	handing_free(h);
	owned(a, 0);
	owned(b, FLOWS);
	h = handing(b, a);
	share(h);
	cr_assert_eq(take(h), FLOWS);
	part(h);
	handing_free(h);
	owned(a, FLOWS);
	owned(b, 0);
}

/*
 * Flows begin at either in each state in between; what is dumped is complete, whatever is counted.
 */
Test(handover, flows_that_begin_meanwhile_are_counted_once)
{
	struct handing *h;
	struct ff_head head;

	two_load();
	packets(a, 0, FEW);
	h = handing(a, b);
	share(h);
	packets(a, FEW, FEW); /* still with a */
	cr_assert_eq(dumped(a), 2 * FEW);
	packets(b, 2 * FEW, FEW);      /* they go to b from here on */
	packets(b, 0, FEW);	       /* and so do the old ones */
	cr_assert_eq(counted(b), FEW); /* b has counted but its own */
	cr_assert_eq(dumped(b), 3 * FEW);
	cr_assert_eq(take(h), 2 * FEW);
	cr_assert_eq(take(h), 0, "taken twice");
	packets(b, 3 * FEW, FEW);
	part(h);
	handing_free(h);
	owned(a, 0);
	owned(b, 4 * FEW);
	cr_assert_eq(packets_of(b, 0, &head), 2);
	cr_assert_eq(packets_of(b, FEW, &head), 1);
	packets(a, 5 * FEW, FEW);
	owned(a, FEW);
	owned(b, 4 * FEW);
}

Test(handover, hints_go_with_the_flows)
{
	struct handing *h;

	two_load();
	packets(a, 0, FEW);
	h = handing(a, b);
	share(h);
	take(h);
	part(h);
	handing_free(h);
	/* no map of b can be read */
	memset(b->state.group_ids, 0, sizeof(b->state.group_ids));
	close(b->state.dump_fd);
	b->state.dump_fd = -1;
	cr_assert_eq(dumped(b), FEW);
}

/* Though no entry is written: and those born later haven't moved. */
Test(handover, moves_are_told_of_those_that_moved)
{
	struct ff_head head;
	struct handing *h;

	two_load();
	packets(a, 0, FEW);
	for (int turn = 0; turn < 3; turn++) {
		h = turn % 2 ? handing(b, a) : handing(a, b);
		share(h);
		packets(turn % 2 ? a : b, (turn + 1) * FEW, FEW);
		take(h);
		part(h);
		handing_free(h);
	}
	for (uint32_t i = 0; i < 4; i++) {
		packets_of(b, i * FEW, &head);
		cr_assert_eq(head.moves, 3 - i, "flow %u moved %u times", i * FEW, head.moves);
		cr_assert_eq(head.moved_by, i < 3 ? TOKEN : 0);
	}
}

Test(handover, what_expired_is_swept_by_none_before_and_by_the_new_one_after)
{
	uint64_t swept, now = clock_ns();
	struct handing *h;

	two_load();
	state_rig_fill(a, 0, FLOWS, now - 10 * NSEC_PER_SEC);
	h = handing(a, b);
	share(h);
	cr_assert_eq(state_sweep(&a->state, now, NULL, &swept, NULL), 0);
	cr_assert_eq(swept, 0);
	take(h);
	cr_assert_eq(state_sweep(&a->state, now, NULL, &swept, NULL), 0);
	cr_assert_eq(swept, 0);
	cr_assert_eq(state_sweep(&b->state, now, NULL, &swept, NULL), 0);
	cr_assert_eq(swept, 0);
	part(h);
	handing_free(h);
	cr_assert_eq(state_sweep(&b->state, now, NULL, &swept, NULL), 0);
	cr_assert_eq(swept, FLOWS);
	owned(a, 0);
	owned(b, 0);
}

/* An agent that dies leaves no more than what is pinned. */
static void two_adopt(void)
{
	instance_free(a);
	instance_free(b);
	a = state_rig_adopt("a");
	b = state_rig_adopt("b");
	handing_adopt(a, b);
}

Test(handover, another_agent_goes_on_from_each_step)
{
	struct handing *h;

	two_load();
	for (int step = 0; step < 3; step++) {
		state_rig_fill(a, 0, FLOWS, FOREVER);
		h = handing(a, b);
		share(h);
		if (step > 0)
			take(h);
		if (step > 1)
			part(h);
		handing_free(h);
		two_adopt();
		cr_assert_eq(state_group_shared(&a->state, 0), step < 2);
		cr_assert_eq(state_group_shared(&b->state, 0), step < 2);
		h = handing(a, b);
		if (step < 2)
			share(h);
		take(h);
		part(h);
		handing_free(h);
		owned(a, 0);
		owned(b, FLOWS);
		cr_assert_eq(state_forget_slots(&b->state, &all, NULL, NULL), 0);
	}
}

/* Back to the first, before and after the counts have gone. */
Test(handover, it_goes_back_from_each_step)
{
	struct handing *h;

	two_load();
	state_rig_fill(a, 0, FLOWS, FOREVER);
	for (int step = 0; step < 2; step++) {
		h = handing(a, b);
		share(h);
		if (step > 0)
			take(h);
		handing_free(h);
		if (step > 0)
			two_adopt();
		h = handing(b, a);
		take(h);
		part(h);
		handing_free(h);
		owned(a, FLOWS);
		owned(b, 0);
		cr_assert(handing_fits(a, b, &all));
	}
}

/* One place of many takes no map: those that did are known to be shared, and are parted again. */
Test(handover, it_goes_back_from_half_a_share)
{
	_cleanup_close_ int fd = -1;
	struct ff_error err = { 0 };
	struct bpf_map_info other;
	uint32_t last, id;
	struct handing *h;

	two_load();
	state_rig_fill(a, 0, FLOWS, FOREVER);
	last = a->state.groups - 1;
	id = a->state.group_ids[last];
	cr_assert_eq(pin_open(b->pin_dir, PIN_CONTROL, &fd, &err), 0);
	cr_assert_eq(map_info(fd, &other), 0);
	h = handing(a, b);
	a->state.group_ids[last] = other.id; /* no map of flows */
	cr_assert_lt(handing_share(h, TOKEN, &err), 0);
	a->state.group_ids[last] = id;
	handing_free(h);
	cr_assert_eq(a->state.group_ids[0], b->state.group_ids[0]);
	h = handing(b, a);
	take(h);
	part(h);
	handing_free(h);
	packets(b, FLOWS, FEW);
	owned(a, FLOWS);
	owned(b, FEW);
}

Test(handover, some_slots_go_if_their_groups_hold_no_others)
{
	struct slotset some = { 0 }, held;
	struct ff_flow_key key = state_rig_key(0);
	uint32_t slot, group;
	struct handing *h;

	two_load();
	slot = state_slot(&a->state, &key);
	group = slot >> a->state.group_shift;
	slotset_set(&some, slot);
	handing_slots(a, &some, &held);
	cr_assert_eq(slotset_count(&held), 1u << a->state.group_shift);
	state_rig_fill(a, 0, 1, FOREVER);
	cr_assert(handing_fits(a, b, &some));
	for (uint32_t i = 1, beside = 0; !beside; i++) {
		key = state_rig_key(i);
		if (!slotset_test(&held, state_slot(&a->state, &key)))
			continue;
		beside = i;
		state_rig_fill(a, beside, 1, FOREVER);
		cr_assert_eq(handing_fits(a, b, &some), state_slot(&a->state, &key) == slot);
		cr_assert_eq(state_forget_keys(&a->state, &key, 1, NULL, NULL), 0);
	}
	cr_assert_eq(handing_new(a, b, &some, &h, NULL), 0);
	share(h);
	cr_assert(state_group_shared(&b->state, group));
	cr_assert_not(state_group_shared(&b->state, group ^ 1));
	take(h);
	part(h);
	handing_free(h);
	owned(a, 0);
	owned(b, 1);
}

Test(handover, not_everything_fits)
{
	struct instance_spec spec = state_rig_spec("c", "counter", 3);
	struct instance *c = NULL, *other;

	two_load();
	other = state_rig_load("other", "counter2", 4);
	spec.capacity = 2000000;
	cr_assert_eq(instance_load(&spec, &c, NULL), 0);
	state_rig_fill(a, 0, FEW, FOREVER);
	cr_assert(handing_fits(a, b, &all));
	cr_assert_not(handing_fits(a, a, &all));
	cr_assert_not(handing_fits(a, c, &all), "maps of another size");
	cr_assert_not(handing_fits(a, other, &all), "state of other types");
	instance_set_capacity(b, FEW - 1);
	cr_assert_not(handing_fits(a, b, &all), "no room");
	instance_set_capacity(b, FEW);
	cr_assert(handing_fits(a, b, &all));
	state_rig_fill(b, FEW, 1, FOREVER);
	instance_set_capacity(b, 2 * FEW);
	cr_assert_not(handing_fits(a, b, &all), "others' flows in the way");
}

Test(handover, two_that_run_one_program_need_not_be_kept_apart)
{
	struct instance *other;

	two_load();
	other = state_rig_load("other", "counter2", 4);
	cr_assert(handing_seamless(a, b, MAPS_DIR));
	cr_assert_not(handing_seamless(a, other, MAPS_DIR));
	cr_assert_not(handing_seamless(a, b, "/sys/fs/bpf/host"), "not the host's locks");
}
