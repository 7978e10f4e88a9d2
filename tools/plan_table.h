/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* plan_table.h - operations of kind `plan` (API.md) on a terminal. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

bool operation_is_plan(const json_t *operation);

/* Steps that have ended well, and how many there are. */
void plan_steps_count(const json_t *operation, size_t *ret_done, size_t *ret_all);

/* All of it: why, what was predicted and what came of it, step by step. */
void plan_print(const json_t *operation);
