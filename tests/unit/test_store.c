/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_store.c - what is written is what is read, over restarts; and what isn't ours is refused. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/json.h"
#include "orchestrator/store_internal.h"

static char path[64];
static struct store *store;
static struct model model;
static struct ff_error err;

static void open_again(void)
{
	store_close(store);
	store = NULL;
	model_done(&model);
	model_init(&model);
	cr_assert_eq(store_open(path, 0, &store, &err), 0, "%s", err.message);
}

static void setup(void)
{
	int fd;

	snprintf(path, sizeof(path), "/tmp/ff-store-XXXXXX");
	fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	close(fd);
	model_init(&model);
	cr_assert_eq(store_open(path, 0, &store, &err), 0, "%s", err.message);
}

static void teardown(void)
{
	char beside[80];

	store_close(store);
	model_done(&model);
	unlink(path);
	snprintf(beside, sizeof(beside), "%s-wal", path);
	unlink(beside);
	snprintf(beside, sizeof(beside), "%s-shm", path);
	unlink(beside);
}

TestSuite(store, .init = setup, .fini = teardown);

static void execute(const char *sql)
{
	sqlite3 *db;

	cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
	sqlite3_close(db);
}

static struct service *service_make(void)
{
	struct service *service;
	struct instance *instance;
	uint16_t ids[2], host;
	unsigned int cpus;
	bool steering;

	cr_assert_eq(store_host_id(store, "nf1", &host, &steering, &cpus, &err), 0);
	cr_assert_eq(model_add_service(&model, "fw", 64, &service, &err), 0);
	snprintf(service->nf, sizeof(service->nf), "firewall");
	service->class = strdup("tcp");
	service->config = json_pack("{si}", "timeout", 30);
	service->capacity = 1000;
	for (int i = 0; i < 2; i++) {
		char name[16];

		snprintf(name, sizeof(name), "fw-%d", i + 1);
		cr_assert_eq(model_add_instance(&model, name, service->id, host, &instance, &err),
			     0);
		ids[i] = instance->id;
	}
	owners_spread(&service->table, ids, 2);
	return service;
}

Test(store, epoch_rises_at_each_start)
{
	cr_assert_eq(store_epoch(store), 1);
	open_again();
	cr_assert_eq(store_epoch(store), 2);
	store_close(store);
	cr_assert_eq(store_open(path, 100, &store, &err), 0);
	cr_assert_eq(store_epoch(store), 100);
	open_again();
	cr_assert_eq(store_epoch(store), 101);
}

Test(store, hosts_keep_their_numbers)
{
	struct host host = { .steering = true, .cpus = 7 };
	uint16_t first, second, again;
	unsigned int cpus;
	bool steering;

	cr_assert_eq(store_host_id(store, "gw", &first, &steering, &cpus, &err), 0);
	cr_assert(!steering && !cpus);
	cr_assert_eq(store_host_id(store, "nf1", &second, &steering, &cpus, &err), 0);
	cr_assert_neq(first, second);
	host.id = first;
	cr_assert_eq(store_host_seen(store, &host, &err), 0);
	open_again();
	cr_assert_eq(store_host_id(store, "gw", &again, &steering, &cpus, &err), 0);
	cr_assert(again == first && steering && cpus == 7);
	for (int i = 0; i < FF_HOSTS_MAX; i++) {
		char name[16];

		snprintf(name, sizeof(name), "h%d", i);
		if (store_host_id(store, name, &again, &steering, &cpus, &err) < 0)
			break;
	}
	cr_assert_str_eq(err.code, "refused", "there is no room for %d hosts", FF_HOSTS_MAX + 2);
}

Test(store, service_survives)
{
	struct service *service = service_make(), *loaded;
	struct change change = { .rules_n = 1 };
	struct ff_flow_key key;
	uint64_t seed[2];
	bool exact;

	for (int port = 1; port < 200; port++) {
		char text[FLOW_TEXT_MAX];

		snprintf(text, sizeof(text), "udp [2001:db8::1]:%d [2001:db8::2]:53", port);
		cr_assert_eq(flow_parse(text, &key), 0);
		change_add_flow(&change, &key);
	}
	change_sort(&change);
	change.rules[0].index = 5;
	slotset_set_range(&change.rules[0].slots, 0, 31);
	cr_assert_eq(match_from_text("udp and port 53", &change.rules[0].match, &exact, &err), 0);
	cr_assert_eq(owners_apply(&service->table, &change, 2), 0);
	free(change.flows);
	memcpy(seed, service->table.seed, sizeof(seed));
	cr_assert_eq(store_service_put(store, &model, service, &err), 0, "%s", err.message);

	open_again();
	cr_assert_eq(store_load(store, &model, &err), 0, "%s", err.message);
	loaded = model_find_service(&model, "fw");
	cr_assert_not_null(loaded);
	cr_assert_str_eq(loaded->nf, "firewall");
	cr_assert_str_eq(loaded->class, "tcp");
	cr_assert_eq(json_integer_value(json_object_get(loaded->config, "timeout")), 30);
	cr_assert_arr_eq(loaded->table.seed, seed, sizeof(seed));
	cr_assert_eq(loaded->table.owners[0], 1);
	cr_assert_eq(loaded->table.owners[63], 2);
	cr_assert(loaded->table.rules[5].used);
	cr_assert_eq(loaded->table.rules[5].instance, 2);
	/* pins whose owner the rule names already were superfluous; those of B's slots likewise */
	cr_assert_eq(owners_find(&loaded->table, &key, NULL, NULL), 2);
	cr_assert_not_null(model_find_instance(&model, "fw-2"));

	cr_assert_eq(store_service_delete(store, loaded->id, &err), 0);
	open_again();
	cr_assert_eq(store_load(store, &model, &err), 0);
	cr_assert_null(model_find_service(&model, "fw"));
	cr_assert_null(model_find_instance(&model, "fw-1"), "its instances go with it");
}

Test(store, pins_survive)
{
	struct service *service = service_make(), *loaded;
	struct change change = { 0 };
	struct ff_flow_key key;
	unsigned int port = 1;

	for (; port < 1000; port++) {
		char text[FLOW_TEXT_MAX];

		snprintf(text, sizeof(text), "tcp 198.18.1.2:%u 198.18.2.2:80", port);
		cr_assert_eq(flow_parse(text, &key), 0);
		if (owners_find(&service->table, &key, NULL, NULL) == 1)
			change_add_flow(&change, &key);
	}
	change_sort(&change);
	cr_assert_eq(owners_apply(&service->table, &change, 2), 0);
	cr_assert_eq(service->table.pins_n, change.flows_n);
	cr_assert_eq(store_service_put(store, &model, service, &err), 0, "%s", err.message);
	open_again();
	cr_assert_eq(store_load(store, &model, &err), 0, "%s", err.message);
	loaded = model_find_service(&model, "fw");
	cr_assert_eq(loaded->table.pins_n, change.flows_n);
	for (size_t i = 0; i < change.flows_n; i++)
		cr_assert_eq(owners_pin(&loaded->table, &change.flows[i])->instance, 2);
	free(change.flows);
}

Test(store, damaged_rows_are_refused)
{
	static const char *const damage[] = {
		"UPDATE services SET owners = x'0102'",
		"UPDATE services SET pins = x'010203'",
		"UPDATE services SET rules = '[{\"index\":99}]'",
		"UPDATE services SET config = '{'",
		"UPDATE services SET seed = x''",
		"UPDATE services SET slots = 65",
	};

	for (size_t i = 0; i < ARRAY_SIZE(damage); i++) {
		cr_assert_eq(store_service_put(store, &model, service_make(), &err), 0, "%s",
			     err.message);
		execute(damage[i]);
		open_again();
		cr_assert_lt(store_load(store, &model, &err), 0, "%s", damage[i]);
		execute("DELETE FROM services");
		open_again();
	}
}

/* In an upgrade, the NF of new instances isn't that of the old ones. */
Test(store, instances_keep_their_nf)
{
	struct service *service = service_make();
	struct instance *instance;

	snprintf(service->nf, sizeof(service->nf), "firewall2");
	cr_assert_eq(model_add_instance(&model, "fw-3", service->id, 1, &instance, &err), 0);
	cr_assert_eq(store_service_put(store, &model, service, &err), 0, "%s", err.message);
	open_again();
	cr_assert_eq(store_load(store, &model, &err), 0, "%s", err.message);
	cr_assert_str_eq(model_find_service(&model, "fw")->nf, "firewall2");
	cr_assert_str_eq(model_find_instance(&model, "fw-1")->nf, "firewall");
	cr_assert_str_eq(model_find_instance(&model, "fw-3")->nf, "firewall2");
}

Test(store, a_later_schema_is_refused)
{
	struct store *other = NULL;

	execute("PRAGMA user_version = 999");
	store_close(store);
	store = NULL;
	cr_assert_lt(store_open(path, 0, &other, &err), 0);
	cr_assert(strstr(err.message, "999"), "%s", err.message);
	cr_assert_lt(store_open("/nonexistent/x.db", 0, &other, &err), 0);
}

/* Two orchestrators on one database: the second one changes nothing, not even the epoch. */
Test(store, of_two_at_once_the_second_is_refused)
{
	struct store *other = NULL;
	uint32_t epoch = store_epoch(store);

	cr_assert_eq(store_open(path, 0, &other, &err), -EBUSY);
	cr_assert(strstr(err.message, path) && *err.mend, "%s", err.message);
	open_again();
	cr_assert_eq(store_epoch(store), epoch + 1);
}

/* A database of the first version: without what the later ones have brought. */
Test(store, an_older_schema_is_brought_up_to_date)
{
	_cleanup_json_ json_t *value = json_pack("{si}", "n", 1), *list = NULL, *read = NULL;

	cr_assert_eq(store_service_put(store, &model, service_make(), &err), 0);
	store_close(store);
	store = NULL;
	execute("DROP TABLE settings; DROP INDEX operations_kind;"
		"ALTER TABLE instances DROP COLUMN nf;"
		"ALTER TABLE instances DROP COLUMN standby_of; PRAGMA user_version = 1");
	open_again();
	cr_assert_eq(store_load(store, &model, &err), 0, "%s", err.message);
	cr_assert_not_null(model_find_service(&model, "fw"));
	cr_assert_str_eq(model_find_instance(&model, "fw-2")->nf, "firewall");
	cr_assert_eq(store_setting_put(store, "k", value, &err), 0, "%s", err.message);
	cr_assert_eq(store_operation_list(store, "plan", NULL, 1, &list, &err), 0, "%s",
		     err.message);
	open_again(); /* and only once */
	cr_assert_eq(store_setting_get(store, "k", &read, &err), 0);
	cr_assert(json_equal(read, value));
}

/* ---- settings -------------------------------------------------------------------------------- */

Test(store, settings)
{
	_cleanup_json_ json_t *one = json_pack("{ss}", "mode", "act"), *two = json_pack("[i]", 2);
	json_t *read = one;

	cr_assert_eq(store_setting_get(store, "policy/fw", &read, &err), 0);
	cr_assert_null(read);
	cr_assert_eq(store_setting_put(store, "policy/fw", one, &err), 0, "%s", err.message);
	cr_assert_eq(store_setting_put(store, "drain/nf1", one, &err), 0);
	cr_assert_eq(store_setting_put(store, "policy/fw", two, &err), 0);
	open_again();
	cr_assert_eq(store_setting_get(store, "policy/fw", &read, &err), 0);
	cr_assert(json_equal(read, two));
	json_decref(read);
	cr_assert_eq(store_setting_put(store, "policy/fw", NULL, &err), 0);
	cr_assert_eq(store_setting_put(store, "policy/fw", NULL, &err), 0, "twice is fine");
	cr_assert_eq(store_setting_get(store, "policy/fw", &read, &err), 0);
	cr_assert_null(read);
	cr_assert_eq(store_setting_get(store, "drain/nf1", &read, &err), 0);
	cr_assert(json_equal(read, one));
	json_decref(read);
	execute("UPDATE settings SET value='{'");
	cr_assert_lt(store_setting_get(store, "drain/nf1", &read, &err), 0);
}

/* ---- operations ------------------------------------------------------------------------------ */

static struct operation *operation_put(const char *state, struct service *service)
{
	struct operation *operation = operation_new("move");

	cr_assert_not_null(operation);
	json_put_str(operation->doc, "state", state);
	json_put_str(operation->request, "secret", "kept");
	cr_assert_eq(store_operation_put(store, operation, service, &err), 0, "%s", err.message);
	return operation;
}

Test(store, operations)
{
	struct operation *done = operation_put("completed", NULL);
	struct operation *running = operation_put("running", NULL);
	_cleanup_json_ json_t *open = NULL, *list = NULL, *doc = NULL, *counts = NULL;
	json_t *none = NULL;

	cr_assert_neq(done->token & ~1ull, 0);
	cr_assert_eq(done->token & 1, 0, "odd tokens are the targets' lanes");
	cr_assert_lt(strlen(done->id), OPERATION_ID_MAX);
	open_again();
	cr_assert_eq(store_operation_open(store, &open, &err), 0);
	cr_assert_eq(json_array_size(open), 1);
	cr_assert_str_eq(json_string_value(json_object_get(json_object_get(json_array_get(open, 0),
									   "request"),
							   "secret")),
			 "kept");
	cr_assert_eq(store_operation_list(store, NULL, NULL, 10, &list, &err), 0);
	cr_assert_eq(json_array_size(list), 2);
	cr_assert_str_eq(json_string_value(json_object_get(json_array_get(list, 0), "id")),
			 running->id, "newest first");
	cr_assert_eq(store_operation_get(store, "nope", &none, &err), -ENOENT);
	cr_assert_eq(store_operation_by_token(store, done->token, &doc, &err), 0);
	cr_assert_str_eq(json_string_value(json_object_get(doc, "id")), done->id);
	json_put_str(running->doc, "state", "rolled-back");
	cr_assert_eq(store_operation_put(store, running, NULL, &err), 0);
	cr_assert_eq(store_operation_counts(store, &counts, &err), 0);
	cr_assert_eq(json_integer_value(json_object_get(counts, "rolled-back")), 1);
	cr_assert_eq(json_integer_value(json_object_get(counts, "running")), 0);
	operation_free(done);
	operation_free(running);
}

static int synchronous(void)
{
	sqlite3_stmt *statement;
	int level;

	cr_assert_eq(sqlite3_prepare_v2(store->db, "PRAGMA synchronous", -1, &statement, NULL),
		     SQLITE_OK);
	cr_assert_eq(sqlite3_step(statement), SQLITE_ROW);
	level = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	return level;
}

enum { NORMAL = 1, FULL = 2 };

/* What a power cut may take is the end of an operation, and nothing that comes after it. */
Test(store, a_lax_entry_leaves_the_next_one_firm)
{
	struct operation *operation = operation_put("running", NULL);

	cr_assert_eq(synchronous(), FULL);
	cr_assert_eq(store_operation_note(store, operation, &err), 0, "%s", err.message);
	cr_assert_eq(synchronous(), NORMAL, "it waits for the disk");
	cr_assert_eq(store_operation_put(store, operation, NULL, &err), 0, "%s", err.message);
	cr_assert_eq(synchronous(), FULL);
	operation_free(operation);
}

static int setting_put(void)
{
	_cleanup_json_ json_t *value = json_object();

	return store_setting_put(store, "drain/nf1", value, &err);
}

static int owners_put(void)
{
	return store_owners_put(store, model.services[1], &err);
}

static int instance_delete(void)
{
	return store_instance_delete(store, 1, &err);
}

static int service_delete(void)
{
	return store_service_delete(store, 1, &err);
}

/* Nor what somebody was told of as done. */
Test(store, settings_owners_and_removals_are_firm)
{
	static int (*const writes[])(void) = { setting_put, owners_put, instance_delete,
					       service_delete };
	struct operation *operation = operation_put("running", NULL);

	cr_assert_eq(store_service_put(store, &model, service_make(), &err), 0, "%s", err.message);
	for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
		cr_assert_eq(store_operation_note(store, operation, &err), 0, "%s", err.message);
		cr_assert_eq(synchronous(), NORMAL);
		cr_assert_eq(writes[i](), 0, "%s", err.message);
		cr_expect_eq(synchronous(), FULL, "%zu", i);
	}
	operation_free(operation);
	open_again();
	cr_assert_eq(store_load(store, &model, &err), 0, "%s", err.message);
	cr_expect_null(model.services[1]);
	cr_expect_null(model.instances[2]);
}

Test(store, operations_of_one_kind)
{
	struct operation *plan = operation_new("plan"), *move = operation_put("running", NULL);
	_cleanup_json_ json_t *plans = NULL, *running = NULL;

	json_put_str(plan->doc, "state", "completed");
	cr_assert_eq(store_operation_put(store, plan, NULL, &err), 0);
	cr_assert_eq(store_operation_list(store, "plan", NULL, 10, &plans, &err), 0, "%s",
		     err.message);
	cr_assert_eq(json_array_size(plans), 1);
	cr_assert_str_eq(json_string_value(json_object_get(json_array_get(plans, 0), "id")),
			 plan->id);
	cr_assert_eq(store_operation_list(store, "plan", "running", 10, &running, &err), 0);
	cr_assert_eq(json_array_size(running), 0);
	operation_free(plan);
	operation_free(move);
}

/* Owners and state change together, or not at all. */
Test(store, owners_and_operation_are_one_transaction)
{
	struct service *service = service_make();
	struct operation *operation = operation_new("move");

	cr_assert_eq(store_service_put(store, &model, service, &err), 0);
	execute("CREATE TRIGGER no BEFORE UPDATE OF owners ON services"
		" BEGIN SELECT RAISE(ABORT, 'no'); END");
	owners_spread(&service->table, (uint16_t[]){ 2 }, 1);
	cr_assert_lt(store_operation_put(store, operation, service, &err), 0);
	cr_assert_eq(store_operation_get(store, operation->id, &(json_t *){ NULL }, &err), -ENOENT);
	execute("DROP TRIGGER no");
	cr_assert_eq(store_operation_put(store, operation, service, &err), 0, "%s", err.message);
	open_again();
	cr_assert_eq(store_load(store, &model, &err), 0);
	cr_assert_eq(model_find_service(&model, "fw")->table.owners[0], 2);
	operation_free(operation);
}

Test(store, ids_are_unique_and_sorted)
{
	char before[OPERATION_ID_MAX], id[OPERATION_ID_MAX];

	operation_make_id(before);
	usleep(2000);
	operation_make_id(id);
	cr_assert_lt(strcmp(before, id), 0);
	cr_assert_eq(strlen(id), 20);
}

/* ---- events ---------------------------------------------------------------------------------- */

Test(store, events)
{
	_cleanup_json_ json_t *all = NULL, *last = NULL;

	for (int i = 0; i < 3; i++) {
		_cleanup_json_ json_t *pair = json_pack("[{si} {si}]", "n", 2 * i, "n", 2 * i + 1);

		cr_assert_eq(store_events_put(store, pair, &err), 0, "%s", err.message);
		for (int j = 0; j < 2; j++)
			cr_assert_eq(json_integer_value(
					     json_object_get(json_array_get(pair, j), "seq")),
				     2 * i + j + 1);
	}
	open_again();
	cr_assert_eq(store_event_list(store, 2, 100, &all, &err), 0);
	cr_assert_eq(json_array_size(all), 4);
	cr_assert_eq(json_integer_value(json_object_get(json_array_get(all, 0), "seq")), 3);
	cr_assert_eq(store_event_list(store, -1, 2, &last, &err), 0);
	cr_assert_eq(json_array_size(last), 2);
	cr_assert_eq(json_integer_value(json_object_get(json_array_get(last, 1), "n")), 5);
}
