/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/bench/report.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "lib/json.h"
#include "tools/output.h"

#define JSON_DIGITS 12 /* more than figures have, fewer than show how binary fractions are stored */

static double number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static bool is_null(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return !value || json_is_null(value);
}

/* Three digits that count, all of those before the point. */
static const char *number_format(double value, char buf[UNIT_TEXT_MAX])
{
	double size = fabs(value);

	if (size >= 999.5 && size < 1e15)
		return count_format((uint64_t)llround(size), buf);
	snprintf(buf, UNIT_TEXT_MAX, "%.*f",
		 size >= 99.95	? 0 :
		 size >= 9.995	? 1 :
		 size >= 0.0995 ? 2 :
		 size == 0	? 0 :
				  4,
		 value);
	return buf;
}

/* ---- for people ------------------------------------------------------------------------------ */

void report_machine(const json_t *machine, FILE *to)
{
	char memory[UNIT_TEXT_MAX];

	fprintf(to, "%s%s, %s cores, %s; %s; %s; governor %s; load %.2f; flowferry %s\n",
		field_text(machine, "cpu"),
		json_is_true(json_object_get(machine, "virtual")) ? " (virtual)" : "",
		field_text(machine, "cores"), field_units(machine, "memory", bytes_format, memory),
		field_text(machine, "kernel"), field_text(machine, "clang"),
		is_null(machine, "governor") ? "unknown" : field_text(machine, "governor"),
		number(machine, "load"), field_text(machine, "flowferry"));
}

static void number_cell(struct table *table, const json_t *figure, const char *key)
{
	char buf[UNIT_TEXT_MAX];

	if (is_null(figure, key))
		table_cell(table, COLOUR_NONE, "-");
	else
		table_cell(table, COLOUR_NONE, "%s", number_format(number(figure, key), buf));
}

/* "<= 5", "<= 2 x 53.1"; beside another figure "(53.1)"; and the ratio to the last number there. */
static void target_cells(struct table *table, const json_t *figure)
{
	const json_t *target = json_object_get(figure, "target");
	const json_t *beside = json_object_get(figure, "beside");
	const char *sign = strcmp(field_text(target, "bound"), "at-most") ? ">=" : "<=";
	char limit[UNIT_TEXT_MAX], floor[UNIT_TEXT_MAX];
	bool met = json_is_true(json_object_get(target, "met"));

	number_format(number(target, "limit"), limit);
	number_format(number(target, "floor"), floor);
	if (is_null(figure, "target") && is_null(figure, "beside")) {
		return;
	} else if (is_null(figure, "target")) {
		number_format(number(beside, "median"), floor);
		table_cell(table, COLOUR_NONE, "(%s)", is_null(beside, "median") ? "-" : floor);
		number_cell(table, beside, "ratio");
		table_cell(table, COLOUR_NONE, "%s", "");
		return;
	} else if (is_null(target, "of")) {
		table_cell(table, COLOUR_NONE, "%s %s", sign, limit);
	} else {
		table_cell(table, COLOUR_NONE, "%s %s x %s", sign, limit,
			   is_null(target, "floor") ? "floor" : floor);
	}
	number_cell(table, target, "ratio");
	if (is_null(figure, "failed"))
		table_cell(table, met ? COLOUR_GREEN : COLOUR_RED, "%s", met ? "met" : "MISSED");
	else
		table_cell(table, COLOUR_RED, "FAILED");
}

static void figure_row(struct table *table, const json_t *figure)
{
	bool failed = !is_null(figure, "failed");
	static const char *const keys[] = { "median", "min", "p99", "max" };

	table_cell(table, failed ? COLOUR_RED : COLOUR_NONE, "%s", field_text(figure, "what"));
	table_cell(table, COLOUR_NONE, "%s", field_text(figure, "unit"));
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (failed)
			table_cell(table, COLOUR_RED, "failed");
		else
			number_cell(table, figure, keys[i]);
	if (failed)
		table_cell(table, COLOUR_NONE, "-");
	else
		table_cell(table, COLOUR_NONE, "%zu",
			   json_array_size(json_object_get(figure, "samples")));
	target_cells(table, figure);
}

/* A line for each reason, with how many figures it has taken. */
static void failures_print(const json_t *figures, FILE *to)
{
	const json_t *figure, *other;
	size_t i, j;

	json_array_foreach(figures, i, figure) {
		const char *why = json_string_value(json_object_get(figure, "failed"));
		const char *earlier = NULL;
		size_t more = 0;

		json_array_foreach(figures, j, other) {
			const char *its = json_string_value(json_object_get(other, "failed"));

			if (!why || !its || strcmp(why, its))
				continue;
			if (j < i)
				earlier = its;
			more += j > i;
		}
		if (why && !earlier && more)
			fprintf(to, "failed: %s and %zu more: %s\n", field_text(figure, "id"), more,
				why);
		else if (why && !earlier)
			fprintf(to, "failed: %s: %s\n", field_text(figure, "id"), why);
	}
}

static void error_print(const json_t *suite, FILE *to)
{
	const json_t *error = json_object_get(suite, "error");

	fprintf(to, "failed: %s: %s\n", field_text(suite, "name"), field_text(error, "message"));
	if (!is_null(error, "mend"))
		fprintf(to, "  mend: %s\n", field_text(error, "mend"));
}

void report_suite(const json_t *suite, FILE *to)
{
	static const struct column columns[] = {
		{ .title = "FIGURE" },
		{ .title = "UNIT" },
		{ .title = "MEDIAN", .right = 1 },
		{ .title = "MIN", .right = 1 },
		{ .title = "P99", .right = 1 },
		{ .title = "MAX", .right = 1 },
		{ .title = "N", .right = 1 },
		{ .title = "TARGET", .right = 1 },
		{ .title = "RATIO", .right = 1 },
		{ .title = "" },
		{},
	};
	const json_t *figures = json_object_get(suite, "figures"), *figure;
	struct table table;
	size_t i;

	fprintf(to, "\n%s%s%s: %s (%.0f s)\n", colour_code(to, COLOUR_BOLD),
		field_text(suite, "name"), colour_code(to, COLOUR_NONE), field_text(suite, "about"),
		number(suite, "took_s"));
	table_init(&table, columns);
	json_array_foreach(figures, i, figure) {
		figure_row(&table, figure);
		while (table.n_cells % table.width)
			table_cell(&table, COLOUR_NONE, "%s", "");
	}
	if (json_array_size(figures))
		table_print(&table, to);
	table_done(&table);
	failures_print(figures, to);
	if (!is_null(suite, "error"))
		error_print(suite, to);
	fflush(to);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void figures_count(const json_t *suite, int *ret_failed, int *ret_targets, int *ret_missed)
{
	const json_t *figure, *target;
	size_t i;

	json_array_foreach(json_object_get(suite, "figures"), i, figure) {
		bool failed = !is_null(figure, "failed");

		target = json_object_get(figure, "target");
		*ret_failed += failed;
		*ret_targets += json_is_object(target);
		*ret_missed += json_is_object(target) && !failed &&
			       !json_is_true(json_object_get(target, "met"));
	}
}

json_t *report_summary(const json_t *suites)
{
	int figures = 0, failed = 0, targets = 0, missed = 0;
	const json_t *suite;
	size_t i;

	json_array_foreach(suites, i, suite) {
		figures += (int)json_array_size(json_object_get(suite, "figures"));
		failed += !is_null(suite, "error");
		figures_count(suite, &failed, &targets, &missed);
	}
	return json_pack("{sI si si si si}", "suites", (json_int_t)json_array_size(suites),
			 "figures", figures, "failed", failed, "targets", targets, "missed",
			 missed);
}

void report_summary_print(const json_t *summary, FILE *to)
{
	fprintf(to, "\n%s figures, %s failed; %s targets, %s missed\n",
		field_text(summary, "figures"), field_text(summary, "failed"),
		field_text(summary, "targets"), field_text(summary, "missed"));
}

void report_json(const json_t *report, FILE *to)
{
	json_dumpf(report, to, JSON_INDENT(2) | JSON_REAL_PRECISION(JSON_DIGITS));
	fputc('\n', to);
}
