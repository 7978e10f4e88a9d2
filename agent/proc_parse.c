/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What files of /proc say: proc(5), and the kernel's Documentation/accounting/psi.rst. */
#include <ctype.h>
#include <string.h>

#include "agent/probe.h"
#include "agent/proc.h"
#include "lib/cleanup.h"
#include "lib/json.h"

static int unreadable(struct ff_error *err, const char *what, const char *line)
{
	return error_set(err, EPROTO, FF_CODE_INTERNAL, NULL, "%s: can't read \"%.*s\"", what,
			 (int)MIN(strcspn(line, "\n"), (size_t)60), line);
}

static const char *line_next(const char *line)
{
	line += strcspn(line, "\n");
	return *line ? line + 1 : line;
}

/* A number behind blanks, and no sign, that goes as far as a blank or the end of the line. */
static int number_take(const char **at, int base, uint64_t *ret)
{
	const char *from = *at + strspn(*at, " \t");
	char *end;

	if (!isxdigit((unsigned char)*from))
		return -EPROTO;
	errno = 0;
	*ret = strtoull(from, &end, base);
	if (errno || end == from || (*end && !isspace((unsigned char)*end)))
		return -EPROTO;
	*at = end;
	return 0;
}

/* ---- /proc/stat ------------------------------------------------------------------------------ */

#define CPU_CLASSES 8
static const char *const cpu_classes[CPU_CLASSES] = { "user",	"nice", "system",  "idle",
						      "iowait", "irq",	"softirq", "steal" };

/* "cpu0 436 0 120 ..." in ticks; the classes came over the years, so at least the first seven. */
static int cpu_line(const char *line, uint64_t tick_ns, json_t *list)
{
	const char *at = line + strlen("cpu");
	uint64_t number, ticks;

	if (number_take(&at, 10, &number) ||
	    json_array_append_new(json_object_get(list, "cpu"), json_integer((json_int_t)number)))
		return -EPROTO;
	for (int i = 0; i < CPU_CLASSES; i++) {
		if (number_take(&at, 10, &ticks)) {
			if (i < CPU_CLASSES - 1)
				return -EPROTO;
			ticks = 0;
		}
		if (ticks > (uint64_t)INT64_MAX / tick_ns)
			return -EPROTO;
		json_array_append_new(json_object_get(list, cpu_classes[i]),
				      json_integer((json_int_t)(ticks * tick_ns)));
	}
	return 0;
}

int proc_cpu_parse(const char *text, uint64_t tick_ns, json_t **ret, struct ff_error *err)
{
	_cleanup_json_ json_t *list = json_pack("{s[]}", "cpu");

	for (int i = 0; i < CPU_CLASSES; i++)
		if (json_put(list, cpu_classes[i], json_array()))
			return error_nomem(err);
	for (; !strncmp(text, "cpu", 3); text = line_next(text))
		if (isdigit((unsigned char)text[3]) && cpu_line(text, tick_ns, list))
			return unreadable(err, "/proc/stat", text);
	if (!json_array_size(json_object_get(list, "cpu")))
		return unreadable(err, "/proc/stat", text);
	*ret = TAKE_PTR(list);
	return 0;
}

/* ---- /proc/net/softnet_stat ------------------------------------------------------------------ */

/* A line for each CPU: processed, dropped, time_squeeze, ..., all in hexadecimal. */
int proc_softnet_parse(const char *text, json_t **ret, struct ff_error *err)
{
	static const char *const names[] = { "processed", "dropped", "squeezed" };
	_cleanup_json_ json_t *lists = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (json_put(lists, names[i], json_array()))
			return error_nomem(err);
	if (!*text)
		return unreadable(err, "/proc/net/softnet_stat", text);
	for (; *text; text = line_next(text)) {
		const char *at = text;
		uint64_t value;

		for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
			if (number_take(&at, 16, &value) || value > UINT32_MAX)
				return unreadable(err, "/proc/net/softnet_stat", text);
			json_array_append_new(json_object_get(lists, names[i]),
					      json_integer((json_int_t)value));
		}
	}
	*ret = TAKE_PTR(lists);
	return 0;
}

/* ---- /proc/pressure/RESOURCE ----------------------------------------------------------------- */

/* "some avg10=0.12 avg60=0.05 avg300=0.01 total=123456": microseconds, since the start. */
int proc_pressure_parse(const char *text, json_t **ret, struct ff_error *err)
{
	static const struct {
		const char *line;
		const char *name;
	} kinds[] = { { "some ", "some_us" }, { "full ", "full_us" } };
	_cleanup_json_ json_t *object = json_object();

	for (; *text; text = line_next(text)) {
		size_t len = strcspn(text, "\n");
		const char *total = memmem(text, len, " total=", strlen(" total="));
		uint64_t us;

		if (!total)
			return unreadable(err, "/proc/pressure", text);
		total += strlen(" total=");
		if (number_take(&total, 10, &us))
			return unreadable(err, "/proc/pressure", text);
		for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
			if (!strncmp(text, kinds[i].line, strlen(kinds[i].line)))
				json_put_uint(object, kinds[i].name, us);
	}
	if (!json_object_get(object, "some_us"))
		return unreadable(err, "/proc/pressure", text);
	*ret = TAKE_PTR(object);
	return 0;
}

/* ---- /proc/meminfo --------------------------------------------------------------------------- */

int proc_memory_parse(const char *text, json_t **ret, struct ff_error *err)
{
	static const struct {
		const char *line;
		const char *name;
	} wanted[] = {
		{ "MemTotal:", "total_bytes" },
		{ "MemFree:", "free_bytes" },
		{ "MemAvailable:", "available_bytes" },
	};
	_cleanup_json_ json_t *object = json_object();

	for (; *text; text = line_next(text)) {
		for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
			const char *at = text + strlen(wanted[i].line);
			uint64_t kib;

			if (strncmp(text, wanted[i].line, strlen(wanted[i].line)))
				continue;
			if (number_take(&at, 10, &kib) || kib > (uint64_t)INT64_MAX / 1024)
				return unreadable(err, "/proc/meminfo", text);
			json_put_uint(object, wanted[i].name, kib * 1024);
		}
	}
	if (json_object_size(object) != ARRAY_SIZE(wanted))
		return unreadable(err, "/proc/meminfo", text);
	*ret = TAKE_PTR(object);
	return 0;
}
