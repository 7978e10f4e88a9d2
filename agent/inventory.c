/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/inventory.h"

#include <string.h>

#include "agent/inventory_table.h"
#include "agent/move.h"
#include "agent/peers.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/match.h"

int inventory_epoch(struct agent *agent, uint64_t epoch, struct ff_error *err)
{
	uint32_t known = agent->dp->host->epoch;

	if (epoch > UINT32_MAX)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "epoch %llu",
				 (unsigned long long)epoch);
	if (epoch < known)
		return error_set(err, ESTALE, FF_CODE_STALE_EPOCH,
				 "another orchestrator has taken over: stop this one",
				 "epoch %llu is older than %u, which host %s has accepted",
				 (unsigned long long)epoch, known, agent->config->host);
	if (epoch > known)
		agent->config_version = 0;
	__atomic_store_n(&agent->dp->host->epoch, (uint32_t)epoch, __ATOMIC_SEQ_CST);
	return 0;
}

/* ---- hosts ------------------------------------------------------------------------------------- */

static int address_read(const json_t *item, const char *key, struct ff_addr *ret,
			struct ff_error *err)
{
	const char *text = NULL;
	int r = json_opt_str(item, key, &text, err);

	if (r || !text || !*text)
		return r;
	return addr_parse(text, ret) ? error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
						 "%s: `%s` is no address", key, text)
				     : 0;
}

static int hosts_apply(struct agent *agent, const json_t *config, struct ff_error *err)
{
	struct agent_host hosts[FF_HOSTS_MAX] = {};
	json_t *list, *item;
	int64_t own;
	size_t i;
	int r;

	r = json_get_range(config, "host_id", 1, FF_HOSTS_MAX - 1, &own, err);
	if (!r)
		r = json_get_array(config, "hosts", &list, err);
	for (i = 0; !r && i < json_array_size(list); i++) {
		const char *url = "";
		int64_t id;

		item = json_array_get(list, i);
		r = json_get_range(item, "id", 1, FF_HOSTS_MAX - 1, &id, err);
		if (r)
			break;
		hosts[id].known = true;
		r = json_get_text(item, "name", hosts[id].name, FF_NAME_MAX, err);
		if (!r)
			r = json_opt_str(item, "url", &url, err);
		if (!r)
			r = address_read(item, "ipv4", &hosts[id].ipv4, err);
		if (!r)
			r = address_read(item, "ipv6", &hosts[id].ipv6, err);
		snprintf(hosts[id].url, sizeof(hosts[id].url), "%s", url);
	}
	if (r)
		return r;
	memcpy(agent->hosts, hosts, sizeof(hosts));
	agent->dp->host->host = (uint16_t)own;
	memset(agent->dp->host->name, 0, FF_NAME_MAX);
	strncpy((char *)agent->dp->host->name, agent->config->host, FF_NAME_MAX - 1);
	peers_refresh(agent);
	return 0;
}

/* ---- instances --------------------------------------------------------------------------------- */

struct wanted {
	uint16_t id, service, host;
	uint64_t capacity;
	char	 name[FF_NAME_MAX];
	bool	 is;
};

static int wanted_read(const json_t *config, struct wanted *wanted, struct ff_error *err)
{
	json_t *list;
	int r = json_get_array(config, "instances", &list, err);

	for (size_t i = 0; !r && i < json_array_size(list); i++) {
		json_t *item = json_array_get(list, i);
		int64_t id, service, host;
		uint64_t capacity = 1u << 20;

		r = json_get_range(item, "id", 1, FF_INSTANCES_MAX - 1, &id, err);
		if (!r)
			r = json_get_range(item, "service", 1, FF_SERVICES_MAX - 1, &service, err);
		if (!r)
			r = json_get_range(item, "host", 1, FF_HOSTS_MAX - 1, &host, err);
		if (!r)
			r = json_opt_uint(item, "capacity", &capacity, err);
		if (!r)
			r = json_get_text(item, "name", wanted[id].name, FF_NAME_MAX, err);
		if (r)
			return r;
		wanted[id].is = true;
		wanted[id].id = (uint16_t)id;
		wanted[id].service = (uint16_t)service;
		wanted[id].host = (uint16_t)host;
		wanted[id].capacity = capacity;
	}
	return r;
}

static const json_t *service_of(const json_t *config, uint16_t number)
{
	json_t *item;
	size_t i;

	json_array_foreach (json_object_get(config, "services"), i, item)
		if (json_integer_value(json_object_get(item, "id")) == number)
			return item;
	return NULL;
}

static void spec_of(struct agent *agent, const json_t *config, const struct wanted *wanted,
		    struct instance_spec *ret)
{
	const struct ff_service *service = &agent->dp->services[wanted->service];
	const json_t *json = service_of(config, wanted->service);

	*ret = (struct instance_spec){
		.name = wanted->name,
		.nf = agent->services[wanted->service].nf,
		.nf_dir = agent->config->nf_dir,
		.pin_dir = agent->dp->pin_dir,
		.maps_dir = agent->dp->maps_dir,
		.id = wanted->id,
		.service = wanted->service,
		.slots = service->slot_mask + 1,
		.seed = {service->seed[0], service->seed[1]},
		.capacity = wanted->capacity,
		.config = json ? json_object_get(json, "config") : NULL,
	};
}

static int instance_start(struct agent *agent, const json_t *config, const struct wanted *wanted,
			  struct ff_error *err)
{
	struct instance_spec spec;
	struct instance *instance = NULL;
	int r;

	spec_of(agent, config, wanted, &spec);
	r = instance_adopt(&spec, &instance, err);
	if (!r && instance->id != wanted->id) {
		/* of a service that was removed while we were away */
		instance_remove(instance, NULL);
		instance_free(instance);
		instance = NULL;
		r = -ENOENT;
	}
	if (r) {
		if (r == -EINVAL) /* pinned half, or by another version */
			instance_purge(spec.pin_dir, spec.name, NULL);
		*err = (struct ff_error){};
		r = instance_load(&spec, &instance, err);
	} else if (spec.config) {
		/* the last agent may have died right before it */
		r = instance_configure(instance, spec.config, err);
	}
	if (!r)
		r = datapath_nf_set(agent->dp, wanted->id, instance->prog_fd);
	if (r) {
		instance_free(instance);
		return r;
	}
	pthread_rwlock_wrlock(&agent->instances_lock);
	agent->instances[wanted->id] = instance;
	pthread_rwlock_unlock(&agent->instances_lock);
	return 0;
}

static bool instance_in_move(struct agent *agent, const struct instance *instance)
{
	for (size_t i = 0; i < FF_LANES_MAX; i++)
		if (agent->moves[i] && (agent->moves[i]->instance_from == instance ||
					agent->moves[i]->instance_to == instance))
			return true;
	return false;
}

static void instance_end(struct agent *agent, uint16_t id)
{
	struct instance *instance = agent->instances[id];

	datapath_nf_set(agent->dp, id, -1);
	cpus_quiesce(agent->cpus);
	pthread_rwlock_wrlock(&agent->instances_lock);
	agent->instances[id] = NULL;
	pthread_rwlock_unlock(&agent->instances_lock);
	log_info("instance %s: removed", instance->name);
	instance_remove(instance, NULL);
	instance_free(instance);
}

/* Where every instance is, before the tables name it. */
static void places_apply(struct agent *agent, const struct wanted *wanted)
{
	for (uint32_t id = 1; id < FF_INSTANCES_MAX; id++) {
		struct ff_instance fresh = {};

		if (wanted[id].is) {
			fresh.host = wanted[id].host;
			fresh.service = wanted[id].service;
		}
		if (memcmp(&agent->dp->instances[id], &fresh, sizeof(fresh)))
			agent->dp->instances[id] = fresh;
	}
}

static int instances_start(struct agent *agent, const json_t *config, const struct wanted *wanted,
			   struct ff_error *err)
{
	int result = 0;

	for (uint32_t id = 1; id < FF_INSTANCES_MAX; id++) {
		const struct wanted *w = &wanted[id];
		struct ff_error why = {};
		int r;

		if (!w->is || w->host != agent->dp->host->host)
			continue;
		if (agent->instances[id]) {
			instance_set_capacity(agent->instances[id], w->capacity);
			if (agent->services[w->service].changed &&
			    instance_configure(agent->instances[id],
					       agent->services[w->service].config, &why)) {
				error_prefix(&why, "instance %s", w->name);
				log_error("%s", why.message);
				result = why.err;
				*err = why;
				/* not applied: try again with the next one */
				json_decref(agent->services[w->service].config);
				agent->services[w->service].config = NULL;
			}
			continue;
		}
		r = instance_start(agent, config, w, &why);
		if (r) {
			error_prefix(&why, "instance %s", w->name);
			log_error("%s", why.message);
			result = r;
			*err = why;
		}
	}
	return result;
}

static void instances_end(struct agent *agent, const struct wanted *wanted)
{
	for (uint16_t id = 1; id < FF_INSTANCES_MAX; id++)
		if (agent->instances[id] &&
		    (!wanted[id].is || wanted[id].host != agent->dp->host->host) &&
		    !instance_in_move(agent, agent->instances[id]))
			instance_end(agent, id);
}

/* ---- services ---------------------------------------------------------------------------------- */

static int seed_read(const char *text, __u64 ret[2], struct ff_error *err)
{
	char half[17] = {};
	char *end;

	if (strlen(text) != 32)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
				 "seed: 32 hexadecimal digits, not `%s`", text);
	for (int i = 0; i < 2; i++) {
		memcpy(half, text + 16 * i, 16);
		ret[i] = strtoull(half, &end, 16);
		if (*end)
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
					 "seed: 32 hexadecimal digits, not `%s`", text);
	}
	return 0;
}

/* What a service is; `used` is set once its table is there. */
static int service_describe(struct agent *agent, const json_t *item, uint16_t *ret_number,
			    struct ff_error *err)
{
	const char *seed, *class = "";
	json_t *config;
	struct ff_service *service;
	struct ff_match match;
	int64_t id, slots;
	bool exact;
	__u64 seeds[2];
	int r;

	r = json_get_range(item, "id", 1, FF_SERVICES_MAX - 1, &id, err);
	if (!r)
		r = json_get_range(item, "slots", 1, FF_SLOTS_MAX, &slots, err);
	if (!r)
		r = json_get_str(item, "seed", &seed, err);
	if (!r)
		r = json_opt_str(item, "class", &class, err);
	if (!r)
		r = json_get_text(item, "name", agent->services[id].name, FF_NAME_MAX, err);
	if (!r)
		r = json_get_text(item, "nf", agent->services[id].nf, FF_NAME_MAX, err);
	if (!r)
		r = seed_read(seed, seeds, err);
	if (!r)
		r = match_from_text(class, &match, &exact, err);
	if (r)
		return r;
	if (!exact || (slots & (slots - 1)))
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
				 "a class is a conjunction, slots a power of two",
				 "service %s: class `%s`, %d slots", agent->services[id].name,
				 class, (int)slots);
	service = &agent->dp->services[id];
	if (!service->used) {
		service->slot_mask = (uint32_t)slots - 1;
		service->group_shift = state_geometry_of((uint32_t)slots, 0).group_shift;
		memcpy(service->seed, seeds, sizeof(seeds));
	} else if (service->slot_mask != (uint32_t)slots - 1 ||
		   memcmp(service->seed, seeds, sizeof(seeds))) {
		return error_set(err, EEXIST, FF_CODE_REFUSED,
				 "remove the service and make a new one",
				 "service %s has other slots or another seed on host %s",
				 agent->services[id].name, agent->config->host);
	}
	config = json_object_get(item, "config");
	agent->services[id].changed = config != agent->services[id].config &&
				      !json_equal(config, agent->services[id].config);
	if (agent->services[id].changed) {
		json_decref(agent->services[id].config);
		agent->services[id].config = json_incref(config);
	}
	service->class = match;
	service->any = !*class;
	service->epoch = agent->dp->host->epoch;
	*ret_number = (uint16_t)id;
	return 0;
}

static int services_apply(struct agent *agent, const json_t *config, struct ff_error *err)
{
	bool seen[FF_SERVICES_MAX] = {};
	json_t *item;
	size_t i;
	int r = 0;

	json_array_foreach (json_object_get(config, "services"), i, item) {
		uint16_t number;

		number = (uint16_t)json_integer_value(json_object_get(item, "id"));
		r = inventory_table_apply(agent, item, number, err);
		if (r)
			return r;
		seen[number] = true;
		__atomic_store_n(&agent->dp->services[number].used, 1, __ATOMIC_RELEASE);
	}
	for (uint16_t number = 1; number < FF_SERVICES_MAX; number++)
		if (!seen[number] && agent->dp->services[number].used)
			table_clear(agent->table, number);
	return 0;
}

static int services_describe(struct agent *agent, const json_t *config, struct ff_error *err)
{
	json_t *list, *item;
	size_t i;
	int r = json_get_array(config, "services", &list, err);

	if (r)
		return r;
	json_array_foreach (list, i, item) {
		uint16_t number;

		r = service_describe(agent, item, &number, err);
		if (r)
			return r;
	}
	return 0;
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
static int version_check(const struct agent *agent, const json_t *config, uint64_t *ret_version,
			 struct ff_error *err)
{
	uint64_t version = 0;
	int r = json_opt_uint(config, "version", &version, err);

	if (r)
		return r;
	if (version < agent->config_version)
		return error_set(err, ESTALE, FF_CODE_STALE_EPOCH, NULL,
				 "configuration %llu is older than %llu, which host %s has",
				 (unsigned long long)version,
				 (unsigned long long)agent->config_version, agent->config->host);
	*ret_version = version;
	return 0;
}

int inventory_apply(struct agent *agent, const json_t *config, struct ff_error *err)
{
	struct wanted *wanted = calloc(FF_INSTANCES_MAX, sizeof(*wanted));
	uint64_t version = 0;
	int r, failed = 0;

	if (!wanted)
		return error_nomem(err);
	pthread_mutex_lock(&agent->lock);
	r = version_check(agent, config, &version, err);
	if (!r)
		r = wanted_read(config, wanted, err);
	if (!r)
		r = hosts_apply(agent, config, err);
	if (!r)
		r = services_describe(agent, config, err);
	if (!r) {
		agent->config_version = version; /* a malformed one counts for nothing */
		places_apply(agent, wanted);
		failed = instances_start(agent, config, wanted, err);
		r = services_apply(agent, config, failed ? NULL : err);
		if (!r)
			instances_end(agent, wanted);
		config_save(agent, config);
	}
	pthread_mutex_unlock(&agent->lock);
	free(wanted);
	return r ? r : failed;
}

/* The maps hold everything that packets need; this is what only the agent needs: names, addresses. */
int inventory_adopt(struct agent *agent, struct ff_error *err)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_json_ json_t *config = NULL;
	struct wanted *wanted;
	int r;

	if (asprintf(&path, "%s/config.json", agent->config->state_dir) < 0)
		return error_nomem(err);
	config = json_load_file(path, 0, NULL);
	if (!config || !agent->dp->host->host)
		return 0; /* new here: the orchestrator will tell */
	wanted = calloc(FF_INSTANCES_MAX, sizeof(*wanted));
	if (!wanted)
		return error_nomem(err);
	r = wanted_read(config, wanted, err);
	if (!r)
		r = hosts_apply(agent, config, err);
	if (!r)
		r = services_describe(agent, config, err);
	if (!r) /* one that doesn't start is logged, and mustn't keep the others from their packets */
		instances_start(agent, config, wanted, err);
	free(wanted);
	return r;
}
