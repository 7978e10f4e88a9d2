/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cmd_flows.c - flowferry flows [list]; flowferry flows get FLOW */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/filter.h"
#include "lib/flow.h"
#include "lib/json.h"
#include "tools/cmd.h"
#include "tools/output.h"
#include "tools/remote.h"
#include "tools/tables.h"

#define FLOWS_LIMIT	100	/* more scroll by unread */
#define FLOWS_LIMIT_MAX 1000000 /* an answer of some 300 MB would follow; use a filter */

struct list_options {
	const char *service, *instance, *filter;
	uint64_t limit;
	bool state;
};

static const struct option_spec list_specs[] = {
	{ .name = "service",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct list_options, service),
	  .value = "NAME",
	  .complete = COMPLETE_SERVICE,
	  .help = "only flows of this service" },
	{ .name = "instance",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct list_options, instance),
	  .value = "NAME",
	  .complete = COMPLETE_INSTANCE,
	  .help = "only flows of this instance" },
	{ .name = "filter",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct list_options, filter),
	  .value = "EXPR",
	  .help = "only flows that match, in pcap-filter(7)'s language" },
	{ .name = "limit",
	  .kind = OPTION_NUMBER,
	  .offset = offsetof(struct list_options, limit),
	  .value = "N",
	  .min = 1,
	  .max = FLOWS_LIMIT_MAX,
	  .help = "at most so many; 100 by default" },
	{ .name = "state",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct list_options, state),
	  .help = "also show what the NF keeps for each" },
	{},
};

static const struct column list_columns[] = {
	{ "FLOW", false }, { "INSTANCE", false }, { "HOST", false },
	{ "SLOT", true },  { "BY", false },	  { "EXPIRES IN", true },
	{ "MOVES", true }, { "STATE", false },	  {},
};

/* Without state nothing can expire. */
static const char *expires_format(const json_t *flow, char buf[UNIT_TEXT_MAX])
{
	if (!json_is_integer(json_object_get(flow, "expires_ms")))
		return "-";
	return duration_format(field_count(flow, "expires_ms") * USEC_PER_MSEC, buf);
}

static void flow_row(struct table *table, const json_t *flow, bool with_state)
{
	_cleanup_free_ char *state = object_line(json_object_get(flow, "state"));
	char text[UNIT_TEXT_MAX];

	table_cell(table, COLOUR_NONE, "%s", field_text(flow, "flow"));
	table_cell(table, COLOUR_NONE, "%s", field_text(flow, "instance"));
	table_cell(table, COLOUR_NONE, "%s", field_text(flow, "host"));
	table_cell(table, COLOUR_NONE, "%s", field_text(flow, "slot"));
	table_cell(table, COLOUR_NONE, "%s", field_text(flow, "how"));
	table_cell(table, COLOUR_NONE, "%s", expires_format(flow, text));
	table_cell(table, COLOUR_NONE, "%s", field_text(flow, "moves"));
	if (with_state)
		table_cell(table, COLOUR_NONE, "%s", state);
}

/* A list with a gap must not pass for a whole one. */
static int gaps_report(const struct call *call, const json_t *reply)
{
	const json_t *gap, *gaps = json_object_get(reply, "unreachable");
	size_t i;

	json_array_foreach(gaps, i, gap) {
		struct ff_error err;

		error_set(&err, EHOSTUNREACH, FF_CODE_UNREACHABLE, NULL,
			  "flows of %s are left out: %s", field_text(gap, "instance"),
			  field_text(gap, "why"));
		call_error(call, &err);
	}
	return json_array_size(gaps) ? CLI_FAILED : CLI_DONE;
}

static int list_run(struct call *call)
{
	const struct list_options *o = call->options;
	_cleanup_free_ char *path = uri_build("/v1/flows");
	_cleanup_filter_ struct filter *filter = NULL;
	_cleanup_json_ json_t *reply = NULL;
	struct ff_error err = {};
	const json_t *flow;
	struct table table;
	size_t i;
	int r;

	if (o->filter && filter_new(o->filter, &filter, &err) < 0)
		return call_usage(call, &err);
	uri_query(&path, "service", o->service);
	uri_query(&path, "instance", o->instance);
	uri_query(&path, "filter", o->filter);
	uri_query_number(&path, "limit", o->limit ?: FLOWS_LIMIT);
	r = remote_get(call, path, &reply);
	if (r)
		return r;
	if (call_json(call)) {
		json_print(reply);
		return gaps_report(call, reply);
	}
	table_init(&table, list_columns);
	table.width -= !o->state;
	json_array_foreach(json_object_get(reply, "flows"), i, flow)
		flow_row(&table, flow, o->state);
	table_print(&table, stdout);
	table_done(&table);
	if (json_is_true(json_object_get(reply, "truncated")))
		fprintf(stderr, "there are more; see --limit and --filter\n");
	return gaps_report(call, reply);
}

static const struct command list_command = {
	.name = "list",
	.summary = "list flows",
	.description =
		"Lists live flows: who owns each, by its slot, a pin or a rule, and when it "
		"expires unless it goes on. Instances that can't be asked are named, and the "
		"exit status is 1 then.",
	.run = list_run,
	.options = list_specs,
	.options_size = sizeof(struct list_options),
	.remote = true,
};

/* ---- flows get ----------------------------------------------------------------------------- */

#define FLOW_WORDS_MAX 256 /* far longer than any flow */

/* The words of the flow, quoted or not. */
static void words_join(const struct call *call, char text[FLOW_WORDS_MAX])
{
	text[0] = '\0';
	for (int i = 0; i < call->n_args; i++)
		snprintf(text + strlen(text), FLOW_WORDS_MAX - strlen(text), "%s%s", i ? " " : "",
			 call->args[i]);
}

/* Why it is where it is: the flow names the move, the operation tells what it was asked to move. */
static void last_move_pairs(struct call *call, struct table *table, const json_t *flow)
{
	const json_t *move = json_object_get(flow, "last_move");
	_cleanup_free_ char *path = NULL, *subject = NULL;
	_cleanup_json_ json_t *op = NULL;
	struct ff_error err;
	unsigned int status;
	char text[UNIT_TEXT_MAX];
	const char *id;

	if (!json_is_object(move)) {
		table_pair(table, "last move", "%s",
			   field_count(flow, "moves") ? field_text(flow, "moved_by") : "none");
		return;
	}
	id = field_text(move, json_object_get(move, "id") ? "id" : "operation");
	table_pair(table, "last move", "%s: %s -> %s, %s", id, field_text(move, "from"),
		   field_text(move, "to"), field_text(move, "state"));
	table_pair(table, "  ended", "%s", field_time(move, "ended", text));
	path = uri_build("/v1/operations/%s", id);
	if (remote_try(call, "GET", path, REMOTE_TIMEOUT_MS, &status, &op, &err) < 0)
		return; /* forgotten since: the history is bounded */
	subject = subject_text(op);
	table_pair(table, "  it moved", "%s", subject);
	if (json_is_string(json_object_get(op, "note")))
		table_pair(table, "  note", "%s", field_text(op, "note"));
}

static void state_pairs(struct table *table, const json_t *flow)
{
	json_t *state = json_object_get(flow, "state"), *value;
	char name[64];
	const char *key;

	json_object_foreach(state, key, value) {
		_cleanup_free_ char *line = NULL;

		snprintf(name, sizeof(name), "  %s", key);
		if (json_is_object(value))
			line = object_line(value);
		else if (json_is_array(value))
			line = field_names(state, key);
		table_pair(table, name, "%s", line ?: field_text(state, key));
	}
}

/* Drops aren't counted by flow, but by instance, and by host and reason: both are shown. */
static void instance_drops(struct call *call, struct table *table, const json_t *flow)
{
	const char *name = field_text(flow, "instance");
	_cleanup_free_ char *path = uri_build("/v1/instances/%s", name);
	_cleanup_json_ json_t *reply = NULL;
	char dropped[UNIT_TEXT_MAX], refused[UNIT_TEXT_MAX];
	struct ff_error err;
	unsigned int status;
	const json_t *one;

	if (strcmp(name, "-") == 0 ||
	    remote_try(call, "GET", path, REMOTE_TIMEOUT_MS, &status, &reply, &err) < 0)
		return;
	one = json_array_get(json_object_get(reply, "instances"), 0) ?: reply;
	table_pair(table, "instance drops",
		   "%s packets dropped, %s new flows refused, of all of %s",
		   field_units(one, "dropped", count_format, dropped),
		   field_units(one, "flows_refused", count_format, refused), name);
}

static void host_drops(struct call *call, struct table *table, const json_t *flow)
{
	_cleanup_json_ json_t *reply = NULL;
	struct ff_error err;
	unsigned int status;
	const json_t *host;
	size_t i;

	if (remote_try(call, "GET", "/v1/hosts", REMOTE_TIMEOUT_MS, &status, &reply, &err) < 0)
		return;
	json_array_foreach(json_object_get(reply, "hosts"), i, host) {
		_cleanup_free_ char *line = NULL;
		json_t *reasons = json_object_get(host, "reasons"), *count;
		const char *name;
		void *next;

		if (strcmp(field_text(host, "name"), field_text(flow, "host")) != 0)
			continue;
		json_object_foreach_safe(reasons, next, name, count) {
			bool drop = strncmp(name, "drop-", 5) == 0 || strncmp(name, "nf-", 3) == 0;

			if (!drop || !json_integer_value(count))
				json_object_del(reasons, name);
		}
		line = object_line(reasons);
		table_pair(table, "host drops", "%s", *line ? line : "none");
	}
}

static void flow_print(struct call *call, const json_t *flow)
{
	char text[UNIT_TEXT_MAX];
	struct table table;

	table_init(&table, NULL);
	table_pair(&table, "flow", "%s", field_text(flow, "flow"));
	table_pair(&table, "owner", "%s on %s", field_text(flow, "instance"),
		   field_text(flow, "host"));
	table_pair(&table, "owned by", "%s", field_text(flow, "how"));
	table_pair(&table, "slot", "%s", field_text(flow, "slot"));
	table_pair(&table, "expires in", "%s", expires_format(flow, text));
	table_pair(&table, "moves", "%s", field_text(flow, "moves"));
	last_move_pairs(call, &table, flow);
	if (json_object_size(json_object_get(flow, "state"))) {
		table_pair(&table, "state", "of the NF:");
		state_pairs(&table, flow);
	} else {
		table_pair(&table, "state",
			   "none: no packet of it has been seen, or it has expired");
	}
	instance_drops(call, &table, flow);
	host_drops(call, &table, flow);
	table_print(&table, stdout);
	table_done(&table);
}

static int get_run(struct call *call)
{
	_cleanup_free_ char *path = uri_build("/v1/flows/lookup");
	_cleanup_json_ json_t *flow = NULL;
	char text[FLOW_WORDS_MAX];
	struct ff_flow_key key;
	struct ff_error err = {};
	int r;

	words_join(call, text);
	if (flow_read(text, &key, &err) < 0)
		return call_usage(call, &err);
	uri_query(&path, "flow", text);
	r = remote_get(call, path, &flow);
	if (r)
		return r;
	if (call_json(call))
		json_print(flow);
	else
		flow_print(call, flow);
	return CLI_DONE;
}

static const struct argument get_arguments[] = {
	{ .name = "FLOW", .many = true },
	{},
};

static const struct command get_command = {
	.name = "get",
	.summary = "everything about one flow",
	.description =
		"Shows who owns FLOW and why (its slot, a pin, or a rule), the NF's state for it, "
		"the last move and what was dropped where it lives. Either order of the "
		"endpoints names the same flow; quotes aren't needed but for IPv6's brackets.",
	.run = get_run,
	.arguments = get_arguments,
	.remote = true,
};

static const struct command *const flows_subs[] = { &list_command, &get_command, NULL };

static const struct example flows_examples[] = {
	{ "flows list --instance fw-1 --limit 10", "Ten flows of an instance:" },
	{ "flows list --filter 'udp and port 53' --state", "All name lookups, with their state:" },
	{ "flows get 'tcp 198.18.1.2:1234 198.18.2.2:80'", "One flow:" },
	{ "flows get 'udp [2001:db8:1::2]:53 [2001:db8:2::2]:9'", "One of IPv6:" },
	{ "flows get icmp 198.18.1.2 198.18.2.2 id 77", "A ping:" },
	{},
};

const struct command command_flows = {
	.name = "flows",
	.summary = "live flows: list them, or everything about one",
	.description =
		"A flow is the packets of one 5-tuple, in both directions. Without a second word, "
		"flows are listed.",
	.run = list_run,
	.options = list_specs,
	.options_size = sizeof(struct list_options),
	.examples = flows_examples,
	.subs = flows_subs,
	.remote = true,
};
