/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How the built program leads people: wrong usage, help, tab completion. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "tests/unit/cli_fixture.h"

TestSuite(cli_usage, .init = cli_setup, .fini = cli_teardown, .timeout = 60);

#define MOVE "move --service fw --from fw-1 --to fw-2 "

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key)) ?: "";
}

/* ---- wrong usage --------------------------------------------------------------------------- */

static const struct {
	const char *args, *says;
} wrong[] = {
	{ "", "usage: flowferry VERB" },
	{ "mvoe", "did you mean 'move'?" },
	{ "zzz", "there is no verb 'zzz'" },
	{ "-o json status", "options stand behind it" },
	{ "--zzz", "--zzz stands before the verb" },
	{ "flows gte x", "did you mean 'get'?" },
	{ "service", "add, remove, show or upgrade" },
	{ "service adf", "did you mean 'add'?" },
	{ "status --sokcet /x", "did you mean --socket?" },
	{ "status --zzz", "there is no option --zzz" },
	{ "status -z", "there is no option -z" },
	{ "status x", "'x' is one argument too many" },
	{ "status -o yaml", "table, json" },
	{ "status -o", "needs a value" },
	{ "status --help=1", "takes no value" },
	{ "status --socket ''", "empty value" },
	{ "status --socket a.sock", "absolute path" },
	{ "status --socket /a --url https://b:1", "exclude each other" },
	{ "status --url b:1", "https://HOST:PORT" },
	{ "status --url https://b:1", "--ca, --cert and --key" },
	{ "status --ca x", "--url" },
	{ "move --service fw --from a", "--to INSTANCE is missing" },
	{ "move --service fw --service fw --from a --to b", "--service is given twice" },
	{ "move --service fw --from a --to a", "both a" },
	{ MOVE "--slots 1 --flows 2", "exclude each other" },
	{ MOVE "--slots 5-x", "5-x" },
	{ MOVE "--slots 99999", "99999" },
	{ MOVE "--slots ,", "slot" },
	{ MOVE "--filter 'tcp and'", "filter" },
	{ MOVE "--flow 'tcp 1.2.3.4'", "tcp 1.2.3.4" },
	{ MOVE "--flows 0", "from 1 to" },
	{ MOVE "--flows -1", "-1" },
	{ MOVE "--flows 1e3", "1e3" },
	{ MOVE "--flows 99999999999999999999", "whole number" },
	{ MOVE "--guarantee order", "did you mean 'order-preserving'?" },
	{ "flows get", "FLOW is missing" },
	{ "flows get tcp 1.2.3.4", "flow" },
	{ "flows list --filter 'ether host x'", "filter" },
	{ "flows list --limit x", "--limit can't be 'x'" },
	{ "operations --follow", "needs the ID" },
	{ "operations m1 --limit 3", "--limit" },
	{ "operations m1 m2", "'m2' is one argument too many" },
	{ "lab up --slots 1000", "power of two" },
	{ "traffic run --cpu 1023", "no such CPU" },
	{ "lab exec client --", "COMMAND is missing" },
	{ "events --since yesterday", "--since" },
	{ "service add fw", "--nf NAME is missing" },
	{ "service add fw --nf x --slots 1000", "power of two" },
	{ "service add fw --nf x --instance nf1", "NAME@HOST" },
	{ "service add fw --nf x --config '{'", "--config {" },
	{ "service add fw --nf x --config '[]'", "no object" },
	{ "service add fw --nf x --config @/nonexistent", "/nonexistent: No such file" },
	{ "service add fw --nf x --config @/", "/: Is a directory" },
	{ "service upgrade fw", "--nf NAME is missing" },
	{ "service upgrade --nf x", "SERVICE is missing" },
	{ "instance add fw-3 --service fw", "--host HOST is missing" },
	{ "policy", "get, set, check or unset" },
	{ "policy set fw", "FILE is missing" },
	{ "policy show fw", "there is no verb 'policy show'" },
	{ "plan fw", "--dry-run is missing" },
	{ "plan --dry-run", "SERVICE is missing" },
	{ "drain", "HOST is missing" },
	{ "drain nf1 --deadline soon", "--deadline can't be 'soon'" },
	{ "help mvoe", "did you mean 'move'?" },
	{ "completion names fish", "KIND" },
	{ "pki", "init, issue or show" },
	{ "bench --runs 4", "from 5 to 1000" },
	{ "bench nosuch", "there is no suite 'nosuch'" },
};

Test(cli_usage, wrong_usage)
{
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		const struct cli_run *run = cli_run("%s", wrong[i].args);

		assert_status(run, 2);
		assert_has(run->err, wrong[i].says);
		cr_assert_str_empty(run->out);
	}
	cr_assert_eq(cli.requests, 0, "wrong usage was sent to the orchestrator");
}

/* ---- help ---------------------------------------------------------------------------------- */

Test(cli_usage, help_of_every_verb)
{
	const struct cli_run *run = cli_run("help -o json");
	json_t *names = json_deep_copy(json_object_get(cli_json(run), "verbs")), *verb;
	size_t i;

	cr_assert_geq(json_array_size(names), 30);
	json_array_foreach(names, i, verb) {
		char page[CLI_TEXT_MAX];

		run = cli_run("help %s", text_of(verb, "name"));
		assert_status(run, 0);
		assert_has(run->out, "SYNOPSIS");
		assert_has(run->out, "EXIT STATUS");
		assert_has(run->out, "EXAMPLES");
		assert_has(run->out, text_of(verb, "summary"));
		strcpy(page, run->out);
		cr_assert_str_eq(cli_run("%s --help", text_of(verb, "name"))->out, page);
		cr_assert_str_eq(cli_run("%s -h", text_of(verb, "name"))->out, page);
		run = cli_run("help %s -o json", text_of(verb, "name"));
		cr_assert_str_eq(text_of(cli_json(run), "page"), page);
	}
	json_decref(names);
}

/* What several second words have in common stands once on the page of their verb. */
Test(cli_usage, help_says_things_once)
{
	const char *page = cli_run("help traffic")->out, *found;

	found = strstr(page, "traffic receive --from 198.18.1.2 --save");
	cr_assert_not_null(found);
	cr_assert_null(strstr(found + 1, "traffic receive --from 198.18.1.2 --save"));
	assert_has(page, "of `send`, `receive`:");
	cr_assert_null(strstr(page, "of `receive`:"));
}

/* ---- completion ---------------------------------------------------------------------------- */

/* Presses Tab after `line` in a bash that has the script; the words offered, on one line. */
static const char *tab(const char *line)
{
	static char words[CLI_TEXT_MAX];
	char command[CLI_TEXT_MAX];
	FILE *bash;
	size_t n;

	snprintf(command, sizeof(command),
		 "PATH=%.*s:$PATH FLOWFERRY_SOCKET=%s bash -c '. <(flowferry completion bash); "
		 "compopt() { :; }; read -ra COMP_WORDS <<< \"%s.\"; "
		 "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); "
		 "COMP_WORDS[COMP_CWORD]=${COMP_WORDS[COMP_CWORD]%%.}; _flowferry; "
		 "echo \" ${COMPREPLY[*]} \"'",
		 (int)(strrchr(cli.binary, '/') - cli.binary), cli.binary, cli.socket, line);
	bash = popen(command, "r");
	cr_assert(bash != NULL);
	n = fread(words, 1, sizeof(words) - 1, bash);
	words[n] = '\0';
	pclose(bash);
	return words;
}

Test(cli_usage, completion)
{
	assert_has(tab("flowferry mo"), " move ");
	assert_has(tab("flowferry flows "), " get ");
	assert_has(tab("flowferry flows list --"), " --instance ");
	cr_assert_eq(strstr(tab("flowferry flows list "), " get "), NULL);
	assert_has(tab("flowferry move --guarantee "), " order-preserving ");
	assert_has(tab("flowferry move --from "), " fw-1 ");
	assert_has(tab("flowferry move --service f"), " fw ");
	assert_has(tab("flowferry move --from = fw"), " fw-1 ");
	assert_has(tab("flowferry hosts "), " nf1 ");
	assert_has(tab("flowferry operations --follow "), " m1 ");
	assert_has(tab("flowferry operations c"), " cancel ");
	assert_has(tab("flowferry operations cancel "), " m1 ");
	assert_has(tab("flowferry plan "), " fw ");
	assert_has(tab("flowferry plan show "), " p1 ");
	assert_has(tab("flowferry policy "), " check ");
	assert_has(tab("flowferry policy set "), " fw ");
	assert_has(tab("flowferry drain "), " nf1 ");
	assert_has(tab("flowferry help comp"), " completion ");
	cr_assert_eq(strstr(tab("flowferry flows list --instance "), "touch"), NULL,
		     "a name that the shell would run was offered");
	assert_has(tab("flowferry status -o "), " json ");
	assert_has(tab("flowferry hosts --socket /nonexistent --"), " --url ");
	cr_assert_str_eq(tab("flowferry hosts --socket /nonexistent n"), "  \n");
}

/* The program that has the suites is another one, and the script can't ask it. */
Test(cli_usage, completion_of_suites)
{
	const struct cli_run *run = cli_run("bench --list -o json");
	const json_t *suites = json_object_get(cli_json(run), "suites"), *suite;
	size_t i;

	cr_assert_geq(json_array_size(suites), 6);
	json_array_foreach(suites, i, suite) {
		char word[32];

		snprintf(word, sizeof(word), " %s ", text_of(suite, "name"));
		assert_has(tab("flowferry bench "), word);
	}
}
