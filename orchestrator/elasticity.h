/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * elasticity.h - carries plans out: creates and retires instances through the driver, has flows moved by
 * migration control, gives those whose owner is dead a new one.
 *
 * A plan is an operation of kind `plan`: its doc holds the plan and, for each step, what has become
 * of it beside what was predicted. Steps of one wave run at the same time, each in a thread; the
 * next wave begins when all of them have ended well. A move that was rolled back is tried again a
 * few times; a step that fails for good ends the plan after its wave. Whatever happens, each step
 * leaves the world whole (moves are atomic, instances are there or not), so the next plan starts from what
 * there is, and nothing has to be undone.
 *
 * One plan at a time for each service. A plan is not resumed after a restart: the next one is
 * better informed.
 */
#pragma once

#include "orchestrator/orchestrator.h"
#include "orchestrator/planner.h"

#define ELASTICITY_TRIES    3	/* of a move */
#define ELASTICITY_PAUSE_MS 200 /* before it's tried again */
#define ELASTICITY_STOP_MS  10000

struct elasticity;

int elasticity_new(struct orchestrator *orch, struct elasticity **ret, struct ff_error *err);
/* Plans end after the steps under way, which are migration's to finish. NULL is fine. */
void elasticity_stop(struct elasticity *elasticity);

/* Whether a plan of this service is being carried out. The model's lock is held. */
bool elasticity_busy(const struct elasticity *elasticity, uint16_t service);

/*
 * Starts to carry a plan out; takes what *plan holds. *loads, for names, is only read before it
 * returns. -EBUSY: one is running for that service. The lock isn't held.
 */
int elasticity_start(struct elasticity *elasticity, struct plan *plan, const struct loads *loads,
		     const struct policy *policy, char ret_id[OPERATION_ID_MAX],
		     struct ff_error *err);

/* Ends the plans of one service (0: all) after their present steps. The lock is held. */
void elasticity_cancel(struct elasticity *elasticity, uint16_t service);

/* What moves have cost so far, by class of NF: a copy. The lock isn't held. */
void elasticity_cost(struct elasticity *elasticity, const char *nf, struct cost_model *ret);

/* Of all moves that plans have completed since our start, for one class of NF. */
struct elasticity_sum {
	double predicted;
	double measured;
};
struct elasticity_account {
	uint64_t moves;
	struct elasticity_sum freeze_s;
	struct elasticity_sum total_s;
	struct elasticity_sum bytes;
	struct elasticity_sum parked;
};

/* A copy; all zero of a class that is not known. The lock isn't held. */
void elasticity_account(struct elasticity *elasticity, const char *nf,
			struct elasticity_account *ret);
