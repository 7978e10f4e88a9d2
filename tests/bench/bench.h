/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bench.h - what a suite of benchmarks is, and how it reports its figures.
 *
 * A suite runs as root in a process, network, pid and mount namespaces and a bpffs of its own, with
 * empty /run/flowferry and /run/netns; whatever it starts ends with it. It begins each figure
 * before it takes it, so that one it couldn't take is reported as failed, not left out: a figure
 * with fewer samples than bench_runs() has failed. What failed is never printed as a number.
 */
#pragma once

#include "lib/error.h"

struct bench;
struct figure;

enum bound { BOUND_AT_MOST, BOUND_AT_LEAST };

/*
 * A new line of the report. `id` is for programs, "datapath.steer.flows1", and begins with the
 * suite's name; `unit` is "ns", "us", "ms", "s", "flows/s", "packets/s", "bytes", "percent" or
 * "ratio"; `what` is for people. All three are copied, the figure is the bench's. Never NULL: a
 * bench ends the program when memory is out.
 */
struct figure *bench_figure(struct bench *bench, const char *id, const char *unit,
			    const char *what);
void figure_sample(struct figure *figure, double value);
/*
 * The figure isn't a figure: printed as failed, for this reason, never as a number. The first
 * reason counts; further samples don't mend it.
 */
void figure_failed(struct figure *figure, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/*
 * Its target: the median is at most, or at least, `limit`; times the median of `of`, the floor
 * taken in the same run, if that isn't NULL. Without a target a figure informs only.
 */
void figure_target(struct figure *figure, enum bound bound, double limit, const struct figure *of);
/* Prints how many times `of` the figure's median is, without a target. */
void figure_beside(struct figure *figure, const struct figure *of);
/* Samples so far, and their median: 0 if there is none, or the figure has failed. */
unsigned int figure_count(const struct figure *figure);
double figure_median(const struct figure *figure);

int bench_runs(const struct bench *bench); /* samples to take of each figure, 5 or more */
/* What is being done now, for who watches on a terminal; elsewhere nothing. */
void bench_progress(struct bench *bench, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

struct bench_suite {
	const char *name;  /* a word */
	const char *about; /* one line, no full stop */
	/* 0, or a negative errno and *err: what kept it from taking figures at all. */
	int (*run)(struct bench *bench, struct ff_error *err);
};

/* In the order in which they run; all are listed in suites.c. */
extern const struct bench_suite suite_datapath, suite_state, suite_conntrackd, suite_move,
	suite_throughput, suite_handover, suite_idle, suite_monitor, suite_loop, suite_protect;
