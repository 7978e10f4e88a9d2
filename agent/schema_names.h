/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * schema_names.h - what the schema modules share among themselves.
 */
#pragma once

#include "agent/schema.h"

/* Indexed by the enums of schema.h, ended by NULL. */
extern const char *const schema_scope_names[];
extern const char *const schema_kind_names[];
extern const char *const schema_merge_names[];

/* The index of @name, or -ENOENT. */
int schema_name_find(const char *const *names, const char *name);

/* Makes text and hash from the rest, which is complete. */
int schema_finish(struct schema *schema, struct ff_error *err);
