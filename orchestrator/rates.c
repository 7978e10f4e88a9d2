/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* rates.c - the newest samples of one host, and what follows from them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "orchestrator/rates_internal.h"

/* ---- counters -------------------------------------------------------------------------------- */

static const struct point *point_newest(const struct counters *counters)
{
	return counters->n ? &counters->points[(counters->next + POINTS - 1) % POINTS] : NULL;
}

/* True: a counter went back, so what was before is nothing to compare with. */
static bool counters_put(struct counters *counters, uint64_t time_ns, const uint64_t *values,
			 size_t n)
{
	const struct point *newest = point_newest(counters);
	bool reset = false;

	for (size_t i = 0; newest && i < n; i++)
		reset |= values[i] < newest->values[i];
	if (reset)
		counters->n = 0;
	counters->points[counters->next].time_ns = time_ns;
	memcpy(counters->points[counters->next].values, values, n * sizeof(values[0]));
	counters->next = (counters->next + 1) % POINTS;
	counters->n = MIN(counters->n + 1, (unsigned int)POINTS);
	return reset;
}

bool counters_rates(const struct counters *counters, unsigned int window_ms,
		    double ret_rates[COLUMNS])
{
	const struct point *newest = point_newest(counters), *base = NULL;
	double elapsed_s;

	for (unsigned int back = 2; back <= counters->n; back++) {
		const struct point *point =
			&counters->points[(counters->next + POINTS - back) % POINTS];

		/* one is always taken, however slow the sampling is */
		if (base && newest->time_ns - point->time_ns > window_ms * NSEC_PER_MSEC)
			break;
		base = point;
	}
	if (!base)
		return false;
	elapsed_s = (double)(newest->time_ns - base->time_ns) / NSEC_PER_SEC;
	for (size_t i = 0; i < COLUMNS; i++)
		ret_rates[i] = (double)(newest->values[i] - base->values[i]) / elapsed_s;
	return true;
}

/* ---- life ------------------------------------------------------------------------------------ */

int rates_new(struct rates **ret)
{
	*ret = calloc(1, sizeof(struct rates));
	return *ret ? 0 : -ENOMEM;
}

static void instance_forget(struct rates *rates, size_t id)
{
	struct rates_instance *instance = rates->instances[id];

	rates->instances[id] = NULL;
	if (!instance)
		return;
	free(instance->slots[0].figures);
	free(instance->slots[1].figures);
	free(instance);
}

static void rates_forget(struct rates *rates)
{
	for (size_t i = 0; i < FF_INSTANCES_MAX; i++)
		instance_forget(rates, i);
	memset(rates->counters, 0, sizeof(rates->counters));
	memset(rates->part_ns, 0, sizeof(rates->part_ns));
}

void rates_free(struct rates *rates)
{
	if (!rates)
		return;
	rates_forget(rates);
	free(rates);
}

/* ---- taking samples -------------------------------------------------------------------------- */

static void host_take(struct rates *rates, const struct sample *sample)
{
	const uint64_t columns[COUNTERS_LINK][COLUMNS] = {
		[COUNTERS_CPU] = { sample->softirq_ns, sample->system_ns, sample->user_ns,
				   sample->other_ns },
		[COUNTERS_SOFTNET] = { sample->softnet_processed, sample->softnet_dropped,
				       sample->softnet_squeezed },
		[COUNTERS_PRESSURE] = { sample->pressure_cpu_us, sample->pressure_memory_us },
	};
	static const enum sample_part parts[COUNTERS_LINK] = {
		[COUNTERS_CPU] = SAMPLE_CPU,
		[COUNTERS_SOFTNET] = SAMPLE_SOFTNET,
		[COUNTERS_PRESSURE] = SAMPLE_PRESSURE,
	};

	for (unsigned int i = 0; i < COUNTERS_LINK; i++)
		if (sample->has & 1u << parts[i])
			rates->resets += counters_put(&rates->counters[i], sample->time_ns,
						      columns[i], COLUMNS);
	if (sample->has & 1u << SAMPLE_CPU)
		rates->cpus = sample->cpus;
	if (sample->has & 1u << SAMPLE_MEMORY)
		rates->memory_available = sample->memory_available;
	if (sample->has & 1u << SAMPLE_MAPS)
		rates->lanes_used = sample->lanes_used;
}

/* The fabric's: what user traffic comes in by on steering interfaces is what goes on over it. */
static void links_take(struct rates *rates, const struct sample *sample)
{
	for (size_t i = 0; i < sample->links_n; i++) {
		const struct sample_link *link = &sample->links[i];
		const uint64_t columns[COLUMNS] = { link->rx_bytes, link->tx_bytes };

		if (!link->fabric)
			continue;
		rates->link = *link;
		if (link->known)
			rates->resets += counters_put(&rates->counters[COUNTERS_LINK],
						      sample->time_ns, columns, COLUMNS);
	}
}

static int instances_take(struct rates *rates, const struct sample *sample)
{
	bool there[FF_INSTANCES_MAX] = { false };

	for (size_t i = 0; i < sample->instances_n; i++) {
		const struct sample_instance *told = &sample->instances[i];
		struct rates_instance *instance = rates->instances[told->id];
		const uint64_t columns[COLUMNS] = {
			[INSTANCE_PACKETS] = told->packets,
			[INSTANCE_BYTES] = told->bytes,
			[INSTANCE_DROPPED] = told->dropped,
			[INSTANCE_DENIED] = told->denied,
			[INSTANCE_NEW] = told->flows_new,
			[INSTANCE_REFUSED] = told->flows_refused,
			[INSTANCE_EXPIRED] = told->flows_expired,
			[INSTANCE_TIMED] = told->timed,
			[INSTANCE_NF_NS] = told->nf_ns,
			[INSTANCE_PATH_NS] = told->path_ns,
		};

		there[told->id] = true;
		if (instance && instance->now.prog_id != told->prog_id) {
			instance_forget(rates, told->id);
			instance = NULL;
		}
		if (!instance)
			instance = rates->instances[told->id] = calloc(1, sizeof(*instance));
		if (!instance)
			return -ENOMEM;
		instance->now = *told;
		rates->resets +=
			counters_put(&instance->counters, sample->time_ns, columns, COLUMNS);
	}
	for (size_t i = 0; i < FF_INSTANCES_MAX; i++)
		if (!there[i])
			instance_forget(rates, i);
	return 0;
}

static void slots_take(struct rates *rates, struct sample *sample)
{
	for (size_t i = 0; i < sample->slots_n; i++) {
		struct rates_instance *instance = rates->instances[sample->slots[i]->instance];

		if (!instance)
			continue;
		free(instance->slots[0].figures);
		instance->slots[0] = instance->slots[1];
		instance->slots[1] = (struct rates_slots){ .time_ns = sample->time_ns,
							   .figures = TAKE_PTR(sample->slots[i]) };
	}
}

/* What began and ended since it was told last; counters that went back began anew. */
static void lives_take(struct rates *rates, const struct sample *sample)
{
	for (size_t i = 0; i < sample->lives_n; i++) {
		const struct sample_lives *now = &sample->lives[i];
		struct rates_instance *instance = rates->instances[now->instance];
		double ended[FF_LIVES], elapsed_s;
		bool goes_on;

		if (!instance)
			continue;
		elapsed_s = (double)(sample->time_ns - instance->lives_ns) / NSEC_PER_SEC;
		goes_on = instance->lives_ns && now->began >= instance->told.began;
		for (size_t bin = 0; bin < FF_LIVES; bin++) {
			goes_on = goes_on && now->ended[bin] >= instance->told.ended[bin];
			ended[bin] = (double)(now->ended[bin] - instance->told.ended[bin]);
		}
		if (goes_on)
			life_take(&instance->lives, elapsed_s,
				  (double)(now->began - instance->told.began), ended);
		instance->told = *now;
		instance->lives_ns = sample->time_ns;
	}
}

static void flows_take(struct rates *rates, const struct sample *sample)
{
	for (size_t i = 0; i < FF_INSTANCES_MAX; i++)
		if (sample->told[i] && rates->instances[i]) {
			rates->instances[i]->flows_n = 0;
			rates->instances[i]->flows_ns = sample->time_ns;
		}
	for (size_t i = 0; i < sample->flows_n; i++) {
		struct rates_instance *instance = rates->instances[sample->flows[i].instance];

		if (instance && instance->flows_n < FLOWS_KEPT)
			instance->flows[instance->flows_n++] = sample->flows[i];
	}
}

/*
 * Our time less the host's, as the quickest sample has it. Beyond any delay in a network that
 * samples still come through, one of the two clocks has jumped.
 */
static bool clocks_parted(const struct rates *rates, int64_t offset_ns)
{
	int64_t drift_ns = offset_ns - rates->offset_ns;

	return llabs(drift_ns) > (int64_t)(RATES_DRIFT_MS * NSEC_PER_MSEC);
}

/* Clocks differ in pace: how quick a sample once was says less and less. */
static int64_t offset_next(const struct rates *rates, const struct sample *sample,
			   int64_t offset_ns)
{
	int64_t parted_ns = (int64_t)(sample->time_ns - rates->time_ns) / RATES_PACE;

	return MIN(rates->offset_ns + parted_ns, offset_ns);
}

int rates_take(struct rates *rates, struct sample *sample, uint64_t arrived_ns,
	       struct ff_error *err)
{
	int64_t offset_ns = (int64_t)(arrived_ns - sample->time_ns);
	bool same = rates->time_ns && rates->agent_ns == sample->agent_ns;

	if (same && clocks_parted(rates, offset_ns))
		same = false;
	else if (same && sample->time_ns <= rates->time_ns)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
				 "a sample is older than the one before it");
	if (!same && rates->time_ns) {
		rates->resets++;
		rates_forget(rates);
	}
	rates->offset_ns = same ? offset_next(rates, sample, offset_ns) : offset_ns;
	rates->agent_ns = sample->agent_ns;
	rates->time_ns = sample->time_ns;
	for (unsigned int i = 0; i < SAMPLE_PARTS; i++)
		if (sample->has & 1u << i)
			rates->part_ns[i] = sample->time_ns;
	rates->missing = (rates->missing & ~sample->has) | sample->missing;
	host_take(rates, sample);
	links_take(rates, sample);
	if (sample->has & 1u << SAMPLE_INSTANCES && instances_take(rates, sample))
		return error_nomem(err);
	slots_take(rates, sample);
	lives_take(rates, sample);
	flows_take(rates, sample);
	return 0;
}

/* ---- how good it is -------------------------------------------------------------------------- */

static uint64_t age_ns(const struct rates *rates, uint64_t time_ns, uint64_t now_ns)
{
	int64_t age = (int64_t)(now_ns - time_ns) - rates->offset_ns;

	return time_ns ? (uint64_t)MAX(age, 0) : UINT64_MAX;
}

struct load_quality quality_of(const struct rates *rates, uint64_t time_ns, uint64_t now_ns,
			       unsigned int stale_ms, bool known)
{
	struct load_quality quality = { .age_ns = age_ns(rates, time_ns, now_ns) };

	if (quality.age_ns == UINT64_MAX)
		quality.validity = LOAD_MISSING;
	else if (quality.age_ns > stale_ms * NSEC_PER_MSEC)
		quality.validity = LOAD_STALE;
	else
		quality.validity = known ? LOAD_VALID : LOAD_MISSING;
	return quality;
}

uint64_t rates_age_ns(const struct rates *rates, uint64_t now_ns)
{
	return age_ns(rates, rates->time_ns, now_ns);
}

bool rates_member(const struct rates *rates, uint16_t instance, struct sample_instance *ret)
{
	const struct rates_instance *member = rates->instances[instance % FF_INSTANCES_MAX];

	if (member)
		*ret = member->now;
	return member;
}

uint64_t rates_resets(const struct rates *rates)
{
	return rates->resets;
}

uint32_t rates_missing(const struct rates *rates)
{
	return rates->missing;
}
