/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Per-flow state in the kernel's maps: read, deleted, shown. What is put in is what comes out, and
 * numbers add up.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "tests/prog/state_rig.h"

#define FOREVER	  (UINT64_MAX / 2)
#define VALUE_MAX 1024

TestSuite(state, .init = state_rig_init, .timeout = 60);

/* ---- reading ------------------------------------------------------------------------------- */

Test(state, dump_returns_each_entry_once)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct state_tally *tally = state_tally_new(a);
	uint64_t scanned;

	state_rig_fill(a, 0, STATE_RIG_MANY, FOREVER);
	state_rig_agree(a, STATE_RIG_MANY);
	cr_assert_eq(state_dump(&a->state, NULL, state_tally_visit, tally, &scanned, NULL), 0);
	cr_assert_eq(tally->visits, STATE_RIG_MANY);
	cr_assert_eq(scanned, STATE_RIG_MANY);
	cr_assert_eq(tally->wrong, 0);
	cr_assert_eq(state_tally_once(tally), STATE_RIG_MANY);
	free(tally);
	instance_free(a);
}

/* More in a group than the dump area takes. */
Test(state, dump_reads_large_groups)
{
	struct instance_spec spec = state_rig_spec("a", "counter", 1);
	struct instance *a = NULL;
	struct state_tally *tally;
	uint64_t scanned;

	spec.slots = 8;
	cr_assert_eq(instance_load(&spec, &a, NULL), 0);
	tally = state_tally_new(a);
	state_rig_fill(a, 0, STATE_RIG_MANY, FOREVER);
	cr_assert_eq(state_dump(&a->state, NULL, state_tally_visit, tally, &scanned, NULL), 0);
	cr_assert_eq(scanned, STATE_RIG_MANY);
	cr_assert_eq(tally->wrong, 0);
	cr_assert_eq(state_tally_once(tally), STATE_RIG_MANY);
	free(tally);
	instance_free(a);
}

static bool wants_even(const void *ctx, const struct ff_flow_key *key)
{
	(void)ctx;
	return state_rig_number(key) % 2 == 0;
}

/* A part of the slots costs in proportion to it, and a condition on the key holds as well. */
Test(state, dump_selects_slots_and_keys)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct state_tally *tally = state_tally_new(a);
	struct slotset slots = { 0 };
	struct state_select select = { .slots = &slots, .wants = wants_even };
	uint64_t scanned;
	uint32_t due = 0;

	slotset_set_range(&slots, 100, 139);
	slotset_set(&slots, 4095);
	state_rig_fill(a, 0, STATE_RIG_MANY, FOREVER);
	for (uint32_t i = 0; i < STATE_RIG_MANY; i += 2) {
		struct ff_flow_key key = state_rig_key(i);

		due += slotset_test(&slots, state_slot(&a->state, &key));
	}
	cr_assert_eq(state_dump(&a->state, &select, state_tally_visit, tally, &scanned, NULL), 0);
	cr_assert_eq(tally->visits, due);
	cr_assert_eq(state_tally_once(tally), due);
	/* 40 slots touch 6 groups of 8, the last one another: 7 of 512 */
	cr_assert_lt(scanned, STATE_RIG_MANY / 512 * 9);
	free(tally);
	instance_free(a);
}

static int stop_at_third(void *ctx, const struct ff_flow_key *key, const void *value)
{
	(void)key;
	(void)value;
	return ++*(int *)ctx == 3 ? -ECANCELED : 0;
}

Test(state, dump_stops_when_told)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	int visits = 0;

	state_rig_fill(a, 0, 1000, FOREVER);
	cr_assert_eq(state_dump(&a->state, NULL, stop_at_third, &visits, NULL, NULL), -ECANCELED);
	cr_assert_eq(visits, 3);
	instance_free(a);
}

/* A visitor that itself uses the instance: nothing may be locked meanwhile. */
static int visit_and_get(void *ctx, const struct ff_flow_key *key, const void *value)
{
	struct instance *instance = ctx;
	int seen = 0;

	(void)value;
	return state_get(&instance->state, key, 1, stop_at_third, &seen, NULL);
}

Test(state, visitors_may_come_back)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct ff_flow_key keys[3] = { state_rig_key(0), state_rig_key(1), state_rig_key(2) };

	state_rig_fill(a, 0, 3, FOREVER);
	cr_assert_eq(state_get(&a->state, keys, 3, visit_and_get, a, NULL), 0);
	cr_assert_eq(state_dump(&a->state, NULL, visit_and_get, a, NULL, NULL), 0);
	instance_free(a);
}

Test(state, expired_entries_are_not_seen)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct state_tally *tally = state_tally_new(a);
	struct ff_flow_key key = state_rig_key(7), keys[2] = { key, state_rig_key(12) };
	uint8_t value[VALUE_MAX];

	state_rig_fill(a, 0, 10, clock_ns() - 1);
	state_rig_fill(a, 10, 10, FOREVER);
	cr_assert_eq(state_dump(&a->state, NULL, state_tally_visit, tally, NULL, NULL), 0);
	cr_assert_eq(tally->visits, 10);
	cr_assert_eq(state_lookup(&a->state, &key, value), -ENOENT);
	cr_assert_eq(state_lookup(&a->state, &keys[1], value), 0);
	cr_assert_eq(state_get(&a->state, keys, 2, state_tally_visit, tally, NULL), 0);
	cr_assert_eq(tally->absent, 1);
	state_rig_agree(a, 20);
	free(tally);
	instance_free(a);
}

Test(state, get_returns_what_was_asked_in_order)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct state_tally *tally = state_tally_new(a);
	uint32_t count = 5000; /* more than the staging area holds at once */
	struct ff_flow_key *keys = calloc(count, sizeof(*keys));

	state_rig_fill(a, 0, 4000, FOREVER);
	for (uint32_t i = 0; i < count; i++)
		keys[i] = state_rig_key(i);
	cr_assert_eq(state_get(&a->state, keys, count, state_tally_visit, tally, NULL), 0);
	cr_assert_eq(tally->visits, count);
	cr_assert_eq(tally->absent, 1000);
	cr_assert_eq(tally->wrong, 0);
	cr_assert_eq(state_tally_once(tally), 4000);
	free(keys);
	free(tally);
	instance_free(a);
}

/* ---- deleting ------------------------------------------------------------------------------ */

Test(state, forgets_slots_and_nothing_else)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct slotset slots = { 0 }, rest = { 0 };
	struct state_select select = { .slots = &rest };
	struct state_tally *tally = state_tally_new(a);
	uint64_t deleted, due = 0;

	slotset_set_range(&slots, 0, 1001);
	slotset_set_range(&rest, 1002, RIG_SLOT_COUNT - 1);
	state_rig_fill(a, 0, STATE_RIG_MANY, FOREVER);
	for (uint32_t i = 0; i < STATE_RIG_MANY; i++) {
		struct ff_flow_key key = state_rig_key(i);

		due += slotset_test(&slots, state_slot(&a->state, &key));
	}
	cr_assert_eq(state_forget_slots(&a->state, &slots, &deleted, NULL), 0);
	cr_assert_eq(deleted, due);
	state_rig_agree(a, STATE_RIG_MANY - due);
	cr_assert_eq(state_dump(&a->state, &select, state_tally_visit, tally, NULL, NULL), 0);
	cr_assert_eq(tally->visits, STATE_RIG_MANY - due);
	cr_assert_eq(state_forget_slots(&a->state, &slots, &deleted, NULL), 0);
	cr_assert_eq(deleted, 0, "twice must do");
	free(tally);
	instance_free(a);
}

Test(state, forgets_keys_absent_ones_too)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct ff_flow_key *keys = calloc(3000, sizeof(*keys));
	uint64_t deleted;

	for (uint32_t i = 0; i < 3000; i++)
		keys[i] = state_rig_key(i);
	state_rig_fill(a, 1000, 4000, FOREVER);
	cr_assert_eq(state_forget_keys(&a->state, keys, 3000, &deleted, NULL), 0);
	cr_assert_eq(deleted, 2000);
	state_rig_agree(a, 2000);
	free(keys);
	instance_free(a);
}

/* ---- shown --------------------------------------------------------------------------------- */

Test(state, a_flow_is_shown_as_the_api_says)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct ff_flow_key key = state_rig_key(5);
	uint64_t now = clock_ns();
	uint8_t value[VALUE_MAX];
	_cleanup_json_ json_t *flow = NULL;
	json_t *state;

	state_rig_fill(a, 5, 1, now + 2 * NSEC_PER_SEC);
	cr_assert_eq(state_lookup(&a->state, &key, value), 0);
	state_rig_set(a, value, "mode", 0, 1);
	state_rig_set(a, value, "balance", 0, (uint32_t)-3);
	state_rig_set(a, value, "port", 0, htons(8080));
	state_rig_set(a, value, "mac", 0, 2);
	flow = instance_flow_json(a, &key, value, now);
	cr_assert_str_eq(json_string_value(json_object_get(flow, "flow")),
			 "udp 198.18.0.0:1029 198.19.0.0:53");
	cr_assert_eq(json_integer_value(json_object_get(flow, "expires_ms")), 2000);
	cr_assert_eq(json_integer_value(json_object_get(flow, "moves")), 1);
	state = json_object_get(flow, "state");
	cr_assert_eq(json_integer_value(json_array_get(json_object_get(state, "packets"), 0)), 6);
	cr_assert_str_eq(json_string_value(json_object_get(state, "mode")), "busy");
	cr_assert_eq(json_integer_value(json_object_get(state, "balance")), -3);
	cr_assert_eq(json_integer_value(json_object_get(state, "port")), 8080);
	cr_assert_str_eq(json_string_value(json_object_get(state, "mac")), "02:00:00:00:00:00");
	cr_assert_null(json_object_get(state, "pad"));
	instance_free(a);
}

Test(state, other_scopes_are_declared_and_dumped)
{
	struct instance *a = state_rig_load("a", "counter", 1);
	struct ff_flow_key key = state_rig_key(0);
	_cleanup_json_ json_t *answer = NULL;
	json_t *state, *entries;

	for (int i = 0; i < 3; i++)
		state_rig_packet(a, &key, clock_ns());
	cr_assert_eq(instance_state_json(a, 10, &answer, NULL), 0);
	cr_assert_eq(json_array_size(json_object_get(answer, "states")), 3);
	state = json_array_get(json_object_get(answer, "states"), 2);
	cr_assert_str_eq(json_string_value(json_object_get(state, "scope")), "all-flows");
	entries = json_object_get(state, "entries");
	cr_assert_eq(json_integer_value(
			     json_object_get(json_object_get(json_array_get(entries, 0), "value"),
					     "packets")),
		     3);
	instance_free(a);
}
