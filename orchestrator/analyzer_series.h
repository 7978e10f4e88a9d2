/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * analyzer_series.h - one measured figure over time: its moving average and its trend.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SERIES_POINTS_MAX 32   /* of the trend; with more samples, each point is a mean of some */
#define SERIES_JUMP_TIMES 8.0  /* a sample so many times the average, or a part of it, ... */
#define SERIES_JUMP_LEAST 0.25 /* ... and so far from it, waits for the next one to confirm it */
#define SERIES_HELD_MAX	  2    /* samples in a row that wait; then the figure really is that wild */

/*
 * Exponentially weighted in time: after `smooth_ms`, 63 % of a step has arrived, however many
 * samples there were.
 */
struct average {
	double level;
	uint64_t at_ns; /* of the last sample; 0: none */
};

void average_add(struct average *average, uint64_t at_ns, double value, uint32_t smooth_ms);

struct point {
	double value;
	uint64_t at_ns;
};

struct series {
	struct average average;
	double held;	     /* a sample that waits to be confirmed */
	unsigned int held_n; /* 0: none */
	struct point points[SERIES_POINTS_MAX];
	unsigned int points_n, next; /* a ring */
	double sum;		     /* of the samples of the point that is being made */
	uint64_t sum_at_ns;	     /* of its first sample */
	unsigned int sum_n;
};

enum series_fate {
	SERIES_OLD, /* no newer than the last sample */
	SERIES_TAKEN,
	SERIES_HELD,	/* implausible: waits for the next one */
	SERIES_OUTLIER, /* taken; but the one before stood alone, and was dropped: *ret_dropped */
};

/* The trend is kept over @window_ms; 0: none. */
enum series_fate series_add(struct series *series, uint64_t at_ns, double value, uint32_t smooth_ms,
			    uint32_t window_ms, double *ret_dropped);

void series_reset(struct series *series);

/*
 * The figure at @ahead_ms after its last sample. False: there is no trend to speak of: too few
 * points, or their scatter explains the slope, or they lie along no line, or nearly all of the rise was
 * within a third of the window: that was a step, by which no more is to come.
 */
bool series_forecast(const struct series *series, uint32_t window_ms, uint32_t ahead_ms,
		     double *ret_value, double *ret_slope_per_s);

/* The highest value of the last while, kept in so many parts: it is late by one part at most. */
#define PEAK_PARTS 16

struct peak {
	double values[PEAK_PARTS];
	uint64_t part; /* number of the newest part, on the clock; 0: none yet */
};

void peak_add(struct peak *peak, uint64_t at_ns, double value, uint64_t window_ms);
double peak_value(const struct peak *peak);
