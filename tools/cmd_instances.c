/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cmd_instances.c - flowferry instances; flowferry instance add|remove|state */

#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "tools/cmd.h"
#include "tools/output.h"
#include "tools/remote.h"
#include "tools/tables.h"

struct instances_options {
	const char *service;
};

static const struct option_spec instances_specs[] = {
	{ .name = "service",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct instances_options, service),
	  .value = "NAME",
	  .complete = COMPLETE_SERVICE,
	  .help = "only those of this service" },
	{},
};

static const struct column instances_columns[] = {
	{ "INSTANCE", false }, { "SERVICE", false }, { "HOST", false },
	{ "NF", false },       { "STATE", false },   { "SLOTS", true },
	{ "PINS", true },      { "FLOWS", true },    { "FULL", true },
	{ "PACKETS", true },   { "BYTES", true },    { "DROPPED", true },
	{ "REFUSED", true },   { "STANDBY", false }, {},
};

/* "of fw-1"; "fw-2, 18 ms behind"; "fw-2, copying"; "-" */
static void standby_cell(struct table *table, const json_t *instance)
{
	const json_t *standby = json_object_get(instance, "standby");
	const char *of = json_string_value(json_object_get(instance, "standby_of"));
	const char *state;

	if (of) {
		table_cell(table, COLOUR_NONE, "of %s", of);
		return;
	}
	if (!json_is_object(standby)) {
		table_cell(table, COLOUR_NONE, "-");
		return;
	}
	state = field_text(standby, "state");
	if (strcmp(state, "synced") == 0)
		table_cell(table, COLOUR_NONE, "%s, %s ms behind", field_text(standby, "instance"),
			   field_text(standby, "lag_ms"));
	else
		table_cell(table, COLOUR_YELLOW, "%s, %s", field_text(standby, "instance"), state);
}

static void instance_row(struct table *table, const json_t *instance)
{
	uint64_t capacity = field_count(instance, "capacity");
	uint64_t flows = field_count(instance, "flows");
	const char *state = field_text(instance, "state");
	char text[UNIT_TEXT_MAX];

	table_cell(table, COLOUR_BOLD, "%s", field_text(instance, "name"));
	table_cell(table, COLOUR_NONE, "%s", field_text(instance, "service"));
	table_cell(table, COLOUR_NONE, "%s", field_text(instance, "host"));
	table_cell(table, COLOUR_NONE, "%s", field_text(instance, "nf"));
	table_cell(table, colour_of_state(state), "%s", state);
	table_cell(table, COLOUR_NONE, "%s", field_text(instance, "slots"));
	table_cell(table, COLOUR_NONE, "%s", field_text(instance, "pins"));
	table_cell(table, COLOUR_NONE, "%s", field_units(instance, "flows", count_format, text));
	table_cell(table, COLOUR_NONE, "%.0f%%",
		   capacity ? 100.0 * (double)flows / (double)capacity : 0.0);
	table_cell(table, COLOUR_NONE, "%s", field_units(instance, "packets", count_format, text));
	table_cell(table, COLOUR_NONE, "%s", field_units(instance, "bytes", bytes_format, text));
	table_cell(table, COLOUR_NONE, "%s", field_units(instance, "dropped", count_format, text));
	table_cell(table, COLOUR_NONE, "%s",
		   field_units(instance, "flows_refused", count_format, text));
	standby_cell(table, instance);
}

static int instances_run(struct call *call)
{
	const struct instances_options *o = call->options;
	_cleanup_free_ char *path = uri_build("/v1/instances");
	_cleanup_json_ json_t *reply = NULL;
	const json_t *instance;
	struct table table;
	size_t i;
	int r;

	uri_query(&path, "service", o->service);
	r = remote_get(call, path, &reply);
	if (r)
		return r;
	if (call_json(call)) {
		json_print(reply);
		return CLI_DONE;
	}
	table_init(&table, instances_columns);
	json_array_foreach(json_object_get(reply, "instances"), i, instance)
		instance_row(&table, instance);
	table_print(&table, stdout);
	table_done(&table);
	return CLI_DONE;
}

static const struct example instances_examples[] = {
	{ "instances", "All instances, with their load:" },
	{ "instances --service fw -o json | jq '.instances[] | {name, flows}'",
	  "Flows of each instance of one service:" },
	{},
};

const struct command command_instances = {
	.name = "instances",
	.summary = "the instances, what they own and what they have handled",
	.description =
		"Lists NF instances: the slots and pins that each owns, the flows whose state it "
		"holds and how full that makes it, what it has handled and dropped, and how "
		"many new flows it has refused for want of room. Of a protected service also who "
		"stands by for whom, and how old the standby's copy of the state is.",
	.run = instances_run,
	.options = instances_specs,
	.options_size = sizeof(struct instances_options),
	.examples = instances_examples,
	.remote = true,
};

/* ---- instance add -------------------------------------------------------------------------- */

struct add_options {
	const char *service;
	const char *host;
};

static const struct option_spec add_specs[] = {
	{ .name = "service",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct add_options, service),
	  .value = "NAME",
	  .complete = COMPLETE_SERVICE,
	  .required = true,
	  .help = "the service that it joins" },
	{ .name = "host",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct add_options, host),
	  .value = "HOST",
	  .complete = COMPLETE_HOST,
	  .required = true,
	  .help = "where it runs" },
	{},
};

static int add_run(struct call *call)
{
	const struct add_options *o = call->options;
	_cleanup_free_ char *path = uri_build("/v1/services/%s/instances", o->service);
	_cleanup_json_ json_t *reply = NULL, *body = NULL;
	int r;

	body = json_pack("{s:s,s:s}", "name", call->args[0], "host", o->host);
	r = remote_call(call, "POST", path, body, &reply);
	if (r)
		return r;
	if (call_json(call))
		json_print(reply);
	else
		printf("added instance %s of %s on %s; see `flowferry move --to %s`\n",
		       call->args[0], o->service, o->host, call->args[0]);
	return CLI_DONE;
}

static const struct argument new_arguments[] = {
	{ .name = "NAME" },
	{},
};

static const struct command add_command = {
	.name = "add",
	.summary = "add an instance to a service",
	.description =
		"Starts an instance NAME. It owns nothing until something is moved to it; only a "
		"service's first instance owns everything at once.",
	.run = add_run,
	.options = add_specs,
	.options_size = sizeof(struct add_options),
	.arguments = new_arguments,
	.remote = true,
};

/* ---- instance remove, instance state ------------------------------------------------------- */

static int remove_run(struct call *call)
{
	_cleanup_free_ char *path = uri_build("/v1/instances/%s", call->args[0]);

	return removal_run(call, path, "instance");
}

static const struct argument instance_arguments[] = {
	{ .name = "INSTANCE", .complete = COMPLETE_INSTANCE },
	{},
};

static const struct command remove_command = {
	.name = "remove",
	.summary = "remove an instance that owns nothing",
	.description =
		"Stops an instance. Refused while it owns slots, pins or rules: move them away "
		"first.",
	.run = remove_run,
	.arguments = instance_arguments,
	.remote = true,
};

/* A state's entries: one line each, key before value. */
static void entries_print(const json_t *state)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(state, "entries"), i, entry) {
		const json_t *key = json_object_get(entry, "key");
		const json_t *value = json_object_get(entry, "value");
		_cleanup_free_ char *left = json_is_object(key) ? object_line(key) : NULL;
		_cleanup_free_ char *right = object_line(json_is_object(value) ? value : entry);

		if (json_is_object(value))
			printf("  %s: %s\n", left ? text_clean(left) : field_text(entry, "key"),
			       text_clean(right));
		else
			printf("  %s\n", text_clean(right));
	}
}

/* "packets (sum), seen_ns (min, clock)": what is kept, and how copies merge. */
static char *fields_text(const json_t *state)
{
	const json_t *field;
	char *text = NULL;
	bool merges, clock;
	size_t size, i;
	FILE *out = open_memstream(&text, &size);

	json_array_foreach(json_object_get(state, "fields"), i, field) {
		const char *merge = field_text(field, "merge");

		if (!out)
			break;
		fprintf(out, "%s%s", i ? ", " : "", field_text(field, "name"));
		merges = strcmp(merge, "none") != 0 && strcmp(merge, "-") != 0;
		clock = json_is_true(json_object_get(field, "clock"));
		if (merges || clock)
			fprintf(out, " (%s%s%s)", merges ? merge : "", merges && clock ? ", " : "",
				clock ? "clock" : "");
	}
	if (out)
		fclose(out);
	return text ?: calloc(1, 1);
}

static void state_print(const json_t *state)
{
	const json_t *entries = json_object_get(state, "entries");
	_cleanup_free_ char *fields = fields_text(state);
	struct table table;
	const char *key;
	json_t *value;

	table_init(&table, NULL);
	table_pair(&table, "state", "%s", field_text(state, "name"));
	json_object_foreach((json_t *)state, key, value)
		if (strcmp(key, "name") != 0 && !json_is_array(value) && !json_is_object(value))
			table_pair(&table, key, "%s", field_text(state, key));
	table_pair(&table, "fields", "%s", fields);
	if (entries)
		table_pair(&table, "entries", "%zu", json_array_size(entries));
	table_print(&table, stdout);
	table_done(&table);
	entries_print(state);
}

/* An array of fixed length says by NAME_count how much of it is in use. */
static void unused_clip(json_t *config)
{
	const char *key;
	json_t *value;

	json_object_foreach(config, key, value) {
		char name[80];

		snprintf(name, sizeof(name), "%s_count", key);
		if (!json_is_array(value) || !json_object_get(config, name))
			continue;
		for (size_t i = json_array_size(value); i-- > field_count(config, name);)
			json_array_remove(value, i);
	}
}

static void config_print(json_t *config)
{
	struct table table;
	const char *key;
	json_t *value;

	if (!json_is_object(config))
		return;
	unused_clip(config);
	table_init(&table, NULL);
	table_pair(&table, "config", "of the NF:");
	json_object_foreach(config, key, value) {
		_cleanup_free_ char *text = json_dumps(value, JSON_ENCODE_ANY);
		char name[80];

		snprintf(name, sizeof(name), "  %s", key);
		table_pair(&table, name, "%s", text ?: "?");
	}
	putchar('\n');
	table_print(&table, stdout);
	table_done(&table);
}

static int state_run(struct call *call)
{
	_cleanup_free_ char *path = uri_build("/v1/instances/%s/state", call->args[0]);
	_cleanup_json_ json_t *reply = NULL;
	const json_t *state;
	size_t i;
	int r;

	r = remote_get(call, path, &reply);
	if (r)
		return r;
	if (call_json(call)) {
		json_print(reply);
		return CLI_DONE;
	}
	json_array_foreach(json_object_get(reply, "states"), i, state) {
		if (i)
			putchar('\n');
		state_print(state);
	}
	config_print(json_object_get(reply, "config"));
	return CLI_DONE;
}

static const struct command state_command = {
	.name = "state",
	.summary = "the state that an instance's NF declares, and its config",
	.description =
		"Lists the states that the NF declares, with scope and schema. Those of "
		"multi-flow and all-flows scope are shown whole; per-flow state is shown flow "
		"by flow, by `flowferry flows`.",
	.run = state_run,
	.arguments = instance_arguments,
	.remote = true,
};

static const struct command *const instance_subs[] = {
	&add_command,
	&remove_command,
	&state_command,
	NULL,
};

static const struct example instance_examples[] = {
	{ "instance add fw-3 --service fw --host nf3",
	  "One more instance, and some flows for it:" },
	{ "move --service fw --from fw-1 --to fw-3 --slots 0-511", "" },
	{ "instance state mon-1", "What a monitor knows beyond single flows:" },
	{ "instance remove fw-3", "Remove one that owns nothing any more:" },
	{},
};

const struct command command_instance = {
	.name = "instance",
	.summary = "add, remove or look into an instance",
	.description = "An instance is one running copy of an NF, on one host, with its own state.",
	.examples = instance_examples,
	.subs = instance_subs,
	.remote = true,
};
