/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * migration.h - drives moves: one thread for each running operation, which performs what the state
 * machine (move.h) says, tells it what came of it, and journals each phase before acting on it.
 *
 * The owners change in the model and in the store in the same transaction that journals `finish`:
 * from then on the target has committed, and every configuration that is sent says so.
 */
#pragma once

#include "orchestrator/operation.h"
#include "orchestrator/orchestrator.h"

/* a host that takes part in all can't hold more, with all its instances replicated */
#define MIGRATION_RUNNING_MAX  (FF_LANES_MAX - FF_REPLICAS_MAX)
#define MIGRATION_STEERING_MAX (FF_STEERING_MAX - 1) /* the last place is for the target's fence */
#define MIGRATION_STOP_MS      10000 /* a daemon that stops waits so long for what runs */
#define MIGRATION_SETTLE_MS    30000

struct migrations;

int migrations_new(struct orchestrator *orch, struct migrations **ret, struct ff_error *err);
/*
 * Waits up to MIGRATION_STOP_MS for running operations; those that last longer are left as they
 * are, for recovery. No operation may be started any more. NULL is fine.
 */
void migrations_stop(struct migrations *migrations);

/*
 * Fills operation->request (hosts, roles, bodies) from the model. The lock is held. Refused if a
 * host that must take part is down or there are too many steering hosts.
 */
int migration_plan(struct orchestrator *orch, struct operation *operation, const char *guarantee,
		   const char *on_overflow, uint32_t park_limit, struct ff_error *err);

/*
 * Starts the driver of an operation that is linked into the model and stored. The lock is held.
 * @recover: carry on from the phase in its doc.
 */
int migration_start(struct orchestrator *orch, struct operation *operation, bool recover,
		    struct ff_error *err);

/* Asks the driver to roll back. The lock is held. -EPERM when it's too late. */
int migration_cancel(struct operation *operation, struct ff_error *err);

/*
 * The host is dead, and surely does nothing any more (failover.h says so): its driver asks it nothing more.
 * Who takes over what it owned is in operation->from and ->to by then, and the hosts know of these. The lock
 * is held. Said again, or of a host that has no part in it: nothing.
 */
void migration_host_lost(struct operation *operation, const struct host *host);

/* Of a move: its instances as they were when it began. */
uint16_t migration_from(const struct operation *operation);
uint16_t migration_to(const struct operation *operation);

/* The body of `finish`, from an operation's request. */
json_t *migration_finish_body(const json_t *request);
/*
 * What every end of a move on a host says, put into its body, which is returned: the version of the model. The
 * host takes no older configuration any more; one might be on its way that knows nothing of the move.
 */
json_t *migration_end_body(struct orchestrator *orch, json_t *body);
