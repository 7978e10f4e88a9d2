/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * planner_handover.c - which moves copy nothing: between two instances of one host their agent has maps
 * change hands, each of which holds the flows of a group of slots (agent/handover.c decides).
 *
 * Only a prediction: that the state's types and the maps are alike, and what other steps do to the same
 * groups before, isn't looked at. The bounds on freeze are kept as if all was copied.
 */
#include "orchestrator/planner_internal.h"

/* As the agent divides the slots (agent/state_groups.c). */
static unsigned int group_shift(size_t slots)
{
	unsigned int shift = 0;

	while (slots >> shift > FF_GROUPS_MAX)
		shift++;
	return shift;
}

/* A pin or a rule says that what is in a slot's map may be another's. */
static bool has_exceptions(const struct service_load *service)
{
	bool pinned = false;

	for (size_t i = 0; i < service->flows_n; i++)
		pinned |= service->flows[i].pinned;
	return pinned || service->rules_n;
}

/* Of the group of the step's slot at @first; *ret_n: how many of the step's are in it. */
static bool group_is_whole(const struct service_load *service, const struct plan_step *step,
			   size_t first, unsigned int shift, size_t *ret_n)
{
	size_t group = step->slots[first] >> shift, owned = 0, n = 0;
	size_t end = (group + 1) << shift;

	for (size_t slot = group << shift; slot < end && slot < service->slots_n; slot++) {
		if (step->to.id && service->slots[slot].owner == step->to.id)
			return false;
		owned += service->slots[slot].owner == step->from.id;
	}
	while (first + n < step->slots_n && step->slots[first + n] < end)
		n++;
	*ret_n = n;
	return n == owned;
}

bool step_hands_over(const struct problem *p, const struct plan_step *step)
{
	const struct service_load *service = p->service;
	unsigned int shift = group_shift(service->slots_n);
	size_t n;

	if (!step->from.id || step->from.host != step->to.host || !step->slots_n || step->flows_n ||
	    step->rules_n || step->leave_s > 0 || has_exceptions(service))
		return false;
	for (size_t first = 0; first < step->slots_n; first += n)
		if (!group_is_whole(service, step, first, shift, &n))
			return false;
	return true;
}
