/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* upgrade_table.c - upgrades for a person; see upgrade_table.h. */

#include "tools/upgrade_table.h"

#include <stdio.h>
#include <string.h>

#include "tools/output.h"
#include "tools/tables.h"

static const struct column instances_columns[] = {
	{ "INSTANCE", false }, { "SUCCESSOR", false }, { "HOST", false },
	{ "STATE", false },    { "MOVES", true },      {},
};

static const json_t *instances_of(const json_t *operation)
{
	return json_object_get(json_object_get(operation, "upgrade"), "instances");
}

bool operation_is_upgrade(const json_t *operation)
{
	return json_is_object(json_object_get(operation, "upgrade"));
}

void upgrade_count(const json_t *operation, size_t *ret_done, size_t *ret_all)
{
	const json_t *instances = instances_of(operation), *instance;
	size_t i;

	*ret_done = 0;
	*ret_all = json_array_size(instances);
	json_array_foreach(instances, i, instance)
		*ret_done += strcmp(field_text(instance, "state"), "completed") == 0;
}

static void instances_print(const json_t *operation)
{
	const json_t *instances = instances_of(operation), *instance;
	struct table table;
	size_t i;

	table_init(&table, instances_columns);
	json_array_foreach(instances, i, instance) {
		const char *state = field_text(instance, "state");

		if (strcmp(state, "queued") == 0 && operation_ended(operation))
			state = "not begun";
		table_cell(&table, COLOUR_BOLD, "%s", field_text(instance, "instance"));
		table_cell(&table, COLOUR_NONE, "%s", field_text(instance, "successor"));
		table_cell(&table, COLOUR_NONE, "%s", field_text(instance, "host"));
		table_cell(&table, colour_of_state(state), "%s", state);
		table_cell(&table, COLOUR_NONE, "%zu",
			   json_array_size(json_object_get(instance, "moves")));
	}
	putchar('\n');
	table_print(&table, stdout);
	table_done(&table);
}

void upgrade_print(const json_t *operation)
{
	const json_t *upgrade = json_object_get(operation, "upgrade");
	char text[UNIT_TEXT_MAX];
	struct table table;
	size_t done, all;

	upgrade_count(operation, &done, &all);
	table_init(&table, NULL);
	table_pair(&table, "upgrade", "%s", field_text(operation, "id"));
	table_pair(&table, "state", "%s", field_text(operation, "state"));
	table_pair(&table, "service", "%s", field_text(operation, "service"));
	table_pair(&table, "NF", "%s -> %s", field_text(upgrade, "nf_before"),
		   field_text(upgrade, "nf"));
	table_pair(&table, "instances", "%zu of %zu upgraded", done, all);
	table_pair(&table, "created", "%s", field_time(operation, "created", text));
	table_pair(&table, "ended", "%s", field_time(operation, "ended", text));
	table_pair(&table, "took", "%s",
		   operation_ended(operation) ?
			   field_units(operation, "total_us", duration_format, text) :
			   "-");
	table_print(&table, stdout);
	table_done(&table);
	if (all)
		instances_print(operation);
}
