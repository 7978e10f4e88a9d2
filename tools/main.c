/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* main.c - flowferry: finds the verb, reads its command line, runs it. */

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/http_client.h"
#include "tools/cmd.h"
#include "tools/help.h"

const struct command *const commands[] = {
	&command_status,     &command_services,
	&command_service,    &command_instances,
	&command_instance,   &command_hosts,
	&command_table,	     &command_flows,
	&command_move,	     &command_drain,
	&command_undrain,    &command_policy,
	&command_plan,	     &command_conditions,
	&command_pause,	     &command_resume,
	&command_operations, &command_events,
	&command_pki,	     &command_traffic,
	&command_lab,	     &command_bench,
	&command_help,	     &command_version,
	&command_completion, NULL,
};

static int option_before_verb(const struct call *call, const char *option)
{
	struct ff_error err;

	error_set(&err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
		  "%s stands before the verb, options stand behind it", option);
	snprintf(err.mend, sizeof(err.mend), "write flowferry VERB ... %s", option);
	return call_usage(call, &err);
}

/* Follows the words of the line as far as they name verbs. NULL: reported. */
static const struct command *command_resolve(struct call *call, int argc, char **argv,
					     int *ret_depth)
{
	const struct command *const *table = commands;
	const struct command *command = NULL, *found;
	int depth = 1;

	for (; table && depth < argc && argv[depth][0] != '-'; depth++) {
		found = command_find(table, argv[depth]);
		if (!found)
			break;
		command = found;
		snprintf(call->path + strlen(call->path), sizeof(call->path) - strlen(call->path),
			 "%s%s", *call->path ? " " : "", found->name);
		table = found->subs;
	}
	if (!command && argv[depth][0] == '-') {
		option_before_verb(call, argv[depth]);
		return NULL;
	}
	if (!command || (depth < argc && argv[depth][0] != '-' && table && !command->run)) {
		call_unknown(call, table, argv[depth]);
		return NULL;
	}
	*ret_depth = depth;
	return command;
}

static int arguments_check(const struct call *call)
{
	const struct argument *arg = call->command->arguments;
	struct ff_error err;
	int n = 0;

	for (; arg && arg->name; arg++, n++) {
		if (n >= call->n_args && !arg->optional) {
			error_set(&err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "%s is missing",
				  arg->name);
			return call_usage(call, &err);
		}
		if (arg->many)
			return 0;
	}
	if (n >= call->n_args)
		return 0;
	if (call->command->subs && n == 0)
		return call_unknown(call, call->command->subs, call->args[n]);
	error_set(&err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "'%s' is one argument too many",
		  call->args[n]);
	return call_usage(call, &err);
}

static int call_parse(struct call *call, int argc, char **argv)
{
	const struct option_table tables[OPTION_TABLES_MAX] = {
		{ call->command->options, call->options },
		{ common_specs, &call->common },
		{ call->command->remote ? remote_specs : NULL, &call->common },
	};
	struct ff_error err = {};
	int first, r;

	if (call->command->wraps)
		r = options_parse_leading(tables, ARRAY_SIZE(tables), argc, argv,
					  &call->common.help, &first, &err);
	else
		r = options_parse(tables, ARRAY_SIZE(tables), argc, argv, &call->common.help,
				  &first, &err);
	if (r)
		return call_usage(call, &err);
	call->args = argv + first;
	call->n_args = argc - first;
	return call->common.help ? 0 : arguments_check(call);
}

static int second_word_missing(const struct call *call)
{
	char words[128] = "";
	struct ff_error err;

	for (const struct command *const *sub = call->command->subs; sub && *sub; sub++)
		snprintf(words + strlen(words), sizeof(words) - strlen(words), "%s%s",
			 !*words ? "" :
			 sub[1]	 ? ", " :
				   " or ",
			 (*sub)->name);
	error_set(&err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "it needs a second word: %s", words);
	return call_usage(call, &err);
}

static int call_run(struct call *call, int argc, char **argv)
{
	int r;

	r = call_parse(call, argc, argv);
	if (r)
		return r;
	if (call->common.help) {
		help_show(call, call->command, call->path);
		return CLI_DONE;
	}
	if (!call->command->run)
		return second_word_missing(call);
	return call->command->run(call);
}

/* `... | head` may have gone, but a full disk must not look like success. */
static int output_close(int status)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	/* what failed earlier has left no number */
	fprintf(stderr, "flowferry: can't write the output: %s\n", strerror(errno ?: EIO));
	return status ?: CLI_FAILED;
}

int main(int argc, char **argv)
{
	struct call call = { .common.output = "table" };
	int depth = 0, status;

	setlocale(LC_TIME, "");
	if (argc < 2) {
		help_overview(stderr);
		return CLI_USAGE;
	}
	if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)
		argv[1] = (char *)"help";
	else if (strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "--version") == 0)
		argv[1] = (char *)"version";
	call.command = command_resolve(&call, argc, argv, &depth);
	if (!call.command)
		return CLI_USAGE;
	call.options = calloc(1, call.command->options_size ?: 1);
	if (!call.options) {
		fputs("flowferry: out of memory\n", stderr);
		return CLI_FAILED;
	}
	status = call_run(&call, argc - depth + 1, argv + depth - 1);
	http_client_free(call.client);
	free(call.options);
	return output_close(status);
}
