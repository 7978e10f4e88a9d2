/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* figure.c - what samples say, and the figure as JSON. */

#include "tests/bench/figure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/json.h"

#define SIGNIFICANT 5 /* digits of a number in JSON: more would be noise */

static int double_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* malloc'ed; NULL: none, or out of memory */
static double *sorted(const struct figure *figure)
{
	double *copy = reallocarray(NULL, figure->count, sizeof(*copy));

	if (!copy)
		return NULL;
	memcpy(copy, figure->samples, figure->count * sizeof(*copy));
	qsort(copy, figure->count, sizeof(*copy), double_compare);
	return copy;
}

static double median(const double *samples, size_t count)
{
	return count % 2 ? samples[count / 2] : (samples[count / 2 - 1] + samples[count / 2]) / 2;
}

/* By nearest rank: below 100 samples, the largest. */
static double p99(const double *samples, size_t count)
{
	return samples[(size_t)ceil(0.99 * (double)count) - 1];
}

double figure_median(const struct figure *figure)
{
	_cleanup_free_ double *samples = NULL;

	if (figure->failed || !figure->count)
		return 0;
	samples = sorted(figure);
	return samples ? median(samples, figure->count) : 0;
}

static double rounded(double value)
{
	double unit;

	if (value == 0 || !isfinite(value))
		return value;
	unit = pow(10, floor(log10(fabs(value))) + 1 - SIGNIFICANT);
	return unit >= 1 ? round(value) : round(value / unit) * unit;
}

/* Why it is no figure; NULL: it is one. */
static const char *failure(const struct bench *bench, const struct figure *figure, char *buf,
			   size_t size)
{
	if (figure->failed)
		return figure->failed;
	if (figure->count < (size_t)bench->runs) {
		snprintf(buf, size, "%zu samples, %d asked for", figure->count, bench->runs);
		return buf;
	}
	/* the floor of a floor there is none */
	if (figure->of && (figure->of->failed || figure->of->count < (size_t)bench->runs)) {
		snprintf(buf, size, "its floor %s has failed", figure->of->id);
		return buf;
	}
	return NULL;
}

/* What `value` is of `base`; null where that says nothing. */
static json_t *ratio(double value, double base, bool failed)
{
	return failed || base == 0 ? json_null() : json_real(rounded(value / base));
}

static json_t *target_to_json(const struct figure *figure, bool failed)
{
	json_t *json = json_object();
	double floor = figure->of ? figure_median(figure->of) : 0;
	double value = figure->of ? figure->limit * floor : figure->limit;
	double reached = figure_median(figure);

	json_put_str(json, "bound", figure->bound == BOUND_AT_MOST ? "at-most" : "at-least");
	json_put_real(json, "limit", figure->limit);
	json_put_str(json, "of", figure->of ? figure->of->id : NULL);
	json_put(json, "floor", figure->of && !failed ? json_real(rounded(floor)) : json_null());
	json_put(json, "ratio", ratio(reached, figure->of ? floor : figure->limit, failed));
	json_put_bool(json, "met",
		      !failed && (figure->bound == BOUND_AT_MOST ? reached <= value :
								   reached >= value));
	return json;
}

static json_t *beside_to_json(const struct figure *figure, bool failed)
{
	json_t *json = json_object();
	double other = figure_median(figure->beside); /* 0 if that has failed */

	json_put_str(json, "of", figure->beside->id);
	json_put(json, "median", other == 0 ? json_null() : json_real(rounded(other)));
	json_put(json, "ratio", ratio(figure_median(figure), other, failed));
	return json;
}

static void numbers_put(json_t *json, const struct figure *figure)
{
	_cleanup_free_ double *samples = sorted(figure);
	json_t *array = json_array();

	if (!samples)
		return;
	for (size_t i = 0; i < figure->count; i++)
		json_array_append_new(array, json_real(rounded(figure->samples[i])));
	json_put_real(json, "median", rounded(median(samples, figure->count)));
	json_put_real(json, "min", rounded(samples[0]));
	json_put_real(json, "max", rounded(samples[figure->count - 1]));
	json_put_real(json, "p99", rounded(p99(samples, figure->count)));
	json_put(json, "samples", array);
}

static json_t *figure_to_json(const struct bench *bench, const struct figure *figure)
{
	json_t *json = json_object();
	char buf[160];
	const char *why = failure(bench, figure, buf, sizeof(buf));

	json_put_str(json, "id", figure->id);
	json_put_str(json, "what", figure->what);
	json_put_str(json, "unit", figure->unit);
	json_put_str(json, "failed", why);
	if (!why)
		numbers_put(json, figure);
	json_put(json, "target", figure->has_target ? target_to_json(figure, why) : json_null());
	json_put(json, "beside", figure->beside ? beside_to_json(figure, why) : json_null());
	return json;
}

json_t *bench_to_json(const struct bench *bench)
{
	json_t *figures = json_array();

	for (size_t i = 0; i < bench->count; i++)
		json_array_append_new(figures, figure_to_json(bench, bench->figures[i]));
	return figures;
}
