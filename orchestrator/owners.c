/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* owners.c - look-ups and changes of a service's owners. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "orchestrator/owners.h"

int owners_init(struct owners *table, uint32_t slots)
{
	if (!slots || slots > FF_SLOTS_MAX || (slots & (slots - 1)))
		return -EINVAL;
	memset(table, 0, sizeof(*table));
	table->slots = slots;
	table->version = 1;
	/* from the kernel: whoever could guess it could aim all flows at one slot */
	if (getrandom(table->seed, sizeof(table->seed), 0) != sizeof(table->seed))
		return -EIO;
	return 0;
}

void owners_done(struct owners *table)
{
	free(table->pins);
	table->pins = NULL;
	table->pins_n = 0;
}

/* ---- look-ups ------------------------------------------------------------------------------- */

unsigned int owners_slot(const struct owners *table, const struct ff_flow_key *key)
{
	/* the hash reads words of 8 bytes, and a key need not be aligned so */
	struct ff_flow_key aligned __attribute__((aligned(8))) = *key;
	__u64 seed[2] = { table->seed[0], table->seed[1] };

	return ff_slot_hash(&aligned, seed) & (table->slots - 1);
}

static int pin_cmp(const void *x, const void *y)
{
	return flow_cmp(&((const struct pin *)x)->key, &((const struct pin *)y)->key);
}

const struct pin *owners_pin(const struct owners *table, const struct ff_flow_key *key)
{
	struct pin wanted = { .key = *key };

	if (!table->pins_n)
		return NULL;
	return bsearch(&wanted, table->pins, table->pins_n, sizeof(*table->pins), pin_cmp);
}

/* What decides on a flow when it isn't pinned. */
static uint16_t owner_below_pin(const struct owners *table, const struct ff_flow_key *key,
				enum owners_how *ret_how, unsigned int *ret_rule)
{
	unsigned int slot = owners_slot(table, key);

	for (unsigned int i = 0; i < FF_RULES_MAX; i++) {
		const struct rule *rule = &table->rules[i];

		if (rule->used && slotset_test(&rule->slots, slot) &&
		    match_test(&rule->match, key)) {
			*ret_how = OWNERS_RULE;
			*ret_rule = i;
			return rule->instance;
		}
	}
	*ret_how = OWNERS_SLOT;
	return table->owners[slot];
}

uint16_t owners_find(const struct owners *table, const struct ff_flow_key *key,
		     enum owners_how *ret_how, unsigned int *ret_rule)
{
	const struct pin *pin = owners_pin(table, key);
	enum owners_how how = OWNERS_PIN;
	unsigned int rule = 0;
	uint16_t owner;

	owner = pin ? pin->instance : owner_below_pin(table, key, &how, &rule);
	if (ret_how)
		*ret_how = how;
	if (ret_rule)
		*ret_rule = rule;
	return owner;
}

void owners_slots_of(const struct owners *table, uint16_t instance, struct slotset *ret_slots)
{
	slotset_clear(ret_slots);
	for (unsigned int slot = 0; slot < table->slots; slot++)
		if (table->owners[slot] == instance)
			slotset_set(ret_slots, slot);
}

void owners_count(const struct owners *table, uint16_t instance, unsigned int *ret_slots,
		  size_t *ret_pins, unsigned int *ret_rules)
{
	*ret_slots = 0;
	*ret_pins = 0;
	*ret_rules = 0;
	for (unsigned int slot = 0; slot < table->slots; slot++)
		*ret_slots += table->owners[slot] == instance;
	for (size_t i = 0; i < table->pins_n; i++)
		*ret_pins += table->pins[i].instance == instance;
	for (unsigned int i = 0; i < FF_RULES_MAX; i++)
		*ret_rules += table->rules[i].used && table->rules[i].instance == instance;
}

/* ---- changes -------------------------------------------------------------------------------- */

void owners_spread(struct owners *table, const uint16_t *instances, size_t n)
{
	assert(n);
	for (unsigned int slot = 0; slot < table->slots; slot++)
		table->owners[slot] = instances[(uint64_t)slot * n / table->slots];
	table->version++;
}

/* Whether a rule with a higher index applies to the slot, which could decide instead. */
static bool rule_has_higher(const struct owners *table, unsigned int index, unsigned int slot)
{
	for (unsigned int i = index + 1; i < FF_RULES_MAX; i++)
		if (table->rules[i].used && slotset_test(&table->rules[i].slots, slot))
			return true;
	return false;
}

/* Whether a rule with a lower index takes the same flows of the slot first. */
static bool rule_is_shadowed(const struct owners *table, unsigned int index, unsigned int slot)
{
	for (unsigned int i = 0; i < index; i++)
		if (table->rules[i].used && slotset_test(&table->rules[i].slots, slot) &&
		    !memcmp(&table->rules[i].match, &table->rules[index].match,
			    sizeof(struct ff_match)))
			return true;
	return false;
}

/*
 * From the highest index down, so that a rule whose successors go can go as well. A rule stays in
 * a slot that its instance owns only where a later rule would otherwise decide.
 */
static void rules_tidy(struct owners *table)
{
	for (int i = FF_RULES_MAX - 1; i >= 0; i--) {
		struct rule *rule = &table->rules[i];
		unsigned int slot;

		if (!rule->used)
			continue;
		slotset_foreach(slot, &rule->slots) {
			bool says_nothing = table->owners[slot] == rule->instance &&
					    !rule_has_higher(table, i, slot);

			if (says_nothing || rule_is_shadowed(table, i, slot))
				slotset_unset(&rule->slots, slot);
		}
		if (slotset_is_empty(&rule->slots))
			memset(rule, 0, sizeof(*rule));
	}
}

/* Whether what decides on a flow without a pin may have been changed. */
static bool change_touches(const struct change *subject, unsigned int slot)
{
	for (size_t i = 0; i < subject->rules_n; i++)
		if (slotset_test(&subject->rules[i].slots, slot))
			return true;
	return slotset_test(&subject->slots, slot);
}

/*
 * Pins that say nothing any more, by this change: as their flow is one of it, or is below the pin. Others
 * stay: owners_hold() makes some that say nothing yet.
 */
static void pins_tidy(struct owners *table, const struct change *subject)
{
	enum owners_how how;
	unsigned int rule;
	size_t kept = 0, named = 0;

	for (size_t i = 0; i < table->pins_n; i++) {
		const struct pin *pin = &table->pins[i];
		bool touched;

		/* both are sorted, and each of the subject's flows has a pin by now */
		touched = named < subject->flows_n &&
			  flow_cmp(&pin->key, &subject->flows[named]) == 0;
		named += touched;
		touched = touched || change_touches(subject, owners_slot(table, &pin->key));
		if (!touched || owner_below_pin(table, &pin->key, &how, &rule) != pin->instance)
			table->pins[kept++] = *pin;
	}
	table->pins_n = kept;
}

/* Merges the subject's flows into the sorted pins. */
static int pins_merge(struct owners *table, const struct change *subject, uint16_t to)
{
	size_t room = table->pins_n + subject->flows_n, n = 0, i = 0, j = 0;
	struct pin *merged;

	if (!subject->flows_n)
		return 0;
	merged = calloc(room, sizeof(*merged));
	if (!merged)
		return -ENOMEM;
	while (i < table->pins_n || j < subject->flows_n) {
		int order = i == table->pins_n ? 1 :
			    j == subject->flows_n ?
						 -1 :
						 flow_cmp(&table->pins[i].key, &subject->flows[j]);

		if (order < 0) {
			merged[n++] = table->pins[i++];
			continue;
		}
		i += order == 0;
		merged[n].key = subject->flows[j++];
		merged[n++].instance = to;
	}
	free(table->pins);
	table->pins = merged;
	table->pins_n = n;
	return 0;
}

int owners_apply(struct owners *table, const struct change *subject, uint16_t to)
{
	unsigned int slot;
	int r;

	r = pins_merge(table, subject, to);
	if (r < 0)
		return r;
	slotset_foreach(slot, &subject->slots)
		table->owners[slot] = to;
	for (size_t i = 0; i < subject->rules_n; i++) {
		const struct change_rule *change = &subject->rules[i];

		table->rules[change->index] = (struct rule){
			.used = true,
			.instance = to,
			.match = change->match,
			.slots = change->slots,
		};
	}
	rules_tidy(table);
	pins_tidy(table, subject);
	table->version++;
	return 0;
}

int owners_hold(struct owners *table, const struct ff_flow_key *keys, size_t n, uint16_t instance)
{
	struct change subject = { .flows = (struct ff_flow_key *)keys, .flows_n = n };
	int r = pins_merge(table, &subject, instance);

	table->version += r == 0;
	return r;
}

size_t owners_unpin(struct owners *table, const struct ff_flow_key *keys, size_t n,
		    uint16_t instance)
{
	size_t removed = 0, kept = 0;

	for (size_t i = 0; i < n; i++) {
		struct pin *pin = (struct pin *)owners_pin(table, &keys[i]);

		if (pin && pin->instance == instance)
			pin->instance = 0;
	}
	for (size_t i = 0; i < table->pins_n; i++) {
		if (table->pins[i].instance)
			table->pins[kept++] = table->pins[i];
		else
			removed++;
	}
	table->pins_n = kept;
	table->version += removed > 0;
	return removed;
}
