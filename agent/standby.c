/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/standby.h"

#include <inttypes.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/heir.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/stream.h"

#define DROP_SLOTS 64 /* at a time: a configuration waits for no more than some milliseconds */

/* ---- the configuration ----------------------------------------------------------------------- */

/* What it has when it is one no longer: heir.h. Under the lock. */
static void relation_set(struct agent *agent, const struct desired *d, uint16_t id)
{
	struct standbys *standbys = &agent->standbys;
	struct standby *s = &standbys->list[id];
	const struct desired_instance *w = &d->instances[id];
	bool is = w->is && w->host == d->host && w->standby_of && agent->instances[id];
	struct standby fresh = {};

	if (is) {
		fresh.instance = agent->instances[id];
		fresh.of = w->standby_of;
		fresh.of_host = d->instances[w->standby_of].host;
		if (fresh.instance == s->instance && fresh.of == s->of &&
		    fresh.of_host == s->of_host)
			return;
		if (!standbys->lives) /* other numbers than an earlier agent's */
			standbys->lives = clock_ns();
		fresh.life = ++standbys->lives;
		heir_mark(fresh.instance);
	}
	*s = fresh;
}

void standby_apply(struct agent *agent, const struct desired *d)
{
	for (uint16_t id = 1; id < FF_INSTANCES_MAX; id++) {
		if (!agent->standbys.list[id].instance && !d->instances[id].standby_of)
			continue;
		pthread_mutex_lock(&agent->standbys.lock);
		relation_set(agent, d, id);
		pthread_mutex_unlock(&agent->standbys.lock);
	}
}

bool standby_is(struct agent *agent, uint16_t instance)
{
	bool is;

	pthread_mutex_lock(&agent->standbys.lock);
	is = instance < FF_INSTANCES_MAX && agent->standbys.list[instance].instance;
	pthread_mutex_unlock(&agent->standbys.lock);
	return is;
}

/* ---- who sends --------------------------------------------------------------------------------- */

/* Whose replica it says it is: ?from=ID&host=ID. */
struct sender {
	uint16_t from, host;
};

static int sender_read(struct http_request *req, struct sender *ret, struct ff_error *err)
{
	int64_t from, host;
	int r = req_query_int(req, "from", 1, FF_INSTANCES_MAX - 1, 0, &from, err);

	if (!r)
		r = req_query_int(req, "host", 1, FF_HOSTS_MAX - 1, 0, &host, err);
	if (r)
		return r;
	ret->from = (uint16_t)from;
	ret->host = (uint16_t)host;
	return 0;
}

/* The standby of that name, if it is the sender's. Under the lock. */
static struct standby *standby_of(struct agent *agent, const char *name,
				  const struct sender *sender, struct ff_error *err)
{
	struct standby *list = agent->standbys.list;

	for (size_t id = 1; id < FF_INSTANCES_MAX; id++)
		if (list[id].instance && !strcmp(list[id].instance->name, name) &&
		    list[id].of == sender->from && list[id].of_host == sender->host)
			return &list[id];
	error_set(err, EBUSY, FF_CODE_REFUSED, NULL,
		  "instance %s on host %s isn't the standby of instance %u on host %u", name,
		  agent->config->host, sender->from, sender->host);
	return NULL;
}

/* ---- a round of state -------------------------------------------------------------------------- */

struct upload {
	struct agent *agent;
	uint16_t id;
	uint64_t life, turn, begun_ns;
	struct stream_decoder *decoder;
	struct state_origin origin;
	bool has_origin;
	struct state_counts counts;
};

/* Still the same standby of the same owner, and no newer stream has come? Under the lock. */
static struct instance *still_taken(const struct upload *up, struct ff_error *err)
{
	const struct standby *s = &up->agent->standbys.list[up->id];

	if (s->instance && s->life == up->life && s->turn == up->turn)
		return s->instance;
	error_set(err, EBUSY, FF_CODE_REFUSED, NULL,
		  "host %s takes no more of this stream for instance %u", up->agent->config->host,
		  up->id);
	return NULL;
}

static int on_header(void *ctx, const struct stream_header *header, struct ff_error *err)
{
	struct upload *up = ctx;
	struct instance *instance;
	int r = -EBUSY;

	pthread_mutex_lock(&up->agent->standbys.lock);
	instance = still_taken(up, err);
	if (instance)
		r = state_origin_new(&instance->state, header, up->begun_ns, &up->origin, err);
	pthread_mutex_unlock(&up->agent->standbys.lock);
	up->has_origin = !r;
	return r;
}

static int on_block(void *ctx, const struct stream_record *records, size_t count,
		    struct ff_error *err)
{
	struct upload *up = ctx;
	struct instance *instance;
	int r = -EBUSY;

	pthread_mutex_lock(&up->agent->standbys.lock);
	instance = still_taken(up, err);
	if (instance)
		r = state_restore(&instance->state, &up->origin, records, count, &up->counts, err);
	pthread_mutex_unlock(&up->agent->standbys.lock);
	return r;
}

static void upload_free(void *ctx)
{
	struct upload *up = ctx;

	stream_decoder_free(up->decoder);
	if (up->has_origin)
		state_origin_done(&up->origin);
	free(up);
}

static int upload_begin(struct http_request *req, struct http_response *resp, void **ret_ctx)
{
	struct agent *agent = req_userdata(req);
	struct ff_error *err = resp_err(resp);
	struct upload *up = calloc(1, sizeof(*up));
	struct stream_sink sink = { .header = on_header, .block = on_block, .ctx = up };
	struct standby *standby;
	struct sender sender;
	int r;

	if (!up)
		return error_nomem(err);
	up->agent = agent;
	up->begun_ns = clock_ns();
	cpus_pace(PACE_NORMAL); /* this connection may have carried urgent work */
	r = sender_read(req, &sender, err);
	if (!r)
		r = stream_decoder_new(&sink, &up->decoder);
	if (r) {
		upload_free(up);
		return r;
	}
	pthread_mutex_lock(&agent->standbys.lock);
	standby = standby_of(agent, req_param(req, "name"), &sender, err);
	if (standby) {
		up->id = standby->instance->id;
		up->life = standby->life;
		up->turn = ++standby->turn;
	}
	pthread_mutex_unlock(&agent->standbys.lock);
	if (!standby) {
		upload_free(up);
		return -EBUSY;
	}
	*ret_ctx = up;
	return 0;
}

static int upload_data(void *ctx, const void *data, size_t len, struct ff_error *err)
{
	struct upload *up = ctx;

	return stream_decoder_feed(up->decoder, data, len, err);
}

static int upload_end(void *ctx, struct http_request *req, struct http_response *resp)
{
	struct upload *up = ctx;
	struct instance *instance;
	uint64_t flows = 0;
	char life[17];
	int r = stream_decoder_finish(up->decoder, resp_err(resp));

	(void)req;
	if (r)
		return r;
	pthread_mutex_lock(&up->agent->standbys.lock);
	instance = still_taken(up, resp_err(resp));
	if (instance)
		flows = state_flows(&instance->state);
	pthread_mutex_unlock(&up->agent->standbys.lock);
	if (!instance)
		return -EBUSY;
	snprintf(life, sizeof(life), "%016" PRIx64, up->life);
	return resp_json(resp, 200,
			 json_pack("{sI ss sI}", "flows", (json_int_t)flows, "life", life, "turn",
				   (json_int_t)up->turn));
}

const struct http_upload_ops standby_state_upload = {
	.begin = upload_begin,
	.data = upload_data,
	.end = upload_end,
	.free = upload_free,
};

/* ---- what is gone ------------------------------------------------------------------------------ */

struct dropping {
	uint64_t life, turn; /* of the round that brought all that there is, */
	uint64_t keep;	     /* and its token */
	struct flow_keys gone;
};

int flow_keys_add(struct flow_keys *keys, const struct ff_flow_key *key)
{
	if (keys->count == keys->room) {
		size_t room = keys->room ? 2 * keys->room : 256;
		struct ff_flow_key *more = reallocarray(keys->keys, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		keys->keys = more;
		keys->room = room;
	}
	keys->keys[keys->count++] = *key;
	return 0;
}

static int drop_visit(void *ctx, const struct ff_flow_key *key, const void *value)
{
	struct dropping *dropping = ctx;
	const struct ff_head *head = value;

	return head->moved_by == dropping->keep ? 0 : flow_keys_add(&dropping->gone, key);
}

/* Some of the slots, under the lock. */
static int drop_part(struct instance *instance, const struct slotset *slots,
		     struct dropping *dropping, struct ff_error *err)
{
	struct state_select select = { .slots = slots };
	int r;

	dropping->gone.count = 0;
	r = state_dump(&instance->state, &select, drop_visit, dropping, NULL, err);
	return r ? r :
		   state_forget_keys(&instance->state, dropping->gone.keys, dropping->gone.count,
				     NULL, err);
}

static int drop_all(struct agent *agent, const char *name, const struct sender *sender,
		    const struct slotset *slots, struct dropping *dropping, struct ff_error *err)
{
	uint32_t slot = slotset_next(slots, 0);
	int r = 0;

	while (!r && slot < FF_SLOTS_MAX) {
		struct slotset part = {};
		struct standby *standby;

		for (int i = 0; i < DROP_SLOTS && slot < FF_SLOTS_MAX; i++) {
			slotset_set(&part, slot);
			slot = slotset_next(slots, slot + 1);
		}
		pthread_mutex_lock(&agent->standbys.lock);
		standby = standby_of(agent, name, sender, err);
		if (!standby)
			r = -EBUSY;
		else if (standby->life != dropping->life || standby->turn != dropping->turn)
			r = error_set(err, EBUSY, FF_CODE_REFUSED, NULL,
				      "a newer stream has come for instance %s", name);
		else
			r = drop_part(standby->instance, &part, dropping, err);
		pthread_mutex_unlock(&agent->standbys.lock);
	}
	return r;
}

static int hex_read(const json_t *json, const char *key, uint64_t *ret, struct ff_error *err)
{
	const char *text;
	char *end;
	int r = json_get_str(json, key, &text, err);

	if (r)
		return r;
	*ret = strtoull(text, &end, 16);
	return *end || !*ret ?
		       error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "%s: `%s`", key, text) :
		       0;
}

int standby_drop(struct http_request *req, struct http_response *resp)
{
	struct agent *agent = req_userdata(req);
	struct ff_error *err = resp_err(resp);
	struct dropping dropping = {};
	struct sender sender;
	struct slotset slots;
	const char *text;
	int r = sender_read(req, &sender, err);

	if (!r)
		r = hex_read(req_json(req), "life", &dropping.life, err);
	if (!r)
		r = hex_read(req_json(req), "token", &dropping.keep, err);
	if (!r)
		r = json_opt_uint(req_json(req), "turn", &dropping.turn, err);
	if (!r)
		r = json_get_str(req_json(req), "slots", &text, err);
	if (!r)
		r = slotset_parse(text, FF_SLOTS_MAX, &slots, err);
	if (r)
		return r;
	r = drop_all(agent, req_param(req, "name"), &sender, &slots, &dropping, err);
	free(dropping.gone.keys);
	return r ? r : resp_json(resp, 200, json_object());
}
