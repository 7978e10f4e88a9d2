/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cmd_help.c - flowferry help [VERB...] */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/json.h"
#include "tools/cmd.h"
#include "tools/help.h"
#include "tools/output.h"

/* The pages' titles, second words too, for programs. */
static void verbs_append(json_t *verbs, const struct command *const *table, const char *above)
{
	for (; table && *table; table++) {
		char path[CLI_PATH_MAX];

		snprintf(path, sizeof(path), "%s%s%s", above, *above ? " " : "", (*table)->name);
		json_array_append_new(verbs, json_pack("{s:s,s:s}", "name", path, "summary",
						       (*table)->summary));
		verbs_append(verbs, (*table)->subs, path);
	}
}

static void overview_json(void)
{
	_cleanup_json_ json_t *answer = json_pack("{s:[]}", "verbs");

	verbs_append(json_object_get(answer, "verbs"), commands, "");
	json_print(answer);
}

static int help_run(struct call *call)
{
	const struct command *const *table = commands;
	const struct command *command = NULL;
	char path[CLI_PATH_MAX] = "";

	for (int i = 0; i < call->n_args; i++) {
		command = table ? command_find(table, call->args[i]) : NULL;
		if (!command) {
			call->path[0] = '\0'; /* what is unknown isn't a second word of `help` */
			return call_unknown(call, table, call->args[i]);
		}
		snprintf(path + strlen(path), sizeof(path) - strlen(path), "%s%s", *path ? " " : "",
			 command->name);
		table = command->subs;
	}
	if (command) {
		help_show(call, command, path);
	} else if (call_json(call)) {
		overview_json();
	} else {
		help_overview(stdout);
	}
	return CLI_DONE;
}

static const struct argument help_arguments[] = {
	{ .name = "VERB", .complete = COMPLETE_VERB, .optional = true, .many = true },
	{},
};

static const struct example help_examples[] = {
	{ "help move", "How to move flows:" },
	{ "help flows get", "A verb of two words:" },
	{},
};

const struct command command_help = {
	.name = "help",
	.summary = "explain a verb, or list them all",
	.run = help_run,
	.arguments = help_arguments,
	.examples = help_examples,
};
