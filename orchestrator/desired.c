/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* desired.c - the model as the agents' configuration. */
#include <inttypes.h>

#include "lib/json.h"
#include "orchestrator/desired.h"

/* An instance by number for agents, by name for people. */
static json_t *instance_json(uint16_t id, const struct model *model)
{
	return model ? json_string(model_instance_name(model, id)) : json_integer(id);
}

/* An array and whether all of its items have fitted into memory. */
struct list {
	json_t *array;
	bool bad;
};

static void list_add(struct list *list, json_t *item)
{
	list->bad |= json_array_append_new(list->array, item) != 0;
}

static json_t *list_end(struct list *list)
{
	if (!list->bad)
		return list->array;
	json_decref(list->array);
	return NULL;
}

json_t *owners_slots_json(const struct owners *table, const struct model *model)
{
	struct list list = { .array = json_array() };
	bool seen[FF_INSTANCES_MAX] = { false };

	seen[0] = true; /* no owner */
	for (unsigned int slot = 0; slot < table->slots; slot++) {
		uint16_t owner = table->owners[slot];
		_cleanup_free_ char *text = NULL;
		struct slotset slots;

		if (seen[owner])
			continue;
		seen[owner] = true;
		owners_slots_of(table, owner, &slots);
		if (slotset_format(&slots, &text) < 0)
			list.bad = true;
		else
			list_add(&list, json_pack("[so]", text, instance_json(owner, model)));
	}
	return list_end(&list);
}

json_t *owners_pins_json(const struct owners *table, const struct model *model, size_t max)
{
	struct list list = { .array = json_array() };
	char text[FLOW_TEXT_MAX];

	for (size_t i = 0; i < table->pins_n && i < max && !list.bad; i++) {
		const struct pin *pin = &table->pins[i];

		list_add(&list, json_pack("{ss so}", "flow", flow_format(&pin->key, text),
					  "instance", instance_json(pin->instance, model)));
	}
	return list_end(&list);
}

json_t *owners_rules_json(const struct owners *table, const struct model *model)
{
	struct list list = { .array = json_array() };

	for (unsigned int i = 0; i < FF_RULES_MAX && !list.bad; i++) {
		const struct rule *rule = &table->rules[i];
		_cleanup_free_ char *slots = NULL;
		char match[MATCH_TEXT_MAX];

		if (!rule->used)
			continue;
		if (match_format(&rule->match, match) < 0 ||
		    slotset_format(&rule->slots, &slots) < 0)
			list.bad = true;
		else
			list_add(&list, json_pack("{si ss ss so}", "index", i, "match", match,
						  "slots", slots, "instance",
						  instance_json(rule->instance, model)));
	}
	return list_end(&list);
}

static json_t *service_json(const struct service *service)
{
	const struct owners *table = &service->table;
	char seed[33];
	json_t *json;

	snprintf(seed, sizeof(seed), "%016" PRIx64 "%016" PRIx64, table->seed[0], table->seed[1]);
	json = json_pack("{si ss ss si ss ss sO so so so}", "id", service->id, "name",
			 service->name, "nf", service->nf, "slots", (int)table->slots, "seed", seed,
			 "class", service->class, "config", service->config, "owners",
			 owners_slots_json(table, NULL), "pins",
			 owners_pins_json(table, NULL, OWNERS_PINS_MAX), "rules",
			 owners_rules_json(table, NULL));
	if (json && service_is_protected(service))
		json_put_uint(json, "lag_ms", service->policy.protect.lag_ms);
	if (json && service_is_fenced(service))
		json_put_uint(json, "lease_ms", service->policy.partition.lease_ms);
	return json;
}

static json_t *services_json(const struct model *model)
{
	struct list list = { .array = json_array() };

	for (unsigned int i = 0; i < FF_SERVICES_MAX; i++)
		if (model->services[i])
			list_add(&list, service_json(model->services[i]));
	return list_end(&list);
}

static json_t *instances_json(const struct model *model)
{
	struct list list = { .array = json_array() };

	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++) {
		const struct instance *instance = model->instances[i];
		const struct service *service;
		json_t *item;

		if (!instance)
			continue;
		service = model_service(model, instance->service);
		item = json_pack("{si ss ss si si sI}", "id", instance->id, "name", instance->name,
				 "nf", instance->nf, "service", instance->service, "host",
				 instance->host, "capacity",
				 (json_int_t)(service ? service->capacity : 0));
		if (item && instance->standby_of)
			json_put_uint(item, "standby_of", instance->standby_of);
		list_add(&list, item);
	}
	return list_end(&list);
}

static json_t *hosts_json(const struct model *model)
{
	struct list list = { .array = json_array() };

	for (size_t i = 0; i < model->hosts_n; i++) {
		const struct host *host = &model->hosts[i];

		list_add(&list,
			 json_pack("{si ss ss* ss* ss}", "id", host->id, "name", host->name, "ipv4",
				   host->ipv4, "ipv6", host->ipv6, "url", host->url));
	}
	return list_end(&list);
}

uint32_t desired_failure_ms(const struct model *model)
{
	uint32_t failure_ms = 0;

	for (unsigned int i = 0; i < FF_SERVICES_MAX; i++) {
		const struct service *service = model->services[i];

		if (!service || !service->governed)
			continue;
		failure_ms = MIN(failure_ms ?: UINT32_MAX, service->policy.stability.failure_ms);
	}
	return failure_ms;
}

json_t *desired_config(const struct model *model, const struct host *host)
{
	/* `version` orders configurations of one epoch: a late one must not undo a newer one */
	return json_pack("{si sI si so so so}", "host_id", host->id, "version",
			 (json_int_t)model->version, "failure_ms", (int)desired_failure_ms(model),
			 "hosts", hosts_json(model), "services", services_json(model), "instances",
			 instances_json(model));
}
