/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <string.h>

#include "agent/btf_walk.h"
#include "bpf/abi.h"

const char *btf_name(const struct btf *btf, const struct btf_type *type)
{
	const char *name = type ? btf__name_by_offset(btf, type->name_off) : NULL;

	return name ? name : "";
}

const char *btf_member_name(const struct btf *btf, const struct btf_member *member)
{
	const char *name = btf__name_by_offset(btf, member->name_off);

	return name ? name : "";
}

uint32_t btf_resolve(const struct btf *btf, uint32_t id)
{
	int found = btf__resolve_type(btf, id);
	const struct btf_type *type;

	if (found <= 0)
		return 0;
	type = btf__type_by_id(btf, (uint32_t)found);
	if (!btf_is_fwd(type))
		return (uint32_t)found;
	found = btf__find_by_name_kind(btf, btf_name(btf, type), BTF_KIND_STRUCT);
	return found < 0 ? 0 : (uint32_t)found;
}

const struct btf_type *btf_resolved(const struct btf *btf, uint32_t id)
{
	uint32_t found = btf_resolve(btf, id);

	return found ? btf__type_by_id(btf, found) : NULL;
}

bool btf_is_network(const struct btf *btf, uint32_t id)
{
	for (int depth = 0; depth < BTF_DEPTH_MAX; depth++) {
		const struct btf_type *type = btf__type_by_id(btf, id);

		if (!type)
			return false;
		if (btf_is_typedef(type) && !strncmp(btf_name(btf, type), "__be", 4))
			return true;
		if (!btf_is_typedef(type) && !btf_is_mod(type))
			return false;
		id = type->type;
	}
	return false;
}

const struct btf_member *btf_member_find(const struct btf *btf, uint32_t id, const char *name)
{
	const struct btf_type *type = btf__type_by_id(btf, id);

	if (!type || !btf_is_composite(type))
		return NULL;
	for (int i = 0; i < btf_vlen(type); i++)
		if (!strcmp(btf_member_name(btf, &btf_members(type)[i]), name))
			return &btf_members(type)[i];
	return NULL;
}

bool btf_name_is_padding(const char *name)
{
	if (strncmp(name, "pad", 3) != 0)
		return false;
	name += 3;
	return !*name || *name == '_' || (*name >= '0' && *name <= '9') || !strcmp(name, "ding");
}

/* `ip` as a word of its own: `src_ip`, not `zip` or `description`. */
static bool name_is_address(const char *name)
{
	size_t len = strlen(name);

	if (strstr(name, "addr"))
		return true;
	return !strcmp(name, "ip") || !strncmp(name, "ip_", 3) || !strncmp(name, "ipv", 3) ||
	       (len > 3 && !strcmp(name + len - 3, "_ip"));
}

static enum btf_shape array_shape(const struct btf *btf, const struct btf_type *type,
				  const char *name)
{
	const struct btf_array *array = btf_array(type);
	const struct btf_type *element = btf_resolved(btf, array->type);

	if (!element)
		return BTF_SHAPE_NONE;
	if (btf_is_network(btf, array->type) && element->size == 4 && array->nelems == 4)
		return BTF_SHAPE_ADDRESS;
	if (!btf_is_int(element) || element->size != 1)
		return BTF_SHAPE_ARRAY;
	/* char: clang says signed */
	if (btf_int_encoding(element) & (BTF_INT_CHAR | BTF_INT_SIGNED))
		return BTF_SHAPE_TEXT;
	switch (array->nelems) {
	case 4:
		return name_is_address(name) ? BTF_SHAPE_IPV4 : BTF_SHAPE_ARRAY;
	case 6:
		return BTF_SHAPE_MAC;
	case 16:
		return BTF_SHAPE_ADDRESS;
	}
	return array->nelems <= 8 ? BTF_SHAPE_ARRAY : BTF_SHAPE_HEX;
}

static enum btf_shape struct_shape(const struct btf *btf, const struct btf_type *type)
{
	static const struct {
		const char *name;
		size_t size;
		enum btf_shape shape;
	} known[] = {
		{ "ff_match", sizeof(struct ff_match), BTF_SHAPE_MATCH },
		{ "ff_flow_key", sizeof(struct ff_flow_key), BTF_SHAPE_FLOW },
		{ "ff_addr", sizeof(struct ff_addr), BTF_SHAPE_ADDRESS },
		{ "bpf_spin_lock", 4, BTF_SHAPE_SKIP },
	};
	const char *name = btf_name(btf, type);

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(known[i].name, name) && known[i].size == type->size)
			return known[i].shape;
	return BTF_SHAPE_STRUCT;
}

enum btf_shape btf_shape_of(const struct btf *btf, uint32_t id, const char *name)
{
	const struct btf_type *type = btf_resolved(btf, id);

	if (!type)
		return BTF_SHAPE_NONE;
	if (btf_is_array(type))
		return array_shape(btf, type, name);
	if (btf_is_struct(type))
		return struct_shape(btf, type);
	if (btf_is_any_enum(type))
		return BTF_SHAPE_ENUM;
	if (!btf_is_int(type) || type->size > 8)
		return BTF_SHAPE_NONE;
	if (btf_is_network(btf, id))
		return type->size == 4 && name_is_address(name) ? BTF_SHAPE_IPV4 :
								  BTF_SHAPE_NETWORK;
	if (btf_int_encoding(type) & BTF_INT_BOOL)
		return BTF_SHAPE_BOOL;
	return btf_int_encoding(type) & BTF_INT_SIGNED ? BTF_SHAPE_SIGNED : BTF_SHAPE_UNSIGNED;
}

unsigned int btf_enum_prefix(const struct btf *btf, const struct btf_type *type)
{
	const char *first;
	unsigned int len;

	if (!btf_is_enum(type) || btf_vlen(type) < 2)
		return 0;
	first = btf__name_by_offset(btf, btf_enum(type)[0].name_off);
	len = (unsigned int)strlen(first);
	for (int i = 1; i < btf_vlen(type); i++) {
		const char *name = btf__name_by_offset(btf, btf_enum(type)[i].name_off);
		unsigned int same = 0;

		while (same < len && name[same] == first[same])
			same++;
		len = same;
	}
	while (len > 0 && first[len - 1] != '_')
		len--;
	return len;
}
