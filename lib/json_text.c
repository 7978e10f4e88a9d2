/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "lib/json_text.h"

#include <string.h>

#define FIRST_SIZE 4096
#define DIGITS_MAX 20 /* of UINT64_MAX */

void json_text_done(struct json_text *out)
{
	free(out->text);
	*out = (struct json_text){ 0 };
}

void json_text_reset(struct json_text *out)
{
	out->len = 0;
	out->failed = false;
}

void json_text_cut(struct json_text *out, size_t len)
{
	out->len = len;
}

char *json_text_room(struct json_text *out, size_t n)
{
	size_t size = MAX(out->size, (size_t)FIRST_SIZE);
	char *text;

	if (out->size - out->len >= n)
		return out->text + out->len;
	while (size - out->len < n)
		size *= 2;
	text = realloc(out->text, size);
	if (!text) {
		out->failed = true;
		return NULL;
	}
	out->text = text;
	out->size = size;
	return out->text + out->len;
}

static void raw_put(struct json_text *out, const char *text, size_t len)
{
	char *at = json_text_room(out, len);

	if (!at)
		return;
	memcpy(at, text, len);
	out->len += len;
}

/* A comma is due behind a value: where nothing has just been opened, nor named. */
void json_text_name(struct json_text *out, const char *name)
{
	size_t len = name ? strlen(name) : 0;
	char *at = json_text_room(out, len + strlen(",\"\":"));

	if (!at)
		return;
	if (out->len && !strchr("{[:", at[-1]))
		*at++ = ',';
	if (name) {
		*at++ = '"';
		at = (char *)memcpy(at, name, len) + len;
		*at++ = '"';
		*at++ = ':';
	}
	out->len = (size_t)(at - out->text);
}

void json_text_open(struct json_text *out, const char *name, char bracket)
{
	json_text_name(out, name);
	raw_put(out, &bracket, 1);
}

void json_text_close(struct json_text *out, char bracket)
{
	raw_put(out, &bracket, 1);
}

size_t json_text_digits(char *at, uint64_t value)
{
	char digits[DIGITS_MAX];
	size_t n = sizeof(digits);

	do {
		digits[--n] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	memcpy(at, digits + n, sizeof(digits) - n);
	return sizeof(digits) - n;
}

void json_text_uint(struct json_text *out, const char *name, uint64_t value)
{
	char *at;

	json_text_name(out, name);
	at = json_text_room(out, DIGITS_MAX);
	if (at)
		out->len += json_text_digits(at, MIN(value, (uint64_t)INT64_MAX));
}

void json_text_bool(struct json_text *out, const char *name, bool value)
{
	json_text_name(out, name);
	raw_put(out, value ? "true" : "false", value ? 4 : 5);
}

static bool needs_escapes(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || (unsigned char)*text > '~' || *text == '"' ||
		    *text == '\\')
			return true;
	return false;
}

void json_text_str(struct json_text *out, const char *name, const char *value)
{
	if (needs_escapes(value)) {
		json_t *json = json_string(value);

		json_text_value(out, name, json ? json : json_null());
		return;
	}
	json_text_name(out, name);
	raw_put(out, "\"", 1);
	raw_put(out, value, strlen(value));
	raw_put(out, "\"", 1);
}

void json_text_add(struct json_text *out, const char *name, const struct json_text *value)
{
	json_text_name(out, name);
	raw_put(out, value->text, value->len);
	out->failed |= value->failed;
}

static int dump_put(const char *text, size_t len, void *ctx)
{
	struct json_text *out = ctx;

	raw_put(out, text, len);
	return out->failed ? -1 : 0;
}

void json_text_value(struct json_text *out, const char *name, json_t *value)
{
	json_text_name(out, name);
	if (!value || json_dump_callback(value, dump_put, out,
					 JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9)))
		out->failed = true;
	json_decref(value);
}
