/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_services.c - services and instances that their hosts refuse, or the store doesn't let go. */
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/json.h"
#include "orchestrator/model.h"
#include "orchestrator/store.h"
#include "tests/unit/orch_fixture.h"

TestSuite(services, .init = fixture_setup, .fini = fixture_teardown, .timeout = 60);

/* A host may be given once more what it has refused, before the orchestrator has taken it back. */
static void assert_refused_everywhere(const char *path, json_t *body)
{
	_cleanup_json_ json_t *reply = NULL;
	unsigned int status;

	fake_script(&world, "nf1", "config", FAKE_REFUSE, 1);
	reply = ask("POST", path, body, &status);
	cr_assert_geq(status, 400);
	model_lock(&orch->model);
	for (size_t i = 0; i < orch->model.hosts_n; i++)
		cr_expect_geq(orch->model.hosts[i].pushed, orch->model.version, "%s has it still",
			      orch->model.hosts[i].name);
	model_unlock(&orch->model);
}

Test(services, nothing_is_left_of_one_that_is_refused)
{
	assert_refused_everywhere("/v1/services",
				  json_pack("{ss ss ss s[{ss ss}]}", "name", "bad", "nf", "bad",
					    "class", "udp and port 7", "instances", "name", "bad-1",
					    "host", "nf1"));
}

Test(services, nor_of_an_instance)
{
	assert_refused_everywhere("/v1/services/fw/instances",
				  json_pack("{ss ss}", "name", "fw-3", "host", "nf1"));
}

/* Files can't be written any more, as on a full disk, or again. */
static void disk_full(bool full)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = full ? 0 : limit.rlim_max;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* What is told to be removed must not be back after a restart: it is refused, and nothing changes. */
static void assert_removed_or_not(const char *path)
{
	_cleanup_json_ json_t *reply = NULL;
	unsigned int status;

	disk_full(true);
	reply = ask("DELETE", path, NULL, &status);
	disk_full(false);
	cr_assert_geq(status, 500, "%u: %s", status, text(reply, "message"));
	call(200, "GET", path, NULL);
	orchestrator_down();
	orchestrator_up();
	call(200, "GET", path, NULL);
	call(204, "DELETE", path, NULL);
	orchestrator_down();
	orchestrator_up();
	call(404, "GET", path, NULL);
}

static bool told_of_database(void)
{
	const json_t *conditions =
		json_object_get(call(200, "GET", "/v1/loop", NULL), "conditions");
	const json_t *item;
	size_t i;

	json_array_foreach(conditions, i, item)
		if (!strcmp(text(item, "kind"), "database"))
			return !strcmp(text(item, "about"), "site") &&
			       strstr(text(item, "why"), "can't be written");
	return false;
}

/* Else nobody knows of it who asks for nothing: all else goes on. */
Test(services, a_full_disk_is_a_condition)
{
	unsigned int status;

	cr_expect_not(told_of_database());
	disk_full(true);
	json_decref(ask("DELETE", "/v1/services/fw", NULL, &status));
	wait_for(told_of_database());
	disk_full(false);
	wait_for(!told_of_database());
}

Test(services, one_that_the_store_keeps_isnt_removed)
{
	assert_removed_or_not("/v1/services/fw");
}

Test(services, nor_is_an_instance)
{
	call(201, "POST", "/v1/services/fw/instances",
	     json_pack("{ss ss}", "name", "fw-3", "host", "nf1"));
	assert_removed_or_not("/v1/instances/fw-3");
}

/* Its store has let go of the service, and then it died: the policy was to go next. */
Test(services, a_policy_is_not_inherited)
{
	struct ff_error err = { 0 };
	json_int_t id = number(call(200, "GET", "/v1/services/fw", NULL), "id");

	call(200, "PUT", "/v1/services/fw/policy",
	     json_pack("{s{si}}", "utilisation", "down_percent", 0));
	cr_assert_eq(store_service_delete(orch->store, (uint16_t)id, &err), 0, "%s", err.message);
	orchestrator_crash();
	call(404, "GET", "/v1/services/fw", NULL);
	call(201, "POST", "/v1/services", service_body());
	orchestrator_down();
	orchestrator_up();
	cr_assert(
		json_is_null(json_object_get(call(200, "GET", "/v1/services/fw", NULL), "policy")));
}

/* Whether GET shows that state of fw-1, when its host has told this; a later report may come between. */
static bool shows(const char *state, json_t *report)
{
	model_lock(&orch->model);
	json_decref(model_find_host(&orch->model, "nf1")->report);
	model_find_host(&orch->model, "nf1")->report = report;
	model_unlock(&orch->model);
	return strcmp(text(call(200, "GET", "/v1/instances/fw-1", NULL), "state"), state) == 0;
}

/* Until its host tells of it, which takes half a second, nothing is wrong with a new one. */
Test(services, an_instance_that_isnt_told_of_starts)
{
	wait_for(shows("starting", json_pack("{s[]}", "instances")));
}

Test(services, a_plan_that_isnt_there)
{
	cr_assert_str_eq(text(call(404, "GET", "/v1/plans/nope", NULL), "message"), "no plan nope");
}
