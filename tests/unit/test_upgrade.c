/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_upgrade.c - a service to another version of its NF, against fake agents: what
 * becomes of each instance when all goes well, and when something fails, is
 * cancelled, or the orchestrator dies.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "tests/unit/orch_fixture.h"

TestSuite(upgrade, .init = fixture_setup, .fini = fixture_teardown, .timeout = 60);

#define UPGRADE "/v1/services/fw/upgrade"

static char id[32];

static void upgrade_begin(const char *nf)
{
	const json_t *accepted = call(202, "POST", UPGRADE, json_pack("{ss}", "nf", nf));

	cr_assert_str_eq(text(accepted, "kind"), "upgrade");
	snprintf(id, sizeof(id), "%s", text(accepted, "id"));
}

static const json_t *upgrade_await(void)
{
	char path[96];

	snprintf(path, sizeof(path), "/v1/operations/%s?wait_ms=%d", id, WAIT_MS - 1000);
	return call(200, "GET", path, NULL);
}

/* "fw-3:firewall2:32 fw-4:firewall2:32": name, NF and slots */
static const char *instances(void)
{
	static char buf[256];
	const json_t *list = json_object_get(call(200, "GET", "/v1/instances", NULL), "instances");
	const json_t *item;
	size_t i, used = 0;

	buf[0] = '\0';
	json_array_foreach(list, i, item)
		used += (size_t)snprintf(buf + used, sizeof(buf) - used, "%s%s:%s:%lld",
					 i ? " " : "", text(item, "name"), text(item, "nf"),
					 (long long)json_integer_value(
						 json_object_get(item, "slots")));
	return buf;
}

static const char *nf_of_service(void)
{
	return text(call(200, "GET", "/v1/services/fw", NULL), "nf");
}

/* What the agent of nf1 was told last: the NF of each instance on it, by the instance's name. */
static void assert_told(const char *name, const char *nf)
{
	uint64_t until = clock_ns() + WAIT_MS * NSEC_PER_MSEC;
	bool right = false;

	while (!right && clock_ns() < until) {
		const json_t *item;
		size_t i;

		pthread_mutex_lock(&world.lock);
		json_array_foreach(json_object_get(world.agents[1].config, "instances"), i, item)
			right |= !strcmp(text(item, "name"), name) && !strcmp(text(item, "nf"), nf);
		pthread_mutex_unlock(&world.lock);
		usleep(2000);
	}
	cr_assert(right, "nf1 was never told that %s is of NF %s", name, nf);
}

Test(upgrade, one_instance_after_the_other)
{
	const json_t *ended, *parts;

	cr_assert_str_eq(instances(), "fw-1:firewall:32 fw-2:firewall:32");
	upgrade_begin("firewall2");
	ended = upgrade_await();
	cr_assert_str_eq(text(ended, "state"), "completed", "%s",
			 text(json_object_get(ended, "error"), "message"));
	parts = json_object_get(json_object_get(ended, "upgrade"), "instances");
	cr_assert_eq(json_array_size(parts), 2);
	cr_assert_str_eq(text(json_array_get(parts, 0), "successor"), "fw-3");
	cr_assert_str_eq(text(json_array_get(parts, 1), "successor"), "fw-4");
	cr_assert_str_eq(instances(), "fw-3:firewall2:32 fw-4:firewall2:32");
	cr_assert_str_eq(nf_of_service(), "firewall2");
	assert_told("fw-3", "firewall2");
	/* the second begins when the first has ended */
	cr_assert_lt(fake_index(&world, "nf1 finish"), fake_index(&world, "nf2 prepare"));
	cr_assert(told("upgrade-started") && told("upgrade-ended"));
	orchestrator_down();
	orchestrator_up();
	cr_assert_str_eq(instances(), "fw-3:firewall2:32 fw-4:firewall2:32");
	cr_assert_str_eq(nf_of_service(), "firewall2");
}

Test(upgrade, wrong_ones_are_refused)
{
	call(404, "POST", "/v1/services/nosuch/upgrade", json_pack("{ss}", "nf", "x"));
	call(400, "POST", UPGRADE, json_object());
	call(400, "POST", UPGRADE, json_pack("{ss}", "nf", "../x"));
	call(400, "POST", UPGRADE, json_pack("{ss ss}", "nf", "x", "object", "y"));
	cr_assert_str_eq(instances(), "fw-1:firewall:32 fw-2:firewall:32");
}

/* Meanwhile the service is its alone: no other upgrade, no removal, no plan. */
Test(upgrade, one_at_a_time)
{
	fake_script(&world, "nf1", "precopy", FAKE_BLOCK, 1);
	upgrade_begin("firewall2");
	wait_for_call("nf1 precopy");
	cr_assert_str_eq(text(call(409, "POST", UPGRADE, json_pack("{ss}", "nf", "x")), "code"),
			 "busy");
	call(409, "DELETE", "/v1/services/fw", NULL);
	call(200, "PUT", "/v1/services/fw/policy",
	     json_pack("{s{si si}}", "instances", "min", 4, "max", 4));
	fake_unblock(&world);
	cr_assert_str_eq(text(upgrade_await(), "state"), "completed");
	cr_assert_eq(json_array_size(json_object_get(call(200, "GET", "/v1/plans", NULL), "plans")),
		     0);
}

/*
 * The host doesn't take the new object: nothing has changed, and new
 * instances are of the old version.
 */
Test(upgrade, a_successor_that_cant_be_made)
{
	const json_t *ended;

	fake_script(&world, "nf1", "config", FAKE_REFUSE, 100);
	upgrade_begin("firewall2");
	ended = upgrade_await();
	cr_assert_str_eq(text(ended, "state"), "failed");
	cr_assert(strstr(text(json_object_get(ended, "error"), "message"), "0 of 2 instances"),
		  "%s", text(json_object_get(ended, "error"), "message"));
	cr_assert_str_eq(instances(), "fw-1:firewall:32 fw-2:firewall:32");
	cr_assert_str_eq(nf_of_service(), "firewall");
}

/* A state that can't be converted is refused during the pre-copy, each time. */
Test(upgrade, an_instance_that_cant_be_emptied_goes_on)
{
	const json_t *ended;

	fake_script(&world, "nf2", "precopy", FAKE_REFUSE, 100);
	upgrade_begin("firewall2");
	ended = upgrade_await();
	cr_assert_str_eq(text(ended, "state"), "failed");
	cr_assert(strstr(text(json_object_get(ended, "error"), "message"), "1 of 2 instances"),
		  "%s", text(json_object_get(ended, "error"), "message"));
	cr_assert_str_eq(instances(), "fw-2:firewall:32 fw-3:firewall2:32", "no successor is left");
	cr_assert_str_eq(nf_of_service(), "firewall2");
}

/* A move that was rolled back once is tried again. */
Test(upgrade, a_passing_fault_is_survived)
{
	fake_script(&world, "nf2", "precopy", FAKE_REFUSE, 1);
	upgrade_begin("firewall2");
	cr_assert_str_eq(text(upgrade_await(), "state"), "completed");
	cr_assert_str_eq(instances(), "fw-3:firewall2:32 fw-4:firewall2:32");
}

Test(upgrade, a_cancelled_one_is_taken_up_by_another)
{
	const json_t *ended;
	char path[64];

	fake_script(&world, "nf2", "precopy", FAKE_BLOCK, 1);
	upgrade_begin("firewall2");
	wait_for_call("nf2 precopy");
	snprintf(path, sizeof(path), "/v1/operations/%s", id);
	call(202, "DELETE", path, NULL);
	wait_for_call("nf2 abort"); /* the move is cancelled, too */
	fake_unblock(&world);
	ended = upgrade_await();
	cr_assert_str_eq(text(ended, "state"), "failed");
	cr_assert(strstr(text(json_object_get(ended, "error"), "message"),
			 "1 of 2 instances upgraded: cancelled"),
		  "%s", text(json_object_get(ended, "error"), "message"));
	cr_assert_str_eq(instances(), "fw-2:firewall:32 fw-3:firewall2:32");
	upgrade_begin("firewall2");
	cr_assert_str_eq(text(upgrade_await(), "state"), "completed");
	cr_assert_str_eq(instances(), "fw-4:firewall2:32 fw-5:firewall2:32");
}

/* Whatever it was in the middle of: the next orchestrator goes on with it. */
static void resumed(const char *agent, const char *blocked)
{
	char line[64];

	fake_script(&world, agent, blocked, FAKE_BLOCK, 1);
	upgrade_begin("firewall2");
	snprintf(line, sizeof(line), "%s %s", agent, blocked);
	wait_for_call(line);
	orchestrator_down();
	orchestrator_up();
	fake_unblock(&world);
	cr_assert_str_eq(text(upgrade_await(), "state"), "completed", "%s", line);
	cr_assert_str_eq(instances(), "fw-3:firewall2:32 fw-4:firewall2:32", "%s", line);
	cr_assert_str_eq(nf_of_service(), "firewall2");
}

Test(upgrade, resumed_while_the_first_moves)
{
	resumed("nf1", "precopy");
}

Test(upgrade, resumed_while_the_second_moves)
{
	resumed("nf2", "prepare");
}

Test(upgrade, resumed_at_the_end_of_a_move)
{
	resumed("nf1", "finish");
}

/* An operator moves flows to an instance that is being emptied: they are moved on. */
Test(upgrade, flows_that_come_back_are_moved_on)
{
	const json_t *parts;
	char path[96];

	fake_script(&world, "nf2", "precopy", FAKE_BLOCK, 1);
	upgrade_begin("firewall2");
	wait_for_call("nf2 precopy");
	snprintf(path, sizeof(path), "/v1/operations/%s?wait_ms=%d",
		 text(call(202, "POST", "/v1/moves",
			   json_pack("{ss ss ss ss}", "service", "fw", "from", "fw-3", "to", "fw-2",
				     "slots", "0")),
		      "id"),
		 WAIT_MS - 1000);
	cr_assert_str_eq(text(call(200, "GET", path, NULL), "state"), "completed");
	fake_unblock(&world);
	parts = json_object_get(json_object_get(upgrade_await(), "upgrade"), "instances");
	cr_assert_eq(json_array_size(json_object_get(json_array_get(parts, 1), "moves")), 2);
	cr_assert_str_eq(instances(), "fw-3:firewall2:31 fw-4:firewall2:33");
}
