/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * failover.h - fault recovery: finds dead hosts and failed instances, and gives what they own to their
 * standbys.
 *
 * One thread (failover.c) waits for what streams tell, and judges at once (detect.h), not at the loop's
 * next step. What is lost and has a standby is recovered by an operation of kind `recovery`, each driven
 * by a thread of its own (failover_run.c):
 *
 *	fence	the service's policy says `fence`: wait until the dead host's lease has surely run out
 *	switch	in the model and the store, in one transaction: all that X owned is its standby's, X is no
 *		more; then the configuration, at once, first to the standby's host, then to the steering hosts
 *	report	when these have told what they had sent in vain: what was lost
 *
 * Until `switch` is journalled nothing has changed: after a crash of ours such an operation is forgotten,
 * and found to be needed again. After it, it only goes forward: what is left is telling the hosts.
 *
 * A host that comes back finds nothing of its own in its configuration, and so is empty. Before it is told,
 * it is asked what it has processed since (failover_rejoin()).
 *
 * All that is remembered here is guarded by the model's lock.
 */
#pragma once

#include "orchestrator/operation.h"
#include "orchestrator/orchestrator.h"

#define FAILOVER_STOP_MS 3000

struct failover;

int failover_new(struct orchestrator *orch, struct failover **ret, struct ff_error *err);
int failover_start(struct orchestrator *orch, struct ff_error *err);
/* model.stopping is set and `changed` was broadcast. NULL is fine. */
void failover_stop(struct failover *failover);
/* When nobody asks it any more; the model is still there. Recoveries that have not ended keep it. */
void failover_free(struct failover *failover);

/* The rest wants the model's lock unless it says otherwise. */

/* Whether the host was found dead, and hasn't been heard again. */
bool failover_is_dead(const struct orchestrator *orch, uint16_t host);

/* A steering host whose way to this one is broken, while others hear it; NULL: none. */
const struct host *failover_unheard_by(const struct orchestrator *orch, uint16_t host);

/*
 * Whether a host whose agent answers may take part again: it isn't dead any more, and what was taken from it isn't there
 * any more, by a configuration that it has accepted since.
 */
bool failover_admits(const struct orchestrator *orch, const struct host *host);

/* Whether it isn't known to be well: its agent or its data path is silent, if only for a moment. */
bool failover_doubts(const struct orchestrator *orch, uint16_t host);

/* Whether an instance is lost: failed, on a dead host, or fenced off for good. */
bool failover_is_lost(const struct orchestrator *orch, const struct instance *instance);

/*
 * Whether what an instance owns may be given to another owner without asking it: it is lost, and surely
 * processes nothing any more, as its service's policy wants it. -EAGAIN: not yet, and why.
 */
int failover_allows(const struct orchestrator *orch, uint16_t instance, struct ff_error *err);

/*
 * What an instance of the host owned has another owner, as of the model's version now: until the host has
 * that, its leases aren't renewed.
 */
void failover_taken(struct orchestrator *orch, uint16_t host);

/* The service's policy says `fence` from the model's version now on: who hasn't that yet won't stop by itself. */
void failover_fence(struct orchestrator *orch, uint16_t service);

/* Whether something of the service is being recovered, or will be: plans had better wait. */
bool failover_busy(const struct orchestrator *orch, uint16_t service);

/* Takes an operation of kind `recovery` up again, as it was journalled. */
int failover_resume(struct orchestrator *orch, struct operation *operation, struct ff_error *err);

/* A host answers again: tells what it did after it was given up. The lock isn't held. */
void failover_rejoin(struct orchestrator *orch, const struct host *host, const json_t *report);

/* For metrics, since our start. */
struct failover_count {
	uint64_t hosts_dead, recovered, packets_lost, flows;
};
struct failover_count failover_counts(const struct orchestrator *orch);
