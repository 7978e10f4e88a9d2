/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* gather.c - rates, from the counters of successive reports. */
#include "orchestrator/gather.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "orchestrator/failover.h"
#include "orchestrator/samples.h"

enum counter { PACKETS, BYTES, DROPPED, NEW, COUNTERS };

/* What is remembered of an instance, by its number. */
struct gathered {
	uint64_t first_ns; /* when it was seen in the model; 0: not */
	bool old;	   /* it was there before us */
	uint64_t seen_ns;  /* when a report last had it; 0: never */
	uint64_t report_ms;
	int64_t prog_id; /* another one: counters may begin anew */
	int64_t counters[COUNTERS];
	uint64_t taken_ns;
	double rates[COUNTERS];
	bool known; /* there are rates */
	bool foreign;
	enum instance_state state;
	uint64_t state_ns;
};

struct gather {
	struct orchestrator *orch;
	struct gathered instances[FF_INSTANCES_MAX];
	struct {
		uint64_t last_seen_ms;
		uint64_t seen_ns;
	} hosts[FF_HOSTS_MAX];
};

int gather_new(struct orchestrator *orch, struct gather **ret, struct ff_error *err)
{
	struct gather *gather = calloc(1, sizeof(*gather));

	if (!gather)
		return error_nomem(err);
	gather->orch = orch;
	for (size_t i = 0; i < FF_INSTANCES_MAX; i++)
		gather->instances[i].old = orch->model.instances[i] != NULL;
	*ret = gather;
	return 0;
}

void gather_free(struct gather *gather)
{
	free(gather);
}

static struct load_quality quality_of(uint64_t taken_ns, uint64_t now_ns)
{
	if (!taken_ns)
		return (struct load_quality){ LOAD_MISSING, UINT64_MAX };
	return (struct load_quality){
		now_ns - taken_ns > GATHER_STALE_MS * NSEC_PER_MSEC ? LOAD_STALE : LOAD_VALID,
		now_ns - taken_ns,
	};
}

/* ---- hosts ----------------------------------------------------------------------------------- */

/* Reports carry wall-clock times: the age is by our own clock, from when we first see a new one. */
static uint64_t host_seen_ns(struct gather *gather, const struct host *host, uint64_t now_ns)
{
	if (gather->hosts[host->id].last_seen_ms != host->last_seen_ms) {
		gather->hosts[host->id].last_seen_ms = host->last_seen_ms;
		gather->hosts[host->id].seen_ns = now_ns;
	}
	return gather->hosts[host->id].seen_ns;
}

void gather_host(struct gather *gather, const struct host *host, uint64_t now_ns,
		 struct host_load *load)
{
	uint64_t seen_ns = host_seen_ns(gather, host, now_ns);
	uint64_t moves = json_array_size(json_object_get(host->report, "moves"));
	const struct host *by = failover_unheard_by(gather->orch, host->id);
	struct host_load sampled;

	load->quality = quality_of(seen_ns, now_ns);
	load->cpus = host->cpus;
	load->lanes_free = moves < FF_LANES_MAX ? (uint32_t)(FF_LANES_MAX - moves) : 0;
	sampled = *load;
	samples_host(gather->orch->samples, host, now_ns, &sampled);
	if (sampled.quality.validity >= load->quality.validity)
		*load = sampled;
	/* one that has just begun to answer us, or that we have just begun to ask, isn't down yet */
	if (!host->up &&
	    now_ns - MAX(seen_ns, gather->orch->started_ns) > GATHER_DOWN_MS * NSEC_PER_MSEC)
		load->conditions |= HOST_SUSPECT; /* its agent: the data path may well go on */
	if (by)
		strcpy(load->unheard_by, by->name);
	if (failover_is_dead(gather->orch, host->id))
		load->conditions |= HOST_FAILED;
}

/* ---- instances ------------------------------------------------------------------------------- */

/* What the host's last report says of it; NULL: nothing. */
static const json_t *report_of(const struct host *host, uint16_t instance)
{
	const json_t *item;
	size_t i;

	if (!host)
		return NULL;
	json_array_foreach(json_object_get(host->report, "instances"), i, item)
		if (json_integer_value(json_object_get(item, "id")) == instance)
			return item;
	return NULL;
}

static void rates_take(struct gathered *gathered, const json_t *report, uint64_t now_ns)
{
	static const char *const names[COUNTERS] = { "packets", "bytes", "dropped", "flows_new" };
	int64_t prog_id = json_integer_value(json_object_get(report, "prog_id"));
	double elapsed_s = (double)(now_ns - gathered->taken_ns) / NSEC_PER_SEC;
	bool goes_on = gathered->taken_ns && gathered->prog_id == prog_id && elapsed_s > 0;

	for (size_t i = 0; i < COUNTERS; i++) {
		int64_t value = json_integer_value(json_object_get(report, names[i]));

		goes_on &= value >= gathered->counters[i];
		gathered->rates[i] = (double)(value - gathered->counters[i]) / elapsed_s;
		gathered->counters[i] = value;
	}
	gathered->known = goes_on;
	gathered->prog_id = prog_id;
	gathered->taken_ns = now_ns;
}

static enum instance_state state_judge(const struct gather *gather, const struct gathered *gathered,
				       const struct instance *instance)
{
	const struct model *model = &gather->orch->model;
	const struct host *host = model_host(model, instance->host);
	unsigned int slots, rules;
	size_t pins;

	if (!host)
		return INSTANCE_UNKNOWN;
	if (failover_is_lost(gather->orch, instance))
		return INSTANCE_FAILED;
	if (gathered->foreign) /* neither to be rescued nor to be given anything */
		return INSTANCE_UNKNOWN;
	owners_count(&model_service(model, instance->service)->table, instance->id, &slots, &pins,
		     &rules);
	if (!gathered->seen_ns || !gathered->known)
		return !slots && !pins && !rules ? INSTANCE_STARTING : INSTANCE_UNKNOWN;
	/* by reports that lack it: none at all say nothing */
	if (host->up &&
	    gather->hosts[host->id].seen_ns > gathered->seen_ns + GATHER_GONE_MS * NSEC_PER_MSEC)
		return INSTANCE_FAILED;
	/* only the loop can go on with that, for a service that it governs */
	if (instance->retiring_ms && model_service(model, instance->service)->governed)
		return INSTANCE_RETIRING;
	return INSTANCE_RUNNING;
}

/* How long it has been in this state: as long as a restart of ours doesn't make forget. */
static uint64_t state_age_ms(const struct gathered *gathered, const struct instance *instance,
			     uint64_t now_ns)
{
	uint64_t wall_ms = clock_wall_ms();

	if (gathered->state == INSTANCE_RETIRING)
		return wall_ms - MIN(wall_ms, instance->retiring_ms);
	return (now_ns - gathered->state_ns) / NSEC_PER_MSEC;
}

void gather_instance(struct gather *gather, const struct instance *instance, uint64_t now_ns,
		     struct instance_load *load)
{
	struct gathered *gathered = &gather->instances[instance->id];
	const struct host *host = model_host(&gather->orch->model, instance->host);
	const json_t *report = report_of(host, instance->id);
	struct instance_load sampled;
	enum instance_state state;

	if (!gathered->first_ns)
		gathered->first_ns = now_ns;
	if (report && host->last_seen_ms != gathered->report_ms) {
		rates_take(gathered, report, now_ns);
		gathered->report_ms = host->last_seen_ms;
		gathered->seen_ns = now_ns;
	}
	/* it goes on with its packets, but its agent, of another version than its pins, knows no more */
	gathered->foreign = !report && host && host->foreign[instance->id];
	if (gathered->foreign)
		gathered->seen_ns = now_ns;
	state = state_judge(gather, gathered, instance);
	if (state != gathered->state || !gathered->state_ns) {
		gathered->state = state;
		gathered->state_ns = now_ns;
	}
	load->state = state;
	load->state_ms = state_age_ms(gathered, instance, now_ns);
	load->age_ms = gathered->old ? UINT64_MAX : (now_ns - gathered->first_ns) / NSEC_PER_MSEC;
	load->quality = quality_of(gathered->known ? gathered->taken_ns : 0, now_ns);
	load->packets_per_s = gathered->rates[PACKETS];
	load->bytes_per_s = gathered->rates[BYTES];
	load->drops_per_s = gathered->rates[DROPPED];
	load->new_flows_per_s = gathered->rates[NEW];
	load->flows = (double)json_integer_value(json_object_get(report, "flows"));
	load->capacity_flows = (uint64_t)json_integer_value(json_object_get(report, "capacity"));
	sampled = *load;
	samples_instance(gather->orch->samples, host, now_ns, &sampled);
	if (sampled.quality.validity >= load->quality.validity)
		*load = sampled;
}
