/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/steering.h"

#include <string.h>

#include "agent/lane.h"
#include "lib/clock.h"
#include "lib/json.h"

/* A fence that got lost is made good by the next ones; they are the same, and idempotent. */
#define FENCE_REPEAT_MS	 10
#define FENCE_REPEAT_MAX 8 /* doubling: the last one goes after about 2.5 s */

static void fence_spec(struct move *move, struct lane_fence *fence)
{
	*fence = (struct lane_fence){
		.service = move->subject.service,
		.from = move->place,
		.host = move->fence_host,
		.token = move->fence_token,
		.switched_ns = move->switched_ns,
	};
	subject_paths(&move->subject, fence->paths);
}

static void *fence_main(void *arg)
{
	struct move *move = arg;
	uint64_t wait_ns = FENCE_REPEAT_MS * NSEC_PER_MSEC;
	struct lane_fence fence;

	for (int i = 0; i < FENCE_REPEAT_MAX; i++, wait_ns *= 2) {
		uint64_t until_ns = clock_ns() + wait_ns;
		bool stop;

		pthread_mutex_lock(&move->lock);
		while (!atomic_load(&move->fence_cancel) &&
		       clock_cond_wait(&move->changed, &move->lock, until_ns))
			;
		stop = atomic_load(&move->fence_cancel);
		fence_spec(move, &fence);
		pthread_mutex_unlock(&move->lock);
		if (stop)
			break;
		lane_fence_send(move->agent->dp, move->agent->cpus, &fence);
	}
	return NULL;
}

void steering_stop(struct move *move)
{
	pthread_mutex_lock(&move->lock);
	if (!move->fencing) {
		pthread_mutex_unlock(&move->lock);
		return;
	}
	move->fencing = false;
	atomic_store(&move->fence_cancel, true);
	pthread_cond_broadcast(&move->changed);
	pthread_mutex_unlock(&move->lock);
	pthread_join(move->fencer, NULL);
	atomic_store(&move->fence_cancel, false);
}

int steering_cpus(const json_t *json, uint16_t ret_cpus[FF_STEERING_MAX], struct ff_error *err)
{
	uint16_t cpus[FF_STEERING_MAX] = {};
	json_t *list;
	int r = json_get_array(json, "steering", &list, err);

	for (size_t i = 0; !r && i < json_array_size(list); i++) {
		json_t *item = json_array_get(list, i);
		int64_t no, count;

		r = json_get_range(item, "no", 0, FENCE_FROM_TARGET - 1, &no, err);
		if (!r)
			r = json_get_range(item, "cpus", 1, FF_CPUS_MAX, &count, err);
		if (!r)
			cpus[no] = (uint16_t)count;
	}
	if (!r)
		memcpy(ret_cpus, cpus, sizeof(cpus));
	return r;
}

/* Under move.turn. */
static int switch_locked(struct move *move, bool back, json_t **ret_reply, struct ff_error *err)
{
	struct lane_fence fence;
	uint64_t now;
	bool late;
	int r;

	steering_stop(move);
	pthread_mutex_lock(&move->lock);
	move->unswitched |= back;
	late = !back && move->unswitched;
	if (!late)
		move->switched = !back;
	pthread_mutex_unlock(&move->lock);
	if (late) /* a request that was long under way: the move is being rolled back */
		return error_set(err, EBUSY, FF_CODE_REFUSED, NULL,
				 "move %s is being rolled back on host %s", move->id,
				 move->agent->config->host);
	r = move_apply(move, &now, err);
	if (r)
		return r;
	pthread_mutex_lock(&move->lock);
	move->switched_ns = now;
	move->fence_host = back ? move->target_host : move->source_host;
	move->fence_token = back ? move->token | 1 : move->token;
	fence_spec(move, &fence);
	pthread_mutex_unlock(&move->lock);
	r = lane_fence_send(move->agent->dp, move->agent->cpus, &fence);
	if (r)
		return error_set(err, -r, FF_CODE_INTERNAL, NULL, "can't send fences: %s",
				 strerror(-r));
	pthread_mutex_lock(&move->lock);
	if (!move->fencing)
		move->fencing = !pthread_create(&move->fencer, NULL, fence_main, move);
	pthread_mutex_unlock(&move->lock);
	*ret_reply = json_pack("{si}", "fences", move->agent->dp->cpus * FF_PATHS);
	return 0;
}

static int is_steering(const struct move *move, struct ff_error *err)
{
	return move->is_steering ? 0 :
				   error_set(err, EINVAL, FF_CODE_REFUSED, NULL,
					     "host %s has no steering part in move %s",
					     move->agent->config->host, move->id);
}

int steering_stay(struct move *move, json_t **ret_reply, struct ff_error *err)
{
	int r = is_steering(move, err);

	if (r)
		return r;
	pthread_mutex_lock(&move->turn); /* a switch that is under way comes first */
	pthread_mutex_lock(&move->lock);
	move->unswitched = true;
	*ret_reply = json_pack("{sb}", "switched", move->switched);
	pthread_mutex_unlock(&move->lock);
	pthread_mutex_unlock(&move->turn);
	return 0;
}

int steering_switch(struct move *move, bool back, json_t **ret_reply, struct ff_error *err)
{
	int r = is_steering(move, err);

	if (r)
		return r;
	pthread_mutex_lock(&move->turn);
	r = switch_locked(move, back, ret_reply, err);
	pthread_mutex_unlock(&move->turn);
	return r;
}
