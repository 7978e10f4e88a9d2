/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * operation.h - one operation: what was asked for, what has become of it.
 *
 * `doc` is the operation as API.md shows it; `request` is what its driver needs to carry on after a
 * restart: the hosts with their roles, the token, the whole subject. Both are written to the store.
 * The model's lock guards a struct operation; `id` and `request` never change.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

#include "lib/cleanup.h"
#include "orchestrator/owners.h"

#define OPERATION_ID_MAX 24 /* with its NUL: struct ff_lane has as much room */

/* How many flows of a subject the API shows. The store has them all. */
#define OPERATION_FLOWS_SHOWN 16

struct migration; /* migration.c: the driver */
struct model;

struct operation {
	struct operation *next;
	char id[OPERATION_ID_MAX];
	uint64_t token; /* told to the data path: proves that a fence is this move's */
	uint16_t service;
	uint16_t from; /* of a move: or who has taken over from it */
	uint16_t to;
	struct change *subject;
	json_t *doc;
	json_t *request;
	bool cancel;
	bool can_cancel;
	struct migration *migration; /* NULL: not driven (yet, or any more) */
};

/* A new operation with an id, a token and a doc in state `queued`. NULL: out of memory. */
struct operation *operation_new(const char *kind);
void operation_free(struct operation *operation);
DEFINE_CLEANUP(struct operation *, operation_free);
#define _cleanup_operation_ _cleanup_(operation_freep)

/* Ids sort by time: 48 bits of milliseconds, 50 of chance, in Crockford's base 32. */
void operation_make_id(char ret_id[OPERATION_ID_MAX]);

struct operation *operation_find(const struct model *model, const char *id);
void operation_link(struct model *model, struct operation *operation);
void operation_unlink(struct model *model, struct operation *operation);

const char *operation_state(const struct operation *operation);
