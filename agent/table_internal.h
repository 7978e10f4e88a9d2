/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* table_internal.h - what table.c and table_watch.c share: edits of a spare bank. All under the lock. */
#pragma once

#include <pthread.h>

#include "agent/table.h"

/* Keys of pins whose two banks differ since the last edit of the service. */
struct touched {
	struct ff_flow_key *keys;
	size_t count, room;
};

/* An instance whose entries note changes in a lane; see table_watch(). */
struct watch {
	uint16_t service;
	uint8_t lane;
	struct slotset changed;
};

struct table {
	pthread_mutex_t lock;
	struct datapath *dp;
	struct cpus *cpus;
	uint64_t marks[FF_SERVICES_MAX]; /* a grace period since: nobody reads the spare bank */
	struct touched touched[FF_SERVICES_MAX];
	struct watch *watches[FF_INSTANCES_MAX];
};

static const struct ff_steer table_absent = { .flags = FF_STEER_ABSENT };

/* Brings the spare bank up to date, once nobody reads it. Returns its number. */
uint32_t table_edit_begin(struct table *table, uint16_t service);

/* The one step; when it was. */
uint64_t table_edit_commit(struct table *table, uint16_t service, uint32_t spare);

/* Undoes pins written to the spare bank by an edit that can't be finished. */
int table_edit_fail(struct table *table, uint16_t service, int error, struct ff_error *err);

/* Writes one bank of a pin, keeping the other one. */
int table_pin_write(struct table *table, const struct ff_flow_key *key, uint32_t bank,
		    const struct ff_steer *steer);

/* What to write for an entry: a plain one of a watched instance logs, whoever writes it. */
struct ff_steer table_watched(const struct table *table, struct ff_steer steer);

/* A slot's own entry changes: who gives its flows away, and who gets them? */
void table_slot_changes(struct table *table, uint32_t slot, const struct ff_steer *from,
			const struct ff_steer *to);

/*
 * An exception in a slot comes, changes or goes; `below` is the slot's own entry, to which its flows
 * belong without it.
 */
void table_exception_changes(struct table *table, uint32_t slot, const struct ff_steer *from,
			     const struct ff_steer *to, const struct ff_steer *below);
