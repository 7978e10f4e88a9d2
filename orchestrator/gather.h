/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * gather.h - what hosts measure and what the model knows, put together as the deciding modules' input.
 *
 * Figures are those that the hosts sample (samples.h). While a host sends no samples, gather.c makes
 * coarser ones of its reports. gather_loads.c adds what only the model knows: owners, states, what is
 * moving.
 */
#pragma once

#include "orchestrator/loads.h"
#include "orchestrator/orchestrator.h"

#define GATHER_STALE_MS 2000 /* figures older than this are stale: two reports were missed */
#define GATHER_GONE_MS	2000 /* a host that runs no longer reports an instance: it has failed */
#define GATHER_DOWN_MS	5000 /* an agent that doesn't answer for so long takes its host along */

struct gather;

int gather_new(struct orchestrator *orch, struct gather **ret, struct ff_error *err);
void gather_free(struct gather *gather); /* NULL is fine */

/*
 * All that is known, under one reading of the clock. Takes the model's lock. The arrays are the
 * caller's: loads_done(). One thread only.
 */
int loads_gather(struct orchestrator *orch, struct loads *ret);
void loads_done(struct loads *loads); /* takes one that is all zero */

/*
 * For gather_loads.c, from what hosts have sampled; the model's lock is held. Owners are there, pins are
 * the first of the flows, in the table's order, and there is room for GATHER_FLOWS more of each instance.
 */
#define GATHER_FLOWS 64
void gather_slots(const struct orchestrator *orch, uint64_t now_ns, struct service_load *load);
void gather_flows(const struct orchestrator *orch, const struct service *service, uint64_t now_ns,
		  struct service_load *load);
/* Of one rule, by its index and owner; pins in its slots count, too. */
void gather_rule(const struct orchestrator *orch, const struct service *service, uint64_t now_ns,
		 struct rule_load *rule);
/* All of them, without those pins: after gather_flows(). */
void gather_rules(const struct orchestrator *orch, const struct service *service, uint64_t now_ns,
		  struct service_load *load);

/* For gather_loads.c; the model's lock is held. They fill in figures and how good they are. */
void gather_host(struct gather *gather, const struct host *host, uint64_t now_ns,
		 struct host_load *load);
void gather_instance(struct gather *gather, const struct instance *instance, uint64_t now_ns,
		     struct instance_load *load);
