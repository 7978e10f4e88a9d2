/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* loop.c - see loop.h. Planning is in loop_plan.c. */
#include "orchestrator/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/drain.h"
#include "orchestrator/elasticity.h"
#include "orchestrator/events.h"
#include "orchestrator/failover.h"
#include "orchestrator/gather.h"
#include "orchestrator/loop_internal.h"
#include "orchestrator/protection.h"

#define SETTING_PAUSED "loop"

/* ---- looking --------------------------------------------------------------------------------- */

/* Names are taken from the loads: the model may have moved on. */
static const char *name_of(const struct loads *loads, const struct condition *condition)
{
	for (size_t i = 0; i < loads->hosts_n; i++)
		if (condition->about == ABOUT_HOST && loads->hosts[i].id == condition->id)
			return loads->hosts[i].name;
	for (size_t i = 0; i < loads->services_n; i++) {
		const struct service_load *service = &loads->services[i];

		if (condition->about == ABOUT_SERVICE && service->id == condition->id)
			return service->name;
		for (size_t k = 0; condition->about == ABOUT_INSTANCE && k < service->instances_n;
		     k++)
			if (service->instances[k].id == condition->id)
				return service->instances[k].name;
	}
	return *condition->name ? condition->name : NULL;
}

static void changes_tell(struct loop *loop, const struct analysis *analysis)
{
	for (size_t i = 0; i < analysis->changes_n; i++) {
		const struct condition *c = &analysis->changes[i].condition;
		const char *name = name_of(&loop->loads, c);
		struct event_about about = {
			.service = c->about == ABOUT_SERVICE ? name : NULL,
			.instance = c->about == ABOUT_INSTANCE ? name : NULL,
			.host = c->about == ABOUT_HOST ? name : NULL,
		};

		event_emit(loop->orch->events,
			   analysis->changes[i].raised ? "condition-raised" : "condition-ended",
			   about, "%s of %s %s: %s", condition_kind_name(c->kind),
			   condition_about_name(c->about), name ?: "the site", c->why);
	}
}

/* Nobody has set bounds for the service: no host is too busy for what an operator wants of it. */
static void policy_unbound(struct policy *policy)
{
	policy_init(policy);
	policy->utilisation.host_percent = NO_BOUND_PERCENT;
	policy->utilisation.pressure_percent = NO_BOUND_PERCENT;
	policy->utilisation.down_percent = 0;
}

static void policies_copy(struct loop *loop)
{
	const struct model *model = &loop->orch->model;
	MODEL_LOCKED(&loop->orch->model);

	for (size_t i = 0; i < FF_SERVICES_MAX; i++) {
		const struct service *service = model->services[i];

		const struct host *late = service ? drain_late_host(model, service) : NULL;

		loop->late[i] = late ? late->id : 0;
		loop->has_policy[i] = service && service->governed;
		if (loop->has_policy[i])
			loop->policies[i] = service->policy;
		else
			policy_unbound(&loop->policies[i]);
	}
}

static int look(struct loop *loop)
{
	const struct policy *policies[FF_SERVICES_MAX];
	struct condition *copy;
	struct analysis analysis;
	int r;

	policies_copy(loop);
	for (size_t i = 0; i < FF_SERVICES_MAX; i++)
		policies[i] = &loop->policies[i];
	loads_done(&loop->loads);
	r = loads_gather(loop->orch, &loop->loads);
	if (r == 0)
		r = analyzer_step(loop->analyzer, &loop->loads, policies, &analysis);
	if (r < 0)
		return r;
	changes_tell(loop, &analysis);
	copy = calloc(analysis.conditions_n + 1, sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	if (analysis.conditions_n) /* else there may be no list */
		memcpy(copy, analysis.conditions, analysis.conditions_n * sizeof(*copy));
	free(loop->conditions);
	loop->conditions = copy;
	loop->conditions_n = analysis.conditions_n;
	return 0;
}

/* ---- going on -------------------------------------------------------------------------------- */

/* A plan is followed by another, but not at once; less so if it failed. */
static void ended_back_off(struct loop *loop)
{
	for (size_t i = 0; i < FF_SERVICES_MAX; i++) {
		struct governed *g = &loop->governed[i];
		_cleanup_json_ json_t *doc = NULL;
		struct ff_error err = { 0 };
		const char *state;
		uint64_t wait_ms;

		if (!g->plan[0])
			continue;
		{
			MODEL_LOCKED(&loop->orch->model);

			if (operation_find(&loop->orch->model, g->plan))
				continue;
		}
		if (store_operation_get(loop->orch->store, g->plan, &doc, &err) == 0) {
			state = json_string_value(json_object_get(doc, "state"));
			wait_ms = state && !strcmp(state, "completed") ? LOOP_SETTLE_MS :
									 LOOP_BACKOFF_MS;
			g->not_before_ns = loop->loads.now_ns + wait_ms * NSEC_PER_MSEC;
		}
		g->plan[0] = '\0';
	}
}

static void *loop_main(void *arg)
{
	struct loop *loop = arg;
	struct model *model = &loop->orch->model;
	bool stopping = false, told = false;

	while (!stopping) {
		uint64_t next_ns = clock_ns() + LOOP_PERIOD_MS * NSEC_PER_MSEC, now_ns;
		int r;

		pthread_mutex_lock(&loop->lock);
		r = look(loop);
		ended_back_off(loop);
		for (size_t i = 0; r == 0 && i < loop->loads.services_n; i++)
			loop_govern(loop, &loop->loads.services[i]);
		if (r == 0 && !loop_is_paused(loop))
			protection_step(loop->orch->protection, &loop->loads);
		pthread_mutex_unlock(&loop->lock);
		drain_watch(loop->orch);
		if (r < 0 && !told)
			log_error("loads can't be analysed: %s", strerror(-r));
		told = r < 0;
		model_lock(model);
		while (!(stopping = model->stopping) && (now_ns = clock_ns()) < next_ns)
			model_wait(model, (unsigned int)((next_ns - now_ns) / NSEC_PER_MSEC) + 1);
		model_unlock(model);
	}
	return NULL;
}

/* ---- for others ------------------------------------------------------------------------------ */

bool loop_is_paused(struct loop *loop)
{
	MODEL_LOCKED(&loop->orch->model);

	return loop->paused;
}

int loop_pause(struct loop *loop, bool paused, struct ff_error *err)
{
	_cleanup_json_ json_t *value = json_pack("{sb}", "paused", paused);
	struct model *model = &loop->orch->model;
	int r;

	if (!value)
		return error_nomem(err);
	r = store_setting_put(loop->orch->store, SETTING_PAUSED, value, err);
	if (r < 0)
		return r;
	MODEL_LOCKED(model);
	loop->paused = paused;
	if (paused)
		elasticity_cancel(loop->orch->elasticity, 0);
	return 0;
}

static json_t *condition_json(const struct loop *loop, const struct condition *c)
{
	return json_pack("{ss ss ss* sI sb sf sf ss}", "kind", condition_kind_name(c->kind),
			 "about", condition_about_name(c->about), "name", name_of(&loop->loads, c),
			 "for_ms", (json_int_t)((loop->loads.now_ns - c->since_ns) / NSEC_PER_MSEC),
			 "forecast", c->forecast, "value", c->value, "bound", c->bound, "why",
			 c->why);
}

json_t *loop_json(struct loop *loop)
{
	json_t *list = json_array(), *costs = json_object();
	bool paused = loop_is_paused(loop);

	pthread_mutex_lock(&loop->lock);
	for (size_t i = 0; i < loop->conditions_n; i++)
		json_array_append_new(list, condition_json(loop, &loop->conditions[i]));
	for (size_t i = 0; i < loop->loads.services_n; i++) {
		const char *nf = loop->loads.services[i].nf;
		struct cost_model cost;

		elasticity_cost(loop->orch->elasticity, nf, &cost);
		json_object_set_new(costs, nf, cost_to_json(&cost));
	}
	pthread_mutex_unlock(&loop->lock);
	return json_pack("{sb so so}", "paused", paused, "conditions", list, "cost", costs);
}

json_t *loop_plan(struct loop *loop, const char *name, uint32_t flags, bool text,
		  struct ff_error *err)
{
	const struct service_load *service = NULL;
	struct plan plan = { 0 };
	json_t *json = NULL;
	char *words;

	pthread_mutex_lock(&loop->lock);
	for (size_t i = 0; i < loop->loads.services_n; i++)
		if (!strcmp(loop->loads.services[i].name, name))
			service = &loop->loads.services[i];
	if (!service) {
		error_set(err, ENOENT, FF_CODE_NOT_FOUND, "see `flowferry services`",
			  "there is no service \"%s\", or nothing is known of its load yet", name);
	} else if (loop_plan_make(loop, service, flags, &plan) < 0) {
		error_nomem(err);
	} else {
		json = plan_to_json(&plan, &loop->loads);
		if (json && text && plan_text(&plan, &loop->loads, &words) == 0) {
			json_put_str(json, "text", words);
			free(words);
		}
		if (!json)
			error_nomem(err);
	}
	plan_done(&plan);
	pthread_mutex_unlock(&loop->lock);
	return json;
}

int loop_start(struct orchestrator *orch, struct loop **ret, struct ff_error *err)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	_cleanup_json_ json_t *paused = NULL;
	int r;

	if (!loop)
		return error_nomem(err);
	loop->orch = orch;
	loop->analyzer = analyzer_new();
	pthread_mutex_init(&loop->lock, NULL);
	r = loop->analyzer ? store_setting_get(orch->store, SETTING_PAUSED, &paused, err) :
			     error_nomem(err);
	loop->paused = json_is_true(json_object_get(paused, "paused"));
	if (r == 0 && pthread_create(&loop->thread, NULL, loop_main, loop))
		r = error_set(err, EAGAIN, FF_CODE_INTERNAL, NULL, "can't start a thread");
	if (r < 0) {
		analyzer_free(loop->analyzer);
		free(loop);
		return r;
	}
	*ret = loop;
	return 0;
}

void loop_stop(struct loop *loop)
{
	if (!loop)
		return;
	pthread_join(loop->thread, NULL);
	loads_done(&loop->loads);
	analyzer_free(loop->analyzer);
	free(loop->conditions);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}
