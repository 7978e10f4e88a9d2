/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* store_internal.h - for store*.c only: they speak SQLite, the others don't. */
#pragma once

#include <pthread.h>
#include <sqlite3.h>

#include "lib/cleanup.h"
#include "orchestrator/store.h"

/* What each move writes, prepared once; the rest is prepared for each use. */
enum kept {
	KEPT_BEGIN,
	KEPT_COMMIT,
	KEPT_OPERATION,
	KEPT_OWNERS,
	KEPT_COUNT,
};

struct store {
	sqlite3 *db;
	/*
	 * flock() on the database, from before its epoch is raised: a second orchestrator with it would
	 * take the hosts away from the first. Closed after db: closing any descriptor of a file ends
	 * the locks of another kind that SQLite has on it. -1: a database in memory.
	 */
	int owner_fd;
	pthread_mutex_t lock;
	uint32_t epoch;
	bool lax; /* PRAGMA synchronous is NORMAL now */
	char *path;
	sqlite3_stmt *kept[KEPT_COUNT];
	pthread_mutex_t
		why_lock; /* for `why` alone: innermost, and never held while the disk works */
	char why[160];
};

enum durability {
	STORE_FIRM, /* survives a power cut: waits for the disk */
	STORE_LAX, /* survives our own crash; a power cut may undo it, and then all that came after */
};

static inline void statement_done(sqlite3_stmt **held)
{
	sqlite3_finalize(*held); /* takes NULL */
}
#define _cleanup_statement_ _cleanup_(statement_done)

static inline void store_unlockp(struct store **held)
{
	pthread_mutex_unlock(&(*held)->lock);
}
#define STORE_LOCKED(store)                                                                        \
	__attribute__((unused)) _cleanup_(store_unlockp) struct store *_locked =                   \
		(pthread_mutex_lock(&(store)->lock), (store))

/* All of these want the lock. */
int store_fail(struct store *store, const char *doing, struct ff_error *err);
int store_exec(struct store *store, const char *sql, struct ff_error *err);
int store_prepare(struct store *store, const char *sql, sqlite3_stmt **ret, struct ff_error *err);
/* Likewise, but the store keeps it; its parameters are those of the last time until they are bound. */
int store_keep(struct store *store, enum kept kept, const char *sql, sqlite3_stmt **ret,
	       struct ff_error *err);
/* Runs a statement that returns no rows. */
int store_run(struct store *store, sqlite3_stmt *statement, struct ff_error *err);
/* The same in a transaction of its own, which survives a power cut, however lax the one before was. */
int store_run_firm(struct store *store, sqlite3_stmt *statement, struct ff_error *err);
/* 1: a row; 0: no more. */
int store_step(struct store *store, sqlite3_stmt *statement, struct ff_error *err);
int store_transaction(struct store *store, enum durability durability, struct ff_error *err);
/* COMMIT if r is 0, else ROLLBACK; returns r, or the commit's failure. */
int store_finish(struct store *store, int r, struct ff_error *err);

int store_owners_write(struct store *store, const struct service *service, struct ff_error *err);
int store_instances_write(struct store *store, const struct model *model, uint16_t service,
			  struct ff_error *err);
int store_json_column(struct store *store, sqlite3_stmt *statement, int column, json_t **ret,
		      struct ff_error *err);
int store_bind_json(sqlite3_stmt *statement, int place, const json_t *json);
