/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include <jansson.h>

#include "agent/agent.h"

/* Makes the table of service `number` as `item`, a service of the configuration, says. Entries under
 * a move are left alone. Under agent.lock. */
int inventory_table_apply(struct agent *agent, const json_t *item, uint16_t number,
			  struct ff_error *err);
