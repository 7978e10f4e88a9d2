/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/source.h"

#include <string.h>

#include "agent/handover.h"
#include "agent/steering.h"
#include "agent/transfer.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"

#define EARLY_WAIT_NS (20 * NSEC_PER_MSEC) /* for a copy in prepare, answered then without it */
/* Rounds of so many go before all ordinary work: while copying; and once packets wait, or soon will. */
#define BRISK_FLOWS  1024 /* some 3 ms */
#define URGENT_FLOWS CONVERGE_URGENT_FLOWS

/* Changes that are worth a round of their own while others get ready to switch, and how often. */
#define SHORT_ROUND_FLOWS (CONVERGE_FLOWS / 2)
#define SHORT_ROUND_NS	  (2 * NSEC_PER_MSEC)
#define POLL_NS		  (20 * NSEC_PER_USEC) /* for fences: they take some 100 us */
#define POLL_SLOW_NS	  NSEC_PER_MSEC
#define POLL_FAST_NS	  (100 * NSEC_PER_MSEC) /* after that the switch isn't imminent */
#define UNFENCED_WAIT_NS  (20 * NSEC_PER_MSEC)	/* for the first fence, where none is needed */
#define FENCES_WAIT_NS	  (5 * NSEC_PER_SEC)
#define HANDOVER_LOOK_NS  NSEC_PER_SEC /* what has begun is waited for, as long as it takes */
#define HOLD_WAIT_NS	  (NSEC_PER_SEC) /* to be in order isn't worth more; the fences are sent again */

static bool cancelled(struct move *move)
{
	return atomic_load(&move->cancel);
}

/* ---- rounds ------------------------------------------------------------------------------------ */

static int round_begin(struct move *move, bool final, enum cpus_pace pace, struct transfer **ret,
		       struct ff_error *err)
{
	struct transfer_spec spec = {
		.target = move->target,
		.header = { .epoch = move->agent->dp->host->epoch,
			    .token = move->token,
			    .round = move->rounds,
			    .final = final },
		.state = &move->instance_from->state,
		.cancel = &move->cancel,
		.pace = pace,
	};
	uint64_t origin = move->source_lane.map->fence_origin_ns;

	cpus_pace(pace);
	strcpy(spec.header.op, move->id);
	if (final && origin)
		spec.frozen_ns = clock_ns() - origin;
	return transfer_begin(&spec, ret, err);
}

static int round_end(struct move *move, struct transfer *transfer, int result, json_t **ret_reply,
		     struct ff_error *err)
{
	uint64_t bytes = 0;
	int r = result;

	if (!r || r == -EPIPE)
		r = transfer_end(transfer, &bytes, ret_reply, err);
	else
		transfer_cancel(transfer);
	pthread_mutex_lock(&move->lock);
	move->bytes += bytes;
	move->rounds++;
	pthread_cond_broadcast(&move->changed);
	pthread_mutex_unlock(&move->lock);
	return r;
}

/* Everything that the subject has here. */
static int round_full(struct move *move, bool final, json_t **ret_reply, struct ff_error *err)
{
	struct slotset slots;
	struct move_taking taking = { move, move->instance_from };
	struct state_select select = { .slots = &slots, .wants = NULL };
	bool few = state_flows(&move->instance_from->state) <= BRISK_FLOWS;
	enum cpus_pace pace = few ? PACE_URGENT : final ? PACE_NORMAL : PACE_BULK;
	struct transfer *transfer;
	int r = round_begin(move, final, pace, &transfer, err);

	if (r)
		return r;
	subject_slots(&move->subject, &slots);
	if (!move_takes_all(move)) {
		select.wants = move_takes;
		select.ctx = &taking;
	}
	if (move->subject.keys_count && slotset_is_empty(&move->subject.slots) &&
	    !move->subject.rules_count)
		r = state_get(&move->instance_from->state, move->subject.keys,
			      move->subject.keys_count, transfer_add, transfer, err);
	else
		r = state_dump(&move->instance_from->state, &select, transfer_add, transfer, NULL,
			       err);
	return round_end(move, transfer, r, ret_reply, err);
}

/* What a log names; a key whose entry has gone is deleted at the target, too. */
static int round_keys(struct move *move, const struct ff_flow_key *keys, size_t count, bool final,
		      json_t **ret_reply, struct ff_error *err)
{
	bool hurry = move->converge.hurry || move->source != PHASE_PRECOPY;
	bool urgent = count <= (hurry ? URGENT_FLOWS : BRISK_FLOWS);
	struct transfer *transfer;
	int r = round_begin(move, final, urgent ? PACE_URGENT : PACE_NORMAL, &transfer, err);

	if (r)
		return r;
	r = state_get(&move->instance_from->state, keys, count, transfer_add, transfer, err);
	return round_end(move, transfer, r, ret_reply, err);
}

/* One more round: what changed in the last one. *ret_count: how much that was. */
static int round_dirty(struct move *move, bool final, size_t *ret_count, json_t **ret_reply,
		       struct ff_error *err)
{
	const struct ff_flow_key *keys;
	bool full;

	lane_round(&move->source_lane, &keys, ret_count, &full);
	if (full || move->resending || move->no_precopy)
		return round_full(move, final, ret_reply, err);
	if (!*ret_count && !final)
		return 0;
	return round_keys(move, keys, *ret_count, final, ret_reply, err);
}

/* ---- the thread -------------------------------------------------------------------------------- */

static int precopy(struct move *move, struct ff_error *err)
{
	int r = round_full(move, false, NULL, err);
	size_t sent;

	move->converge = (struct converge){};
	while (!r && !cancelled(move) &&
	       converge_more(&move->converge, lane_logged(&move->source_lane)))
		r = round_dirty(move, false, &sent, NULL, err);
	move->dirty = lane_logged(&move->source_lane);
	return r;
}

static bool fences_there(struct move *move, const uint64_t paths[FF_PATHS / 64])
{
	return lane_fences_complete(&move->source_lane, move->steering_cpus, paths);
}

/*
 * Has it come to the handover? All fences are there; or a move that isn't to keep order is to end: then
 * strays do no harm, and the first fence only says since when packets wait.
 */
static bool switched_away(struct move *move, const uint64_t paths[FF_PATHS / 64], uint64_t asked_ns)
{
	if (move->guarantee == GUARANTEE_ORDER && !move->unfenced)
		return fences_there(move, paths);
	return asked_ns &&
	       (move->source_lane.map->fence_origin_ns || clock_ns() - asked_ns > UNFENCED_WAIT_NS);
}

/* Until `final` is asked for there is nothing to look for; 0: not yet. */
static uint64_t final_await(struct move *move, uint64_t asked_ns)
{
	if (asked_ns)
		return asked_ns;
	pthread_mutex_lock(&move->lock);
	if (!move->final_asked && !cancelled(move))
		clock_cond_wait(&move->changed, &move->lock, clock_ns() + SHORT_ROUND_NS);
	asked_ns = move->final_asked ? clock_ns() : 0;
	pthread_mutex_unlock(&move->lock);
	return asked_ns;
}

/* Waits for the switch; short rounds keep the rest small meanwhile. */
static int wait_switched(struct move *move, struct ff_error *err)
{
	uint64_t paths[FF_PATHS / 64], last = clock_ns(), asked = 0, now;
	size_t dirty;
	int r = 0;

	subject_paths(&move->subject, paths);
	while (!r && !cancelled(move)) {
		cpus_pace(PACE_URGENT); /* final, a look each POLL_NS, and then the handover */
		asked = final_await(move, asked);
		if (switched_away(move, paths, asked))
			return 0;
		now = clock_ns();
		if (!move->no_precopy && now - last > SHORT_ROUND_NS &&
		    !move->source_lane.map->fence_origin_ns &&
		    lane_logged(&move->source_lane) >= SHORT_ROUND_FLOWS) {
			r = round_dirty(move, false, &dirty, NULL, err);
			last = clock_ns();
		}
		if (asked)
			clock_sleep_ns(now - asked < POLL_FAST_NS ? POLL_NS : POLL_SLOW_NS);
	}
	return r ?: -ECANCELED;
}

/* Gives up ownership, then sends the rest. From the answer on the target holds the truth. */
static int handover(struct move *move, struct ff_error *err)
{
	struct ff_lane *lane = move->source_lane.map;
	uint64_t now, origin = lane->fence_origin_ns;
	json_t *reply = NULL;
	size_t dirty;
	int r;

	pthread_mutex_lock(&move->lock);
	if (!origin)
		lane->fence_origin_ns = clock_ns();
	else
		move->fence_us = (clock_ns() - origin) / NSEC_PER_USEC;
	if (cancelled(move)) {
		pthread_mutex_unlock(&move->lock);
		return -ECANCELED;
	}
	move_source_phase(move, PHASE_HANDOVER);
	pthread_mutex_unlock(&move->lock);
	now = clock_ns();
	r = move_apply(move, NULL, err);
	/* lane_round waits for the packets under way: after it nothing changes here any more */
	if (!r)
		r = round_dirty(move, true, &dirty, &reply, err);
	if (r)
		return r;
	pthread_mutex_lock(&move->lock);
	move->final_us = (clock_ns() - now) / NSEC_PER_USEC;
	move->result = reply;
	move_source_phase(move, PHASE_DONE);
	pthread_mutex_unlock(&move->lock);
	return 0;
}

static void *source_main(void *arg)
{
	struct move *move = arg;
	struct ff_error err = {};
	int r = 0;

	if (!move->resending) {
		uint64_t begun = clock_ns();

		if (move->handover)
			r = handover_share(move, &err);
		else if (!move->no_precopy)
			r = precopy(move, &err);
		pthread_mutex_lock(&move->lock);
		move->precopy_us = (clock_ns() - begun) / NSEC_PER_USEC;
		if (!r && !cancelled(move))
			move_source_phase(move, PHASE_CONVERGED);
		pthread_mutex_unlock(&move->lock);
	}
	if (!r && !move->handover && move->source != PHASE_HANDOVER)
		r = wait_switched(move, &err);
	if (!r)
		r = move->handover ? handover_switch(move, &err) : handover(move, &err);
	pthread_mutex_lock(&move->lock);
	move->error = r;
	if (r == -ECANCELED)
		error_set(&err, -r, FF_CODE_REFUSED, NULL, "move %s was stopped", move->id);
	else if (r && !err.err)
		error_set(&err, -r, FF_CODE_INTERNAL, NULL, "move %s: %s", move->id, strerror(-r));
	move->why = err;
	pthread_cond_broadcast(&move->changed);
	pthread_mutex_unlock(&move->lock);
	return NULL;
}

/* Under move.lock. */
static int thread_start(struct move *move, struct ff_error *err)
{
	if (move->running)
		return 0;
	if (move->taken_back) /* a request that was long under way: it would hand over what is held */
		return error_set(err, EBUSY, FF_CODE_REFUSED, NULL,
				 "move %s is being taken back on host %s", move->id,
				 move->agent->config->host);
	move->error = 0;
	atomic_store(&move->cancel, false);
	if (pthread_create(&move->thread, NULL, source_main, move))
		return error_set(err, EAGAIN, FF_CODE_INTERNAL, NULL, "can't start a thread");
	move->running = true;
	return 0;
}

/* It is `running` until it has ended: else another one could be started in its place, and neither be joined. */
void source_stop(struct move *move)
{
	pthread_mutex_lock(&move->lock);
	while (move->stopping) /* somebody else sees to it */
		pthread_cond_wait(&move->changed, &move->lock);
	if (!move->running) {
		pthread_mutex_unlock(&move->lock);
		return;
	}
	move->stopping = true;
	atomic_store(&move->cancel, true);
	pthread_cond_broadcast(&move->changed);
	pthread_mutex_unlock(&move->lock);
	pthread_join(move->thread, NULL);
	pthread_mutex_lock(&move->lock);
	move->running = move->stopping = false;
	atomic_store(&move->cancel, false);
	pthread_cond_broadcast(&move->changed);
	pthread_mutex_unlock(&move->lock);
}

/* ---- requests ---------------------------------------------------------------------------------- */

static int refuse(struct move *move, const char *what, struct ff_error *err)
{
	return error_set(err, EBUSY, FF_CODE_REFUSED, NULL, "can't %s move %s: its source is %s",
			 what, move->id, phase_name(move->source));
}

/* Under move.lock. */
static int precopy_begin(struct move *move, struct ff_error *err)
{
	enum answer answer = phase_request(move->source, move->target_phase, REQUEST_PRECOPY);

	if (answer == ANSWER_REFUSE)
		return refuse(move, "copy", err);
	if (answer == ANSWER_ALREADY || move->running)
		return 0;
	move_source_phase(move, PHASE_PRECOPY);
	return thread_start(move, err);
}

/* Under move.lock. */
static bool precopy_runs(const struct move *move)
{
	return move->running && !move->error && move->source == PHASE_PRECOPY;
}

bool source_copy_early(struct move *move)
{
	uint64_t until_ns = clock_ns() + EARLY_WAIT_NS;
	bool copied;

	if (move->no_precopy ||
	    (!move->handover && state_flows(&move->instance_from->state) > BRISK_FLOWS))
		return false;
	pthread_mutex_lock(&move->lock);
	if (!precopy_begin(move, NULL))
		while (precopy_runs(move) && clock_cond_wait(&move->changed, &move->lock, until_ns))
			;
	copied = move->source == PHASE_CONVERGED;
	pthread_mutex_unlock(&move->lock);
	return copied;
}

/*
 * Under move.lock. Most likely the target wasn't there yet; it may be stopped, so that the copy within
 * prepare failed only after that was answered. Whoever waits for it goes on to wait for the next one.
 */
static void failed_forget(struct move *move)
{
	if (!move->running || move->stopping || !move->error || move->source > PHASE_PRECOPY)
		return;
	pthread_join(move->thread, NULL); /* what it did last was to say so, under this lock */
	move->running = false;
	move->error = 0;
}

int source_precopy(struct move *move, json_t **ret_reply, struct ff_error *err)
{
	int r;

	pthread_mutex_lock(&move->lock);
	failed_forget(move);
	r = precopy_begin(move, err);
	while (!r && precopy_runs(move))
		pthread_cond_wait(&move->changed, &move->lock);
	if (!r && move->error) {
		*err = move->why;
		r = move->error;
		if (move->source == PHASE_PRECOPY)
			move_source_phase(move, PHASE_PREPARED);
	} else if (!r && move->source == PHASE_PRECOPY) {
		r = error_set(err, ECANCELED, FF_CODE_REFUSED, NULL, "move %s was stopped",
			      move->id);
	}
	if (!r)
		*ret_reply = json_pack("{sI sI sI sI}", "rounds", (json_int_t)move->rounds, "flows",
				       (json_int_t)state_flows(&move->instance_from->state),
				       "bytes", (json_int_t)move->bytes, "dirty",
				       (json_int_t)move->dirty);
	pthread_mutex_unlock(&move->lock);
	return r;
}

static json_t *final_reply(struct move *move)
{
	json_t *reply = json_deep_copy(move->result), *phases;

	if (!reply)
		reply = json_object();
	phases = json_object_get(reply, "phases_us");
	if (!phases) {
		phases = json_object();
		json_object_set_new(reply, "phases_us", phases);
	}
	json_put_uint(reply, "bytes", move->bytes);
	json_put_uint(reply, "rounds", move->rounds);
	json_put_uint(phases, "fence", move->fence_us);
	json_put_uint(phases, "final", move->final_us);
	return reply;
}

int source_final(struct move *move, bool fence, json_t **ret_reply, struct ff_error *err)
{
	uint64_t until_ns = clock_ns() + FENCES_WAIT_NS;
	int r = 0;

	pthread_mutex_lock(&move->lock);
	if (phase_request(move->source, move->target_phase, REQUEST_FINAL) == ANSWER_REFUSE) {
		r = refuse(move, "finish", err);
		goto out;
	}
	move->final_asked = true;
	move->unfenced |= !fence;
	pthread_cond_broadcast(&move->changed);
	if (move->source != PHASE_DONE && !move->running) {
		move->resending = true; /* what an earlier agent has sent isn't known any more */
		r = thread_start(move, err);
	}
	while (!r && move->running && !move->error && move->source != PHASE_DONE) {
		if (clock_cond_wait(&move->changed, &move->lock, until_ns))
			continue;
		if (move->source != PHASE_HANDOVER)
			break;
		until_ns = clock_ns() + HANDOVER_LOOK_NS;
	}
	if (r)
		goto out;
	if (move->source == PHASE_DONE) {
		*ret_reply = final_reply(move);
	} else if (move->error) {
		*err = move->why;
		r = move->error;
	} else {
		r = error_set(err, ETIMEDOUT, FF_CODE_REFUSED,
			      "is the path from every steering host to this one free of loss?",
			      "fences of move %s have not all arrived", move->id);
	}
out:
	pthread_mutex_unlock(&move->lock);
	return r;
}

/* Has the target committed, though its answer never came? */
static bool target_has_it(struct move *move)
{
	_cleanup_json_ json_t *reply = NULL;
	const char *phase = "";
	char path[64];

	snprintf(path, sizeof(path), "/v1/moves/%s", move->id);
	if (http_call(move->target, "GET", path, NULL, NULL, 2000, NULL, &reply, NULL))
		return false;
	json_opt_str(reply, "phase", &phase, NULL);
	return !strcmp(phase, "committed") || !strcmp(phase, "released");
}

/* What was steered here before the switch goes before what the target has parked, so it isn't held. */
static void hold_wait(struct move *move, const uint16_t cpus[FF_STEERING_MAX])
{
	uint64_t paths[FF_PATHS / 64], until = clock_ns() + HOLD_WAIT_NS;

	if (move->guarantee != GUARANTEE_ORDER || move->source > PHASE_HANDOVER)
		return;
	subject_paths(&move->subject, paths);
	while (!lane_fences_complete(&move->source_lane, cpus, paths)) {
		if (clock_ns() > until || atomic_load(&move->ending)) {
			log_warn("move %s: taken back without the fences of all that have switched",
				 move->id);
			return;
		}
		clock_sleep_ns(POLL_NS);
	}
}

int source_hold(struct move *move, const json_t *json, struct ff_error *err)
{
	uint16_t cpus[FF_STEERING_MAX];
	enum answer answer;
	bool ask = true;
	int r = steering_cpus(json, cpus, err);

	if (!r)
		r = json_opt_bool(json, "ask", &ask, err);
	if (r)
		return r;
	pthread_mutex_lock(&move->lock);
	move->taken_back = true;
	pthread_mutex_unlock(&move->lock);
	source_stop(move);
	hold_wait(move, cpus);
	if (ask && move->source == PHASE_HANDOVER && target_has_it(move)) {
		pthread_mutex_lock(&move->lock);
		move_source_phase(move, PHASE_DONE);
		pthread_mutex_unlock(&move->lock);
	}
	r = lane_park_open(&move->source_lane, move->park_limit, err);
	if (r)
		return r;
	pthread_mutex_lock(&move->lock);
	answer = phase_request(move->source, move->target_phase, REQUEST_HOLD);
	if (answer == ANSWER_GO) {
		lane_fences_clear(&move->source_lane);
		move_source_phase(move, PHASE_HOLDING);
	} else if (answer == ANSWER_REFUSE) {
		r = refuse(move, "take back", err);
	}
	pthread_mutex_unlock(&move->lock);
	return r ? r : move_apply(move, NULL, err);
}

int source_resume(struct move *move, bool fence, json_t **ret_reply, struct ff_error *err)
{
	uint64_t paths[FF_PATHS / 64], until = clock_ns() + FENCES_WAIT_NS, parked = 0;
	enum answer answer;
	int r;

	pthread_mutex_lock(&move->lock);
	answer = phase_request(move->source, move->target_phase, REQUEST_RESUME);
	pthread_mutex_unlock(&move->lock);
	if (answer == ANSWER_REFUSE)
		return refuse(move, "resume", err);
	if (answer == ANSWER_GO) {
		subject_paths(&move->subject, paths);
		while (fence && move->source_host != move->target_host &&
		       !lane_fence_complete(&move->source_lane, FENCE_FROM_TARGET, paths)) {
			if (clock_ns() > until || atomic_load(&move->ending))
				return error_set(err, ETIMEDOUT, FF_CODE_REFUSED,
						 "resume without: {\"fence\":false}",
						 "the target's fence hasn't arrived");
			clock_sleep_ns(POLL_NS);
		}
		r = lane_release(&move->source_lane, move->from, 0, &parked, err);
		if (r)
			return r;
		pthread_mutex_lock(&move->lock);
		move_source_phase(move, PHASE_RESUMED);
		pthread_mutex_unlock(&move->lock);
		r = move_apply(move, NULL, err);
		if (r)
			return r;
	}
	*ret_reply = json_pack("{sI sI}", "parked", (json_int_t)parked, "dropped",
			       (json_int_t)move->source_lane.map->dropped);
	return 0;
}
