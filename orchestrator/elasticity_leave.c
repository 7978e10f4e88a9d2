/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * elasticity_leave.c - flows that are left to end where they are, when their instance is retired.
 *
 * The slots that a step moves away take their new flows along. Before that, the flows in them that are likely
 * to end soon are pinned to the instance that has them: so they stay, with their state, and the move
 * takes the others only. Every host must have those pins before the move begins: the source, or it would
 * send these flows, too; the steering hosts, or they would send their packets after the slot. A pin whose
 * flow has ended is collected as any (settle.h); what is there at the deadline the planner moves.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/flow.h"
#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/agent_client.h"
#include "orchestrator/elasticity_internal.h"
#include "orchestrator/events.h"
#include "orchestrator/monitor.h"
#include "orchestrator/settings.h"

#define LOOKED_AT_MAX 65536 /* flows of an instance: 5 MB of JSON */
#define LEFT_MAX      4096  /* of an instance: each is in every configuration until it ends */

static const char *host_of(const struct model *model, uint16_t id, struct host **ret_host,
			   char ret_name[FF_NAME_MAX])
{
	const struct instance *instance = model_instance(model, id);

	*ret_host = instance ? model_host(model, instance->host) : NULL;
	if (!*ret_host)
		return NULL;
	return strcpy(ret_name, instance->name);
}

static int ages_get(struct step_run *run, uint16_t from, json_t **ret, struct ff_error *err)
{
	struct model *model = &run->e->orch->model;
	char name[FF_NAME_MAX];
	struct host *host;

	{
		MODEL_LOCKED(model);

		if (!host_of(model, from, &host, name))
			return error_set(err, ENOENT, FF_CODE_NOT_FOUND, NULL,
					 "the instance has been removed");
	}
	return agent_ages(run->e->orch, host, name, LOOKED_AT_MAX, ret, err);
}

/* Whether it's of these slots, and nothing but its slot decides on it. */
static bool is_of_slots(const struct owners *table, const struct slotset *slots, uint16_t from,
			const struct ff_flow_key *key)
{
	enum owners_how how;

	return slotset_test(slots, owners_slot(table, key)) &&
	       owners_find(table, key, &how, NULL) == from && how == OWNERS_SLOT;
}

/* The flows that are likely to end soon, in order. The lock is held. */
static int left_choose(struct step_run *run, const struct plan_step *step, uint16_t from,
		       const json_t *ages, struct change *left)
{
	const struct service *service = model_service(&run->e->orch->model, run->e->plan.service);
	unsigned int owned_slots, rules;
	struct slotset slots = { 0 };
	const json_t *item;
	size_t i, pins;

	if (!service)
		return 0;
	owners_count(&service->table, from, &owned_slots, &pins, &rules);
	for (i = 0; i < step->slots_n; i++)
		slotset_set(&slots, step->slots[i]);
	json_array_foreach(ages, i, item) {
		double age_s = (double)json_integer_value(json_object_get(item, "age_ms")) / 1e3;
		double left_s = life_left_s(&run->e->plan.lives, age_s);
		const char *text = agent_flow_text(item);
		struct ff_flow_key key;

		if (left_s <= 0 || left_s > step->leave_s || pins + left->flows_n >= LEFT_MAX ||
		    !text || flow_parse(text, &key) < 0 ||
		    !is_of_slots(&service->table, &slots, from, &key))
			continue;
		if (change_add_flow(left, &key) < 0)
			return -ENOMEM;
	}
	change_sort(left);
	return 0;
}

bool step_hosts_have(const struct model *model, uint64_t version)
{
	for (size_t i = 0; i < model->hosts_n; i++)
		if (model->hosts[i].up && model->hosts[i].pushed < version)
			return false;
	return true;
}

/* The pins that say nothing, and that no move counts on: the slot is where it was, and stays. */
static void idle_keep(const struct model *model, const struct owners *table, uint16_t service,
		      uint16_t from, struct change *left)
{
	size_t kept = 0;

	for (size_t i = 0; i < left->flows_n; i++) {
		unsigned int slot = owners_slot(table, &left->flows[i]);

		if (table->owners[slot] == from && !step_slot_moves(model, service, slot))
			left->flows[kept++] = left->flows[i];
	}
	left->flows_n = kept;
}

static void left_unpin(struct step_run *run, uint16_t from, struct change *left)
{
	struct orchestrator *orch = run->e->orch;
	struct service *service = model_service(&orch->model, run->e->plan.service);
	struct instance *instance = model_instance(&orch->model, from);
	struct ff_error err = { 0 };
	unsigned int slots, rules;
	size_t pins;

	if (!service || !instance)
		return;
	idle_keep(&orch->model, &service->table, service->id, from, left);
	if (owners_unpin(&service->table, left->flows, left->flows_n, from)) {
		if (store_owners_put(orch->store, service, &err) < 0)
			log_error("%s", err.message);
		model_touch(&orch->model);
	}
	/* nothing is left there to wait for: whether it goes is for the next plan to say */
	owners_count(&service->table, from, &slots, &pins, &rules);
	if (!pins && settings_retire(orch, instance, false, &err) < 0)
		log_error("%s", err.message);
}

/* The lock is held, and dropped while hosts are waited for. */
static int left_pin(struct step_run *run, uint16_t from, struct change *left, struct ff_error *err)
{
	struct orchestrator *orch = run->e->orch;
	struct service *service = model_service(&orch->model, run->e->plan.service);
	struct instance *instance = model_instance(&orch->model, from);
	int r;

	if (!service || !instance)
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND, NULL,
				 "the instance has been removed");
	/* first: whatever happens then, it's emptied by its deadline */
	r = settings_retire(orch, instance, true, err);
	if (r == 0 && owners_hold(&service->table, left->flows, left->flows_n, from) < 0)
		r = error_nomem(err);
	if (r < 0)
		return r;
	r = store_owners_put(orch->store, service, err);
	model_touch(&orch->model);
	run->pinned = orch->model.version;
	monitor_settle(orch, NULL, err);
	if (r == 0 && !step_hosts_have(&orch->model, run->pinned))
		r = error_set(err, EHOSTUNREACH, FF_CODE_UNREACHABLE, NULL,
			      "a host doesn't take its configuration");
	if (r < 0)
		left_unpin(run, from, left);
	return r;
}

size_t step_leave(struct step_run *run, const struct plan_step *step, uint16_t from,
		  struct change *left)
{
	struct model *model = &run->e->orch->model;
	_cleanup_json_ json_t *reply = NULL;
	struct ff_error err = { 0 };
	int r = ages_get(run, from, &reply, &err);
	MODEL_LOCKED(model);

	if (r == 0 && left_choose(run, step, from, json_object_get(reply, "flows"), left) < 0)
		r = error_nomem(&err);
	if (r == 0 && left->flows_n)
		r = left_pin(run, from, left, &err);
	if (r < 0) {
		log_warn("plan %s: no flows are left to end at %s: %s", run->e->operation->id,
			 model_instance_name(model, from), err.message);
		left->flows_n = 0;
		run->pinned = 0;
	}
	return left->flows_n;
}

void step_unleave(struct step_run *run, uint16_t from, struct change *left)
{
	MODEL_LOCKED(&run->e->orch->model);

	if (left->flows_n)
		left_unpin(run, from, left);
}
