/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/inventory.h"

#include <string.h>

#include "agent/desired.h"
#include "agent/heartbeat.h"
#include "agent/heir.h"
#include "agent/inventory_table.h"
#include "agent/lease.h"
#include "agent/leftovers.h"
#include "agent/move.h"
#include "agent/peers.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"

static int stale(const struct agent *agent, uint64_t epoch, uint32_t known, struct ff_error *err)
{
	return error_set(err, ESTALE, FF_CODE_STALE_EPOCH,
			 "another orchestrator has taken over: stop this one",
			 "epoch %llu is older than %u, which host %s has accepted",
			 (unsigned long long)epoch, known, agent->config->host);
}

int inventory_epoch(struct agent *agent, uint64_t epoch, struct ff_error *err)
{
	uint32_t known = __atomic_load_n(&agent->dp->host->epoch, __ATOMIC_SEQ_CST);

	if (epoch > UINT32_MAX)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "epoch %llu",
				 (unsigned long long)epoch);
	/* several may raise it at a time: it never goes back */
	do {
		if (epoch < known)
			return stale(agent, epoch, known, err);
	} while (epoch > known &&
		 !__atomic_compare_exchange_n(&agent->dp->host->epoch, &known, (uint32_t)epoch,
					      false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	return 0;
}

/* ---- hosts ------------------------------------------------------------------------------------- */

static void hosts_apply(struct agent *agent, const struct desired *d)
{
	struct ff_error why = {};

	pthread_rwlock_wrlock(&agent->instances_lock);
	memcpy(agent->hosts, d->hosts, sizeof(agent->hosts));
	pthread_rwlock_unlock(&agent->instances_lock);
	agent->dp->host->host = d->host;
	memset(agent->dp->host->name, 0, FF_NAME_MAX);
	strncpy((char *)agent->dp->host->name, agent->config->host, FF_NAME_MAX - 1);
	if (peers_self_refresh(agent, &why))
		log_warn("%s", why.message);
	peers_refresh(agent);
	heartbeat_configure(agent->heartbeat, d->failure_ms);
}

/* ---- instances --------------------------------------------------------------------------------- */

static void spec_of(struct agent *agent, const struct desired *d, uint16_t id,
		    struct instance_spec *ret)
{
	const struct desired_instance *wanted = &d->instances[id];
	const struct desired_service *service = &d->services[wanted->service];

	*ret = (struct instance_spec){
		.name = wanted->name,
		.nf = wanted->nf,
		.nf_dir = agent->config->nf_dir,
		.pin_dir = agent->dp->pin_dir,
		.maps_dir = agent->dp->maps_dir,
		.id = id,
		.service = wanted->service,
		.slots = service->slots,
		.seed = { service->seed[0], service->seed[1] },
		.capacity = wanted->capacity,
		.config = service->config,
	};
}

/* NULL: not, or no more. It is the agent's. */
static void foreign_set(struct agent *agent, uint16_t id, char *name)
{
	pthread_rwlock_wrlock(&agent->instances_lock);
	free(agent->foreign[id]);
	agent->foreign[id] = name;
	pthread_rwlock_unlock(&agent->instances_lock);
}

/* Its own program goes on with its packets, until it is removed: that isn't the configuration's fault. */
static int foreign_begin(struct agent *agent, uint16_t id, const char *name, struct ff_error *err)
{
	char *kept;

	if (!agent->foreign[id]) { /* told once: it stays so until somebody mends it */
		kept = strdup(name);
		if (!kept)
			return error_nomem(err);
		log_error("instance %s: %s; mend: %s", name, err->message, err->mend);
		foreign_set(agent, id, kept);
	}
	*err = (struct ff_error){};
	return 0;
}

static int instance_start(struct agent *agent, const struct desired *d, uint16_t id,
			  struct ff_error *err)
{
	struct instance_spec spec;
	struct instance *instance = NULL;
	struct ff_error lost = {};
	int r;

	spec_of(agent, d, id, &spec);
	r = instance_adopt(&spec, &instance, err);
	if (r == -EINVAL && !instance_reload(&spec, &instance, &lost)) {
		log_warn("instance %s: loaded anew over its state: %s", spec.name, err->message);
		r = 0;
	}
	if (!r && instance->id != id) {
		/* of a service that was removed while we were away */
		instance_remove(instance, NULL);
		instance_free(instance);
		instance = NULL;
		r = -ENOENT;
	}
	if (r == -EPROTO)
		return foreign_begin(agent, id, spec.name, err);
	if (r) {
		if (r == -EINVAL) /* pinned half */
			instance_purge(spec.pin_dir, spec.name, NULL);
		*err = (struct ff_error){};
		r = instance_load(&spec, &instance, err);
	} else if (spec.config) {
		/* the last agent may have died right before it */
		r = instance_configure(instance, spec.config, err);
	}
	if (!r)
		r = datapath_nf_set(agent->dp, id, instance->prog_fd);
	if (r) {
		instance_free(instance);
		return r;
	}
	pthread_rwlock_wrlock(&agent->instances_lock);
	agent->instances[id] = instance;
	pthread_rwlock_unlock(&agent->instances_lock);
	foreign_set(agent, id, NULL);
	return 0;
}

static bool instance_in_move(struct agent *agent, const struct instance *instance)
{
	bool found = false;

	pthread_mutex_lock(&agent->moves_lock);
	for (size_t i = 0; i < FF_LANES_MAX && !found; i++)
		found = agent->moves[i] && (agent->moves[i]->instance_from == instance ||
					    agent->moves[i]->instance_to == instance);
	pthread_mutex_unlock(&agent->moves_lock);
	return found;
}

static void instance_end(struct agent *agent, uint16_t id)
{
	struct instance *instance = agent->instances[id];

	replicas_leave(agent, instance);
	datapath_nf_set(agent->dp, id, -1);
	cpus_quiesce(agent->cpus);
	pthread_rwlock_wrlock(&agent->instances_lock);
	agent->instances[id] = NULL;
	pthread_rwlock_unlock(&agent->instances_lock);
	log_info("instance %s: removed", instance->name);
	instance_remove(instance, NULL);
	instance_free(instance);
	watchdog_step(agent);
}

static void foreign_end(struct agent *agent, uint16_t id)
{
	const char *name = agent->foreign[id];

	datapath_nf_set(agent->dp, id, -1);
	cpus_quiesce(agent->cpus);
	log_info("instance %s: removed, with the state that another version had pinned", name);
	instance_purge(agent->dp->pin_dir, name, NULL);
	foreign_set(agent, id, NULL);
	watchdog_step(agent);
}

/* Where every instance is, before the tables name it. */
static void places_apply(struct agent *agent, const struct desired *d)
{
	for (uint32_t id = 1; id < FF_INSTANCES_MAX; id++) {
		struct ff_instance fresh = {};

		if (d->instances[id].is) {
			fresh.host = d->instances[id].host;
			fresh.service = d->instances[id].service;
		}
		if (memcmp(&agent->dp->instances[id], &fresh, sizeof(fresh)))
			agent->dp->instances[id] = fresh;
	}
}

/* Of an instance that runs: what may change. */
static int instance_adjust(struct agent *agent, const struct desired *d, uint16_t id,
			   struct ff_error *err)
{
	const struct desired_instance *w = &d->instances[id];
	struct agent_service *service = &agent->services[w->service];
	int r;

	instance_set_capacity(agent->instances[id], w->capacity);
	if (!service->changed)
		return 0;
	r = instance_configure(agent->instances[id], d->services[w->service].config, err);
	if (r) { /* not applied: try again with the next one */
		json_decref(service->config);
		service->config = NULL;
	}
	return r;
}

static int instances_start(struct agent *agent, const struct desired *d, struct ff_error *err)
{
	int result = 0;

	for (uint16_t id = 1; id < FF_INSTANCES_MAX; id++) {
		const struct desired_instance *w = &d->instances[id];
		struct ff_error why = {};
		int r;

		if (!w->is || w->host != d->host)
			continue;
		r = agent->instances[id] ? instance_adjust(agent, d, id, &why) :
					   instance_start(agent, d, id, &why);
		if (r) {
			error_prefix(&why, "instance %s", w->name);
			log_error("%s%s%s", why.message, why.mend[0] ? "; mend: " : "", why.mend);
			result = r;
			*err = why;
		}
		watchdog_step(agent);
	}
	return result;
}

static void instances_end(struct agent *agent, const struct desired *d)
{
	for (uint16_t id = 1; id < FF_INSTANCES_MAX; id++) {
		if (d->instances[id].is && d->instances[id].host == d->host)
			continue;
		if (agent->instances[id] && !instance_in_move(agent, agent->instances[id]))
			instance_end(agent, id);
		if (agent->foreign[id])
			foreign_end(agent, id);
	}
}

/* ---- services ---------------------------------------------------------------------------------- */

/* What each service is; `used` is set once its table is there. */
static void services_describe(struct agent *agent, const struct desired *d)
{
	for (size_t i = 1; i < FF_SERVICES_MAX; i++) {
		const struct desired_service *s = &d->services[i];
		struct ff_service *service = &agent->dp->services[i];
		struct agent_service *own = &agent->services[i];

		if (!s->is)
			continue;
		memcpy(own->name, s->name, sizeof(own->name));
		memcpy(own->nf, s->nf, sizeof(own->nf));
		own->changed = s->config != own->config && !json_equal(s->config, own->config);
		if (own->changed) {
			json_decref(own->config);
			own->config = json_incref(s->config);
		}
		service->epoch = agent->dp->host->epoch;
		if (service->used) /* all else is as it was: desired_check() */
			continue;
		service->slot_mask = s->slots - 1;
		service->group_shift = state_geometry_of(s->slots, 0).group_shift;
		memcpy(service->seed, s->seed, sizeof(s->seed));
		ff_slot_keys_make(service->seed, &service->keys);
		service->class = s->class;
		service->any = s->any;
	}
}

static int services_apply(struct agent *agent, struct desired *d, struct ff_error *err)
{
	struct move *moves[FF_LANES_MAX];
	int r = 0;

	move_all(agent, moves);
	for (uint16_t i = 1; i < FF_SERVICES_MAX && !r; i++) {
		if (!d->services[i].is)
			continue;
		lease_configure(&agent->dp->services[i], d->services[i].lease_ms, clock_ns());
		r = inventory_table_apply(agent, moves, &d->services[i].table, err);
		if (!r)
			__atomic_store_n(&agent->dp->services[i].used, 1, __ATOMIC_RELEASE);
		watchdog_step(agent);
	}
	for (size_t i = 0; i < FF_LANES_MAX; i++)
		move_put(moves[i]);
	for (uint16_t i = 1; i < FF_SERVICES_MAX && !r; i++)
		if (!d->services[i].is && agent->dp->services[i].used)
			table_clear(agent->table, i);
	return r;
}

/* ---- all ---------------------------------------------------------------------------------------- */

static void config_save(struct agent *agent, const json_t *config)
{
	_cleanup_free_ char *path = NULL, *fresh = NULL;

	if (asprintf(&path, "%s/config.json", agent->config->state_dir) < 0 ||
	    asprintf(&fresh, "%s.new", path) < 0)
		return;
	if (json_dump_file(config, fresh, JSON_COMPACT) || rename(fresh, path))
		log_warn("can't write %s: %s", path, strerror(errno));
}

/* A request that was long under way must not undo a newer one. A new epoch counts anew. */
static int version_check(struct agent *agent, uint64_t version, uint64_t epoch,
			 struct ff_error *err)
{
	const struct ff_host_info *host = agent->dp->host;
	uint32_t known = __atomic_load_n(&host->epoch, __ATOMIC_SEQ_CST);

	if (epoch < known)
		return stale(agent, epoch, known, err);
	if (epoch == host->config_epoch && version < host->config_version)
		return error_set(err, ESTALE, FF_CODE_STALE_EPOCH,
				 "if the orchestrator's database is another one: start it with a "
				 "higher --epoch",
				 "configuration %llu is older than %llu, of which host %s knows",
				 (unsigned long long)version,
				 (unsigned long long)host->config_version, agent->config->host);
	return 0;
}

bool inventory_outdate(struct agent *agent, uint64_t version, uint64_t epoch)
{
	struct ff_host_info *host = agent->dp->host;

	if (epoch < host->config_epoch)
		return false;
	if (epoch == host->config_epoch && version < host->config_version)
		return false;
	/* in this order: an old version in a new epoch would refuse all that comes */
	host->config_version = version;
	__atomic_store_n(&host->config_epoch, (uint32_t)epoch, __ATOMIC_RELEASE);
	return true;
}

/* Under agent.lock. All of it is known to be well-formed, and to agree with what runs. */
static int desired_apply(struct agent *agent, struct desired *d, struct ff_error *err)
{
	int r, failed;

	hosts_apply(agent, d);
	services_describe(agent, d);
	places_apply(agent, d);
	failed = instances_start(agent, d, err);
	standby_apply(agent, d);
	r = services_apply(agent, d, failed ? NULL : err);
	if (!r)
		heirs_trim(agent);
	replicas_want(agent, d);
	replicas_sync(agent);
	if (!r) {
		instances_end(agent, d);
		leftovers_end(agent, d);
	}
	return r ? r : failed;
}

int inventory_apply(struct agent *agent, const json_t *config, uint64_t epoch, struct ff_error *err)
{
	_cleanup_desired_ struct desired *d = NULL;
	int r = desired_read(config, &d, err);

	if (r)
		return r;
	pthread_mutex_lock(&agent->lock);
	r = version_check(agent, d->version, epoch, err);
	if (!r)
		r = desired_check(d, agent->dp->services, err);
	if (!r) {
		/* a malformed one counts for nothing */
		inventory_outdate(agent, d->version, epoch);
		config_save(agent, config);
		r = desired_apply(agent, d, err);
	}
	pthread_mutex_unlock(&agent->lock);
	return r;
}

/* The maps hold everything that packets need; this is what only the agent needs: names, addresses. */
int inventory_adopt(struct agent *agent, struct ff_error *err)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_json_ json_t *config = NULL;
	_cleanup_desired_ struct desired *d = NULL;
	struct ff_error why = {};
	int r;

	if (asprintf(&path, "%s/config.json", agent->config->state_dir) < 0)
		return error_nomem(err);
	config = json_load_file(path, 0, NULL);
	if (!config || !agent->dp->host->host)
		return 0; /* new here: the orchestrator will tell */
	r = desired_read(config, &d, &why);
	if (!r)
		r = desired_check(d, agent->dp->services, &why);
	if (r) { /* as if new: the orchestrator will tell, and the packets go on */
		log_warn("%s: %s", path, why.message);
		return 0;
	}
	hosts_apply(agent, d);
	services_describe(agent, d);
	/* one that doesn't start is logged, and mustn't keep the others from their packets */
	instances_start(agent, d, &why);
	standby_apply(agent, d);
	replicas_want(agent, d);
	return 0;
}
