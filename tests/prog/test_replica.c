/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_replica.c - rounds between an instance and its standby, what the standby accepts, and the flags
 * in the table by which changes are logged. Moves meanwhile are in test_replica_moves.c.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/prog/replica_rig.h"

static struct ff_error err;

TestSuite(replica, .init = replica_rig_init, .timeout = 60);

/* ---- rounds ------------------------------------------------------------------------------------ */

Test(replica, sends_all_and_then_what_changes)
{
	uint64_t bytes;

	packets(0, FLOWS);
	round_run();
	equal_expect("all");
	bytes = replica.bytes;
	packets(100, 3);
	packets(100, 3);
	replica.sent = 0;
	round_run();
	equal_expect("some changed");
	cr_expect_eq(replica.sent, 3);
	cr_expect_lt(replica.bytes - bytes, bytes / 10, "it costs what has changed");
	bytes = replica.bytes;
	round_run();
	cr_expect_eq(replica.bytes, bytes, "nothing changed");
}

Test(replica, what_is_gone_is_gone_there)
{
	struct ff_flow_key keys[2] = { state_rig_key(4), state_rig_key(5) };

	packets(0, 20);
	round_run();
	packets(4, 2);
	cr_assert_eq(state_forget_keys(&replica.instance->state, keys, 2, NULL, &err), 0);
	round_run();
	equal_expect("two deleted");
}

/* A log that is too small: anything may have changed. */
Test(replica, an_overflow_sends_all)
{
	packets(0, FLOWS);
	round_run();
	replica.lane.map->log_size = 10;
	packets(0, 50);
	round_run();
	equal_expect("overflow");
}

/* Each request has an end in sight, however much there is to look through. */
Test(replica, what_is_to_be_dropped_is_said_in_parts)
{
	packets(0, FLOWS);
	round_run();
	cr_expect_eq(drops.slots, RIG_SLOT_COUNT, "each slot once");
	cr_expect_leq(drops.most, 64);
	cr_expect_eq(drops.requests, RIG_SLOT_COUNT / 64);
	equal_expect("all");
}

/* Pins and rules are exceptions from slots, and come and go likewise. */
Test(replica, follows_pins_and_rules)
{
	struct ff_flow_key key = state_rig_key(7);
	struct subject pin = { .service = RIG_SERVICE_NO,
			       .slots_count = RIG_SLOT_COUNT,
			       .seed = { 0x1234, 0x5678 },
			       .keys = &key,
			       .keys_count = 1 };
	struct subject_rule all = { .index = 2, .match = { .flags = FF_MATCH_USED } };
	struct subject rule = { .service = RIG_SERVICE_NO, .rules = &all, .rules_count = 1 };
	struct subject none = { 0 };
	struct subject everything = slots_of("0-4095");
	struct table_entry nothing = { 0 };

	slotset_set_range(&all.slots, 0, 99);
	packets(0, FLOWS);
	round_run();
	edit(&pin, 0, 0);
	round_run();
	equal_expect("a pin away");
	edit(&pin, OWNER, 0);
	round_run();
	equal_expect("a pin here");
	packets(7, 1);
	round_run();
	equal_expect("a pinned flow changes");
	edit(&pin, 0, 0);
	round_run();
	cr_assert_eq(table_revert(agents[0].table, &pin, &none, &nothing, NULL, &err), 0);
	round_run();
	equal_expect("the pin away is gone");
	edit(&everything, 0, 0);
	round_run();
	edit(&pin, OWNER, 0);
	round_run();
	equal_expect("a pin here, its slot elsewhere");
	edit(&pin, 0, 0);
	round_run();
	equal_expect("a pin away, like its slot");
	edit(&pin, OWNER, 0);
	edit(&everything, OWNER, 0);
	edit(&rule, 0, 0);
	round_run();
	equal_expect("a rule away");
	cr_assert_eq(table_revert(agents[0].table, &rule, &none, &nothing, NULL, &err), 0);
	packets(0, FLOWS);
	round_run();
	equal_expect("no rule");
	edit(&rule, OWNER, 0);
	packets(0, FLOWS);
	round_run();
	packets(0, FLOWS);
	round_run();
	equal_expect("a rule here");
}

/* ---- the standby's side ------------------------------------------------------------------------ */

static void refused_expect(const char *says)
{
	struct ff_error why = { 0 };

	cr_expect_lt(replica_round(&replica, &why), 0);
	cr_expect(strstr(why.message, says), "%s", why.message);
}

/* I1: whoever thinks that it still owns can't change what its standby, an owner now, has. */
Test(replica, a_stale_owner_is_refused)
{
	static struct copy before, after;

	packets(0, FLOWS);
	round_run();
	standby_tell(0, STANDBY);
	copy_of(agents[1].instances[STANDBY], &before);
	cr_expect_eq(before.count, FLOWS, "the state is there");
	packets(0, FLOWS);
	refused_expect("isn't the standby");
	replica.all = true;
	refused_expect("isn't the standby");
	copy_of(agents[1].instances[STANDBY], &after);
	cr_expect_arr_eq(&after, &before, sizeof(after));
}

/* One that was made anew answers as if nothing had been: it is sent all. */
Test(replica, a_standby_begun_anew_gets_all)
{
	packets(0, FLOWS);
	round_run();
	standby_tell(0, OWNER);
	standby_tell(OWNER, OWNER);
	packets(0, 3);
	refused_expect("begun anew");
	replica.all = true;
	replica.life = 0;
	round_run();
	equal_expect("all again");
}

/* Of another instance's leftovers nothing stays. */
Test(replica, the_first_round_replaces_what_was_there)
{
	state_rig_fill(agents[1].instances[STANDBY], 400, 50, UINT64_MAX / 2);
	packets(0, 100);
	round_run();
	equal_expect("all");
}

/* ---- the table --------------------------------------------------------------------------------- */

static void logs_expect(uint32_t flow, bool due, uint8_t lane, const char *when)
{
	struct ff_steer steer = entry_of(flow);

	cr_expect_eq(!!(steer.flags & FF_STEER_LOG), due, "%s", when);
	cr_expect_eq(steer.lane, due ? lane : 0, "%s", when);
}

Test(replica, an_unchanged_configuration_changes_nothing)
{
	struct slotset changed;

	owner_all(OWNER);
	table_watch_take(agents[0].table, OWNER, &changed);
	cr_expect(slotset_is_empty(&changed));
	logs_expect(1, true, (uint8_t)replica.lane.number, "synced");
	owner_all(OTHER);
	table_watch_take(agents[0].table, OWNER, &changed);
	cr_expect_eq(slotset_count(&changed), RIG_SLOT_COUNT);
	logs_expect(1, false, 0, "elsewhere");
	owner_all(OWNER);
	table_watch_take(agents[0].table, OWNER, &changed);
	cr_expect_eq(slotset_count(&changed), RIG_SLOT_COUNT);
	logs_expect(1, true, (uint8_t)replica.lane.number, "here again");
}

Test(replica, its_end_leaves_no_flag)
{
	struct subject slot = slots_of("0-4095"), held = slots_of("0-99");
	struct ff_flow_key key = state_rig_key(7);
	uint8_t lane = (uint8_t)replica.lane.number;

	slot.keys = &key;
	slot.keys_count = 1;
	slot.seed[0] = 0x1234, slot.seed[1] = 0x5678;
	edit(&slot, OWNER, 0);
	edit(&held, OWNER, FF_STEER_LOG);
	logs_expect(7, true, lane, "pinned");
	cr_assert_eq(table_unwatch(agents[0].table, OWNER, &err), 0);
	for (uint32_t i = 0; i < FLOWS; i++) {
		struct ff_flow_key flow = state_rig_key(i);
		bool of_move = i != 7 && state_slot(&replica.instance->state, &flow) < 100;

		logs_expect(i, of_move, MOVE_LANE, "unwatched");
	}
	edit(&slot, OWNER, 0);
	logs_expect(7, false, 0, "written again");
}
