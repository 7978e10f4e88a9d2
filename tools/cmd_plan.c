/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cmd_plan.c - flowferry plan SERVICE --dry-run; plan list; plan show ID; plan cost */

#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "tools/cmd.h"
#include "tools/output.h"
#include "tools/plan_table.h"
#include "tools/remote.h"
#include "tools/tables.h"

#define PLANS_LIMIT	20 /* a screenful */
#define PLANS_LIMIT_MAX 10000
#define GOALS_MAX	64

/* ---- plan list ----------------------------------------------------------------------------- */

struct list_options {
	uint64_t limit;
};

static const struct option_spec list_specs[] = {
	{ .name = "limit",
	  .kind = OPTION_NUMBER,
	  .offset = offsetof(struct list_options, limit),
	  .value = "N",
	  .min = 1,
	  .max = PLANS_LIMIT_MAX,
	  .help = "list at most so many, the newest first; 20 by default" },
	{},
};

static const struct column list_columns[] = {
	{ "PLAN", false }, { "STATE", false }, { "SERVICE", false }, { "CREATED", false },
	{ "STEPS", true }, { "TOTAL", true },  { "WHY", false },     {},
};

static void list_row(struct table *table, const json_t *op)
{
	const char *state = field_text(op, "state");
	char text[UNIT_TEXT_MAX];
	size_t done, all;

	plan_steps_count(op, &done, &all);
	table_cell(table, COLOUR_BOLD, "%s", field_text(op, "id"));
	table_cell(table, colour_of_state(state), "%s", state);
	table_cell(table, COLOUR_NONE, "%s", field_text(op, "service"));
	table_cell(table, COLOUR_NONE, "%s", field_time(op, "created", text));
	table_cell(table, COLOUR_NONE, "%zu/%zu", done, all);
	table_cell(table, COLOUR_NONE, "%s", field_units(op, "total_us", duration_format, text));
	table_cell(table, COLOUR_NONE, "%s", field_text(op, "note"));
}

static int list_run(struct call *call)
{
	const struct list_options *o = call->options;
	_cleanup_free_ char *path = uri_build("/v1/plans");
	_cleanup_json_ json_t *reply = NULL;
	const json_t *op;
	struct table table;
	size_t i;
	int r;

	uri_query_number(&path, "limit", o->limit ?: PLANS_LIMIT);
	r = remote_get(call, path, &reply);
	if (r)
		return r;
	if (call_json(call)) {
		json_print(reply);
		return CLI_DONE;
	}
	table_init(&table, list_columns);
	json_array_foreach(json_object_get(reply, "plans"), i, op)
		list_row(&table, op);
	table_print(&table, stdout);
	table_done(&table);
	return CLI_DONE;
}

static const struct command list_command = {
	.name = "list",
	.summary = "the plans that were carried out, or are",
	.description = "Lists plans, the newest first, with how many of their steps are done.",
	.run = list_run,
	.options = list_specs,
	.options_size = sizeof(struct list_options),
	.remote = true,
};

/* ---- plan show ----------------------------------------------------------------------------- */

static int show_run(struct call *call)
{
	_cleanup_free_ char *path = uri_build("/v1/plans/%s", call->args[0]);
	_cleanup_json_ json_t *op = NULL;
	int r;

	r = remote_get(call, path, &op);
	if (r)
		return r;
	if (call_json(call)) {
		json_print(op);
	} else {
		plan_print(op);
		operation_reason_print(op);
	}
	return CLI_DONE;
}

static const struct argument show_arguments[] = {
	{ .name = "ID", .complete = COMPLETE_PLAN },
	{},
};

static const struct command show_command = {
	.name = "show",
	.summary = "one plan: what was predicted, what came of it",
	.description =
		"Shows a plan step by step: what it does and why, and of each move the predicted "
		"freeze, duration, bytes of state and parked packets beside those measured.",
	.run = show_run,
	.arguments = show_arguments,
	.remote = true,
};

/* ---- plan cost ----------------------------------------------------------------------------- */

static const struct column cost_columns[] = {
	{ "NF", false }, { "LINE", false }, { "FITTED", false }, { "SPREAD", true }, {},
};

/* "220 us + 0.8 us per flow": the coefficients by their own names. */
static void cost_row(struct table *table, const char *nf, const char *name, const json_t *line)
{
	char text[256] = "";
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)line, key, value) {
		size_t used = strlen(text);

		if (strcmp(key, "spread") == 0 || json_number_value(value) <= 0)
			continue;
		snprintf(text + used, sizeof(text) - used,
			 json_number_value(value) >= 100 ? "%s%s %.0f" : "%s%s %.3g",
			 used ? ", " : "", key, json_number_value(value));
	}
	table_cell(table, COLOUR_BOLD, "%s", nf);
	table_cell(table, COLOUR_NONE, "%s", name);
	table_cell(table, COLOUR_NONE, "%s", text);
	table_cell(table, COLOUR_NONE, "%.0f %%",
		   100 * json_number_value(json_object_get(line, "spread")));
}

static int cost_run(struct call *call)
{
	_cleanup_json_ json_t *reply = NULL;
	json_t *costs, *model, *line;
	const char *nf, *name;
	struct table table;
	int r;

	r = remote_get(call, "/v1/loop", &reply);
	if (r)
		return r;
	costs = json_object_get(reply, "cost");
	if (call_json(call)) {
		json_print(costs);
		return CLI_DONE;
	}
	table_init(&table, cost_columns);
	json_object_foreach(costs, nf, model) {
		table_cell(&table, COLOUR_BOLD, "%s", nf);
		table_cell(&table, COLOUR_NONE, "moves");
		table_cell(&table, COLOUR_NONE,
			   "%s copies and %s handovers learned from, %s refused",
			   field_text(model, "moves"), field_text(model, "handovers"),
			   field_text(model, "refused"));
		table_cell(&table, COLOUR_NONE, "%s", "");
		json_object_foreach(model, name, line)
			if (json_is_object(line))
				cost_row(&table, nf, name, line);
	}
	table_print(&table, stdout);
	table_done(&table);
	return CLI_DONE;
}

static const struct command cost_command = {
	.name = "cost",
	.summary = "what moves cost, as learned from those that were made",
	.description =
		"Shows the cost model by which plans are chosen, one for each NF: duration, "
		"freeze and parked packets as fitted to the moves that plans have made, and the "
		"median relative error.",
	.run = cost_run,
	.remote = true,
};

/* ---- plan SERVICE -------------------------------------------------------------------------- */

struct plan_options {
	bool dry_run;
	struct text_list goals;
};

static const struct option_spec plan_specs[] = {
	{ .name = "dry-run",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct plan_options, dry_run),
	  .required = true,
	  .help = "only show it: carrying plans out is the loop's business (policy, drain)" },
	{ .name = "goal",
	  .kind = OPTION_LIST,
	  .offset = offsetof(struct plan_options, goals),
	  .value = "GOAL",
	  .help = "relieve what is over target, shrink to fewer instances, or balance; may be "
		  "given again; all of them by default" },
	{},
};

static int plan_run(struct call *call)
{
	const struct plan_options *o = call->options;
	_cleanup_free_ char *path = uri_build("/v1/services/%s/plan", call->args[0]);
	_cleanup_json_ json_t *plan = NULL;
	_cleanup_free_ char *text = NULL;
	char goals[GOALS_MAX] = "";
	int r;

	for (size_t i = 0; i < o->goals.count; i++)
		snprintf(goals + strlen(goals), sizeof(goals) - strlen(goals), "%s%s", i ? "," : "",
			 o->goals.items[i]);
	if (o->goals.count)
		uri_query(&path, "goals", goals);
	if (!call_json(call))
		uri_query(&path, "text", "1");
	r = remote_get(call, path, &plan);
	if (r)
		return r;
	if (call_json(call)) {
		json_print(plan);
		return CLI_DONE;
	}
	fputs(field_text(plan, "text"), stdout);
	return CLI_DONE;
}

static const struct argument plan_arguments[] = {
	{ .name = "SERVICE", .complete = COMPLETE_SERVICE },
	{},
};

static const struct command *const plan_subs[] = {
	&list_command,
	&show_command,
	&cost_command,
	NULL,
};

static const struct example plan_examples[] = {
	{ "plan fw --dry-run", "What would be done for service fw now, and what it would cost:" },
	{ "plan fw --dry-run --goal shrink", "Would fewer instances do?" },
	{ "plan list", "What the loop has done:" },
	{ "plan show 01JDB3Q7M2", "Prediction and outcome of one, step by step:" },
	{ "plan cost", "By what figures plans are chosen:" },
	{},
};

const struct command command_plan = {
	.name = "plan",
	.summary = "what the loop would do, and what its plans came to",
	.description =
		"A plan holds the instances to create or retire and the flows to move, in waves "
		"of steps that run at the same time. With --dry-run, shows the plan that would "
		"be made for SERVICE now, by its policy (or the default one), whether or not "
		"anything asks for it.",
	.run = plan_run,
	.options = plan_specs,
	.options_size = sizeof(struct plan_options),
	.arguments = plan_arguments,
	.examples = plan_examples,
	.subs = plan_subs,
	.remote = true,
};
