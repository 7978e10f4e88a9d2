/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * drain.h - hosts that an operator wants empty: how far they are. That they become so is the planner's
 * and elasticity's business; settings.h keeps the wish.
 *
 * A host is empty when its instances own nothing and no move is about them. They stay there, so that `undrain` costs nothing.
 * Until its deadline the others' bounds count, after it they don't (loop_plan.c).
 * The model's lock is held.
 */
#pragma once

#include "orchestrator/orchestrator.h"

/* What a host's instances still own, of all services. */
struct drain_left {
	unsigned int instances; /* that own something */
	unsigned int slots;
	unsigned int rules;
	size_t pins;
	unsigned int moves; /* under way, from or to them */
};

void drain_count(const struct model *model, const struct host *host, struct drain_left *ret);
bool drain_is_empty(const struct drain_left *left);

/* A host past its deadline on which the service still owns something; NULL: none. */
const struct host *drain_late_host(const struct model *model, const struct service *service);

/* {"since_ms","deadline_ms","late","empty","instances","slots","pins","rules","moves"}; NULL: no memory. */
json_t *drain_json(const struct model *model, const struct host *host);

/* Tells, once each, that a host is empty and that its deadline has passed; takes the lock itself. */
void drain_watch(struct orchestrator *orch);
