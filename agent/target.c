/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/target.h"

#include <string.h>

#include "agent/restore.h"
#include "agent/steering.h"
#include "lib/clock.h"
#include "lib/flow.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/stream.h"

/*
 * For the entries of a move that is being prepared, and for an upload whose sender is gone, which ends as soon
 * as its connection does. Less than a move's patience: a source that is told so in time goes on without.
 */
#define UPLOAD_WAIT_NS (2 * NSEC_PER_SEC)
#define FENCES_WAIT_NS (5 * NSEC_PER_SEC)
#define POLL_NS	       (20 * NSEC_PER_USEC)

/* A fence that got lost is made good by the next: after 2, 6, 14 ms. The way back is no hurry. */
#define FENCE_AGAIN_NS (2 * NSEC_PER_MSEC)
#define FENCE_LAST_NS  (8 * NSEC_PER_MSEC)

/* ---- receiving --------------------------------------------------------------------------------- */

struct upload {
	struct move *move;
	struct stream_decoder *decoder;
	struct state_origin origin;
	bool has_origin;
	struct restore *restore;
	uint64_t bytes, begun_ns, frozen_ns;
	bool final;
};

static int on_header(void *ctx, const struct stream_header *header, struct ff_error *err)
{
	struct upload *up = ctx;
	struct move *move = up->move;
	int r;

	if (header->token != move->token || strcmp(header->op, move->id))
		return error_set(err, EINVAL, FF_CODE_REFUSED, NULL,
				 "this stream is of move %s, not of %s", header->op, move->id);
	if (header->epoch < move->agent->dp->host->epoch)
		return error_set(err, ESTALE, FF_CODE_STALE_EPOCH, NULL,
				 "this stream is of epoch %u, this host is at %u", header->epoch,
				 move->agent->dp->host->epoch);
	up->final = header->final;
	r = state_origin_new(&move->instance_to->state, header, up->begun_ns, &up->origin, err);
	if (r)
		return r;
	up->has_origin = true;
	if (move->source_host == move->target_host)
		up->origin.clock_delta_ns = 0; /* one clock: what the request took is no offset */
	up->restore = restore_new(&move->instance_to->state, &up->origin);
	return up->restore ? 0 : error_nomem(err);
}

/* State of flows that aren't moved is none of the sender's business, whatever it sends. */
static int subject_check(const struct move *move, const struct stream_record *records, size_t count,
			 struct ff_error *err)
{
	char text[FLOW_TEXT_MAX];
	struct ff_flow_key key;

	for (size_t i = 0; i < count; i++) {
		memcpy(&key, records[i].key, sizeof(key)); /* it may lie anywhere */
		if (!subject_wants(&move->subject, &key))
			return error_set(err, EPROTO, FF_CODE_REFUSED, NULL,
					 "flow %s is not one that move %s moves",
					 flow_format(&key, text), move->id);
	}
	return 0;
}

/*
 * Gives up early, while the ring has room for what comes during the roll-back. Once the whole state is
 * here, to go on is sooner done than to go back, whatever the policy.
 */
static int overflow_check(const struct move *move, struct ff_error *err)
{
	const struct ff_lane *lane = move->target_lane.map;

	if (move->overflow != FF_OVERFLOW_ABORT ||
	    !__atomic_load_n(&lane->overflowed, __ATOMIC_RELAXED))
		return 0;
	return error_set(err, ENOBUFS, FF_CODE_REFUSED,
			 "allow more with park_limit, or choose another on_overflow",
			 "move %s parked more than %llu packets", move->id,
			 (unsigned long long)lane->park_limit);
}

static int on_block(void *ctx, const struct stream_record *records, size_t count,
		    struct ff_error *err)
{
	struct upload *up = ctx;
	int r = overflow_check(up->move, err);

	if (!r)
		r = subject_check(up->move, records, count, err);
	return r ? r : restore_add(up->restore, records, count, err);
}

/* Nothing is written any more. What was counts, whether all of it was or not. */
static int restored(struct upload *up, struct ff_error *err)
{
	struct state_counts counts = {};
	int r = up->restore ? restore_end(up->restore, &counts, err) : 0;

	restore_free(TAKE_PTR(up->restore));
	pthread_mutex_lock(&up->move->lock);
	up->move->flows += counts.added - counts.deleted;
	pthread_mutex_unlock(&up->move->lock);
	return r;
}

static void upload_free(void *ctx)
{
	struct upload *up = ctx;

	if (up->move) {
		restored(up, NULL);
		pthread_mutex_lock(&up->move->lock);
		up->move->bytes += up->bytes;
		up->move->receiving--;
		up->move->stream = NULL;
		pthread_cond_broadcast(&up->move->changed);
		pthread_mutex_unlock(&up->move->lock);
		move_put(up->move);
	}
	/* until the next round says how it goes: packets may wait for it; nothing else does */
	cpus_pace(up->move && !up->final ? PACE_URGENT : PACE_NORMAL);
	stream_decoder_free(up->decoder);
	if (up->has_origin)
		state_origin_done(&up->origin);
	free(up);
}

static enum cpus_pace pace_asked(const struct http_request *req)
{
	const char *pace = req_query(req, "pace", "");

	return *pace == '0' + PACE_URGENT ? PACE_URGENT :
	       *pace == '0' + PACE_BULK	  ? PACE_BULK :
					    PACE_NORMAL;
}

/*
 * A source that copies early is early. And what it sent before it was restarted may still be on its way into
 * the maps, and would land upon what it sends anew: one upload at a time. NULL: state may be taken; else
 * what is in the way. Under move.lock.
 */
static const char *upload_await(struct move *move)
{
	uint64_t until_ns = clock_ns() + UPLOAD_WAIT_NS;

	while ((move->receiving || (!move->prepared && !move->failed)) &&
	       !atomic_load(&move->ending) &&
	       clock_cond_wait(&move->changed, &move->lock, until_ns))
		;
	if (move->receiving)
		return ", and still writes older state";
	if (!move->prepared)
		return ", and not ready yet";
	return move->is_target && move->target_phase == PHASE_PREPARED ? NULL : "";
}

static int upload_begin(struct http_request *req, struct http_response *resp, void **ret_ctx)
{
	struct agent *agent = req_userdata(req);
	struct ff_error *err = resp_err(resp);
	struct upload *up = calloc(1, sizeof(*up));
	struct stream_sink sink = { .header = on_header, .block = on_block, .ctx = up };
	struct move *move;
	const char *obstacle;
	int r;

	if (!up)
		return error_nomem(err);
	up->begun_ns = clock_ns();
	cpus_pace(pace_asked(req));
	move = move_get(agent, req_param(req, "id"), err);
	r = move ? req_header_u64(req, "X-Flowferry-Frozen-Ns", 0, &up->frozen_ns, err) : -ENOENT;
	if (!r) {
		pthread_mutex_lock(&move->lock);
		obstacle = upload_await(move);
		if (obstacle) {
			r = error_set(err, EBUSY, FF_CODE_REFUSED, NULL,
				      "move %s takes no state here: its target is %s%s", move->id,
				      phase_name(move->target_phase), obstacle);
		} else {
			move->receiving++;
			move->stream = req;
			up->move = move;
		}
		pthread_mutex_unlock(&move->lock);
	}
	if (!r)
		r = stream_decoder_new(&sink, &up->decoder);
	if (r) {
		if (!up->move)
			move_put(move);
		upload_free(up);
		return r;
	}
	*ret_ctx = up;
	return 0;
}

static int upload_data(void *ctx, const void *data, size_t len, struct ff_error *err)
{
	struct upload *up = ctx;

	up->bytes += len;
	return stream_decoder_feed(up->decoder, data, len, err);
}

/* ---- commit and release ------------------------------------------------------------------------ */

/* From here on the target holds the truth. */
static int commit(struct move *move, struct ff_error *err)
{
	enum answer answer;
	int r = 0;

	pthread_mutex_lock(&move->lock);
	answer = phase_request(move->source, move->target_phase, REQUEST_COMMIT);
	if (answer == ANSWER_GO)
		move_target_phase(move, PHASE_COMMITTED);
	else if (answer == ANSWER_REFUSE)
		r = error_set(err, EBUSY, FF_CODE_REFUSED, NULL, "the target of move %s is %s",
			      move->id, phase_name(move->target_phase));
	pthread_mutex_unlock(&move->lock);
	return r;
}

int target_release(struct move *move, uint64_t frozen_ns, struct ff_error *err)
{
	uint64_t begun = clock_ns(), parked = 0;
	int r = lane_release(&move->target_lane, move->to, 0, &parked, err);

	if (r)
		return r;
	pthread_mutex_lock(&move->lock);
	move->parked = parked;
	move->release_us = (clock_ns() - begun) / NSEC_PER_USEC;
	move->freeze_us = (frozen_ns + clock_ns() - begun) / NSEC_PER_USEC;
	move_target_phase(move, PHASE_RELEASED);
	pthread_mutex_unlock(&move->lock);
	/* the open ring lets packets through until they see the entries without the parking flag */
	return move_apply(move, NULL, err);
}

json_t *target_released_json(struct move *move)
{
	struct ff_lane *lane = move->target_lane.map;

	return json_pack("{sI sI sI sI sI s{sI}}", "flows", (json_int_t)move->flows, "parked",
			 (json_int_t)move->parked, "dropped", (json_int_t)lane->dropped,
			 "overflowed", (json_int_t)lane->overflowed, "freeze_us",
			 (json_int_t)move->freeze_us, "phases_us", "release",
			 (json_int_t)move->release_us);
}

static int upload_end(void *ctx, struct http_request *req, struct http_response *resp)
{
	struct upload *up = ctx;
	struct move *move = up->move;
	struct ff_error *err = resp_err(resp);
	int r = stream_decoder_finish(up->decoder, err);

	(void)req;
	if (!r)
		r = restored(up, err);
	if (r)
		return r;
	pthread_mutex_lock(&move->lock);
	move->rounds++;
	pthread_mutex_unlock(&move->lock);
	if (!up->final)
		return resp_json(resp, 200, json_pack("{sI}", "flows", (json_int_t)move->flows));
	r = commit(move, err);
	if (!r)
		r = target_release(move, up->frozen_ns + clock_ns() - up->begun_ns, err);
	return r ? r : resp_json(resp, 200, target_released_json(move));
}

const struct http_upload_ops target_state_upload = {
	.begin = upload_begin,
	.data = upload_data,
	.end = upload_end,
	.free = upload_free,
};

/* Under move.lock. */
static bool received_by(struct move *move, uint64_t until_ns)
{
	while (move->receiving && clock_cond_wait(&move->changed, &move->lock, until_ns))
		;
	return !move->receiving;
}

int target_wait(struct move *move, struct ff_error *err)
{
	uint64_t begun_ns = clock_ns();
	int r = 0;

	pthread_mutex_lock(&move->lock);
	if (!received_by(move, begun_ns + MOVE_END_NS / 2)) {
		log_warn("move %s: hangs up on %s in the middle of its state", move->id,
			 move->stream ? req_peer(move->stream) : "its source");
		if (move->stream)
			req_hang_up(move->stream);
		if (!received_by(move, begun_ns + MOVE_END_NS))
			r = error_set(err, EAGAIN, FF_CODE_BUSY, "ask again",
				      "host %s still writes what it was sent of move %s",
				      move->agent->config->host, move->id);
	}
	pthread_mutex_unlock(&move->lock);
	return r;
}

/* ---- giving back ------------------------------------------------------------------------------- */

/* A fence behind the returned packets: they all left from one CPU. */
static int fence_source(struct move *move, struct ff_error *err)
{
	struct lane_fence fence = {
		.service = move->subject.service,
		.from = FENCE_FROM_TARGET,
		.host = move->source_host,
		.token = move->token,
		.switched_ns = clock_ns(),
		.only_cpu = true,
		.cpu = lane_release_cpu(&move->target_lane),
	};
	int r;

	/* an heir holds nothing that would have to wait */
	if (move->heir || move->source_host == move->target_host)
		return 0;
	subject_paths(&move->subject, fence.paths);
	r = lane_fence_send(move->agent->dp, move->agent->cpus, &fence);
	for (uint64_t wait_ns = FENCE_AGAIN_NS; !r && wait_ns <= FENCE_LAST_NS; wait_ns *= 2) {
		clock_sleep_ns(wait_ns);
		r = lane_fence_send(move->agent->dp, move->agent->cpus, &fence);
	}
	return r ? error_set(err, -r, FF_CODE_INTERNAL, NULL, "can't send fences: %s",
			     strerror(-r)) :
		   0;
}

/*
 * From here on nothing is taken, and the entries say so before the ring is emptied, which opens it:
 * no packet may find the NF here behind an open ring.
 */
static int return_begin(struct move *move, struct ff_error *err)
{
	enum answer answer;
	int r;

	pthread_mutex_lock(&move->lock);
	answer = phase_request(move->source, move->target_phase, REQUEST_RETURN);
	if (answer == ANSWER_GO)
		move_target_phase(move, PHASE_RETURNED);
	pthread_mutex_unlock(&move->lock);
	if (answer == ANSWER_REFUSE)
		return error_set(err, EBUSY, FF_CODE_REFUSED, NULL, "the target of move %s is %s",
				 move->id, phase_name(move->target_phase));
	r = move_apply(move, NULL, err);
	move_applied_await(move);
	return r;
}

int target_return(struct move *move, const json_t *json, json_t **ret_reply, struct ff_error *err)
{
	uint64_t paths[FF_PATHS / 64], until = clock_ns() + FENCES_WAIT_NS, returned = 0;
	uint16_t cpus[FF_STEERING_MAX];
	struct move_place to;
	enum answer answer;
	int r = steering_cpus(json, cpus, err);

	if (!r)
		r = move_heir(move, json, err);
	if (r)
		return r;
	to = move_place(move, move->heir ?: move->from);
	pthread_mutex_lock(&move->lock);
	answer = phase_request(move->source, move->target_phase, REQUEST_RETURN);
	pthread_mutex_unlock(&move->lock);
	if (answer == ANSWER_REFUSE)
		return error_set(err, EBUSY, FF_CODE_REFUSED, NULL, "the target of move %s is %s",
				 move->id, phase_name(move->target_phase));
	subject_paths(&move->subject, paths);
	while (answer == ANSWER_GO && move->guarantee == GUARANTEE_ORDER &&
	       !lane_fences_complete(&move->target_lane, cpus, paths)) {
		if (clock_ns() > until || atomic_load(&move->ending))
			return error_set(err, ETIMEDOUT, FF_CODE_REFUSED, NULL,
					 "fences of move %s have not all come back", move->id);
		clock_sleep_ns(POLL_NS);
	}
	r = return_begin(move, err);
	if (!r)
		r = lane_release(&move->target_lane, to.instance, to.host, &returned, err);
	if (r)
		return r;
	pthread_mutex_lock(&move->lock);
	move->parked = returned;
	pthread_mutex_unlock(&move->lock);
	r = fence_source(move, err);
	if (!r)
		*ret_reply = json_pack("{sI sI}", "returned", (json_int_t)move->parked, "dropped",
				       (json_int_t)move->target_lane.map->dropped);
	return r;
}
