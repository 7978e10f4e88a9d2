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
 *
 * An upgrade takes a service to another version of its NF, one instance after the other: a successor is
 * made beside it, on the same host; all that it owns is moved there, in order, its state converted
 * field by field on arrival; then it's retired. Meanwhile no plan is made for the service. It's an operation
 * of kind `upgrade`, and resumed after a restart. However it ends, each instance is wholly of one version or
 * of the other: one that it couldn't empty goes on, and its successor is removed. Then some are of
 * each; another upgrade brings the rest. New instances are of the new version from the first moment on,
 * unless no instance could be upgraded.
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

/* Whether a plan of this service is being carried out, or an upgrade. The model's lock is held. */
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

/*
 * Starts an upgrade to NF @nf, which may be the one that it has: its object is loaded anew.
 * *ret_doc: the operation as it is shown, a new reference. -EBUSY: one is under way. The lock isn't held.
 */
int elasticity_upgrade(struct elasticity *elasticity, const char *service, const char *nf,
		       json_t **ret_doc, struct ff_error *err);

/* Carries on with one out of the journal; takes the operation on success. The lock is held. */
int elasticity_upgrade_resume(struct elasticity *elasticity, struct operation *operation,
			      struct ff_error *err);

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
