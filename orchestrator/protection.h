/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * protection.h - keeps the standbys of protected services as standby.h says.
 *
 * The loop says what it has measured; what follows is carried out by one thread of its own, through the
 * driver, for a new instance may take seconds. Until that has ended nothing new is decided.
 */
#pragma once

#include "orchestrator/loads.h"
#include "orchestrator/orchestrator.h"
#include "orchestrator/sample.h"

#define PROTECTION_BACKOFF_MS 5000 /* after a standby that couldn't be made */

struct protection;

int protection_start(struct orchestrator *orch, struct protection **ret, struct ff_error *err);
/* model.stopping is set and `changed` was broadcast. NULL is fine. */
void protection_stop(struct protection *protection);

/* Decides and has it done. @loads: as the analyzer left it. The lock isn't held. */
void protection_step(struct protection *protection, const struct loads *loads);

/*
 * The owners of a service whose state would be lost with their host: without a standby whose copy is
 * whole. *ret_owners: how many there are at all. The model's lock is held.
 */
unsigned int protection_missing(const struct orchestrator *orch, const struct service *service,
				unsigned int *ret_owners);

/* What is told of an instance's standby. False: nothing, or it has none. The model's lock is held. */
bool protection_told(const struct orchestrator *orch, const struct instance *owner,
		     struct sample_standby *ret);
