/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bench.c - figures as a suite takes them. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "tests/bench/figure.h"

#define PROGRESS_MAX 120 /* columns: longer lines would wrap, and couldn't be taken back */

static void *checked(void *memory)
{
	if (memory)
		return memory;
	fputs("flowferry-bench: out of memory\n", stderr);
	exit(EXIT_FAILURE);
}

void bench_init(struct bench *bench, const struct bench_suite *suite, int runs, bool terminal)
{
	*bench = (struct bench){ .suite = suite, .runs = runs, .terminal = terminal };
}

void bench_done(struct bench *bench)
{
	for (size_t i = 0; i < bench->count; i++) {
		struct figure *figure = bench->figures[i];

		free(figure->id);
		free(figure->unit);
		free(figure->what);
		free(figure->failed);
		free(figure->samples);
		free(figure);
	}
	free(bench->figures);
}

int bench_runs(const struct bench *bench)
{
	return bench->runs;
}

struct figure *bench_figure(struct bench *bench, const char *id, const char *unit, const char *what)
{
	struct figure *figure = checked(calloc(1, sizeof(*figure)));

	if (bench->count == bench->space) {
		bench->space = bench->space ? 2 * bench->space : 16;
		bench->figures = checked(
			reallocarray(bench->figures, bench->space, sizeof(struct figure *)));
	}
	bench->figures[bench->count++] = figure;
	figure->id = checked(strdup(id));
	figure->unit = checked(strdup(unit));
	figure->what = checked(strdup(what));
	return figure;
}

void figure_sample(struct figure *figure, double value)
{
	if (figure->count == figure->space) {
		figure->space = figure->space ? 2 * figure->space : 16;
		figure->samples = checked(
			reallocarray(figure->samples, figure->space, sizeof(*figure->samples)));
	}
	figure->samples[figure->count++] = value;
}

void figure_failed(struct figure *figure, const char *format, ...)
{
	va_list args;
	int r;

	if (figure->failed)
		return;
	va_start(args, format);
	r = vasprintf(&figure->failed, format, args);
	va_end(args);
	checked(r < 0 ? NULL : figure->failed);
}

void figure_target(struct figure *figure, enum bound bound, double limit, const struct figure *of)
{
	figure->has_target = true;
	figure->bound = bound;
	figure->limit = limit;
	figure->of = of;
}

void figure_beside(struct figure *figure, const struct figure *of)
{
	figure->beside = of;
}

unsigned int figure_count(const struct figure *figure)
{
	return (unsigned int)figure->count;
}

void bench_progress(struct bench *bench, const char *format, ...)
{
	char line[PROGRESS_MAX];
	va_list args;

	if (!bench->terminal)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fprintf(stderr, "\r\033[K%s: %s", bench->suite->name, line);
}

void bench_progress_end(const struct bench *bench)
{
	if (bench->terminal)
		fputs("\r\033[K", stderr);
}
