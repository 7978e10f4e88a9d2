/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * store.h - the journal: SQLite in WAL mode, every write a transaction.
 *
 * Holds what no agent can rebuild from its kernel: the epoch, the hosts' numbers, services with
 * their owners, instances, operations, events. Functions may be called by any thread.
 *
 * Errors: -EIO with SQLite's words in *err, code `internal`; -ENOENT where a row isn't there.
 */
#pragma once

#include <stdint.h>
#include <jansson.h>

#include "lib/cleanup.h"
#include "lib/error.h"
#include "orchestrator/model.h"
#include "orchestrator/operation.h"

#define STORE_SCHEMA_VERSION 4
#define STORE_EVENTS_MAX     100000 /* 20 MB; the oldest go */
#define STORE_OPERATIONS_MAX 100000 /* likewise, ended ones */

struct store;

/*
 * Opens or creates the database and raises its epoch by one, at least to @epoch_min. A database of
 * a later schema is refused. ":memory:" is one for tests.
 */
int store_open(const char *path, uint32_t epoch_min, struct store **ret, struct ff_error *err);
void store_close(struct store *store);
DEFINE_CLEANUP(struct store *, store_close);
uint32_t store_epoch(const struct store *store);
/* Why it failed last, if nothing has been written since; else empty. Doesn't wait for the disk. */
void store_trouble(struct store *store, char *ret_why, size_t size);

/* The number of a host by its name: the same for ever, a new one if it's new. -ENOSPC. */
int store_host_id(struct store *store, const char *name, uint16_t *ret_id, bool *ret_steering,
		  unsigned int *ret_cpus, struct ff_error *err);
int store_host_seen(struct store *store, const struct host *host, struct ff_error *err);

/* Reads services and instances into an empty model. */
int store_load(struct store *store, struct model *model, struct ff_error *err);

/* Writes a service and all of its instances, as they are in the model, in one transaction. */
int store_service_put(struct store *store, const struct model *model, const struct service *service,
		      struct ff_error *err);
/* Only its owners, pins and rules. */
int store_owners_put(struct store *store, const struct service *service, struct ff_error *err);
int store_service_delete(struct store *store, uint16_t id, struct ff_error *err);
/* With its standby. */
int store_instance_delete(struct store *store, uint16_t id, struct ff_error *err);

/* Adds or replaces an operation; with @service, its owners too, in the same transaction. */
int store_operation_put(struct store *store, const struct operation *operation,
			const struct service *service, struct ff_error *err);
/* Likewise with the service's owners and all of its instances, as they are in the model. */
int store_operation_put_all(struct store *store, const struct operation *operation,
			    const struct model *model, const struct service *service,
			    struct ff_error *err);
/*
 * As put, for what recovery can do without: it doesn't wait for the disk. Our own crash leaves it,
 * a power cut may not.
 */
int store_operation_note(struct store *store, const struct operation *operation,
			 struct ff_error *err);
/* The doc of one operation: a new reference. */
int store_operation_get(struct store *store, const char *id, json_t **ret_doc,
			struct ff_error *err);
/* Its doc and its request: new references. */
int store_operation_request(struct store *store, const char *id, json_t **ret_doc,
			    json_t **ret_request, struct ff_error *err);
/* Newest first; kind and state NULL: all. */
int store_operation_list(struct store *store, const char *kind, const char *state,
			 unsigned int limit, json_t **ret_docs, struct ff_error *err);
/* [{"doc","request"}] of those queued or running, oldest first. */
int store_operation_open(struct store *store, json_t **ret_list, struct ff_error *err);
/* {"running":n,"completed":n,"failed":n,"rolled-back":n,"queued":n} */
int store_operation_counts(struct store *store, json_t **ret_counts, struct ff_error *err);
/* [{"kind","state","count"}] */
int store_operation_tally(struct store *store, json_t **ret_tally, struct ff_error *err);
/* The operation with that token. */
int store_operation_by_token(struct store *store, uint64_t token, json_t **ret_doc,
			     struct ff_error *err);

/*
 * What an operator has set, by a key of letters, digits, '/', '-': a JSON object or array. Put NULL:
 * not set any more. *ret_value: a new reference, NULL if it isn't set.
 */
int store_setting_put(struct store *store, const char *key, const json_t *value,
		      struct ff_error *err);
int store_setting_get(struct store *store, const char *key, json_t **ret_value,
		      struct ff_error *err);

/* Appends and numbers events: puts "seq" into each of the array. All or none; a power cut may take
 * the last ones. */
int store_events_put(struct store *store, json_t *events, struct ff_error *err);
/* Those after @since, oldest first, at most @limit; @since below 0: the last @limit ones. */
int store_event_list(struct store *store, int64_t since, unsigned int limit, json_t **ret_events,
		     struct ff_error *err);
