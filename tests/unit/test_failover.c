/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_failover.c - standbys, dead hosts and recoveries, by the whole orchestrator against fake agents
 * that send samples: who gets what, in which order, and what a crash of ours in the middle of it leaves.
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
#include "orchestrator/settings.h"
#include "tests/unit/fake_agent.h"

#define CALL_MS 20000
#define WAIT_MS 15000
#define HOSTS	4

static struct fake_world world;
static struct fake_agent *gw, *nf1;
static struct orch_config config;
static struct orch_config_host hosts[HOSTS];
static struct orchestrator *orch;
static struct http_client *client;
static char database[128], northbound[128], urls[HOSTS][128];

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

/* As after kill -9: it goes on from the journal as it is now. */
static void orchestrator_crash(void)
{
	char command[600];

	snprintf(command, sizeof(command), "mkdir %s/crash && cp %s* %s/crash/", world.dir,
		 database, world.dir);
	cr_assert_eq(system(command), 0);
	fake_unblock(&world);
	orchestrator_down();
	snprintf(database, sizeof(database), "%s/crash/orch.db", world.dir);
	orchestrator_up();
}

/* The reply, borrowed until the next call. */
static json_t *call(unsigned int want, const char *method, const char *path, json_t *body)
{
	static json_t *reply;
	struct ff_error err = { 0 };
	unsigned int status = 0;

	json_decref(reply);
	reply = NULL;
	http_call(client, method, path, body, NULL, CALL_MS, &status, &reply, &err);
	json_decref(body);
	cr_assert_eq(status, want, "%s %s: %u, not %u: %s", method, path, status, want,
		     err.message);
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

#define wait_for(condition)                                                                        \
	do {                                                                                       \
		uint64_t until_ns = clock_ns() + WAIT_MS * NSEC_PER_MSEC;                          \
		while (!(condition)) {                                                             \
			cr_assert(clock_ns() < until_ns, "still not: %s", #condition);             \
			clock_sleep_ns(10 * NSEC_PER_MSEC);                                        \
		}                                                                                  \
	} while (0)

static void policy_put(bool protect, const char *partition, int lease_ms)
{
	call(200, "PUT", "/v1/services/fw/policy",
	     json_pack("{s{si} s{sb} s{ss si}}", "utilisation", "down_percent", 0, "protect",
		       "enabled", protect, "partition", "mode", partition, "lease_ms", lease_ms));
}

static void setup(void)
{
	static const char *const names[] = { "gw", "nf1", "nf2", "nf3" };

	alarm(90);
	log_init("test", LOG_LEVEL_ERROR);
	fake_world_init(&world);
	for (int i = 0; i < HOSTS; i++) {
		fake_agent_add(&world, names[i], i == 0);
		snprintf(urls[i], sizeof(urls[i]), "unix:%s", world.agents[i].socket);
		hosts[i] = (struct orch_config_host){ .name = (char *)names[i],
						      .url = urls[i],
						      .ipv4 = "198.18.8.1" };
	}
	gw = &world.agents[0];
	nf1 = &world.agents[1];
	fake_samples_begin(&world);
	snprintf(database, sizeof(database), "%s/orch.db", world.dir);
	snprintf(northbound, sizeof(northbound), "%s/orch.sock", world.dir);
	config = (struct orch_config){
		.socket = northbound, .database = database, .hosts = hosts, .hosts_count = HOSTS
	};
	orchestrator_up();
	call(201, "POST", "/v1/services",
	     json_pack("{ss ss si s[{ss ss}]}", "name", "fw", "nf", "firewall", "slots", 64,
		       "instances", "name", "fw-1", "host", "nf1"));
}

static void teardown(void)
{
	orchestrator_down();
	fake_world_done(&world);
}

TestSuite(failover, .init = setup, .fini = teardown, .timeout = 100);

/* ---- what is there --------------------------------------------------------------------------- */

/* The instance of that name (NULL: the first one), borrowed until the next call. */
static const json_t *instance(const char *name)
{
	const json_t *list = json_object_get(call(200, "GET", "/v1/instances", NULL), "instances");
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
		if (!name || !strcmp(text(item, "name"), name))
			return item;
	return NULL;
}

/* The standby that has a whole copy of it; NULL: none has. Valid until this is asked again. */
static const char *synced_by(const char *name)
{
	static char standby_name[64];
	const json_t *standby = json_object_get(instance(name), "standby");

	snprintf(standby_name, sizeof(standby_name), "%s", text(standby, "instance"));
	return !strcmp(text(standby, "state"), "synced") ? standby_name : NULL;
}

/* Of the newest recovery; "": there is none. */
static const char *recovery_state(void)
{
	const json_t *list =
		json_object_get(call(200, "GET", "/v1/operations", NULL), "operations");
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
		if (!strcmp(text(item, "kind"), "recovery"))
			return text(item, "state");
	return "";
}

static const json_t *recovery(void)
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

static bool phase_is(const char *phase)
{
	const json_t *op = recovery();

	return op && !strcmp(text(op, "phase"), phase);
}

static void protect(void)
{
	policy_put(true, "keep-forwarding", 1000);
	wait_for(synced_by("fw-1"));
	cr_assert_str_eq(synced_by("fw-1"), "fw-2");
}

static void host_die(struct fake_agent *agent)
{
	fake_path(agent, true);
	fake_agent_stop(agent);
}

/* What the last configuration that an agent has says of its owners: the one of all slots. */
static json_int_t owner_at(struct fake_agent *agent)
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

static void assert_taken_over(void)
{
	const json_t *heir = instance("fw-2");

	cr_assert_not_null(heir);
	cr_expect_eq(number(heir, "slots"), 64);
	cr_expect(json_is_null(json_object_get(heir, "standby_of")));
	cr_expect_null(instance("fw-1"), "it is no more");
}

/* ---- standbys -------------------------------------------------------------------------------- */

Test(failover, an_owner_gets_a_standby)
{
	const json_t *standby;
	json_int_t id;

	protect();
	standby = instance("fw-2");
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
	protect();
	policy_put(false, "keep-forwarding", 1000);
	wait_for(!instance("fw-2"));
	policy_put(true, "keep-forwarding", 1000);
	wait_for(synced_by("fw-1"));
	call(204, "DELETE", "/v1/services/fw/policy", NULL);
	wait_for(json_array_size(json_object_get(call(200, "GET", "/v1/instances", NULL),
						 "instances")) == 1);
}

Test(failover, a_standby_is_kept_over_a_restart)
{
	protect();
	orchestrator_down();
	orchestrator_up();
	cr_expect_str_eq(text(instance("fw-2"), "standby_of"), "fw-1");
	wait_for(synced_by("fw-1"));
	cr_expect_str_eq(synced_by("fw-1"), "fw-2");
}

/* ---- recovery -------------------------------------------------------------------------------- */

Test(failover, a_dead_host)
{
	const json_t *op, *figures;
	json_int_t heir;
	int gw_configs;

	protect();
	heir = number(instance("fw-2"), "id");
	gw_configs = fake_count(&world, "gw config");
	nf1->unheard = 7; /* two others sent to it: gw and nf2, nf3 all say so */
	host_die(nf1);
	wait_for(!strcmp(recovery_state(), "completed"));
	op = recovery();
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
	cr_expect_str_neq(text(instance(synced_by("fw-2")), "host"), "nf1");
}

/* Its data path is heard: nothing is taken from it. */
Test(failover, a_silent_agent)
{
	const json_t *list, *item;
	bool stale = false;
	size_t i;

	protect();
	fake_agent_stop(nf1);
	while (!stale) {
		list = json_object_get(call(200, "GET", "/v1/loop", NULL), "conditions");
		json_array_foreach(list, i, item)
			stale |= !strcmp(text(item, "kind"), "stale") &&
				 !strcmp(text(item, "name"), "nf1");
		clock_sleep_ns(10 * NSEC_PER_MSEC);
	}
	cr_expect_str_eq(recovery_state(), "");
	cr_expect_eq(number(instance("fw-1"), "slots"), 64);
}

Test(failover, an_instance_that_has_failed)
{
	protect();
	pthread_mutex_lock(&world.lock);
	nf1->failed = "fw-1";
	pthread_mutex_unlock(&world.lock);
	wait_for(!strcmp(recovery_state(), "completed"));
	cr_expect_str_eq(text(json_object_get(recovery(), "recovery"), "why"), "its maps are gone");
	assert_taken_over();
	wait_for(owner_at(nf1) == number(instance("fw-2"), "id"));
}

static struct fake_agent *agent_named(const char *name)
{
	int i = 0;

	while (i < HOSTS - 1 && strcmp(world.agents[i].name, name))
		i++;
	return &world.agents[i];
}

static bool host_is_up(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/v1/hosts/%s", name);
	return !strcmp(text(call(200, "GET", path, NULL), "state"), "up");
}

/* Its agent talks all the time: it counts when it is heard, and has let go of what was taken from it. */
Test(failover, a_dead_host_is_emptied_before_it_counts)
{
	protect();
	fake_script(&world, "nf1", "config", FAKE_REFUSE, 3);
	fake_path(nf1, true);
	wait_for(!strcmp(recovery_state(), "completed"));
	cr_expect_not(host_is_up("nf1"));
	wait_for(owner_at(nf1) == number(instance("fw-2"), "id"));
	cr_expect_not(host_is_up("nf1"), "its data path is as dead as it was");
	fake_path(nf1, false);
	wait_for(host_is_up("nf1"));
}

Test(failover, a_host_that_keeps_what_it_had_does_not_count)
{
	protect();
	fake_script(&world, "nf1", "config", FAKE_REFUSE, 4);
	fake_path(nf1, true);
	wait_for(!strcmp(recovery_state(), "completed"));
	fake_path(nf1, false);
	wait_for(host_is_up("nf1"));
	cr_expect_eq(owner_at(nf1), number(instance("fw-2"), "id"));
}

/* It isn't known yet that the heir's host is dead as well: its answer isn't waited for once it is. */
Test(failover, both_hosts_die_at_once)
{
	struct fake_agent *heir;
	uint64_t died_ns;

	protect();
	heir = agent_named(text(instance("fw-2"), "host"));
	fake_script(&world, heir->name, "config", FAKE_BLOCK, 1);
	pthread_mutex_lock(&world.lock);
	nf1->failed = "fw-1";
	pthread_mutex_unlock(&world.lock);
	wait_for(phase_is("switch"));
	died_ns = clock_ns();
	fake_host_die(heir);
	wait_for(!strcmp(recovery_state(), "completed"));
	cr_expect_lt(clock_ns() - died_ns, 1500 * NSEC_PER_MSEC);
}

/* Where the steering host refuses, it is its monitor's to try again; the rest is done. */
Test(failover, a_steering_host_that_refuses)
{
	protect();
	fake_script(&world, "gw", "config", FAKE_REFUSE, 2);
	host_die(nf1);
	wait_for(!strcmp(recovery_state(), "completed"));
	assert_taken_over();
	wait_for(owner_at(gw) == number(instance("fw-2"), "id"));
}

/* What is set for an instance goes with it: its name and number may be another one's some day. */
Test(failover, one_that_was_retired_is_forgotten)
{
	_cleanup_json_ json_t *kept = NULL;
	struct ff_error err = { 0 };

	protect();
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

/* ---- moves under way ------------------------------------------------------------------------- */

#define AT_ONCE_MS 3000 /* without a death being known it is 15 s and more */

/* fw-1 is protected by fw-2; another instance, fw-x, on the third host, which is returned. */
static struct fake_agent *third_host(void)
{
	const char *name;

	protect();
	name = !strcmp(text(instance("fw-2"), "host"), "nf2") ? "nf3" : "nf2";
	call(201, "POST", "/v1/services/fw/instances",
	     json_pack("{ss ss}", "name", "fw-x", "host", name));
	return agent_named(name);
}

static void move_begin(char id[32])
{
	snprintf(id, 32, "%s",
		 text(call(202, "POST", "/v1/moves",
			   json_pack("{ss ss ss}", "service", "fw", "from", "fw-1", "to", "fw-x")),
		      "id"));
}

static const json_t *operation(const char *id)
{
	char path[96];

	snprintf(path, sizeof(path), "/v1/operations/%s", id);
	return call(200, "GET", path, NULL);
}

static bool has_called(struct fake_agent *agent, const char *what)
{
	char line[64];

	snprintf(line, sizeof(line), "%s %s", agent->name, what);
	return fake_count(&world, line);
}

/* Waits until the move has ended, without anybody's patience. */
static const json_t *move_end_at_once(const char *id, uint64_t died_ns)
{
	const json_t *op;

	wait_for(!json_is_null(json_object_get(operation(id), "ended")));
	op = operation(id);
	cr_expect_lt(clock_ns() - died_ns, AT_ONCE_MS * NSEC_PER_MSEC, "it took %llu ms",
		     (unsigned long long)((clock_ns() - died_ns) / NSEC_PER_MSEC));
	return op;
}

static void slots_are(const char *name, json_int_t slots)
{
	wait_for(!strcmp(recovery_state(), "completed"));
	cr_expect_eq(number(instance(name), "slots"), slots, "%s has %lld", name,
		     number(instance(name), "slots"));
}

/* Nothing is committed: what the target has parked is the heir's, and so are the flows. */
Test(failover, a_move_whose_source_dies)
{
	struct fake_agent *target = third_host();
	const json_t *op;
	uint64_t died_ns;
	char id[32], line[32];

	snprintf(line, sizeof(line), "return for %lld", number(instance("fw-2"), "id"));
	fake_script(&world, "nf1", "final", FAKE_BLOCK, 1);
	move_begin(id);
	wait_for(has_called(nf1, "final") && has_called(gw, "switch"));
	died_ns = clock_ns();
	fake_host_die(nf1);
	op = move_end_at_once(id, died_ns);
	cr_expect_str_eq(text(op, "state"), "rolled-back");
	cr_expect(strstr(text(op, "note"), "fw-1 was lost: its flows are fw-2's"), "%s",
		  text(op, "note"));
	cr_expect_str_eq(text(json_object_get(op, "error"), "message"), "host nf1 is dead");
	cr_expect(has_called(target, line));
	snprintf(line, sizeof(line), "abort for %lld", number(instance("fw-2"), "id"));
	cr_expect(has_called(gw, line));
	cr_expect_not(has_called(gw, "stay"), "nobody holds anything");
	slots_are("fw-2", 64);
}

/* What the source has it takes back; the target isn't asked, not by the source either. */
Test(failover, a_move_whose_target_dies)
{
	struct fake_agent *target = third_host();
	uint64_t died_ns;
	char id[32];

	fake_script(&world, "nf1", "final", FAKE_BLOCK, 1);
	move_begin(id);
	wait_for(has_called(nf1, "final") && has_called(gw, "switch"));
	died_ns = clock_ns();
	fake_host_die(target);
	cr_expect_str_eq(text(move_end_at_once(id, died_ns), "state"), "failed",
			 "it may have committed");
	cr_expect(has_called(nf1, "hold unasked"));
	cr_expect(has_called(nf1, "resume"));
	cr_expect_str_eq(recovery_state(), "", "nothing of it is lost");
	cr_expect_eq(number(instance("fw-1"), "slots"), 64);
}

/* It has committed: the flows are its own, and so its heir's. */
Test(failover, a_move_whose_target_dies_with_the_flows)
{
	struct fake_agent *target = third_host();
	uint64_t died_ns;
	char id[32], heir[32];

	call(202, "POST", "/v1/moves",
	     json_pack("{ss ss ss ss}", "service", "fw", "from", "fw-1", "to", "fw-x", "slots",
		       "0-9"));
	wait_for(synced_by("fw-x"));
	fake_script(&world, target->name, "finish", FAKE_BLOCK, 1);
	move_begin(id);
	wait_for(number(instance("fw-x"), "slots") == 64);
	died_ns = clock_ns();
	fake_host_die(target);
	cr_expect_str_eq(text(move_end_at_once(id, died_ns), "state"), "completed");
	wait_for(!instance("fw-x"));
	snprintf(heir, sizeof(heir), "%s", text(recovery(), "to"));
	slots_are(heir, 64);
}

/* ---- leases ---------------------------------------------------------------------------------- */

Test(failover, a_lease_is_awaited)
{
	uint64_t died_ns;

	policy_put(true, "fence", 700);
	wait_for(synced_by("fw-1"));
	wait_for(nf1->leases >= 2);
	died_ns = clock_ns();
	host_die(nf1);
	wait_for(!strcmp(recovery_state(), "running"));
	cr_expect(phase_is("fence"));
	cr_expect_eq(number(instance("fw-1"), "slots"), 64, "still its own");
	wait_for(!strcmp(recovery_state(), "completed"));
	/* a sample that was taken up to a period and a renewal before */
	cr_expect_geq(clock_ns() - died_ns, 400 * NSEC_PER_MSEC);
	cr_expect_gt(number(json_object_get(recovery(), "recovery"), "fence_ms"), 0);
	assert_taken_over();
}

/* It is back before its lease has run out: it keeps what it has. */
Test(failover, back_in_time)
{
	policy_put(true, "fence", 5000);
	wait_for(synced_by("fw-1"));
	wait_for(nf1->leases >= 1);
	host_die(nf1);
	wait_for(!strcmp(recovery_state(), "running"));
	fake_path(nf1, false);
	fake_agent_start(nf1);
	wait_for(!strcmp(recovery_state(), "rolled-back"));
	cr_expect_eq(number(instance("fw-1"), "slots"), 64);
	cr_expect_str_eq(text(instance("fw-2"), "standby_of"), "fw-1");
}

/* Its standby dies, too, before the lease has run out: what both have isn't given to a dead host. */
Test(failover, both_hosts_die)
{
	struct fake_agent *heir;

	policy_put(true, "fence", 3000);
	wait_for(synced_by("fw-1"));
	wait_for(nf1->leases >= 1);
	heir = !strcmp(text(instance("fw-2"), "host"), "nf2") ? &nf1[1] : &nf1[2];
	host_die(nf1);
	wait_for(!strcmp(recovery_state(), "running"));
	host_die(heir);
	wait_for(!strcmp(recovery_state(), "rolled-back"));
	cr_expect_eq(number(instance("fw-1"), "slots"), 64);
}

/* Until it has been told that it needs a lease it won't stop by itself, however long it is silent. */
Test(failover, a_host_that_knows_of_no_lease)
{
	protect();
	fake_script(&world, "nf1", "config", FAKE_BLOCK, 1);
	policy_put(true, "fence", 300);
	fake_host_die(nf1);
	wait_for(!strcmp(recovery_state(), "running"));
	clock_sleep_ns(1500 * NSEC_PER_MSEC);
	cr_expect(phase_is("fence"));
	cr_expect_eq(number(instance("fw-1"), "slots"), 64);
	policy_put(true, "keep-forwarding", 300);
	wait_for(!strcmp(recovery_state(), "completed"));
	assert_taken_over();
}

Test(failover, no_fence_with_a_host_that_cant_be_told)
{
	protect();
	fake_agent_stop(nf1);
	wait_for(!host_is_up("nf1"));
	call(409, "PUT", "/v1/services/fw/policy",
	     json_pack("{s{ss}}", "partition", "mode", "fence"));
	fake_agent_start(nf1);
	wait_for(host_is_up("nf1"));
	policy_put(true, "fence", 1000);
}

/*
 * A lease is the service's: a host that may have an old table, by which it owns what was taken from it,
 * doesn't get one before it has the new one.
 */
Test(failover, no_lease_for_an_old_table)
{
	unsigned int had, others;

	policy_put(true, "fence", 1000);
	wait_for(synced_by("fw-1"));
	wait_for(nf1->leases >= 1);
	orchestrator_down();
	fake_script(&world, "nf1", "config", FAKE_BLOCK, 1);
	had = nf1->leases;
	others = nf1[1].leases + nf1[2].leases;
	orchestrator_up();
	wait_for(nf1[1].leases + nf1[2].leases >= others + 3);
	cr_expect_eq(nf1->leases, had);
	fake_unblock(&world);
	wait_for(nf1->leases > had);
}

/* ---- crashes of ours ------------------------------------------------------------------------- */

/* Nothing was taken yet: it is found anew. */
Test(failover, a_crash_while_a_lease_is_awaited)
{
	policy_put(true, "fence", 1500);
	wait_for(synced_by("fw-1"));
	wait_for(nf1->leases >= 1);
	host_die(nf1);
	wait_for(!strcmp(recovery_state(), "running"));
	orchestrator_crash();
	cr_expect_str_eq(recovery_state(), "failed");
	cr_expect_eq(number(instance("fw-1"), "slots"), 64);
	wait_for(!strcmp(recovery_state(), "completed"));
	assert_taken_over();
}

/* The owners have changed, and no host knows it: they are told. */
Test(failover, a_crash_after_the_switch)
{
	protect();
	/* the monitors may have one under way, too */
	fake_script(&world, "nf2", "config", FAKE_BLOCK, 3);
	fake_script(&world, "nf3", "config", FAKE_BLOCK, 3);
	host_die(nf1);
	wait_for(phase_is("switch"));
	orchestrator_crash();
	wait_for(!strcmp(recovery_state(), "completed"));
	assert_taken_over();
	wait_for(owner_at(gw) == number(instance("fw-2"), "id"));
}

/* Where a move that was under way ends is decided by who has taken over, which the journal knows. */
Test(failover, a_crash_while_a_move_has_an_heir)
{
	struct fake_agent *target = third_host();
	const json_t *op;
	char id[32];

	fake_script(&world, "nf1", "final", FAKE_BLOCK, 1);
	move_begin(id);
	wait_for(has_called(nf1, "final") && has_called(gw, "switch"));
	fake_script(&world, target->name, "return", FAKE_BLOCK, 1);
	fake_host_die(nf1);
	wait_for(!strcmp(recovery_state(), "completed"));
	cr_assert(json_is_null(json_object_get(operation(id), "ended")));
	orchestrator_crash();
	wait_for(!json_is_null(json_object_get(operation(id), "ended")));
	op = operation(id);
	cr_expect_str_eq(text(op, "state"), "rolled-back");
	cr_expect(strstr(text(op, "note"), "fw-1 was lost: its flows are fw-2's"), "%s",
		  text(op, "note"));
	cr_expect_eq(number(instance("fw-2"), "slots"), 64);
}
