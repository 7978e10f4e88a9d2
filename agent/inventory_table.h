/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include "agent/agent.h"
#include "agent/table.h"

/* Makes a service's table as wanted, but for the entries of `moves`. */
int inventory_table_apply(struct agent *agent, struct move *const moves[FF_LANES_MAX],
			  struct table_desired *table, struct ff_error *err);
