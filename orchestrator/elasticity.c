/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * elasticity.c - see elasticity.h.
 *
 * Threads: one for each plan, and one for each step of its wave. The plan, and what the steps note
 * in the execution, are theirs alone: a step writes only its own place, and the plan's thread reads
 * it after the join. The doc of the operation, the list of executions and the cost models are
 * guarded by the model's lock.
 */
#include "orchestrator/elasticity.h"

#include <errno.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/action.h"
#include "orchestrator/driver.h"
#include "orchestrator/elasticity_internal.h"
#include "orchestrator/events.h"

int elasticity_new(struct orchestrator *orch, struct elasticity **ret, struct ff_error *err)
{
	struct elasticity *elasticity = calloc(1, sizeof(*elasticity));

	if (!elasticity)
		return error_nomem(err);
	elasticity->orch = orch;
	*ret = elasticity;
	return 0;
}

void elasticity_stop(struct elasticity *elasticity)
{
	uint64_t until_ns = clock_ns() + ELASTICITY_STOP_MS * NSEC_PER_MSEC;

	if (!elasticity)
		return;
	{
		MODEL_LOCKED(&elasticity->orch->model);

		while (elasticity->threads && clock_ns() < until_ns)
			model_wait(&elasticity->orch->model, 1000);
		if (elasticity->threads)
			return; /* they still use it; the process ends */
	}
	free(elasticity);
}

bool elasticity_plans(const struct elasticity *elasticity, uint16_t service)
{
	for (const struct execution *e = elasticity->running; e; e = e->next)
		if (e->plan.service == service)
			return true;
	return false;
}

bool elasticity_busy(const struct elasticity *elasticity, uint16_t service)
{
	return elasticity_plans(elasticity, service) || elasticity_upgrading(elasticity, service);
}

void elasticity_cancel(struct elasticity *elasticity, uint16_t service)
{
	for (struct execution *e = elasticity->running; e; e = e->next)
		if (!service || e->plan.service == service)
			e->operation->cancel = true;
	pthread_cond_broadcast(&elasticity->orch->model.changed);
}

/* ---- cost ------------------------------------------------------------------------------------ */

/* The class; a new one's model has priors only. NULL: too many classes. The lock is held. */
static struct cost_class *class_of(struct elasticity *elasticity, const char *nf)
{
	for (size_t i = 0; i < COST_CLASSES; i++) {
		if (!elasticity->costs[i].nf[0]) {
			snprintf(elasticity->costs[i].nf, sizeof(elasticity->costs[i].nf), "%s",
				 nf);
			cost_init(&elasticity->costs[i].model);
		}
		if (!strcmp(elasticity->costs[i].nf, nf))
			return &elasticity->costs[i];
	}
	return NULL;
}

void elasticity_cost(struct elasticity *elasticity, const char *nf, struct cost_model *ret)
{
	const struct cost_class *class;
	MODEL_LOCKED(&elasticity->orch->model);

	class = class_of(elasticity, nf);
	if (class)
		*ret = class->model;
	else
		cost_init(ret);
}

void elasticity_account(struct elasticity *elasticity, const char *nf,
			struct elasticity_account *ret)
{
	const struct cost_class *class;
	MODEL_LOCKED(&elasticity->orch->model);

	class = class_of(elasticity, nf);
	*ret = class ? class->account : (struct elasticity_account){ 0 };
}

static void account_add(struct elasticity_account *account, const struct plan_step *step,
			const struct cost_sample *sample)
{
	account->moves++;
	account->freeze_s.predicted += step->predicted.freeze_us / 1e6;
	account->freeze_s.measured += sample->freeze_us / 1e6;
	account->total_s.predicted += step->predicted.total_us / 1e6;
	account->total_s.measured += sample->total_us / 1e6;
	account->bytes.predicted += step->predicted.bytes;
	account->bytes.measured += sample->bytes;
	account->parked.predicted += step->predicted.parked;
	account->parked.measured += sample->parked;
}

void elasticity_learn(struct execution *e, const struct plan_step *step, const json_t *doc)
{
	struct service *service = model_service(&e->orch->model, e->plan.service);
	struct cost_class *class = service ? class_of(e->elasticity, service->nf) : NULL;
	const json_t *phases = json_object_get(doc, "phases_us");
	struct cost_sample sample = {
		.flows = (double)json_integer_value(json_object_get(doc, "flows")),
		.bytes = (double)json_integer_value(json_object_get(doc, "bytes")),
		.rounds = (double)json_integer_value(json_object_get(doc, "rounds")),
		.packets_per_s = step->packets_per_s,
		.freeze_us = (double)json_integer_value(json_object_get(doc, "freeze_us")),
		.total_us = (double)json_integer_value(json_object_get(doc, "total_us")),
		.precopy_us = (double)json_integer_value(json_object_get(phases, "precopy")),
		.parked = (double)json_integer_value(json_object_get(doc, "packets_parked")),
	};

	if (!class)
		return;
	cost_learn(&class->model, &sample); /* what it refuses it counts */
	account_add(&class->account, step, &sample);
}

/* ---- a plan ---------------------------------------------------------------------------------- */

static void execution_free(struct execution *e)
{
	if (!e)
		return;
	plan_done(&e->plan);
	operation_free(e->operation);
	free(e->steps);
	free(e);
}

static void tell(struct execution *e, const char *kind, const char *text)
{
	event_emit(e->orch->events, kind,
		   (struct event_about){ .operation = e->operation->id,
					 .service = e->plan.service_name },
		   "plan %s of %s: %s", e->operation->id, e->plan.service_name, text);
}

/* One more look into the store's mirror of it; the lock is held. */
static void journal(struct execution *e)
{
	struct ff_error err = { 0 };

	if (store_operation_put(e->orch->store, e->operation, NULL, &err) < 0)
		log_error("plan %s: not journalled: %s", e->operation->id, err.message);
}

/* Runs all steps of one wave; 0 or the first error. */
static int wave_run(struct execution *e, uint32_t wave, struct ff_error *err)
{
	int r = 0;

	for (size_t i = 0; i < e->plan.steps_n; i++) {
		struct step_run *run = &e->steps[i];

		if (e->plan.steps[i].wave != wave)
			continue;
		*run = (struct step_run){ .e = e, .index = i };
		run->started = !pthread_create(&run->thread, NULL, step_main, run);
		if (!run->started)
			run->result = error_set(&run->error, EAGAIN, FF_CODE_INTERNAL, NULL,
						"can't start a thread");
	}
	for (size_t i = 0; i < e->plan.steps_n; i++) {
		struct step_run *run = &e->steps[i];

		if (e->plan.steps[i].wave != wave)
			continue;
		if (run->started)
			pthread_join(run->thread, NULL);
		if (run->result < 0 && r == 0) {
			r = run->result;
			*err = run->error;
		}
	}
	return r;
}

static bool cancelled(struct execution *e)
{
	MODEL_LOCKED(&e->orch->model);

	return e->operation->cancel || e->orch->model.stopping;
}

static void end(struct execution *e, int r, const struct ff_error *why)
{
	struct model *model = &e->orch->model;
	json_t *doc = e->operation->doc;
	const char *state = r == 0 ? "completed" : r == -ECANCELED ? "rolled-back" : "failed";

	tell(e, "plan-ended", r == 0 ? "done" : why->message);
	model_lock(model);
	json_put_str(doc, "state", state);
	json_put_str(doc, "phase", "ended");
	json_put_uint(doc, "ended", clock_wall_ms());
	json_put_uint(doc, "total_us", (clock_ns() - e->started_ns) / NSEC_PER_USEC);
	if (r < 0) {
		_cleanup_json_ json_t *body = json_from_error(why);

		json_object_set(doc, "error", json_object_get(body, "error"));
	}
	journal(e);
	for (struct execution **link = &e->elasticity->running; *link; link = &(*link)->next) {
		if (*link == e) {
			*link = e->next;
			break;
		}
	}
	operation_unlink(model, e->operation); /* also wakes those who wait for it */
	e->elasticity->threads--;
	model_unlock(model);
}

static void *plan_main(void *arg)
{
	struct execution *e = arg;
	struct ff_error err = { 0 };
	int r = 0;

	tell(e, "plan-started", e->plan.reason);
	for (uint32_t wave = 0; r == 0 && wave < e->plan.waves; wave++) {
		if (cancelled(e))
			r = error_set(&err, ECANCELED, FF_CODE_REFUSED, NULL,
				      "stopped after %u of %u waves", wave, e->plan.waves);
		else
			r = wave_run(e, wave, &err);
		model_lock(&e->orch->model);
		journal(e);
		model_unlock(&e->orch->model);
	}
	end(e, r, &err);
	execution_free(e);
	return NULL;
}

/* What the API shows: the plan, with room for what becomes of each step. */
static int doc_fill(struct execution *e, const struct loads *loads)
{
	json_t *doc = e->operation->doc, *plan = plan_to_json(&e->plan, loads), *step;
	size_t i;

	if (!plan)
		return -ENOMEM;
	json_array_foreach(json_object_get(plan, "steps"), i, step)
		json_put_str(step, "state", "queued");
	json_put_str(doc, "state", "running");
	json_put_str(doc, "phase", "running");
	json_put_str(doc, "service", e->plan.service_name);
	json_put_str(doc, "note", e->plan.reason);
	return json_object_set_new(doc, "plan", plan) ? -ENOMEM : 0;
}

static int execution_begin(struct execution *e, struct ff_error *err)
{
	struct elasticity *elasticity = e->elasticity;
	struct model *model = &e->orch->model;
	pthread_attr_t attr;
	pthread_t thread;
	int r;
	MODEL_LOCKED(model);

	if (model->stopping)
		return error_set(err, ESHUTDOWN, FF_CODE_BUSY, NULL,
				 "the orchestrator is stopping");
	if (elasticity_busy(elasticity, e->plan.service))
		return error_set(err, EBUSY, FF_CODE_BUSY, "wait for its end, or cancel it",
				 "another plan, or an upgrade, of %s is under way",
				 e->plan.service_name);
	r = store_operation_put(e->orch->store, e->operation, NULL, err);
	if (r < 0)
		return r;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	e->next = elasticity->running;
	elasticity->running = e;
	elasticity->threads++;
	operation_link(model, e->operation);
	r = pthread_create(&thread, &attr, plan_main, e);
	pthread_attr_destroy(&attr);
	if (!r)
		return 0;
	elasticity->running = e->next;
	elasticity->threads--;
	operation_unlink(model, e->operation);
	json_put_str(e->operation->doc, "state", "failed");
	journal(e);
	return error_set(err, r, FF_CODE_INTERNAL, NULL, "can't start a thread");
}

int elasticity_start(struct elasticity *elasticity, struct plan *plan, const struct loads *loads,
		     const struct policy *policy, char ret_id[OPERATION_ID_MAX],
		     struct ff_error *err)
{
	struct execution *e = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return error_nomem(err);
	e->elasticity = elasticity;
	e->orch = elasticity->orch;
	e->driver = &driver_agent;
	e->started_ns = clock_ns();
	e->park_limit = policy->moves.parked_packets;
	e->plan = *plan;
	memset(plan, 0, sizeof(*plan));
	e->operation = operation_new("plan");
	e->steps = calloc(e->plan.steps_n, sizeof(*e->steps));
	if (!e->operation || !e->steps || doc_fill(e, loads) < 0) {
		execution_free(e);
		return error_nomem(err);
	}
	e->operation->can_cancel = true;
	strcpy(ret_id, e->operation->id);
	r = execution_begin(e, err);
	if (r < 0)
		execution_free(e);
	return r;
}
