/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "lib/json.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

/* ---- parsing ------------------------------------------------------------------------------- */

int json_parse(const char *text, size_t len, json_t **ret_value, struct ff_error *err)
{
	json_error_t where;
	json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);

	if (!value && json_error_code(&where) == json_error_out_of_memory)
		return error_nomem(err);
	if (!value)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "send one valid JSON text",
				 "JSON, line %d, column %d: %s", where.line, where.column,
				 where.text);
	*ret_value = value;
	return 0;
}

/* ---- reading fields ------------------------------------------------------------------------ */

static const char *type_name(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a real number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	default:
		return "null";
	}
}

/* What a reader looks for; @required tells json_get_x() from json_opt_x(). */
struct wanted {
	const char *type; /* in words, as in type_name() */
	bool required;
	bool (*fits)(const json_t *value);
};

static bool is_str(const json_t *value)
{
	return json_is_string(value);
}

static bool is_int(const json_t *value)
{
	return json_is_integer(value);
}

static bool is_bool(const json_t *value)
{
	return json_is_boolean(value);
}

static bool is_real(const json_t *value)
{
	return json_is_number(value);
}

static bool is_array(const json_t *value)
{
	return json_is_array(value);
}

static bool is_object(const json_t *value)
{
	return json_is_object(value);
}

/* 1: *ret_value is of the wanted type; 0: absent, and it may be; else negative errno. */
static int field_get(const json_t *obj, const char *key, struct wanted wanted, json_t **ret_value,
		     struct ff_error *err)
{
	json_t *value;

	if (!json_is_object(obj))
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "send a JSON object",
				 "field \"%s\" is wanted from %s", key,
				 obj ? type_name(obj) : "nothing");
	value = json_object_get(obj, key);
	if (!value || json_is_null(value)) {
		if (!wanted.required)
			return 0;
		error_set(err, ENOENT, FF_CODE_BAD_REQUEST, NULL, "field \"%s\" is missing", key);
		if (err)
			snprintf(err->mend, sizeof(err->mend), "add \"%.60s\": %s", key,
				 wanted.type);
		return -ENOENT;
	}
	if (!wanted.fits(value)) {
		error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "field \"%s\" is %s, not %s", key,
			  type_name(value), wanted.type);
		if (err)
			snprintf(err->mend, sizeof(err->mend), "give \"%.60s\" as %s", key,
				 wanted.type);
		return -EINVAL;
	}
	*ret_value = value;
	return 1;
}

static int range_get(const json_t *obj, const char *key, bool required, int64_t min, int64_t max,
		     int64_t *ret, struct ff_error *err)
{
	json_t *value = NULL;
	int64_t number;
	int r;

	r = field_get(obj, key, (struct wanted){ "an integer", required, is_int }, &value, err);
	if (r <= 0)
		return r;
	number = json_integer_value(value);
	if (number < min || number > max) {
		error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "field \"%s\" is %lld", key,
			  (long long)number);
		if (err && max == INT64_MAX)
			snprintf(err->mend, sizeof(err->mend), "give \"%.60s\" as %lld or more",
				 key, (long long)min);
		else if (err)
			snprintf(err->mend, sizeof(err->mend), "give \"%.60s\" as %lld to %lld",
				 key, (long long)min, (long long)max);
		return -EINVAL;
	}
	*ret = number;
	return 1;
}

/*
 * json_get_x() and json_opt_x() of each type differ in one word; `from` turns the value that was
 * found, named value, into the result.
 */
#define READER(fn, required, type, words, fits, from)                                              \
	int fn(const json_t *obj, const char *key, type *ret, struct ff_error *err)                \
	{                                                                                          \
		json_t *value = NULL;                                                              \
		int r;                                                                             \
                                                                                                   \
		r = field_get(obj, key, (struct wanted){ words, required, fits }, &value, err);    \
		if (r > 0)                                                                         \
			*ret = (from);                                                             \
		return r < 0 ? r : 0;                                                              \
	}

#define READERS(get, opt, type, words, fits, from)                                                 \
	READER(get, true, type, words, fits, from)                                                 \
	READER(opt, false, type, words, fits, from)

READERS(json_get_str, json_opt_str, const char *, "a string", is_str, json_string_value(value))
READERS(json_get_int, json_opt_int, int64_t, "an integer", is_int, json_integer_value(value))
READERS(json_get_bool, json_opt_bool, bool, "a boolean", is_bool, json_boolean_value(value))
READERS(json_get_real, json_opt_real, double, "a number", is_real, json_number_value(value))
READERS(json_get_array, json_opt_array, json_t *, "an array", is_array, value)
READERS(json_get_object, json_opt_object, json_t *, "an object", is_object, value)

#define UNSIGNED_READER(fn, required, type, max)                                                   \
	int fn(const json_t *obj, const char *key, type *ret, struct ff_error *err)                \
	{                                                                                          \
		int64_t number = 0;                                                                \
		int r = range_get(obj, key, required, 0, max, &number, err);                       \
                                                                                                   \
		if (r > 0)                                                                         \
			*ret = (type)number;                                                       \
		return r < 0 ? r : 0;                                                              \
	}

UNSIGNED_READER(json_get_uint, true, uint64_t, INT64_MAX)
UNSIGNED_READER(json_opt_uint, false, uint64_t, INT64_MAX)
UNSIGNED_READER(json_get_u32, true, uint32_t, UINT32_MAX)
UNSIGNED_READER(json_opt_u32, false, uint32_t, UINT32_MAX)
UNSIGNED_READER(json_get_u16, true, uint16_t, UINT16_MAX)
UNSIGNED_READER(json_opt_u16, false, uint16_t, UINT16_MAX)

int json_get_range(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *ret,
		   struct ff_error *err)
{
	int r = range_get(obj, key, true, min, max, ret, err);

	return r < 0 ? r : 0;
}

int json_opt_range(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *ret,
		   struct ff_error *err)
{
	int r = range_get(obj, key, false, min, max, ret, err);

	return r < 0 ? r : 0;
}

int json_get_text(const json_t *obj, const char *key, char *buf, size_t size, struct ff_error *err)
{
	const char *text = "";
	size_t len;
	int r;

	r = json_get_str(obj, key, &text, err);
	if (r)
		return r;
	len = strlen(text);
	if (!len || len >= size) {
		error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "field \"%s\" has %zu characters",
			  key, len);
		if (err)
			snprintf(err->mend, sizeof(err->mend), "give \"%.60s\" 1 to %zu characters",
				 key, size - 1);
		return -EINVAL;
	}
	memcpy(buf, text, len + 1);
	return 0;
}

int json_check_fields(const json_t *obj, const char *const *known, struct ff_error *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(obj))
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "send a JSON object",
				 "an object is wanted, not %s", obj ? type_name(obj) : "nothing");
	json_object_foreach((json_t *)obj, key, value) {
		size_t i = 0;

		while (known[i] && strcmp(known[i], key) != 0)
			i++;
		if (!known[i])
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
					 "correct its name or leave it out",
					 "field \"%.60s\" is unknown here", key);
	}
	return 0;
}

/* ---- writing ------------------------------------------------------------------------------- */

int json_put(json_t *obj, const char *key, json_t *value)
{
	return json_object_set_new(obj, key, value) ? -ENOMEM : 0;
}

int json_put_str(json_t *obj, const char *key, const char *value)
{
	return json_put(obj, key, value ? json_string(value) : json_null());
}

int json_put_fmt(json_t *obj, const char *key, const char *fmt, ...)
{
	va_list args;
	json_t *value;

	va_start(args, fmt);
	value = json_vsprintf(fmt, args);
	va_end(args);
	return json_put(obj, key, value);
}

int json_put_int(json_t *obj, const char *key, int64_t value)
{
	return json_put(obj, key, json_integer(value));
}

int json_put_uint(json_t *obj, const char *key, uint64_t value)
{
	return json_put(obj, key, json_integer((json_int_t)MIN(value, (uint64_t)INT64_MAX)));
}

int json_put_bool(json_t *obj, const char *key, bool value)
{
	return json_put(obj, key, json_boolean(value));
}

int json_put_real(json_t *obj, const char *key, double value)
{
	return json_put(obj, key, isfinite(value) ? json_real(value) : json_null());
}

/* ---- errors -------------------------------------------------------------------------------- */

json_t *json_from_error(const struct ff_error *error)
{
	/* a message may quote what isn't UTF-8; an error must get through all the same */
	const char *code = error->code[0] ? error->code : error_code(error->err);
	json_t *message = json_string(error->message), *mend = json_string(error->mend);

	if (!message)
		message = json_string("the message has characters that aren't UTF-8");
	if (!mend)
		mend = json_string("");
	return json_pack("{s:{s:s,s:o,s:o}}", "error", "code", code, "message", message, "mend",
			 mend);
}

bool json_to_error(const json_t *body, int err, struct ff_error *ret_error)
{
	const char *code = NULL, *message = NULL, *mend = NULL;
	json_t *object = json_object_get(body, "error");

	if (!json_is_object(object))
		return false;
	code = json_string_value(json_object_get(object, "code"));
	message = json_string_value(json_object_get(object, "message"));
	mend = json_string_value(json_object_get(object, "mend"));
	error_set(ret_error, err, code, mend, "%s", message ? message : "no message");
	return true;
}
