/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cmd_operations.c - flowferry operations [ID] [--follow]; flowferry operations cancel ID */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "tools/cmd.h"
#include "tools/output.h"
#include "tools/plan_table.h"
#include "tools/progress.h"
#include "tools/remote.h"
#include "tools/tables.h"
#include "tools/upgrade_table.h"

#define OPERATIONS_LIMIT     20 /* a screenful */
#define OPERATIONS_LIMIT_MAX 100000

struct operations_options {
	bool follow;
	const char *state;
	uint64_t limit;
};

static const char *const states[] = { "queued",	     "running", "completed",
				      "rolled-back", "failed",	NULL };

static const struct option_spec operations_specs[] = {
	{ .name = "follow",
	  .letter = 'f',
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct operations_options, follow),
	  .help = "stay until operation ID ends; exit 0 only if it completed" },
	{ .name = "state",
	  .kind = OPTION_CHOICE,
	  .offset = offsetof(struct operations_options, state),
	  .value = "STATE",
	  .choices = states,
	  .help = "list only operations in this state" },
	{ .name = "limit",
	  .kind = OPTION_NUMBER,
	  .offset = offsetof(struct operations_options, limit),
	  .value = "N",
	  .min = 1,
	  .max = OPERATIONS_LIMIT_MAX,
	  .help = "list at most so many, the newest first; 20 by default" },
	{},
};

static int list_run(struct call *call, const struct operations_options *o)
{
	_cleanup_free_ char *path = uri_build("/v1/operations");
	_cleanup_json_ json_t *reply = NULL;
	const json_t *op;
	struct table table;
	size_t i;
	int r;

	uri_query(&path, "state", o->state);
	uri_query_number(&path, "limit", o->limit ?: OPERATIONS_LIMIT);
	r = remote_get(call, path, &reply);
	if (r)
		return r;
	if (call_json(call)) {
		json_print(reply);
		return CLI_DONE;
	}
	operations_begin(&table);
	json_array_foreach(json_object_get(reply, "operations"), i, op)
		operations_row(&table, op);
	table_print(&table, stdout);
	table_done(&table);
	return CLI_DONE;
}

/* ---- one operation ------------------------------------------------------------------------- */

static void phases_pairs(struct table *table, const json_t *op)
{
	json_t *phases = json_object_get(op, "phases_us"), *us;
	char text[UNIT_TEXT_MAX], name[UNIT_TEXT_MAX];
	const char *phase;

	json_object_foreach(phases, phase, us) {
		snprintf(name, sizeof(name), "  %s", phase);
		table_pair(table, name, "%s", field_units(phases, phase, duration_format, text));
	}
}

static void details_print(const json_t *op)
{
	char text[UNIT_TEXT_MAX];
	const json_t *overflow = json_object_get(op, "overflow");
	_cleanup_free_ char *given_up = json_is_object(overflow) ? object_line(overflow) : NULL;
	_cleanup_free_ char *subject = subject_text(op);
	struct table table;

	table_init(&table, NULL);
	table_pair(&table, "operation", "%s", field_text(op, "id"));
	table_pair(&table, "kind", "%s", field_text(op, "kind"));
	table_pair(&table, "state", "%s", field_text(op, "state"));
	if (!operation_ended(op))
		table_pair(&table, "phase", "%s", field_text(op, "phase"));
	table_pair(&table, "service", "%s", field_text(op, "service"));
	table_pair(&table, "from, to", "%s -> %s", field_text(op, "from"), field_text(op, "to"));
	table_pair(&table, "subject", "%s", subject);
	table_pair(&table, "guarantee", "%s", field_text(op, "guarantee"));
	table_pair(&table, "on overflow", "%s", field_text(op, "on_overflow"));
	table_pair(&table, "created", "%s", field_time(op, "created", text));
	table_pair(&table, "ended", "%s", field_time(op, "ended", text));
	table_pair(&table, "flows", "%s", field_units(op, "flows", count_format, text));
	table_pair(&table, "bytes", "%s", field_units(op, "bytes", bytes_format, text));
	table_pair(&table, "rounds", "%s", field_text(op, "rounds"));
	table_pair(&table, "parked", "%s", field_units(op, "packets_parked", count_format, text));
	table_pair(&table, "dropped", "%s", field_units(op, "packets_dropped", count_format, text));
	table_pair(&table, "given up", "%s", given_up ?: field_text(op, "overflow"));
	table_pair(&table, "freeze", "%s", field_units(op, "freeze_us", duration_format, text));
	table_pair(&table, "total", "%s", field_units(op, "total_us", duration_format, text));
	phases_pairs(&table, op);
	table_pair(&table, "note", "%s", field_text(op, "note"));
	table_print(&table, stdout);
	table_done(&table);
}

static void one_print(const json_t *op)
{
	if (operation_is_plan(op))
		plan_print(op);
	else if (operation_is_upgrade(op))
		upgrade_print(op);
	else if (operation_is_recovery(op))
		operation_print(op);
	else
		details_print(op);
}

static int one_run(struct call *call, const char *id, bool follow)
{
	_cleanup_free_ char *path = uri_build("/v1/operations/%s", id);
	_cleanup_json_ json_t *op = NULL;
	int r;

	r = follow ? progress_follow(call, id, &op) : remote_get(call, path, &op);
	if (r)
		return r;
	if (call_json(call)) {
		json_print(op);
	} else {
		one_print(op);
		if (!follow)
			operation_reason_print(op);
	}
	return follow ? operation_status(call, op) : CLI_DONE;
}

static int operations_run(struct call *call)
{
	const struct operations_options *o = call->options;
	struct ff_error err = {};

	if (call->n_args && (o->state || o->limit))
		error_set(&err, EINVAL, FF_CODE_BAD_REQUEST, "leave out the ID, or the option",
			  "--state and --limit go with the list, not with one operation");
	else if (!call->n_args && o->follow)
		error_set(&err, EINVAL, FF_CODE_BAD_REQUEST,
			  "name the operation; `flowferry events --follow` shows them all",
			  "--follow needs the ID of an operation");
	if (err.err)
		return call_usage(call, &err);
	return call->n_args ? one_run(call, call->args[0], o->follow) : list_run(call, o);
}

static const struct argument operations_arguments[] = {
	{ .name = "ID", .complete = COMPLETE_OPERATION, .optional = true },
	{},
};

/* ---- operations cancel --------------------------------------------------------------------- */

static int cancel_run(struct call *call)
{
	_cleanup_free_ char *path = uri_build("/v1/operations/%s", call->args[0]);
	_cleanup_json_ json_t *op = NULL;
	struct ff_error err;
	int r;

	r = remote_call(call, "DELETE", path, NULL, NULL);
	if (r)
		return r;
	r = progress_follow(call, call->args[0], &op);
	if (r)
		return r;
	if (call_json(call))
		json_print(op);
	else
		operation_print(op);
	if (strcmp(field_text(op, "state"), "rolled-back") == 0)
		return CLI_DONE;
	error_set(&err, EBUSY, FF_CODE_REFUSED, NULL, "operation %s was not cancelled: it %s",
		  call->args[0], field_text(op, "state"));
	call_error(call, &err);
	return CLI_FAILED;
}

static const struct argument cancel_arguments[] = {
	{ .name = "ID", .complete = COMPLETE_OPERATION },
	{},
};

static const struct command cancel_command = {
	.name = "cancel",
	.summary = "roll an operation back, if it isn't too late",
	.description =
		"Asks to roll operation ID back, and waits until it has ended. Refused once the "
		"final state has left the source: then it completes.",
	.run = cancel_run,
	.arguments = cancel_arguments,
	.remote = true,
};

static const struct command *const operations_subs[] = { &cancel_command, NULL };

static const struct example operations_examples[] = {
	{ "operations", "The last operations, with their figures:" },
	{ "operations --state running", "What is under way:" },
	{ "operations 01JDB3Q7M2", "All about one, each phase's time included:" },
	{ "operations --follow 01JDB3Q7M2", "Wait for the end of one:" },
	{ "operations cancel 01JDB3Q7M2", "Roll it back:" },
	{},
};

const struct command command_operations = {
	.name = "operations",
	.summary = "what was done and is being done: list, follow, cancel",
	.description =
		"Without ID, lists operations, the newest first. With ID, shows one in full: what "
		"moved, what it cost, what was given up, and why it failed if it did.",
	.run = operations_run,
	.options = operations_specs,
	.options_size = sizeof(struct operations_options),
	.arguments = operations_arguments,
	.examples = operations_examples,
	.subs = operations_subs,
	.remote = true,
};
