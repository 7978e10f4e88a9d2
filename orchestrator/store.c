/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* store.c - opening the database: schema, epoch; hosts; and what the other store files share. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/lock.h"
#include "orchestrator/store_internal.h"

/* A writer waits so long for another process that looks at the database, e.g. sqlite3(1). */
#define BUSY_TIMEOUT_MS 5000

static const char schema[] =
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;"
	"CREATE TABLE hosts(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
	" steering INTEGER NOT NULL DEFAULT 0, cpus INTEGER NOT NULL DEFAULT 0) STRICT;"
	"CREATE TABLE services(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
	" nf TEXT NOT NULL, class TEXT NOT NULL, config TEXT NOT NULL, capacity INTEGER NOT NULL,"
	" slots INTEGER NOT NULL, seed BLOB NOT NULL, version INTEGER NOT NULL,"
	" owners BLOB NOT NULL, pins BLOB NOT NULL, rules TEXT NOT NULL) STRICT;"
	"CREATE TABLE instances(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
	" service INTEGER NOT NULL REFERENCES services(id) ON DELETE CASCADE,"
	" host INTEGER NOT NULL REFERENCES hosts(id)) STRICT;"
	"CREATE TABLE operations(seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
	" state TEXT NOT NULL, token TEXT NOT NULL, doc TEXT NOT NULL, request TEXT NOT NULL)"
	" STRICT;"
	"CREATE INDEX operations_state ON operations(state);"
	"CREATE INDEX operations_token ON operations(token);"
	"CREATE TABLE events(seq INTEGER PRIMARY KEY AUTOINCREMENT, doc TEXT NOT NULL) STRICT;"
	"INSERT INTO meta VALUES('epoch', 0);";
static const char schema_2[] =
	"CREATE TABLE settings(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;"
	"CREATE INDEX operations_kind ON operations(json_extract(doc,'$.kind'));"
	"PRAGMA user_version = 2;";
static const char schema_3[] =
	"ALTER TABLE instances ADD COLUMN nf TEXT NOT NULL DEFAULT '';"
	"UPDATE instances SET nf = (SELECT nf FROM services WHERE id = service);"
	"PRAGMA user_version = 3;";
static const char schema_4[] =
	"ALTER TABLE instances ADD COLUMN standby_of INTEGER NOT NULL DEFAULT 0;"
	"PRAGMA user_version = 4;";
_Static_assert(STORE_SCHEMA_VERSION == 4, "a new version needs a step in schema_make()");

static void why_set(struct store *store, const char *why)
{
	pthread_mutex_lock(&store->why_lock);
	snprintf(store->why, sizeof(store->why), "%s", why);
	pthread_mutex_unlock(&store->why_lock);
}

void store_trouble(struct store *store, char *ret_why, size_t size)
{
	pthread_mutex_lock(&store->why_lock);
	snprintf(ret_why, size, "%s", store->why);
	pthread_mutex_unlock(&store->why_lock);
}

int store_fail(struct store *store, const char *doing, struct ff_error *err)
{
	if (sqlite3_errcode(store->db) != SQLITE_CONSTRAINT) /* that is of one request */
		why_set(store, sqlite3_errmsg(store->db));
	return error_set(err, EIO, FF_CODE_INTERNAL,
			 "check the disk and the permissions of the database",
			 "database %s: %s: %s", store->path, doing, sqlite3_errmsg(store->db));
}

int store_exec(struct store *store, const char *sql, struct ff_error *err)
{
	if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK)
		return 0;
	return store_fail(store, "execute", err);
}

int store_prepare(struct store *store, const char *sql, sqlite3_stmt **ret, struct ff_error *err)
{
	if (sqlite3_prepare_v2(store->db, sql, -1, ret, NULL) == SQLITE_OK)
		return 0;
	return store_fail(store, "prepare", err);
}

int store_keep(struct store *store, enum kept kept, const char *sql, sqlite3_stmt **ret,
	       struct ff_error *err)
{
	sqlite3_stmt **statement = &store->kept[kept];

	if (!*statement && sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT,
					      statement, NULL) != SQLITE_OK)
		return store_fail(store, "prepare", err);
	*ret = *statement;
	return 0;
}

static int kept_run(struct store *store, enum kept kept, const char *sql, struct ff_error *err)
{
	sqlite3_stmt *statement = NULL;
	int r = store_keep(store, kept, sql, &statement, err);

	return r < 0 ? r : store_run(store, statement, err);
}

int store_run(struct store *store, sqlite3_stmt *statement, struct ff_error *err)
{
	int r = sqlite3_step(statement);

	sqlite3_reset(statement);
	if (r != SQLITE_DONE)
		return store_fail(store, "write", err);
	/* what is within a transaction is written by its end */
	if (sqlite3_get_autocommit(store->db))
		why_set(store, "");
	return 0;
}

int store_step(struct store *store, sqlite3_stmt *statement, struct ff_error *err)
{
	int r = sqlite3_step(statement);

	if (r == SQLITE_ROW)
		return 1;
	return r == SQLITE_DONE ? 0 : store_fail(store, "read", err);
}

/* A write-ahead log is in order by itself, so what is lax is at most lost, and firm with the next. */
int store_transaction(struct store *store, enum durability durability, struct ff_error *err)
{
	bool lax = durability == STORE_LAX;
	int r = 0;

	if (lax != store->lax)
		r = store_exec(store, lax ? "PRAGMA synchronous=NORMAL" : "PRAGMA synchronous=FULL",
			       err);
	if (r < 0)
		return r;
	store->lax = lax;
	return kept_run(store, KEPT_BEGIN, "BEGIN IMMEDIATE", err);
}

int store_finish(struct store *store, int r, struct ff_error *err)
{
	if (r == 0) {
		r = kept_run(store, KEPT_COMMIT, "COMMIT", err);
		if (r == 0)
			return 0;
	}
	/* the error that matters is the first one */
	sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

int store_run_firm(struct store *store, sqlite3_stmt *statement, struct ff_error *err)
{
	int r = store_transaction(store, STORE_FIRM, err);

	return r < 0 ? r : store_finish(store, store_run(store, statement, err), err);
}

int store_bind_json(sqlite3_stmt *statement, int place, const json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);

	if (!text)
		return SQLITE_NOMEM;
	return sqlite3_bind_text(statement, place, text, -1, free);
}

int store_json_column(struct store *store, sqlite3_stmt *statement, int column, json_t **ret,
		      struct ff_error *err)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);
	int r;

	r = json_parse(text ?: "", sqlite3_column_bytes(statement, column), ret, err);
	if (r < 0)
		error_prefix(err, "database %s", store->path);
	return r;
}

/* ---- opening -------------------------------------------------------------------------------- */

static int number_read(struct store *store, const char *sql, int64_t *ret, struct ff_error *err)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	int r;

	r = store_prepare(store, sql, &statement, err);
	if (r < 0)
		return r;
	r = store_step(store, statement, err);
	if (r < 0)
		return r;
	if (r == 0)
		return error_set(err, ENOENT, FF_CODE_INTERNAL, "restore it from a backup",
				 "database %s lacks a row that it must have", store->path);
	*ret = sqlite3_column_int64(statement, 0);
	return 0;
}

static int schema_make(struct store *store, struct ff_error *err)
{
	int64_t version;
	int r;

	r = number_read(store, "PRAGMA user_version", &version, err);
	if (r < 0)
		return r;
	if (version == 0)
		r = store_exec(store, schema, err);
	if (r == 0 && version < 2)
		r = store_exec(store, schema_2, err);
	if (r == 0 && version < 3)
		r = store_exec(store, schema_3, err);
	if (r == 0 && version < 4)
		r = store_exec(store, schema_4, err);
	if (r < 0)
		return r;
	if (version > STORE_SCHEMA_VERSION)
		return error_set(err, ENOTSUP, FF_CODE_REFUSED,
				 "run the version that wrote it, or a later one",
				 "database %s has schema version %lld, this program knows %d",
				 store->path, (long long)version, STORE_SCHEMA_VERSION);
	return 0;
}

static int epoch_raise(struct store *store, uint32_t epoch_min, struct ff_error *err)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	int64_t epoch;
	int r;

	r = number_read(store, "SELECT value FROM meta WHERE key='epoch'", &epoch, err);
	if (r < 0)
		return r;
	epoch = MAX(epoch + 1, (int64_t)epoch_min);
	r = store_prepare(store, "UPDATE meta SET value=? WHERE key='epoch'", &statement, err);
	if (r < 0)
		return r;
	sqlite3_bind_int64(statement, 1, epoch);
	r = store_run(store, statement, err);
	if (r == 0)
		store->epoch = epoch;
	return r;
}

static int store_begin(struct store *store, uint32_t epoch_min, struct ff_error *err)
{
	int r;

	/* FULL: what was journalled before acting must be there after a power cut, too */
	r = store_exec(store,
		       "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON",
		       err);
	if (r < 0)
		return r;
	r = store_transaction(store, STORE_FIRM, err);
	if (r < 0)
		return r;
	r = schema_make(store, err);
	if (r == 0)
		r = epoch_raise(store, epoch_min, err);
	return store_finish(store, r, err);
}

int store_open(const char *path, uint32_t epoch_min, struct store **ret, struct ff_error *err)
{
	_cleanup_(store_closep) struct store *store = calloc(1, sizeof(*store));
	int r = 0;

	if (!store)
		return error_nomem(err);
	pthread_mutex_init(&store->lock, NULL);
	pthread_mutex_init(&store->why_lock, NULL);
	store->owner_fd = -1;
	store->path = strdup(path);
	if (!store->path)
		return error_nomem(err);
	if (strcmp(path, ":memory:") != 0)
		r = lock_take(path, O_RDWR | O_CREAT, "database", &store->owner_fd, err);
	if (r < 0)
		return r;
	if (sqlite3_open_v2(path, &store->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX,
			    NULL) != SQLITE_OK)
		return store_fail(store, "open", err);
	sqlite3_busy_timeout(store->db, BUSY_TIMEOUT_MS);
	r = store_begin(store, epoch_min, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(store);
	return 0;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(store->kept); i++)
		sqlite3_finalize(store->kept[i]); /* takes NULL */
	sqlite3_close(store->db);
	if (store->owner_fd >= 0)
		close(store->owner_fd);
	pthread_mutex_destroy(&store->why_lock);
	pthread_mutex_destroy(&store->lock);
	free(store->path);
	free(store);
}

uint32_t store_epoch(const struct store *store)
{
	return store->epoch;
}

/* ---- hosts ---------------------------------------------------------------------------------- */

static int host_insert(struct store *store, const char *name, struct ff_error *err)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	int r;

	r = store_prepare(store, "INSERT OR IGNORE INTO hosts(name) VALUES(?)", &statement, err);
	if (r < 0)
		return r;
	sqlite3_bind_text(statement, 1, name, -1, SQLITE_TRANSIENT);
	return store_run(store, statement, err);
}

int store_host_id(struct store *store, const char *name, uint16_t *ret_id, bool *ret_steering,
		  unsigned int *ret_cpus, struct ff_error *err)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	STORE_LOCKED(store);
	int64_t id;
	int r;

	r = host_insert(store, name, err);
	if (r < 0)
		return r;
	r = store_prepare(store, "SELECT id, steering, cpus FROM hosts WHERE name=?", &statement,
			  err);
	if (r < 0)
		return r;
	sqlite3_bind_text(statement, 1, name, -1, SQLITE_TRANSIENT);
	r = store_step(store, statement, err);
	if (r <= 0)
		return r < 0 ? r : store_fail(store, "read back a host", err);
	id = sqlite3_column_int64(statement, 0);
	if (id >= FF_HOSTS_MAX)
		return error_set(err, ENOSPC, FF_CODE_REFUSED,
				 "delete rows of hosts that are no more from its table `hosts`",
				 "database %s has known %d hosts, the most there may be",
				 store->path, FF_HOSTS_MAX - 1);
	*ret_id = id;
	*ret_steering = sqlite3_column_int(statement, 1);
	*ret_cpus = sqlite3_column_int(statement, 2);
	return 0;
}

int store_host_seen(struct store *store, const struct host *host, struct ff_error *err)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	STORE_LOCKED(store);
	int r;

	r = store_prepare(store, "UPDATE hosts SET steering=?, cpus=? WHERE id=?", &statement, err);
	if (r < 0)
		return r;
	sqlite3_bind_int(statement, 1, host->steering);
	sqlite3_bind_int(statement, 2, (int)host->cpus);
	sqlite3_bind_int(statement, 3, host->id);
	return store_run(store, statement, err);
}
