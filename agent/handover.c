/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/handover.h"

#include <string.h>

#include "agent/target.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"

#define KEY "handover" /* in the move's file */

/* ---- the decision ------------------------------------------------------------------------------ */

static bool about_instance(const struct move *move, uint16_t instance)
{
	return move->from == instance || move->to == instance;
}

bool handover_excludes(const struct move *move, const struct move *other)
{
	struct slotset slots;

	if (!move->handover || move->subject.service != other->subject.service ||
	    (!about_instance(other, move->from) && !about_instance(other, move->to)))
		return false;
	subject_slots(&other->subject, &slots);
	return slotset_intersects(&move->held, &slots);
}

static bool others_excluded(struct move *move)
{
	struct move *moves[FF_LANES_MAX];
	bool any = false;

	move_all(move->agent, moves);
	for (size_t i = 0; i < FF_LANES_MAX; i++) {
		any |= moves[i] && handover_excludes(move, moves[i]);
		move_put(moves[i]);
	}
	return any;
}

/* All of these slots are the source's, and no other slot of their groups is of either instance. */
static bool slots_fit(struct move *move)
{
	struct table *table = move->agent->table;
	struct slotset of_from, of_to;
	bool whole = table_slots_of(table, move->subject.service, move->from, &of_from);

	whole &= table_slots_of(table, move->subject.service, move->to, &of_to);
	if (!whole || !slotset_contains(&of_from, &move->subject.slots))
		return false;
	slotset_subtract(&of_from, &move->subject.slots);
	return !slotset_intersects(&of_from, &move->held) &&
	       !slotset_intersects(&of_to, &move->held);
}

void handover_decide(struct move *move)
{
	if (!move->is_source || !move->is_target || move->no_precopy ||
	    !subject_is_slots(&move->subject))
		return;
	handing_slots(move->instance_from, &move->subject.slots, &move->held);
	if (!slots_fit(move) ||
	    !handing_fits(move->instance_from, move->instance_to, &move->subject.slots))
		return;
	move->handover = true;
	if (others_excluded(move))
		move->handover = false;
	move->seamless = move->handover && handing_seamless(move->instance_from, move->instance_to,
							    move->agent->dp->maps_dir);
}

int handover_note(struct move *move, struct ff_error *err)
{
	if (!move->handover)
		return 0;
	return json_put_str(move->request, KEY, move->seamless ? "seamless" : "parked") ?
		       error_nomem(err) :
		       0;
}

void handover_read(struct move *move)
{
	const char *how = json_string_value(json_object_get(move->request, KEY));

	if (!how || !move->instance_from || !move->instance_to)
		return;
	move->handover = true;
	move->seamless = !strcmp(how, "seamless");
	handing_slots(move->instance_from, &move->subject.slots, &move->held);
	handing_adopt(move->instance_from, move->instance_to);
}

/* ---- steps ------------------------------------------------------------------------------------- */

static int handing_need(struct move *move, struct ff_error *err)
{
	if (move->handing)
		return 0;
	return handing_new(move->instance_from, move->instance_to, &move->subject.slots,
			   &move->handing, err);
}

int handover_share(struct move *move, struct ff_error *err)
{
	int r = handing_need(move, err);

	return r ? r : handing_share(move->handing, move->token, err);
}

/* The target holds the truth. */
static int commit(struct move *move, uint64_t flows, struct ff_error *err)
{
	enum answer answer;

	pthread_mutex_lock(&move->lock);
	answer = phase_request(move->source, move->target_phase, REQUEST_COMMIT);
	move->flows += flows;
	if (answer == ANSWER_GO)
		move_target_phase(move, PHASE_COMMITTED);
	pthread_mutex_unlock(&move->lock);
	return answer == ANSWER_REFUSE ?
		       error_set(err, EBUSY, FF_CODE_REFUSED, NULL, "the target of move %s is %s",
				 move->id, phase_name(move->target_phase)) :
		       0;
}

int handover_complete(struct move *move, uint64_t switched_ns, struct ff_error *err)
{
	uint64_t flows = 0;
	int r = handing_need(move, err);

	if (!r)
		r = handing_take(move->handing, &flows, err);
	if (!r)
		r = commit(move, flows, err);
	if (!r && !move->seamless && move->target_phase != PHASE_RELEASED)
		r = target_release(move, switched_ns ? clock_ns() - switched_ns : 0, err);
	if (r)
		return r;
	pthread_mutex_lock(&move->lock);
	if (move->target_phase != PHASE_RELEASED)
		move_target_phase(move, PHASE_RELEASED);
	json_decref(move->result);
	move->result = target_released_json(move);
	move_source_phase(move, PHASE_DONE);
	pthread_mutex_unlock(&move->lock);
	return 0;
}

/* Waits until `final` is asked for; then there is no way back. */
static int switch_begin(struct move *move)
{
	int r = 0;

	pthread_mutex_lock(&move->lock);
	while (!move->final_asked && !atomic_load(&move->cancel))
		pthread_cond_wait(&move->changed, &move->lock);
	if (atomic_load(&move->cancel))
		r = -ECANCELED;
	else
		move_source_phase(move, PHASE_HANDOVER);
	pthread_mutex_unlock(&move->lock);
	return r;
}

int handover_switch(struct move *move, struct ff_error *err)
{
	uint64_t began, switched_ns;
	int r = 0;

	cpus_pace(PACE_URGENT);
	if (move->source != PHASE_HANDOVER)
		r = switch_begin(move);
	began = clock_ns();
	if (!r)
		r = move_apply(move, &switched_ns, err);
	if (r)
		return r;
	/* what the source's NF had in hand has ended: nothing is counted there any more */
	move_applied_await(move);
	r = handover_complete(move, switched_ns, err);
	move->final_us = (clock_ns() - began) / NSEC_PER_USEC;
	return r;
}

int handover_end(struct move *move, struct instance *loser, struct ff_error *err)
{
	bool forward = loser == move->instance_from;
	struct instance *keeper = forward ? move->instance_to : move->instance_from;
	uint64_t flows;
	int r = 0;

	if (!forward)
		handing_free(TAKE_PTR(move->handing));
	if (!move->handing)
		r = handing_new(loser, keeper, &move->subject.slots, &move->handing, err);
	if (!r)
		r = handing_take(move->handing, &flows, err);
	if (!r)
		r = handing_part(move->handing, err);
	if (!r)
		handing_free(TAKE_PTR(move->handing));
	return r;
}
