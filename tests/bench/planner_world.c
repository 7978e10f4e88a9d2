/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/bench/planner_world.h"

#include <math.h>
#include <stdlib.h>

#include "lib/cleanup.h"

#define FLOWS_MAX      4096
#define PACKETS_A_FLOW 20.0
#define BYTES_A_PACKET 400.0
#define STATE_A_FLOW   96.0

void world_init(struct world *w, unsigned int hosts, unsigned int instances, unsigned int slots)
{
	*w = (struct world){};
	policy_init(&w->policy);
	cost_init(&w->cost);
	w->loads.now_ns = 1000000000;
	w->loads.hosts = calloc(hosts, sizeof(*w->loads.hosts));
	w->loads.hosts_n = hosts;
	for (unsigned int i = 0; i < hosts; i++) {
		w->loads.hosts[i] = (struct host_load){
			.id = (uint16_t)(i + 1),
			.quality = { LOAD_VALID, 0 },
			.cpus = 8,
			.link_bytes_per_s = 1.25e9,
			.parking_packets = 65536,
			.lanes_free = 8,
		};
		snprintf(w->loads.hosts[i].name, FF_NAME_MAX, "nf%u", i + 1);
	}
	w->service = (struct service_load){
		.id = 1,
		.name = "fw",
		.nf = "firewall",
		.instances = calloc(instances + 1, sizeof(*w->service.instances)),
		.instances_n = instances,
		.slots = calloc(slots + 1, sizeof(*w->service.slots)),
		.slots_n = slots,
		.flows = calloc(FLOWS_MAX, sizeof(*w->service.flows)),
		.rules = calloc(FF_RULES_MAX, sizeof(*w->service.rules)),
		.slots_quality = { LOAD_VALID, 0 },
	};
	for (unsigned int i = 0; i < instances; i++) {
		struct instance_load *instance = &w->service.instances[i];

		*instance = (struct instance_load){
			.id = (uint16_t)(i + 1),
			.host = (uint16_t)(i % hosts + 1),
			.state = INSTANCE_RUNNING,
			.quality = { LOAD_VALID, 0 },
			.capacity_pps = WORLD_CAPACITY,
			.ns_per_packet = 1e9 / WORLD_CAPACITY,
			.capacity_flows = 1048576,
			.age_ms = UINT64_MAX,
		};
		snprintf(instance->name, FF_NAME_MAX, "fw-%u", i + 1);
		w->loads.hosts[i % hosts].instances++;
	}
	w->loads.services = &w->service;
	w->loads.services_n = 1;
	w->policy.instances.max = 64;
	w->policy.instances.per_host = 64;
	w->policy.placement.spread = false;
	w->input = (struct planner_input){ .loads = &w->loads,
					   .service = 1,
					   .policy = &w->policy,
					   .cost = &w->cost,
					   .flags = PLANNER_RELIEVE };
}

void world_done(struct world *w)
{
	free(w->loads.hosts);
	free(w->service.instances);
	free(w->service.slots);
	free(w->service.flows);
	free(w->service.rules);
	*w = (struct world){};
}

void world_slot(struct world *w, unsigned int slot, unsigned int instance, double packets)
{
	double flows = ceil(packets / PACKETS_A_FLOW);

	w->service.slots[slot] = (struct slot_load){
		.owner = w->service.instances[instance].id,
		.valid = true,
		.packets_per_s = (float)packets,
		.bytes_per_s = (float)(packets * BYTES_A_PACKET),
		.flows = (float)flows,
		.state_bytes = (float)(flows * STATE_A_FLOW),
		.dirty_per_s = (float)(flows / 2),
	};
}

void world_slots(struct world *w, unsigned int first, unsigned int last, unsigned int instance,
		 double packets)
{
	for (unsigned int slot = first; slot <= last; slot++)
		world_slot(w, slot, instance, packets / (last - first + 1));
}

void world_flow(struct world *w, unsigned int slot, int pinned, double packets)
{
	struct slot_load *s = &w->service.slots[slot];
	struct flow_load *flow = &w->service.flows[w->service.flows_n++];

	*flow = (struct flow_load){
		.slot = slot,
		.owner = pinned >= 0 ? w->service.instances[pinned].id : s->owner,
		.pinned = pinned >= 0,
		.valid = true,
		.packets_per_s = (float)packets,
		.bytes_per_s = (float)(packets * BYTES_A_PACKET),
		.state_bytes = (float)STATE_A_FLOW,
	};
	flow->key.proto = 17;
	flow->key.port[0] = htons((uint16_t)w->service.flows_n);
	if (pinned < 0) {
		s->packets_per_s += flow->packets_per_s;
		s->bytes_per_s += flow->bytes_per_s;
		s->flows += 1;
		s->state_bytes += flow->state_bytes;
		s->dirty_per_s += 1;
	}
}

static struct instance_load *owner_of(struct world *w, uint16_t id)
{
	for (size_t i = 0; i < w->service.instances_n; i++)
		if (w->service.instances[i].id == id)
			return &w->service.instances[i];
	return NULL;
}

static void owner_add(struct world *w, uint16_t id, double packets, double bytes, double flows)
{
	struct instance_load *owner = owner_of(w, id);

	if (!owner)
		return;
	owner->packets_per_s += packets;
	owner->bytes_per_s += bytes;
	owner->flows += flows;
	owner->utilisation = owner->packets_per_s / owner->capacity_pps;
	for (size_t i = 0; i < w->loads.hosts_n; i++) {
		struct host_load *host = &w->loads.hosts[i];

		if (host->id != owner->host)
			continue;
		host->cpu.softirq += (float)(packets * owner->ns_per_packet / 1e9);
		host->rx_bytes_per_s += bytes;
		host->tx_bytes_per_s += bytes;
	}
}

void world_measure(struct world *w)
{
	for (size_t i = 0; i < w->service.slots_n; i++) {
		const struct slot_load *s = &w->service.slots[i];

		owner_add(w, s->owner, s->packets_per_s, s->bytes_per_s, s->flows);
	}
	for (size_t i = 0; i < w->service.flows_n; i++) {
		const struct flow_load *f = &w->service.flows[i];

		if (f->pinned)
			owner_add(w, f->owner, f->packets_per_s, f->bytes_per_s, 1);
	}
	for (size_t i = 0; i < w->service.rules_n; i++) {
		const struct rule_load *r = &w->service.rules[i];

		owner_add(w, r->owner, r->packets_per_s, r->bytes_per_s, r->flows);
	}
}

static double random_share(struct random *random)
{
	return (1 + random_below(random, 1000)) / 1000.0;
}

void world_random(struct world *w, struct random *random, unsigned int hosts,
		  unsigned int instances, unsigned int slots, unsigned int flows, double load)
{
	double total = load * instances * WORLD_CAPACITY, sum = 0;
	_cleanup_free_ double *share = calloc(slots, sizeof(*share));

	world_init(w, hosts, instances, slots);
	for (unsigned int i = 0; i < slots; i++) {
		share[i] = random_share(random);
		if (random_below(random, 8) == 0)
			share[i] *= 3;
		sum += share[i];
	}
	for (unsigned int i = 0; i < slots; i++) {
		/* skewed: the first instance has about twice as much as any other */
		unsigned int owner = random_below(random, instances + 1);

		world_slot(w, i, owner % instances, total * share[i] / sum);
		/*
		 * state that differs from the load, so that what is cheapest isn't what is smallest
		 */
		w->service.slots[i].flows *= (float)(0.2 + 2 * random_share(random));
		w->service.slots[i].state_bytes = w->service.slots[i].flows * (float)STATE_A_FLOW;
	}
	for (unsigned int i = 0; i < flows; i++) {
		int pinned = random_below(random, 3) ? -1 : (int)random_below(random, instances);

		world_flow(w, random_below(random, slots), pinned,
			   WORLD_CAPACITY * random_share(random) * 0.3);
	}
	world_measure(w);
}
