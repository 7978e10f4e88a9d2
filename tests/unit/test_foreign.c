/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_foreign.c - an instance that another version of its agent has pinned: its own condition, which
 * neither its host nor what else is there shares.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/orch_fixture.h"

static struct fake_agent *const nf1 = &world.agents[1];

TestSuite(foreign, .init = fixture_setup, .fini = fixture_teardown, .timeout = 60);

static void pin_as_another_version(const char *instance)
{
	pthread_mutex_lock(&world.lock);
	nf1->foreign = instance;
	pthread_mutex_unlock(&world.lock);
}

static const char *state_of(const char *instance)
{
	char path[64];

	snprintf(path, sizeof(path), "/v1/instances/%s", instance);
	return text(call(200, "GET", path, NULL), "state");
}

Test(foreign, is_told_as_what_it_is)
{
	pin_as_another_version("fw-1");
	wait_for(!strcmp(state_of("fw-1"), "foreign"));
	cr_expect(told("instance-foreign"));
	cr_expect_not(told("config-refused"));
	cr_expect_str_eq(text(call(200, "GET", "/v1/hosts/nf1", NULL), "state"), "up");
	pin_as_another_version(NULL); /* the agent of before is back */
	wait_for(!strcmp(state_of("fw-1"), "up"));
}

Test(foreign, is_not_moved_from_or_to)
{
	const char *const moves[][3] = { { "fw-1", "fw-2", "0" }, { "fw-2", "fw-1", "32" } };

	pin_as_another_version("fw-1");
	wait_for(!strcmp(state_of("fw-1"), "foreign"));
	for (size_t i = 0; i < 2; i++) {
		const json_t *error =
			call(409, "POST", "/v1/moves",
			     json_pack("{ss ss ss ss}", "service", "fw", "from", moves[i][0], "to",
				       moves[i][1], "slots", moves[i][2]));

		cr_expect(strstr(text(error, "message"), "another version"), "%s",
			  text(error, "message"));
		cr_expect_str_eq(text(error, "code"), "refused");
	}
	cr_expect_eq(fake_count(&world, "nf1 prepare"), 0);
}

/* Its name is taken there: what was asked for isn't what would get the packets. */
Test(foreign, one_that_turns_out_so_is_not_made)
{
	const json_t *error;

	pin_as_another_version("fw-9");
	error = call(409, "POST", "/v1/services/fw/instances",
		     json_pack("{ss ss}", "name", "fw-9", "host", "nf1"));
	cr_expect(strstr(text(error, "message"), "another version"), "%s", text(error, "message"));
	call(404, "GET", "/v1/instances/fw-9", NULL);
	call(201, "POST", "/v1/services/fw/instances",
	     json_pack("{ss ss}", "name", "fw-3", "host", "nf1"));
}
