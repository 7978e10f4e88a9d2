/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* loop_plan.c - what the loop does with what it has seen: plans, made and carried out. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "orchestrator/elasticity.h"
#include "orchestrator/events.h"
#include "orchestrator/failover.h"
#include "orchestrator/loop_internal.h"

#define NEWS_MS                                                                                    \
	2000 /* the first figures of an instance come within: two reports, half a second apart */
#define ASKED_MS 1000 /* between plans for what no condition stands for, e.g. the minimum */

static bool is_quiet(const struct policy *policy)
{
	time_t now = time(NULL);
	struct tm tm;

	if (!localtime_r(&now, &tm))
		return false;
	return policy_is_quiet(policy, (unsigned int)(tm.tm_wday + 6) % 7,
			       (unsigned int)(tm.tm_hour * 60 + tm.tm_min));
}

uint32_t loop_flags(uint32_t conditions, bool quiet)
{
	uint32_t flags = 0;

	if (conditions & (1u << CONDITION_OVERLOAD | 1u << CONDITION_CAPACITY))
		flags |= PLANNER_RELIEVE;
	if (quiet)
		return flags;
	if (conditions & 1u << CONDITION_UNDERLOAD)
		flags |= PLANNER_SHRINK;
	if (conditions & 1u << CONDITION_IMBALANCE)
		flags |= PLANNER_BALANCE;
	return flags;
}

double loop_growth(double growth, uint32_t flags)
{
	/* filled to its target to the last packet, an instance would be above it half of the time */
	return flags & PLANNER_RELIEVE ? fmax(1, growth) * LOOP_HEADROOM : growth;
}

/* A service that nobody governs is only emptied where an operator wants it: nothing else is wrong. */
static void policy_loosen(struct policy *policy, const struct service_load *service)
{
	policy->instances.min = 1;
	policy->instances.max = MAX((uint32_t)service->instances_n, 1u);
	policy->placement.spread = false;
}

/* For the first of @growths, which fall, that can be done, or for the last. */
static int plan_for_growth(struct planner_input *input, const double *growths, size_t n,
			   struct plan *ret)
{
	for (size_t i = 0;; i++) {
		int r;

		if (i + 1 < n && growths[i] <= growths[i + 1])
			continue;
		input->growth = growths[i];
		r = planner_plan(input, ret);
		if (r < 0 || i + 1 == n || (ret->short_pps <= 0 && !ret->stuck))
			return r;
		plan_done(ret);
		/* instances go for the highest load that was shortly before, or not at all */
		input->flags &= ~(uint32_t)PLANNER_SHRINK;
	}
}

int loop_plan_make(struct loop *loop, const struct service_load *service, uint32_t flags,
		   struct plan *ret)
{
	struct policy *policy = &loop->policies[service->id];
	struct planner_input input = {
		.loads = &loop->loads,
		.service = service->id,
		.policy = policy,
		.flags = flags,
	};
	/* the forecast if that can be done, else what there is now, at worst without any room */
	const double growths[] = { loop_growth(service->growth, flags),
				   loop_growth(service->risen, flags), 1 };
	struct cost_model cost;

	if (!loop->has_policy[service->id])
		policy_loosen(policy, service);
	elasticity_cost(loop->orch->elasticity, service->nf, &cost);
	input.cost = &cost;
	return plan_for_growth(&input, growths, ARRAY_SIZE(growths), ret);
}

/*
 * The deadline of a drain wins over what is asked of the other hosts: once it has passed, and no plan within
 * their bounds empties the host, the others may be filled up to what flows without an owner may fill,
 * and how busy they are otherwise doesn't count. Nothing but emptying is planned for, then; what that
 * does to the others is the next plan's business.
 */
static int plan_late(struct loop *loop, const struct service_load *service, struct plan *ret)
{
	_cleanup_free_ struct host_load *hosts = NULL;
	struct policy policy = loop->policies[service->id];
	struct loads loads = loop->loads;
	struct cost_model cost;
	struct planner_input input = { .loads = &loads,
				       .service = service->id,
				       .policy = &policy,
				       .cost = &cost,
				       .growth = 1 };
	const char *name = "the host";
	size_t len;
	int r;

	hosts = calloc(loads.hosts_n + 1, sizeof(*hosts));
	if (!hosts)
		return -ENOMEM;
	memcpy(hosts, loads.hosts, loads.hosts_n * sizeof(*hosts));
	for (size_t i = 0; i < loads.hosts_n; i++) {
		hosts[i].conditions &= ~(HOST_OVERLOAD | HOST_PRESSURE);
		if (hosts[i].id == loop->late[service->id])
			name = hosts[i].name;
	}
	loads.hosts = hosts;
	policy.utilisation.host_percent = policy.utilisation.pressure_percent = NO_BOUND_PERCENT;
	policy.utilisation.target_percent =
		MAX(policy.utilisation.target_percent, (uint32_t)PLANNER_RESCUE_PERCENT);
	elasticity_cost(loop->orch->elasticity, service->nf, &cost);
	r = planner_plan(&input, ret);
	len = strlen(ret->reason);
	if (r == 0)
		snprintf(ret->reason + len, sizeof(ret->reason) - len,
			 "; %s should be empty by now: the others' bounds don't count", name);
	return r;
}

/* A plan that stays a plan is told once, not again with each new figure. */
static void tell_once(struct loop *loop, const struct plan *plan, const char *kind)
{
	struct governed *g = &loop->governed[plan->service];
	char outline[sizeof(g->told)];

	snprintf(outline, sizeof(outline), "%s %u %u %d %d %d %d", kind, plan->instances_before,
		 plan->instances_after, plan->steps_n > 0, plan->orphans > 0, plan->stuck > 0,
		 plan->short_pps > 0);
	if (!strcmp(g->told, outline))
		return;
	strcpy(g->told, outline);
	event_emit(loop->orch->events, kind, (struct event_about){ .service = plan->service_name },
		   "%s: %s", plan->service_name, plan->reason);
}

static void plan_act(struct loop *loop, struct plan *plan)
{
	struct governed *g = &loop->governed[plan->service];
	const struct policy *policy = &loop->policies[plan->service];
	struct ff_error err = { 0 };

	if (!plan->steps_n) {
		if (plan->orphans || plan->stuck || plan->short_pps > 0)
			tell_once(loop, plan, "plan-impossible");
		return;
	}
	if (policy->mode == POLICY_OBSERVE || loop_is_paused(loop)) {
		tell_once(loop, plan, "plan-observed");
		return;
	}
	g->told[0] = '\0';
	if (elasticity_start(loop->orch->elasticity, plan, &loop->loads, policy, g->plan, &err) < 0)
		log_warn("%s", err.message);
}

/* Whether the service's last plan lets another one be made now. */
static bool plan_is_due(struct loop *loop, const struct service_load *service, uint32_t conditions)
{
	struct governed *g = &loop->governed[service->id];
	uint64_t now_ns = loop->loads.now_ns;
	MODEL_LOCKED(&loop->orch->model);

	if (elasticity_busy(loop->orch->elasticity, service->id) ||
	    failover_busy(loop->orch, service->id)) {
		g->not_before_ns = now_ns + LOOP_SETTLE_MS * NSEC_PER_MSEC;
		return false;
	}
	if (now_ns < g->not_before_ns)
		return false;
	if (!conditions && now_ns - g->asked_ns < ASKED_MS * NSEC_PER_MSEC)
		return false;
	g->asked_ns = now_ns;
	return true;
}

static bool is_to_be_emptied(const struct loop *loop, const struct service_load *service)
{
	for (size_t i = 0; i < service->instances_n; i++) {
		if (service->instances[i].state == INSTANCE_DRAINING)
			return true;
		for (size_t k = 0; k < loop->loads.hosts_n; k++)
			if (loop->loads.hosts[k].id == service->instances[i].host &&
			    loop->loads.hosts[k].conditions & HOST_MAINTENANCE)
				return true;
	}
	return false;
}

/*
 * Whether figures are still to come, as right after our own start: without them an instance counts for
 * one that can take nothing, and another one would be made beside it.
 */
static bool is_news_awaited(struct loop *loop, const struct service_load *service)
{
	struct governed *g = &loop->governed[service->id];

	if (!g->first_ns)
		g->first_ns = loop->loads.now_ns;
	if (loop->loads.now_ns - g->first_ns >= NEWS_MS * NSEC_PER_MSEC)
		return false;
	for (size_t i = 0; i < service->instances_n; i++)
		if (service->instances[i].quality.validity == LOAD_MISSING)
			return true;
	return false;
}

void loop_govern(struct loop *loop, const struct service_load *service)
{
	uint32_t conditions = analyzer_service_conditions(loop->analyzer, service->id);
	const struct policy *policy = &loop->policies[service->id];
	struct governed *g = &loop->governed[service->id];
	bool governed = loop->has_policy[service->id];
	struct plan plan = { 0 };
	int r;

	if (is_news_awaited(loop, service) || (!governed && !is_to_be_emptied(loop, service)))
		return;
	if (!plan_is_due(loop, service, conditions))
		return;
	r = loop_plan_make(loop, service, governed ? loop_flags(conditions, is_quiet(policy)) : 0,
			   &plan);
	if (r == 0 && governed && plan.stuck && loop->late[service->id]) {
		plan_done(&plan);
		r = plan_late(loop, service, &plan);
	}
	if (r < 0) {
		log_warn("no plan for %s: %s", service->name, strerror(-r));
		g->not_before_ns = loop->loads.now_ns + LOOP_BACKOFF_MS * NSEC_PER_MSEC;
	} else {
		plan_act(loop, &plan);
	}
	plan_done(&plan);
}
