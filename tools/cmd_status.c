/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cmd_status.c - flowferry status: the whole site on one screen. */

#include <stdio.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "tools/cmd.h"
#include "tools/output.h"
#include "tools/remote.h"

static int status_run(struct call *call)
{
	_cleanup_json_ json_t *status = NULL;
	const json_t *operations;
	char uptime[UNIT_TEXT_MAX];
	struct table table;
	uint64_t seconds;
	int r;

	r = remote_get(call, "/v1/status", &status);
	if (r)
		return r;
	if (call_json(call)) {
		json_print(status);
		return CLI_DONE;
	}
	seconds = field_count(status, "uptime_s");
	operations = json_object_get(status, "operations");
	table_init(&table, NULL);
	table_pair(&table, "orchestrator", "%s", remote_name(call));
	table_pair(&table, "version", "%s", field_text(status, "version"));
	table_pair(&table, "up for", "%s",
		   seconds ? duration_format(seconds * USEC_PER_SEC, uptime) :
			     "less than a second");
	table_pair(&table, "epoch", "%s", field_text(status, "epoch"));
	if (json_object_get(status, "hosts_up"))
		table_pair(&table, "hosts", "%s, %s of them up", field_text(status, "hosts"),
			   field_text(status, "hosts_up"));
	else
		table_pair(&table, "hosts", "%s", field_text(status, "hosts"));
	table_pair(&table, "services", "%s", field_text(status, "services"));
	table_pair(&table, "instances", "%s", field_text(status, "instances"));
	table_pair(&table, "operations", "%s running, %s completed, %s rolled back, %s failed",
		   field_text(operations, "running"), field_text(operations, "completed"),
		   field_text(operations, "rolled_back"), field_text(operations, "failed"));
	table_print(&table, stdout);
	table_done(&table);
	return CLI_DONE;
}

static const struct example status_examples[] = {
	{ "status", "Is the orchestrator well?" },
	{ "status --url https://orch.example:4433 --ca ca.pem --cert me.pem --key me.key",
	  "The same, of an orchestrator elsewhere:" },
	{},
};

const struct command command_status = {
	.name = "status",
	.summary = "the orchestrator, and what it knows, in a few lines",
	.description =
		"Shows the orchestrator's version, how long it has been up, its epoch (which "
		"rises with each start, so that hosts can refuse a stale one), how many hosts, "
		"services and instances there are, and how its operations ended.",
	.run = status_run,
	.examples = status_examples,
	.remote = true,
};
