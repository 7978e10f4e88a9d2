/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * JSON to C values, by their BTF type. Strict: what a person wrote is either understood or refused
 * with its path, `rules[3].match`, and what would be right there.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "agent/btf_json.h"
#include "agent/btf_walk.h"
#include "lib/addr.h"
#include "lib/cleanup.h"
#include "lib/flow.h"
#include "lib/json.h"
#include "lib/match.h"

#define PATH_MAX_LEN 128

struct place {
	const struct btf *btf;
	char path[PATH_MAX_LEN];
	struct ff_error *err;
};

static int value_read(struct place *place, uint32_t id, const char *name, const json_t *json,
		      uint8_t *data, int depth);

static int refuse(struct place *place, const char *mend, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(struct place *place, const char *mend, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return error_set(place->err, EINVAL, FF_CODE_BAD_REQUEST, mend, "%s%s%s",
			 *place->path ? place->path : "configuration", *text == '.' ? "" : " ",
			 text);
}

/* Appends to the path and returns its old length, to which the caller cuts it back. */
static size_t path_push(struct place *place, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static size_t path_push(struct place *place, const char *fmt, ...)
{
	size_t len = strlen(place->path);
	va_list args;

	va_start(args, fmt);
	vsnprintf(place->path + len, sizeof(place->path) - len, fmt, args);
	va_end(args);
	return len;
}

static const char *json_kind(const json_t *json)
{
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "text";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "true or false";
	default:
		return "null";
	}
}

/* ---- numbers ------------------------------------------------------------------------------- */

static void store(uint8_t *data, uint32_t size, uint64_t value, bool network)
{
	for (uint32_t i = 0; i < size; i++) {
		uint32_t shift = network || __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ?
					 8 * (size - 1 - i) :
					 8 * i;

		data[i] = (uint8_t)(value >> shift);
	}
}

static int unsigned_read(struct place *place, const json_t *json, uint32_t size, bool network,
			 uint8_t *data)
{
	uint64_t max = size == 8 ? UINT64_MAX : (1ull << (8 * size)) - 1, value;
	const char *text = json_string_value(json);
	char *end;

	if (size == 8 && text && *text >= '0' && *text <= '9') { /* as btf_to_json() writes it */
		errno = 0;
		value = strtoull(text, &end, 10);
		if (*end || errno)
			return refuse(place, "give a whole number", "is no number: \"%.40s\"",
				      text);
	} else if (json_is_boolean(json) && !network) { /* C flags are integers */
		value = json_is_true(json);
	} else if (!json_is_integer(json)) {
		return refuse(place, "give a whole number", "is %s where a number is due",
			      json_kind(json));
	} else if (json_integer_value(json) < 0 || (uint64_t)json_integer_value(json) > max) {
		return refuse(place, "give a number within the range",
			      "is %" JSON_INTEGER_FORMAT ", out of range: 0 to %" PRIu64,
			      json_integer_value(json), max);
	} else {
		value = (uint64_t)json_integer_value(json);
	}
	store(data, size, value, network);
	return 0;
}

static int signed_read(struct place *place, const json_t *json, uint32_t size, uint8_t *data)
{
	int64_t max = (int64_t)(UINT64_MAX >> (65 - 8 * size)), min = -max - 1;
	json_int_t value = json_integer_value(json);

	if (!json_is_integer(json))
		return refuse(place, "give a whole number", "is %s where a number is due",
			      json_kind(json));
	if (value < min || value > max)
		return refuse(place, "give a number within the range",
			      "is %" JSON_INTEGER_FORMAT ", out of range: %" PRId64 " to %" PRId64,
			      value, min, max);
	store(data, size, (uint64_t)value, false);
	return 0;
}

static int bool_read(struct place *place, const json_t *json, uint8_t *data)
{
	if (!json_is_boolean(json))
		return refuse(place, "give true or false", "is %s where true or false is due",
			      json_kind(json));
	*data = json_is_true(json);
	return 0;
}

/* By its name, whole or without the enum's prefix, in any case; or by a number it has a name for. */
static int enum_read(struct place *place, const struct btf_type *type, const json_t *json,
		     uint8_t *data)
{
	unsigned int prefix = btf_enum_prefix(place->btf, type);
	const char *text = json_string_value(json);
	char known[160] = "give one of:";

	for (int i = 0; btf_is_enum(type) && i < btf_vlen(type); i++) {
		const struct btf_enum *item = &btf_enum(type)[i];
		const char *name = btf__name_by_offset(place->btf, item->name_off);
		size_t len = strlen(known);

		if ((text && (!strcasecmp(text, name) || !strcasecmp(text, name + prefix))) ||
		    (json_is_integer(json) && json_integer_value(json) == item->val)) {
			store(data, type->size, (uint64_t)item->val, false);
			return 0;
		}
		snprintf(known + len, sizeof(known) - len, " %s", name + prefix);
	}
	return refuse(place, known, "is %s%.40s%s, which it can't be", text ? "\"" : "",
		      text ? text : json_kind(json), text ? "\"" : "");
}

/* ---- texts --------------------------------------------------------------------------------- */

static int mac_read(struct place *place, const char *text, uint8_t *data)
{
	unsigned int byte[6];
	int end = 0;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3],
		   &byte[4], &byte[5], &end) != 6 ||
	    text[end] || end != 17)
		return refuse(place, "write it as 02:00:00:00:00:01", "is no MAC address: %.40s",
			      text);
	for (int i = 0; i < 6; i++)
		data[i] = (uint8_t)byte[i];
	return 0;
}

static int hex_read(struct place *place, const char *text, uint32_t size, uint8_t *data)
{
	if (strlen(text) != (size_t)size * 2 ||
	    strspn(text, "0123456789abcdefABCDEF") != (size_t)size * 2)
		return refuse(place, "give two hexadecimal digits a byte",
			      "isn't %u bytes in hexadecimal", size);
	for (size_t i = 0; i < size; i++) {
		char byte[3] = { text[2 * i], text[2 * i + 1], 0 };

		data[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return 0;
}

static int chars_read(struct place *place, const char *text, uint32_t size, uint8_t *data)
{
	if (strlen(text) >= size)
		return refuse(place, "shorten it", "is longer than %u characters", size - 1);
	memcpy(data, text, strlen(text) + 1);
	return 0;
}

static int address_read(struct place *place, const char *text, uint8_t *data)
{
	struct ff_addr addr;

	if (addr_parse(text, &addr) < 0)
		return refuse(place, "write it as 198.18.1.2 or 2001:db8::1",
			      "is no address: %.60s", text);
	memcpy(data, &addr, sizeof(addr));
	return 0;
}

/* Data path and NF test packets of flows that don't exist yet: only what a match says exactly. */
static int match_read(struct place *place, const char *text, uint8_t *data)
{
	struct ff_match match;
	bool exact;
	size_t len = strlen(place->path);
	int r = match_from_text(text, &match, &exact, place->err);

	if (r < 0) {
		error_prefix(place->err, "%.*s", (int)len, place->path);
		return r;
	}
	if (!exact)
		return refuse(
			place,
			"join with `and` a protocol, src and dst prefixes and ports; split an "
			"`or` into several entries",
			"is too rich for packets to be matched against: %.100s", text);
	memcpy(data, &match, sizeof(match));
	return 0;
}

static int flow_value_read(struct place *place, const char *text, uint8_t *data)
{
	struct ff_flow_key key;
	int r = flow_read(text, &key, place->err);

	if (r < 0) {
		error_prefix(place->err, "%s", place->path);
		return r;
	}
	memcpy(data, &key, sizeof(key));
	return 0;
}

static int text_read(struct place *place, uint32_t id, enum btf_shape shape, const json_t *json,
		     uint8_t *data)
{
	const struct btf_type *type = btf_resolved(place->btf, id);
	const char *text = json_string_value(json);

	if (!text)
		return refuse(place, "give text in quotes", "is %s where text is due",
			      json_kind(json));
	switch (shape) {
	case BTF_SHAPE_IPV4:
		if (inet_pton(AF_INET, text, data) != 1)
			return refuse(place, "write it as 198.18.1.2", "is no IPv4 address: %.40s",
				      text);
		return 0;
	case BTF_SHAPE_MAC:
		return mac_read(place, text, data);
	case BTF_SHAPE_ADDRESS:
		return address_read(place, text, data);
	case BTF_SHAPE_MATCH:
		return match_read(place, text, data);
	case BTF_SHAPE_FLOW:
		return flow_value_read(place, text, data);
	case BTF_SHAPE_TEXT:
		return chars_read(place, text, btf_array(type)->nelems, data);
	default:
		return hex_read(place, text, btf_array(type)->nelems, data);
	}
}

/* ---- arrays and structs -------------------------------------------------------------------- */

static int array_read(struct place *place, uint32_t id, const char *name, const json_t *json,
		      uint8_t *data, int depth)
{
	const struct btf_array *array = btf_array(btf_resolved(place->btf, id));
	int64_t size = btf__resolve_size(place->btf, array->type);
	json_t *item;
	size_t i;

	if (!json_is_array(json))
		return refuse(place, "give an array: [..]", "is %s where an array is due",
			      json_kind(json));
	if (json_array_size(json) > array->nelems)
		return refuse(place, "give fewer", "has %zu entries, the limit is %u",
			      json_array_size(json), array->nelems);
	if (size <= 0)
		return refuse(place, NULL, "is of a type that can't be configured");
	json_array_foreach((json_t *)json, i, item) {
		size_t len = path_push(place, "[%zu]", i);
		int r = value_read(place, array->type, name, item, data + i * (size_t)size,
				   depth + 1);

		if (r < 0)
			return r;
		place->path[len] = 0;
	}
	return 0;
}

/* rules -> rules_count, where the struct has it and the JSON doesn't set it itself. */
static void count_store(const struct place *place, uint32_t id, const char *name,
			const json_t *parent, size_t count, uint8_t *data)
{
	char count_name[PATH_MAX_LEN];
	const struct btf_member *member;
	const struct btf_type *type;

	snprintf(count_name, sizeof(count_name), "%s_count", name);
	member = btf_member_find(place->btf, id, count_name);
	type = member ? btf_resolved(place->btf, member->type) : NULL;
	if (!type || !btf_is_int(type) || type->size > 8 || json_object_get(parent, count_name))
		return;
	store(data + member->offset / 8, type->size, count, false);
}

static int member_read(struct place *place, uint32_t id, const char *name, const json_t *json,
		       const json_t *parent, uint8_t *data, int depth)
{
	const struct btf_member *member = btf_member_find(place->btf, id, name);
	size_t len;
	int r;

	if (!member || btf_name_is_padding(name) ||
	    btf_shape_of(place->btf, member->type, name) == BTF_SHAPE_SKIP) {
		const struct btf_type *type = btf__type_by_id(place->btf, id);
		char known[180] = "known are:";

		for (int i = 0; i < btf_vlen(type); i++) {
			const char *have = btf_member_name(place->btf, &btf_members(type)[i]);
			size_t at = strlen(known);

			if (!btf_name_is_padding(have))
				snprintf(known + at, sizeof(known) - at, " %s", have);
		}
		return refuse(place, known, "has no field %.60s", name);
	}
	len = path_push(place, "%s%s", *place->path ? "." : "", name);
	if (btf_kflag(btf__type_by_id(place->btf, id)) || member->offset % 8)
		return refuse(place, NULL, "is a bitfield, which can't be configured");
	r = value_read(place, member->type, name, json, data + member->offset / 8, depth + 1);
	if (r < 0)
		return r;
	place->path[len] = 0;
	if (json_is_array(json))
		count_store(place, id, name, parent, json_array_size(json), data);
	return 0;
}

static int struct_read(struct place *place, uint32_t id, const json_t *json, uint8_t *data,
		       int depth)
{
	uint32_t type = btf_resolve(place->btf, id);
	const char *name;
	json_t *value;

	if (!json_is_object(json))
		return refuse(place, "give an object: {..}", "is %s where an object is due",
			      json_kind(json));
	json_object_foreach((json_t *)json, name, value) {
		int r = member_read(place, type, name, value, json, data, depth);

		if (r < 0)
			return r;
	}
	return 0;
}

static int value_read(struct place *place, uint32_t id, const char *name, const json_t *json,
		      uint8_t *data, int depth)
{
	const struct btf_type *type = btf_resolved(place->btf, id);
	enum btf_shape shape = btf_shape_of(place->btf, id, name);

	if (depth > 2 * BTF_DEPTH_MAX)
		return refuse(place, NULL, "is nested too deeply");
	switch (shape) {
	case BTF_SHAPE_NONE:
	case BTF_SHAPE_SKIP:
		return refuse(place, NULL, "is of a type that can't be configured");
	case BTF_SHAPE_UNSIGNED:
	case BTF_SHAPE_NETWORK:
		return unsigned_read(place, json, type->size, shape == BTF_SHAPE_NETWORK, data);
	case BTF_SHAPE_SIGNED:
		return signed_read(place, json, type->size, data);
	case BTF_SHAPE_BOOL:
		return bool_read(place, json, data);
	case BTF_SHAPE_ENUM:
		return enum_read(place, type, json, data);
	case BTF_SHAPE_ARRAY:
		return array_read(place, id, name, json, data, depth);
	case BTF_SHAPE_STRUCT:
		return struct_read(place, id, json, data, depth);
	default:
		return text_read(place, id, shape, json, data);
	}
}

int btf_from_json(const struct btf *btf, uint32_t type, const json_t *json, void *data,
		  struct ff_error *err)
{
	struct place place = { .btf = btf, .err = err };

	return value_read(&place, type, "", json, data, 0);
}
