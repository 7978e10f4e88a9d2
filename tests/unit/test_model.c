/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_model.c - who owns what: look-ups, change sets, what they make superfluous, overlaps. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "orchestrator/desired.h"
#include "orchestrator/model.h"

#define SLOTS 256u
#define A     1
#define B     2
#define C     3

static struct owners table;

static void setup(void)
{
	cr_assert_eq(owners_init(&table, SLOTS), 0);
	owners_spread(&table, (uint16_t[]){ A, B }, 2);
}

static void teardown(void)
{
	owners_done(&table);
}

TestSuite(model, .init = setup, .fini = teardown);

static struct ff_flow_key key_of(unsigned int port)
{
	struct ff_flow_key key;
	char text[FLOW_TEXT_MAX];

	snprintf(text, sizeof(text), "tcp 198.18.1.2:%u 198.18.2.2:80", port);
	cr_assert_eq(flow_parse(text, &key), 0, "%s", text);
	return key;
}

/* A flow whose slot belongs to @owner; successive ones for successive @n. */
static struct ff_flow_key key_owned(uint16_t owner, unsigned int n)
{
	for (unsigned int port = 1; port < 65536; port++) {
		struct ff_flow_key key = key_of(port);

		if (table.owners[owners_slot(&table, &key)] == owner && n-- == 0)
			return key;
	}
	cr_assert_fail("no such flow");
	return key_of(1);
}

static struct change *change_new(void)
{
	struct change *change = calloc(1, sizeof(*change));

	cr_assert_not_null(change);
	return change;
}

static void change_add_rule(struct change *change, unsigned int index, const char *match,
			    const struct slotset *slots)
{
	struct change_rule *rule = &change->rules[change->rules_n++];
	bool exact;

	rule->index = index;
	rule->slots = *slots;
	cr_assert_eq(match_from_text(match, &rule->match, &exact, NULL), 0);
	cr_assert(exact);
}

static void apply_rule(unsigned int index, const char *match, const struct slotset *slots,
		       uint16_t to)
{
	_cleanup_change_ struct change *change = change_new();

	change_add_rule(change, index, match, slots);
	cr_assert_eq(owners_apply(&table, change, to), 0);
}

static struct slotset slots_of(uint16_t owner)
{
	struct slotset slots;

	owners_slots_of(&table, owner, &slots);
	return slots;
}

/* ---- owners ---------------------------------------------------------------------------------- */

Test(model, slots_are_spread_evenly)
{
	unsigned int slots, rules;
	size_t pins;

	owners_spread(&table, (uint16_t[]){ A, B, C }, 3);
	for (uint16_t i = A; i <= C; i++) {
		owners_count(&table, i, &slots, &pins, &rules);
		cr_assert(slots == SLOTS / 3 || slots == SLOTS / 3 + 1, "%u", slots);
		cr_assert_eq(pins + rules, 0);
	}
	cr_assert_eq(owners_init(&(struct owners){ 0 }, 100), -EINVAL);
	cr_assert_eq(owners_init(&(struct owners){ 0 }, 2 * FF_SLOTS_MAX), -EINVAL);
}

Test(model, pin_over_rule_over_slot)
{
	_cleanup_change_ struct change *change = change_new();
	struct ff_flow_key key = key_owned(A, 0);
	struct slotset slots = slots_of(A);
	enum owners_how how;
	unsigned int rule;

	cr_assert_eq(owners_find(&table, &key, &how, NULL), A);
	cr_assert_eq(how, OWNERS_SLOT);
	apply_rule(3, "tcp", &slots, B);
	cr_assert_eq(owners_find(&table, &key, &how, &rule), B);
	cr_assert(how == OWNERS_RULE && rule == 3);
	change_add_flow(change, &key);
	cr_assert_eq(owners_apply(&table, change, C), 0);
	cr_assert_eq(owners_find(&table, &key, &how, NULL), C);
	cr_assert_eq(how, OWNERS_PIN);
}

Test(model, redundant_pins_go)
{
	_cleanup_change_ struct change *pins = change_new(), *slots = change_new();

	for (unsigned int i = 0; i < 10; i++) {
		struct ff_flow_key key = key_owned(A, i);

		change_add_flow(pins, &key);
	}
	change_sort(pins);
	cr_assert_eq(owners_apply(&table, pins, B), 0);
	cr_assert_eq(table.pins_n, 10);
	cr_assert_eq(owners_apply(&table, pins, A), 0);
	cr_assert_eq(table.pins_n, 0, "back home they are no exceptions any more");

	cr_assert_eq(owners_apply(&table, pins, B), 0);
	slots->slots = slots_of(A);
	cr_assert_eq(owners_apply(&table, slots, B), 0);
	cr_assert_eq(table.pins_n, 0, "their slots have followed them");
}

/* Pins that say nothing yet outlive every change but those of their own flows, slots and rules. */
Test(model, what_is_held_stays_when_its_slot_goes)
{
	_cleanup_change_ struct change *held = change_new(), *other = change_new(),
				       *slots = change_new();
	struct ff_flow_key elsewhere = key_owned(B, 0);
	unsigned int slot;

	for (unsigned int i = 0; i < 10; i++) {
		struct ff_flow_key key = key_owned(A, i);

		change_add_flow(held, &key);
	}
	change_sort(held);
	slots->slots = slots_of(A);
	cr_assert_eq(owners_hold(&table, held->flows, held->flows_n, A), 0);
	cr_assert_eq(table.pins_n, 10);
	/* another change of the service, say another step of the plan */
	slotset_set(&other->slots, owners_slot(&table, &elsewhere));
	change_add_flow(other, &elsewhere);
	cr_assert_eq(owners_apply(&table, other, C), 0);
	cr_assert_eq(table.pins_n, 10);
	cr_assert_eq(owners_apply(&table, slots, B), 0);
	cr_assert_eq(table.pins_n, 10);
	for (unsigned int i = 0; i < 10; i++)
		cr_expect_eq(owners_find(&table, &held->flows[i], NULL, NULL), A);
	slotset_foreach(slot, &slots->slots)
		cr_expect_eq(table.owners[slot], B);
	/* and they go as any, when their slots come back */
	cr_assert_eq(owners_apply(&table, slots, A), 0);
	cr_assert_eq(table.pins_n, 0);
}

Test(model, redundant_rules_go)
{
	_cleanup_change_ struct change *some = change_new();
	struct slotset slots = slots_of(A);
	unsigned int slot = slotset_next(&slots, 0);

	apply_rule(0, "tcp and dst port 80", &slots, B);
	cr_assert(table.rules[0].used);
	slotset_set(&some->slots, slot);
	cr_assert_eq(owners_apply(&table, some, B), 0);
	cr_assert(!slotset_test(&table.rules[0].slots, slot), "the rule says nothing there now");
	cr_assert(table.rules[0].used);
	apply_rule(0, "tcp and dst port 80", &table.rules[0].slots, A);
	cr_assert(!table.rules[0].used);
}

/* A rule that agrees with the slot still matters where a later rule would decide otherwise. */
Test(model, a_rule_that_shields_another_stays)
{
	struct slotset slots = slots_of(A);
	struct ff_flow_key key = key_owned(A, 0);

	apply_rule(0, "tcp and dst port 80", &slots, B);
	apply_rule(1, "tcp", &slots, C);
	cr_assert_eq(owners_find(&table, &key, NULL, NULL), B);
	apply_rule(0, "tcp and dst port 80", &slots, A);
	cr_assert(table.rules[0].used);
	cr_assert_eq(owners_find(&table, &key, NULL, NULL), A);
	apply_rule(1, "tcp", &slots, A);
	cr_assert(!table.rules[0].used && !table.rules[1].used, "nothing is left to shield");
}

Test(model, unpin_spares_others)
{
	_cleanup_change_ struct change *pins = change_new();
	struct ff_flow_key keys[2] = { key_owned(A, 0), key_owned(A, 1) };

	change_add_flow(pins, &keys[0]);
	change_add_flow(pins, &keys[1]);
	change_sort(pins);
	owners_apply(&table, pins, B);
	cr_assert_eq(owners_unpin(&table, keys, 2, C), 0, "they are pinned to B");
	cr_assert_eq(owners_unpin(&table, keys, 1, B), 1);
	cr_assert_null(owners_pin(&table, &keys[0]));
	cr_assert_not_null(owners_pin(&table, &keys[1]));
}

/*
 * Against a model so simple that it can't be wrong: each flow's owner by the change last applied.
 */
Test(model, random_changes)
{
	enum { FLOWS = 200, ROUNDS = 300 };
	struct ff_flow_key keys[FLOWS];
	uint16_t expected[FLOWS];

	srand(42);
	for (int i = 0; i < FLOWS; i++) {
		keys[i] = key_of(1000 + i);
		expected[i] = owners_find(&table, &keys[i], NULL, NULL);
	}
	for (int round = 0; round < ROUNDS; round++) {
		_cleanup_change_ struct change *change = change_new();
		uint16_t to = A + rand() % 3;
		int n = rand() % 20;

		for (int i = 0; i < n; i++) {
			int which = rand() % FLOWS;

			change_add_flow(change, &keys[which]);
			expected[which] = to;
		}
		change_sort(change);
		/* whole slots, with the pins in them: what moving an instance does */
		if (rand() % 4 == 0) {
			unsigned int slot = rand() % SLOTS;

			slotset_set(&change->slots, slot);
			for (int i = 0; i < FLOWS; i++) {
				if (owners_slot(&table, &keys[i]) != slot)
					continue;
				change_add_flow(change, &keys[i]);
				expected[i] = to;
			}
			change_sort(change);
		}
		cr_assert_eq(owners_apply(&table, change, to), 0);
		for (int i = 0; i < FLOWS; i++)
			cr_assert_eq(owners_find(&table, &keys[i], NULL, NULL), expected[i]);
		for (size_t i = 0; i < table.pins_n; i++)
			cr_assert_neq(table.pins[i].instance,
				      table.owners[owners_slot(&table, &table.pins[i].key)],
				      "a pin that says nothing");
	}
}

/* ---- overlap --------------------------------------------------------------------------------- */

Test(model, overlaps)
{
	_cleanup_change_ struct change *slots = change_new(), *pin = change_new(),
				       *rule = change_new(), *other = change_new();
	struct ff_flow_key in = key_owned(A, 0), out = key_owned(B, 0);
	struct slotset of_a = slots_of(A), of_b = slots_of(B);

	slots->slots = of_a;
	change_add_flow(pin, &in);
	cr_assert(change_overlaps(&table, slots, pin), "a pin in a slot that moves");
	cr_assert(change_overlaps(&table, pin, slots));
	cr_assert(change_overlaps(&table, pin, pin), "the same pin");
	change_add_flow(other, &out);
	cr_assert(!change_overlaps(&table, slots, other));
	cr_assert(!change_overlaps(&table, pin, other));

	change_add_rule(rule, 0, "tcp and dst port 80", &of_a);
	cr_assert(change_overlaps(&table, rule, slots), "a rule of slots that move");
	cr_assert(change_overlaps(&table, rule, pin), "a pin that the rule takes");
	cr_assert(!change_overlaps(&table, rule, other));
	rule->rules_n = 0;
	change_add_rule(rule, 0, "udp", &of_a);
	cr_assert(!change_overlaps(&table, rule, pin), "a rule that doesn't take the pin");
	change_add_rule(other, 1, "icmp", &of_b);
	cr_assert(!change_overlaps(&table, rule, other));
	other->rules[0].slots = of_a;
	cr_assert(change_overlaps(&table, rule, other), "two rules of one slot");
}

/* ---- JSON ------------------------------------------------------------------------------------ */

Test(model, change_survives_json)
{
	_cleanup_change_ struct change *change = change_new(), *back = NULL;
	_cleanup_json_ json_t *json = NULL, *again = NULL;
	struct slotset slots = slots_of(B);
	struct ff_error err = { 0 };

	for (unsigned int i = 0; i < 5; i++) {
		struct ff_flow_key key = key_owned(A, i);

		change_add_flow(change, &key);
	}
	change_sort(change);
	slotset_set_range(&change->slots, 3, 9);
	change_add_rule(change, 7, "udp and src net 198.18.1.0/24", &slots);
	json = change_to_json(change, 1000);
	cr_assert_eq(change_from_json(json, SLOTS, &back, &err), 0, "%s", err.message);
	again = change_to_json(back, 1000);
	cr_assert(json_equal(json, again));
	json_object_set_new(json, "slots", json_string("300"));
	change_free(TAKE_PTR(back));
	cr_assert_lt(change_from_json(json, SLOTS, &back, &err), 0, "the service has 256 slots");
}

/* ---- the model ------------------------------------------------------------------------------- */

Test(model, names_and_numbers)
{
	struct ff_error err = { 0 };
	struct instance *instance;
	struct service *service;
	struct model model;

	cr_assert_eq(model_init(&model), 0);
	cr_assert_eq(model_add_service(&model, "fw", 64, &service, &err), 0);
	cr_assert_eq(model_add_service(&model, "fw", 64, &service, &err), -EEXIST);
	cr_assert_str_eq(err.code, "exists");
	cr_assert_eq(model_add_service(&model, "odd", 65, &service, &err), -EINVAL);
	cr_assert_eq(model_get_service(&model, "fvv", &service, &err), -ENOENT);
	cr_assert(strstr(err.mend, "fw"), "the mend names those that exist: %s", err.mend);

	cr_assert_eq(model_add_instance(&model, "fw-1", 1, 1, &instance, &err), 0);
	cr_assert_eq(instance->id, 1);
	model_remove_instance(&model, instance);
	cr_assert_eq(model_add_instance(&model, "fw-2", 1, 1, &instance, &err), 0);
	cr_assert_eq(instance->id, 2, "a number isn't used again at once");
	for (int i = 3; i < FF_INSTANCES_MAX + 1; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%d", i);
		cr_assert_eq(model_add_instance(&model, name, 1, 1, &instance, &err), 0, "%s",
			     name);
	}
	cr_assert_eq(model_add_instance(&model, "more", 1, 1, &instance, &err), -ENOSPC);
	model_done(&model);
}

Test(model, bad_names)
{
	static const char *const bad[] = {
		"", "-x", "a b", "a/b", ".x", "ü", "a123456789012345678901234567890123"
	};
	struct ff_error err = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_eq(name_check("service", bad[i], &err), -EINVAL, "%s", bad[i]);
	cr_assert_eq(name_check("service", "fw-1.a_B", &err), 0);
}
