/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cmd_table.c - flowferry table SERVICE: who owns which slots. */

#include <stdio.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "lib/slotset.h"
#include "tools/cmd.h"
#include "tools/output.h"
#include "tools/remote.h"
#include "tools/tables.h"

static const struct column owners_columns[] = {
	{ "INSTANCE", false }, { "SLOTS", true }, { "SHARE", true }, { "WHICH", false }, {},
};

static const struct column pins_columns[] = {
	{ "PINNED FLOW", false },
	{ "INSTANCE", false },
	{},
};

static void owners_print(const json_t *reply)
{
	double slots = (double)field_count(reply, "slots");
	const json_t *owner;
	struct table table;
	size_t i;

	table_init(&table, owners_columns);
	json_array_foreach(json_object_get(reply, "owners"), i, owner) {
		const char *list = json_string_value(json_array_get(owner, 0)) ?: "";
		const char *instance = json_string_value(json_array_get(owner, 1)) ?: "(none)";
		struct slotset set = {};
		unsigned int count;

		if (slotset_parse(list, FF_SLOTS_MAX, &set, NULL) < 0)
			list = "?";
		count = slotset_count(&set);
		table_cell(&table, COLOUR_BOLD, "%s", instance);
		table_cell(&table, COLOUR_NONE, "%u", count);
		table_cell(&table, COLOUR_NONE, "%.1f%%", slots > 0 ? 100.0 * count / slots : 0.0);
		table_cell(&table, COLOUR_NONE, "%s", list);
	}
	table_print(&table, stdout);
	table_done(&table);
}

static void pins_print(const json_t *pins)
{
	const json_t *pin;
	struct table table;
	size_t i;

	if (!json_array_size(pins))
		return;
	table_init(&table, pins_columns);
	json_array_foreach(pins, i, pin) {
		table_cell(&table, COLOUR_NONE, "%s", field_text(pin, "flow"));
		table_cell(&table, COLOUR_NONE, "%s", field_text(pin, "instance"));
	}
	putchar('\n');
	table_print(&table, stdout);
	table_done(&table);
}

static int table_run(struct call *call)
{
	_cleanup_free_ char *path = uri_build("/v1/services/%s/table", call->args[0]);
	_cleanup_json_ json_t *reply = NULL;
	int r;

	r = remote_get(call, path, &reply);
	if (r)
		return r;
	if (call_json(call)) {
		json_print(reply);
		return CLI_DONE;
	}
	owners_print(reply);
	rules_print(json_object_get(reply, "rules"));
	pins_print(json_object_get(reply, "pins"));
	return CLI_DONE;
}

static const struct argument table_arguments[] = {
	{ .name = "SERVICE", .complete = COMPLETE_SERVICE },
	{},
};

static const struct example table_examples[] = {
	{ "table fw", "Who owns what of service fw:" },
	{ "table fw -o json | jq '.pins | length'", "How many flows are pinned:" },
	{},
};

const struct command command_table = {
	.name = "table",
	.summary = "who owns which slots of a service, and the exceptions",
	.description =
		"Shows a service's steering table. Each flow falls into one slot by a hash, and "
		"the slot's owner handles it. Exceptions come first: a pin names one flow, a rule "
		"a set of flows by prefixes, protocol and ports.",
	.run = table_run,
	.arguments = table_arguments,
	.examples = table_examples,
	.remote = true,
};
