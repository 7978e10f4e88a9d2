/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The built program: what it asks, what it answers, what it exits with. */

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "lib/pki.h"
#include "tests/unit/cli_fixture.h"

TestSuite(cli, .init = cli_setup, .fini = cli_teardown, .timeout = 60);

#define MOVE "move --service fw --from fw-1 --to fw-2 "

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key)) ?: "";
}

/* ---- every verb answers, in both formats --------------------------------------------------- */

static const struct cli_verb verbs[] = {
	{ "status", "GET", "/v1/status", "3 completed, 2 rolled back, 1 failed" },
	{ "status", "GET", "/v1/status", "1 h 2 min" },
	{ "services", "GET", "/v1/services", "fw-1, fw-2" },
	{ "service show fw", "GET", "/v1/services/fw", "tcp and src net 198.18.1.0/24" },
	{ "service show fw", "GET", "/v1/services/fw", "7      -  tcp and src" },
	{ "service show fw", "GET", "/v1/services/fw", "policy         observe" },
	{ "services", "GET", "/v1/services", "observe  -" },
	{ "hosts", "GET", "/v1/hosts", "2001:db8:8::1" },
	{ "hosts gw", "GET", "/v1/hosts", "tunnel packet past its hop bound" },
	{ "hosts gw", "GET", "/v1/hosts", "1,234,567" },
	{ "instances", "GET", "/v1/instances", "25%" },
	{ "instances", "GET", "/v1/instances", "9.60 GB" },
	{ "instance state fw-1", "GET", "/v1/instances/fw-1/state", "198.18.1.2: flows=3" },
	{ "table fw", "GET", "/v1/services/fw/table", "fw-2       3072  75.0%  1024-4095" },
	{ "table fw", "GET", "/v1/services/fw/table", "tcp 198.18.1.2:1 198.18.2.2:80" },
	{ "table fw", "GET", "/v1/services/fw/table", "RULE  INSTANCE  SLOTS  MATCH" },
	{ "flows", "GET", "/v1/flows", "7 min 11 s" },
	{ "flows list --state", "GET", "/v1/flows", "tcp_state=established" },
	{ "flows get tcp 198.18.1.2:1234 198.18.2.2:80", "GET", NULL, "fw-1 on gw" },
	{ "flows get 'tcp 198.18.1.2:1234 198.18.2.2:80'", "GET", NULL,
	  "m1: fw-2 -> fw-1, completed" },
	{ "flows get 'tcp 198.18.1.2:1234 198.18.2.2:80'", "GET", NULL, "drop-hops=1234567" },
	{ "operations", "GET", "/v1/operations", "9.60 MB" },
	{ "operations", "GET", "/v1/operations", "m1         2023-11-14 2" },
	{ "operations m1", "GET", "/v1/operations/m1", "400 ms" },
	{ MOVE "--slots 0-99", "GET", "/v1/operations/m1", "100,000" },
	{ MOVE, "GET", "/v1/operations/m1", "1.83 ms" },
	{ MOVE "--no-wait", "POST", "/v1/moves", "m1" },
	{ "service add fw --nf firewall --instance fw-1@nf1", "POST", "/v1/services", "added" },
	{ "service remove fw", "DELETE", "/v1/services/fw", "removed service fw" },
	{ "instance add fw-3 --service fw --host nf3", "POST", "/v1/services/fw/instances",
	  "added instance fw-3" },
	{ "instance remove fw-3", "DELETE", "/v1/instances/fw-3", "removed instance fw-3" },
	{ "version", "", "", "flowferry " },
	{ "help", "", "", "usage: flowferry VERB" },
	{ "completion bash", "", "", "complete -F _flowferry flowferry" },
	{ "completion names operation", "GET", "/v1/operations", "m1" },
};

Test(cli, tables)
{
	cli_verbs_show(verbs, ARRAY_SIZE(verbs));
}

Test(cli, json)
{
	cli_verbs_json(verbs, ARRAY_SIZE(verbs));
}

/* A flow a line, with its state or without. */
Test(cli, flows_are_lines)
{
	const struct cli_run *run = cli_run("flows");
	const char *last = strchr(run->out, '\n') + 1;

	assert_has(last, "7 min 11 s      2\n");
	cr_assert_str_eq(strchr(last, '\n'), "\n", "%s", run->out);
	run = cli_run("flows --state");
	assert_has(strchr(run->out, '\n'), "2  tcp_state=established");
}

Test(cli, columns_are_aligned)
{
	const struct cli_run *run = cli_run("hosts");
	const char *first = strchr(run->out, '\n') + 1, *second = strchr(first, '\n') + 1;
	const char *title = strstr(run->out, "IPV4");

	cr_assert_eq(strncmp(first + (title - run->out), "198.18.8.1 ", 11), 0, "%s", run->out);
	cr_assert_eq(strncmp(second + (title - run->out), "198.18.8.11 ", 12), 0, "%s", run->out);
}

/* A name must not be able to repaint the terminal. */
Test(cli, control_characters_are_shown)
{
	const struct cli_run *run = cli_run("instances");

	assert_has(run->out, "?[31mup");
	run = cli_run("instances --service mon -o json");
	cr_assert_eq(json_array_size(json_object_get(cli_json(run), "instances")), 1);
}

/* ---- what is sent -------------------------------------------------------------------------- */

Test(cli, move_body)
{
	json_t *flows;

	assert_status(cli_run(MOVE "--no-wait --flow 'tcp 1.2.3.4:5 6.7.8.9:10' "
				   "--flow='udp 1.2.3.4:5 6.7.8.9:10' --guarantee loss-free "
				   "--on-overflow drop --park-limit 99 --no-precopy"),
		      0);
	flows = json_object_get(cli.body, "flow");
	cr_assert_eq(json_array_size(flows), 2);
	cr_assert_str_eq(json_string_value(json_array_get(flows, 1)), "udp 1.2.3.4:5 6.7.8.9:10");
	cr_assert_str_eq(text_of(cli.body, "guarantee"), "loss-free");
	cr_assert_str_eq(text_of(cli.body, "on_overflow"), "drop");
	cr_assert_eq(json_integer_value(json_object_get(cli.body, "park_limit")), 99);
	cr_assert(json_is_false(json_object_get(cli.body, "precopy")));
	cr_assert_eq(json_object_get(cli.body, "slots"), NULL);

	assert_status(cli_run(MOVE "--no-wait --filter 'tcp and port 80'"), 0);
	cr_assert_str_eq(text_of(cli.body, "filter"), "tcp and port 80");
	cr_assert_eq(json_object_size(cli.body), 4);
}

Test(cli, service_body)
{
	const json_t *first;

	assert_status(cli_run("service add fw --nf firewall --slots 1024 --class 'tcp' "
			      "--config '{\"rules\":[]}' --capacity 5 --instance a@nf1 "
			      "--instance b@nf2"),
		      0);
	cr_assert_eq(json_integer_value(json_object_get(cli.body, "slots")), 1024);
	cr_assert_eq(json_integer_value(json_object_get(cli.body, "capacity")), 5);
	cr_assert(json_is_object(json_object_get(cli.body, "config")));
	first = json_array_get(json_object_get(cli.body, "instances"), 0);
	cr_assert_str_eq(text_of(first, "name"), "a");
	cr_assert_str_eq(text_of(first, "host"), "nf1");
}

Test(cli, names_are_escaped)
{
	assert_status(cli_run("service remove 'a b&c?d%%41'"), 0);
	cr_assert_str_eq(cli.path, "/v1/services/a b&c?d%41");
}

/* ---- operations ---------------------------------------------------------------------------- */

Test(cli, move_that_rolls_back_fails)
{
	const struct cli_run *run;

	cli.end_state = "rolled-back";
	run = cli_run(MOVE);
	assert_status(run, 1);
	assert_has(run->err, "was rolled back: nf2 went away");
	assert_has(run->err, "mend: see its log");
	assert_has(run->out, "rolled-back");

	run = cli_run(MOVE "-o json");
	assert_status(run, 1);
	cr_assert_str_eq(text_of(cli_json(run), "state"), "rolled-back");
	run = cli_run("operations --follow m1");
	assert_status(run, 1);
	assert_status(cli_run("operations m1"), 0);
}

Test(cli, refusals_keep_their_words)
{
	const struct cli_run *run = cli_run("move --service fw --from busy --to fw-2");

	assert_status(run, 1);
	assert_has(run->err, "slots 0-99 of fw are moved by m0");
	assert_has(run->err, "mend: wait for it, or cancel it");

	run = cli_run("move --service fw --from busy --to fw-2 -o json");
	assert_status(run, 1);
	cr_assert_str_eq(text_of(json_object_get(cli_json(run), "error"), "code"), "overlap");

	assert_status(cli_run("service show nope"), 1);
	assert_status(cli_run("hosts nope"), 1);
	assert_status(cli_run("operations nope"), 1);
}

Test(cli, cancel)
{
	cli.polls_end = 1000000;
	assert_status(cli_run("operations cancel m1"), 0);
	cr_assert(cli.cancelled);
}

Test(cli, cancel_too_late)
{
	const struct cli_run *run;

	cli.polls_end = 0;
	run = cli_run("operations cancel m1");
	assert_status(run, 1);
	assert_has(run->err, "m1 is past its final step");
}

Test(cli, progress_on_a_terminal)
{
	const struct cli_run *run;

	cli.polls_end = 5;
	run = cli_run_tty(NULL, NULL, MOVE);
	assert_status(run, 0);
	assert_has(run->out, "precopy   100,000 flows  9.60 MB  round 3  412 parked");
	assert_has(run->out, "\033[32mcompleted");
	assert_has(run->out, "1.83 ms");
}

Test(cli, no_color)
{
	const struct cli_run *run;

	setenv("NO_COLOR", "1", 1);
	run = cli_run_tty(NULL, NULL, "operations");
	assert_status(run, 0);
	cr_assert_eq(strchr(run->out, '\033'), NULL);
	unsetenv("NO_COLOR");
	run = cli_run_tty(NULL, NULL, "operations");
	cr_assert_neq(strchr(run->out, '\033'), NULL);
}

Test(cli, ctrl_c_cancels)
{
	const struct cli_run *run;

	signal(SIGINT, SIG_DFL); /* ignored, if the tests were started in the background */
	cli.polls_end = 1000000;
	run = cli_run_tty("precopy", "\003", MOVE);
	assert_status(run, 1);
	cr_assert(cli.cancelled);
	assert_has(run->out, "cancelling m1");
	assert_has(run->out, "was rolled back");
}

/* It ends the poll that is under way: a move may else be over before it is asked to be cancelled. */
Test(cli, ctrl_c_waits_for_no_answer)
{
	signal(SIGINT, SIG_DFL);
	cli.polls_last = true;
	cli.polls_end = 1000000;
	assert_status(cli_run_tty("precopy", "\003", MOVE), 1);
	cr_assert(cli.cancelled);
}

Test(cli, ctrl_c_ends_what_only_follows)
{
	const struct cli_run *run;

	signal(SIGINT, SIG_DFL);
	cli.polls_end = 1000000;
	run = cli_run_tty("precopy", "\003", "operations --follow m1");
	cr_assert_eq(run->status, 128 + 2);
	cr_assert_not(cli.cancelled);
}

/* Starts a move in a script's background, sends it a signal once it waits; its exit status. */
static int move_signalled(const char *signal)
{
	char command[8192];
	FILE *script;
	int status;

	snprintf(command, sizeof(command),
		 "FLOWFERRY_SOCKET=%s %s " MOVE ">/dev/null 2>&1 & p=$!; read -r now; "
		 "kill -%s $p; wait $p",
		 cli.socket, cli.binary, signal);
	script = popen(command, "w");
	cr_assert_not_null(script);
	while (!__atomic_load_n(&cli.polls, __ATOMIC_RELAXED))
		usleep(1000);
	fputs("now\n", script);
	status = pclose(script);
	cr_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

Test(cli, signals_without_a_terminal)
{
	cli.polls_end = 30;
	cr_assert_eq(move_signalled("INT"), 0, "Ctrl-C was meant for another");
	cr_assert_not(cli.cancelled);
	cli.polls = 0;
	cli.polls_end = 1000000;
	cr_assert_eq(move_signalled("TERM"), 1);
	cr_assert(cli.cancelled);
}

Test(cli, events)
{
	const struct cli_run *run = cli_run("events");

	assert_status(run, 0);
	assert_has(run->out, "host nf1  up");
	/* the instance is in its message; the service and the host are only in other names there */
	assert_has(run->out, "service fw  host nf2  operation m1  fw-1 -> fw-2: completed on nf21");
	run = cli_run("events --limit 1 -o json");
	cr_assert_eq(json_integer_value(json_object_get(cli_json(run), "seq")), 2);
	run = cli_run("events --since 2");
	assert_status(run, 0);
	cr_assert_str_empty(run->out);
}

/* ---- reaching the orchestrator ------------------------------------------------------------- */

/* Not only when there is something more to write. */
Test(cli, a_follower_ends_with_its_reader)
{
	char command[8192];
	int status;

	snprintf(command, sizeof(command),
		 "FLOWFERRY_SOCKET=%s bash -c 'set -o pipefail; timeout 20 %s events --follow | "
		 "head -n 1 >/dev/null'",
		 cli.socket, cli.binary);
	status = system(command);
	cr_assert(WIFEXITED(status));
	cr_assert_eq(WEXITSTATUS(status), 128 + SIGPIPE);
	snprintf(command, sizeof(command),
		 "FLOWFERRY_SOCKET=%s timeout 20 %s events --limit 1 --follow >/dev/full",
		 cli.socket, cli.binary);
	status = system(command);
	cr_assert(WIFEXITED(status));
	cr_assert_eq(WEXITSTATUS(status), 1);
}

Test(cli, unreachable)
{
	const struct cli_run *run = cli_run("status --socket /nonexistent/socket");

	assert_status(run, 3);
	assert_has(run->err, "/nonexistent/socket");
	assert_has(run->err, "mend: start it");
	run = cli_run("status --socket /nonexistent/socket -o json");
	assert_status(run, 3);
	cr_assert_str_eq(text_of(json_object_get(cli_json(run), "error"), "code"), "unreachable");
	assert_status(cli_run("events --socket /nonexistent/socket"), 3);
	assert_status(cli_run(MOVE "--socket /nonexistent/socket"), 3);
	run = cli_run("completion names service --socket /nonexistent/socket");
	assert_status(run, 3);
	cr_assert_str_empty(run->err);
}

Test(cli, by_tls)
{
	static const char *const sans[] = { "127.0.0.1", NULL };
	char ca[128], cert[128], key[128], pki[80];
	struct tls_files files = { ca, cert, key };
	const struct cli_run *run;
	struct ff_error err = {};
	uint16_t port;

	snprintf(pki, sizeof(pki), "%s/pki", cli.dir);
	snprintf(ca, sizeof(ca), "%s/ca.pem", pki);
	snprintf(cert, sizeof(cert), "%s/orch.pem", pki);
	snprintf(key, sizeof(key), "%s/orch.key", pki);
	cr_assert_eq(pki_ca_create(pki, &err), 0, "%s", err.message);
	cr_assert_eq(pki_issue(pki, "orch", sans, &err), 0, "%s", err.message);
	cr_assert_eq(http_server_listen_tcp(cli.server, "127.0.0.1", 0, &files, false, &port, &err),
		     0, "%s", err.message);
	assert_status(cli_run("pki issue me -d %s", pki), 0);

	run = cli_run("status --url https://127.0.0.1:%u --ca %s --cert %s/me.pem --key %s/me.key",
		      port, ca, pki, pki);
	assert_status(run, 0);
	assert_has(run->out, "https://127.0.0.1");
	run = cli_run("status --url https://127.0.0.1:1 --ca %s --cert %s/me.pem --key %s/me.key",
		      ca, pki, pki);
	assert_status(run, 3);
	assert_has(run->err, "127.0.0.1");
}

/* ---- pki ----------------------------------------------------------------------------------- */

Test(cli, pki)
{
	const struct cli_run *run;
	const json_t *list;

	assert_status(cli_run("pki issue h -d %s/pki", cli.dir), 1);
	assert_status(cli_run("pki init -d %s/pki", cli.dir), 0);
	run = cli_run("pki init -d %s/pki", cli.dir);
	assert_status(run, 1);
	assert_has(run->err, "never overwritten");
	assert_status(cli_run("pki issue h 10.0.0.1 2001:db8::1 h.example -d %s/pki", cli.dir), 0);
	assert_status(cli_run("pki issue bad 10.0.0.1:80 -d %s/pki", cli.dir), 2);
	assert_status(cli_run("pki issue ../h -d %s/pki", cli.dir), 2);

	run = cli_run("pki show -o json -d %s/pki", cli.dir);
	list = json_object_get(cli_json(run), "certificates");
	cr_assert_eq(json_array_size(list), 2);
	cr_assert_str_eq(text_of(json_array_get(list, 1), "sans"),
			 "h,10.0.0.1,2001:db8::1,h.example");
	cr_assert(json_is_true(json_object_get(json_array_get(list, 1), "valid")));
	assert_has(cli_run("pki show h -d %s/pki", cli.dir)->out, "flowferry CA");
	assert_status(cli_run("pki show nope -d %s/pki", cli.dir), 1);
}
