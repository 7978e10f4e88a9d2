/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * planner_handover.c - which moves copy nothing: between two instances of one host their agent has maps
 * change hands, each of which holds the flows of a group of slots (agent/handover.c decides); and what it
 * costs to move a unit, so or as a copy.
 *
 * A step hands over if of each group all slots of its source go, and its target has none. While units are
 * placed, that is known of groups of one slot (services of up to FF_GROUPS_MAX slots), and of what
 * leaves its instance altogether; else a copy is reckoned with.
 *
 * Only a prediction: that the state's types and the maps are alike, what other steps do to the same
 * groups before, and that a plan which makes pins can hand nothing over, isn't looked at while placing;
 * but such a plan leaves alone what mayn't be copied (planner.c).
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

void handover_prepare(struct problem *p)
{
	double patience_s = p->policy->scale_in.patience_ms / 1e3;

	p->hands_over = !has_exceptions(p->service);
	p->group_shift = group_shift(p->service->slots_n);
	p->leaves = life_ending(&p->service->lives, patience_s) > 0;
}

void handover_groups(struct problem *p)
{
	for (size_t i = 0; i < p->flows_at; i++) {
		size_t group = i >> p->group_shift;

		if (p->units[i].home != NOWHERE)
			p->bins[p->units[i].home].groups[group / 64] |= 1ull << group % 64;
	}
}

static bool bin_has_group(const struct bin *bin, size_t group)
{
	return bin->groups[group / 64] >> group % 64 & 1;
}

/* Both are on one host, and all of what is moved goes. */
static bool bins_hand_over(const struct problem *p, uint32_t home, uint32_t to)
{
	const struct bin *from;

	if (!p->hands_over || home == NOWHERE || home == to)
		return false;
	from = &p->bins[home];
	return !from->is_gone && from->spot != NOWHERE && from->spot == p->bins[to].spot &&
	       !(p->leaves && from->patience_s > 0);
}

bool unit_hands_over(const struct problem *p, const struct unit *unit, uint32_t to)
{
	size_t slot = (size_t)(unit - p->units);

	if (unit->kind == UNIT_RULE || !bins_hand_over(p, unit->home, to))
		return false;
	if (unit->kind == UNIT_FLOW && (!unit->is_rider || unit->is_split))
		return false;
	if (p->group_shift == 0)
		return true;
	if (unit->kind == UNIT_FLOW)
		slot = p->service->flows[slot - p->flows_at].slot;
	return unit_must_leave(p, unit) && !bin_has_group(&p->bins[to], slot >> p->group_shift);
}

double unit_cost_to(const struct problem *p, const struct unit *unit, uint32_t to)
{
	if (!unit_hands_over(p, unit, to))
		return unit->cost;
	return cost_marginal_handover(p->input->cost, unit->load,
				      unit->cost / p->bins[unit->home].empty_cost);
}

double cluster_cost_to(const struct problem *p, uint32_t unit, uint32_t to)
{
	double cost = 0;

	for (uint32_t m = unit; m != NOWHERE; m = p->units[m].chain) {
		if (p->units[m].kind == UNIT_SLOT)
			for (uint32_t r = p->units[m].rider; r != NOWHERE; r = p->units[r].rider)
				if (!p->units[r].is_split)
					cost += unit_cost_to(p, &p->units[r], to);
		cost += unit_cost_to(p, &p->units[m], to);
	}
	return cost;
}

bool cluster_may_go(const struct problem *p, uint32_t unit, uint32_t to)
{
	if (!p->units[unit].is_bound || unit_must_leave(p, &p->units[unit]))
		return true;
	for (uint32_t m = unit; m != NOWHERE; m = p->units[m].chain)
		if (!unit_hands_over(p, &p->units[m], to))
			return false;
	return true;
}

/* ---- what is handed over in the end -------------------------------------------------------- */

/* All that @from has of the slot's group goes to @to, which has none. */
static bool group_goes(const struct problem *p, const struct moved *moved)
{
	size_t group = moved->unit >> p->group_shift;
	size_t end = (group + 1) << p->group_shift;

	if (bin_has_group(&p->bins[moved->to], group))
		return false;
	for (size_t slot = group << p->group_shift; slot < end && slot < p->flows_at; slot++)
		if (p->units[slot].home == moved->from && p->units[slot].at != moved->to)
			return false;
	return true;
}

void moved_mark(const struct problem *p, struct moved *all, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (all[i].is_split) /* a pin */
			return;
	for (size_t i = 0; i < n; i++) {
		const struct moved *before = i > 0 ? &all[i - 1] : NULL;

		if (all[i].unit >= p->flows_at || !bins_hand_over(p, all[i].from, all[i].to))
			continue;
		if (before && before->from == all[i].from && before->to == all[i].to &&
		    before->unit >> p->group_shift == all[i].unit >> p->group_shift)
			all[i].is_handed = before->is_handed;
		else
			all[i].is_handed = group_goes(p, &all[i]);
	}
}
