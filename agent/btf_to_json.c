/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * C values to JSON, by their BTF type. See btf_json.h for what becomes what.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "agent/btf_json.h"
#include "agent/btf_walk.h"
#include "lib/addr.h"
#include "lib/cleanup.h"
#include "lib/flow.h"
#include "lib/json.h"
#include "lib/match.h"

#define ENUM_NAME_MAX 128

static int value_print(const struct btf *btf, uint32_t id, const char *name, const uint8_t *data,
		       int depth, json_t **ret_json);

static json_t *number_json(uint64_t value)
{
	char text[32];

	if (value <= INT64_MAX)
		return json_integer((json_int_t)value);
	snprintf(text, sizeof(text), "%" PRIu64, value);
	return json_string(text);
}

static uint64_t load(const uint8_t *data, uint32_t size)
{
	uint64_t u64 = 0;
	uint32_t u32;
	uint16_t u16;

	switch (size) {
	case 1:
		return *data;
	case 2:
		memcpy(&u16, data, sizeof(u16));
		return u16;
	case 4:
		memcpy(&u32, data, sizeof(u32));
		return u32;
	}
	memcpy(&u64, data, MIN(size, 8u));
	return u64;
}

static int64_t load_signed(const uint8_t *data, uint32_t size)
{
	unsigned int unused = 64 - 8 * size;

	return (int64_t)(load(data, size) << unused) >> unused;
}

static uint64_t load_network(const uint8_t *data, uint32_t size)
{
	uint64_t value = 0;

	for (uint32_t i = 0; i < size; i++)
		value = value << 8 | data[i];
	return value;
}

static json_t *enum_json(const struct btf *btf, const struct btf_type *type, const uint8_t *data)
{
	int64_t value = load_signed(data, type->size);
	unsigned int prefix = btf_enum_prefix(btf, type);

	for (int i = 0; btf_is_enum(type) && i < btf_vlen(type); i++) {
		const char *name = btf__name_by_offset(btf, btf_enum(type)[i].name_off) + prefix;
		char lower[ENUM_NAME_MAX];
		size_t n;

		if (btf_enum(type)[i].val != (int32_t)value)
			continue;
		for (n = 0; name[n] && n < sizeof(lower) - 1; n++)
			lower[n] = (char)tolower((unsigned char)name[n]);
		return json_stringn(lower, n);
	}
	return json_integer(value); /* a number that the enum has no name for */
}

static json_t *address_json(const uint8_t *data)
{
	struct ff_addr addr;
	char text[ADDR_TEXT_MAX];

	memcpy(&addr, data, sizeof(addr));
	return json_string(addr_format(&addr, text));
}

static json_t *bytes_json(const uint8_t *data, uint32_t size, char separator)
{
	_cleanup_free_ char *text = malloc((size_t)size * 3 + 1);
	size_t len = 0;

	if (!text)
		return NULL;
	for (uint32_t i = 0; i < size; i++) {
		if (separator && i)
			text[len++] = separator;
		len += (size_t)sprintf(text + len, "%02x", data[i]);
	}
	return json_stringn(text, len);
}

/* An NF may put anything there; what isn't UTF-8 is shown in hexadecimal. */
static json_t *text_json(const uint8_t *data, uint32_t size)
{
	size_t len = strnlen((const char *)data, size);
	json_t *text = json_stringn((const char *)data, len);

	return text ? text : bytes_json(data, size, 0);
}

static json_t *match_json(const uint8_t *data)
{
	char text[MATCH_TEXT_MAX];
	struct ff_match match;

	memcpy(&match, data, sizeof(match));
	if (!(match.flags & FF_MATCH_USED))
		return json_null();
	match.flags |= FF_MATCH_EITHER; /* the text is the same for one direction */
	if (match_format(&match, text) < 0)
		return bytes_json(data, sizeof(match), 0);
	return json_string(text);
}

static json_t *flow_json(const uint8_t *data)
{
	struct ff_flow_key key;
	char text[FLOW_TEXT_MAX];

	memcpy(&key, data, sizeof(key));
	return json_string(flow_format(&key, text));
}

static int array_print(const struct btf *btf, const struct btf_type *type, const char *name,
		       uint32_t count, const uint8_t *data, int depth, json_t **ret_json)
{
	const struct btf_array *array = btf_array(type);
	int64_t size = btf__resolve_size(btf, array->type);
	_cleanup_json_ json_t *list = json_array();

	if (!list)
		return -ENOMEM;
	if (size <= 0)
		return -EINVAL;
	for (uint32_t i = 0; i < count; i++) {
		json_t *item;
		int r = value_print(btf, array->type, name, data + i * (size_t)size, depth + 1,
				    &item);

		if (r < 0)
			return r;
		if (json_array_append_new(list, item))
			return -ENOMEM;
	}
	*ret_json = TAKE_PTR(list);
	return 0;
}

/* How many elements of array @name are in use: the struct's NAME_count, where it has one, tells. */
static uint32_t array_used(const struct btf *btf, const struct btf_type *parent, const char *name,
			   uint32_t elements, const uint8_t *data)
{
	size_t len = strlen(name);

	for (int i = 0; i < btf_vlen(parent); i++) {
		const struct btf_member *member = &btf_members(parent)[i];
		const struct btf_type *type = btf_resolved(btf, member->type);
		const char *have = btf_member_name(btf, member);

		if (!strncmp(have, name, len) && !strcmp(have + len, "_count") && type &&
		    btf_is_int(type) && !btf_kflag(parent))
			return (uint32_t)MIN(load(data + member->offset / 8, type->size),
					     (uint64_t)elements);
	}
	return elements;
}

/* A member: an array's length may be told by another one. */
static int member_print(const struct btf *btf, const struct btf_type *parent,
			const struct btf_member *member, uint32_t offset, const uint8_t *data,
			int depth, json_t **ret_json)
{
	const struct btf_type *type = btf_resolved(btf, member->type);
	const char *name = btf_member_name(btf, member);
	uint32_t used;

	if (btf_shape_of(btf, member->type, name) != BTF_SHAPE_ARRAY || depth > 2 * BTF_DEPTH_MAX)
		return value_print(btf, member->type, name, data + offset, depth, ret_json);
	used = array_used(btf, parent, name, btf_array(type)->nelems, data);
	return array_print(btf, type, name, used, data + offset, depth, ret_json);
}

static int struct_print(const struct btf *btf, const struct btf_type *type, const uint8_t *data,
			int depth, json_t **ret_json)
{
	_cleanup_json_ json_t *object = json_object();

	if (!object)
		return -ENOMEM;
	for (int i = 0; i < btf_vlen(type); i++) {
		const struct btf_member *member = &btf_members(type)[i];
		const char *name = btf_member_name(btf, member);
		uint32_t bit = btf_member_bit_offset(type, (uint32_t)i);
		json_t *value;
		int r;

		if (btf_name_is_padding(name) ||
		    btf_shape_of(btf, member->type, name) == BTF_SHAPE_SKIP)
			continue;
		if (btf_member_bitfield_size(type, (uint32_t)i) || bit % 8)
			return -EINVAL;
		r = member_print(btf, type, member, bit / 8, data, depth + 1, &value);
		if (r < 0)
			return r;
		if (!*name && json_is_object(value)) { /* an anonymous struct's members are ours */
			r = json_object_update(object, value);
			json_decref(value);
		} else {
			r = json_object_set_new(object, name, value);
		}
		if (r)
			return -ENOMEM;
	}
	*ret_json = TAKE_PTR(object);
	return 0;
}

static json_t *scalar_json(const struct btf *btf, uint32_t id, enum btf_shape shape,
			   const uint8_t *data)
{
	const struct btf_type *type = btf_resolved(btf, id);
	char text[INET_ADDRSTRLEN];

	switch (shape) {
	case BTF_SHAPE_UNSIGNED:
		return number_json(load(data, type->size));
	case BTF_SHAPE_SIGNED:
		return json_integer(load_signed(data, type->size));
	case BTF_SHAPE_NETWORK:
		return number_json(load_network(data, type->size));
	case BTF_SHAPE_BOOL:
		return json_boolean(*data);
	case BTF_SHAPE_ENUM:
		return enum_json(btf, type, data);
	case BTF_SHAPE_IPV4:
		return json_string(inet_ntop(AF_INET, data, text, sizeof(text)));
	case BTF_SHAPE_MAC:
		return bytes_json(data, 6, ':');
	case BTF_SHAPE_ADDRESS:
		return address_json(data);
	case BTF_SHAPE_TEXT:
		return text_json(data, btf_array(type)->nelems);
	case BTF_SHAPE_HEX:
		return bytes_json(data, btf_array(type)->nelems, 0);
	case BTF_SHAPE_MATCH:
		return match_json(data);
	case BTF_SHAPE_FLOW:
		return flow_json(data);
	default:
		return json_null();
	}
}

static int value_print(const struct btf *btf, uint32_t id, const char *name, const uint8_t *data,
		       int depth, json_t **ret_json)
{
	enum btf_shape shape = btf_shape_of(btf, id, name);

	if (depth > 2 * BTF_DEPTH_MAX || shape == BTF_SHAPE_NONE)
		return -EINVAL;
	if (shape == BTF_SHAPE_ARRAY)
		return array_print(btf, btf_resolved(btf, id), name,
				   btf_array(btf_resolved(btf, id))->nelems, data, depth, ret_json);
	if (shape == BTF_SHAPE_STRUCT)
		return struct_print(btf, btf_resolved(btf, id), data, depth, ret_json);
	*ret_json = scalar_json(btf, id, shape, data);
	return *ret_json ? 0 : -ENOMEM;
}

int btf_to_json(const struct btf *btf, uint32_t type, const void *data, json_t **ret_json)
{
	return value_print(btf, type, "", data, 0, ret_json);
}
