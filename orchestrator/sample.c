/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* sample.c - the parts of a sample, each by a function of its own. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/flow.h"
#include "lib/json.h"
#include "orchestrator/sample.h"

#define CPUS_MAX      8192		 /* the kernel's own bound */
#define COUNT_MAX     ((int64_t)1 << 60) /* of anything: its double still fits */
#define RATE_MAX      1e12
#define FLOWS_MAX     4096
#define PERIOD_MAX_MS 60000
#define BITS_MAX      ((int64_t)1 << 50) /* a petabit per second */

static int absurd(struct ff_error *err, const char *what)
{
	return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "%s", what);
}

/* ---- many numbers at a time ------------------------------------------------------------------ */

struct column {
	const char *name;
	uint64_t *value;
};

static int columns_get(const json_t *object, const struct column *columns, size_t n,
		       struct ff_error *err)
{
	for (size_t i = 0; i < n; i++) {
		int64_t value;
		int r = json_get_range(object, columns[i].name, 0, COUNT_MAX, &value, err);

		if (r)
			return r;
		*columns[i].value = (uint64_t)value;
	}
	return 0;
}

/* Adds up a list that has a number for each CPU. */
static int cpus_add(const json_t *object, const char *name, size_t cpus, uint64_t *sum,
		    struct ff_error *err)
{
	json_t *list, *item;
	size_t i;
	int r = json_get_array(object, name, &list, err);

	if (r)
		return r;
	if (!json_array_size(list) || json_array_size(list) > CPUS_MAX ||
	    (cpus && json_array_size(list) != cpus))
		return absurd(err, "lists of CPUs differ in their length");
	json_array_foreach(list, i, item) {
		json_int_t value = json_integer_value(item);

		if (!json_is_integer(item) || value < 0 || value > COUNT_MAX / CPUS_MAX)
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
					 "%s has a number that makes no sense", name);
		*sum += (uint64_t)value;
	}
	return 0;
}

/* ---- the host -------------------------------------------------------------------------------- */

static int cpu_read(struct sample *sample, const json_t *json, struct ff_error *err)
{
	const struct column classes[] = {
		{ "user", &sample->user_ns },	    { "nice", &sample->user_ns },
		{ "system", &sample->system_ns },   { "idle", &sample->idle_ns },
		{ "iowait", &sample->idle_ns },	    { "irq", &sample->other_ns },
		{ "softirq", &sample->softirq_ns }, { "steal", &sample->other_ns },
	};
	size_t cpus = json_array_size(json_object_get(json, "cpu"));
	int r = cpus ? 0 : absurd(err, "cpu: no CPUs");

	for (size_t i = 0; i < ARRAY_SIZE(classes) && !r; i++)
		r = cpus_add(json, classes[i].name, cpus, classes[i].value, err);
	sample->cpus = (unsigned int)cpus;
	return r;
}

static int softnet_read(struct sample *sample, const json_t *json, struct ff_error *err)
{
	const struct column columns[] = {
		{ "processed", &sample->softnet_processed },
		{ "dropped", &sample->softnet_dropped },
		{ "squeezed", &sample->softnet_squeezed },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(columns) && !r; i++)
		r = cpus_add(json, columns[i].name, 0, columns[i].value, err);
	return r;
}

static int pressure_read(struct sample *sample, const json_t *json, struct ff_error *err)
{
	const struct column cpu = { "some_us", &sample->pressure_cpu_us };
	const struct column memory = { "some_us", &sample->pressure_memory_us };
	int r = columns_get(json_object_get(json, "cpu"), &cpu, 1, err);

	return r ? r : columns_get(json_object_get(json, "memory"), &memory, 1, err);
}

static int memory_read(struct sample *sample, const json_t *json, struct ff_error *err)
{
	const struct column columns[] = {
		{ "total_bytes", &sample->memory_total },
		{ "available_bytes", &sample->memory_available },
	};
	int r = columns_get(json, columns, ARRAY_SIZE(columns), err);

	if (!r && sample->memory_available > sample->memory_total)
		r = absurd(err, "more memory is available than there is");
	return r;
}

static int link_read(struct sample_link *link, const json_t *json, struct ff_error *err)
{
	const struct column columns[] = { { "rx_bytes", &link->rx_bytes },
					  { "tx_bytes", &link->tx_bytes } };
	int64_t bits_per_s = 0;
	const char *role;
	int r = json_get_text(json, "interface", link->name, sizeof(link->name), err);

	if (!r)
		r = json_get_str(json, "role", &role, err);
	if (r)
		return r;
	link->fabric = !strcmp(role, "fabric");
	if (json_object_get(json, "missing"))
		return 0;
	link->known = true;
	r = json_get_bool(json, "up", &link->up, err);
	if (!r)
		r = json_get_bool(json, "carrier", &link->carrier, err);
	if (!r)
		r = json_opt_range(json, "bits_per_s", 0, BITS_MAX, &bits_per_s, err);
	link->bits_per_s = (uint64_t)bits_per_s;
	return r ? r : columns_get(json, columns, ARRAY_SIZE(columns), err);
}

static int links_read(struct sample *sample, const json_t *json, struct ff_error *err)
{
	const json_t *item;
	size_t i;

	if (!json_is_array(json) || json_array_size(json) > SAMPLE_LINKS_MAX)
		return absurd(err, "links is no list, or too long");
	json_array_foreach(json, i, item) {
		int r = link_read(&sample->links[i], item, err);

		if (r)
			return r;
		sample->links_n++;
	}
	return 0;
}

/* Named numbers: of each reason, each map; it is enough that they are some. */
static int object_check(const json_t *json, struct ff_error *err)
{
	return json_is_object(json) ? 0 : absurd(err, "reasons is no object");
}

static int maps_read(struct sample *sample, const json_t *json, struct ff_error *err)
{
	const struct column lanes = { "used", &sample->lanes_used };
	int r = columns_get(json_object_get(json, "lanes"), &lanes, 1, err);

	if (!r && sample->lanes_used > FF_LANES_MAX)
		r = absurd(err, "more lanes are in use than there are");
	return r;
}

/* ---- instances ------------------------------------------------------------------------------- */

static int instance_read(struct sample_instance *instance, const json_t *json, struct ff_error *err)
{
	const struct column columns[] = {
		{ "flows", &instance->flows },
		{ "capacity", &instance->capacity },
		{ "state_bytes", &instance->state_bytes },
		{ "packets", &instance->packets },
		{ "bytes", &instance->bytes },
		{ "dropped", &instance->dropped },
		{ "flows_new", &instance->flows_new },
		{ "flows_refused", &instance->flows_refused },
		{ "flows_expired", &instance->flows_expired },
		{ "timed", &instance->timed },
		{ "nf_ns", &instance->nf_ns },
		{ "path_ns", &instance->path_ns },
	};
	int64_t id, service, denied = 0;
	int r = json_get_range(json, "id", 1, FF_INSTANCES_MAX - 1, &id, err);

	if (!r)
		r = json_get_range(json, "service", 1, FF_SERVICES_MAX - 1, &service, err);
	if (!r)
		r = json_get_u32(json, "prog_id", &instance->prog_id, err);
	if (!r)
		r = columns_get(json, columns, ARRAY_SIZE(columns), err);
	if (!r)
		r = json_opt_range(json_object_get(json, "drops"), "nf-denied", 0, COUNT_MAX,
				   &denied, err);
	if (r)
		return r;
	instance->id = (uint16_t)id;
	instance->service = (uint16_t)service;
	instance->denied = (uint64_t)denied;
	r = sample_protect_read(instance, json, err);
	if (r)
		return r;
	if (instance->nf_ns > instance->path_ns)
		return absurd(err, "an NF took longer than the path that it is part of");
	if (instance->path_ns > instance->timed * FF_TIMED_MAX_NS)
		return absurd(err, "packets took longer than is counted");
	return 0;
}

static int instances_read(struct sample *sample, const json_t *json, struct ff_error *err)
{
	bool seen[FF_INSTANCES_MAX] = { false };
	const json_t *item;
	size_t i;

	if (!json_is_array(json) || json_array_size(json) >= FF_INSTANCES_MAX)
		return absurd(err, "instances is no list, or too long");
	sample->instances = calloc(json_array_size(json) + 1, sizeof(*sample->instances));
	if (!sample->instances)
		return error_nomem(err);
	json_array_foreach(json, i, item) {
		struct sample_instance *instance = &sample->instances[i];
		int r = instance_read(instance, item, err);

		if (r)
			return r;
		if (seen[instance->id])
			return absurd(err, "an instance is told twice");
		seen[instance->id] = true;
		sample->instances_n++;
	}
	return 0;
}

/* ---- slots ----------------------------------------------------------------------------------- */

/* strtoull() looks at signs, blanks and the locale; there are some ten thousand of these. */
static bool number_take(const char **at, uint64_t max, uint64_t *ret)
{
	const char *from = *at;
	uint64_t value = 0;

	for (; isdigit((unsigned char)**at); (*at)++) {
		if (value > (max - (uint64_t)(**at - '0')) / 10)
			return false;
		value = value * 10 + (uint64_t)(**at - '0');
	}
	*ret = value;
	return *at != from;
}

/* "packets/bytes/flows" */
static bool slot_take(const char **at, struct sample_slot *slot)
{
	uint64_t flows;

	if (!number_take(at, COUNT_MAX, &slot->packets) || *(*at)++ != '/' ||
	    !number_take(at, COUNT_MAX, &slot->bytes) || *(*at)++ != '/' ||
	    !number_take(at, UINT32_MAX, &flows))
		return false;
	slot->flows = (uint32_t)flows;
	slot->known = true;
	return true;
}

/* "0 12/640/3 0/0/1;2048 7/420/1": runs of slots, each with its first slot's number. */
static bool loads_take(const char *at, struct sample_slots *slots)
{
	while (*at) {
		uint64_t slot;

		if (!number_take(&at, UINT32_MAX, &slot))
			return false;
		do {
			if (*at++ != ' ' || slot >= slots->count || slots->slots[slot].known ||
			    !slot_take(&at, &slots->slots[slot++]))
				return false;
		} while (*at == ' ');
		if (*at == ';' && at[1])
			at++;
		else if (*at)
			return false;
	}
	return true;
}

static int slots_one(struct sample *sample, const json_t *json, struct ff_error *err)
{
	int64_t instance, count;
	struct sample_slots *slots;
	const char *text;
	int r = json_get_range(json, "instance", 1, FF_INSTANCES_MAX - 1, &instance, err);

	if (!r)
		r = json_get_range(json, "slots", 1, FF_SLOTS_MAX, &count, err);
	if (!r)
		r = json_get_str(json, "loads", &text, err);
	if (r)
		return r;
	slots = calloc(1, sizeof(*slots) + (size_t)count * sizeof(slots->slots[0]));
	if (!slots)
		return error_nomem(err);
	slots->instance = (uint16_t)instance;
	slots->count = (uint32_t)count;
	sample->slots[sample->slots_n++] = slots;
	return loads_take(text, slots) ? 0 : absurd(err, "loads of slots can't be read");
}

static int slots_read(struct sample *sample, const json_t *json, struct ff_error *err)
{
	const json_t *item;
	size_t i;

	if (!json_is_array(json) || json_array_size(json) >= FF_INSTANCES_MAX)
		return absurd(err, "slots is no list, or too long");
	sample->slots = calloc(json_array_size(json) + 1, sizeof(struct sample_slots *));
	if (!sample->slots)
		return error_nomem(err);
	json_array_foreach(json, i, item) {
		int r = slots_one(sample, item, err);

		if (r)
			return r;
	}
	return 0;
}

/* ---- heavy flows ----------------------------------------------------------------------------- */

static int rate_get(const json_t *json, const char *name, double *ret, struct ff_error *err)
{
	int r = json_get_real(json, name, ret, err);

	if (!r && (!isfinite(*ret) || *ret < 0 || *ret > RATE_MAX))
		r = absurd(err, "a flow's rate makes no sense");
	return r;
}

static int flow_one(struct sample *sample, uint16_t instance, const json_t *json,
		    struct ff_error *err)
{
	struct sample_flow *flow = &sample->flows[sample->flows_n];
	int64_t slot, age_ms = -1;
	const char *text;
	int r = json_get_str(json, "flow", &text, err);

	if (!r)
		r = flow_read(text, &flow->key, err);
	if (!r)
		r = json_get_range(json, "slot", 0, FF_SLOTS_MAX - 1, &slot, err);
	if (!r)
		r = rate_get(json, "packets_per_s", &flow->packets_per_s, err);
	if (!r)
		r = rate_get(json, "bytes_per_s", &flow->bytes_per_s, err);
	if (!r)
		r = rate_get(json, "error_per_s", &flow->error_per_s, err);
	if (!r)
		r = json_opt_range(json, "age_ms", 0, COUNT_MAX, &age_ms, err);
	if (r)
		return r;
	flow->age_s = age_ms < 0 ? -1 : (double)age_ms / 1e3;
	flow->instance = instance;
	flow->slot = (uint16_t)slot;
	sample->flows_n++;
	return 0;
}

static int flows_of_instance(struct sample *sample, const json_t *json, struct ff_error *err)
{
	json_t *list, *item;
	int64_t instance;
	size_t i;
	int r = json_get_range(json, "instance", 1, FF_INSTANCES_MAX - 1, &instance, err);

	if (!r)
		r = json_get_array(json, "flows", &list, err);
	if (r)
		return r;
	if (sample->told[instance] || sample->flows_n + json_array_size(list) > FLOWS_MAX)
		return absurd(err, "heavy flows are too many");
	sample->told[instance] = true;
	json_array_foreach(list, i, item) {
		r = flow_one(sample, (uint16_t)instance, item, err);
		if (r)
			return r;
	}
	return 0;
}

static int flows_read(struct sample *sample, const json_t *json, struct ff_error *err)
{
	const json_t *item;
	size_t i;

	if (!json_is_array(json))
		return absurd(err, "flows is no list");
	sample->flows = calloc(FLOWS_MAX, sizeof(*sample->flows));
	if (!sample->flows)
		return error_nomem(err);
	json_array_foreach(json, i, item) {
		int r = flows_of_instance(sample, item, err);

		if (r)
			return r;
	}
	return 0;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int reasons_read(struct sample *sample, const json_t *json, struct ff_error *err)
{
	(void)sample;
	return object_check(json, err);
}

static int programs_read(struct sample *sample, const json_t *json, struct ff_error *err)
{
	(void)sample;
	return json_is_array(json) ? 0 : absurd(err, "programs is no list");
}

static const struct {
	const char *name;
	int (*read)(struct sample *sample, const json_t *json, struct ff_error *err);
} parts[SAMPLE_PARTS] = {
	[SAMPLE_CPU] = { "cpu", cpu_read },
	[SAMPLE_SOFTNET] = { "softnet", softnet_read },
	[SAMPLE_PRESSURE] = { "pressure", pressure_read },
	[SAMPLE_MEMORY] = { "memory", memory_read },
	[SAMPLE_LINKS] = { "links", links_read },
	[SAMPLE_REASONS] = { "reasons", reasons_read },
	[SAMPLE_PROGRAMS] = { "programs", programs_read },
	[SAMPLE_INSTANCES] = { "instances", instances_read },
	[SAMPLE_SLOTS] = { "slots", slots_read },
	[SAMPLE_FLOWS] = { "flows", flows_read },
	[SAMPLE_MAPS] = { "maps", maps_read },
	[SAMPLE_PEERS] = { "peers", sample_peers_read },
	[SAMPLE_LIVES] = { "lives", sample_lives_read },
};

const char *sample_part_name(enum sample_part part)
{
	return parts[part].name;
}

static int parts_read(struct sample *sample, const json_t *json, struct ff_error *err)
{
	for (unsigned int i = 0; i < SAMPLE_PARTS; i++) {
		const json_t *part = json_object_get(json, parts[i].name);
		int r = part ? parts[i].read(sample, part, err) : 0;

		if (r) {
			error_prefix(err, "%s", parts[i].name);
			return r;
		}
		if (part)
			sample->has |= 1u << i;
		if (json_object_get(json_object_get(json, "missing"), parts[i].name))
			sample->missing |= 1u << i;
	}
	return 0;
}

int sample_parse(const json_t *json, struct sample **ret, struct ff_error *err)
{
	_cleanup_sample_ struct sample *sample = calloc(1, sizeof(*sample));
	int64_t period_ms = 0;
	int r;

	if (!sample)
		return error_nomem(err);
	r = columns_get(json,
			(struct column[]){ { "seq", &sample->seq },
					   { "agent_ns", &sample->agent_ns },
					   { "time_ns", &sample->time_ns } },
			3, err);
	if (!r)
		r = json_get_range(json, "period_ms", 1, PERIOD_MAX_MS, &period_ms, err);
	if (!r)
		r = parts_read(sample, json, err);
	if (r)
		return r == -ENOENT ? -EINVAL : r; /* a number that must be there */
	sample->period_ms = (unsigned int)period_ms;
	*ret = TAKE_PTR(sample);
	return 0;
}

void sample_free(struct sample *sample)
{
	if (!sample)
		return;
	for (size_t i = 0; i < sample->slots_n; i++)
		free(sample->slots[i]);
	free(sample->slots);
	free(sample->instances);
	free(sample->flows);
	free(sample->lives);
	free(sample);
}
