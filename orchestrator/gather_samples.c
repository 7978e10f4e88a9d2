/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* gather_samples.c - slots and heavy flows of a service, as its instances' hosts have sampled them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/gather.h"
#include "orchestrator/samples.h"

/* As bad as the worst: the one whose slots aren't known may hold what matters. */
static void quality_worsen(struct load_quality *quality, struct load_quality other)
{
	quality->validity = MIN(quality->validity, other.validity);
	quality->age_ns = MAX(quality->age_ns, other.age_ns);
}

static bool slots_owned(const struct service_load *load, uint16_t instance)
{
	for (size_t slot = 0; slot < load->slots_n; slot++)
		if (load->slots[slot].owner == instance)
			return true;
	return false;
}

void gather_slots(const struct orchestrator *orch, uint64_t now_ns, struct service_load *load)
{
	struct load_quality worst = { LOAD_VALID, 0 };

	for (size_t i = 0; i < load->instances_n; i++) {
		const struct instance_load *instance = &load->instances[i];

		if (slots_owned(load, instance->id))
			quality_worsen(&worst,
				       samples_slots(orch->samples,
						     model_host(&orch->model, instance->host),
						     now_ns, instance->id, load->slots,
						     load->slots_n));
	}
	if (load->instances_n)
		load->slots_quality = worst;
}

/*
 * The flow in the list: pins are there already, in the table's order; behind them come heavy flows that
 * have no pin. One that isn't there yet is added, with the owner that the table gives it.
 */
static struct flow_load *flow_place(const struct service *service, const struct ff_flow_key *key,
				    struct service_load *load)
{
	const struct owners *table = &service->table;
	const struct pin *pin = owners_pin(table, key);
	struct flow_load *flow;

	if (pin)
		return &load->flows[pin - table->pins];
	for (size_t i = table->pins_n; i < load->flows_n; i++)
		if (!memcmp(&load->flows[i].key, key, sizeof(*key)))
			return &load->flows[i];
	flow = &load->flows[load->flows_n++];
	*flow = (struct flow_load){ .key = *key,
				    .slot = owners_slot(table, key),
				    .owner = owners_find(table, key, NULL, NULL) };
	return flow;
}

/* Two hosts tell of a flow that has just moved: the one that sees more of it has it now. */
static void flow_take(struct flow_load *flow, const struct flow_load *told)
{
	if (flow->valid && flow->packets_per_s > told->packets_per_s)
		return;
	flow->valid = 1;
	flow->packets_per_s = told->packets_per_s;
	flow->bytes_per_s = told->bytes_per_s;
	flow->state_bytes = told->state_bytes;
	flow->left_s = told->left_s;
}

static int flow_compare(const void *a, const void *b)
{
	const struct flow_load *x = a, *y = b;

	if (x->packets_per_s != y->packets_per_s)
		return x->packets_per_s < y->packets_per_s ? 1 : -1;
	return memcmp(&x->key, &y->key, sizeof(x->key)); /* the same input, the same order */
}

void gather_flows(const struct orchestrator *orch, const struct service *service, uint64_t now_ns,
		  struct service_load *load)
{
	struct flow_load heavy[GATHER_FLOWS];

	for (size_t i = 0; i < load->instances_n; i++)
		samples_lives(orch->samples, model_host(&orch->model, load->instances[i].host),
			      load->instances[i].id, &load->lives);
	for (size_t i = 0; i < load->instances_n; i++) {
		const struct instance_load *instance = &load->instances[i];
		size_t n = samples_flows(orch->samples, model_host(&orch->model, instance->host),
					 now_ns, instance->id, &load->lives, heavy, GATHER_FLOWS);

		for (size_t k = 0; k < n; k++) {
			heavy[k].key.service = 0; /* as in the table */
			flow_take(flow_place(service, &heavy[k].key, load), &heavy[k]);
		}
	}
	qsort(load->flows, load->flows_n, sizeof(load->flows[0]), flow_compare);
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* The slots where its instance has flows by this rule, not by the slot; false: or by another rule. */
static bool rule_slots(const struct owners *table, unsigned int index, struct slotset *ret)
{
	const struct rule *rule = &table->rules[index];
	unsigned int slot;

	slotset_clear(ret);
	slotset_foreach(slot, &rule->slots) {
		if (table->owners[slot] == rule->instance)
			return false;
		for (unsigned int i = 0; i < FF_RULES_MAX; i++)
			if (i != index && table->rules[i].used &&
			    table->rules[i].instance == rule->instance &&
			    slotset_test(&table->rules[i].slots, slot))
				return false;
		slotset_set(ret, slot);
	}
	return true;
}

/* Those that are heavy are measured, the others only counted. */
static void pins_take_away(const struct service_load *load, const struct slotset *slots,
			   struct rule_load *rule)
{
	for (size_t i = 0; i < load->flows_n; i++) {
		const struct flow_load *flow = &load->flows[i];

		if (!flow->pinned || flow->owner != rule->owner || !slotset_test(slots, flow->slot))
			continue;
		rule->flows = fmaxf(0, rule->flows - 1);
		rule->state_bytes = fmaxf(0, rule->state_bytes - flow->state_bytes);
		rule->packets_per_s = fmaxf(0, rule->packets_per_s - flow->packets_per_s);
		rule->bytes_per_s = fmaxf(0, rule->bytes_per_s - flow->bytes_per_s);
		rule->dirty_per_s = fminf(rule->dirty_per_s, rule->packets_per_s);
	}
}

/*
 * The data path counts by slots, not by rules: a rule's flows are what its instance processes in slots that
 * are another's. Where that isn't the rule's alone, as two rules of one instance overlap, its figures
 * aren't known.
 */
void gather_rule(const struct orchestrator *orch, const struct service *service, uint64_t now_ns,
		 struct rule_load *rule)
{
	const struct instance *owner = model_instance(&orch->model, rule->owner);
	struct slotset slots;

	if (owner && rule_slots(&service->table, rule->index, &slots))
		samples_strangers(orch->samples, model_host(&orch->model, owner->host), now_ns,
				  owner->id, service->table.slots, &slots, rule);
}

void gather_rules(const struct orchestrator *orch, const struct service *service, uint64_t now_ns,
		  struct service_load *load)
{
	for (size_t i = 0; i < load->rules_n; i++) {
		struct rule_load *rule = &load->rules[i];

		gather_rule(orch, service, now_ns, rule);
		if (rule->valid)
			pins_take_away(load, &service->table.rules[rule->index].slots, rule);
	}
}
