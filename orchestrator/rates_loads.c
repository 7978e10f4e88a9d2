/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* rates_loads.c - what a host's samples say, as loads and as JSON. */
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "orchestrator/rates_internal.h"

static bool part_fresh(const struct rates *rates, enum sample_part part, uint64_t now_ns,
		       unsigned int stale_ms)
{
	return quality_of(rates, rates->part_ns[part], now_ns, stale_ms, true).validity ==
	       LOAD_VALID;
}

void rates_host(const struct rates *rates, uint64_t now_ns, struct host_load *load)
{
	double cpu[COLUMNS], softnet[COLUMNS], pressure[COLUMNS] = { 0 }, link[COLUMNS];
	bool cpu_known = counters_rates(&rates->counters[COUNTERS_CPU], RATES_CPU_WINDOW_MS, cpu);

	load->quality =
		quality_of(rates, rates->part_ns[SAMPLE_CPU], now_ns, RATES_STALE_MS, cpu_known);
	load->cpus = rates->cpus;
	if (cpu_known)
		load->cpu = (struct host_cpu){ .softirq = (float)(cpu[0] / NSEC_PER_SEC),
					       .system = (float)(cpu[1] / NSEC_PER_SEC),
					       .user = (float)(cpu[2] / NSEC_PER_SEC),
					       .other = (float)(cpu[3] / NSEC_PER_SEC) };
	if (counters_rates(&rates->counters[COUNTERS_SOFTNET], RATES_CPU_WINDOW_MS, softnet)) {
		load->softnet_drops_per_s = softnet[1];
		load->squeezes_per_s = softnet[2];
	}
	load->pressure_known =
		part_fresh(rates, SAMPLE_PRESSURE, now_ns, RATES_STALE_MS) &&
		counters_rates(&rates->counters[COUNTERS_PRESSURE], RATES_CPU_WINDOW_MS, pressure);
	if (load->pressure_known)
		load->pressure = MIN(MAX(pressure[0], pressure[1]) / USEC_PER_SEC, 1.0);
	load->link_bytes_per_s = (double)rates->link.bits_per_s / 8;
	if (counters_rates(&rates->counters[COUNTERS_LINK], RATES_CPU_WINDOW_MS, link)) {
		load->rx_bytes_per_s = link[0];
		load->tx_bytes_per_s = link[1];
	}
	/* an interface that is gone says less than one without carrier, and is as bad */
	if (rates->part_ns[SAMPLE_LINKS] &&
	    (!rates->link.known || !rates->link.up || !rates->link.carrier))
		load->conditions |= HOST_LINK_DOWN;
	load->memory_bytes = (double)rates->memory_available;
	load->lanes_free = (uint32_t)(FF_LANES_MAX - rates->lanes_used);
}

/* Every packet costs its whole way to the end of the NF, and every CPU of the host may take some. */
static void instance_cost(const struct rates *rates, const double rate[COLUMNS],
			  struct instance_load *load)
{
	if (rate[INSTANCE_TIMED] <= 0 || rate[INSTANCE_PATH_NS] <= 0)
		return;
	load->ns_per_packet = rate[INSTANCE_PATH_NS] / rate[INSTANCE_TIMED];
	load->capacity_pps = rates->cpus * (double)NSEC_PER_SEC / load->ns_per_packet;
	if (load->capacity_pps > 0)
		load->utilisation = load->packets_per_s / load->capacity_pps;
}

void rates_instance(const struct rates *rates, uint64_t now_ns, struct instance_load *load)
{
	const struct rates_instance *instance = rates->instances[load->id % FF_INSTANCES_MAX];
	double rate[COLUMNS];
	bool known;

	if (!instance) {
		load->quality = quality_of(rates, rates->part_ns[SAMPLE_INSTANCES], now_ns,
					   RATES_STALE_MS, false);
		return;
	}
	known = counters_rates(&instance->counters, RATES_WINDOW_MS, rate);
	load->quality =
		quality_of(rates, rates->part_ns[SAMPLE_INSTANCES], now_ns, RATES_STALE_MS, known);
	load->flows = (double)instance->now.flows;
	load->capacity_flows = instance->now.capacity;
	if (!known)
		return;
	load->packets_per_s = rate[INSTANCE_PACKETS];
	load->bytes_per_s = rate[INSTANCE_BYTES];
	load->new_flows_per_s = rate[INSTANCE_NEW];
	load->expired_flows_per_s = rate[INSTANCE_EXPIRED];
	load->drops_per_s = MAX(rate[INSTANCE_DROPPED] - rate[INSTANCE_DENIED], 0.0);
	/* few packets, few of them timed: a longer window */
	if (rate[INSTANCE_TIMED] <= 0)
		counters_rates(&instance->counters, RATES_CPU_WINDOW_MS, rate);
	instance_cost(rates, rate, load);
}

/*
 * Distinct flows that change within a second, of @flows with @packets_per_s together: if the flows'
 * own rates are spread exponentially about their mean x, a share of x / (1 + x).
 */
static double dirty_per_s(double flows, double packets_per_s)
{
	return flows + packets_per_s > 0 ? flows * packets_per_s / (flows + packets_per_s) : 0;
}

/* Two samples of an instance's slots, and what is between them. */
struct slot_samples {
	const struct sample_slots *old, *now;
	double elapsed_s;
	struct load_quality quality;
};

static struct slot_samples slot_samples(const struct rates *rates, uint64_t now_ns,
					const struct rates_instance *own, size_t count)
{
	const struct rates_slots *old = own ? &own->slots[0] : NULL;
	const struct rates_slots *new = own ? &own->slots[1] : NULL;
	bool both = own && old->figures && new->figures &&
		    old->figures->count == count &&new->figures->count == count;

	return (struct slot_samples){
		.old = both ? old->figures : NULL,
		.now = both ? new->figures : NULL,
		.elapsed_s = both ? (double)(new->time_ns - old->time_ns) / NSEC_PER_SEC : 0,
		.quality = quality_of(rates, own ? new->time_ns : 0, now_ns, RATES_SLOTS_STALE_MS,
				      both),
	};
}

/* False: that slot's can't be told. */
static bool slot_rates(const struct slot_samples *samples, size_t slot, double *ret_packets,
		       double *ret_bytes)
{
	const struct sample_slot *old = &samples->old->slots[slot];
	const struct sample_slot *now = &samples->now->slots[slot];

	if (!old->known || !now->known || now->packets < old->packets || now->bytes < old->bytes)
		return false;
	*ret_packets = (double)(now->packets - old->packets) / samples->elapsed_s;
	*ret_bytes = (double)(now->bytes - old->bytes) / samples->elapsed_s;
	return true;
}

struct load_quality rates_slots(const struct rates *rates, uint64_t now_ns, uint16_t instance,
				struct slot_load *loads, size_t count)
{
	const struct rates_instance *own = rates->instances[instance % FF_INSTANCES_MAX];
	struct slot_samples samples = slot_samples(rates, now_ns, own, count);

	for (size_t i = 0; i < count; i++) {
		struct slot_load *load = &loads[i];
		double packets, bytes;

		if (load->owner != instance)
			continue;
		load->valid = samples.quality.validity == LOAD_VALID &&
			      slot_rates(&samples, i, &packets, &bytes);
		if (!load->valid)
			continue;
		load->packets_per_s = (float)packets;
		load->bytes_per_s = (float)bytes;
		load->flows = (float)samples.now->slots[i].flows;
		load->state_bytes = load->flows * (float)own->now.state_bytes;
		load->dirty_per_s = (float)dirty_per_s(load->flows, packets);
	}
	return samples.quality;
}

void rates_strangers(const struct rates *rates, uint64_t now_ns, uint16_t instance, size_t count,
		     const struct slotset *slots, struct rule_load *load)
{
	const struct rates_instance *own = rates->instances[instance % FF_INSTANCES_MAX];
	struct slot_samples samples = slot_samples(rates, now_ns, own, count);
	double packets, bytes;
	unsigned int slot;

	load->valid = samples.quality.validity == LOAD_VALID;
	if (!load->valid)
		return;
	slotset_foreach(slot, slots) {
		/* told of only while it has flows there */
		if (!samples.now->slots[slot].known)
			continue;
		load->flows += (float)samples.now->slots[slot].flows;
		if (!slot_rates(&samples, slot, &packets, &bytes))
			continue;
		load->packets_per_s += (float)packets;
		load->bytes_per_s += (float)bytes;
	}
	load->state_bytes = load->flows * (float)own->now.state_bytes;
	load->dirty_per_s = (float)dirty_per_s(load->flows, load->packets_per_s);
}

void rates_lives(const struct rates *rates, uint16_t instance, struct life_table *lives)
{
	const struct rates_instance *own = rates->instances[instance % FF_INSTANCES_MAX];

	if (own)
		life_merge(lives, &own->lives);
}

size_t rates_flows(const struct rates *rates, uint64_t now_ns, uint16_t instance,
		   const struct life_table *lives, struct flow_load *ret, size_t max)
{
	const struct rates_instance *own = rates->instances[instance % FF_INSTANCES_MAX];
	size_t n = 0;

	if (!own || quality_of(rates, own->flows_ns, now_ns, RATES_SLOTS_STALE_MS, true).validity !=
			    LOAD_VALID)
		return 0;
	for (; n < own->flows_n && n < max; n++) {
		const struct sample_flow *flow = &own->flows[n];

		ret[n] = (struct flow_load){
			.key = flow->key,
			.slot = flow->slot,
			.owner = instance,
			.valid = 1,
			.packets_per_s = (float)flow->packets_per_s,
			.bytes_per_s = (float)flow->bytes_per_s,
			.state_bytes = (float)own->now.state_bytes,
			.left_s = flow->age_s < 0 ? 0 : (float)life_left_s(lives, flow->age_s),
		};
	}
	return n;
}

/* ---- for people and scripts ------------------------------------------------------------------ */

static const char *const validities[] = { [LOAD_MISSING] = "missing",
					  [LOAD_STALE] = "stale",
					  [LOAD_ABSURD] = "absurd",
					  [LOAD_VALID] = "valid" };

static json_t *instance_json(const struct rates *rates, uint64_t now_ns, uint16_t id)
{
	struct instance_load load = { .id = id };
	json_t *json;

	rates_instance(rates, now_ns, &load);
	json = json_pack("{si ss sf sI}", "id", id, "figures", validities[load.quality.validity],
			 "flows", load.flows, "capacity", (json_int_t)load.capacity_flows);
	if (load.quality.validity != LOAD_VALID)
		return json;
	json_put_real(json, "packets_per_s", load.packets_per_s);
	json_put_real(json, "bytes_per_s", load.bytes_per_s);
	json_put_real(json, "flows_new_per_s", load.new_flows_per_s);
	json_put_real(json, "flows_expired_per_s", load.expired_flows_per_s);
	json_put_real(json, "drops_per_s", load.drops_per_s);
	if (load.ns_per_packet > 0) {
		json_put_real(json, "ns_per_packet", load.ns_per_packet);
		json_put_real(json, "utilisation", load.utilisation);
	}
	return json;
}

static json_t *missing_json(const struct rates *rates)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < SAMPLE_PARTS; i++)
		if (rates->missing & 1u << i)
			json_array_append_new(list, json_string(sample_part_name(i)));
	return list;
}

json_t *rates_json(const struct rates *rates, uint64_t now_ns)
{
	struct host_load load = { 0 };
	json_t *json, *list = json_array();

	rates_host(rates, now_ns, &load);
	json = json_pack("{ss sI so so}", "figures", validities[load.quality.validity], "resets",
			 (json_int_t)rates->resets, "missing", missing_json(rates), "instances",
			 list);
	if (rates->time_ns)
		json_put_uint(json, "age_ms", rates_age_ns(rates, now_ns) / NSEC_PER_MSEC);
	for (size_t i = 0; i < FF_INSTANCES_MAX; i++)
		if (rates->instances[i])
			json_array_append_new(list, instance_json(rates, now_ns, (uint16_t)i));
	if (load.quality.validity != LOAD_VALID)
		return json;
	json_put(json, "cpu",
		 json_pack("{sf sf sf sf}", "softirq", (double)load.cpu.softirq, "system",
			   (double)load.cpu.system, "user", (double)load.cpu.user, "other",
			   (double)load.cpu.other));
	json_put_real(json, "softnet_drops_per_s", load.softnet_drops_per_s);
	json_put_real(json, "softnet_squeezes_per_s", load.squeezes_per_s);
	if (load.pressure_known)
		json_put_real(json, "pressure", load.pressure);
	if (rates->part_ns[SAMPLE_MEMORY])
		json_put_uint(json, "memory_available_bytes", rates->memory_available);
	if (rates->part_ns[SAMPLE_LINKS])
		json_put(json, "fabric",
			 json_pack("{ss sb sf sf}", "interface", rates->link.name, "carrier",
				   rates->link.carrier, "rx_bytes_per_s", load.rx_bytes_per_s,
				   "tx_bytes_per_s", load.tx_bytes_per_s));
	return json;
}
