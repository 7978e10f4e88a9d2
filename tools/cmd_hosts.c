/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cmd_hosts.c - flowferry hosts [HOST]: the hosts, and what became of the packets of one. */

#include <errno.h>
#include <linux/types.h>
#include <stdio.h>
#include <string.h>

#include "bpf/abi.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "tools/cmd.h"
#include "tools/output.h"
#include "tools/remote.h"

static const struct column hosts_columns[] = {
	{ "HOST", false },
	{ "STATE", false },
	{ "IPV4", false },
	{ "IPV6", false },
	{ "STEERING", false },
	{ "DRAIN", false },
	{ "CPUS", true },
	{ "INSTANCES", true },
	{ "LAST SEEN", true },
	{ "TROUBLE", false },
	{},
};

static const struct column reasons_columns[] = {
	{ "REASON", false },
	{ "PACKETS", true },
	{ "MEANING", false },
	{},
};

/* `last_seen_ms` is a wall-clock time; 0: never. */
static const char *seen_format(const json_t *host, char buf[UNIT_TEXT_MAX])
{
	uint64_t seen_ms = field_count(host, "last_seen_ms"), now_ms = clock_wall_ms();
	size_t n;

	if (!seen_ms)
		return "never";
	duration_format(now_ms > seen_ms ? (now_ms - seen_ms) * USEC_PER_MSEC : 0, buf);
	n = strlen(buf);
	snprintf(buf + n, UNIT_TEXT_MAX - n, " ago");
	return buf;
}

/* Why it is down, or can't be given its table; empty when all is well. */
static const char *trouble_text(const json_t *host)
{
	return json_string_value(json_object_get(host, "why")) ?: "";
}

/* Some answers count instances, some list them. */
static uint64_t instances_count(const json_t *host)
{
	const json_t *instances = json_object_get(host, "instances");

	return json_is_array(instances) ? json_array_size(instances) :
					  field_count(host, "instances");
}

/* Empty where nobody wants it empty. */
static const char *drain_text(const json_t *host)
{
	const json_t *drain = json_object_get(host, "drain");

	if (!drain)
		return "";
	if (json_is_true(json_object_get(drain, "empty")))
		return "empty";
	return json_is_true(json_object_get(drain, "late")) ? "late" : "draining";
}

static void host_row(struct table *table, const json_t *host)
{
	const char *state = field_text(host, "state");
	char seen[UNIT_TEXT_MAX];

	table_cell(table, COLOUR_BOLD, "%s", field_text(host, "name"));
	table_cell(table, colour_of_state(state), "%s", state);
	table_cell(table, COLOUR_NONE, "%s", field_text(host, "ipv4"));
	table_cell(table, COLOUR_NONE, "%s", field_text(host, "ipv6"));
	table_cell(table, COLOUR_NONE, "%s", field_text(host, "steering"));
	table_cell(table, COLOUR_YELLOW, "%s", drain_text(host));
	table_cell(table, COLOUR_NONE, "%s", field_text(host, "cpus"));
	table_cell(table, COLOUR_NONE, "%llu", (unsigned long long)instances_count(host));
	table_cell(table, COLOUR_NONE, "%s", seen_format(host, seen));
	table_cell(table, COLOUR_RED, "%s", trouble_text(host));
}

static const char *reason_text(const char *name)
{
#define X(sym, reason, text) { reason, text },
	static const struct {
		const char *name, *text;
	} reasons[] = { FF_REASONS(X) };
#undef X

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (strcmp(reasons[i].name, name) == 0)
			return reasons[i].text;
	return "";
}

static void drain_pairs(struct table *table, const json_t *drain)
{
	char text[UNIT_TEXT_MAX];

	if (!drain)
		return;
	table_pair(table, "to be empty", "since %s", field_time(drain, "since_ms", text));
	table_pair(table, "deadline", "%s", field_time(drain, "deadline_ms", text));
	table_pair(table, "left", "%s slots, %s pins, %s rules", field_text(drain, "slots"),
		   field_text(drain, "pins"), field_text(drain, "rules"));
}

static void host_details(const json_t *host)
{
	json_t *reasons = json_object_get(host, "reasons"), *count;
	_cleanup_free_ char *instances = field_names(host, "instances");
	char number[UNIT_TEXT_MAX];
	struct table table;
	const char *name;

	table_init(&table, NULL);
	table_pair(&table, "host", "%s", field_text(host, "name"));
	table_pair(&table, "state", "%s", field_text(host, "state"));
	table_pair(&table, "trouble", "%s", trouble_text(host));
	table_pair(&table, "last seen", "%s", seen_format(host, number));
	table_pair(&table, "number", "%s", field_text(host, "id"));
	table_pair(&table, "agent", "%s", field_text(host, "url"));
	table_pair(&table, "IPv4", "%s", field_text(host, "ipv4"));
	table_pair(&table, "IPv6", "%s", field_text(host, "ipv6"));
	table_pair(&table, "steering", "%s", field_text(host, "steering"));
	drain_pairs(&table, json_object_get(host, "drain"));
	table_pair(&table, "CPUs", "%s", field_text(host, "cpus"));
	table_pair(&table, "instances", "%s",
		   *instances ? instances : field_text(host, "instances"));
	table_print(&table, stdout);
	table_done(&table);

	table_init(&table, reasons_columns);
	json_object_foreach(reasons, name, count) {
		table_cell(&table, strncmp(name, "drop-", 5) == 0 ? COLOUR_YELLOW : COLOUR_NONE,
			   "%s", name);
		table_cell(&table, COLOUR_NONE, "%s",
			   field_units(reasons, name, count_format, number));
		table_cell(&table, COLOUR_NONE, "%s", reason_text(name));
	}
	if (table.n_cells) {
		putchar('\n');
		table_print(&table, stdout);
	}
	table_done(&table);
}

static int host_show(struct call *call, const json_t *hosts, const char *name)
{
	struct ff_error err = {};
	const json_t *host;
	size_t i;

	json_array_foreach(hosts, i, host) {
		if (strcmp(field_text(host, "name"), name) != 0)
			continue;
		if (call_json(call))
			json_print(host);
		else
			host_details(host);
		return CLI_DONE;
	}
	error_set(&err, ENOENT, FF_CODE_NOT_FOUND, "see `flowferry hosts`", "there is no host '%s'",
		  name);
	return remote_fail(call, 404, &err);
}

static int hosts_run(struct call *call)
{
	_cleanup_json_ json_t *reply = NULL;
	const json_t *hosts, *host;
	struct table table;
	size_t i;
	int r;

	r = remote_get(call, "/v1/hosts", &reply);
	if (r)
		return r;
	hosts = json_object_get(reply, "hosts");
	if (call->n_args)
		return host_show(call, hosts, call->args[0]);
	if (call_json(call)) {
		json_print(reply);
		return CLI_DONE;
	}
	table_init(&table, hosts_columns);
	json_array_foreach(hosts, i, host)
		host_row(&table, host);
	table_print(&table, stdout);
	table_done(&table);
	return CLI_DONE;
}

static const struct argument hosts_arguments[] = {
	{ .name = "HOST", .complete = COMPLETE_HOST, .optional = true },
	{},
};

static const struct example hosts_examples[] = {
	{ "hosts", "All hosts:" },
	{ "hosts gw", "What became of the packets of one host, by reason:" },
	{ "hosts -o json | jq -r '.hosts[] | select(.state==\"down\").name'",
	  "Names of those that are down:" },
	{},
};

const struct command command_hosts = {
	.name = "hosts",
	.summary = "the hosts; of one, also every drop by its reason",
	.description =
		"Lists the hosts that the orchestrator watches. With HOST, shows that one and "
		"its counters: each packet that was dropped, or took an unusual turn, is "
		"counted once under a reason.",
	.run = hosts_run,
	.arguments = hosts_arguments,
	.examples = hosts_examples,
	.remote = true,
};
