/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * action.h - what changes the world: moves, new instances, instances that go. The same for a request of
 * the API (northbound) and for a step of a plan (elasticity).
 *
 * The model's lock is held; those that wait for hosts drop it meanwhile, and what they were given
 * may have changed afterwards: so things are named by numbers here, not by pointers.
 */
#pragma once

#include "orchestrator/operation.h"
#include "orchestrator/orchestrator.h"

struct action_move {
	uint16_t service;
	uint16_t from;
	uint16_t to;
	struct change *subject; /* all of it is owned by `from` now; taken on success */
	const char *guarantee;
	const char *on_overflow;
	uint32_t park_limit;
	bool no_precopy;
	const char *note; /* for the operation; "": none */
	const char *plan; /* id of the plan that it is a step of; NULL: none */
};

/*
 * Stores the move as an operation and starts it. *ret_operation is the model's: its doc may be
 * copied, its id noted, before the lock is dropped. -EBUSY: another operation is in the way, which
 * the error names.
 */
int action_move(struct orchestrator *orch, struct action_move *move,
		struct operation **ret_operation, struct ff_error *err);

/*
 * Gives what a dead owner had (0: what had none) a new one, without its state. Waits for the hosts that
 * are up. The subject stays the caller's. -EAGAIN: the owner may still be at work (failover_allows()).
 */
int action_takeover(struct orchestrator *orch, uint16_t service, uint16_t from, uint16_t to,
		    const struct change *subject, struct ff_error *err);

/*
 * Makes an instance, waits until its host runs it, and tells everybody. The first instance of a
 * service owns everything; later ones nothing until a move. Nothing is left of it on failure.
 */
int action_instance_add(struct orchestrator *orch, const char *service, const char *name,
			const char *host, uint16_t *ret_id, struct ff_error *err);

/*
 * Makes a standby of an instance on another host, and waits until that runs it. One that the instance
 * has elsewhere goes with the same configuration: an instance is copied to one standby at a time.
 */
int action_standby_add(struct orchestrator *orch, uint16_t owner, uint16_t host, uint16_t *ret_id,
		       struct ff_error *err);

/*
 * Removes one that owns nothing and isn't part of an operation, else -EBUSY; its standby, too. Waits
 * for the hosts.
 */
int action_instance_remove(struct orchestrator *orch, const char *name, struct ff_error *err);
