/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* plan.c - a plan for a person and as JSON. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/flow.h"
#include "lib/json.h"
#include "lib/slotset.h"
#include "orchestrator/planner.h"

#define FLOWS_SHOWN 64 /* of a step: JSON of a plan is for reading; the executor has the plan */
#define NAME_SIZE   (FF_NAME_MAX + 16)

static const char *const kinds[] = {
	[PLAN_CREATE] = "create",
	[PLAN_RECALL] = "recall",
	[PLAN_MOVE] = "move",
	[PLAN_RETIRE] = "retire",
};

static const char *const whys[PLAN_WHYS] = {
	[PLAN_ROOM] = "room",	      [PLAN_RESCUE] = "failure",     [PLAN_DRAIN] = "maintenance",
	[PLAN_OVERLOAD] = "overload", [PLAN_SCALE_IN] = "underload", [PLAN_IMBALANCE] = "imbalance",
	[PLAN_SPREAD] = "placement",  [PLAN_TOGETHER] = "together",
};

const char *plan_kind_name(enum plan_kind kind)
{
	return (size_t)kind < ARRAY_SIZE(kinds) ? kinds[kind] : "unknown";
}

const char *plan_why_name(enum plan_why why)
{
	return (size_t)why < ARRAY_SIZE(whys) ? whys[why] : "unknown";
}

void plan_done(struct plan *plan)
{
	for (size_t i = 0; i < plan->steps_n; i++) {
		free(plan->steps[i].slots);
		free(plan->steps[i].flows);
		free(plan->steps[i].rules);
	}
	free(plan->steps);
	free(plan->left);
	*plan = (struct plan){};
}

static const char *host_name(const struct loads *loads, uint16_t id, char buf[NAME_SIZE])
{
	for (size_t i = 0; i < loads->hosts_n; i++)
		if (loads->hosts[i].id == id && loads->hosts[i].name[0])
			return loads->hosts[i].name;
	snprintf(buf, NAME_SIZE, "host %u", id);
	return buf;
}

/* "new-1": the first that the plan creates; "-": none. */
static const char *instance_name(const struct loads *loads, const struct plan_instance *instance,
				 char buf[NAME_SIZE])
{
	for (size_t i = 0; instance->id && i < loads->services_n; i++)
		for (size_t k = 0; k < loads->services[i].instances_n; k++)
			if (loads->services[i].instances[k].id == instance->id &&
			    loads->services[i].instances[k].name[0])
				return loads->services[i].instances[k].name;
	if (instance->id)
		snprintf(buf, NAME_SIZE, "instance %u", instance->id);
	else if (instance->created)
		snprintf(buf, NAME_SIZE, "new-%u", instance->created);
	else
		snprintf(buf, NAME_SIZE, "-");
	return buf;
}

static void text_duration(FILE *out, double us)
{
	if (us < 1e3)
		fprintf(out, "%.0f us", us);
	else if (us < 1e6)
		fprintf(out, "%.3g ms", us / 1e3);
	else
		fprintf(out, "%.3g s", us / 1e6);
}

static void text_move(FILE *out, const struct plan_step *step)
{
	const char *comma = "";

	if (step->slots_n) {
		fprintf(out, "%zu slot%s", step->slots_n, step->slots_n > 1 ? "s" : "");
		comma = ", ";
	}
	if (step->flows_n) {
		fprintf(out, "%s%zu pinned flow%s", comma, step->flows_n,
			step->flows_n > 1 ? "s" : "");
		comma = ", ";
	}
	if (step->rules_n)
		fprintf(out, "%s%zu rule%s", comma, step->rules_n, step->rules_n > 1 ? "s" : "");
	fprintf(out, ": %.0f packets/s, %.0f flows", step->packets_per_s, step->flows_moved);
	if (step->leave_s > 0)
		fprintf(out, " (about %.0f left to end)", ceil(step->leaves));
	if (step->predicted.total_us > 0) {
		fprintf(out, "; freeze ");
		text_duration(out, step->predicted.freeze_us);
		fprintf(out, ", total ");
		text_duration(out, step->predicted.total_us);
		fprintf(out, ", %.0f parked%s", ceil(step->predicted.parked),
			step->predicted.rounds > 0 ? "" : ", handed over without a copy");
	}
	if (step->gain > 0)
		fprintf(out, "; relieves it by %.1f points", step->gain * 100);
	if (!step->bounded)
		fprintf(out, " (over the bounds of the policy)");
}

static void text_step(FILE *out, const struct plan_step *step, const struct loads *loads)
{
	char from[NAME_SIZE], to[NAME_SIZE], host[NAME_SIZE];

	fprintf(out, "%5u  %-7s", step->wave + 1, plan_kind_name(step->kind));
	switch (step->kind) {
	case PLAN_CREATE:
	case PLAN_RECALL:
		fprintf(out, "%s on %s", instance_name(loads, &step->to, to),
			host_name(loads, step->to.host, host));
		break;
	case PLAN_MOVE:
		fprintf(out, "%s -> %s, ", instance_name(loads, &step->from, from),
			instance_name(loads, &step->to, to));
		text_move(out, step);
		break;
	case PLAN_RETIRE:
		fprintf(out, "%s on %s", instance_name(loads, &step->from, from),
			host_name(loads, step->from.host, host));
		break;
	}
	fprintf(out, "  [%s]\n", plan_why_name(step->why));
}

static void text_left(FILE *out, const struct plan_left *left, const char *name)
{
	fprintf(out, "       leave  ");
	if (left->flows > 0)
		fprintf(out, "about %.0f flows on %s, likely to end within %.1f s; ",
			ceil(left->flows), name, left->within_s);
	if (left->pins > 0)
		fprintf(out, "%zu pinned flows on %s to end; ", left->pins, name);
	fprintf(out, "what is there after %.1f s is moved\n", left->until_s);
}

int plan_text(const struct plan *plan, const struct loads *loads, char **ret_text)
{
	_cleanup_free_ char *text = NULL;
	char name[NAME_SIZE];
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return -ENOMEM;
	fprintf(out, "%s: %s\n", plan->service_name, plan->reason);
	if (plan->steps_n)
		fprintf(out, " wave  step\n");
	for (size_t i = 0; i < plan->steps_n; i++)
		text_step(out, &plan->steps[i], loads);
	for (size_t i = 0; i < plan->left_n; i++)
		text_left(out, &plan->left[i], instance_name(loads, &plan->left[i].from, name));
	if (plan->steps_n) {
		fprintf(out, "%u waves, at most %u moves at once, predicted to take ", plan->waves,
			plan->at_once);
		text_duration(out, plan->predicted_us);
		fprintf(out, "; cost ");
		text_duration(out, plan->cost_us);
		fprintf(out, plan->exact ? ", within %.0f %% of the least\n" : "\n",
			PLANNER_GAP * 100);
	}
	if (fclose(out) != 0 || !text)
		return -ENOMEM;
	*ret_text = TAKE_PTR(text);
	return 0;
}

static json_t *json_instance(const struct plan_instance *instance, const struct loads *loads)
{
	char name[NAME_SIZE], host[NAME_SIZE];

	if (!instance->id && !instance->created)
		return json_null();
	return json_pack("{sssssb}", "instance", instance_name(loads, instance, name), "host",
			 host_name(loads, instance->host, host), "new", instance->created != 0);
}

static json_t *json_slots(const struct plan_step *step)
{
	_cleanup_free_ struct slotset *set = calloc(1, sizeof(*set));
	_cleanup_free_ char *text = NULL;

	/* more slots than a service can have are a benchmark's, and are counted only */
	if (!set)
		return NULL;
	for (size_t i = 0; i < step->slots_n; i++) {
		if (step->slots[i] >= FF_SLOTS_MAX)
			return json_null();
		slotset_set(set, step->slots[i]);
	}
	return slotset_format(set, &text) == 0 ? json_string(text) : NULL;
}

static json_t *json_flows(const struct plan_step *step)
{
	_cleanup_json_ json_t *flows = json_array();
	char buf[FLOW_TEXT_MAX];

	for (size_t i = 0; i < step->flows_n && i < FLOWS_SHOWN; i++)
		if (json_array_append_new(flows, json_string(flow_format(&step->flows[i], buf))))
			return NULL;
	return TAKE_PTR(flows);
}

static json_t *json_rules(const struct plan_step *step)
{
	_cleanup_json_ json_t *rules = json_array();

	for (size_t i = 0; i < step->rules_n; i++)
		if (json_array_append_new(rules, json_integer(step->rules[i])))
			return NULL;
	return TAKE_PTR(rules);
}

static json_t *json_step(const struct plan_step *step, const struct loads *loads)
{
	_cleanup_json_ json_t *obj = json_object();
	int err = json_put_uint(obj, "wave", step->wave);

	err = err ?: json_put_str(obj, "kind", plan_kind_name(step->kind));
	err = err ?: json_put_str(obj, "why", plan_why_name(step->why));
	err = json_put(obj, "from", json_instance(&step->from, loads)) ?: err;
	err = json_put(obj, "to", json_instance(&step->to, loads)) ?: err;
	if (step->kind != PLAN_MOVE)
		return err ? NULL : TAKE_PTR(obj);
	err = json_put(obj, "slots", json_slots(step)) ?: err;
	err = err ?: json_put_uint(obj, "slots_count", step->slots_n);
	err = json_put(obj, "flows", json_flows(step)) ?: err;
	err = err ?: json_put_uint(obj, "flows_count", step->flows_n);
	err = json_put(obj, "rules", json_rules(step)) ?: err;
	err = err ?: json_put_real(obj, "packets_per_s", step->packets_per_s);
	err = err ?: json_put_real(obj, "moves_flows", step->flows_moved);
	if (step->leave_s > 0) {
		err = err ?: json_put_real(obj, "leave_s", step->leave_s);
		err = err ?: json_put_real(obj, "leaves_flows", step->leaves);
	}
	err = err ?: json_put_real(obj, "gain", step->gain);
	err = err ?: json_put_bool(obj, "bounded", step->bounded);
	err = json_put(obj, "predicted",
		       json_pack("{sfsfsfsfsf}", "freeze_us", step->predicted.freeze_us, "total_us",
				 step->predicted.total_us, "packets_parked", step->predicted.parked,
				 "bytes", step->predicted.bytes, "rounds", step->predicted.rounds)) ?:
		      err;
	return err ? NULL : TAKE_PTR(obj);
}

static json_t *json_left(const struct plan *plan, const struct loads *loads)
{
	_cleanup_json_ json_t *all = json_array();

	for (size_t i = 0; i < plan->left_n; i++) {
		const struct plan_left *left = &plan->left[i];

		if (json_array_append_new(all, json_pack("{sosfsfsIsf}", "from",
							 json_instance(&left->from, loads), "flows",
							 left->flows, "within_s", left->within_s,
							 "pins", (json_int_t)left->pins, "until_s",
							 left->until_s)))
			return NULL;
	}
	return TAKE_PTR(all);
}

json_t *plan_to_json(const struct plan *plan, const struct loads *loads)
{
	_cleanup_json_ json_t *obj = json_object(), *steps = json_array();
	int err = json_put_str(obj, "service", plan->service_name);

	for (size_t i = 0; i < plan->steps_n; i++)
		if (json_array_append_new(steps, json_step(&plan->steps[i], loads)))
			return NULL;
	err = err ?: json_put_str(obj, "reason", plan->reason);
	err = json_put(obj, "steps", TAKE_PTR(steps)) ?: err;
	err = json_put(obj, "left", json_left(plan, loads)) ?: err;
	err = err ?: json_put_uint(obj, "waves", plan->waves);
	err = err ?: json_put_uint(obj, "at_once", plan->at_once);
	err = json_put(obj, "instances",
		       json_pack("{sisi}", "before", (int)plan->instances_before, "after",
				 (int)plan->instances_after)) ?:
		      err;
	err = json_put(obj, "busiest", json_pack("{sfsf}", "before", plan->busiest_before, "after", plan->busiest_after)) ?:
		      err;
	err = err ?: json_put_real(obj, "cost_us", plan->cost_us);
	err = err ?: json_put_real(obj, "predicted_us", plan->predicted_us);
	err = err ?: json_put_real(obj, "short_packets_per_s", plan->short_pps);
	err = err ?: json_put_uint(obj, "orphans", plan->orphans);
	err = err ?: json_put_uint(obj, "stuck", plan->stuck);
	err = err ?: json_put_bool(obj, "exact", plan->exact);
	return err ? NULL : TAKE_PTR(obj);
}
