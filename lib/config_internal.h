/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* config_internal.h - between the parts of config.h. */
#pragma once

#include "lib/config.h"

/*
 * Refuses numbers with anything behind them: libcyaml takes `1.5`, `1s` and `8O` for 1, 1 and 8,
 * and 010 for 8. The text has been loaded by that schema already.
 */
int config_check_numbers(const char *name, const char *text, size_t len,
			 const cyaml_schema_value_t *schema, struct ff_error *err);

/*
 * The part of a schema that a field of a mapping, or an entry of a
 * sequence, has. NULL: there's none.
 */
const cyaml_schema_value_t *config_schema_at(const cyaml_schema_value_t *schema, const char *name);
/* "give act or observe", "give a whole number from 0 to 65535". False: it can't be said. */
bool config_kind(const cyaml_schema_value_t *schema, char *buf, size_t size);
