/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* replica_round.c - one round: what has changed at the instance, to its standby. */
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#include "agent/move.h"
#include "agent/replica_internal.h"
#include "agent/transfer.h"
#include "lib/clock.h"
#include "lib/json.h"

/* A standby that isn't heard of for so long, because nothing changes, is sent an empty round. */
#define ALIVE_NS NSEC_PER_SEC

/* Of a round with what has changed. A standby that needs longer is as good as none. */
#define ROUND_TIMEOUT_MS 2000

/* In one request: a million flows in 4096 slots are dropped 16,000 at a time. */
#define REPLICA_DROP_SLOTS 64

struct sending {
	struct replica *replica;
	struct transfer *transfer;
	uint64_t token;
	uint16_t host;
};

/* ---- which flows ------------------------------------------------------------------------------- */

/* Of a slot that is sent whole, here or later in this round, nothing is sent one by one. */
static int visit_logged(void *ctx, const struct ff_flow_key *key, const void *value)
{
	struct sending *s = ctx;

	if (slotset_test(&s->replica->now, state_slot(&s->replica->instance->state, key)))
		return 0;
	s->replica->sent++;
	return transfer_add(s->transfer, key, value);
}

static int visit_whole(void *ctx, const struct ff_flow_key *key, const void *value)
{
	struct sending *s = ctx;

	s->replica->sent++;
	return transfer_add(s->transfer, key, value);
}

/* Where pins or rules make exceptions, each flow's own entry says whose it is. */
static bool is_here(const void *ctx, const struct ff_flow_key *key)
{
	const struct replica *replica = ctx;
	const char *how;

	return table_lookup(replica->agent->table, replica->spec.service, key, &how).here ==
	       replica->spec.from;
}

static int send_whole(struct sending *s, struct ff_error *err)
{
	struct replica *replica = s->replica;
	struct slotset slots;
	struct state_select select = { .slots = &slots };

	if (table_slots_of(replica->agent->table, replica->spec.service, replica->spec.from,
			   &slots)) {
		slotset_intersect(&slots, &replica->now);
	} else {
		slots = replica->now;
		select.wants = is_here;
		select.ctx = replica;
	}
	if (slotset_is_empty(&slots))
		return 0;
	return state_dump(&replica->instance->state, &select, visit_whole, s, NULL, err);
}

/* ---- sending ----------------------------------------------------------------------------------- */

static int sending_begin(struct sending *s, struct ff_error *err)
{
	struct replica *replica = s->replica;
	bool bulk = !slotset_is_empty(&replica->now);
	char path[128];
	struct transfer_spec spec = {
		.target = replica->standby,
		.path = path,
		.timeout_ms = bulk ? 0 : ROUND_TIMEOUT_MS,
		.header = { .op = "replica",
			    .epoch = replica->agent->dp->host->epoch,
			    .round = replica->round++ },
		.state = &replica->instance->state,
		.cancel = &replica->cancel,
	};

	if (getrandom(&s->token, sizeof(s->token), 0) != sizeof(s->token))
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "no random number: %s",
				 strerror(errno));
	s->token |= 1; /* never 0 */
	spec.header.token = s->token;
	s->host = replica->agent->dp->host->host;
	snprintf(path, sizeof(path), "/v1/replicas/%s/state?from=%u&host=%u", replica->spec.name,
		 replica->spec.from, s->host);
	cpus_pace(bulk ? PACE_BULK : PACE_NORMAL);
	return transfer_begin(&spec, &s->transfer, err);
}

static int sending_end(struct sending *s, int result, json_t **ret_reply, struct ff_error *err)
{
	uint64_t bytes = 0;
	int r = result;

	if (!r || r == -EPIPE)
		r = transfer_end(s->transfer, &bytes, ret_reply, err);
	else
		transfer_cancel(s->transfer);
	pthread_mutex_lock(&s->replica->lock);
	s->replica->bytes += bytes;
	pthread_mutex_unlock(&s->replica->lock);
	return r;
}

static int drop_part(struct sending *s, const struct slotset *part, const json_t *reply,
		     struct ff_error *err)
{
	struct replica *replica = s->replica;
	_cleanup_json_ json_t *body = NULL, *answer = NULL;
	_cleanup_free_ char *slots = NULL;
	char path[128], token[17];

	snprintf(token, sizeof(token), "%016" PRIx64, s->token);
	snprintf(path, sizeof(path), "/v1/replicas/%s/drop?from=%u&host=%u", replica->spec.name,
		 replica->spec.from, s->host);
	if (slotset_format(part, &slots))
		return error_nomem(err);
	body = json_pack("{ss ss sO* sO*}", "slots", slots, "token", token, "life",
			 json_object_get(reply, "life"), "turn", json_object_get(reply, "turn"));
	return http_call(replica->standby, "POST", path, body, NULL, ROUND_TIMEOUT_MS, NULL,
			 &answer, err);
}

/*
 * In those slots the standby keeps what this round has brought, and no more. In parts: each is answered in time,
 * however much state there is. What is half-way to another owner stays until it has got there.
 */
static int drop_rest(struct sending *s, const json_t *reply, struct ff_error *err)
{
	struct replica *replica = s->replica;
	struct slotset slots = replica->now;
	uint32_t slot;
	int r = 0;

	slotset_subtract(&slots, &replica->held);
	slot = slotset_next(&slots, 0);
	while (!r && slot < FF_SLOTS_MAX && !atomic_load(&replica->cancel)) {
		struct slotset part = {};

		for (int i = 0; i < REPLICA_DROP_SLOTS && slot < FF_SLOTS_MAX; i++) {
			slotset_set(&part, slot);
			slot = slotset_next(&slots, slot + 1);
		}
		r = drop_part(s, &part, reply, err);
	}
	return r ?: atomic_load(&replica->cancel) ? -ECANCELED : 0;
}

/* A standby that has begun anew knows nothing of the rounds before. */
static int life_check(struct replica *replica, const json_t *reply, struct ff_error *err)
{
	const char *text = "";
	uint64_t life;

	json_opt_str(reply, "life", &text, NULL);
	life = strtoull(text, NULL, 16);
	if (replica->life && replica->life != life)
		return error_set(err, ESTALE, FF_CODE_REFUSED, NULL, "instance %s has begun anew",
				 replica->spec.name);
	replica->life = life;
	return 0;
}

static void round_note(struct replica *replica, uint64_t begun_ns, const json_t *reply)
{
	int64_t flows = 0;

	json_opt_int(reply, "flows", &flows, NULL);
	replica->answered_ns = begun_ns;
	pthread_mutex_lock(&replica->lock);
	replica->rounds++;
	replica->flows = (uint64_t)flows;
	pthread_mutex_unlock(&replica->lock);
}

static int round_send(struct replica *replica, const struct ff_flow_key *keys, size_t count,
		      uint64_t begun_ns, struct ff_error *err)
{
	struct sending s = { .replica = replica };
	_cleanup_json_ json_t *reply = NULL;
	bool whole = !slotset_is_empty(&replica->now);
	int r = sending_begin(&s, err);

	if (r)
		return r;
	r = state_get(&replica->instance->state, keys, count, visit_logged, &s, err);
	if (!r && whole)
		r = send_whole(&s, err);
	r = sending_end(&s, r, &reply, err);
	if (!r)
		r = life_check(replica, reply, err);
	if (!r && whole)
		r = drop_rest(&s, reply, err);
	if (!r)
		round_note(replica, begun_ns, reply);
	return r;
}

/* ---- a round ----------------------------------------------------------------------------------- */

/* A move is listed before it writes entries, and until they are as they are to be. */
static void held_find(const struct replica *replica, struct slotset *ret)
{
	struct move *moves[FF_LANES_MAX];

	slotset_clear(ret);
	move_all(replica->agent, moves);
	for (size_t i = 0; i < FF_LANES_MAX; i++) {
		struct slotset slots;

		if (moves[i] && moves[i]->is_source && moves[i]->from == replica->spec.from) {
			subject_slots(&moves[i]->subject, &slots);
			slotset_union(ret, &slots);
		}
		move_put(moves[i]);
	}
}

/*
 * What this round sends whole. While a move holds flows their changes are in its log, not in ours: what the standby
 * has of them stays as it is until the move lets go, and as old as it is by then. True: this brings all.
 */
static bool whole_choose(struct replica *replica)
{
	held_find(replica, &replica->held);
	if (replica->all)
		slotset_set_range(&replica->whole, 0, replica->instance->state.slot_mask);
	replica->now = replica->whole;
	if (!replica->all)
		slotset_subtract(&replica->now, &replica->held);
	return replica->all || slotset_is_empty(&replica->held);
}

int replica_round(struct replica *replica, struct ff_error *err)
{
	const struct ff_flow_key *keys;
	struct slotset changed;
	bool fresh;
	uint64_t begun_ns = clock_ns();
	size_t count;
	bool full;
	int r = 0;

	/* before the log: packets that found the entries as they were before have ended after it */
	table_watch_take(replica->agent->table, replica->spec.from, &changed);
	slotset_union(&replica->whole, &changed);
	lane_round(&replica->lane, &keys, &count, &full);
	replica->all |= full;
	fresh = whole_choose(replica);
	if (count || !slotset_is_empty(&replica->now) || begun_ns - replica->answered_ns > ALIVE_NS)
		r = round_send(replica, keys, full ? 0 : count, begun_ns, err);
	if (r)
		return r;
	replica->all = false;
	slotset_intersect(&replica->whole, &replica->held);
	pthread_mutex_lock(&replica->lock);
	if (fresh)
		replica->synced_ns = begun_ns;
	replica->broken = false;
	pthread_mutex_unlock(&replica->lock);
	return 0;
}
