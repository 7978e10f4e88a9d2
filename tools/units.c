/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* units.c - numbers, times and fields of an answer as people read them; see output.h. */

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "lib/cleanup.h"
#include "tools/output.h"

#define FIELD_BUFFERS 16 /* calls of field_text() in one printf: a table's columns at most */

/* Three digits that count: 9.60, 96.0, 960. */
static const char *scaled_format(double value, const char *unit, char buf[UNIT_TEXT_MAX])
{
	snprintf(buf, UNIT_TEXT_MAX, "%.*f %s",
		 value < 9.995 ? 2 :
		 value < 99.95 ? 1 :
				 0,
		 value, unit);
	return buf;
}

const char *count_format(uint64_t count, char buf[UNIT_TEXT_MAX])
{
	char digits[24];
	int n = snprintf(digits, sizeof(digits), "%" PRIu64, count);
	char *out = buf;

	for (int i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0)
			*out++ = ',';
		*out++ = digits[i];
	}
	*out = '\0';
	return buf;
}

const char *bytes_format(uint64_t bytes, char buf[UNIT_TEXT_MAX])
{
	static const char *const units[] = { "kB", "MB", "GB", "TB", "PB", "EB" };
	double value = (double)bytes / 1000;
	size_t u = 0;

	if (bytes < 1000) {
		snprintf(buf, UNIT_TEXT_MAX, "%" PRIu64 " B", bytes);
		return buf;
	}
	for (; value >= 999.5 && u + 1 < ARRAY_SIZE(units); u++)
		value /= 1000;
	return scaled_format(value, units[u], buf);
}

const char *duration_format(uint64_t us, char buf[UNIT_TEXT_MAX])
{
	uint64_t s = us / 1000000;

	if (us < 1000)
		snprintf(buf, UNIT_TEXT_MAX, "%" PRIu64 " us", us);
	else if (us < 999500)
		scaled_format((double)us / 1e3, "ms", buf);
	else if (s < 60)
		scaled_format((double)us / 1e6, "s", buf);
	else if (s < 3600)
		snprintf(buf, UNIT_TEXT_MAX, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, UNIT_TEXT_MAX, "%" PRIu64 " h %" PRIu64 " min", s / 3600,
			 s % 3600 / 60);
	else
		snprintf(buf, UNIT_TEXT_MAX, "%" PRIu64 " d %" PRIu64 " h", s / 86400,
			 s % 86400 / 3600);
	return buf;
}

const char *field_text(const json_t *object, const char *key)
{
	static char buffers[FIELD_BUFFERS][UNIT_TEXT_MAX];
	static unsigned int turn;
	const json_t *value = json_object_get(object, key);
	char *buf = buffers[turn++ % FIELD_BUFFERS];

	switch (value ? json_typeof(value) : JSON_NULL) {
	case JSON_STRING:
		return *json_string_value(value) ? json_string_value(value) : "-";
	case JSON_INTEGER:
		snprintf(buf, UNIT_TEXT_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		return buf;
	case JSON_REAL:
		snprintf(buf, UNIT_TEXT_MAX, "%.3g", json_real_value(value));
		return buf;
	case JSON_TRUE:
		return "yes";
	case JSON_FALSE:
		return "no";
	default:
		return "-";
	}
}

uint64_t field_count(const json_t *object, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(object, key));

	return value > 0 ? (uint64_t)value : 0;
}

const char *field_units(const json_t *object, const char *key,
			const char *(*format)(uint64_t, char *), char buf[UNIT_TEXT_MAX])
{
	if (!json_is_integer(json_object_get(object, key)))
		return "-";
	return format(field_count(object, key), buf);
}

const char *field_time(const json_t *object, const char *key, char buf[UNIT_TEXT_MAX])
{
	const json_t *value = json_object_get(object, key);
	json_int_t stamp = json_integer_value(value);
	struct tm tm;
	time_t t;

	if (!json_is_integer(value) || stamp <= 0)
		return field_text(object, key);
	/* Milliseconds passed 10^11 in 1973; seconds will in 5138. */
	t = (time_t)(stamp > 100000000000LL ? stamp / 1000 : stamp);
	if (!localtime_r(&t, &tm) || !strftime(buf, UNIT_TEXT_MAX, "%F %T", &tm))
		return "-";
	return buf;
}

/* ---- arrays and objects on one line -------------------------------------------------------- */

/* A text that grows, by open_memstream(): never NULL, "" when memory is out. */
static char *stream_take(FILE *stream, char **text)
{
	if (stream && fclose(stream) == 0 && *text)
		return *text;
	return calloc(1, 1);
}

static void value_write(FILE *out, const json_t *value)
{
	if (json_is_string(value))
		fputs(json_string_value(value), out);
	else
		json_dumpf(value, out, JSON_COMPACT | JSON_ENCODE_ANY);
}

char *field_names(const json_t *object, const char *key)
{
	const json_t *array = json_object_get(object, key), *item;
	char *text = NULL;
	size_t size, i;
	FILE *out = open_memstream(&text, &size);

	json_array_foreach(array, i, item) {
		const json_t *name = json_is_object(item) ? json_object_get(item, "name") : item;

		if (!out || !name)
			continue;
		fputs(i ? ", " : "", out);
		value_write(out, name);
	}
	return stream_take(out, &text);
}

char *object_line(const json_t *object)
{
	const char *key, *comma = "";
	json_t *value;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	json_object_foreach((json_t *)object, key, value) {
		if (!out)
			break;
		fprintf(out, "%s%s=", comma, key);
		value_write(out, value);
		comma = ",";
	}
	return stream_take(out, &text);
}
