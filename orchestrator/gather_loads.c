/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* gather_loads.c - the model's objects with their figures: the input of analyzer and planner. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "orchestrator/gather.h"
#include "orchestrator/operation.h"
#include "orchestrator/protection.h"

void loads_done(struct loads *loads)
{
	for (size_t i = 0; i < loads->services_n; i++) {
		free(loads->services[i].instances);
		free(loads->services[i].slots);
		free(loads->services[i].flows);
		free(loads->services[i].rules);
	}
	free(loads->services);
	free(loads->hosts);
	*loads = (struct loads){ 0 };
}

static void host_fill(struct orchestrator *orch, const struct host *host, uint64_t now_ns,
		      struct host_load *load)
{
	*load = (struct host_load){ .id = host->id, .steering = host->steering };
	snprintf(load->name, sizeof(load->name), "%s", host->name);
	for (size_t i = 0; i < FF_INSTANCES_MAX; i++)
		load->instances += orch->model.instances[i] &&
				   orch->model.instances[i]->host == host->id;
	gather_host(orch->gather, host, now_ns, load);
	if (host->draining)
		load->conditions |= HOST_MAINTENANCE;
}

/* What the operator says that an instance can process counts, whatever was measured. */
static void capacity_apply(const struct service *service, struct instance_load *load)
{
	if (!service->governed || !service->policy.capacity.packets_per_s)
		return;
	load->capacity_pps = service->policy.capacity.packets_per_s;
	load->utilisation = load->packets_per_s / load->capacity_pps;
}

static void instances_fill(struct orchestrator *orch, const struct service *service,
			   uint64_t now_ns, struct service_load *load)
{
	for (size_t i = 0; i < FF_INSTANCES_MAX; i++) {
		const struct instance *instance = orch->model.instances[i];
		struct instance_load *one;

		/* standbys own nothing, get nothing and aren't counted */
		if (!instance || instance->service != service->id || instance->standby_of)
			continue;
		one = &load->instances[load->instances_n++];
		*one = (struct instance_load){ .id = instance->id, .host = instance->host };
		snprintf(one->name, sizeof(one->name), "%s", instance->name);
		one->outdated = strcmp(instance->nf, service->nf) != 0;
		gather_instance(orch->gather, instance, now_ns, one);
		capacity_apply(service, one);
	}
}

/* ---- who owns what --------------------------------------------------------------------------- */

static void slots_fill(const struct service *service, struct service_load *load)
{
	load->slots_n = service->table.slots;
	for (size_t slot = 0; slot < load->slots_n; slot++)
		load->slots[slot].owner = service->table.owners[slot];
}

static void pins_fill(const struct service *service, struct service_load *load)
{
	const struct owners *table = &service->table;

	for (size_t i = 0; i < table->pins_n; i++)
		load->flows[load->flows_n++] = (struct flow_load){
			.key = table->pins[i].key,
			.slot = owners_slot(table, &table->pins[i].key),
			.owner = table->pins[i].instance,
			.pinned = 1,
		};
}

static void rules_fill(const struct service *service, struct service_load *load)
{
	for (uint16_t i = 0; i < FF_RULES_MAX; i++)
		if (service->table.rules[i].used)
			load->rules[load->rules_n++] =
				(struct rule_load){ .index = i,
						    .owner = service->table.rules[i].instance };
}

static bool subject_has_flow(const struct change *subject, const struct flow_load *flow)
{
	if (!flow->pinned && slotset_test(&subject->slots, flow->slot))
		return true;
	for (size_t i = 0; i < subject->flows_n; i++)
		if (!memcmp(&subject->flows[i], &flow->key, sizeof(flow->key)))
			return true;
	return false;
}

/* What a running operation moves is left alone until it has ended. */
static void moving_mark(const struct change *subject, struct service_load *load)
{
	for (size_t slot = 0; slot < load->slots_n; slot++)
		load->slots[slot].moving |= slotset_test(&subject->slots, (unsigned int)slot);
	for (size_t i = 0; i < load->flows_n; i++)
		load->flows[i].moving |= subject_has_flow(subject, &load->flows[i]);
	for (size_t i = 0; i < subject->rules_n; i++)
		for (size_t k = 0; k < load->rules_n; k++)
			load->rules[k].moving |= load->rules[k].index == subject->rules[i].index;
}

static int service_fill(struct orchestrator *orch, const struct service *service, uint64_t now_ns,
			struct service_load *load)
{
	const struct model *model = &orch->model;
	size_t members = 0;

	for (size_t i = 0; i < FF_INSTANCES_MAX; i++)
		members += model->instances[i] && model->instances[i]->service == service->id;
	load->id = service->id;
	snprintf(load->name, sizeof(load->name), "%s", service->name);
	snprintf(load->nf, sizeof(load->nf), "%s", service->nf);
	load->slots_quality = (struct load_quality){ LOAD_MISSING, UINT64_MAX };
	load->instances = calloc(FF_INSTANCES_MAX, sizeof(*load->instances));
	load->slots = calloc(service->table.slots, sizeof(*load->slots));
	load->flows =
		calloc(service->table.pins_n + members * GATHER_FLOWS + 1, sizeof(*load->flows));
	load->rules = calloc(FF_RULES_MAX, sizeof(*load->rules));
	if (!load->instances || !load->slots || !load->flows || !load->rules)
		return -ENOMEM;
	if (service_is_protected(service))
		load->unprotected = protection_missing(orch, service, &load->owners);
	slots_fill(service, load);
	pins_fill(service, load);
	rules_fill(service, load);
	instances_fill(orch, service, now_ns, load);
	gather_slots(orch, now_ns, load);
	gather_flows(orch, service, now_ns, load);
	gather_rules(orch, service, now_ns, load);
	for (const struct operation *op = model->operations; op; op = op->next)
		if (op->service == service->id && op->subject)
			moving_mark(op->subject, load);
	return 0;
}

int loads_gather(struct orchestrator *orch, struct loads *ret)
{
	struct model *model = &orch->model;
	struct loads loads = { .now_ns = clock_ns() };
	int r = 0;
	MODEL_LOCKED(model);

	store_trouble(orch->store, loads.database, sizeof(loads.database));
	loads.hosts = calloc(model->hosts_n + 1, sizeof(*loads.hosts));
	loads.services = calloc(FF_SERVICES_MAX, sizeof(*loads.services));
	if (!loads.hosts || !loads.services)
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < model->hosts_n; i++)
		host_fill(orch, &model->hosts[i], loads.now_ns, &loads.hosts[loads.hosts_n++]);
	for (size_t i = 0; r == 0 && i < FF_SERVICES_MAX; i++)
		if (model->services[i])
			r = service_fill(orch, model->services[i], loads.now_ns,
					 &loads.services[loads.services_n++]);
	if (r < 0)
		loads_done(&loads);
	else
		*ret = loads;
	return r;
}
