/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * failover_fixture.h - gw and three hosts that send samples, and fw-1 on nf1, which has all flows:
 * what its standby has, and what becomes of both.
 */
#pragma once

#include "tests/unit/orch_fixture.h"

#define FAILOVER_HOSTS 4

void policy_protect(bool protect, const char *partition, int lease_ms);
/* Until fw-2 stands by for fw-1. */
void protect_fw(void);
/* Its data path isn't heard any more, and its agent doesn't answer. */
void host_die(struct fake_agent *agent);

/* The instance of that name (NULL: the first one), borrowed until the next call. */
const json_t *instance_shown(const char *name);
/* The standby that has a whole copy of it; NULL: none has. Valid until this is asked again. */
const char *synced_by(const char *name);
/* The newest one, likewise; NULL, and "" and false: there is none. */
const json_t *recovery_shown(void);
const char *recovery_state(void);
bool recovery_is_in(const char *phase);

struct fake_agent *agent_named(const char *name);
bool host_is_up(const char *name);
/* What the last configuration that an agent has says of its owners: the one of all slots. */
json_int_t owner_at(struct fake_agent *agent);
/*
 * Until the flows are fw-2's: what hosts have to be told comes next, for which they have 2 s each.
 */
void wait_until_taken(void);
/* fw-2 has all that fw-1 had, and no more is to be done. */
void assert_taken_over(void);
