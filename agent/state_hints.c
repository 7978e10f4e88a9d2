/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/state_hints.h"

#include <string.h>

#include "agent/state_staging.h"

static bool keys_have(const struct hints *hints, uint32_t first, const struct ff_flow_key *key)
{
	for (uint32_t i = first; i < hints->count; i++)
		if (!memcmp(&hints->keys[i], key, sizeof(*key)))
			return true;
	return false;
}

/*
 * `born` is read before the flows: a flow is counted before it is born, so one whose key is read here
 * is among the flows, or has changed `born` by the time of hints_slot_whole().
 */
static enum hints_answer slot_add(struct hints *hints, const struct state *state, uint32_t slot)
{
	const struct ff_slot_hint *hint = &state->hints[slot];
	uint32_t born = __atomic_load_n(&hint->born, __ATOMIC_ACQUIRE);
	struct hinted_slot *to = &hints->slots[hints->slots_count];
	uint32_t flows = meters_slot_flows(state->meters, slot), first = hints->count;

	if (!flows)
		return HINTS_EMPTY;
	if (flows > FF_HINTS || !born)
		return HINTS_SEARCH;
	if (hints->count + FF_HINTS > ARRAY_SIZE(hints->keys))
		return HINTS_FULL;
	for (uint32_t i = 0; i < MIN(born, (uint32_t)FF_HINTS); i++) {
		struct ff_flow_key key = hint->keys[i];

		/* a flow that has come twice, or a key that two CPUs have written */
		if (!keys_have(hints, first, &key) && state_slot(state, &key) == slot)
			hints->keys[hints->count++] = key;
	}
	if (hints->count == first)
		return HINTS_SEARCH;
	*to = (struct hinted_slot){ slot, flows, born, first, hints->count - first };
	hints->slots_count++;
	return HINTS_TAKEN;
}

enum hints_answer hints_add_group(struct hints *hints, const struct state *state,
				  const struct slotset *slots, uint32_t group)
{
	uint32_t count = hints->count, slots_count = hints->slots_count;
	uint32_t first = group << state->group_shift, end = first + (1u << state->group_shift);
	enum hints_answer answer = HINTS_EMPTY;

	if (state_group_shared(state, group))
		return HINTS_SEARCH;
	for (uint32_t slot = first; slot < end && answer <= HINTS_TAKEN; slot++) {
		enum hints_answer one;

		if (slots && !slotset_test(slots, slot))
			continue;
		one = slot_add(hints, state, slot);
		answer = MAX(answer, one);
	}
	if (answer <= HINTS_TAKEN)
		return answer;
	hints->count = count;
	hints->slots_count = slots_count;
	/* an empty batch has no room for it: so it never will */
	return answer == HINTS_FULL && !count ? HINTS_SEARCH : answer;
}

bool hints_slot_whole(const struct state *state, const struct hinted_slot *slot, uint32_t found)
{
	return found == slot->flows &&
	       __atomic_load_n(&state->hints[slot->slot].born, __ATOMIC_ACQUIRE) == slot->born;
}
