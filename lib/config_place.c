/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* config_place.c - finds a field in YAML text, as libcyaml keeps no places of what it has read. */
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "lib/config.h"

static yaml_node_t *mapping_find(yaml_document_t *document, const yaml_node_t *mapping,
				 const char *key, size_t len)
{
	if (mapping->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
	     pair < mapping->data.mapping.pairs.top; pair++) {
		const yaml_node_t *name = yaml_document_get_node(document, pair->key);

		if (name->type == YAML_SCALAR_NODE && name->data.scalar.length == len &&
		    !memcmp(name->data.scalar.value, key, len))
			return yaml_document_get_node(document, pair->value);
	}
	return NULL;
}

static yaml_node_t *sequence_find(yaml_document_t *document, const yaml_node_t *sequence,
				  unsigned long index)
{
	yaml_node_item_t *start = sequence->data.sequence.items.start;

	if (sequence->type != YAML_SEQUENCE_NODE ||
	    index >= (unsigned long)(sequence->data.sequence.items.top - start))
		return NULL;
	return yaml_document_get_node(document, start[index]);
}

bool config_place(const char *text, size_t len, const char *path, unsigned int *ret_line,
		  unsigned int *ret_column)
{
	yaml_node_t *node = NULL;
	yaml_document_t document;
	yaml_parser_t parser;

	if (!yaml_parser_initialize(&parser))
		return false;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (yaml_parser_load(&parser, &document)) {
		node = yaml_document_get_root_node(&document);
		while (node && *path) {
			if (*path == '[') {
				char *end;

				node = sequence_find(&document, node, strtoul(path + 1, &end, 10));
				path = end + (*end == ']');
			} else {
				size_t part = strcspn(path, ".[");

				node = mapping_find(&document, node, path, part);
				path += part;
			}
			path += *path == '.';
		}
		if (node) {
			*ret_line = (unsigned int)node->start_mark.line + 1;
			*ret_column = (unsigned int)node->start_mark.column + 1;
		}
		yaml_document_delete(&document);
	}
	yaml_parser_delete(&parser);
	return node != NULL;
}
