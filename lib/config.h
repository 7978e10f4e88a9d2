/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * config.h - configuration files: YAML, read through a libcyaml schema.
 *
 * The schema is the one place that says what a file may hold; unknown and repeated keys, aliases
 * and a second document are refused, keys are case-sensitive. Errors name file, line and column,
 * the field, the cause and the mend:
 *
 *	/etc/flowferry/agent.yaml:4:8: fabric.mtu: invalid UINT value: 'big'
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <cyaml/cyaml.h>

#include "lib/error.h"

#define CONFIG_SIZE_MAX ((size_t)1024 * 1024) /* bytes; a larger file is no configuration */
#define CONFIG_INPUT	"-"		      /* as a path: standard input; pipes are read, too */

/*
 * Loads @path by @schema, whose top level must be a pointer to a mapping (CYAML_VALUE_MAPPING with
 * CYAML_FLAG_POINTER). *ret_data is the caller's, freed by config_free() with the same schema.
 * -ENOENT, -EACCES ..., -EINVAL for its content, -EFBIG, -ENOMEM; *ret_data untouched. *err may be
 * NULL.
 */
int config_load(const char *path, const cyaml_schema_value_t *schema, void **ret_data,
		struct ff_error *err);

/* The same from memory; @name stands for the file in messages. */
int config_load_text(const char *name, const char *text, size_t len,
		     const cyaml_schema_value_t *schema, void **ret_data, struct ff_error *err);

/*
 * The text of a file, for a caller that needs it besides what is in it: *ret_text is the caller's, of
 * at most CONFIG_SIZE_MAX bytes. Errors as of config_load().
 */
int config_read(const char *path, char **ret_text, size_t *ret_len, struct ff_error *err);

/*
 * Where in the text a value begins, for checks that a schema can't make: @path as in
 * "fabric.mtu" or "hosts[0].name". Lines and columns count from 1. False: the text doesn't have it.
 */
bool config_place(const char *text, size_t len, const char *path, unsigned int *ret_line,
		  unsigned int *ret_column);

/* Takes NULL @data. */
void config_free(const cyaml_schema_value_t *schema, void *data);

/*
 * A field of type bool that takes `true` and `false` only: CYAML_FIELD_BOOL() takes any other word
 * for true, `insecure: nope` among them.
 */
extern const cyaml_strval_t config_bool_names[2];
#define CONFIG_FIELD_BOOL(key, flags, structure, member)                                           \
	CYAML_FIELD_ENUM(key, (flags) | CYAML_FLAG_STRICT, structure, member, config_bool_names, 2)
