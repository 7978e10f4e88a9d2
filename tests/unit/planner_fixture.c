/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "tests/unit/planner_fixture.h"

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
		/* state that differs from the load, so that what is cheapest isn't what is smallest */
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

/* Owners after the plan, as places; those that it creates follow. */
static int place_of(const struct world *w, const struct plan_instance *instance)
{
	if (instance->created)
		return (int)w->service.instances_n + instance->created - 1;
	for (size_t i = 0; i < w->service.instances_n; i++)
		if (instance->id && w->service.instances[i].id == instance->id)
			return (int)i;
	return -1;
}

static int place_of_id(const struct world *w, uint16_t id)
{
	return place_of(w, &(struct plan_instance){ .id = id });
}

struct owners_after {
	int *slots;
	int *flows;
	int *rules;
};

static int flow_place(const struct world *w, const struct ff_flow_key *key)
{
	for (size_t i = 0; i < w->service.flows_n; i++)
		if (flow_cmp(&w->service.flows[i].key, key) == 0)
			return (int)i;
	return -1;
}

static void after_step(const struct world *w, const struct plan_step *step,
		       struct owners_after *after)
{
	int from = place_of(w, &step->from), to = place_of(w, &step->to);

	cr_assert_neq(from, to, "a move to where it is");
	for (size_t k = 0; k < step->slots_n; k++) {
		cr_assert_eq(after->slots[step->slots[k]], from, "slot %u isn't at the source",
			     step->slots[k]);
		after->slots[step->slots[k]] = to;
	}
	for (size_t k = 0; k < step->flows_n; k++) {
		int flow = flow_place(w, &step->flows[k]);

		cr_assert_geq(flow, 0);
		/* -2: rides with its slot */
		cr_assert_eq(after->flows[flow] == -2 ? after->slots[w->service.flows[flow].slot] :
							after->flows[flow],
			     from, "flow %d isn't at the source", flow);
		after->flows[flow] = to;
	}
	for (size_t k = 0; k < step->rules_n; k++)
		for (size_t r = 0; r < w->service.rules_n; r++)
			if (w->service.rules[r].index == step->rules[k])
				after->rules[r] = to;
}

void world_after(const struct world *w, const struct plan *plan, double *ret_packets, size_t n)
{
	struct owners_after after = {
		calloc(w->service.slots_n + 1, sizeof(int)),
		calloc(w->service.flows_n + 1, sizeof(int)),
		calloc(w->service.rules_n + 1, sizeof(int)),
	};

	memset(ret_packets, 0, n * sizeof(*ret_packets));
	for (size_t i = 0; i < w->service.slots_n; i++)
		after.slots[i] = place_of_id(w, w->service.slots[i].owner);
	for (size_t i = 0; i < w->service.flows_n; i++)
		after.flows[i] =
			w->service.flows[i].pinned ? place_of_id(w, w->service.flows[i].owner) : -2;
	for (size_t i = 0; i < w->service.rules_n; i++)
		after.rules[i] = place_of_id(w, w->service.rules[i].owner);
	for (size_t i = 0; i < plan->steps_n; i++)
		if (plan->steps[i].kind == PLAN_MOVE)
			after_step(w, &plan->steps[i], &after);
	for (size_t i = 0; i < w->service.slots_n; i++)
		if (after.slots[i] >= 0 && (size_t)after.slots[i] < n)
			ret_packets[after.slots[i]] += w->service.slots[i].packets_per_s;
	for (size_t i = 0; i < w->service.flows_n; i++) {
		const struct flow_load *flow = &w->service.flows[i];

		if (after.flows[i] < 0)
			continue;
		if (!flow->pinned && after.slots[flow->slot] >= 0)
			ret_packets[after.slots[flow->slot]] -= flow->packets_per_s;
		ret_packets[after.flows[i]] += flow->packets_per_s;
	}
	for (size_t i = 0; i < w->service.rules_n; i++)
		if (after.rules[i] >= 0)
			ret_packets[after.rules[i]] += w->service.rules[i].packets_per_s;
	free(after.slots);
	free(after.flows);
	free(after.rules);
}

size_t plan_count(const struct plan *plan, enum plan_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->steps_n; i++)
		n += plan->steps[i].kind == kind;
	return n;
}

/* No constraint is worse than it was found: each bound holds, or what broke it is no larger. */
static void check_not_worse(struct world *w, const struct plan *plan)
{
	size_t n = w->service.instances_n + plan_count(plan, PLAN_CREATE);
	_cleanup_free_ double *after = calloc(n + 1, sizeof(*after));
	double target = w->policy.utilisation.target_percent / 100.0, growth = 1;

	if (w->input.growth > 0)
		growth = w->input.growth;
	world_after(w, plan, after, n);
	for (size_t i = 0; i < n; i++) {
		const struct instance_load *instance = &w->service.instances[i];
		bool is_new = i >= w->service.instances_n;
		double capacity = is_new ? WORLD_CAPACITY : instance->capacity_pps;
		double before = is_new ? 0 : instance->packets_per_s, limit = target;

		/* flows without a live owner may go further */
		for (size_t k = 0; k < plan->steps_n; k++)
			if (plan->steps[k].why == PLAN_RESCUE)
				limit = PLANNER_RESCUE_PERCENT / 100.0;
		if (!is_new && instance->state == INSTANCE_FAILED)
			continue;
		cr_assert_leq(after[i] * growth,
			      fmax(before * growth, limit * capacity) * 1.001 + 1,
			      "instance %zu: %.0f packets/s before, %.0f after", i + 1, before,
			      after[i]);
	}
}

static const struct instance_load *after_instance(const struct world *w, const struct plan *plan,
						  size_t place, uint16_t *ret_host)
{
	if (place < w->service.instances_n) {
		*ret_host = w->service.instances[place].host;
		return &w->service.instances[place];
	}
	for (size_t k = 0; k < plan->steps_n; k++)
		if (plan->steps[k].kind == PLAN_CREATE &&
		    plan->steps[k].to.created == place - w->service.instances_n + 1)
			*ret_host = plan->steps[k].to.host;
	return NULL;
}

/* The same of each host's CPU, for which moves within it change nothing. */
static void check_hosts_not_worse(struct world *w, const struct plan *plan)
{
	size_t n = w->service.instances_n + plan_count(plan, PLAN_CREATE);
	_cleanup_free_ double *after = calloc(n + 1, sizeof(*after));

	world_after(w, plan, after, n);
	for (size_t h = 0; h < w->loads.hosts_n; h++) {
		const struct host_load *host = &w->loads.hosts[h];
		double limit = host->cpus * w->policy.utilisation.host_percent / 100, more = 0;
		double used = (double)host->cpu.softirq + host->cpu.user;

		for (size_t i = 0; i < n; i++) {
			uint16_t on = 0;
			const struct instance_load *in = after_instance(w, plan, i, &on);

			if (on == host->id)
				more += (after[i] - (in ? in->packets_per_s : 0)) / WORLD_CAPACITY;
		}
		cr_assert_leq(used + more, fmax(used, limit) + 0.001,
			      "host %u: %.3f CPUs before, %.3f after", host->id, used, used + more);
	}
}

static void check_waves(const struct plan *plan)
{
	for (size_t i = 1; i < plan->steps_n; i++)
		cr_assert_leq(plan->steps[i - 1].wave, plan->steps[i].wave);
	for (size_t i = 0; i < plan->steps_n; i++) {
		const struct plan_step *step = &plan->steps[i];

		cr_assert_lt(step->wave, plan->waves);
		if (step->kind == PLAN_CREATE)
			cr_assert_eq(step->wave, 0);
		if (step->kind == PLAN_MOVE && step->to.created)
			cr_assert_gt(step->wave, 0, "a move to what isn't there yet");
		if (step->kind != PLAN_RETIRE)
			continue;
		for (size_t k = 0; k < plan->steps_n; k++)
			if (plan->steps[k].kind == PLAN_MOVE && plan->steps[k].why != PLAN_RESCUE &&
			    plan->steps[k].from.id == step->from.id)
				cr_assert_lt(plan->steps[k].wave, step->wave);
	}
}

struct plan world_plan(struct world *w)
{
	struct plan plan;

	cr_assert_eq(planner_plan(&w->input, &plan), 0);
	check_waves(&plan);
	check_not_worse(w, &plan);
	check_hosts_not_worse(w, &plan);
	return plan;
}
