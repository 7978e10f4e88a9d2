/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* call.c - what all verbs share: common options, the table of verbs as a table, reports. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/cmd.h"
#include "tools/output.h"
#include "tools/suggest.h"

static const char *const output_choices[] = { "table", "json", NULL };

const struct option_spec common_specs[] = {
	{ .name = "output",
	  .letter = 'o',
	  .kind = OPTION_CHOICE,
	  .offset = offsetof(struct common_options, output),
	  .value = "FORMAT",
	  .choices = output_choices,
	  .help = "answer in a table for people (the default), or in JSON for programs" },
	{ .name = "help",
	  .letter = 'h',
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct common_options, help),
	  .help = "show this page" },
	{},
};

const struct option_spec remote_specs[] = {
	{ .name = "socket",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct common_options, socket),
	  .value = "PATH",
	  .complete = COMPLETE_FILE,
	  .group = 100, /* clear of the verbs' own groups */
	  .help = "the orchestrator's unix socket; by default $FLOWFERRY_SOCKET, "
		  "else /run/flowferry/orchestrator.sock" },
	{ .name = "url",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct common_options, url),
	  .value = "URL",
	  .group = 100,
	  .help = "an orchestrator elsewhere, https://HOST:PORT; needs the three below" },
	{ .name = "ca",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct common_options, ca),
	  .value = "FILE",
	  .complete = COMPLETE_FILE,
	  .help = "certificate of the site's CA, in PEM" },
	{ .name = "cert",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct common_options, cert),
	  .value = "FILE",
	  .complete = COMPLETE_FILE,
	  .help = "certificate to show, in PEM" },
	{ .name = "key",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct common_options, key),
	  .value = "FILE",
	  .complete = COMPLETE_FILE,
	  .help = "its private key, in PEM" },
	{},
};

const struct command *command_find(const struct command *const *table, const char *name)
{
	for (; table && *table; table++)
		if (strcmp((*table)->name, name) == 0)
			return *table;
	return NULL;
}

const char *command_suggest(const struct command *const *table, const char *name)
{
	const char *best = NULL;

	for (; table && *table; table++) {
		const char *known = (*table)->name;

		if (suggest_near(name, known) &&
		    (!best || suggest_distance(name, known) < suggest_distance(name, best)))
			best = known;
	}
	return best;
}

bool call_json(const struct call *call)
{
	return strcmp(call->common.output, "json") == 0;
}

void call_error(const struct call *call, const struct ff_error *err)
{
	struct ff_error shown = *err;

	fprintf(stderr, "%sflowferry%s%s:%s %s\n", colour_code(stderr, COLOUR_RED),
		*call->path ? " " : "", call->path, colour_code(stderr, COLOUR_NONE),
		text_clean(shown.message));
	if (*shown.mend)
		fprintf(stderr, "  mend: %s\n", text_clean(shown.mend));
}

int call_usage(const struct call *call, const struct ff_error *err)
{
	call_error(call, err);
	fprintf(stderr, "  help: flowferry help%s%s\n", *call->path ? " " : "", call->path);
	return CLI_USAGE;
}

int call_unknown(const struct call *call, const struct command *const *table, const char *word)
{
	const char *near = command_suggest(table, word);
	struct ff_error err;

	error_set(&err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "there is no verb '%s%s%s'%s%s%s",
		  call->path, *call->path ? " " : "", word, near ? "; did you mean '" : "",
		  near ?: "", near ? "'?" : "");
	return call_usage(call, &err);
}
