/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cmd_loop.c - flowferry pause; resume; conditions */

#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "tools/cmd.h"
#include "tools/output.h"
#include "tools/remote.h"

static int loop_set(struct call *call, bool paused)
{
	_cleanup_json_ json_t *body = json_pack("{sb}", "paused", paused), *reply = NULL;
	int r;

	r = remote_call(call, "POST", "/v1/loop", body, &reply);
	if (r)
		return r;
	if (call_json(call))
		json_print(reply);
	else
		puts(paused ? "paused: plans are made and shown, nothing is done" :
			      "resumed: plans are carried out again");
	return CLI_DONE;
}

static int pause_run(struct call *call)
{
	return loop_set(call, true);
}

static int resume_run(struct call *call)
{
	return loop_set(call, false);
}

static const struct example pause_examples[] = {
	{ "pause", "Let nothing be done while you look:" },
	{ "plan fw --dry-run", "What would be done:" },
	{ "resume", "Let the loop go on:" },
	{},
};

const struct command command_pause = {
	.name = "pause",
	.summary = "stop acting by itself, at once",
	.description =
		"The loop stops acting: plans under way end after the steps that are running now, "
		"none is begun. It goes on to look and to plan. Moves that people ask for are "
		"not affected, and a host that dies is still recovered from. It stays so, also over restarts, until `flowferry resume`.",
	.run = pause_run,
	.examples = pause_examples,
	.remote = true,
};

const struct command command_resume = {
	.name = "resume",
	.summary = "act by itself again",
	.description = "Takes `flowferry pause` back.",
	.run = resume_run,
	.examples = pause_examples,
	.remote = true,
};

/* ---- conditions ---------------------------------------------------------------------------- */

static const struct column conditions_columns[] = {
	{ "CONDITION", false }, { "ABOUT", false }, { "NAME", false },
	{ "FOR", true },	{ "WHY", false },   {},
};

static void condition_row(struct table *table, const json_t *condition)
{
	bool forecast = json_is_true(json_object_get(condition, "forecast"));
	char text[UNIT_TEXT_MAX];

	table_cell(table, forecast ? COLOUR_YELLOW : COLOUR_RED, "%s%s",
		   field_text(condition, "kind"), forecast ? " (forecast)" : "");
	table_cell(table, COLOUR_NONE, "%s", field_text(condition, "about"));
	table_cell(table, COLOUR_BOLD, "%s", field_text(condition, "name"));
	table_cell(table, COLOUR_NONE, "%s",
		   duration_format(field_count(condition, "for_ms") * USEC_PER_MSEC, text));
	table_cell(table, COLOUR_NONE, "%s", field_text(condition, "why"));
}

static int conditions_run(struct call *call)
{
	_cleanup_json_ json_t *reply = NULL;
	const json_t *conditions, *condition;
	struct table table;
	size_t i;
	int r;

	r = remote_get(call, "/v1/loop", &reply);
	if (r)
		return r;
	if (call_json(call)) {
		json_print(reply);
		return CLI_DONE;
	}
	conditions = json_object_get(reply, "conditions");
	if (json_is_true(json_object_get(reply, "paused")))
		puts("the loop is paused: nothing is done until `flowferry resume`");
	if (!json_array_size(conditions)) {
		puts("none: all is well");
		return CLI_DONE;
	}
	table_init(&table, conditions_columns);
	json_array_foreach(conditions, i, condition)
		condition_row(&table, condition);
	table_print(&table, stdout);
	table_done(&table);
	return CLI_DONE;
}

static const struct example conditions_examples[] = {
	{ "conditions", "What is out of order, since when, and by which figures:" },
	{ "conditions -o json | jq -r '.conditions[] | select(.kind==\"overload\").name'",
	  "Names of what is overloaded:" },
	{},
};

const struct command command_conditions = {
	.name = "conditions",
	.summary = "what the loop finds out of order now",
	.description =
		"Lists the conditions that hold for services, instances, hosts and the site: "
		"overload, underload, imbalance, capacity, failure, maintenance, unprotected (owners "
		"whose state would be lost with their host), flapping, unreachable, clock, database "
		"(it can't be written), and data that is stale or absurd; and whether the loop is "
		"paused. Bounds and how long something "
		"must last come from each service's policy.",
	.run = conditions_run,
	.examples = conditions_examples,
	.remote = true,
};
