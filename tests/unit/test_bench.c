/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The report of flowferry-bench: what samples say, and that what has failed is never a number. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/json.h"
#include "tests/bench/figure.h"
#include "tests/bench/report.h"

#define RUNS 5

static const struct bench_suite suite = { .name = "unit", .about = "figures by hand" };
static struct bench bench;

static void setup(void)
{
	bench_init(&bench, &suite, RUNS, false);
}

static void teardown(void)
{
	bench_done(&bench);
}

TestSuite(bench, .init = setup, .fini = teardown);

static struct figure *figure_of(const char *id, double first, double step, int count)
{
	struct figure *figure = bench_figure(&bench, id, "ms", id);

	for (int i = 0; i < count; i++)
		figure_sample(figure, first + step * i);
	return figure;
}

static double number(const json_t *object, const char *key)
{
	cr_assert(json_is_number(json_object_get(object, key)), "%s is no number", key);
	return json_number_value(json_object_get(object, key));
}

/* The report's words for all figures, as a person reads them. */
static char *printed(json_t *figures)
{
	_cleanup_json_ json_t *json = json_pack("{ss ss sf so sO}", "name", "unit", "about", "-",
						"took_s", 1.0, "error", json_null(), "figures",
						figures);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	report_suite(json, out);
	fclose(out);
	return text;
}

Test(bench, numbers)
{
	_cleanup_json_ json_t *figures = NULL;
	const json_t *json;

	figure_of("odd", 50, -10, 5);	 /* 50 40 30 20 10 */
	figure_of("even", 1, 1, 6);	 /* 1 .. 6 */
	figure_of("many", 1000, 1, 200); /* 1000 .. 1199 */
	figures = bench_to_json(&bench);

	json = json_array_get(figures, 0);
	cr_assert_eq(number(json, "median"), 30);
	cr_assert_eq(number(json, "min"), 10);
	cr_assert_eq(number(json, "max"), 50);
	cr_assert_eq(number(json, "p99"), 50);
	cr_assert(json_is_null(json_object_get(json, "failed")));
	cr_assert_eq(json_number_value(json_array_get(json_object_get(json, "samples"), 0)), 50);
	cr_assert_eq(number(json_array_get(figures, 1), "median"), 3.5);
	/* nearest rank: the 198th of 200 */
	cr_assert_eq(number(json_array_get(figures, 2), "p99"), 1197);
	cr_assert_eq(number(json_array_get(figures, 2), "max"), 1199);
}

Test(bench, failed_is_no_number)
{
	_cleanup_json_ json_t *figures = NULL;
	_cleanup_free_ char *text = NULL;
	struct figure *lossy = figure_of("lossy", 12345, 0, RUNS);
	struct figure *short_of = figure_of("short", 23456, 0, RUNS - 1);
	static const char *const keys[] = { "median", "min", "max", "p99", "samples" };

	figure_target(lossy, BOUND_AT_MOST, 20000, NULL);
	figure_failed(lossy, "%d packets were lost", 7);
	figure_failed(lossy, "and another reason");
	figure_sample(lossy, 12345);
	cr_assert_eq(figure_median(lossy), 0);
	(void)short_of;
	figures = bench_to_json(&bench);
	for (size_t i = 0; i < 2; i++)
		for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
			cr_assert_null(json_object_get(json_array_get(figures, i), keys[k]));
	text = printed(figures);
	cr_assert(strstr(text, "failed: lossy: 7 packets were lost"), "%s", text);
	cr_assert(strstr(text, "failed: short: 4 samples, 5 asked for"), "%s", text);
	cr_assert(strstr(text, "FAILED"), "%s", text);
	cr_assert_not(strstr(text, "12,345") || strstr(text, "23,456"), "%s", text);
}

Test(bench, targets)
{
	_cleanup_json_ json_t *figures = NULL, *suites = NULL, *summary = NULL;
	_cleanup_free_ char *text = NULL;
	struct figure *floor = figure_of("floor", 50, 0, RUNS);
	struct figure *dead = figure_of("dead", 50, 0, RUNS);
	struct figure *met = figure_of("met", 99, 0, RUNS);
	struct figure *missed = figure_of("missed", 101, 0, RUNS);
	struct figure *rate = figure_of("rate", 4, 0, RUNS);
	struct figure *orphan = figure_of("orphan", 1, 0, RUNS);
	const json_t *target;

	figure_failed(dead, "no floor");
	figure_target(met, BOUND_AT_MOST, 2, floor);
	figure_target(missed, BOUND_AT_MOST, 2, floor);
	figure_target(rate, BOUND_AT_LEAST, 5, NULL);
	figure_target(orphan, BOUND_AT_MOST, 2, dead);
	figures = bench_to_json(&bench);

	target = json_object_get(json_array_get(figures, 2), "target");
	cr_assert_float_eq(number(target, "ratio"), 1.98, 1e-9);
	cr_assert(json_is_true(json_object_get(target, "met")));
	target = json_object_get(json_array_get(figures, 3), "target");
	cr_assert_float_eq(number(target, "ratio"), 2.02, 1e-9);
	cr_assert(json_is_false(json_object_get(target, "met")));
	target = json_object_get(json_array_get(figures, 4), "target");
	cr_assert_float_eq(number(target, "ratio"), 0.8, 1e-9);
	cr_assert(json_is_false(json_object_get(target, "met")));
	/* what is compared with a floor that isn't there is no figure either */
	cr_assert(json_is_string(json_object_get(json_array_get(figures, 5), "failed")));
	cr_assert_null(json_object_get(json_array_get(figures, 5), "median"));

	suites = json_pack("[{sO so}]", "figures", figures, "error", json_null());
	summary = report_summary(suites);
	cr_assert_eq(number(summary, "figures"), 6);
	cr_assert_eq(number(summary, "failed"), 2);
	cr_assert_eq(number(summary, "targets"), 4);
	cr_assert_eq(number(summary, "missed"), 2);
	text = printed(figures);
	cr_assert(strstr(text, "<= 2.00 x 50.0"), "%s", text);
	cr_assert(strstr(text, "MISSED"), "%s", text);
}

Test(bench, a_suite_that_died_has_failed)
{
	_cleanup_json_ json_t *suites =
		json_pack("[{s[] s{ss}}]", "figures", "error", "message", "its process died");
	_cleanup_json_ json_t *summary = report_summary(suites);

	cr_assert_eq(number(summary, "failed"), 1);
}
