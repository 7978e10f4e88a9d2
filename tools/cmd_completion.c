/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cmd_completion.c - flowferry completion bash: a script made from the same tables that parse.
 *
 * The script knows verbs, options and choices by heart. What only the orchestrator knows (names of
 * services, instances, hosts, ids of operations) it asks by `flowferry completion names KIND`, with
 * the --socket or --url that is already on the line.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "tools/cmd.h"
#include "tools/output.h"
#include "tools/remote.h"

#define NAMES_TIMEOUT_MS 1000 /* who presses Tab waits no longer */

/* By enum complete: what the script calls it, and where the orchestrator lists it. */
static const struct {
	const char *word, *path, *list, *field;
} kinds[] = {
	[COMPLETE_NONE] = { "none", NULL, NULL, NULL },
	[COMPLETE_FILE] = { "file", NULL, NULL, NULL },
	[COMPLETE_DIRECTORY] = { "directory", NULL, NULL, NULL },
	[COMPLETE_SERVICE] = { "service", "/v1/services", "services", "name" },
	[COMPLETE_INSTANCE] = { "instance", "/v1/instances", "instances", "name" },
	[COMPLETE_HOST] = { "host", "/v1/hosts", "hosts", "name" },
	[COMPLETE_OPERATION] = { "operation", "/v1/operations?limit=50", "operations", "id" },
	[COMPLETE_PLAN] = { "plan", "/v1/plans?limit=50", "plans", "id" },
	[COMPLETE_VERB] = { "verb", NULL, NULL, NULL },
	[COMPLETE_SHELL] = { "=bash", NULL, NULL, NULL },
	[COMPLETE_SUITE] = { "=datapath state conntrackd move throughput handover idle monitor "
			     "loop protect",
			     NULL, NULL, NULL },
};

/* ---- completion names ---------------------------------------------------------------------- */

/*
 * The shell expands the words that it is given for completion (compgen -W): a name that is more
 * than a name must not reach it.
 */
static bool name_harmless(const char *name)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";

	return *name && *name != '-' && !name[strspn(name, allowed)];
}

/* Silent about failures: whoever presses Tab wants no messages in the middle of the line. */
static int names_run(struct call *call)
{
	_cleanup_json_ json_t *reply = NULL;
	struct ff_error err;
	unsigned int status;
	const json_t *item;
	size_t k, i;

	for (k = 0; k < ARRAY_SIZE(kinds); k++)
		if (kinds[k].path && strcmp(kinds[k].word, call->args[0]) == 0)
			break;
	if (k == ARRAY_SIZE(kinds)) {
		error_set(&err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
			  "KIND is service, instance, host, operation or plan, not '%s'",
			  call->args[0]);
		return call_usage(call, &err);
	}
	if (remote_open(call))
		return CLI_UNREACHABLE;
	if (remote_try(call, "GET", kinds[k].path, NAMES_TIMEOUT_MS, &status, &reply, &err) < 0)
		return status ? CLI_FAILED : CLI_UNREACHABLE;
	if (call_json(call)) {
		json_print(reply);
		return CLI_DONE;
	}
	json_array_foreach(json_object_get(reply, kinds[k].list), i, item)
		if (name_harmless(field_text(item, kinds[k].field)))
			puts(field_text(item, kinds[k].field));
	return CLI_DONE;
}

/* ---- completion bash ----------------------------------------------------------------------- */

/* The script's fixed part; the generated functions stand before it. */
static const char script[] =
	"_flowferry_names() {\n"
	"\tflowferry completion names \"$1\" \"${remote[@]}\" 2>/dev/null\n"
	"}\n"
	"\n"
	"_flowferry_offer() { # kind, current word\n"
	"\tcase $1 in\n"
	"\tfile) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$2\") ;;\n"
	"\tdirectory) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$2\") ;;\n"
	"\tverb) mapfile -t COMPREPLY < <(compgen -W \"$(_flowferry_verbs '')\" -- \"$2\") ;;\n"
	"\t=*) mapfile -t COMPREPLY < <(compgen -W \"${1#=}\" -- \"$2\") ;;\n"
	"\tservice | instance | host | operation | plan)\n"
	"\t\tmapfile -t COMPREPLY < <(compgen -W \"$(_flowferry_names \"$1\")\" -- \"$2\") ;;\n"
	"\tesac\n"
	"}\n"
	"\n"
	"_flowferry() {\n"
	"\tlocal cur=${COMP_WORDS[COMP_CWORD]} path='' option='' word kind n=0 i\n"
	"\tlocal remote=()\n"
	"\tCOMPREPLY=()\n"
	"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	"\t\tword=${COMP_WORDS[i]}\n"
	"\t\tif [[ $option ]]; then\n"
	"\t\t\t[[ $word == '=' ]] && continue\n"
	"\t\t\tcase $option in --socket | --url | --ca | --cert | --key) "
	"remote+=(\"$option\" \"$word\") ;; esac\n"
	"\t\t\toption=''\n"
	"\t\telif [[ $word == -* ]]; then\n"
	"\t\t\t[[ $(_flowferry_value \"$path\" \"$word\") ]] && option=$word\n"
	"\t\telif ((n == 0)) && [[ $(_flowferry_options \"${path:+$path }$word\") ]]; then\n"
	"\t\t\tpath=\"${path:+$path }$word\"\n"
	"\t\telse\n"
	"\t\t\t((n++))\n"
	"\t\tfi\n"
	"\tdone\n"
	"\tif [[ $option ]]; then\n"
	"\t\t[[ $cur == '=' ]] && cur=''\n"
	"\t\t_flowferry_offer \"$(_flowferry_value \"$path\" \"$option\")\" \"$cur\"\n"
	"\t\treturn\n"
	"\tfi\n"
	"\tif [[ $cur == -* ]]; then\n"
	"\t\t_flowferry_offer \"=$(_flowferry_options \"$path\")\" \"$cur\"\n"
	"\t\treturn\n"
	"\tfi\n"
	"\tkind=$(_flowferry_argument \"$path\" \"$n\")\n"
	"\tword=''\n"
	"\t((n)) || word=$(_flowferry_verbs \"$path\")\n"
	"\t[[ $kind || $word ]] || word=$(_flowferry_options \"$path\")\n"
	"\t_flowferry_offer \"$kind\" \"$cur\"\n"
	"\tmapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W \"$word\" -- \"$cur\")\n"
	"}\n"
	"\n"
	"complete -F _flowferry flowferry\n";

static void option_words_write(const struct option_spec *specs, FILE *out)
{
	for (const struct option_spec *s = specs; s && s->name; s++)
		fprintf(out, " --%s", s->name);
}

/* What alone needs a second word takes no options before it. */
static void command_options_write(const struct command *command, const char *path, FILE *out)
{
	fprintf(out, "\t'%s') echo '--help", path);
	if (command->run) {
		option_words_write(command->options, out);
		option_words_write(command->remote ? remote_specs : NULL, out);
		fputs(" --output", out);
	}
	fputs("' ;;\n", out);
}

static void verbs_write(const struct command *command, const char *path, FILE *out)
{
	if (!command->subs)
		return;
	fprintf(out, "\t'%s') echo '", path);
	for (const struct command *const *sub = command->subs; *sub; sub++)
		fprintf(out, "%s%s", sub == command->subs ? "" : " ", (*sub)->name);
	fputs("' ;;\n", out);
}

static void values_write(const struct option_spec *specs, const char *path, FILE *out)
{
	for (const struct option_spec *s = specs; s && s->name; s++) {
		if (s->kind == OPTION_FLAG)
			continue;
		fprintf(out, "\t'%s --%s'", path, s->name);
		if (s->letter)
			fprintf(out, " | '%s -%c'", path, s->letter);
		fputs(") echo '", out);
		if (!s->choices)
			fputs(kinds[s->complete].word, out);
		for (size_t i = 0; s->choices && s->choices[i]; i++)
			fprintf(out, "%s%s", i ? " " : "=", s->choices[i]);
		fputs("' ;;\n", out);
	}
}

static void command_values_write(const struct command *command, const char *path, FILE *out)
{
	if (!command->run)
		return;
	values_write(command->options, path, out);
	values_write(common_specs, path, out);
	values_write(command->remote ? remote_specs : NULL, path, out);
}

static void arguments_write(const struct command *command, const char *path, FILE *out)
{
	int n = 0;

	for (const struct argument *a = command->arguments; a && a->name; a++, n++)
		if (a->complete != COMPLETE_NONE)
			fprintf(out, "\t'%s %d'%s) echo '%s' ;;\n", path, n, a->many ? "*" : "",
				kinds[a->complete].word);
}

/* Calls `write` for each verb and each second word. */
static void commands_walk(const struct command *const *table, const char *above,
			  void (*write)(const struct command *, const char *, FILE *), FILE *out)
{
	for (; table && *table; table++) {
		char path[CLI_PATH_MAX];

		snprintf(path, sizeof(path), "%s%s%s", above, *above ? " " : "", (*table)->name);
		write(*table, path, out);
		commands_walk((*table)->subs, path, write, out);
	}
}

/* One generated function: `write` adds its cases. */
static void function_write(const char *name, const char *subject, const char *what,
			   void (*write)(const struct command *, const char *, FILE *), FILE *out)
{
	fprintf(out, "_flowferry_%s() { # %s\n\tcase %s in\n", name, what, subject);
	commands_walk(commands, "", write, out);
	fputs("\tesac\n}\n\n", out);
}

static void bash_write(FILE *out)
{
	const struct command all = { .name = "", .subs = commands };

	fputs("# bash completion for flowferry; made by `flowferry completion bash`\n\n", out);
	function_write("options", "$1", "verb -> its options", command_options_write, out);
	function_write("value", "\"$1 $2\"", "verb, option -> the kind of its value",
		       command_values_write, out);
	function_write("argument", "\"$1 $2\"", "verb, place -> the kind of that argument",
		       arguments_write, out);
	fputs("_flowferry_verbs() { # verb -> its second words\n\tcase $1 in\n", out);
	verbs_write(&all, "", out);
	commands_walk(commands, "", verbs_write, out);
	fputs("\tesac\n}\n\n", out);
	fputs(script, out);
}

static int bash_run(struct call *call)
{
	_cleanup_json_ json_t *answer = NULL;
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *out;

	if (!call_json(call)) {
		bash_write(stdout);
		return CLI_DONE;
	}
	out = open_memstream(&text, &size);
	if (!out)
		return CLI_FAILED;
	bash_write(out);
	fclose(out);
	answer = json_pack("{s:s,s:s}", "shell", "bash", "script", text);
	json_print(answer);
	return CLI_DONE;
}

static const struct argument names_arguments[] = {
	{ .name = "KIND" },
	{},
};

static const struct command bash_command = {
	.name = "bash",
	.summary = "print the script for bash",
	.description = "Prints a script that makes bash complete flowferry's command lines.",
	.run = bash_run,
};

static const struct command names_command = {
	.name = "names",
	.summary = "print the names that the script offers",
	.description =
		"Prints the names of all of one KIND: service, instance, host or operation, a line "
		"each. The script calls it; it says nothing when nobody answers.",
	.run = names_run,
	.arguments = names_arguments,
	.remote = true,
};

static const struct command *const completion_subs[] = { &bash_command, &names_command, NULL };

static const struct example completion_examples[] = {
	{ "completion bash | sudo tee /usr/share/bash-completion/completions/flowferry >/dev/null",
	  "For everybody (`make install` does so):" },
	{ "completion bash > ~/.local/share/bash-completion/completions/flowferry",
	  "For yourself:" },
	{ "completion names instance", "What the script asks when you press Tab:" },
	{},
};

const struct command command_completion = {
	.name = "completion",
	.summary = "tab completion for the shell",
	.examples = completion_examples,
	.subs = completion_subs,
};
