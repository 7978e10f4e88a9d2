/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_migration.c - moves by the whole orchestrator, that succeed, and that fail at each step. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "tests/unit/migration_fixture.h"

TestSuite(migration, .init = fixture_setup, .fini = fixture_teardown, .timeout = 100);

static struct fake_agent *const gw = &world.agents[0];
static struct fake_agent *const nf1 = &world.agents[1];

/* ---- moves that succeed ---------------------------------------------------------------------- */

Test(migration, whole_instance)
{
	_cleanup_json_ json_t *operation = NULL;

	cr_assert_str_eq(owners_shown(), "0-31=fw-1 32-63=fw-2");
	operation = move_run(move_request());
	cr_assert_str_eq(text(operation, "state"), "completed");
	cr_assert_str_eq(text(operation, "phase"), "ended");
	cr_assert_str_eq(text(operation, "guarantee"), "order-preserving");
	cr_assert_eq(number(operation, "flows"), 10);
	cr_assert_eq(number(operation, "rounds"), 3);
	cr_assert_eq(number(operation, "packets_parked"), 7);
	cr_assert_eq(number(operation, "freeze_us"), 1234);
	cr_assert_eq(number(json_object_get(operation, "phases_us"), "fence"), 1);
	cr_assert(number(json_object_get(operation, "phases_us"), "precopy") > 0);
	cr_assert(number(operation, "total_us") > 0);
	cr_assert(json_is_null(json_object_get(operation, "error")));
	cr_assert_str_eq(owners_shown(), "0-63=fw-2");
	assert_forgotten(text(operation, "id"));
	cr_assert_lt(fake_index(&world, "nf2 prepare"), fake_index(&world, "nf1 precopy"));
	cr_assert_lt(fake_index(&world, "nf1 precopy"), fake_index(&world, "gw switch"));
	cr_assert_lt(fake_index(&world, "gw switch"), fake_index(&world, "gw finish"));
}

/* Of all slots. */
static bool gw_has_owner(json_int_t id)
{
	json_t *services, *first;
	bool has;

	pthread_mutex_lock(&world.lock);
	services = json_object_get(gw->config, "services");
	first = json_array_get(json_object_get(json_array_get(services, 0), "owners"), 0);
	has = !strcmp(json_string_value(json_array_get(first, 0)) ?: "", "0-63") &&
	      json_integer_value(json_array_get(first, 1)) == id;
	pthread_mutex_unlock(&world.lock);
	return has;
}

Test(migration, agents_get_the_new_owners)
{
	_cleanup_json_ json_t *operation = move_run(move_request());

	wait_for(gw_has_owner(2));
}

/* It was made before the move, whose flows it would give back to the source, which has them no more. */
Test(migration, a_configuration_that_comes_after_the_end_is_refused)
{
	_cleanup_json_ json_t *operation = NULL;
	int configs = fake_count(&world, "gw config");

	fake_script(&world, "gw", "config", FAKE_BLOCK, 1);
	model_lock(&orch->model);
	model_touch(&orch->model);
	model_unlock(&orch->model);
	wait_for(fake_count(&world, "gw config") > configs);
	operation = move_run(move_request());
	cr_assert_str_eq(text(operation, "state"), "completed");
	fake_unblock(&world);
	wait_for(fake_count(&world, "gw config late") == 1);
	wait_for(gw_has_owner(2));
	cr_expect(!told("config-refused"), "it has gone as it should");
}

Test(migration, slots_flows_and_filters)
{
	json_t *request = move_request();
	_cleanup_json_ json_t *slots = NULL, *flow = NULL, *count = NULL, *exact = NULL,
			      *rich = NULL;
	_cleanup_json_ json_t *t = NULL;

	json_object_set_new(request, "slots", json_string("0-3"));
	slots = move_run(request);
	cr_assert_str_eq(text(slots, "state"), "completed");
	cr_assert_str_eq(owners_shown(), "0-3,32-63=fw-2 4-31=fw-1");

	/* what the source's agent has; whose they are depends on the seed, so all are asked for */
	pthread_mutex_lock(&world.lock);
	nf1->flows = json_array();
	for (int port = 1; port <= 64; port++) {
		char buf[64];

		snprintf(buf, sizeof(buf), "udp 198.18.1.2:%d 198.18.2.2:9", port);
		json_array_append_new(nf1->flows, json_pack("{ss}", "flow", buf));
	}
	pthread_mutex_unlock(&world.lock);
	request = move_request();
	json_object_set_new(request, "flows", json_integer(64));
	count = move_run(request);
	cr_assert_str_eq(text(count, "state"), "completed");
	cr_assert(strstr(text(count, "note"), "has only"));
	t = table_shown();
	cr_assert(json_array_size(json_object_get(t, "pins")) > 5);

	request = move_request();
	json_object_set_new(request, "filter", json_string("tcp and dst port 80"));
	exact = move_run(request);
	cr_assert_str_eq(text(exact, "state"), "completed");
	cr_assert_str_empty(text(exact, "note"));
	json_decref(t);
	t = table_shown();
	cr_assert_eq(json_array_size(json_object_get(t, "rules")), 1);

	request = move_request();
	json_object_set_new(request, "filter", json_string("udp or icmp"));
	rich = ask("POST", "/v1/moves", request, NULL);
	/* the existing ones were moved just now */
	cr_assert_str_eq(text(rich, "code"), "refused");
}

Test(migration, guarantee_decides_about_fences)
{
	json_t *request = move_request();
	_cleanup_json_ json_t *operation = NULL;

	json_object_set_new(request, "guarantee", json_string("loss-free"));
	/* what a steering host goes on sending to the source is forwarded: it is not waited for */
	fake_script(&world, "gw", "switch", FAKE_BLOCK, 1);
	operation = move_run(request);
	fake_unblock(&world);
	cr_assert_str_eq(text(operation, "state"), "completed");
	cr_assert_lt(fake_index(&world, "nf1 final"), fake_index(&world, "gw finish"));
}

/* ---- moves that fail ------------------------------------------------------------------------- */

Test(migration, prepare_refused)
{
	_cleanup_json_ json_t *operation = NULL;

	fake_script(&world, "nf2", "prepare", FAKE_REFUSE, 1);
	operation = move_run(move_request());
	assert_rolled_back(operation);
	cr_assert(strstr(text(json_object_get(operation, "error"), "message"),
			 "prepare on nf2: scripted refusal"),
		  "%s", text(json_object_get(operation, "error"), "message"));
	cr_assert_eq(fake_count(&world, "gw switch"), 0);
	cr_assert_geq(fake_count(&world, "nf1 abort"), 1);
}

Test(migration, precopy_refused)
{
	_cleanup_json_ json_t *operation = NULL;

	fake_script(&world, "nf1", "precopy", FAKE_REFUSE, 1);
	operation = move_run(move_request());
	assert_rolled_back(operation);
	cr_assert_eq(fake_count(&world, "gw switch"), 0);
}

Test(migration, switch_refused)
{
	_cleanup_json_ json_t *operation = NULL;

	fake_script(&world, "gw", "switch", FAKE_REFUSE, 1);
	operation = move_run(move_request());
	assert_rolled_back(operation);
	cr_assert_eq(fake_count(&world, "nf1 hold behind 0"), 1, "there are no fences to await");
}

Test(migration, final_refused_goes_back_step_by_step)
{
	static const char *const steps[] = { "nf1 final",  "gw stay",	 "nf1 hold", "gw unswitch",
					     "nf2 return", "nf1 resume", "nf1 abort" };
	_cleanup_json_ json_t *operation = NULL;

	fake_script(&world, "nf1", "final", FAKE_REFUSE, 1);
	operation = move_run(move_request());
	assert_rolled_back(operation);
	for (size_t i = 0; i + 1 < ARRAY_SIZE(steps); i++)
		cr_assert_lt(fake_index(&world, steps[i]), fake_index(&world, steps[i + 1]),
			     "%s should come before %s", steps[i], steps[i + 1]);
	cr_assert_eq(number(operation, "packets_parked"), 7);
	cr_assert_eq(fake_count(&world, "nf1 hold behind 1"), 1, "gw's fences are to be awaited");
}

Test(migration, final_lost_before_it_was_done)
{
	_cleanup_json_ json_t *operation = NULL;

	fake_script(&world, "nf1", "final", FAKE_LOSE_REQUEST, 1);
	operation = move_run(move_request());
	assert_rolled_back(operation);
}

Test(migration, final_lost_after_it_was_done)
{
	_cleanup_json_ json_t *operation = NULL;

	fake_script(&world, "nf1", "final", FAKE_LOSE_REPLY, 1);
	fake_script(&world, "nf2", "query", FAKE_LOSE_REPLY, 2);
	operation = move_run(move_request());
	cr_assert_str_eq(text(operation, "state"), "completed");
	cr_assert_str_eq(owners_shown(), "0-63=fw-2");
	cr_assert_eq(fake_count(&world, "nf1 hold"), 0);
}

Test(migration, lost_calls_are_repeated)
{
	_cleanup_json_ json_t *operation = NULL;

	fake_script(&world, "nf1", "prepare", FAKE_LOSE_REQUEST, 2);
	fake_script(&world, "nf1", "precopy", FAKE_LOSE_REPLY, 2);
	fake_script(&world, "gw", "switch", FAKE_LOSE_REPLY, 2);
	fake_script(&world, "nf2", "finish", FAKE_LOSE_REPLY, 2);
	operation = move_run(move_request());
	cr_assert_str_eq(text(operation, "state"), "completed");
}
