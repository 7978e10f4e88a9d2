/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cmd_version.c - flowferry version */

#include <stdio.h>

#include "lib/json.h"
#include "lib/version.h"
#include "tools/cmd.h"
#include "tools/output.h"

static int version_run(struct call *call)
{
	_cleanup_json_ json_t *answer = NULL;

	if (!call_json(call)) {
		printf("flowferry %s\n", FF_VERSION);
		return CLI_DONE;
	}
	answer = json_pack("{s:s}", "version", FF_VERSION);
	json_print(answer);
	return CLI_DONE;
}

static const struct example version_examples[] = {
	{ "version", "This program's; `flowferry status` tells the orchestrator's:" },
	{},
};

const struct command command_version = {
	.name = "version",
	.summary = "the version of this program",
	.run = version_run,
	.examples = version_examples,
};
