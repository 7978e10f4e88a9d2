/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include "agent/agent.h"

/*
 * Vouches for another ROUTES_VOUCH_S seconds that routes depend on the destination only, if they do: see
 * forward.h. To be called once a second, under agent->lock.
 */
void routes_vouch(struct agent *agent);
