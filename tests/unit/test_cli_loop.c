/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The built program: policies, plans, the loop, drains. */

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "tests/unit/cli_fixture.h"

TestSuite(cli_loop, .init = cli_setup, .fini = cli_teardown, .timeout = 60);

static const char *file_make(const char *text)
{
	static char path[128];
	_cleanup_fclose_ FILE *file = NULL;

	snprintf(path, sizeof(path), "%s/policy.yaml", cli.dir);
	file = fopen(path, "we");
	cr_assert(file != NULL);
	fputs(text, file);
	return path;
}

/* ---- every verb answers, in both formats --------------------------------------------------- */

static const struct cli_verb verbs[] = {
	{ "policy get fw", "GET", "/v1/services/fw/policy", "mode: observe" },
	{ "policy get fw", "GET", "/v1/services/fw/policy", "  target_percent: 65" },
	{ "policy unset fw", "DELETE", "/v1/services/fw/policy", "no policy any more" },
	{ "plan fw --dry-run", "GET", "/v1/services/fw/plan", "fw: nothing to do" },
	{ "plan fw --dry-run --goal shrink --goal balance", "GET", "/v1/services/fw/plan",
	  "shrink and balance" },
	{ "plan list", "GET", "/v1/plans", "1/3" },
	{ "plan show p1", "GET", "/v1/plans/p1", "fw-1 -> fw-7: 1,366 slots, 1 pin, 2 rules" },
	{ "plan show p1", "GET", "/v1/plans/p1", "1.00 ms / 381 us" },
	{ "plan show p1", "GET", "/v1/plans/p1", "9.60 MB / 1.74 kB" },
	{ "plan show p1", "GET", "/v1/plans/p1", "step 2: move m2: rolled-back" },
	{ "plan show p1", "GET", "/v1/plans/p1", "not begun" },
	{ "plan show p1", "GET", "/v1/plans/p1", "90 % -> 60 %" },
	{ "plan cost", "GET", "/v1/loop", "12 copies and 3 handovers learned from, 1 refused" },
	{ "plan cost", "GET", "/v1/loop", "us 382, us_per_flow 0.01" },
	{ "operations p1", "GET", "/v1/operations/p1", "fw-7 on nf2" },
	{ "service upgrade fw --nf firewall2", "GET", "/v1/operations/u1", "2 of 2 upgraded" },
	{ "service upgrade fw --nf firewall2", "GET", "/v1/operations/u1",
	  "firewall -> firewall2" },
	{ "service upgrade fw --nf firewall2 --no-wait", "POST", "/v1/services/fw/upgrade", "u1" },
	{ "operations u1", "GET", "/v1/operations/u1", "fw-5" },
	{ "conditions", "GET", "/v1/loop", "overload (forecast)" },
	{ "conditions", "GET", "/v1/loop", "the loop is paused" },
	{ "pause", "POST", "/v1/loop", "paused" },
	{ "resume", "POST", "/v1/loop", "resumed" },
	{ "drain nf1", "GET", "/v1/hosts/nf1", "nf1 is empty" },
	{ "drain nf1 --no-wait", "POST", "/v1/hosts/nf1/drain", "being emptied" },
	{ "undrain nf1", "POST", "/v1/hosts/nf1/undrain", "may be used again" },
	{ "completion names plan", "GET", "/v1/plans", "p1" },
};

Test(cli_loop, tables)
{
	cli_verbs_show(verbs, ARRAY_SIZE(verbs));
}

Test(cli_loop, json)
{
	cli_verbs_json(verbs, ARRAY_SIZE(verbs));
}

/* ---- policies ------------------------------------------------------------------------------ */

/* What is shown can be set again, and says the same. */
Test(cli_loop, a_policy_makes_the_round)
{
	const struct cli_run *run = cli_run("policy get fw");
	json_t *shown;
	const char *path;

	assert_status(run, 0);
	path = file_make(run->out);
	run = cli_run("policy get fw -o json");
	shown = json_deep_copy(cli_json(run));
	run = cli_run("policy set fw %s", path);
	assert_status(run, 0);
	cr_assert_str_eq(cli.method, "PUT");
	cr_assert(json_equal(cli.body, shown), "%s", json_dumps(cli.body, 0));
	json_decref(shown);
}

Test(cli_loop, what_a_file_leaves_out_is_sent_too)
{
	assert_status(cli_run("policy set fw %s", file_make("instances: {max: 3}\n")), 0);
	cr_assert_eq(json_integer_value(
			     json_object_get(json_object_get(cli.body, "instances"), "max")),
		     3);
	cr_assert_eq(json_integer_value(
			     json_object_get(json_object_get(cli.body, "instances"), "min")),
		     1);
}

Test(cli_loop, mistakes_are_shown_with_their_line)
{
	static const struct {
		const char *text, *says;
	} wrong[] = {
		{ "mode: act\nutilisation:\n  up_percent: 200\n", "policy.yaml:3" },
		{ "mode: act\ninstances: {min: 5, max: 2}\n", "policy.yaml:2" },
		{ "mode: acting\n", "policy.yaml:1" },
		{ "mode: act\nnosuch: 1\n", "nosuch" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		const char *path = file_make(wrong[i].text);
		const struct cli_run *run = cli_run("policy check %s", path);

		assert_status(run, 2);
		assert_has(run->err, wrong[i].says);
		assert_status(cli_run("policy set fw %s", path), 2);
	}
	cr_assert_eq(cli.requests, 0, "a wrong policy was sent");
	assert_status(cli_run("policy check /nonexistent"), 2);
	assert_has(cli_run("policy check %s", file_make("mode: observe\n"))->out, "valid");
}

/* ---- drains -------------------------------------------------------------------------------- */

Test(cli_loop, deadlines)
{
	static const struct {
		const char *text;
		json_int_t ms;
	} good[] = { { "500ms", 500 },
		     { "90s", 90000 },
		     { "90", 90000 },
		     { "10m", 600000 },
		     { "2h", 7200000 } };
	static const char *const bad[] = { "0s", "-1s", "1d", "1.5s", "s", "9999h", "' 5s'" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_status(cli_run("drain nf1 --no-wait --deadline %s", good[i].text), 0);
		cr_assert_eq(json_integer_value(json_object_get(cli.body, "deadline_ms")),
			     good[i].ms);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct cli_run *run = cli_run("drain nf1 --deadline %s", bad[i]);

		assert_status(run, 2);
		assert_has(run->err, "--deadline");
	}
}

Test(cli_loop, a_drain_that_is_late_fails)
{
	const struct cli_run *run;

	cli.end_state = "late";
	run = cli_run("drain nf1");
	assert_status(run, 1);
	assert_has(run->err, "4000 slots, 2 pins");
	cr_assert_geq(cli.polls, cli.polls_end);
	cli.end_state = "undrained";
	run = cli_run("drain nf1");
	assert_status(run, 1);
	assert_has(run->err, "taken the drain of nf1 back");
}

Test(cli_loop, progress_of_a_drain)
{
	const struct cli_run *run = cli_run_tty(NULL, NULL, "drain nf1");

	assert_status(run, 0);
	assert_has(run->out, "draining nf1: 4,000 slots, 2 pins");
}

/* A move's cancels; somebody who thinks that this does, too, is told otherwise. */
Test(cli_loop, ctrl_c_ends_no_drain)
{
	const struct cli_run *run;

	signal(SIGINT, SIG_DFL); /* ignored, if the tests were started in the background */
	cli.polls_end = 1000000;
	run = cli_run_tty("draining nf1", "\003", "drain nf1");
	assert_status(run, 1);
	assert_has(run->out, "the drain of nf1 goes on; `flowferry undrain nf1` takes it back");
	cr_assert_str_eq(cli.method, "GET");
}

Test(cli_loop, progress_of_an_upgrade)
{
	const struct cli_run *run = cli_run_tty(NULL, NULL, "service upgrade fw --nf firewall2");

	assert_status(run, 0);
	assert_has(run->out, "upgrade: 1 of 2 instances; fw-2: moving");
	cli_run("service upgrade fw --nf firewall2 --no-wait");
	cr_assert_str_eq(json_string_value(json_object_get(cli.body, "nf")), "firewall2");
}

Test(cli_loop, pause_and_resume)
{
	cli_run("pause");
	cr_assert(json_is_true(json_object_get(cli.body, "paused")));
	cli_run("resume");
	cr_assert(json_is_false(json_object_get(cli.body, "paused")));
}
