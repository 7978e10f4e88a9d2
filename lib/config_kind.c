/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* config_kind.c - what a field takes, in words, out of its schema. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/config_internal.h"

const cyaml_schema_value_t *config_schema_at(const cyaml_schema_value_t *schema, const char *name)
{
	if (schema->type == CYAML_SEQUENCE || schema->type == CYAML_SEQUENCE_FIXED)
		return schema->sequence.entry;
	if (schema->type != CYAML_MAPPING)
		return NULL;
	for (const cyaml_schema_field_t *field = schema->mapping.fields; field->key; field++)
		if (!strcmp(field->key, name))
			return &field->value;
	return NULL;
}

static void words_join(const cyaml_schema_value_t *schema, char *buf, size_t size)
{
	size_t len = (size_t)snprintf(buf, size, "give ");

	for (uint32_t i = 0; i < schema->enumeration.count && len < size; i++)
		len += (size_t)snprintf(buf + len, size - len, "%s%s",
					!i				  ? "" :
					i + 1 < schema->enumeration.count ? ", " :
									    " or ",
					schema->enumeration.strings[i].str);
}

bool config_kind(const cyaml_schema_value_t *schema, char *buf, size_t size)
{
	unsigned int bits = 8 * schema->data_size;

	switch (schema->type) {
	case CYAML_ENUM:
		words_join(schema, buf, size);
		return true;
	case CYAML_UINT:
		snprintf(buf, size, "give a whole number from 0 to %" PRIu64,
			 UINT64_MAX >> (64 - bits));
		return true;
	case CYAML_INT:
		snprintf(buf, size, "give a whole number from %" PRId64 " to %" PRId64,
			 INT64_MIN >> (64 - bits), INT64_MAX >> (64 - bits));
		return true;
	case CYAML_STRING:
		snprintf(buf, size, "give a word or a text");
		return true;
	case CYAML_MAPPING:
		snprintf(buf, size, "give fields in it: {NAME: VALUE, ...}");
		return true;
	case CYAML_SEQUENCE:
		snprintf(buf, size, "give a list: [VALUE, ...]");
		return true;
	default:
		return false;
	}
}
