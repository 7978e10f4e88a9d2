/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_failover.c - standbys, dead hosts and recoveries, by the whole orchestrator against fake agents
 * that send samples: who gets what, and in which order.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "orchestrator/settings.h"
#include "tests/unit/failover_fixture.h"

static struct fake_agent *const gw = &world.agents[0];
static struct fake_agent *const nf1 = &world.agents[1];

/* ---- standbys -------------------------------------------------------------------------------- */

Test(failover, an_owner_gets_a_standby)
{
	const json_t *standby;
	json_int_t id;

	protect_fw();
	standby = instance_shown("fw-2");
	cr_expect_str_eq(text(standby, "standby_of"), "fw-1");
	cr_expect_eq(number(standby, "slots"), 0);
	cr_expect_str_neq(text(standby, "host"), "nf1");
	cr_expect_str_neq(text(standby, "host"), "gw", "which steers");
	id = number(standby, "id");
	pthread_mutex_lock(&world.lock);
	cr_expect_eq(number(nf1->config, "failure_ms"), 150);
	cr_expect_eq(number(json_array_get(json_object_get(nf1->config, "services"), 0), "lag_ms"),
		     100);
	cr_expect_eq(number(json_array_get(json_object_get(nf1->config, "instances"), 1), "id"),
		     id);
	cr_expect_eq(number(json_array_get(json_object_get(nf1->config, "instances"), 1),
			    "standby_of"),
		     1);
	pthread_mutex_unlock(&world.lock);
	/* no plan knows of it */
	cr_expect_eq(number(json_object_get(call(200, "GET", "/v1/services/fw/plan", NULL),
					    "instances"),
			    "before"),
		     1);
	call(409, "POST", "/v1/moves",
	     json_pack("{ss ss ss ss}", "service", "fw", "from", "fw-1", "to", "fw-2", "slots",
		       "0-9"));
}

Test(failover, protection_ends_with_its_policy)
{
	protect_fw();
	policy_protect(false, "keep-forwarding", 1000);
	wait_for(!instance_shown("fw-2"));
	policy_protect(true, "keep-forwarding", 1000);
	wait_for(synced_by("fw-1"));
	call(204, "DELETE", "/v1/services/fw/policy", NULL);
	wait_for(json_array_size(json_object_get(call(200, "GET", "/v1/instances", NULL),
						 "instances")) == 1);
}

static void observe(void)
{
	call(200, "PUT", "/v1/services/fw/policy",
	     json_pack("{ss s{sb}}", "mode", "observe", "protect", "enabled", true));
}

static bool fw_is_protected(void)
{
	return json_is_object(
		json_object_get(call(200, "GET", "/v1/services/fw", NULL), "protect"));
}

/* Nothing is done, neither for nor against: it would be lost by a look. */
Test(failover, who_observes_keeps_its_standby)
{
	protect_fw();
	observe();
	cr_expect(fw_is_protected());
	orchestrator_down();
	orchestrator_up();
	cr_expect(fw_is_protected());
	wait_for(synced_by("fw-1"));
	host_die(nf1);
	wait_for(!strcmp(recovery_state(), "completed"));
	assert_taken_over();
}

Test(failover, who_observes_gets_no_standby)
{
	observe();
	cr_expect_not(fw_is_protected());
	protect_fw();
	call(204, "DELETE", "/v1/services/fw/policy", NULL);
	observe();
	cr_expect_not(fw_is_protected(), "what it had went with its policy");
}

/* Its agent went to another version of what is pinned: nothing is copied to it any more. */
Test(failover, a_standby_of_another_version_is_replaced)
{
	struct fake_agent *host;

	protect_fw();
	host = agent_named(text(instance_shown("fw-2"), "host"));
	pthread_mutex_lock(&world.lock);
	host->foreign = "fw-2";
	pthread_mutex_unlock(&world.lock);
	wait_for(!instance_shown("fw-2") && synced_by("fw-1"));
}

Test(failover, a_standby_is_kept_over_a_restart)
{
	protect_fw();
	orchestrator_down();
	orchestrator_up();
	cr_expect_str_eq(text(instance_shown("fw-2"), "standby_of"), "fw-1");
	wait_for(synced_by("fw-1"));
	cr_expect_str_eq(synced_by("fw-1"), "fw-2");
}

/* ---- recovery -------------------------------------------------------------------------------- */

Test(failover, a_dead_host)
{
	const json_t *op, *figures;
	json_int_t heir;
	int gw_configs;

	protect_fw();
	heir = number(instance_shown("fw-2"), "id");
	gw_configs = fake_count(&world, "gw config");
	nf1->unheard = 7; /* two others sent to it: gw and nf2, nf3 all say so */
	host_die(nf1);
	wait_for(!strcmp(recovery_state(), "completed"));
	op = recovery_shown();
	cr_expect_str_eq(text(op, "from"), "fw-1");
	cr_expect_str_eq(text(op, "to"), "fw-2");
	cr_expect_eq(number(op, "flows"), 10);
	figures = json_object_get(op, "recovery");
	cr_expect_str_eq(text(figures, "host"), "nf1");
	cr_expect_str_eq(text(figures, "replica"), "synced");
	cr_expect_eq(number(figures, "replica_age_ms"), 12);
	cr_expect_eq(number(figures, "packets_lost_at_most"), 21);
	cr_expect_geq(number(figures, "detect_ms"), 150);
	cr_expect_geq(number(figures, "recovered_ms"), number(figures, "detect_ms"));
	assert_taken_over();
	cr_expect_eq(owner_at(gw), heir);
	cr_expect_gt(fake_count(&world, "gw config"), gw_configs);
	/* protected again, on the third host */
	wait_for(synced_by("fw-2"));
	cr_expect_str_neq(text(instance_shown(synced_by("fw-2")), "host"), "nf1");
}

/* Its data path is heard: nothing is taken from it. */
Test(failover, a_silent_agent)
{
	const json_t *list, *item;
	bool stale = false;
	size_t i;

	protect_fw();
	fake_agent_stop(nf1);
	while (!stale) {
		list = json_object_get(call(200, "GET", "/v1/loop", NULL), "conditions");
		json_array_foreach(list, i, item)
			stale |= !strcmp(text(item, "kind"), "stale") &&
				 !strcmp(text(item, "name"), "nf1");
		clock_sleep_ns(10 * NSEC_PER_MSEC);
	}
	cr_expect_str_eq(recovery_state(), "");
	cr_expect_eq(number(instance_shown("fw-1"), "slots"), 64);
}

Test(failover, an_instance_that_has_failed)
{
	protect_fw();
	pthread_mutex_lock(&world.lock);
	nf1->failed = "fw-1";
	pthread_mutex_unlock(&world.lock);
	wait_for(!strcmp(recovery_state(), "completed"));
	cr_expect_str_eq(text(json_object_get(recovery_shown(), "recovery"), "why"),
			 "its maps are gone");
	assert_taken_over();
	wait_for(owner_at(nf1) == number(instance_shown("fw-2"), "id"));
}

/* Its agent talks all the time: it counts when it is heard, and has let go of what was taken from it. */
Test(failover, a_dead_host_is_emptied_before_it_counts)
{
	protect_fw();
	fake_script(&world, "nf1", "config", FAKE_REFUSE, 3);
	fake_path(nf1, true);
	wait_for(!strcmp(recovery_state(), "completed"));
	cr_expect_not(host_is_up("nf1"));
	wait_for(owner_at(nf1) == number(instance_shown("fw-2"), "id"));
	cr_expect_not(host_is_up("nf1"), "its data path is as dead as it was");
	fake_path(nf1, false);
	wait_for(host_is_up("nf1"));
}

Test(failover, a_host_that_keeps_what_it_had_does_not_count)
{
	protect_fw();
	fake_script(&world, "nf1", "config", FAKE_REFUSE, 4);
	fake_path(nf1, true);
	wait_for(!strcmp(recovery_state(), "completed"));
	fake_path(nf1, false);
	wait_for(host_is_up("nf1"));
	cr_expect_eq(owner_at(nf1), number(instance_shown("fw-2"), "id"));
}

/* It isn't known yet that the heir's host is dead as well: its answer isn't waited for once it is. */
Test(failover, both_hosts_die_at_once)
{
	struct fake_agent *heir;
	uint64_t died_ns;

	protect_fw();
	heir = agent_named(text(instance_shown("fw-2"), "host"));
	fake_script(&world, heir->name, "config", FAKE_BLOCK, 1);
	pthread_mutex_lock(&world.lock);
	nf1->failed = "fw-1";
	pthread_mutex_unlock(&world.lock);
	wait_until_taken();
	died_ns = clock_ns();
	fake_host_die(heir);
	wait_for(!strcmp(recovery_state(), "completed"));
	cr_expect_lt(clock_ns() - died_ns, 1500 * NSEC_PER_MSEC);
}

/* Where the steering host refuses, it is its monitor's to try again; the rest is done. */
Test(failover, a_steering_host_that_refuses)
{
	protect_fw();
	fake_script(&world, "gw", "config", FAKE_REFUSE, 2);
	host_die(nf1);
	wait_for(!strcmp(recovery_state(), "completed"));
	assert_taken_over();
	wait_for(owner_at(gw) == number(instance_shown("fw-2"), "id"));
}

/* A move that has ended meanwhile: its newer configuration comes first, and packets don't wait for its monitor's. */
Test(failover, a_configuration_that_is_overtaken_is_made_anew)
{
	int configs;

	protect_fw();
	fake_script(&world, "gw", "config", FAKE_BLOCK, 1);
	configs = fake_count(&world, "gw config");
	host_die(nf1);
	wait_for(fake_count(&world, "gw config") > configs);
	model_lock(&orch->model);
	orch->model.version++;
	pthread_mutex_lock(&world.lock);
	gw->known = orch->model.version;
	pthread_mutex_unlock(&world.lock);
	model_unlock(&orch->model);
	fake_unblock(&world);
	wait_for(!strcmp(recovery_state(), "completed"));
	assert_taken_over();
	cr_expect_eq(fake_count(&world, "gw config late"), 1);
	cr_expect_str_eq(text(recovery_shown(), "note"), "", "no steering host had it");
}

/* What is set for an instance goes with it: its name and number may be another one's some day. */
Test(failover, one_that_was_retired_is_forgotten)
{
	_cleanup_json_ json_t *kept = NULL;
	struct ff_error err = { 0 };

	protect_fw();
	{
		MODEL_LOCKED(&orch->model);

		cr_assert_eq(settings_retire(orch, model_find_instance(&orch->model, "fw-1"), true,
					     &err),
			     0, "%s", err.message);
	}
	host_die(nf1);
	wait_for(!strcmp(recovery_state(), "completed"));
	assert_taken_over();
	cr_assert_eq(store_setting_get(orch->store, "retire/fw-1", &kept, &err), 0);
	cr_expect_null(kept);
}
