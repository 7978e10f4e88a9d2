/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* config_number.c - finds what a schema says is a number, and reads its text more strictly. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "lib/config_internal.h"

#define PATH_TEXT_MAX 256

struct walk {
	const char *name;
	yaml_document_t document;
	char path[PATH_TEXT_MAX]; /* of the value at hand */
	struct ff_error *err;
};

static int value_check(struct walk *walk, const yaml_node_t *node,
		       const cyaml_schema_value_t *schema);

static int number_check(struct walk *walk, const yaml_node_t *node)
{
	const char *text = (const char *)node->data.scalar.value, *digits = text;
	size_t len;

	digits += *digits == '-' || *digits == '+';
	len = strspn(digits, "0123456789");
	if (len && !digits[len] && (digits[0] != '0' || len == 1))
		return 0;
	return error_set(walk->err, EINVAL, FF_CODE_BAD_REQUEST,
			 "give a whole decimal number without a unit",
			 "%s:%zu:%zu: %s: '%s' is no whole number", walk->name,
			 node->start_mark.line + 1, node->start_mark.column + 1, walk->path, text);
}

static int mapping_check(struct walk *walk, const yaml_node_t *node,
			 const cyaml_schema_value_t *schema)
{
	size_t len = strlen(walk->path);

	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		const char *key = (const char *)yaml_document_get_node(&walk->document, pair->key)
					  ->data.scalar.value;
		const cyaml_schema_field_t *field = schema->mapping.fields;
		int r;

		while (field->key && strcmp(field->key, key))
			field++;
		if (!field->key)
			continue;
		snprintf(walk->path + len, PATH_TEXT_MAX - len, "%s%s", len ? "." : "", key);
		r = value_check(walk, yaml_document_get_node(&walk->document, pair->value),
				&field->value);
		if (r < 0)
			return r;
		walk->path[len] = '\0';
	}
	return 0;
}

static int sequence_check(struct walk *walk, const yaml_node_t *node,
			  const cyaml_schema_value_t *schema)
{
	const yaml_node_item_t *start = node->data.sequence.items.start;
	size_t len = strlen(walk->path);

	for (const yaml_node_item_t *item = start; item < node->data.sequence.items.top; item++) {
		int r;

		snprintf(walk->path + len, PATH_TEXT_MAX - len, "[%td]", item - start);
		r = value_check(walk, yaml_document_get_node(&walk->document, *item),
				schema->sequence.entry);
		if (r < 0)
			return r;
		walk->path[len] = '\0';
	}
	return 0;
}

/* As deep as the schema, which the text fits. */
static int value_check(struct walk *walk, const yaml_node_t *node,
		       const cyaml_schema_value_t *schema)
{
	if (schema->type == CYAML_MAPPING && node->type == YAML_MAPPING_NODE)
		return mapping_check(walk, node, schema);
	if (schema->type == CYAML_SEQUENCE && node->type == YAML_SEQUENCE_NODE)
		return sequence_check(walk, node, schema);
	if ((schema->type == CYAML_INT || schema->type == CYAML_UINT) &&
	    node->type == YAML_SCALAR_NODE)
		return number_check(walk, node);
	return 0;
}

int config_check_numbers(const char *name, const char *text, size_t len,
			 const cyaml_schema_value_t *schema, struct ff_error *err)
{
	struct walk walk = { .name = name, .err = err };
	const yaml_node_t *root;
	yaml_parser_t parser;
	int r = 0;

	if (!yaml_parser_initialize(&parser))
		return error_nomem(err);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (yaml_parser_load(&parser, &walk.document)) {
		root = yaml_document_get_root_node(&walk.document);
		r = root ? value_check(&walk, root, schema) : 0;
		yaml_document_delete(&walk.document);
	} else {
		r = error_nomem(err); /* it is valid YAML: it was loaded before */
	}
	yaml_parser_delete(&parser);
	return r;
}
