/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Schemas from BTF.
 *
 * A state is a variable of the section .maps with a declaration tag `scope:..`. Its type is libbpf's
 * way to write a map: a struct with members `key` and `value` that point to the types, and, for an
 * array of maps, `values`, an array of pointers to the inner map's struct. The tags of fields are
 * declaration tags, too: of the struct, with the member's index.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "agent/btf_walk.h"
#include "agent/schema.h"
#include "agent/schema_names.h"
#include "lib/cleanup.h"
#include "lib/stream.h"

#define MEND_SDK "declare state with the macros of bpf/nf.h"

struct reader {
	const struct btf *btf;
	const char *what; /* object, for errors */
	struct ff_error *err;
	struct schema *schema; /* under way */
};

static int refuse(const struct reader *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int refuse(const struct reader *r, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return error_set(r->err, EINVAL, FF_CODE_BAD_REQUEST, MEND_SDK, "%s: %s", r->what, text);
}

/* The text of @id's tag that begins with @prefix, behind it; component -1 is the thing itself. */
static const char *tag_find(const struct btf *btf, uint32_t id, int component, const char *prefix)
{
	uint32_t count = btf__type_cnt(btf);

	for (uint32_t i = 1; i < count; i++) {
		const struct btf_type *type = btf__type_by_id(btf, i);
		const char *text;

		if (!btf_is_decl_tag(type) || type->type != id ||
		    btf_decl_tag(type)->component_idx != component)
			continue;
		text = btf_name(btf, type);
		if (!strncmp(text, prefix, strlen(prefix)))
			return text + strlen(prefix);
	}
	return NULL;
}

/* What a map definition's member (`key`, `value`) points to; 0 if there is no such. */
static uint32_t member_target(const struct btf *btf, uint32_t id, const char *name)
{
	const struct btf_member *member = btf_member_find(btf, id, name);
	const struct btf_type *type;

	if (!member)
		return 0;
	type = btf_resolved(btf, member->type);
	return type && btf_is_ptr(type) ? btf_resolve(btf, type->type) : 0;
}

/* The definition of an array-of-maps' inner map; 0 if it isn't one. */
static uint32_t inner_definition(const struct btf *btf, uint32_t id)
{
	const struct btf_member *values = btf_member_find(btf, id, "values");
	const struct btf_type *type;

	if (!values)
		return 0;
	type = btf_resolved(btf, values->type);
	if (!type || !btf_is_array(type))
		return 0;
	type = btf_resolved(btf, btf_array(type)->type);
	return type && btf_is_ptr(type) ? btf_resolve(btf, type->type) : 0;
}

/* ---- fields -------------------------------------------------------------------------------- */

/* What the tags of a member say; the members of a nested struct have their own. */
struct tags {
	uint8_t merge;
	bool clock;
};

static int struct_read(const struct reader *r, uint32_t id, const char *prefix, uint32_t offset,
		       int depth);

static int kind_of(const struct reader *r, uint32_t id, const char *name,
		   struct schema_field *field)
{
	const struct btf_type *type = btf_resolved(r->btf, id);

	if (!type)
		return refuse(r, "field %s has no known type", name);
	if (btf_is_int(type))
		field->kind = btf_int_encoding(type) & BTF_INT_SIGNED ? SCHEMA_SIGNED :
									SCHEMA_UNSIGNED;
	else if (btf_is_any_enum(type))
		field->kind = btf_kflag(type) ? SCHEMA_SIGNED : SCHEMA_UNSIGNED;
	else if (btf_is_union(type))
		field->kind = SCHEMA_BYTES;
	else
		return refuse(r, "field %s is a pointer or another type that can't move", name);
	if (btf_is_network(r->btf, id))
		field->kind = SCHEMA_NETWORK;
	field->size = type->size;
	return 0;
}

static int field_add(const struct reader *r, uint32_t id, const char *name, uint32_t offset,
		     uint32_t count, struct tags tags)
{
	struct schema *schema = r->schema;
	struct schema_field field = {
		.offset = offset, .count = count, .merge = tags.merge, .clock = tags.clock
	};
	int result = kind_of(r, id, name, &field);

	if (result < 0)
		return result;
	if (field.size == 1 && count > 1)
		field.kind = SCHEMA_BYTES;
	if (strlen(name) >= sizeof(field.name))
		return refuse(r, "field %s has a name of more than %zu characters", name,
			      sizeof(field.name) - 1);
	if (schema->fields_count == SCHEMA_FIELDS_MAX)
		return refuse(r, "state %s has more than %u fields", schema->name,
			      SCHEMA_FIELDS_MAX);
	if (field.clock && (field.size != 8 || field.kind != SCHEMA_UNSIGNED))
		return refuse(r, "field %s is tagged ff_clock but is no __u64", name);
	memcpy(field.name, name, strlen(name));
	schema->fields[schema->fields_count++] = field;
	return 0;
}

/* One member, of any type: a field, or the fields of a struct, or of each struct of an array. */
static int value_read(const struct reader *r, uint32_t id, const char *name, uint32_t offset,
		      struct tags tags, int depth)
{
	const struct btf_type *type = btf_resolved(r->btf, id);
	uint32_t count = 1;
	int result = 0;

	if (depth > BTF_DEPTH_MAX)
		return refuse(r, "field %s is nested deeper than %d", name, BTF_DEPTH_MAX);
	while (type && btf_is_array(type)) {
		uint64_t total = (uint64_t)count * btf_array(type)->nelems;

		if (!total || total > STREAM_VALUE_MAX)
			return refuse(r, "field %s has %" PRIu64 " elements", name, total);
		count = (uint32_t)total;
		id = btf_array(type)->type;
		type = btf_resolved(r->btf, id);
	}
	if (!type || !btf_is_struct(type))
		return field_add(r, id, name, offset, count, tags);
	for (uint32_t i = 0; i < count && result == 0; i++) {
		char path[2 * SCHEMA_NAME_MAX];

		if (count > 1)
			snprintf(path, sizeof(path), "%.*s[%u]", SCHEMA_NAME_MAX, name, i);
		else
			snprintf(path, sizeof(path), "%.*s", SCHEMA_NAME_MAX, name);
		result = struct_read(r, btf_resolve(r->btf, id), path, offset + i * type->size,
				     depth + 1);
	}
	return result;
}

static int tags_read(const struct reader *r, uint32_t id, int member, const char *name,
		     struct tags *ret_tags)
{
	const char *merge = tag_find(r->btf, id, member, "merge:");
	int found = merge ? schema_name_find(schema_merge_names, merge) : SCHEMA_MERGE_NONE;

	if (found < 0)
		return refuse(r, "field %s: unknown tag merge:%s", name, merge);
	ret_tags->merge = (uint8_t)found;
	ret_tags->clock = tag_find(r->btf, id, member, "clock");
	return 0;
}

static int struct_read(const struct reader *r, uint32_t id, const char *prefix, uint32_t offset,
		       int depth)
{
	const struct btf_type *type = btf__type_by_id(r->btf, id);

	for (int i = 0; i < btf_vlen(type); i++) {
		const struct btf_member *member = &btf_members(type)[i];
		const char *name = btf_member_name(r->btf, member);
		uint32_t bit = btf_member_bit_offset(type, (uint32_t)i);
		char path[2 * SCHEMA_NAME_MAX];
		struct tags tags;
		int result;

		if (btf_member_bitfield_size(type, (uint32_t)i) || bit % 8)
			return refuse(r, "field %s.%s is a bitfield", prefix, name);
		if (btf_name_is_padding(name))
			continue;
		if (btf_shape_of(r->btf, member->type, name) == BTF_SHAPE_SKIP) {
			if (r->schema->scope == SCHEMA_PER_FLOW)
				return refuse(
					r, "field %s is a lock, which can't move: use ff_lock_of()",
					name);
			continue;
		}
		snprintf(path, sizeof(path), "%.*s%s%.*s", SCHEMA_NAME_MAX, prefix,
			 *prefix && *name ? "." : "", SCHEMA_NAME_MAX - 2, name);
		result = tags_read(r, id, i, path, &tags);
		if (result == 0)
			result = value_read(r, member->type, path, offset + bit / 8, tags, depth);
		if (result < 0)
			return result;
	}
	return 0;
}

/* ---- states -------------------------------------------------------------------------------- */

static bool member_is(const struct btf *btf, const struct btf_member *member, const char *name)
{
	return member && !strcmp(btf_name(btf, btf_resolved(btf, member->type)), name);
}

/* A per-flow value is {struct ff_head head; TYPE state;}. */
static int entry_read(const struct reader *r)
{
	struct schema *schema = r->schema;
	const struct btf_member *state = btf_member_find(r->btf, schema->value_type, "state");
	const struct btf_member *head = btf_member_find(r->btf, schema->value_type, "head");
	const struct btf_type *key = btf__type_by_id(r->btf, schema->key_type);

	if (strcmp(btf_name(r->btf, key), "ff_flow_key") != 0 ||
	    schema->key_size != sizeof(struct ff_flow_key))
		return refuse(r, "state %s isn't keyed by struct ff_flow_key", schema->name);
	if (!state || !head || head->offset || !member_is(r->btf, head, "ff_head"))
		return refuse(r, "state %s has entries without head or state", schema->name);
	schema->state_type = btf_resolve(r->btf, state->type);
	schema->state_offset = state->offset / 8;
	if (schema->state_offset != sizeof(struct ff_head) || schema->value_size % 8)
		return refuse(r, "state %s has entries of another layout than the SDK's",
			      schema->name);
	return 0;
}

static int types_read(const struct reader *r, uint32_t definition)
{
	struct schema *schema = r->schema;
	uint32_t inner = inner_definition(r->btf, definition);
	int64_t key, value;

	if ((schema->scope == SCHEMA_PER_FLOW) != (inner != 0))
		return refuse(r, "state %s: only per-flow state is an array of maps", schema->name);
	if (inner)
		definition = inner;
	schema->key_type = member_target(r->btf, definition, "key");
	schema->value_type = member_target(r->btf, definition, "value");
	key = schema->key_type ? btf__resolve_size(r->btf, schema->key_type) : -ENOENT;
	value = schema->value_type ? btf__resolve_size(r->btf, schema->value_type) : -ENOENT;
	if (key <= 0 || value <= 0)
		return refuse(r, "state %s has a key or a value of no known type", schema->name);
	if (key > STREAM_KEY_MAX || (inner && value > STREAM_VALUE_MAX))
		return refuse(r,
			      "state %s is too large: keys of %" PRId64 " and values of %" PRId64
			      " bytes, the limits are %u and %u",
			      schema->name, key, value, STREAM_KEY_MAX, STREAM_VALUE_MAX);
	schema->key_size = (uint32_t)key;
	schema->value_size = (uint32_t)value;
	schema->state_type = schema->value_type;
	return inner ? entry_read(r) : 0;
}

static int state_read(const struct reader *r, uint32_t definition, const char *name,
		      const char *scope)
{
	struct schema *schema = r->schema;
	int found = schema_name_find(schema_scope_names, scope), result;
	const struct btf_type *type;

	if (found < 0)
		return refuse(r, "state %s: unknown scope %s", name, scope);
	if (strlen(name) >= sizeof(schema->name))
		return refuse(r, "state %s: the name has more than %zu characters", name,
			      sizeof(schema->name) - 1);
	schema->scope = (enum schema_scope)found;
	memcpy(schema->name, name, strlen(name) + 1);
	schema->fields = calloc(SCHEMA_FIELDS_MAX, sizeof(*schema->fields));
	if (!schema->fields)
		return error_nomem(r->err);
	result = types_read(r, definition);
	if (result < 0)
		return result;
	type = btf__type_by_id(r->btf, schema->state_type);
	if (btf_is_struct(type))
		result = struct_read(r, schema->state_type, "", schema->state_offset, 0);
	else
		result = value_read(r, schema->state_type, "value", schema->state_offset,
				    (struct tags){ 0 }, 0);
	return result < 0 ? result : schema_finish(schema, r->err);
}

static int config_read(const struct reader *r, uint32_t definition, struct schema_set *set)
{
	uint32_t id = member_target(r->btf, definition, "value");
	int64_t size = id ? btf__resolve_size(r->btf, id) : -ENOENT;

	if (size <= 0 || !btf_is_struct(btf__type_by_id(r->btf, id)))
		return refuse(r, "its configuration isn't a struct");
	set->config_type = id;
	set->config_size = (uint32_t)size;
	return 0;
}

static int variable_read(struct reader *r, uint32_t id, struct schema_set *set)
{
	const struct btf_type *var = btf__type_by_id(r->btf, id);
	const char *scope = tag_find(r->btf, id, -1, "scope:"), *name = btf_name(r->btf, var);
	uint32_t definition = btf_resolve(r->btf, var->type);

	if (tag_find(r->btf, id, -1, "config"))
		return config_read(r, definition, set);
	if (!scope)
		return 0;
	if (set->count == SCHEMA_STATES_MAX)
		return refuse(r, "it declares more than %u states", SCHEMA_STATES_MAX);
	if (!strcmp(scope, schema_scope_names[SCHEMA_PER_FLOW]) && schema_set_per_flow(set))
		return refuse(r, "it declares two per-flow states, %s and %s; one is the limit",
			      schema_set_per_flow(set)->name, name);
	r->schema = &set->states[set->count++];
	return state_read(r, definition, name, scope);
}

int schema_set_read(const struct btf *btf, const char *what, struct schema_set *ret_set,
		    struct ff_error *err)
{
	struct reader reader = { .btf = btf, .what = what, .err = err };
	struct schema_set set = { 0 };
	uint32_t count = btf__type_cnt(btf);
	int result = 0;

	for (uint32_t id = 1; id < count && result == 0; id++)
		if (btf_is_var(btf__type_by_id(btf, id)))
			result = variable_read(&reader, id, &set);
	if (result < 0) {
		schema_set_done(&set);
		return result;
	}
	*ret_set = set;
	return 0;
}

void schema_set_done(struct schema_set *set)
{
	for (unsigned int i = 0; i < set->count; i++)
		schema_done(&set->states[i]);
	*set = (struct schema_set){ 0 };
}

const struct schema *schema_set_per_flow(const struct schema_set *set)
{
	for (unsigned int i = 0; i < set->count; i++)
		if (set->states[i].scope == SCHEMA_PER_FLOW)
			return &set->states[i];
	return NULL;
}
