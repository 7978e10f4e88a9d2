/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* orch_fixture.c - see orch_fixture.h. */
#include <criterion/criterion.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/http_client.h"
#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/events.h"
#include "tests/unit/orch_fixture.h"

struct fake_world world;
static struct orch_config config;
static struct orch_config_host hosts[FAKE_AGENTS_MAX];
struct orchestrator *orch;
static struct http_client *client;
static char database[128], northbound[128], urls[FAKE_AGENTS_MAX][128];

void orchestrator_up(void)
{
	struct ff_error err = { 0 };

	cr_assert_eq(orchestrator_new(&config, 0, &orch, &err), 0, "%s", err.message);
	cr_assert_eq(orchestrator_start(orch, &err), 0, "%s", err.message);
	cr_assert_eq(http_client_new(northbound, NULL, &client, &err), 0, "%s", err.message);
}

void orchestrator_down(void)
{
	http_client_free(client);
	orchestrator_free(orch);
	client = NULL;
	orch = NULL;
}

/* All that is committed now, in one file: a copy of the files could fall into a checkpoint. */
void orchestrator_crash(void)
{
	char command[300], copy[128];
	sqlite3 *db;

	snprintf(copy, sizeof(copy), "%s/crashed.db", world.dir);
	snprintf(command, sizeof(command), "VACUUM INTO '%s'", copy);
	cr_assert_eq(sqlite3_open_v2(database, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, command, NULL, NULL, NULL), SQLITE_OK, "%s",
		     sqlite3_errmsg(db));
	sqlite3_close(db);
	fake_unblock(&world);
	orchestrator_down();
	strcpy(database, copy);
	orchestrator_up();
}

json_t *ask(const char *method, const char *path, json_t *body, unsigned int *ret_status)
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

json_t *call(unsigned int want, const char *method, const char *path, json_t *body)
{
	static json_t *reply;
	unsigned int status;

	json_decref(reply);
	reply = ask(method, path, body, &status);
	cr_assert_eq(status, want, "%s %s: %u, not %u: %s", method, path, status, want,
		     text(reply, "message"));
	return reply;
}

const char *text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key)) ?: "";
}

json_int_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

bool is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

json_t *service_body(void)
{
	return json_pack("{ss ss si s[{ss ss}{ss ss}]}", "name", "fw", "nf", "firewall", "slots",
			 64, "instances", "name", "fw-1", "host", "nf1", "name", "fw-2", "host",
			 "nf2");
}

void fixture_begin(size_t count, bool samples)
{
	static const char *const names[FAKE_AGENTS_MAX] = { "gw", "nf1", "nf2", "nf3" };

	alarm(90);
	log_init("test", LOG_LEVEL_ERROR);
	fake_world_init(&world);
	for (size_t i = 0; i < count; i++) {
		fake_agent_add(&world, names[i], i == 0);
		snprintf(urls[i], sizeof(urls[i]), "unix:%s", world.agents[i].socket);
		hosts[i] = (struct orch_config_host){ .name = (char *)names[i],
						      .url = urls[i],
						      .ipv4 = "198.18.8.1" };
	}
	if (samples)
		fake_samples_begin(&world);
	snprintf(database, sizeof(database), "%s/orch.db", world.dir);
	snprintf(northbound, sizeof(northbound), "%s/orch.sock", world.dir);
	config = (struct orch_config){
		.socket = northbound, .database = database, .hosts = hosts, .hosts_count = count
	};
	orchestrator_up();
}

void fixture_setup(void)
{
	fixture_begin(3, false);
	call(201, "POST", "/v1/services", service_body());
}

void fixture_teardown(void)
{
	orchestrator_down();
	fake_world_done(&world);
}

bool told(const char *kind)
{
	struct ff_error err = { 0 };
	_cleanup_json_ json_t *events = NULL;
	const json_t *event;
	size_t i;

	events_settle(orch->events);
	cr_assert_eq(store_event_list(orch->store, 0, 1000, &events, &err), 0);
	json_array_foreach(events, i, event)
		if (!strcmp(text(event, "kind"), kind))
			return true;
	return false;
}

void wait_until_told(const char *kind)
{
	wait_for(told(kind));
}

void wait_for_call(const char *line)
{
	wait_for(fake_count(&world, line));
}
