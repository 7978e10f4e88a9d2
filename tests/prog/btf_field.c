/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* btf_field.c - see btf_field.h. */
#include "tests/prog/btf_field.h"

#include <bpf/btf.h>
#include <errno.h>
#include <string.h>

static uint32_t type_skip_mods(const struct btf *btf, uint32_t type)
{
	const struct btf_type *t = btf__type_by_id(btf, type);

	while (t && (btf_is_mod(t) || btf_is_typedef(t))) {
		type = t->type;
		t = btf__type_by_id(btf, type);
	}
	return type;
}

static const struct btf_member *member_find(const struct btf *btf, uint32_t type, const char *name,
					    size_t len, uint32_t *ret_offset)
{
	const struct btf_type *t = btf__type_by_id(btf, type_skip_mods(btf, type));

	if (!t || !btf_is_composite(t))
		return NULL;
	for (uint16_t i = 0; i < btf_vlen(t); i++) {
		const struct btf_member *member = &btf_members(t)[i];
		const char *text = btf__name_by_offset(btf, member->name_off);

		if (text && strlen(text) == len && !memcmp(text, name, len)) {
			*ret_offset = btf_member_bit_offset(t, i) / 8;
			return member;
		}
	}
	return NULL;
}

int btf_field_find(const struct btf *btf, uint32_t type, const char *path,
		   struct btf_field *ret_field)
{
	struct btf_field field = { .type = type, .count = 1 };

	while (*path) {
		size_t len = strcspn(path, ".");
		const struct btf_member *member;
		const struct btf_type *t;
		uint32_t offset;

		member = member_find(btf, field.type, path, len, &offset);
		if (!member)
			return -ENOENT;
		field.offset += offset;
		field.type = type_skip_mods(btf, member->type);
		field.count = 1;
		t = btf__type_by_id(btf, field.type);
		if (btf_is_array(t)) {
			field.count = btf_array(t)->nelems;
			field.type = type_skip_mods(btf, btf_array(t)->type);
		}
		path += len;
		path += *path == '.';
	}
	field.size = (uint32_t)btf__resolve_size(btf, field.type);
	*ret_field = field;
	return 0;
}
