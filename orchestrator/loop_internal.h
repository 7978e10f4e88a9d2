/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* loop_internal.h - what loop.c (looking, and for others) and loop_plan.c (planning, acting) share. */
#pragma once

#include <pthread.h>
#include <time.h>

#include "orchestrator/analyzer.h"
#include "orchestrator/loop.h"

#define NO_BOUND_PERCENT 100 /* of a host's CPUs, of its time: as if there were no bound */

/* What the loop remembers of a service. */
struct governed {
	uint64_t first_ns;	     /* when it was seen first */
	uint64_t not_before_ns;	     /* no plan is made earlier */
	uint64_t asked_ns;	     /* when one was made last */
	char plan[OPERATION_ID_MAX]; /* under way, or the last one; "": none */
	char told[80];		     /* what was told of the last plan that wasn't carried out */
};

struct loop {
	struct orchestrator *orch;
	pthread_t thread;
	bool paused;	      /* the model's lock */
	pthread_mutex_t lock; /* guards all below */
	struct analyzer *analyzer;
	struct loads loads; /* as refined by the last step */
	struct condition *conditions;
	size_t conditions_n;
	struct governed governed[FF_SERVICES_MAX];
	struct policy policies[FF_SERVICES_MAX]; /* copies of the model's, of this step */
	bool has_policy[FF_SERVICES_MAX];
	uint16_t late[FF_SERVICES_MAX]; /* a host that should be free of it by now; 0: none */
};

/* Whether an operator wants nothing done. Takes the model's lock. */
bool loop_is_paused(struct loop *loop);

/*
 * What may be planned for: PLANNER_* by the conditions of a service (1u << CONDITION_*), in or out of quiet
 * hours. Pure.
 */
uint32_t loop_flags(uint32_t conditions, bool quiet);
/* By how much a plan for that multiplies the loads; @growth: the service's. Pure. */
double loop_growth(double growth, uint32_t flags);

/* The plan for a service now, in *ret; see planner_plan(). loop->lock is held in these. */
int loop_plan_make(struct loop *loop, const struct service_load *service, uint32_t flags,
		   struct plan *ret);

/* Plans for a service if it's due, and has the plan carried out if it may be. */
void loop_govern(struct loop *loop, const struct service_load *service);
