/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tables.c - parts of answers that more than one verb prints; see tables.h. */

#include "tools/tables.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/json.h"
#include "tools/output.h"
#include "tools/plan_table.h"
#include "tools/remote.h"
#include "tools/upgrade_table.h"

#define OPERATION_TITLE_MAX 256
#define SUBJECT_FLOWS_SHOWN 3

static const struct column rules_columns[] = {
	{ "RULE", true }, { "INSTANCE", false }, { "SLOTS", false }, { "MATCH", false }, {},
};

static const struct column measured_rules_columns[] = {
	{ "RULE", true },
	{ "INSTANCE", false },
	{ "SLOTS", false },
	{ "PACKETS/S", true },
	{ "FLOWS", true },
	{ "MATCH", false },
	{},
};

/* A dash where they can't be told; nothing in a listing without them. */
static void rule_figures(struct table *table, const json_t *rule)
{
	const json_t *rate = json_object_get(rule, "packets_per_s");

	if (!rate)
		return;
	if (json_is_number(rate))
		table_cell(table, COLOUR_NONE, "%.0f", json_number_value(rate));
	else
		table_cell(table, COLOUR_NONE, "-");
	table_cell(table, COLOUR_NONE, "%s", field_text(rule, "flows"));
}

void rules_print(const json_t *rules)
{
	const json_t *rule;
	struct table table;
	size_t i;

	if (!json_array_size(rules))
		return;
	table_init(&table, json_object_get(json_array_get(rules, 0), "packets_per_s") ?
				   measured_rules_columns :
				   rules_columns);
	json_array_foreach(rules, i, rule) {
		table_cell(&table, COLOUR_NONE, "%s", field_text(rule, "index"));
		table_cell(&table, COLOUR_NONE, "%s", field_text(rule, "instance"));
		table_cell(&table, COLOUR_NONE, "%s", field_text(rule, "slots"));
		rule_figures(&table, rule);
		table_cell(&table, COLOUR_NONE, "%s", field_text(rule, "match"));
	}
	putchar('\n');
	table_print(&table, stdout);
	table_done(&table);
}

int removal_run(struct call *call, const char *path, const char *kind)
{
	_cleanup_json_ json_t *answer = NULL;
	int r;

	r = remote_call(call, "DELETE", path, NULL, NULL);
	if (r)
		return r;
	if (!call_json(call)) {
		printf("removed %s %s\n", kind, call->args[0]);
		return CLI_DONE;
	}
	answer = json_pack("{s:s,s:b}", "name", call->args[0], "removed", 1);
	json_print(answer);
	return CLI_DONE;
}

/* ---- operations ---------------------------------------------------------------------------- */

static const struct column operations_columns[] = {
	{ "OPERATION", false }, { "CREATED", false },
	{ "STATE", false },	{ "SERVICE", false },
	{ "FROM", false },	{ "TO", false },
	{ "FLOWS", true },	{ "BYTES", true },
	{ "ROUNDS", true },	{ "PARKED", true },
	{ "DROPPED", true },	{ "FREEZE", true },
	{ "TOTAL", true },	{},
};

void operations_begin(struct table *table)
{
	table_init(table, operations_columns);
}

static const struct column figures_columns[] = {
	{ "FLOWS", true },   { "BYTES", true },	 { "ROUNDS", true }, { "PARKED", true },
	{ "DROPPED", true }, { "FREEZE", true }, { "TOTAL", true },  {},
};

static void figures_cells(struct table *table, const json_t *op)
{
	char text[UNIT_TEXT_MAX];

	table_cell(table, COLOUR_NONE, "%s", field_units(op, "flows", count_format, text));
	table_cell(table, COLOUR_NONE, "%s", field_units(op, "bytes", bytes_format, text));
	table_cell(table, COLOUR_NONE, "%s", field_text(op, "rounds"));
	table_cell(table, COLOUR_NONE, "%s", field_units(op, "packets_parked", count_format, text));
	table_cell(table, field_count(op, "packets_dropped") ? COLOUR_RED : COLOUR_NONE, "%s",
		   field_units(op, "packets_dropped", count_format, text));
	table_cell(table, COLOUR_NONE, "%s", field_units(op, "freeze_us", duration_format, text));
	table_cell(table, COLOUR_NONE, "%s", field_units(op, "total_us", duration_format, text));
}

/* Of a plan or an upgrade: how far it is; what it moves are operations of their own. */
static void steps_cells(struct table *table, const json_t *op)
{
	bool is_plan = operation_is_plan(op);
	char text[UNIT_TEXT_MAX];
	size_t done, all;

	if (is_plan)
		plan_steps_count(op, &done, &all);
	else
		upgrade_count(op, &done, &all);
	table_cell(table, COLOUR_NONE, "%s", field_text(op, "kind"));
	table_cell(table, COLOUR_NONE, "%zu/%zu %s", done, all, is_plan ? "steps" : "instances");
	for (size_t i = 0; i + 2 < ARRAY_SIZE(figures_columns); i++)
		table_cell(table, COLOUR_NONE, "-");
	table_cell(table, COLOUR_NONE, "%s", field_units(op, "total_us", duration_format, text));
}

bool operation_is_recovery(const json_t *op)
{
	return strcmp(field_text(op, "kind"), "recovery") == 0;
}

/* What a recovery has found and lost; from a host that is dead, or an instance that has failed. */
static void recovery_print(const json_t *op)
{
	const json_t *recovery = json_object_get(op, "recovery");
	struct table table;

	table_init(&table, NULL);
	table_pair(&table, "why", "%s", field_text(recovery, "why"));
	table_pair(&table, "found after", "%s ms", field_text(recovery, "detect_ms"));
	table_pair(&table, "lease awaited", "%s ms", field_text(recovery, "fence_ms"));
	table_pair(&table, "recovered after", "%s ms", field_text(recovery, "recovered_ms"));
	table_pair(&table, "flows", "%s", field_text(op, "flows"));
	table_pair(&table, "their copy", "%s, %s ms old", field_text(recovery, "replica"),
		   field_text(recovery, "replica_age_ms"));
	table_pair(&table, "packets lost", "at most %s",
		   field_text(recovery, "packets_lost_at_most"));
	table_print(&table, stdout);
	table_done(&table);
}

void operations_row(struct table *table, const json_t *op)
{
	const char *state = field_text(op, "state");
	char text[UNIT_TEXT_MAX];

	table_cell(table, COLOUR_BOLD, "%s", field_text(op, "id"));
	table_cell(table, COLOUR_NONE, "%s", field_time(op, "created", text));
	table_cell(table, colour_of_state(state), "%s", state);
	table_cell(table, COLOUR_NONE, "%s", field_text(op, "service"));
	if (operation_is_plan(op) || operation_is_upgrade(op)) {
		steps_cells(table, op);
		return;
	}
	table_cell(table, COLOUR_NONE, "%s", field_text(op, "from"));
	table_cell(table, COLOUR_NONE, "%s", field_text(op, "to"));
	figures_cells(table, op);
}

/* What a reader must know: a text, or null. */
static void remark_print(const json_t *op, const char *key)
{
	_cleanup_free_ char *line = NULL;
	const json_t *value = json_object_get(op, key);

	if (json_is_string(value) && *json_string_value(value))
		line = strdup(json_string_value(value));
	else if (json_is_object(value))
		line = object_line(value);
	if (line)
		printf("%s: %s\n", key, text_clean(line));
}

void operation_print(const json_t *op)
{
	const char *state = field_text(op, "state");
	char title[OPERATION_TITLE_MAX];
	struct table table;

	if (operation_is_plan(op)) {
		plan_print(op);
		return;
	}
	if (operation_is_upgrade(op)) {
		upgrade_print(op);
		return;
	}
	snprintf(title, sizeof(title), "%s %s of %s, %s -> %s%s%s", field_text(op, "kind"),
		 field_text(op, "id"), field_text(op, "service"), field_text(op, "from"),
		 field_text(op, "to"), operation_is_recovery(op) ? "" : ", ",
		 operation_is_recovery(op) ? "" : field_text(op, "guarantee"));
	printf("%s: %s%s%s\n", text_clean(title), colour_code(stdout, colour_of_state(state)),
	       state, colour_code(stdout, COLOUR_NONE));
	if (operation_is_recovery(op)) {
		recovery_print(op);
		remark_print(op, "note");
		return;
	}
	table_init(&table, figures_columns);
	figures_cells(&table, op);
	table_print(&table, stdout);
	table_done(&table);
	remark_print(op, "overflow");
	remark_print(op, "note");
}

/* A change set may name thousands of flows and rules: they are counted, a few are shown. */
static void subject_flows_write(FILE *out, const json_t *subject, const char *semicolon)
{
	const json_t *flows = json_object_get(subject, "flows");
	size_t n = json_array_size(flows);
	uint64_t total = MAX(field_count(subject, "flows_total"), (uint64_t)n);

	if (!total)
		return;
	fprintf(out, "%s%" PRIu64 " flow%s", semicolon, total, total > 1 ? "s" : "");
	for (size_t i = 0; i < MIN(n, (size_t)SUBJECT_FLOWS_SHOWN); i++)
		fprintf(out, "%s%s", i ? ", " : ": ",
			json_string_value(json_array_get(flows, i)) ?: "?");
	if (total > SUBJECT_FLOWS_SHOWN)
		fputs(" ...", out);
}

static void subject_write(FILE *out, const json_t *subject)
{
	const char *slots = json_string_value(json_object_get(subject, "slots"));
	const json_t *rules = json_object_get(subject, "rules"), *rule;
	const char *semicolon = "";
	size_t i;

	if (slots && *slots) {
		fprintf(out, "slots %s", slots);
		semicolon = "; ";
	}
	subject_flows_write(out, subject, semicolon);
	semicolon = ftell(out) > 0 ? "; " : "";
	json_array_foreach(rules, i, rule) {
		fprintf(out, "%srule %s: %s", semicolon, field_text(rule, "index"),
			field_text(rule, "match"));
		semicolon = "; ";
	}
}

char *subject_text(const json_t *op)
{
	const json_t *subject = json_object_get(op, "subject");
	char *text = NULL;
	size_t size;
	FILE *out;

	if (!json_is_object(subject))
		return strdup(field_text(op, "subject")) ?: calloc(1, 1);
	out = open_memstream(&text, &size);
	if (out) {
		subject_write(out, subject);
		fclose(out);
	}
	return text ?: calloc(1, 1);
}

bool operation_ended(const json_t *op)
{
	const char *state = field_text(op, "state");

	return strcmp(state, "completed") == 0 || strcmp(state, "rolled-back") == 0 ||
	       strcmp(state, "failed") == 0;
}

int operation_status(struct call *call, const json_t *op)
{
	const json_t *why = json_object_get(op, "error");
	const char *state = field_text(op, "state");
	struct ff_error err = {}, cause = {};

	if (strcmp(state, "completed") == 0)
		return CLI_DONE;
	/* API.md's error object, with or without its wrapper, or a text */
	if (!json_to_error(op, EIO, &cause) && json_is_string(why))
		snprintf(cause.message, sizeof(cause.message), "%s", json_string_value(why));
	error_set(&err, EIO, FF_CODE_INTERNAL, cause.mend, "%s %s %s: %s", field_text(op, "kind"),
		  field_text(op, "id"), strcmp(state, "failed") == 0 ? "failed" : "was rolled back",
		  *cause.message ? cause.message : "no reason was given");
	call_error(call, &err);
	return CLI_FAILED;
}

void operation_reason_print(const json_t *op)
{
	const json_t *why = json_object_get(op, "error");
	struct ff_error err = {};

	if (!json_to_error(op, EIO, &err) && json_is_string(why))
		snprintf(err.message, sizeof(err.message), "%s", json_string_value(why));
	if (*err.message)
		printf("reason: %s\n", text_clean(err.message));
	if (*err.mend)
		printf("  mend: %s\n", text_clean(err.mend));
}
