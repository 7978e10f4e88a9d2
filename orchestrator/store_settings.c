/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* store_settings.c - what operators have set: policies, hosts under maintenance, a pause. */
#include "lib/json.h"
#include "orchestrator/store_internal.h"

int store_setting_put(struct store *store, const char *key, const json_t *value,
		      struct ff_error *err)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	STORE_LOCKED(store);
	int r;

	r = store_prepare(store,
			  value ? "INSERT OR REPLACE INTO settings(value, key) VALUES(?2, ?1)" :
				  "DELETE FROM settings WHERE key=?1",
			  &statement, err);
	if (r < 0)
		return r;
	sqlite3_bind_text(statement, 1, key, -1, SQLITE_TRANSIENT);
	if (value && store_bind_json(statement, 2, value))
		return error_nomem(err);
	return store_run_firm(store, statement, err);
}

int store_setting_get(struct store *store, const char *key, json_t **ret_value,
		      struct ff_error *err)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	STORE_LOCKED(store);
	int r;

	*ret_value = NULL;
	r = store_prepare(store, "SELECT value FROM settings WHERE key=?", &statement, err);
	if (r < 0)
		return r;
	sqlite3_bind_text(statement, 1, key, -1, SQLITE_TRANSIENT);
	r = store_step(store, statement, err);
	return r <= 0 ? r : store_json_column(store, statement, 0, ret_value, err);
}
