/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* config_internal.h - between the parts of config.h. */
#pragma once

#include "lib/config.h"

/*
 * Refuses numbers with anything behind them: libcyaml takes `1.5`, `1s` and `8O` for 1, 1 and 8, and
 * 010 for 8. The text has been loaded by that schema already.
 */
int config_check_numbers(const char *name, const char *text, size_t len,
			 const cyaml_schema_value_t *schema, struct ff_error *err);
