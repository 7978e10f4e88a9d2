/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * orchestrator.h - the daemon as a whole: what its modules share.
 *
 * Layers, each using only what is above it:
 *
 *	move owners change operation	pure
 *	model store config		what is known, in memory and on disk
 *	events agent_client desired	telling: clients, agents
 *	monitor subject migration action	doing
 *	detect lease failover		fault recovery (detect and lease are pure)
 *	driver elasticity		carrying plans out
 *	standby protection		copies for fault recovery (standby is pure)
 *	gather analyzer planner loop	deciding (analyzer and planner are pure)
 *	settings recovery northbound main	beginning
 *
 * Locks, in this order: the model's, the events', the store's.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "lib/http_client.h"
#include "lib/http_server.h"
#include "orchestrator/config.h"
#include "orchestrator/model.h"
#include "orchestrator/store.h"

struct events;
struct samples;
struct monitor;
struct migrations;
struct elasticity;
struct gather;
struct loop;
struct protection;
struct failover;

struct orchestrator {
	const struct orch_config *config;
	struct store *store;
	struct model model;
	struct events *events;
	struct monitor *monitor;
	struct samples *samples;
	struct migrations *migrations;
	struct elasticity *elasticity;
	struct gather *gather;
	struct protection *protection;
	struct failover *failover;
	struct loop *loop;
	struct http_server *server;
	uint64_t started_ns;
	char epoch_header[48];
	const char *headers[2]; /* of every request to an agent; ends with NULL */
};

/* Opens the database and makes the model; no thread runs and nothing is sent yet. */
int orchestrator_new(const struct orch_config *config, uint32_t epoch_min,
		     struct orchestrator **ret, struct ff_error *err);
/* Recovery, monitors, the loop; then the API. */
int orchestrator_start(struct orchestrator *orch, struct ff_error *err);
/* Ends what runs, within bounds, and frees all. NULL is fine. */
void orchestrator_free(struct orchestrator *orch);
DEFINE_CLEANUP(struct orchestrator *, orchestrator_free);
