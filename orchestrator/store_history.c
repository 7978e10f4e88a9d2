/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* store_history.c - operations and events. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/json.h"
#include "orchestrator/store_internal.h"

#define XSTR(x) #x
#define STR(x)	XSTR(x)

/* ---- operations ----------------------------------------------------------------------------- */

/* Each one that is new may push an old one out. */
static int operation_insert(struct store *store, const struct operation *operation,
			    struct ff_error *err)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	char token[17];
	int r;

	r = store_prepare(store,
			  "INSERT INTO operations(id, state, doc, token, request)"
			  " VALUES(?,?,?,?,?)",
			  &statement, err);
	if (r < 0)
		return r;
	snprintf(token, sizeof(token), "%016" PRIx64, operation->token);
	sqlite3_bind_text(statement, 1, operation->id, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(statement, 2, operation_state(operation), -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(statement, 4, token, -1, SQLITE_TRANSIENT);
	if (store_bind_json(statement, 3, operation->doc) ||
	    store_bind_json(statement, 5, operation->request))
		return error_nomem(err);
	r = store_run(store, statement, err);
	if (r < 0)
		return r;
	return store_exec(store,
			  "DELETE FROM operations WHERE state NOT IN ('queued','running') AND"
			  " seq <= (SELECT max(seq) FROM operations) - " STR(STORE_OPERATIONS_MAX),
			  err);
}

/* The request never changes, and may hold 100,000 flows: it is written once. */
static int operation_write(struct store *store, const struct operation *operation,
			   struct ff_error *err)
{
	sqlite3_stmt *statement = NULL;
	int r;

	r = store_keep(store, KEPT_OPERATION, "UPDATE operations SET state=?, doc=? WHERE id=?",
		       &statement, err);
	if (r < 0)
		return r;
	sqlite3_bind_text(statement, 1, operation_state(operation), -1, SQLITE_TRANSIENT);
	if (store_bind_json(statement, 2, operation->doc))
		return error_nomem(err);
	sqlite3_bind_text(statement, 3, operation->id, -1, SQLITE_TRANSIENT);
	r = store_run(store, statement, err);
	if (r == 0 && !sqlite3_changes(store->db))
		r = operation_insert(store, operation, err);
	return r;
}

/* @model: the service's instances, too. */
static int operation_put(struct store *store, const struct operation *operation,
			 const struct model *model, const struct service *service,
			 enum durability durability, struct ff_error *err)
{
	STORE_LOCKED(store);
	int r;

	r = store_transaction(store, durability, err);
	if (r < 0)
		return r;
	r = operation_write(store, operation, err);
	if (r == 0 && service)
		r = store_owners_write(store, service, err);
	if (r == 0 && model)
		r = store_instances_write(store, model, service->id, err);
	return store_finish(store, r, err);
}

int store_operation_put(struct store *store, const struct operation *operation,
			const struct service *service, struct ff_error *err)
{
	return operation_put(store, operation, NULL, service, STORE_FIRM, err);
}

int store_operation_put_all(struct store *store, const struct operation *operation,
			    const struct model *model, const struct service *service,
			    struct ff_error *err)
{
	return operation_put(store, operation, model, service, STORE_FIRM, err);
}

int store_operation_note(struct store *store, const struct operation *operation,
			 struct ff_error *err)
{
	return operation_put(store, operation, NULL, NULL, STORE_LAX, err);
}

static int doc_read(struct store *store, const char *sql, const char *key, json_t **ret_doc,
		    struct ff_error *err)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	STORE_LOCKED(store);
	int r;

	r = store_prepare(store, sql, &statement, err);
	if (r < 0)
		return r;
	sqlite3_bind_text(statement, 1, key, -1, SQLITE_TRANSIENT);
	r = store_step(store, statement, err);
	if (r < 0)
		return r;
	if (r == 0)
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND,
				 "list them: `flowferry operations`", "no operation %s", key);
	return store_json_column(store, statement, 0, ret_doc, err);
}

int store_operation_get(struct store *store, const char *id, json_t **ret_doc, struct ff_error *err)
{
	return doc_read(store, "SELECT doc FROM operations WHERE id=?", id, ret_doc, err);
}

int store_operation_request(struct store *store, const char *id, json_t **ret_doc,
			    json_t **ret_request, struct ff_error *err)
{
	_cleanup_json_ json_t *doc = NULL;
	int r;

	r = store_operation_get(store, id, &doc, err);
	if (r < 0)
		return r;
	r = doc_read(store, "SELECT request FROM operations WHERE id=?", id, ret_request, err);
	if (r == 0)
		*ret_doc = TAKE_PTR(doc);
	return r;
}

int store_operation_by_token(struct store *store, uint64_t token, json_t **ret_doc,
			     struct ff_error *err)
{
	char text[17];

	snprintf(text, sizeof(text), "%016" PRIx64, token);
	return doc_read(store, "SELECT doc FROM operations WHERE token=?", text, ret_doc, err);
}

/* Collects column 0 of all rows into an array; the lock is held. */
static int docs_read(struct store *store, sqlite3_stmt *statement, json_t **ret_docs,
		     struct ff_error *err)
{
	_cleanup_json_ json_t *docs = json_array();
	int r;

	while ((r = store_step(store, statement, err)) > 0) {
		json_t *doc;

		r = store_json_column(store, statement, 0, &doc, err);
		if (r < 0)
			return r;
		if (json_array_append_new(docs, doc))
			return error_nomem(err);
	}
	if (r < 0)
		return r;
	*ret_docs = TAKE_PTR(docs);
	return 0;
}

int store_operation_list(struct store *store, const char *kind, const char *state,
			 unsigned int limit, json_t **ret_docs, struct ff_error *err)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	STORE_LOCKED(store);
	int r;

	/* a kind by its index: plans are few among many moves */
	r = store_prepare(store,
			  kind ? "SELECT doc FROM operations WHERE json_extract(doc,'$.kind')=?3"
				 " AND (?1 IS NULL OR state=?1) ORDER BY seq DESC LIMIT ?2" :
				 "SELECT doc FROM operations WHERE ?1 IS NULL OR state=?1"
				 " ORDER BY seq DESC LIMIT ?2",
			  &statement, err);
	if (r < 0)
		return r;
	if (state)
		sqlite3_bind_text(statement, 1, state, -1, SQLITE_TRANSIENT);
	sqlite3_bind_int64(statement, 2, limit);
	if (kind)
		sqlite3_bind_text(statement, 3, kind, -1, SQLITE_TRANSIENT);
	return docs_read(store, statement, ret_docs, err);
}

int store_operation_open(struct store *store, json_t **ret_list, struct ff_error *err)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	STORE_LOCKED(store);
	int r;

	r = store_prepare(store,
			  "SELECT json_object('doc', json(doc), 'request', json(request))"
			  " FROM operations WHERE state IN ('queued','running') ORDER BY seq",
			  &statement, err);
	if (r < 0)
		return r;
	return docs_read(store, statement, ret_list, err);
}

int store_operation_counts(struct store *store, json_t **ret_counts, struct ff_error *err)
{
	_cleanup_json_ json_t *counts = json_pack("{si si si si si}", "queued", 0, "running", 0,
						  "completed", 0, "failed", 0, "rolled-back", 0);
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	STORE_LOCKED(store);
	int r;

	r = store_prepare(store, "SELECT state, count(*) FROM operations GROUP BY state",
			  &statement, err);
	if (r < 0)
		return r;
	while ((r = store_step(store, statement, err)) > 0)
		json_put_int(counts, (const char *)sqlite3_column_text(statement, 0),
			     sqlite3_column_int64(statement, 1));
	if (r < 0)
		return r;
	*ret_counts = TAKE_PTR(counts);
	return 0;
}

int store_operation_tally(struct store *store, json_t **ret_tally, struct ff_error *err)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	STORE_LOCKED(store);
	int r;

	r = store_prepare(store,
			  "SELECT json_object('kind', json_extract(doc,'$.kind'), 'state', state,"
			  " 'count', count(*)) FROM operations"
			  " GROUP BY json_extract(doc,'$.kind'), state",
			  &statement, err);
	if (r < 0)
		return r;
	return docs_read(store, statement, ret_tally, err);
}

/* ---- events --------------------------------------------------------------------------------- */

static int event_write(struct store *store, json_t *event, struct ff_error *err)
{
	_cleanup_statement_ sqlite3_stmt *insert = NULL, *number = NULL;
	sqlite3_int64 seq;
	int r;

	r = store_prepare(store, "INSERT INTO events(doc) VALUES('')", &insert, err);
	if (r == 0)
		r = store_run(store, insert, err);
	if (r < 0)
		return r;
	seq = sqlite3_last_insert_rowid(store->db);
	if (json_put_int(event, "seq", seq) < 0)
		return error_nomem(err);
	r = store_prepare(store, "UPDATE events SET doc=? WHERE seq=?", &number, err);
	if (r < 0)
		return r;
	if (store_bind_json(number, 1, event))
		return error_nomem(err);
	sqlite3_bind_int64(number, 2, seq);
	return store_run(store, number, err);
}

int store_events_put(struct store *store, json_t *events, struct ff_error *err)
{
	STORE_LOCKED(store);
	json_t *event;
	size_t i;
	int r;

	r = store_transaction(store, STORE_LAX, err);
	if (r < 0)
		return r;
	json_array_foreach(events, i, event)
		if (r == 0)
			r = event_write(store, event, err);
	if (r == 0)
		r = store_exec(
			store,
			"DELETE FROM events WHERE seq <= (SELECT max(seq) FROM events) - " STR(
				STORE_EVENTS_MAX),
			err);
	return store_finish(store, r, err);
}

int store_event_list(struct store *store, int64_t since, unsigned int limit, json_t **ret_events,
		     struct ff_error *err)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	STORE_LOCKED(store);
	int r;

	r = store_prepare(store,
			  since < 0 ? "SELECT doc FROM (SELECT seq, doc FROM events"
				      " ORDER BY seq DESC LIMIT ?2) WHERE ?1 < 0 ORDER BY seq" :
				      "SELECT doc FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2",
			  &statement, err);
	if (r < 0)
		return r;
	sqlite3_bind_int64(statement, 1, since);
	sqlite3_bind_int64(statement, 2, limit);
	return docs_read(store, statement, ret_events, err);
}
