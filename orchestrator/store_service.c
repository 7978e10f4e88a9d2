/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* store_service.c - services, their owners, and instances. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "orchestrator/store_internal.h"

/* Blobs are little-endian, so that a database can be carried to another machine. */
struct pin_record {
	struct ff_flow_key key; /* bytes and network order only, service 0 */
	uint16_t instance;
} __attribute__((packed));

static int bind_owners(sqlite3_stmt *statement, int place, const struct owners *table)
{
	uint16_t owners[FF_SLOTS_MAX];

	for (unsigned int slot = 0; slot < table->slots; slot++)
		owners[slot] = htole16(table->owners[slot]);
	return sqlite3_bind_blob(statement, place, owners, (int)(table->slots * sizeof(owners[0])),
				 SQLITE_TRANSIENT);
}

static int bind_pins(sqlite3_stmt *statement, int place, const struct owners *table)
{
	struct pin_record *records;

	if (!table->pins_n)
		return sqlite3_bind_zeroblob(statement, place, 0);
	records = calloc(table->pins_n, sizeof(*records));
	if (!records)
		return SQLITE_NOMEM;
	for (size_t i = 0; i < table->pins_n; i++) {
		records[i].key = table->pins[i].key;
		records[i].instance = htole16(table->pins[i].instance);
	}
	return sqlite3_bind_blob(statement, place, records, (int)(table->pins_n * sizeof(*records)),
				 free);
}

static json_t *rules_to_json(const struct owners *table)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < FF_RULES_MAX; i++) {
		const struct rule *rule = &table->rules[i];
		_cleanup_free_ char *slots = NULL;
		char match[MATCH_TEXT_MAX];

		if (!rule->used)
			continue;
		if (match_format(&rule->match, match) < 0 ||
		    slotset_format(&rule->slots, &slots) < 0 ||
		    json_array_append_new(list,
					  json_pack("{si ss ss si}", "index", i, "match", match,
						    "slots", slots, "instance", rule->instance))) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

int store_owners_write(struct store *store, const struct service *service, struct ff_error *err)
{
	_cleanup_json_ json_t *rules = rules_to_json(&service->table);
	sqlite3_stmt *statement = NULL;
	int r;

	if (!rules)
		return error_nomem(err);
	r = store_keep(store, KEPT_OWNERS,
		       "UPDATE services SET owners=?, pins=?, rules=?, version=? WHERE id=?",
		       &statement, err);
	if (r < 0)
		return r;
	if (bind_owners(statement, 1, &service->table) ||
	    bind_pins(statement, 2, &service->table) || store_bind_json(statement, 3, rules))
		return error_nomem(err);
	sqlite3_bind_int64(statement, 4, (sqlite3_int64)service->table.version);
	sqlite3_bind_int(statement, 5, service->id);
	return store_run(store, statement, err);
}

static int service_write(struct store *store, const struct service *service, struct ff_error *err)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	uint64_t seed[2] = { htole64(service->table.seed[0]), htole64(service->table.seed[1]) };
	int r;

	r = store_prepare(store,
			  "INSERT INTO services VALUES(?1,?2,?3,?4,?5,?6,?7,?8,0,x'',x'','[]')"
			  " ON CONFLICT(id) DO UPDATE SET name=?2, nf=?3, class=?4, config=?5,"
			  " capacity=?6, slots=?7, seed=?8",
			  &statement, err);
	if (r < 0)
		return r;
	sqlite3_bind_int(statement, 1, service->id);
	sqlite3_bind_text(statement, 2, service->name, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(statement, 3, service->nf, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(statement, 4, service->class, -1, SQLITE_TRANSIENT);
	if (store_bind_json(statement, 5, service->config))
		return error_nomem(err);
	sqlite3_bind_int64(statement, 6, (sqlite3_int64)service->capacity);
	sqlite3_bind_int(statement, 7, (int)service->table.slots);
	sqlite3_bind_blob(statement, 8, seed, sizeof(seed), SQLITE_TRANSIENT);
	return store_run(store, statement, err);
}

int store_instances_write(struct store *store, const struct model *model, uint16_t service,
			  struct ff_error *err)
{
	_cleanup_statement_ sqlite3_stmt *delete = NULL, *insert = NULL;
	int r;

	r = store_prepare(store, "DELETE FROM instances WHERE service=?", &delete, err);
	if (r == 0)
		r = store_prepare(store, "INSERT INTO instances VALUES(?,?,?,?,?,?)", &insert, err);
	if (r < 0)
		return r;
	sqlite3_bind_int(delete, 1, service);
	r = store_run(store, delete, err);
	for (unsigned int i = 0; r == 0 && i < FF_INSTANCES_MAX; i++) {
		const struct instance *instance = model->instances[i];

		if (!instance || instance->service != service)
			continue;
		sqlite3_bind_int(insert, 1, instance->id);
		sqlite3_bind_text(insert, 2, instance->name, -1, SQLITE_TRANSIENT);
		sqlite3_bind_int(insert, 3, instance->service);
		sqlite3_bind_int(insert, 4, instance->host);
		sqlite3_bind_text(insert, 5, instance->nf, -1, SQLITE_TRANSIENT);
		sqlite3_bind_int(insert, 6, instance->standby_of);
		r = store_run(store, insert, err);
	}
	return r;
}

int store_service_put(struct store *store, const struct model *model, const struct service *service,
		      struct ff_error *err)
{
	STORE_LOCKED(store);
	int r;

	r = store_transaction(store, STORE_FIRM, err);
	if (r < 0)
		return r;
	r = service_write(store, service, err);
	if (r == 0)
		r = store_owners_write(store, service, err);
	if (r == 0)
		r = store_instances_write(store, model, service->id, err);
	return store_finish(store, r, err);
}

int store_owners_put(struct store *store, const struct service *service, struct ff_error *err)
{
	STORE_LOCKED(store);
	int r = store_transaction(store, STORE_FIRM, err);

	return r < 0 ? r : store_finish(store, store_owners_write(store, service, err), err);
}

int store_service_delete(struct store *store, uint16_t id, struct ff_error *err)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	STORE_LOCKED(store);
	int r;

	r = store_prepare(store, "DELETE FROM services WHERE id=?", &statement, err);
	if (r < 0)
		return r;
	sqlite3_bind_int(statement, 1, id);
	return store_run_firm(store, statement, err);
}

int store_instance_delete(struct store *store, uint16_t id, struct ff_error *err)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	STORE_LOCKED(store);
	int r;

	r = store_prepare(store, "DELETE FROM instances WHERE id=?1 OR standby_of=?1", &statement,
			  err);
	if (r < 0)
		return r;
	sqlite3_bind_int(statement, 1, id);
	return store_run_firm(store, statement, err);
}

/* ---- loading -------------------------------------------------------------------------------- */

static int bad_row(struct store *store, const char *what, const char *name, struct ff_error *err)
{
	return error_set(err, EINVAL, FF_CODE_INTERNAL, "restore it from a backup",
			 "database %s: %s of service %s is damaged", store->path, what, name);
}

static int owners_read(sqlite3_stmt *statement, int column, struct owners *table)
{
	const uint16_t *owners = sqlite3_column_blob(statement, column);

	if (sqlite3_column_bytes(statement, column) != (int)(table->slots * sizeof(*owners)))
		return -EINVAL;
	for (unsigned int slot = 0; slot < table->slots; slot++) {
		table->owners[slot] = le16toh(owners[slot]);
		if (table->owners[slot] >= FF_INSTANCES_MAX)
			return -EINVAL;
	}
	return 0;
}

static int pins_read(sqlite3_stmt *statement, int column, struct owners *table)
{
	const struct pin_record *records = sqlite3_column_blob(statement, column);
	size_t size = sqlite3_column_bytes(statement, column);

	if (size % sizeof(*records))
		return -EINVAL;
	if (!size)
		return 0;
	table->pins = calloc(size / sizeof(*records), sizeof(*table->pins));
	if (!table->pins)
		return -ENOMEM;
	for (table->pins_n = 0; table->pins_n < size / sizeof(*records); table->pins_n++) {
		struct pin *pin = &table->pins[table->pins_n];

		pin->key = records[table->pins_n].key;
		pin->instance = le16toh(records[table->pins_n].instance);
	}
	return 0;
}

static int rules_read(const json_t *list, struct owners *table, struct ff_error *err)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		const char *match, *slots;
		struct rule rule = { .used = true };
		int64_t index;
		bool exact;

		if (json_get_range(item, "index", 0, FF_RULES_MAX - 1, &index, err) < 0 ||
		    json_get_str(item, "match", &match, err) < 0 ||
		    json_get_str(item, "slots", &slots, err) < 0 ||
		    json_get_u16(item, "instance", &rule.instance, err) < 0 ||
		    match_from_text(match, &rule.match, &exact, err) < 0 || !exact ||
		    slotset_parse(slots, table->slots, &rule.slots, err) < 0)
			return -EINVAL;
		table->rules[index] = rule;
	}
	return 0;
}

static int service_read(struct store *store, sqlite3_stmt *row, struct service *service,
			struct ff_error *err)
{
	_cleanup_json_ json_t *rules = NULL;
	const void *seed;
	int r;

	service->id = sqlite3_column_int(row, 0);
	snprintf(service->name, sizeof(service->name), "%s", sqlite3_column_text(row, 1));
	snprintf(service->nf, sizeof(service->nf), "%s", sqlite3_column_text(row, 2));
	service->class = strdup((const char *)sqlite3_column_text(row, 3));
	if (!service->class)
		return error_nomem(err);
	r = store_json_column(store, row, 4, &service->config, err);
	if (r < 0)
		return r;
	service->capacity = sqlite3_column_int64(row, 5);
	if (!service->id || service->id >= FF_SERVICES_MAX ||
	    owners_init(&service->table, sqlite3_column_int(row, 6)) < 0)
		return bad_row(store, "the number of slots", service->name, err);
	seed = sqlite3_column_blob(row, 7);
	if (sqlite3_column_bytes(row, 7) != sizeof(service->table.seed))
		return bad_row(store, "the seed", service->name, err);
	memcpy(service->table.seed, seed, sizeof(service->table.seed));
	service->table.seed[0] = le64toh(service->table.seed[0]);
	service->table.seed[1] = le64toh(service->table.seed[1]);
	service->table.version = sqlite3_column_int64(row, 8);
	if (owners_read(row, 9, &service->table) < 0)
		return bad_row(store, "the owners", service->name, err);
	if (pins_read(row, 10, &service->table) < 0)
		return bad_row(store, "the pins", service->name, err);
	r = store_json_column(store, row, 11, &rules, err);
	if (r < 0)
		return r;
	if (rules_read(rules, &service->table, err) < 0)
		return bad_row(store, "the rules", service->name, err);
	return 0;
}

static int services_load(struct store *store, struct model *model, struct ff_error *err)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	int r;

	r = store_prepare(store, "SELECT * FROM services", &statement, err);
	if (r < 0)
		return r;
	while ((r = store_step(store, statement, err)) > 0) {
		struct service *service = calloc(1, sizeof(*service));

		if (!service)
			return error_nomem(err);
		r = service_read(store, statement, service, err);
		if (r < 0) {
			service_free(service);
			return r;
		}
		model_adopt_service(model, service);
	}
	return r;
}

int store_load(struct store *store, struct model *model, struct ff_error *err)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	STORE_LOCKED(store);
	int r;

	r = services_load(store, model, err);
	if (r < 0)
		return r;
	r = store_prepare(
		store, "SELECT id, name, service, host, nf, standby_of FROM instances ORDER BY id",
		&statement, err);
	if (r < 0)
		return r;
	while ((r = store_step(store, statement, err)) > 0) {
		struct instance *instance = calloc(1, sizeof(*instance));

		if (!instance)
			return error_nomem(err);
		instance->id = sqlite3_column_int(statement, 0) & (FF_INSTANCES_MAX - 1);
		snprintf(instance->name, sizeof(instance->name), "%s",
			 sqlite3_column_text(statement, 1));
		instance->service = sqlite3_column_int(statement, 2);
		instance->host = sqlite3_column_int(statement, 3);
		snprintf(instance->nf, sizeof(instance->nf), "%s",
			 sqlite3_column_text(statement, 4));
		instance->standby_of = sqlite3_column_int(statement, 5);
		model_adopt_instance(model, instance);
	}
	return r;
}
