/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/replica.h"

#include <string.h>
#include <sys/random.h>

#include "agent/replica_internal.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"

#define RETRY_MS 200 /* after a failure; a standby that is being made needs about that long */

/* ---- the thread -------------------------------------------------------------------------------- */

/* Waits, or until it is told to end. */
static bool wait_until(struct replica *replica, uint64_t until_ns)
{
	pthread_mutex_lock(&replica->lock);
	while (!atomic_load(&replica->cancel) &&
	       clock_cond_wait(&replica->changed, &replica->lock, until_ns))
		;
	pthread_mutex_unlock(&replica->lock);
	return !atomic_load(&replica->cancel);
}

static void failure_note(struct replica *replica, const struct ff_error *err)
{
	bool told;

	replica->all = true;
	replica->life = 0;
	pthread_mutex_lock(&replica->lock);
	told = replica->broken;
	replica->broken = true;
	replica->resends++;
	replica->why = *err;
	pthread_mutex_unlock(&replica->lock);
	if (!told)
		log_warn("instance %s: its standby %s falls behind: %s", replica->instance->name,
			 replica->spec.name, err->message);
}

static void rounds_run(struct replica *replica)
{
	uint64_t period_ns = replica->spec.lag_ms * NSEC_PER_MSEC / 2, next_ns;
	bool more = true;

	while (more) {
		struct ff_error err = {};
		uint64_t now_ns = clock_ns();
		int r = replica_round(replica, &err);

		if (r && !atomic_load(&replica->cancel))
			failure_note(replica, &err);
		next_ns = now_ns + (r ? RETRY_MS * NSEC_PER_MSEC : period_ns);
		more = wait_until(replica, MAX(next_ns, clock_ns()));
	}
}

static void *replica_main(void *arg)
{
	struct replica *replica = arg;
	struct agent *agent = replica->agent;
	struct ff_error err = {};
	int r;

	replica->all = true;
	r = table_watch(agent->table, replica->spec.service, replica->spec.from,
			(uint8_t)replica->lane.number, &err);
	if (r) {
		failure_note(replica, &err);
		while (wait_until(replica, clock_ns() + NSEC_PER_SEC))
			;
	} else {
		rounds_run(replica);
	}
	/* pins that can't be written keep the flag: the lane then stays taken */
	while (table_unwatch(agent->table, replica->spec.from, &err))
		clock_sleep_ns(RETRY_MS * NSEC_PER_MSEC);
	cpus_quiesce(agent->cpus);
	pthread_mutex_lock(&replica->lock);
	replica->done = true;
	pthread_cond_broadcast(&replica->changed);
	pthread_mutex_unlock(&replica->lock);
	return NULL;
}

/* ---- one's life, under agent.lock -------------------------------------------------------------- */

static void replica_free(struct replica *replica)
{
	http_client_free(replica->standby);
	pthread_mutex_destroy(&replica->lock);
	pthread_cond_destroy(&replica->changed);
	free(replica);
}

static struct replica *replica_new(struct agent *agent, const struct replica_spec *spec)
{
	struct replica *replica = calloc(1, sizeof(*replica));

	if (!replica)
		return NULL;
	replica->agent = agent;
	replica->spec = *spec;
	replica->instance = agent->instances[spec->from];
	pthread_mutex_init(&replica->lock, NULL);
	clock_cond_init(&replica->changed);
	return replica;
}

static int lane_take(struct replica *replica, struct ff_error *err)
{
	struct agent *agent = replica->agent;
	char op[FF_NAME_MAX];
	struct lane_spec spec = { .op = op,
				  .service = replica->spec.service,
				  .from = replica->spec.from,
				  .to = replica->spec.to,
				  .log = true };

	snprintf(op, sizeof(op), REPLICA_LANE "%u", replica->spec.from);
	/* not to be guessed: a fence with it would be noted */
	if (getrandom(&spec.token, sizeof(spec.token), 0) != sizeof(spec.token))
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "no random number: %s",
				 strerror(errno));
	spec.token |= 1;
	return lane_open(agent->dp, agent->cpus, &spec, &replica->lane, err);
}

static int replica_start(struct agent *agent, const struct replica_spec *spec, size_t place,
			 struct ff_error *err)
{
	struct replica *replica = replica_new(agent, spec);
	const struct agent_tls *own = agent->config->tls;
	struct tls_files tls = {};
	int r;

	if (!replica)
		return error_nomem(err);
	if (own)
		tls = (struct tls_files){ own->ca, own->cert, own->key };
	r = http_client_new(spec->url, own ? &tls : NULL, &replica->standby, err);
	if (!r)
		r = lane_take(replica, err);
	if (!r && pthread_create(&replica->thread, NULL, replica_main, replica)) {
		lane_close(&replica->lane);
		r = error_set(err, EAGAIN, FF_CODE_INTERNAL, NULL, "can't start a thread");
	}
	if (r) {
		replica_free(replica);
		return r;
	}
	pthread_mutex_lock(&agent->replicas.lock);
	agent->replicas.list[place] = replica;
	pthread_mutex_unlock(&agent->replicas.lock);
	log_info("instance %s: copied to its standby %s", replica->instance->name, spec->name);
	return 0;
}

static void replica_cancel(struct replica *replica)
{
	pthread_mutex_lock(&replica->lock);
	atomic_store(&replica->cancel, true);
	pthread_cond_broadcast(&replica->changed);
	pthread_mutex_unlock(&replica->lock);
}

/* Frees the one in that place if its thread is done, or (`wait`) when it is. False: not yet. */
static bool replica_reap(struct agent *agent, size_t place, bool wait)
{
	struct replica *replica = agent->replicas.list[place];
	bool done;

	pthread_mutex_lock(&replica->lock);
	while (wait && !replica->done)
		pthread_cond_wait(&replica->changed, &replica->lock);
	done = replica->done;
	pthread_mutex_unlock(&replica->lock);
	if (!done)
		return false;
	pthread_join(replica->thread, NULL);
	pthread_mutex_lock(&agent->replicas.lock);
	agent->replicas.list[place] = NULL;
	pthread_mutex_unlock(&agent->replicas.lock);
	lane_close(&replica->lane);
	replica_free(replica);
	return true;
}

/* ---- all of them ------------------------------------------------------------------------------- */

int replicas_clean(struct agent *agent, struct ff_error *err)
{
	int r = 0;

	for (uint32_t i = 0; i < FF_LANES_MAX && !r; i++) {
		const struct ff_lane *lane = &agent->dp->lanes[i];

		if (lane->token &&
		    !strncmp((const char *)lane->op, REPLICA_LANE, strlen(REPLICA_LANE)))
			r = table_unlog(agent->table, (uint8_t)i, err);
	}
	cpus_quiesce(agent->cpus);
	return r;
}

static void spec_fill(const struct desired *d, uint16_t to, struct replica_spec *ret)
{
	const struct desired_instance *standby = &d->instances[to];

	*ret = (struct replica_spec){ .from = standby->standby_of,
				      .to = to,
				      .service = standby->service,
				      .lag_ms = d->services[standby->service].lag_ms };
	strcpy(ret->name, standby->name);
	strcpy(ret->url, d->hosts[standby->host].url);
}

void replicas_want(struct agent *agent, const struct desired *d)
{
	struct replicas *replicas = &agent->replicas;

	memset(replicas->wanted, 0, sizeof(replicas->wanted));
	replicas->wanted_count = 0;
	replicas->refused = 0;
	for (uint16_t id = 1; id < FF_INSTANCES_MAX; id++) {
		const struct desired_instance *w = &d->instances[id];

		if (!w->standby_of || d->instances[w->standby_of].host != d->host ||
		    !d->services[w->service].lag_ms)
			continue;
		if (replicas->wanted_count == FF_REPLICAS_MAX)
			replicas->refused++;
		else
			spec_fill(d, id, &replicas->wanted[replicas->wanted_count++]);
	}
	if (replicas->refused)
		log_error("host %s copies %d instances to standbys; %zu more go unprotected",
			  agent->config->host, FF_REPLICAS_MAX, replicas->refused);
}

static bool is_wanted(const struct replicas *replicas, const struct replica *replica)
{
	for (size_t i = 0; i < replicas->wanted_count; i++)
		if (!memcmp(&replicas->wanted[i], &replica->spec, sizeof(replica->spec)))
			return replica->instance == replica->agent->instances[replica->spec.from];
	return false;
}

/* The place for it; FF_REPLICAS_MAX: there is one of this instance, or no room. */
static size_t place_for(const struct replicas *replicas, const struct replica_spec *spec)
{
	size_t place = FF_REPLICAS_MAX;

	for (size_t i = 0; i < FF_REPLICAS_MAX; i++) {
		if (!replicas->list[i])
			place = i;
		else if (replicas->list[i]->spec.from == spec->from)
			return FF_REPLICAS_MAX;
	}
	return place;
}

void replicas_sync(struct agent *agent)
{
	struct replicas *replicas = &agent->replicas;

	for (size_t i = 0; i < FF_REPLICAS_MAX; i++) {
		if (!replicas->list[i] || is_wanted(replicas, replicas->list[i]))
			continue;
		replica_cancel(replicas->list[i]);
		replica_reap(agent, i, false);
	}
	for (size_t i = 0; i < replicas->wanted_count; i++) {
		const struct replica_spec *spec = &replicas->wanted[i];
		size_t place = place_for(replicas, spec);
		struct ff_error err = {};

		if (place < FF_REPLICAS_MAX && agent->instances[spec->from] &&
		    replica_start(agent, spec, place, &err))
			log_warn("instance %s: %s", agent->instances[spec->from]->name,
				 err.message);
	}
}

void replicas_leave(struct agent *agent, const struct instance *instance)
{
	for (size_t i = 0; i < FF_REPLICAS_MAX; i++) {
		struct replica *replica = agent->replicas.list[i];

		if (!replica || replica->instance != instance)
			continue;
		replica_cancel(replica);
		replica_reap(agent, i, true);
	}
}

void replicas_stop(struct agent *agent)
{
	for (size_t i = 0; i < FF_REPLICAS_MAX; i++)
		if (agent->replicas.list[i])
			replica_cancel(agent->replicas.list[i]);
	for (size_t i = 0; i < FF_REPLICAS_MAX; i++)
		if (agent->replicas.list[i])
			replica_reap(agent, i, true);
}

/* ---- the sample -------------------------------------------------------------------------------- */

static json_t *json_of(struct replica *r, uint64_t now_ns)
{
	const char *state;
	json_t *json;

	pthread_mutex_lock(&r->lock);
	state = r->broken ? "broken" : r->synced_ns ? "synced" : "copying";
	json = json_pack("{si ss sI sI sI sI ss*}", "instance", r->spec.to, "state", state,
			 "rounds", (json_int_t)r->rounds, "bytes", (json_int_t)r->bytes, "flows",
			 (json_int_t)r->flows, "resends", (json_int_t)r->resends, "error",
			 r->broken ? r->why.message : NULL);
	if (r->synced_ns)
		json_put_uint(json, "lag_ms", (now_ns - MIN(r->synced_ns, now_ns)) / NSEC_PER_MSEC);
	pthread_mutex_unlock(&r->lock);
	return json;
}

json_t *replica_json(struct agent *agent, uint16_t instance, uint64_t now_ns)
{
	json_t *json = NULL;

	pthread_mutex_lock(&agent->replicas.lock);
	for (size_t i = 0; i < FF_REPLICAS_MAX && !json; i++)
		if (agent->replicas.list[i] && agent->replicas.list[i]->spec.from == instance)
			json = json_of(agent->replicas.list[i], now_ns);
	pthread_mutex_unlock(&agent->replicas.lock);
	return json;
}
