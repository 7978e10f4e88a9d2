/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * planner_internal.h - what the parts of the planner share.
 *
 *	planner_problem	 loads and policy -> units
 *	planner_bins	 loads and policy -> bins, spots
 *	planner_shed	 what has to go, what is over a limit
 *	planner_place	 greedy: a place for each of them
 *	planner_search	 branch and bound, for small problems
 *	planner_count	 which instances: created where, closed
 *	planner		 how many instances; the best placement
 *	planner_steps	 the placement -> steps, in waves
 *	planner_cut	 how much goes in one of them
 *	planner_handover what is handed over on its host and not copied, what it costs to move
 *
 * Loads are in packets/s and already multiplied by the forecast growth.
 */
#pragma once

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "orchestrator/planner.h"

#define NOWHERE	     UINT32_MAX
#define PIN_US	     50.0 /* what a pin weighs: its place in the map, a lookup for each packet */
#define LOAD_EPSILON 1e-6 /* relative: sums of floats in another order differ by less */

enum unit_kind { UNIT_SLOT, UNIT_FLOW, UNIT_RULE };

/*
 * The smallest thing that moves. A slot's figures are without those of its riders: the heavy flows
 * that have no pin and so are where the slot is, until one is split off. Units of one group that
 * have one owner are a cluster: a chain that moves as one, by the word of its head.
 */
struct unit {
	float load;
	float bytes; /* traffic, per second */
	float flows;
	float cost;	  /* of copying it, without a pin's */
	uint32_t home;	  /* bin, or NOWHERE */
	uint32_t at;	  /* bin in the present placement */
	uint32_t rider;	  /* slot: its first rider; flow: the next one of its slot */
	uint32_t chain;	  /* the next of its cluster */
	float left_s;	  /* a flow: how much longer it is likely to live; 0: not known */
	uint8_t kind;	  /* enum unit_kind */
	uint8_t is_rider; /* has no pin */
	uint8_t is_split; /* rider that goes its own way */
	uint8_t is_tail;  /* of a cluster, not its head */
	uint8_t is_fixed; /* may not move, unless it must */
	uint8_t is_bound; /* likewise, unless it's handed over: a copy would freeze it for too long */
	uint8_t is_pooled; /* to be placed */
	uint8_t is_kept;   /* in this placement: tried to move, found no place */
	uint8_t why;	   /* enum plan_why */
};

/* An instance that is there or that the plan may create. */
struct bin {
	uint16_t id;
	uint16_t created;
	uint32_t spot;
	bool is_gone;	      /* failed */
	bool is_frozen;	      /* figures unknown: left as it is */
	bool is_emptied;      /* by the loads' word: draining, retiring, maintenance */
	bool is_retiring;     /* a former plan's scale-in */
	bool may_return;      /* the same, and it could be used as before */
	bool is_back;	      /* by this plan: it is no more to be retired, nor emptied */
	bool is_young;	      /* may not be retired yet */
	bool is_closed;	      /* by this plan: scale-in */
	bool takes;	      /* may be given units */
	double patience_s;    /* flows likely to end within are left; 0: none */
	double deadline_s;    /* is_retiring: until then those that have been left may stay */
	double capacity;      /* packets/s at utilisation 1 */
	double policy_target; /* packets/s */
	double target;	      /* packets/s: in this placement it takes no more */
	double keep;	      /* packets/s: in this placement it sheds what is above */
	double flows_target;
	double flows_keep;
	double cpu_s; /* CPU seconds for a packet on its host */
	double load0, flows0;
	double load, flows; /* in the present placement */
	double empty_cost;
	uint64_t groups[FF_GROUPS_MAX / 64]; /* of the agents' maps: a bit where it has slots */
};

/* A host, as far as it bounds the placement. */
struct spot {
	uint16_t id;
	const struct host_load *host;
	bool takes;
	double cpu0, cpu, cpu_limit;	/* CPUs */
	double cpu_keep;		/* it sheds what is above */
	double link0, link, link_limit; /* bytes/s */
	uint32_t room;			/* instances that it could still take, of any service */
	uint32_t own;			/* instances of this service, those that are emptied too */
	uint32_t stay;			/* of these, those that stay, and those that come */
	double capacity;		/* of a new instance there */
	double cpu_s;
};

struct problem {
	const struct planner_input *input;
	const struct service_load *service;
	const struct policy *policy;
	struct unit *units; /* slots by number, then flows, then rules */
	size_t units_n;
	size_t flows_at; /* place of the first flow */
	size_t rules_at;
	struct bin *bins;
	size_t there;  /* bins that are there */
	size_t bins_n; /* with those that the present placement creates */
	size_t bins_max;
	uint32_t *bin_by_id; /* 65536 */
	size_t staying;	     /* bins */
	size_t occupied;     /* spots that they are on */
	struct spot *spots;
	size_t spots_n;
	uint32_t *by_home;	  /* heads and riders, sorted by home; the homeless last */
	uint32_t *home_first;	  /* for each bin, and then for the homeless, and the end */
	uint32_t *pool;		  /* scratch, units_n */
	bool rescue;		  /* the homeless may go above target */
	double flows;		  /* of the service, all that are measured */
	bool hands_over;	  /* its slots may be: no pins, no rules */
	bool prefers;		  /* to hand over, where it places greedily */
	unsigned int group_shift; /* from slot to group */
	bool leaves;		  /* of what is retired with patience, flows would be left */
	double leaving_s; /* a patience, and the share of the flows that are likely to end in it */
	double leaving;
};

/* How good a placement is; smaller is better, in this order. */
struct score {
	double stuck;  /* packets/s (at least 1 a unit) of what should have left or found a home */
	double excess; /* utilisation over what the bins may keep, summed */
	double hosts;  /* CPUs and shares of links over the limit */
	double cost;
};

/* A figure that was measured, and may be used. */
static inline bool figure_ok(double value)
{
	return isfinite(value) && value >= 0;
}

/* By what loads are multiplied. A forecast fall isn't planned for: the load has to be held until then. */
double problem_growth(const struct problem *p);
int spots_build(struct problem *p, const struct loads *loads);
int bins_build(struct problem *p);
/* Orders units by home, and ties groups together. */
int problem_index(struct problem *p);
int problem_build(const struct planner_input *input, struct problem *ret_problem);
void problem_done(struct problem *problem);
/* Everything where it is, in bins as they are. */
void problem_reset(struct problem *p);

/* What moves with a unit, itself included. */
struct weight {
	double load, bytes, flows, cost;
	uint32_t spot; /* where it is; NOWHERE */
};
struct weight unit_weight(const struct problem *p, uint32_t unit);
/* Moves it with its cluster and its riders; keeps all sums. */
void unit_put(struct problem *p, uint32_t unit, uint32_t to);
/* Whether it is there after the plan, with figures that are known. */
static inline bool bin_stays(const struct bin *bin)
{
	return !bin->is_gone && !bin->is_frozen && !bin->is_emptied && !bin->is_closed;
}

/* Whether a bin has room; counts what is there already. */
bool bin_fits(const struct problem *p, uint32_t bin, const struct weight *w, double target);
double bin_target(const struct problem *p, const struct bin *bin, const struct unit *unit);
/* What it costs that this unit alone (no cluster, no riders) is where it is. */
double unit_cost_here(const struct problem *p, const struct unit *unit);
bool unit_must_leave(const struct problem *p, const struct unit *unit);
/* Whether it is left to end where it is: a flow with a pin. Those of slots are left by the step. */
bool unit_is_left(const struct problem *p, const struct unit *unit);

int place_all(struct problem *p);

/* A unit that could leave, and what that costs for each unit of relief. */
struct candidate {
	uint32_t unit;
	float ratio;
	struct weight weight;
};

struct shed {
	struct candidate *all;
	size_t n;
	size_t chosen; /* [0, chosen) go */
	size_t pooled; /* in problem.pool */
};

/* Adds to the pool what has to go; what goes so that bins and hosts have what they may keep. planner_shed.c. */
void pool_leavers(struct problem *p, struct shed *shed);
void pool_shed(struct problem *p, struct shed *shed);

struct score score_of(const struct problem *p);
bool score_less(const struct score *x, const struct score *y);
bool score_is_feasible(const struct score *score);

bool search_is_small(const struct problem *p);
/* Improves on @best (cost; INFINITY: none); true: found one, and the problem is in it. */
bool search_small(struct problem *p, double best, bool *ret_exact);

/* The placement that the problem is in, as steps; then in waves. */
int steps_build(struct problem *p, struct plan *plan);
int waves_build(const struct problem *p, struct plan *plan);

/* Whether maps would change hands if this unit alone went there, and nothing be copied: planner_handover.c. */
bool unit_hands_over(const struct problem *p, const struct unit *unit, uint32_t to);
/* What it costs to move it there, without a pin's. */
double unit_cost_to(const struct problem *p, const struct unit *unit, uint32_t to);
/* The same, with its cluster and its riders, as they are. */
double cluster_cost_to(const struct problem *p, uint32_t unit, uint32_t to);
/* Whether it may go there, if it can go at all: one that is_bound only if all of it is handed over. */
bool cluster_may_go(const struct problem *p, uint32_t unit, uint32_t to);
/* Before the units are built; after it, when each has its home. */
void handover_prepare(struct problem *p);
void handover_groups(struct problem *p);

/* A unit that moves. */
struct moved {
	uint32_t unit, from, to;
	uint8_t why;
	uint8_t is_split;  /* goes before its slot */
	uint8_t is_handed; /* over, with all that its source has in its group */
};

/* How many of @all, which go together, go in one step; at least one. planner_cut.c. */
size_t step_cut(const struct problem *p, const struct moved *all, size_t n,
		struct cost_subject *ret_subject, bool *ret_bounded);

/* Says which of them are handed over, once it's known what moves; sorted by source, target, unit. */
void moved_mark(const struct problem *p, struct moved *all, size_t n);

/* Which instances, of those that are there and those that could be: planner_count.c. */
void composition_reset(struct problem *p);
/* False: so many can't be, or can't be done without. */
bool composition_create(struct problem *p, size_t n);
bool composition_close(struct problem *p, size_t n);
bool composition_close_mask(struct problem *p, uint32_t mask);
bool composition_spread(struct problem *p);
/* The fewest that can hold the load by volume. */
size_t composition_least(const struct problem *p);
/* Whether the load can fit at all, before anything is placed. */
bool volume_fits(const struct problem *p);

struct plan_instance plan_instance_of(const struct problem *p, uint32_t bin);
uint32_t bin_of_instance(const struct problem *p, const struct plan_instance *instance);
