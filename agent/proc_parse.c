/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What files of /proc say: proc(5), and the kernel's Documentation/accounting/psi.rst. */
#include <ctype.h>
#include <string.h>

#include "agent/probe.h"
#include "agent/proc.h"
#include "lib/cleanup.h"

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

static const char *const cpu_classes[] = { "user",   "nice", "system",	"idle",
					   "iowait", "irq",  "softirq", "steal" };

/* The number of a CPU: of "cpu0 436 0 120 ..."; the first line is the sum of all. */
static bool is_cpu(const char *line)
{
	return !strncmp(line, "cpu", 3) && isdigit((unsigned char)line[3]);
}

/* The numbers of the CPUs. */
static int cpu_numbers(const char *text, struct json_text *out, struct ff_error *err)
{
	json_text_open(out, "cpu", '[');
	for (; !strncmp(text, "cpu", 3); text = line_next(text)) {
		const char *at = text + strlen("cpu");
		uint64_t number;

		if (!is_cpu(text))
			continue;
		if (number_take(&at, 10, &number))
			return unreadable(err, "/proc/stat", text);
		json_text_uint(out, NULL, number);
	}
	json_text_close(out, ']');
	return 0;
}

/* Their ticks in one class; the classes came over the years, so at least all but the last. */
static int cpu_class(const char *text, size_t class, uint64_t tick_ns, struct json_text *out,
		     struct ff_error *err)
{
	json_text_open(out, cpu_classes[class], '[');
	for (; !strncmp(text, "cpu", 3); text = line_next(text)) {
		const char *at = text;
		uint64_t ticks = 0;

		if (!is_cpu(text))
			continue;
		for (size_t i = 0; i <= class; i++) {
			at += strcspn(at, " \t\n");
			at += strspn(at, " \t");
		}
		if ((number_take(&at, 10, &ticks) && class < ARRAY_SIZE(cpu_classes) - 1) ||
		    ticks > (uint64_t)INT64_MAX / tick_ns)
			return unreadable(err, "/proc/stat", text);
		json_text_uint(out, NULL, ticks * tick_ns);
	}
	json_text_close(out, ']');
	return 0;
}

int proc_cpu_parse(const char *text, uint64_t tick_ns, struct json_text *out, struct ff_error *err)
{
	const char *first = text;
	int r;

	while (!strncmp(first, "cpu", 3) && !is_cpu(first))
		first = line_next(first);
	if (!is_cpu(first))
		return unreadable(err, "/proc/stat", first);
	json_text_open(out, NULL, '{');
	r = cpu_numbers(first, out, err);
	for (size_t i = 0; i < ARRAY_SIZE(cpu_classes) && !r; i++)
		r = cpu_class(first, i, tick_ns, out, err);
	json_text_close(out, '}');
	return r;
}

/* ---- /proc/net/softnet_stat ------------------------------------------------------------------ */

/* A line for each CPU: processed, dropped, time_squeeze, ..., all in hexadecimal. */
static int softnet_column(const char *text, size_t column, struct json_text *out,
			  struct ff_error *err)
{
	for (; *text; text = line_next(text)) {
		const char *at = text;
		uint64_t value = 0;

		for (size_t i = 0; i <= column; i++)
			if (number_take(&at, 16, &value) || value > UINT32_MAX)
				return unreadable(err, "/proc/net/softnet_stat", text);
		json_text_uint(out, NULL, value);
	}
	return 0;
}

int proc_softnet_parse(const char *text, struct json_text *out, struct ff_error *err)
{
	static const char *const names[] = { "processed", "dropped", "squeezed" };
	int r = *text ? 0 : unreadable(err, "/proc/net/softnet_stat", text);

	json_text_open(out, NULL, '{');
	for (size_t i = 0; i < ARRAY_SIZE(names) && !r; i++) {
		json_text_open(out, names[i], '[');
		r = softnet_column(text, i, out, err);
		json_text_close(out, ']');
	}
	json_text_close(out, '}');
	return r;
}

/* ---- /proc/pressure/RESOURCE ----------------------------------------------------------------- */

/* "some avg10=0.12 avg60=0.05 avg300=0.01 total=123456": microseconds, since the start. */
int proc_pressure_parse(const char *text, struct json_text *out, struct ff_error *err)
{
	static const struct {
		const char *line;
		const char *name;
	} kinds[] = { { "some ", "some_us" }, { "full ", "full_us" } };
	bool some = false;

	json_text_open(out, NULL, '{');
	for (; *text; text = line_next(text)) {
		size_t len = strcspn(text, "\n");
		const char *total = memmem(text, len, " total=", strlen(" total="));
		uint64_t us;

		if (!total)
			return unreadable(err, "/proc/pressure", text);
		total += strlen(" total=");
		if (number_take(&total, 10, &us))
			return unreadable(err, "/proc/pressure", text);
		for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
			if (strncmp(text, kinds[i].line, strlen(kinds[i].line)))
				continue;
			json_text_uint(out, kinds[i].name, us);
			some |= !i;
		}
	}
	json_text_close(out, '}');
	return some ? 0 : unreadable(err, "/proc/pressure", text);
}

/* ---- /proc/meminfo --------------------------------------------------------------------------- */

int proc_memory_parse(const char *text, struct json_text *out, struct ff_error *err)
{
	static const struct {
		const char *line;
		const char *name;
	} wanted[] = {
		{ "MemTotal:", "total_bytes" },
		{ "MemFree:", "free_bytes" },
		{ "MemAvailable:", "available_bytes" },
	};
	unsigned int found = 0;

	json_text_open(out, NULL, '{');
	for (; *text; text = line_next(text)) {
		for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
			const char *at = text + strlen(wanted[i].line);
			uint64_t kib;

			if (strncmp(text, wanted[i].line, strlen(wanted[i].line)))
				continue;
			if (number_take(&at, 10, &kib) || kib > (uint64_t)INT64_MAX / 1024)
				return unreadable(err, "/proc/meminfo", text);
			json_text_uint(out, wanted[i].name, kib * 1024);
			found |= 1u << i;
		}
	}
	json_text_close(out, '}');
	return found == (1u << ARRAY_SIZE(wanted)) - 1 ? 0 : unreadable(err, "/proc/meminfo", text);
}
