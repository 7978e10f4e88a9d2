/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* plan_table.c - plans for a person: each step's prediction beside its outcome; see plan_table.h. */

#include "tools/plan_table.h"

#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "tools/output.h"
#include "tools/tables.h"

#define WHAT_MAX   160
#define FIGURE_MAX (2 * UNIT_TEXT_MAX + 4)

static const struct column steps_columns[] = {
	{ "WAVE", true },   { "STEP", false },
	{ "WHAT", false },  { "WHY", false },
	{ "STATE", false }, { "FREEZE", true },
	{ "TOTAL", true },  { "BYTES", true },
	{ "PARKED", true }, {},
};

bool operation_is_plan(const json_t *operation)
{
	return json_is_object(json_object_get(operation, "plan"));
}

static const json_t *steps_of(const json_t *operation)
{
	return json_object_get(json_object_get(operation, "plan"), "steps");
}

void plan_steps_count(const json_t *operation, size_t *ret_done, size_t *ret_all)
{
	const json_t *steps = steps_of(operation), *step;
	size_t i;

	*ret_done = 0;
	*ret_all = json_array_size(steps);
	json_array_foreach(steps, i, step)
		*ret_done += strcmp(field_text(step, "state"), "completed") == 0;
}

/* An instance that the plan creates is called new-1 in it; once it's there, by its name. */
static const char *instance_text(const json_t *operation, const json_t *side)
{
	const char *name = field_text(side, "instance");
	const json_t *step;
	size_t i;

	if (!json_is_true(json_object_get(side, "new")))
		return name;
	json_array_foreach(steps_of(operation), i, step)
		if (strcmp(field_text(step, "kind"), "create") == 0 &&
		    json_is_string(json_object_get(step, "instance")) &&
		    strcmp(field_text(json_object_get(step, "to"), "instance"), name) == 0)
			return field_text(step, "instance");
	return name;
}

static void counted(char *text, size_t size, const json_t *step, const char *key, const char *one)
{
	uint64_t n = field_count(step, key);
	char number[UNIT_TEXT_MAX];
	size_t used = strlen(text);

	if (n)
		snprintf(text + used, size - used, "%s %s %s%s", used ? "," : "",
			 count_format(n, number), one, n > 1 ? "s" : "");
}

static void what_cell(struct table *table, const json_t *operation, const json_t *step)
{
	const json_t *from = json_object_get(step, "from"), *to = json_object_get(step, "to");
	const char *kind = field_text(step, "kind");
	char parts[WHAT_MAX] = "";

	if (strcmp(kind, "create") == 0 || strcmp(kind, "recall") == 0) {
		table_cell(table, COLOUR_NONE, "%s on %s", instance_text(operation, to),
			   field_text(to, "host"));
	} else if (strcmp(kind, "retire") == 0) {
		table_cell(table, COLOUR_NONE, "%s on %s", instance_text(operation, from),
			   field_text(from, "host"));
	} else {
		counted(parts, sizeof(parts), step, "slots_count", "slot");
		counted(parts, sizeof(parts), step, "flows_count", "pin");
		if (json_array_size(json_object_get(step, "rules")))
			snprintf(parts + strlen(parts), sizeof(parts) - strlen(parts),
				 "%s %zu rules", *parts ? "," : "",
				 json_array_size(json_object_get(step, "rules")));
		table_cell(table, COLOUR_NONE, "%s -> %s:%s", instance_text(operation, from),
			   instance_text(operation, to), parts);
	}
}

/* "predicted / measured"; a dash for what isn't known (yet). */
static void figure_cell(struct table *table, const json_t *step, const char *predicted_key,
			const char *outcome_key, const char *(*format)(uint64_t, char *))
{
	const json_t *was = json_object_get(json_object_get(step, "outcome"), outcome_key);
	const json_t *expected = json_object_get(json_object_get(step, "predicted"), predicted_key);
	char text[UNIT_TEXT_MAX], other[UNIT_TEXT_MAX];

	if (!json_is_number(expected)) {
		table_cell(table, COLOUR_NONE, "-");
		return;
	}
	table_cell(table, COLOUR_NONE, "%s / %s",
		   format((uint64_t)(json_number_value(expected) + 0.5), text),
		   json_is_number(was) ? format((uint64_t)json_number_value(was), other) : "-");
}

static void step_row(struct table *table, const json_t *operation, const json_t *step)
{
	const char *state = field_text(step, "state");

	/* what was never begun isn't waiting any more once the plan has ended */
	if (strcmp(state, "queued") == 0 && operation_ended(operation))
		state = "not begun";
	table_cell(table, COLOUR_NONE, "%llu", (unsigned long long)field_count(step, "wave") + 1);
	table_cell(table, COLOUR_BOLD, "%s", field_text(step, "kind"));
	what_cell(table, operation, step);
	table_cell(table, COLOUR_NONE, "%s", field_text(step, "why"));
	table_cell(table, colour_of_state(state), "%s", state);
	figure_cell(table, step, "freeze_us", "freeze_us", duration_format);
	figure_cell(table, step, "total_us", "total_us", duration_format);
	figure_cell(table, step, "bytes", "bytes", bytes_format);
	figure_cell(table, step, "packets_parked", "packets_parked", count_format);
}

static void steps_print(const json_t *operation)
{
	const json_t *steps = steps_of(operation), *step;
	struct table table;
	size_t i;

	table_init(&table, steps_columns);
	json_array_foreach(steps, i, step)
		step_row(&table, operation, step);
	putchar('\n');
	table_print(&table, stdout);
	table_done(&table);
	json_array_foreach(steps, i, step) {
		const char *error = json_string_value(json_object_get(step, "error"));
		unsigned long long left = field_count(step, "left");
		unsigned long long waits = field_count(step, "waits_for");
		_cleanup_free_ char *text = error ? strdup(error) : NULL;

		if (text)
			printf("step %zu: %s\n", i + 1, text_clean(text));
		if (left)
			printf("step %zu: %llu flows were left on %s, likely to end within %.1f s\n",
			       i + 1, left, instance_text(operation, json_object_get(step, "from")),
			       json_number_value(json_object_get(step, "leave_s")));
		if (waits)
			printf("step %zu: waits for %llu flows that are left there; a later plan retires "
			       "it\n",
			       i + 1, waits);
	}
}

void plan_print(const json_t *operation)
{
	const json_t *plan = json_object_get(operation, "plan");
	const json_t *instances = json_object_get(plan, "instances");
	const json_t *busiest = json_object_get(plan, "busiest");
	char text[UNIT_TEXT_MAX], other[FIGURE_MAX];
	struct table table;
	size_t done, all;

	plan_steps_count(operation, &done, &all);
	table_init(&table, NULL);
	table_pair(&table, "plan", "%s", field_text(operation, "id"));
	table_pair(&table, "state", "%s", field_text(operation, "state"));
	table_pair(&table, "service", "%s", field_text(operation, "service"));
	table_pair(&table, "why", "%s", field_text(plan, "reason"));
	table_pair(&table, "created", "%s", field_time(operation, "created", text));
	table_pair(&table, "ended", "%s", field_time(operation, "ended", text));
	table_pair(&table, "steps", "%zu of %zu done, in %s wave%s", done, all,
		   field_text(plan, "waves"), field_count(plan, "waves") == 1 ? "" : "s");
	table_pair(&table, "instances", "%s -> %s", field_text(instances, "before"),
		   field_text(instances, "after"));
	table_pair(&table, "busiest", "%.0f %% -> %.0f %%",
		   100 * json_number_value(json_object_get(busiest, "before")),
		   100 * json_number_value(json_object_get(busiest, "after")));
	snprintf(other, sizeof(other), "%s",
		 duration_format((uint64_t)json_number_value(json_object_get(plan, "predicted_us")),
				 text));
	table_pair(&table, "took", "%s predicted, %s measured", other,
		   operation_ended(operation) ?
			   field_units(operation, "total_us", duration_format, text) :
			   "-");
	table_print(&table, stdout);
	table_done(&table);
	if (all)
		steps_print(operation);
	if (all)
		puts("(figures: predicted / measured)");
}
