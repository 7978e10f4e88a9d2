/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* elasticity_step.c - one step of a plan: create, recall, move (or take over), retire. */
#include <errno.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/action.h"
#include "orchestrator/driver.h"
#include "orchestrator/elasticity_internal.h"
#include "orchestrator/events.h"
#include "orchestrator/settings.h"

#define AWAIT_MS 1000 /* looks for a stopping daemon at least so often */

/* The place of the step in the operation's doc; the lock is held. */
static json_t *step_doc(const struct step_run *run)
{
	const json_t *plan = json_object_get(run->e->operation->doc, "plan");

	return json_array_get(json_object_get(plan, "steps"), run->index);
}

static void step_note(struct step_run *run, const char *state)
{
	MODEL_LOCKED(&run->e->orch->model);

	json_put_str(step_doc(run), "state", state);
	if (run->result < 0)
		json_put_str(step_doc(run), "error", run->error.message);
}

/* The number of one that is there, or that an earlier wave has made. 0: none. */
static uint16_t instance_of(const struct execution *e, const struct plan_instance *instance)
{
	return instance->id ?: instance->created ? e->created[instance->created - 1] : 0;
}

/* ---- create and retire ----------------------------------------------------------------------- */

static int step_create(struct step_run *run, const struct plan_step *step)
{
	struct execution *e = run->e;
	struct model *model = &e->orch->model;
	char name[FF_NAME_MAX], host[FF_NAME_MAX] = "-";
	uint16_t id;
	int r, tries = ELASTICITY_TRIES;

	do { /* two steps, or an operator, may think of one name */
		{
			MODEL_LOCKED(model);

			struct service *service = model_service(model, e->plan.service);

			if (!service)
				return error_set(&run->error, ENOENT, FF_CODE_NOT_FOUND, NULL,
						 "the service has been removed");
			model_name_instance(model, service, name);
			if (model_host(model, step->to.host))
				strcpy(host, model_host(model, step->to.host)->name);
		}
		r = e->driver->create(e->orch, e->plan.service_name, name, host, &id, &run->error);
	} while (r == -EEXIST && --tries);
	if (r < 0)
		return r;
	{
		MODEL_LOCKED(model);

		e->created[step->to.created - 1] = id;
		json_put_str(step_doc(run), "instance", name);
	}
	event_emit(e->orch->events, "instance-added",
		   (struct event_about){ .service = e->plan.service_name,
					 .instance = name,
					 .host = host,
					 .operation = e->operation->id },
		   "instance %s added to %s on %s, by plan %s", name, e->plan.service_name, host,
		   e->operation->id);
	return 0;
}

/* Flows that were left to end there; a later plan retires it. The lock is held. */
static size_t left_at(const struct execution *e, uint16_t instance)
{
	const struct service *service = model_service(&e->orch->model, e->plan.service);
	const struct instance *retired = model_instance(&e->orch->model, instance);
	unsigned int slots, rules;
	size_t pins = 0;

	if (service && retired && retired->retiring_ms)
		owners_count(&service->table, instance, &slots, &pins, &rules);
	return pins;
}

static int step_retire(struct step_run *run, const struct plan_step *step)
{
	struct execution *e = run->e;
	char name[FF_NAME_MAX];
	int r;

	{
		MODEL_LOCKED(&e->orch->model);
		uint16_t id = instance_of(e, &step->from);
		const struct instance *instance = model_instance(&e->orch->model, id);
		size_t left = left_at(e, id);

		if (!instance)
			return 0; /* somebody was quicker */
		if (left) {
			json_put_uint(step_doc(run), "waits_for", left);
			return 0;
		}
		strcpy(name, instance->name);
	}
	r = e->driver->retire(e->orch, name, &run->error);
	if (r < 0)
		return r;
	event_emit(e->orch->events, "instance-removed",
		   (struct event_about){ .service = e->plan.service_name,
					 .instance = name,
					 .operation = e->operation->id },
		   "instance %s retired, by plan %s", name, e->operation->id);
	return 0;
}

/* Its flows stay, and their pins: those that say nothing any more go with the slots that come. */
static int step_recall(struct step_run *run, const struct plan_step *step)
{
	struct execution *e = run->e;
	MODEL_LOCKED(&e->orch->model);
	struct instance *instance = model_instance(&e->orch->model, step->to.id);
	int r;

	if (!instance)
		return error_set(&run->error, ENOENT, FF_CODE_NOT_FOUND, NULL,
				 "the instance has been removed");
	r = settings_retire(e->orch, instance, false, &run->error);
	if (r == 0)
		event_emit(e->orch->events, "instance-recalled",
			   (struct event_about){ .service = e->plan.service_name,
						 .instance = instance->name,
						 .operation = e->operation->id },
			   "instance %s isn't retired after all, by plan %s", instance->name,
			   e->operation->id);
	return r;
}

/* ---- move ------------------------------------------------------------------------------------ */

bool step_slot_moves(const struct model *model, uint16_t service, unsigned int slot)
{
	for (const struct operation *op = model->operations; op; op = op->next)
		if (op->service == service && op->subject &&
		    slotset_test(&op->subject->slots, slot))
			return true;
	return false;
}

/*
 * The change set of what the step names and `from` still owns: an operator may have moved some of it
 * since the plan was made, or be about to, and that is his to decide. The lock is held.
 */
static struct change *subject_make(const struct model *model, const struct service *service,
				   const struct plan_step *step, uint16_t from)
{
	const struct owners *table = &service->table;
	_cleanup_change_ struct change *subject = calloc(1, sizeof(*subject));

	if (!subject)
		return NULL;
	for (size_t i = 0; i < step->slots_n; i++)
		if (step->slots[i] < table->slots && table->owners[step->slots[i]] == from &&
		    !step_slot_moves(model, service->id, step->slots[i]))
			slotset_set(&subject->slots, step->slots[i]);
	for (size_t i = 0; i < step->flows_n; i++)
		if (owners_find(table, &step->flows[i], NULL, NULL) == from &&
		    change_add_flow(subject, &step->flows[i]) < 0)
			return NULL;
	for (size_t i = 0; i < step->rules_n; i++) {
		const struct rule *rule = &table->rules[step->rules[i]];

		if (step->rules[i] < FF_RULES_MAX && rule->used && rule->instance == from)
			subject->rules[subject->rules_n++] = (struct change_rule){
				.index = step->rules[i], .match = rule->match, .slots = rule->slots
			};
	}
	change_sort(subject);
	return TAKE_PTR(subject);
}

/* Waits for the end of a move; 0, or what became of it in run->error. */
static int move_await(struct step_run *run, const struct plan_step *step, const char *id)
{
	struct execution *e = run->e;
	struct model *model = &e->orch->model;
	_cleanup_json_ json_t *doc = NULL;
	const char *state, *why;
	int r;

	{
		MODEL_LOCKED(model);

		while (operation_find(model, id) && !model->stopping)
			model_wait(model, AWAIT_MS);
	}
	r = store_operation_get(e->orch->store, id, &doc, &run->error);
	if (r < 0)
		return r;
	state = json_string_value(json_object_get(doc, "state")) ?: "-";
	if (strcmp(state, "completed")) {
		why = json_string_value(json_object_get(json_object_get(doc, "error"), "message"));
		return error_set(&run->error, EAGAIN, FF_CODE_REFUSED, NULL, "move %s: %s: %s", id,
				 state, why ?: "no reason given");
	}
	{
		static const char *const fields[] = { "flows",	   "bytes",    "rounds",
						      "freeze_us", "total_us", "packets_parked" };
		json_t *outcome = json_object();
		MODEL_LOCKED(model);

		for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
			json_object_set(outcome, fields[i], json_object_get(doc, fields[i]));
		json_object_set_new(step_doc(run), "outcome", outcome);
		elasticity_learn(e, step, doc);
	}
	return 0;
}

/* One try. -ENODATA: nothing of it is `from`'s any more. */
static int move_try(struct step_run *run, const struct plan_step *step)
{
	struct execution *e = run->e;
	struct model *model = &e->orch->model;
	struct action_move move = { .service = e->plan.service,
				    .guarantee = "order-preserving",
				    .on_overflow = "abort",
				    .park_limit = e->park_limit,
				    .note = plan_why_name(step->why),
				    .plan = e->operation->id };
	char id[OPERATION_ID_MAX];
	struct operation *operation;
	int r;

	{
		MODEL_LOCKED(model);
		const struct service *service = model_service(model, e->plan.service);
		_cleanup_change_ struct change *subject = NULL;

		move.from = instance_of(e, &step->from);
		move.to = instance_of(e, &step->to);
		if (!service || !model_instance(model, move.to))
			return error_set(&run->error, ENOENT, FF_CODE_NOT_FOUND, NULL,
					 "the service or the new owner has been removed");
		subject = subject_make(model, service, step, move.from);
		if (!subject)
			return error_nomem(&run->error);
		if (change_is_empty(subject))
			return -ENODATA;
		/* one that has just come back has its configuration yet to take */
		if (!step_hosts_have(model, run->pinned))
			return error_set(&run->error, EAGAIN, FF_CODE_BUSY, NULL,
					 "a host doesn't know yet what is left to end");
		if (step->why == PLAN_RESCUE) /* its owner can't give anything away */
			return action_takeover(e->orch, e->plan.service, move.from, move.to,
					       subject, &run->error);
		move.subject = subject;
		r = action_move(e->orch, &move, &operation, &run->error);
		subject = move.subject;
		if (r < 0)
			return r;
		strcpy(id, operation->id);
		json_put_str(step_doc(run), "operation", id);
	}
	return move_await(run, step, id);
}

static bool worth_a_retry(const struct step_run *run)
{
	MODEL_LOCKED(&run->e->orch->model);

	return !run->e->operation->cancel && !run->e->orch->model.stopping;
}

/* What is left isn't moved; the doc tells how much. */
static void leave(struct step_run *run, const struct plan_step *step, uint16_t from,
		  struct change *left)
{
	size_t n = step_leave(run, step, from, left);
	MODEL_LOCKED(&run->e->orch->model);

	json_put_uint(step_doc(run), "left", n);
	if (n)
		event_emit(run->e->orch->events, "flows-left",
			   (struct event_about){
				   .service = run->e->plan.service_name,
				   .instance = model_instance_name(&run->e->orch->model, from),
				   .operation = run->e->operation->id },
			   "%zu flows on %s are left to end: each is likely to within %.1f s", n,
			   model_instance_name(&run->e->orch->model, from), step->leave_s);
}

static int step_move(struct step_run *run, const struct plan_step *step)
{
	_cleanup_change_ struct change *left = calloc(1, sizeof(*left));
	uint16_t from;
	int r = -EAGAIN;

	if (!left)
		return error_nomem(&run->error);
	{
		MODEL_LOCKED(&run->e->orch->model);

		from = instance_of(run->e, &step->from);
	}
	if (step->leave_s > 0)
		leave(run, step, from, left);
	for (int i = 0; i < ELASTICITY_TRIES && (r == -EAGAIN || r == -EBUSY); i++) {
		if (i > 0)
			clock_sleep_ns(ELASTICITY_PAUSE_MS * NSEC_PER_MSEC);
		if (i > 0 && !worth_a_retry(run))
			break;
		run->error = (struct ff_error){ 0 };
		r = move_try(run, step);
	}
	if (r < 0)
		step_unleave(run, from, left);
	return r == -ENODATA ? 0 : r;
}

void *step_main(void *arg)
{
	struct step_run *run = arg;
	const struct plan_step *step = &run->e->plan.steps[run->index];

	step_note(run, "running");
	switch (step->kind) {
	case PLAN_CREATE:
		run->result = step_create(run, step);
		break;
	case PLAN_RECALL:
		run->result = step_recall(run, step);
		break;
	case PLAN_MOVE:
		run->result = step_move(run, step);
		break;
	case PLAN_RETIRE:
		run->result = step_retire(run, step);
		break;
	}
	step_note(run, run->result < 0 ? "failed" : "completed");
	return NULL;
}
