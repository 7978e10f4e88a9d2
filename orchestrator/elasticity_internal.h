/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* elasticity_internal.h - what plans (elasticity.c), their steps and upgrades share. */
#pragma once

#include <pthread.h>

#include "orchestrator/elasticity.h"
#include "orchestrator/operation.h"

struct execution;
struct upgrade;

#define COST_CLASSES FF_SERVICES_MAX

struct elasticity {
	struct orchestrator *orch;
	struct execution *running; /* guarded by the model's lock, as all below */
	struct upgrade *upgrades;
	unsigned int threads; /* of plans and upgrades */
	struct cost_class {
		char nf[FF_NAME_MAX];
		struct cost_model model;
		struct elasticity_account account;
	} costs[COST_CLASSES];
};

/* One step: written by its thread, read by the plan's after the join. */
struct step_run {
	struct execution *e;
	size_t index;
	pthread_t thread;
	bool started;
	uint64_t pinned; /* the model's version that has the pins of what it leaves; 0: none */
	int result;
	struct ff_error error;
};

struct execution {
	struct execution *next;
	struct elasticity *elasticity;
	struct orchestrator *orch;
	const struct driver *driver;
	struct operation *operation;
	struct plan plan;
	struct step_run *steps;
	uint64_t started_ns;
	uint32_t park_limit;
	uint16_t created[FF_INSTANCES_MAX]; /* ids, by plan_instance.created - 1; under the lock */
};

/* A thread's function; arg: its struct step_run. */
void *step_main(void *arg);

/*
 * Pins those flows of the step's slots that are likely to end within its patience to `from`, which has them,
 * and puts them into @left; returns how many. None, if not all hosts have taken the pins. The lock
 * isn't held.
 */
size_t step_leave(struct step_run *run, const struct plan_step *step, uint16_t from,
		  struct change *left);
/* The move that was to follow wasn't made: they need no pins. */
void step_unleave(struct step_run *run, uint16_t from, struct change *left);
/* Whether each host that is up has taken what the model was at @version. The lock is held. */
bool step_hosts_have(const struct model *model, uint64_t version);
/* Whether an operation moves that slot. The lock is held. */
bool step_slot_moves(const struct model *model, uint16_t service, unsigned int slot);

/* Teaches the cost model what a completed move has cost. The lock is held. */
void elasticity_learn(struct execution *e, const struct plan_step *step, const json_t *doc);

/* Whether a plan, or an upgrade, of this service is under way. The lock is held. */
bool elasticity_plans(const struct elasticity *elasticity, uint16_t service);
bool elasticity_upgrading(const struct elasticity *elasticity, uint16_t service);
