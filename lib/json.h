/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * json.h - small helpers over jansson: fields of a type, with errors that name the field.
 *
 * Readers: json_get_x() wants the field, json_opt_x() leaves *ret as it was (the caller's default)
 * when the field is absent or null. Both refuse a wrong type or a value out of range with
 * -EINVAL, a missing field with -ENOENT, code bad-request, and the field's name, what it is and
 * what it should be in *err (may be NULL). *ret is untouched on failure. Strings, arrays and
 * objects are borrowed: they live as long as the object they were read from.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

#include "lib/cleanup.h"
#include "lib/error.h"

static inline void cleanup_json(json_t **held)
{
	json_decref(*held); /* takes NULL */
}
#define _cleanup_json_ _cleanup_(cleanup_json)

/*
 * Parses one JSON text of @len bytes: no duplicate keys, nothing behind it. Errors give line and
 * column. *ret_value is the caller's: json_decref(). -EINVAL, -ENOMEM.
 */
int json_parse(const char *text, size_t len, json_t **ret_value, struct ff_error *err);

int json_get_str(const json_t *obj, const char *key, const char **ret, struct ff_error *err);
int json_get_int(const json_t *obj, const char *key, int64_t *ret, struct ff_error *err);
int json_get_uint(const json_t *obj, const char *key, uint64_t *ret, struct ff_error *err);
int json_get_range(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *ret,
		   struct ff_error *err);
int json_get_u16(const json_t *obj, const char *key, uint16_t *ret, struct ff_error *err);
int json_get_u32(const json_t *obj, const char *key, uint32_t *ret, struct ff_error *err);
int json_get_bool(const json_t *obj, const char *key, bool *ret, struct ff_error *err);
int json_get_real(const json_t *obj, const char *key, double *ret, struct ff_error *err);
int json_get_array(const json_t *obj, const char *key, json_t **ret, struct ff_error *err);
int json_get_object(const json_t *obj, const char *key, json_t **ret, struct ff_error *err);

int json_opt_str(const json_t *obj, const char *key, const char **ret, struct ff_error *err);
int json_opt_int(const json_t *obj, const char *key, int64_t *ret, struct ff_error *err);
int json_opt_uint(const json_t *obj, const char *key, uint64_t *ret, struct ff_error *err);
int json_opt_range(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *ret,
		   struct ff_error *err);
int json_opt_u16(const json_t *obj, const char *key, uint16_t *ret, struct ff_error *err);
int json_opt_u32(const json_t *obj, const char *key, uint32_t *ret, struct ff_error *err);
int json_opt_bool(const json_t *obj, const char *key, bool *ret, struct ff_error *err);
int json_opt_real(const json_t *obj, const char *key, double *ret, struct ff_error *err);
int json_opt_array(const json_t *obj, const char *key, json_t **ret, struct ff_error *err);
int json_opt_object(const json_t *obj, const char *key, json_t **ret, struct ff_error *err);

/*
 * Copies a string field into @buf of @size bytes; one that doesn't fit with its NUL is -EINVAL,
 * never cut. The empty string is refused too: names and the like are never empty.
 */
int json_get_text(const json_t *obj, const char *key, char *buf, size_t size, struct ff_error *err);

/* Refuses a field that is not in @known (ended by NULL): a misspelt option must not go unseen. */
int json_check_fields(const json_t *obj, const char *const *known, struct ff_error *err);

/*
 * Writers: 0, or -ENOMEM (also when @obj is NULL or the text isn't UTF-8). json_put() takes over
 * @value, even on failure, and takes a NULL @value as out of memory, so that calls nest:
 * json_put(obj, "flows", json_array()).
 */
int json_put(json_t *obj, const char *key, json_t *value);
int json_put_str(json_t *obj, const char *key, const char *value); /* NULL becomes null */
int json_put_fmt(json_t *obj, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int json_put_int(json_t *obj, const char *key, int64_t value);
int json_put_uint(json_t *obj, const char *key, uint64_t value); /* cut to INT64_MAX */
int json_put_bool(json_t *obj, const char *key, bool value);
int json_put_real(json_t *obj, const char *key, double value); /* not finite becomes null */

/* API.md's error answer, {"error":{"code","message","mend"}}. NULL when out of memory. */
json_t *json_from_error(const struct ff_error *error);

/*
 * The other way: fills *ret_error from an answer's body, with @err as its errno. False if the body
 * has no error in it; *ret_error is untouched then.
 */
bool json_to_error(const json_t *body, int err, struct ff_error *ret_error);
