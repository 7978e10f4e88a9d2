/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* drain.c - see drain.h. */
#include "orchestrator/drain.h"

#include "lib/clock.h"
#include "lib/json.h"
#include "orchestrator/events.h"
#include "orchestrator/operation.h"

static unsigned int moves_count(const struct model *model, uint16_t instance)
{
	unsigned int n = 0;

	for (const struct operation *op = model->operations; op; op = op->next)
		n += op->from == instance || op->to == instance;
	return n;
}

void drain_count(const struct model *model, const struct host *host, struct drain_left *ret)
{
	*ret = (struct drain_left){ 0 };
	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++) {
		const struct instance *instance = model->instances[i];
		unsigned int slots, rules;
		size_t pins;

		if (!instance || instance->host != host->id)
			continue;
		owners_count(&model_service(model, instance->service)->table, instance->id, &slots,
			     &pins, &rules);
		ret->instances += slots || pins || rules;
		ret->slots += slots;
		ret->pins += pins;
		ret->rules += rules;
		ret->moves += moves_count(model, instance->id);
	}
}

bool drain_is_empty(const struct drain_left *left)
{
	return !left->instances && !left->moves;
}

static bool drain_is_late(const struct host *host)
{
	return host->drain_deadline_ms && clock_wall_ms() > host->drain_deadline_ms;
}

const struct host *drain_late_host(const struct model *model, const struct service *service)
{
	for (unsigned int i = 0; i < FF_INSTANCES_MAX; i++) {
		const struct instance *instance = model->instances[i];
		const struct host *host;
		unsigned int slots, rules;
		size_t pins;

		if (!instance || instance->service != service->id)
			continue;
		host = model_host(model, instance->host);
		if (!host || !host->draining || !drain_is_late(host))
			continue;
		owners_count(&service->table, instance->id, &slots, &pins, &rules);
		if (slots || pins || rules)
			return host;
	}
	return NULL;
}

json_t *drain_json(const struct model *model, const struct host *host)
{
	struct drain_left left;

	drain_count(model, host, &left);
	return json_pack("{sI so sb sb si si sI si si}", "since_ms",
			 (json_int_t)host->drain_since_ms, "deadline_ms",
			 host->drain_deadline_ms ?
				 json_integer((json_int_t)host->drain_deadline_ms) :
				 json_null(),
			 "late", !drain_is_empty(&left) && drain_is_late(host), "empty",
			 drain_is_empty(&left), "instances", (int)left.instances, "slots",
			 (int)left.slots, "pins", (json_int_t)left.pins, "rules", (int)left.rules,
			 "moves", (int)left.moves);
}

static void host_watch(struct orchestrator *orch, struct host *host)
{
	struct event_about about = { .host = host->name };
	uint64_t now_ms = clock_wall_ms();
	struct drain_left left;
	bool empty;

	drain_count(&orch->model, host, &left);
	empty = drain_is_empty(&left);
	if (empty && !host->drain_told_empty)
		event_emit(orch->events, "drain-completed", about, "host %s is empty, after %.1f s",
			   host->name, (double)(now_ms - host->drain_since_ms) / 1e3);
	else if (!empty && drain_is_late(host) && !host->drain_told_late)
		event_emit(
			orch->events, "drain-late", about,
			"host %s should be empty by now, but %u slots, %zu pins and %u rules are "
			"still there, and %u moves under way",
			host->name, left.slots, left.pins, left.rules, left.moves);
	host->drain_told_empty = empty;
	host->drain_told_late |= !empty && drain_is_late(host);
}

void drain_watch(struct orchestrator *orch)
{
	struct model *model = &orch->model;
	MODEL_LOCKED(model);

	for (size_t i = 0; i < model->hosts_n; i++)
		if (model->hosts[i].draining)
			host_watch(orch, &model->hosts[i]);
}
