/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * planner.h - the optimal plan: scaling and migration of one service, decided together.
 *
 * Pure: loads, policy and cost model in, one plan out. No clock, no I/O, no globals; the same input
 * gives the same plan, in whatever order hosts and instances are listed.
 *
 * Objective, in this order:
 *  1. as many flows without a live owner as possible get one, and what is to be emptied is emptied;
 *  2. the fewest instances that hold every utilisation and every state table under target;
 *  3. the least cost of migration (cost_marginal(), or cost_marginal_handover() for what goes to an
 *     instance of the same host without a copy, summed over what moves).
 * Instances are only taken away when PLANNER_SHRINK allows it, and what is over target is only
 * relieved when PLANNER_RELIEVE asks for it: the analyzer's thresholds, hold-downs and quiet hours
 * stand behind these flags, so that a plan never answers to noise.
 *
 * Constraints. Each holds after the plan, or is no worse than the planner found it:
 *  - utilisation and flows of each instance: the policy's targets. Only flows without a live owner
 *    may fill an instance further, up to PLANNER_RESCUE_PERCENT, when no more may be created;
 *  - CPU and fabric link of each host; instances of each host;
 *  - minimum and maximum of instances; with `spread`, two or more are never all on one host;
 *  - units of one group have one owner;
 *  - each step's freeze (policy: sla, freeze_ms_per_s) and parked packets (policy, and half of the
 *    target's ring); the bandwidth of state on each host's link; lanes of each host.
 *
 * An instance of an older NF than new ones get (half of an upgrade was done) gets nothing: it may not be able
 * to read what a newer one writes.
 *
 * Patience. Of an instance that is retired all slots leave, but their flows that are likely to end within
 * the policy's patience are left there, pinned (plan_step.leave_s; elasticity_leave.c chooses them). A
 * later plan waits for them until the deadline, then moves what is left to where its slot is. One that
 * needs another instance meanwhile takes it back (PLAN_RECALL) before it creates any.
 *
 * What is not known is left alone: an instance whose figures are not LOAD_VALID neither gives nor
 * gets (unless it has failed or is to be emptied), a host without valid figures gets nothing.
 *
 * Method. Units are slots, rules and pinned or heavy flows; a heavy flow goes with its slot unless
 * it is cheaper to pin it elsewhere (planner_shed.c). The number of instances is raised from what
 * the total load needs until a placement succeeds. Small problems are then solved by branch and
 * bound within a fixed number of nodes (planner_search.c), large ones by greedy placement.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "bpf/abi.h"
#include "lib/policy.h"
#include "orchestrator/cost.h"
#include "orchestrator/loads.h"

#define PLANNER_RESCUE_PERCENT 95 /* above that, an instance loses packets of all its flows */
#define PLANNER_LINK_PERCENT   90 /* of a fabric link, by traffic: the rest is for state */
#define PLANNER_WAVES_MAX      4096

#define PLANNER_RELIEVE	       1u /* overload or capacity: bring what is over target under it */
#define PLANNER_SHRINK	       2u /* underload, and no quiet hours: fewer instances will do */
#define PLANNER_BALANCE	       4u /* imbalance: bring the busiest closer to the mean */

struct planner_input {
	const struct loads *loads;
	uint16_t service; /* its number */
	const struct policy *policy;
	const struct cost_model *cost;
	uint32_t flags; /* PLANNER_* */
	double growth;	/* forecast load / present load: plan for so much more; below 1: as it is */
};

enum plan_kind {
	PLAN_CREATE,
	PLAN_RECALL, /* one that was to be retired is used again */
	PLAN_MOVE,
	PLAN_RETIRE,
};

enum plan_why {
	PLAN_ROOM,     /* makes room for another step's */
	PLAN_RESCUE,   /* its owner has failed, or it had none */
	PLAN_DRAIN,    /* its instance or host is to be emptied */
	PLAN_OVERLOAD, /* its instance or host is over target */
	PLAN_SCALE_IN,
	PLAN_IMBALANCE,
	PLAN_SPREAD,   /* or the minimum of instances */
	PLAN_TOGETHER, /* its group had several owners */
	PLAN_WHYS,
};

/* An instance, as it is or will be. */
struct plan_instance {
	uint16_t id;	  /* 0: the plan creates it */
	uint16_t created; /* the how-manieth that the plan creates, from 1; 0: it is there */
	uint16_t host;
};

struct plan_step {
	enum plan_kind kind;
	enum plan_why why;
	uint32_t wave; /* steps of one wave run at the same time, after those of lower waves */
	struct plan_instance from; /* move, retire; id 0: had no owner */
	struct plan_instance to;   /* create, recall, move */
	uint32_t *slots;	   /* ascending */
	size_t slots_n;
	struct ff_flow_key *flows; /* become pins, unless @to owns their slot by then */
	size_t flows_n;
	uint16_t *rules; /* indices */
	size_t rules_n;
	double packets_per_s; /* of what moves */
	double flows_moved;
	struct cost_prediction predicted;
	double gain;	/* by how much the source's utilisation falls */
	double leave_s; /* flows of its slots likely to end within are left, by pins; 0: none */
	double leaves;	/* how many that may be; they aren't in the figures above */
	bool splits;	/* its flows leave a slot that may move too: it goes first */
	bool bounded;	/* false: freeze or parking are predicted over their bound even so */
};

/*
 * Left to end on an instance that is to be retired (policy: scale_in). A slot always moves, so that its new
 * flows are born at its new owner; the flows that are left are pinned where they are.
 */
struct plan_left {
	struct plan_instance from;
	double flows;	 /* of slots that this plan moves: so many are likely to end within .. */
	double within_s; /* .. the patience */
	size_t pins;	 /* that have been left, or were pinned there and are likely to end, too */
	double until_s;	 /* what hasn't ended then is moved */
};

struct plan {
	uint16_t service;
	char service_name[FF_NAME_MAX];
	struct plan_step *steps; /* by wave; creations and recalls first, retirements last */
	size_t steps_n;
	struct plan_left *left;
	size_t left_n;
	struct life_table lives; /* of the service's flows: who of them is left */
	uint32_t waves;
	uint32_t at_once;	   /* the most moves in one wave */
	uint32_t instances_before; /* that are or come up, not those that failed */
	uint32_t instances_after;  /* when all is retired */
	double busiest_before;	   /* utilisation */
	double busiest_after;
	double cost_us;	     /* the objective: what all that moves costs */
	double predicted_us; /* the longest step of each wave, one wave after the other */
	double short_pps;    /* load that found no place under target; more instances are needed */
	uint32_t orphans;    /* slots, rules, pins that still have no live owner */
	uint32_t stuck;	     /* the same that find no place away from what is to be emptied */
	bool exact;	     /* the search has proved it within PLANNER_GAP of the best */
	char reason[400];    /* for a person: what was found, what is done, what can't be */
};

#define PLANNER_GAP 0.01 /* relative; the search stops there */

/*
 * Makes the plan. *ret_plan may have no steps; `reason` says why. -ENOENT: no such service in the
 * loads; -EINVAL: the input contradicts itself (an owner that doesn't exist counts as failed, and
 * is no error); -ENOMEM. plan_done() frees what is in it, and takes a plan that is all zero.
 */
int planner_plan(const struct planner_input *input, struct plan *ret_plan);
void plan_done(struct plan *plan);

/* plan.c: for a person, names from @loads; *ret_text is the caller's. -ENOMEM. */
int plan_text(const struct plan *plan, const struct loads *loads, char **ret_text);
json_t *plan_to_json(const struct plan *plan, const struct loads *loads); /* NULL: no memory */

const char *plan_kind_name(enum plan_kind kind);
const char *plan_why_name(enum plan_why why);
