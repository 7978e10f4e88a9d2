/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* failover_fixture.c - see failover_fixture.h. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "tests/unit/failover_fixture.h"

static void setup(void)
{
	fixture_begin(FAILOVER_HOSTS, true);
	call(201, "POST", "/v1/services",
	     json_pack("{ss ss si s[{ss ss}]}", "name", "fw", "nf", "firewall", "slots", 64,
		       "instances", "name", "fw-1", "host", "nf1"));
}

/* Of all test_failover*.c. */
TestSuite(failover, .init = setup, .fini = fixture_teardown, .timeout = 100);

void policy_protect(bool protect, const char *partition, int lease_ms)
{
	call(200, "PUT", "/v1/services/fw/policy",
	     json_pack("{s{si} s{sb} s{ss si}}", "utilisation", "down_percent", 0, "protect",
		       "enabled", protect, "partition", "mode", partition, "lease_ms", lease_ms));
}

const json_t *instance_shown(const char *name)
{
	const json_t *list = json_object_get(call(200, "GET", "/v1/instances", NULL), "instances");
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
		if (!name || !strcmp(text(item, "name"), name))
			return item;
	return NULL;
}

const char *synced_by(const char *name)
{
	static char standby_name[64];
	const json_t *standby = json_object_get(instance_shown(name), "standby");

	snprintf(standby_name, sizeof(standby_name), "%s", text(standby, "instance"));
	return !strcmp(text(standby, "state"), "synced") ? standby_name : NULL;
}

const json_t *recovery_shown(void)
{
	const json_t *list =
		json_object_get(call(200, "GET", "/v1/operations", NULL), "operations");
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
		if (!strcmp(text(item, "kind"), "recovery"))
			return item;
	return NULL;
}

const char *recovery_state(void)
{
	return text(recovery_shown(), "state");
}

bool recovery_is_in(const char *phase)
{
	const json_t *op = recovery_shown();

	return op && !strcmp(text(op, "phase"), phase);
}

void protect_fw(void)
{
	policy_protect(true, "keep-forwarding", 1000);
	wait_for(synced_by("fw-1"));
	cr_assert_str_eq(synced_by("fw-1"), "fw-2");
}

void host_die(struct fake_agent *agent)
{
	fake_path(agent, true);
	fake_agent_stop(agent);
}

json_int_t owner_at(struct fake_agent *agent)
{
	json_t *services, *owners;
	json_int_t id;

	pthread_mutex_lock(&world.lock);
	services = json_object_get(agent->config, "services");
	owners = json_object_get(json_array_get(services, 0), "owners");
	id = json_array_size(owners) == 1 ?
		     json_integer_value(json_array_get(json_array_get(owners, 0), 1)) :
		     -1;
	pthread_mutex_unlock(&world.lock);
	return id;
}

void wait_until_taken(void)
{
	wait_for(number(instance_shown("fw-2"), "slots") == 64);
}

void assert_taken_over(void)
{
	const json_t *heir = instance_shown("fw-2");

	cr_assert_not_null(heir);
	cr_expect_eq(number(heir, "slots"), 64);
	cr_expect(json_is_null(json_object_get(heir, "standby_of")));
	cr_expect_null(instance_shown("fw-1"), "it is no more");
}

struct fake_agent *agent_named(const char *name)
{
	int i = 0;

	while (i < FAILOVER_HOSTS - 1 && strcmp(world.agents[i].name, name))
		i++;
	return &world.agents[i];
}

bool host_is_up(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/v1/hosts/%s", name);
	return !strcmp(text(call(200, "GET", path, NULL), "state"), "up");
}
