/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Deleting per-flow state: forget, sweep. All by BPF programs, one at a time.
 */
#include <string.h>

#include "agent/state.h"
#include "agent/state_hints.h"
#include "agent/state_staging.h"
#include "lib/cleanup.h"

/* Groups of one sweep run: 8 of 2000 flows are 4 ms; others get at the lock between. */
#define GROUPS_PER_RUN 8
/*
 * What a periodic sweep looks at. It costs by the groups that it walks, however few flows are in them: 0.3 ms
 * for each, 80 ms of 1 M flows. So it comes round in 128 calls as a rule, and in 16 as long as it finds
 * enough for it.
 */
#define SWEEP_CALLS	128
#define SWEEP_HASTE_MAX 3   /* 128 >> 3 is 16 */
#define SWEEP_WINDOW	32u /* groups that are judged together */
#define SWEEP_WORTH	4   /* groups for each dead flow: nobody knows of its end before */

/* ---- forget -------------------------------------------------------------------------------- */

/* At most FF_STAGING_RECORDS; state->lock is held. */
static int keys_delete(struct state *state, const struct ff_flow_key *keys, uint32_t count,
		       struct state_counts *ret_counts, struct ff_error *err)
{
	for (uint32_t i = 0; i < count; i++) {
		struct ff_record *record = state_record(state, i);

		record->key = keys[i];
		record->group = state_slot(state, &record->key) >> state->group_shift;
		record->kind = FF_RECORD_DELETE;
	}
	return count ? state_put_run(state, count, ret_counts, err) : 0;
}

int state_forget_keys(struct state *state, const struct ff_flow_key *keys, size_t count,
		      uint64_t *ret_deleted, struct ff_error *err)
{
	struct state_counts counts = { 0 };
	int r = 0;

	pthread_mutex_lock(&state->lock);
	for (size_t at = 0; at < count && r == 0; at += FF_STAGING_RECORDS)
		r = keys_delete(state, keys + at,
				(uint32_t)MIN(count - at, (size_t)FF_STAGING_RECORDS), &counts,
				err);
	pthread_mutex_unlock(&state->lock);
	if (ret_deleted)
		*ret_deleted = counts.deleted;
	return r;
}

/* Whatever is in the slots that the hints name: all of it is to go, so there is nothing to check. */
static int hints_delete(struct state *state, struct hints *hints, uint64_t *deleted,
			struct ff_error *err)
{
	struct state_counts counts = { 0 };
	int r;

	pthread_mutex_lock(&state->lock);
	r = keys_delete(state, hints->keys, hints->count, &counts, err);
	pthread_mutex_unlock(&state->lock);
	hints->count = hints->slots_count = 0;
	*deleted += counts.deleted;
	return r;
}

/* Has no flows of these slots; NULL: of any. */
static bool group_is_empty(const struct state *state, const struct slotset *slots, uint32_t group)
{
	uint32_t first = group << state->group_shift, end = first + (1u << state->group_shift);

	for (uint32_t slot = first; slot < end; slot++)
		if ((!slots || slotset_test(slots, slot)) && meters_slot_flows(state->meters, slot))
			return false;
	return true;
}

/* Looks at every entry of the group. */
static int group_forget(struct state *state, const struct slotset *slots, uint32_t group,
			uint64_t *deleted, struct ff_error *err)
{
	struct ff_state_forget forget = { .first = group, .count = 1 };
	int r;

	pthread_mutex_lock(&state->lock);
	/* another caller's slots may have been in it since the last group */
	memcpy(state->forget_slots, slots->bits, sizeof(slots->bits));
	r = state_program_free(state, state->forget_fd, "forget", &forget, sizeof(forget), err);
	pthread_mutex_unlock(&state->lock);
	*deleted += r == 0 ? forget.deleted : 0;
	return r;
}

/* First where flows are few, by their keys; then what is left, by reading the groups' maps. */
int state_forget_slots(struct state *state, const struct slotset *slots, uint64_t *ret_deleted,
		       struct ff_error *err)
{
	_cleanup_free_ struct hints *hints = calloc(1, sizeof(*hints));
	uint64_t deleted = 0;
	int r = hints ? 0 : error_nomem(err);

	for (uint32_t group = 0; group < state->groups && r == 0; group++) {
		if (!state_group_selected(state, slots, group) ||
		    hints_add_group(hints, state, slots, group) != HINTS_FULL)
			continue;
		r = hints_delete(state, hints, &deleted, err);
		group--; /* once more, with room */
	}
	if (r == 0)
		r = hints_delete(state, hints, &deleted, err);
	for (uint32_t group = 0; group < state->groups && r == 0; group++)
		if (state_group_selected(state, slots, group) &&
		    !group_is_empty(state, slots, group))
			r = group_forget(state, slots, group, &deleted, err);
	if (ret_deleted)
		*ret_deleted = deleted;
	return r;
}

/* ---- sweep --------------------------------------------------------------------------------- */

/* Now, and not only when the sweep began. Under state->lock. */
static void sweep_skip_shared(const struct state *state, struct ff_sweep *sweep)
{
	for (size_t i = 0; i < ARRAY_SIZE(sweep->skip); i++)
		sweep->skip[i] |= atomic_load(&state->shared[i]);
}

static bool sweep_skips(const struct ff_sweep *sweep, uint32_t group)
{
	return sweep->skip[group / 64] & 1ull << (group % 64);
}

/* Groups first .. first + count - 1, GROUPS_PER_RUN at a time, but none where all are to be skipped. */
static int groups_sweep(struct state *state, struct ff_sweep *sweep, uint32_t first, uint32_t count,
			uint64_t *ret_swept, struct ff_error *err)
{
	uint32_t end = first + count;
	int r = 0;

	for (; first < end && r == 0; first += GROUPS_PER_RUN) {
		sweep->first = first;
		sweep->count = MIN(end - first, (uint32_t)GROUPS_PER_RUN);
		while (sweep->count && sweep_skips(sweep, first + sweep->count - 1))
			sweep->count--;
		if (!sweep->count)
			continue;
		pthread_mutex_lock(&state->lock);
		sweep_skip_shared(state, sweep);
		r = state_program_free(state, state->sweep_fd, "sweep", sweep, sizeof(*sweep), err);
		pthread_mutex_unlock(&state->lock);
		if (r == 0)
			*ret_swept += sweep->swept;
	}
	return r;
}

/*
 * Groups with slots in `skip`, and those without flows, of groups first .. first + count - 1. Returns how
 * many are left.
 */
static uint32_t sweep_skip(const struct state *state, const struct slotset *skip, uint32_t first,
			   uint32_t count, struct ff_sweep *sweep)
{
	uint32_t left = count;

	for (uint32_t group = first; group < first + count; group++) {
		if ((!skip || !state_group_selected(state, skip, group)) &&
		    !group_is_empty(state, NULL, group))
			continue;
		sweep->skip[group / 64] |= 1ull << (group % 64);
		left--;
	}
	return left;
}

int state_sweep(struct state *state, uint64_t now_ns, const struct slotset *skip,
		uint64_t *ret_swept, struct ff_error *err)
{
	struct ff_sweep sweep = { .now_ns = now_ns };
	uint64_t swept = 0;
	int r;

	sweep_skip(state, skip, 0, state->groups, &sweep);
	r = groups_sweep(state, &sweep, 0, state->groups, &swept, err);
	if (ret_swept)
		*ret_swept = swept;
	return r;
}

/* Which groups: *ret_first .. *ret_first + what it returns - 1. */
static uint32_t sweep_take(struct state *state, uint32_t *ret_first)
{
	uint32_t count = (state->groups + SWEEP_CALLS - 1) / SWEEP_CALLS;

	pthread_mutex_lock(&state->lock);
	/* dead entries count against the capacity, so a full instance looks everywhere */
	if (state_flows(state) > state->control->capacity / 8 * 7 && !state->sweep_vain) {
		*ret_first = 0;
		count = state->groups;
	} else {
		*ret_first = state->sweep_next < state->groups ? state->sweep_next : 0;
		count = MIN(count << state->sweep_haste, state->groups - *ret_first);
		state->sweep_next = *ret_first + count;
	}
	pthread_mutex_unlock(&state->lock);
	return count;
}

/* What expires in masse is spread over all groups. A whole round in vain halves the pace. */
static void sweep_note(struct state *state, uint32_t count, uint32_t walked, uint64_t swept)
{
	uint32_t rounds;

	pthread_mutex_lock(&state->lock);
	rounds = state->sweep_vain / state->groups;
	state->sweep_vain += count;
	state->sweep_walked += walked;
	state->sweep_found += swept;
	if (state->sweep_found * SWEEP_WORTH >= MAX(state->sweep_walked, SWEEP_WINDOW)) {
		state->sweep_vain = 0;
		state->sweep_haste = SWEEP_HASTE_MAX;
	} else if (state->sweep_haste && state->sweep_vain / state->groups > rounds) {
		state->sweep_haste--;
	}
	if (!state->sweep_vain || state->sweep_walked >= SWEEP_WINDOW)
		state->sweep_walked = state->sweep_found = 0;
	pthread_mutex_unlock(&state->lock);
}

int state_sweep_part(struct state *state, uint64_t now_ns, const struct slotset *skip,
		     uint64_t *ret_swept, struct ff_error *err)
{
	struct ff_sweep sweep = { .now_ns = now_ns };
	uint64_t swept = 0;
	int r = 0;

	if (state_flows(state)) {
		uint32_t first, count = sweep_take(state, &first);
		uint32_t walked = sweep_skip(state, skip, first, count, &sweep);

		r = groups_sweep(state, &sweep, first, count, &swept, err);
		sweep_note(state, count, walked, swept);
	}
	if (ret_swept)
		*ret_swept = swept;
	return r;
}
