/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_migration.c - the whole orchestrator, but for its main(), against fake agents: requests by
 * its socket, moves that succeed and that fail at each step, restarts.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/http_client.h"
#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/orchestrator.h"
#include "tests/unit/fake_agent.h"

#define WAIT_MS 20000

static struct fake_world world;
static struct fake_agent *gw, *nf1, *nf2;
static struct orch_config config;
static struct orch_config_host hosts[3];
static struct orchestrator *orch;
static struct http_client *client;
static char database[128], northbound[128], urls[3][128];

static void orchestrator_up(void)
{
	struct ff_error err = { 0 };

	cr_assert_eq(orchestrator_new(&config, 0, &orch, &err), 0, "%s", err.message);
	cr_assert_eq(orchestrator_start(orch, &err), 0, "%s", err.message);
	cr_assert_eq(http_client_new(northbound, NULL, &client, &err), 0, "%s", err.message);
}

static void orchestrator_down(void)
{
	http_client_free(client);
	orchestrator_free(orch);
	client = NULL;
	orch = NULL;
}

static json_t *call(const char *method, const char *path, json_t *body, unsigned int *ret_status)
{
	struct ff_error err = { 0 };
	json_t *reply = NULL;
	unsigned int status = 0;

	http_call(client, method, path, body, NULL, WAIT_MS, &status, &reply, &err);
	json_decref(body);
	cr_assert_neq(status, 0, "%s %s: %s", method, path, err.message);
	if (ret_status)
		*ret_status = status;
	if (status >= 400)
		reply = json_pack("{ss ss ss}", "code", err.code, "message", err.message, "mend",
				  err.mend);
	return reply;
}

static const char *text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key)) ?: "";
}

static json_int_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void setup(void)
{
	static const char *const names[] = { "gw", "nf1", "nf2" };
	_cleanup_json_ json_t *reply = NULL;
	unsigned int status;

	alarm(90);
	log_init("test", LOG_LEVEL_ERROR);
	fake_world_init(&world);
	gw = fake_agent_add(&world, "gw", true);
	nf1 = fake_agent_add(&world, "nf1", false);
	nf2 = fake_agent_add(&world, "nf2", false);
	for (int i = 0; i < 3; i++) {
		snprintf(urls[i], sizeof(urls[i]), "unix:%s", world.agents[i].socket);
		hosts[i] = (struct orch_config_host){ .name = (char *)names[i],
						      .url = urls[i],
						      .ipv4 = "198.18.8.1" };
	}
	snprintf(database, sizeof(database), "%s/orch.db", world.dir);
	snprintf(northbound, sizeof(northbound), "%s/orch.sock", world.dir);
	config = (struct orch_config){
		.socket = northbound, .database = database, .hosts = hosts, .hosts_count = 3
	};
	orchestrator_up();
	reply = call("POST", "/v1/services",
		     json_pack("{ss ss si s[{ss ss}{ss ss}]}", "name", "fw", "nf", "firewall",
			       "slots", 64, "instances", "name", "fw-1", "host", "nf1", "name",
			       "fw-2", "host", "nf2"),
		     &status);
	cr_assert_eq(status, 201, "%s", text(reply, "message"));
}

static void teardown(void)
{
	orchestrator_down();
	fake_world_done(&world);
}

TestSuite(migration, .init = setup, .fini = teardown, .timeout = 100);

/* ---- helpers --------------------------------------------------------------------------------- */

static json_t *move_request(void)
{
	return json_pack("{ss ss ss}", "service", "fw", "from", "fw-1", "to", "fw-2");
}

static void move_begin(json_t *body, char id[32])
{
	_cleanup_json_ json_t *reply = NULL;
	unsigned int status;

	reply = call("POST", "/v1/moves", body, &status);
	cr_assert_eq(status, 202, "%s (%s)", text(reply, "message"), text(reply, "mend"));
	snprintf(id, 32, "%s", text(reply, "id"));
}

static json_t *move_await(const char *id)
{
	char path[96];
	json_t *operation;

	snprintf(path, sizeof(path), "/v1/operations/%s?wait_ms=%d", id, WAIT_MS - 1000);
	operation = call("GET", path, NULL, NULL);
	return operation;
}

static json_t *move_run(json_t *body)
{
	char id[32];

	move_begin(body, id);
	return move_await(id);
}

static json_t *table(void)
{
	return call("GET", "/v1/services/fw/table", NULL, NULL);
}

/* "0-31=fw-1 32-63=fw-2" */
static const char *owners(void)
{
	static char buf[256];
	_cleanup_json_ json_t *t = table();
	const json_t *item;
	size_t i, used = 0;

	buf[0] = '\0';
	json_array_foreach(json_object_get(t, "owners"), i, item)
		used += snprintf(buf + used, sizeof(buf) - used, "%s%s=%s", i ? " " : "",
				 json_string_value(json_array_get(item, 0)),
				 json_string_value(json_array_get(item, 1)));
	return buf;
}

static void wait_for_call(const char *line)
{
	uint64_t until = clock_ns() + WAIT_MS * NSEC_PER_MSEC;

	while (!fake_count(&world, line) && clock_ns() < until)
		usleep(2000);
	cr_assert(fake_count(&world, line), "%s was never called", line);
}

/* The agents know nothing of it any more. */
static void assert_forgotten(const char *id)
{
	uint64_t until = clock_ns() + 5 * NSEC_PER_SEC;
	char phase[16];

	for (size_t i = 0; i < world.agents_n; i++) {
		while (*fake_phase(&world.agents[i], id, phase) && clock_ns() < until)
			usleep(10000);
		cr_assert_str_empty(phase, "%s still has the move in phase %s",
				    world.agents[i].name, phase);
	}
}

/* ---- moves that succeed ---------------------------------------------------------------------- */

Test(migration, whole_instance)
{
	_cleanup_json_ json_t *operation = NULL;

	cr_assert_str_eq(owners(), "0-31=fw-1 32-63=fw-2");
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
	cr_assert_str_eq(owners(), "0-63=fw-2");
	assert_forgotten(text(operation, "id"));
	cr_assert_lt(fake_index(&world, "nf2 prepare"), fake_index(&world, "nf1 precopy"));
	cr_assert_lt(fake_index(&world, "nf1 precopy"), fake_index(&world, "gw switch"));
	cr_assert_lt(fake_index(&world, "gw switch"), fake_index(&world, "gw finish"));
}

Test(migration, agents_get_the_new_owners)
{
	_cleanup_json_ json_t *operation = move_run(move_request());
	uint64_t until = clock_ns() + 5 * NSEC_PER_SEC;
	bool right = false;

	while (!right && clock_ns() < until) {
		json_t *services, *first;

		usleep(10000);
		pthread_mutex_lock(&world.lock);
		services = json_object_get(gw->config, "services");
		first = json_array_get(json_object_get(json_array_get(services, 0), "owners"), 0);
		right = !strcmp(json_string_value(json_array_get(first, 0)) ?: "", "0-63") &&
			json_integer_value(json_array_get(first, 1)) == 2;
		pthread_mutex_unlock(&world.lock);
	}
	cr_assert(right, "the gateway never got the new owners");
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
	cr_assert_str_eq(owners(), "0-3,32-63=fw-2 4-31=fw-1");

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
	t = table();
	cr_assert(json_array_size(json_object_get(t, "pins")) > 5);

	request = move_request();
	json_object_set_new(request, "filter", json_string("tcp and dst port 80"));
	exact = move_run(request);
	cr_assert_str_eq(text(exact, "state"), "completed");
	cr_assert_str_empty(text(exact, "note"));
	json_decref(t);
	t = table();
	cr_assert_eq(json_array_size(json_object_get(t, "rules")), 1);

	request = move_request();
	json_object_set_new(request, "filter", json_string("udp or icmp"));
	rich = call("POST", "/v1/moves", request, NULL);
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

static void assert_rolled_back(const json_t *operation)
{
	cr_assert_str_eq(text(operation, "state"), "rolled-back");
	cr_assert_str_eq(owners(), "0-31=fw-1 32-63=fw-2");
	cr_assert(json_is_object(json_object_get(operation, "error")));
	assert_forgotten(text(operation, "id"));
}

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
	cr_assert_str_eq(owners(), "0-63=fw-2");
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

	refused = call("POST", "/v1/moves", move_request(), &status);
	cr_assert_eq(status, 409);
	cr_assert_str_eq(text(refused, "code"), "overlap");
	cr_assert(strstr(text(refused, "message"), id), "%s", text(refused, "message"));

	request = move_request();
	json_object_set_new(request, "slots", json_string("10-19"));
	second = move_run(request);
	cr_assert_str_eq(text(second, "state"), "completed");

	json_decref(refused);
	refused = call("DELETE", "/v1/services/fw", NULL, &status);
	cr_assert_str_eq(text(refused, "code"), "busy");
	fake_unblock(&world);
	first = move_await(id);
	cr_assert_str_eq(text(first, "state"), "completed");
	cr_assert_str_eq(owners(), "0-19,32-63=fw-2 20-31=fw-1");
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
	reply = call("DELETE", path, NULL, &status);
	cr_assert_eq(status, 202);
	operation = move_await(id);
	assert_rolled_back(operation);
	cr_assert_str_eq(text(json_object_get(operation, "error"), "message"),
			 "cancelled by request");
	again = call("DELETE", path, NULL, &status);
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
	cr_assert_str_eq(owners(), "0-63=fw-2");
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

Test(migration, restart_keeps_everything)
{
	_cleanup_json_ json_t *operation = NULL, *status = NULL, *list = NULL;

	operation = move_run(move_request());
	orchestrator_down();
	orchestrator_up();
	cr_assert_str_eq(owners(), "0-63=fw-2");
	status = call("GET", "/v1/status", NULL, NULL);
	cr_assert_eq(number(status, "epoch"), 2);
	cr_assert_eq(number(json_object_get(status, "operations"), "completed"), 1);
	list = call("GET", "/v1/operations?state=completed", NULL, NULL);
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
