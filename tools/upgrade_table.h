/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* upgrade_table.h - operations of kind `upgrade` (API.md) on a terminal. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

bool operation_is_upgrade(const json_t *operation);

/* Instances that have been upgraded, and how many there are. */
void upgrade_count(const json_t *operation, size_t *ret_done, size_t *ret_all);

/* From which version to which, and how far each instance is. */
void upgrade_print(const json_t *operation);
