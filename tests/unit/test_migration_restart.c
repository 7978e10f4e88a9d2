/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_migration_restart.c - moves that meet: each other, a client who
 * cancels, a daemon that restarts.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "tests/unit/migration_fixture.h"

static struct fake_agent *const nf1 = &world.agents[1];

/* ---- overlap and cancel ---------------------------------------------------------------------- */

Test(migration, overlapping_is_refused_disjoint_is_not)
{
	json_t *request = move_request();
	_cleanup_json_ json_t *refused = NULL, *first = NULL, *second = NULL;
	unsigned int status;
	char id[32];

	fake_script(&world, "nf1", "precopy", FAKE_BLOCK, 1);
	json_object_set_new(request, "slots", json_string("0-9"));
	move_begin(request, id);
	wait_for_call("nf1 precopy");

	refused = ask("POST", "/v1/moves", move_request(), &status);
	cr_assert_eq(status, 409);
	cr_assert_str_eq(text(refused, "code"), "overlap");
	cr_assert(strstr(text(refused, "message"), id), "%s", text(refused, "message"));

	request = move_request();
	json_object_set_new(request, "slots", json_string("10-19"));
	second = move_run(request);
	cr_assert_str_eq(text(second, "state"), "completed");

	json_decref(refused);
	refused = ask("DELETE", "/v1/services/fw", NULL, &status);
	cr_assert_str_eq(text(refused, "code"), "busy");
	fake_unblock(&world);
	first = move_await(id);
	cr_assert_str_eq(text(first, "state"), "completed");
	cr_assert_str_eq(owners_shown(), "0-19,32-63=fw-2 20-31=fw-1");
}

Test(migration, cancel)
{
	_cleanup_json_ json_t *reply = NULL, *operation = NULL, *again = NULL;
	unsigned int status;
	char id[32], path[64];

	fake_script(&world, "nf1", "precopy", FAKE_BLOCK, 1);
	move_begin(move_request(), id);
	wait_for_call("nf1 precopy");
	snprintf(path, sizeof(path), "/v1/operations/%s", id);
	reply = ask("DELETE", path, NULL, &status);
	cr_assert_eq(status, 202);
	operation = move_await(id);
	assert_rolled_back(operation);
	cr_assert_str_eq(text(json_object_get(operation, "error"), "message"),
			 "cancelled by request");
	again = ask("DELETE", path, NULL, &status);
	cr_assert_str_eq(text(again, "code"), "refused");
	fake_unblock(&world);
}

/* ---- restarts -------------------------------------------------------------------------------- */

/* Ends the orchestrator while a move waits for @call on @agent, and starts it anew. */
static json_t *restart_in(const char *agent, const char *name)
{
	char id[32], line[64];

	fake_script(&world, agent, name, FAKE_BLOCK, 1);
	move_begin(move_request(), id);
	snprintf(line, sizeof(line), "%s %s", agent, name);
	wait_for_call(line);
	orchestrator_down();
	orchestrator_up();
	fake_unblock(&world);
	return move_await(id);
}

Test(migration, restart_in_precopy_rolls_back)
{
	_cleanup_json_ json_t *operation = restart_in("nf1", "precopy");

	assert_rolled_back(operation);
	cr_assert(strstr(text(json_object_get(operation, "error"), "message"), "restarted"));
}

Test(migration, restart_in_finish_goes_forward)
{
	_cleanup_json_ json_t *operation = restart_in("nf2", "finish");

	cr_assert_str_eq(text(operation, "state"), "completed");
	cr_assert_str_eq(owners_shown(), "0-63=fw-2");
	assert_forgotten(text(operation, "id"));
}

Test(migration, restart_after_final_goes_forward)
{
	_cleanup_json_ json_t *operation = NULL;
	char id[32];

	fake_script(&world, "nf1", "final", FAKE_LOSE_REPLY, 1);
	fake_script(&world, "nf1", "query", FAKE_LOSE_REPLY, 1000);
	fake_script(&world, "nf2", "query", FAKE_LOSE_REPLY, 1000);
	move_begin(move_request(), id);
	wait_for_call("nf2 query");
	orchestrator_down();
	pthread_mutex_lock(&world.lock);
	world.script_n = 0;
	pthread_mutex_unlock(&world.lock);
	orchestrator_up();
	operation = move_await(id);
	cr_assert_str_eq(text(operation, "state"), "completed");
	cr_assert_eq(fake_count(&world, "nf1 hold"), 0);
	assert_forgotten(id);
}

/*
 * Its hosts have finished and forgotten it, and the entry that says so is
 * the one that a power cut takes.
 */
Test(migration, an_end_that_a_power_cut_takes_is_done_again)
{
	_cleanup_json_ json_t *operation = NULL;
	char id[32];

	fake_script(&world, "nf2", "finish", FAKE_BLOCK, 1);
	move_begin(move_request(), id);
	wait_for_call("nf2 finish");
	wait_for(fake_count(&world, "nf1 finish") && fake_count(&world, "gw finish"));
	orchestrator_crash(); /* who has the later journal ends the move first */
	operation = move_await(id);
	cr_assert_str_eq(text(operation, "state"), "completed");
	cr_assert_str_empty(text(operation, "note"), "%s", text(operation, "note"));
	cr_assert_str_eq(owners_shown(), "0-63=fw-2");
	cr_assert_eq(fake_count(&world, "nf2 finish"), 2);
	cr_assert_eq(fake_count(&world, "nf1 finish"), 2);
	assert_forgotten(id);
}

Test(migration, restart_keeps_everything)
{
	_cleanup_json_ json_t *operation = NULL, *status = NULL, *list = NULL;

	operation = move_run(move_request());
	orchestrator_down();
	orchestrator_up();
	cr_assert_str_eq(owners_shown(), "0-63=fw-2");
	status = ask("GET", "/v1/status", NULL, NULL);
	cr_assert_eq(number(status, "epoch"), 2);
	cr_assert_eq(number(json_object_get(status, "operations"), "completed"), 1);
	list = ask("GET", "/v1/operations?state=completed", NULL, NULL);
	cr_assert_str_eq(text(json_array_get(json_object_get(list, "operations"), 0), "id"),
			 text(operation, "id"));
}

/* A host that is away when its move ends is told when it is back. */
Test(migration, an_absent_host_settles_later)
{
	_cleanup_json_ json_t *operation = NULL;
	char id[32], phase[16];

	fake_script(&world, "nf1", "finish", FAKE_LOSE_REQUEST, 1000);
	move_begin(move_request(), id);
	operation = move_await(id);
	if (!strcmp(text(operation, "state"), "running")) {
		json_decref(operation);
		operation = move_await(id);
	}
	cr_assert_str_eq(text(operation, "state"), "completed");
	cr_assert(strstr(text(operation, "note"), "nf1"), "%s", text(operation, "note"));
	cr_assert_str_eq(fake_phase(nf1, id, phase), "done");
	pthread_mutex_lock(&world.lock);
	world.script_n = 0;
	pthread_mutex_unlock(&world.lock);
	assert_forgotten(id);
}
