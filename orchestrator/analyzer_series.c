/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* analyzer_series.c - smoothing and trend of irregular samples. */
#include <math.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "orchestrator/analyzer_series.h"

#define TREND_POINTS_LEAST 8
#define TREND_FIT	   0.8 /* of the variance that the line explains */
#define TREND_DOUBT	   2.0 /* standard errors taken off the slope */
#define TREND_PART	   3   /* a third of the window may rise as steeply as it likes, .. */
#define TREND_REST	   0.4 /* .. if the rest rises, too, by so much of the line's slope */

void average_add(struct average *average, uint64_t at_ns, double value, uint32_t smooth_ms)
{
	double weight = 1;

	if (average->at_ns && smooth_ms)
		weight = -expm1(-(double)(at_ns - average->at_ns) / (smooth_ms * 1e6));
	average->level += weight * (value - average->level);
	average->at_ns = at_ns;
}

void series_reset(struct series *series)
{
	memset(series, 0, sizeof(*series));
}

static void point_push(struct series *series, uint64_t at_ns, double value)
{
	series->points[series->next] = (struct point){ .value = value, .at_ns = at_ns };
	series->next = (series->next + 1) % SERIES_POINTS_MAX;
	if (series->points_n < SERIES_POINTS_MAX)
		series->points_n++;
}

/* Samples closer together than the ring can hold over the window become one point: their mean. */
static void point_collect(struct series *series, uint64_t at_ns, double value, uint32_t window_ms)
{
	uint64_t width_ns = window_ms * NSEC_PER_MSEC / SERIES_POINTS_MAX;

	if (!series->sum_n)
		series->sum_at_ns = at_ns;
	series->sum += value;
	series->sum_n++;
	if (series->points_n &&
	    at_ns - series->points[(series->next + SERIES_POINTS_MAX - 1) % SERIES_POINTS_MAX]
				    .at_ns <
		    width_ns)
		return;
	point_push(series, series->sum_at_ns + (at_ns - series->sum_at_ns) / 2,
		   series->sum / series->sum_n);
	series->sum = 0;
	series->sum_n = 0;
}

static bool is_jump(double from, double to)
{
	double high = fmax(from, to), low = fmin(from, to);

	return high - low > SERIES_JUMP_LEAST && high > low * SERIES_JUMP_TIMES;
}

enum series_fate series_add(struct series *series, uint64_t at_ns, double value, uint32_t smooth_ms,
			    uint32_t window_ms, double *ret_dropped)
{
	enum series_fate fate = SERIES_TAKEN;

	if (series->average.at_ns && at_ns <= series->average.at_ns)
		return SERIES_OLD;
	if (series->average.at_ns && is_jump(series->average.level, value)) {
		/* confirmed by a neighbour of its own kind, or by the third in a row */
		bool confirmed = series->held_n && (!is_jump(series->held, value) ||
						    series->held_n >= SERIES_HELD_MAX);

		if (!confirmed) {
			series->held = value;
			series->held_n++;
			series->average.at_ns = at_ns; /* so that it is not held twice */
			return SERIES_HELD;
		}
	} else if (series->held_n) {
		*ret_dropped = series->held;
		fate = SERIES_OUTLIER;
	}
	series->held_n = 0;
	average_add(&series->average, at_ns, value, smooth_ms);
	if (window_ms)
		point_collect(series, at_ns, value, window_ms);
	return fate;
}

/* Least squares over the points of the last window, with times in seconds before the newest. */
struct fit {
	unsigned int n;
	double mean_t, mean_v, tt, tv, vv, first_t;
};

static void points_fit(const struct series *series, uint64_t newest_ns, uint64_t window_ns,
		       struct fit *fit)
{
	for (int pass = 0; pass < 2; pass++) { /* the means first: no cancellation */
		for (unsigned int i = 0; i < series->points_n; i++) {
			const struct point *point = &series->points[i];
			double t = -(double)(newest_ns - point->at_ns) / NSEC_PER_SEC;

			if (newest_ns - point->at_ns > window_ns)
				continue;
			if (pass) {
				fit->tt += (t - fit->mean_t) * (t - fit->mean_t);
				fit->tv += (t - fit->mean_t) * (point->value - fit->mean_v);
				fit->vv +=
					(point->value - fit->mean_v) * (point->value - fit->mean_v);
			} else {
				fit->n++;
				fit->first_t = fmin(fit->first_t, t);
				fit->mean_t += (t - fit->mean_t) / fit->n;
				fit->mean_v += (point->value - fit->mean_v) / fit->n;
			}
		}
	}
}

/* The points of the last window, three at least, the oldest first, with their neighbours' mean: two fewer. */
static unsigned int points_smooth(const struct series *series, uint64_t newest_ns,
				  uint64_t window_ns, struct point ret[SERIES_POINTS_MAX])
{
	unsigned int n = 0, oldest = series->next + SERIES_POINTS_MAX - series->points_n;

	for (unsigned int i = 0; i < series->points_n; i++) {
		const struct point *point = &series->points[(oldest + i) % SERIES_POINTS_MAX];

		if (newest_ns - point->at_ns <= window_ns)
			ret[n++] = *point;
	}
	for (unsigned int i = 0; i + 2 < n; i++)
		ret[i] = (struct point){
			.value = (ret[i].value + ret[i + 1].value + ret[i + 2].value) / 3,
			.at_ns = ret[i + 1].at_ns,
		};
	return n - 2;
}

/*
 * Whether it has risen all along (or fallen), and not at one time: without the part of the window in which
 * it rose most, the rest has risen, too.
 */
static bool slope_lasts(const struct series *series, uint64_t newest_ns, uint64_t window_ns,
			double slope)
{
	struct point points[SERIES_POINTS_MAX];
	unsigned int last = points_smooth(series, newest_ns, window_ns, points) - 1;
	double up = copysign(1, slope), steepest = 0, rest;
	uint64_t steepest_ns = 0, rest_ns;

	for (unsigned int first = 0; first < last; first++) {
		unsigned int end = first + 1;
		double rise;

		while (end < last &&
		       points[end + 1].at_ns - points[first].at_ns <= window_ns / TREND_PART)
			end++;
		rise = up * (points[end].value - points[first].value);
		if (rise <= steepest)
			continue;
		steepest = rise;
		steepest_ns = points[end].at_ns - points[first].at_ns;
	}
	rest = up * (points[last].value - points[0].value) - steepest;
	rest_ns = points[last].at_ns - points[0].at_ns - steepest_ns;
	return rest >= TREND_REST * fabs(slope) * (double)rest_ns / NSEC_PER_SEC;
}

bool series_forecast(const struct series *series, uint32_t window_ms, uint32_t ahead_ms,
		     double *ret_value, double *ret_slope_per_s)
{
	double slope, residual, doubt, half_window = window_ms / 2e3;
	struct fit fit = {};

	points_fit(series, series->average.at_ns, window_ms * NSEC_PER_MSEC, &fit);
	if (fit.n < TREND_POINTS_LEAST || -fit.first_t < half_window || fit.tt <= 0 || fit.vv <= 0)
		return false;
	slope = fit.tv / fit.tt;
	residual = fmax(fit.vv - slope * fit.tv, 0);
	if (residual > (1 - TREND_FIT) * fit.vv)
		return false;
	doubt = TREND_DOUBT * sqrt(residual / (fit.n - 2) / fit.tt);
	if (fabs(slope) <= doubt)
		return false;
	if (!slope_lasts(series, series->average.at_ns, window_ms * NSEC_PER_MSEC, slope))
		return false;
	slope -= copysign(doubt, slope);
	*ret_slope_per_s = slope;
	*ret_value = fit.mean_v + slope * (ahead_ms / 1e3 - fit.mean_t);
	return true;
}

void peak_add(struct peak *peak, uint64_t at_ns, double value, uint64_t window_ms)
{
	uint64_t part = at_ns / MAX(window_ms * NSEC_PER_MSEC / PEAK_PARTS, (uint64_t)1) + 1;

	if (!peak->part || part < peak->part)
		*peak = (struct peak){ .part = part };
	for (unsigned int i = 0; peak->part < part && i < PEAK_PARTS; i++)
		peak->values[++peak->part % PEAK_PARTS] = 0;
	peak->part = part;
	peak->values[part % PEAK_PARTS] = fmax(peak->values[part % PEAK_PARTS], value);
}

double peak_value(const struct peak *peak)
{
	double highest = 0;

	for (unsigned int i = 0; i < PEAK_PARTS; i++)
		highest = fmax(highest, peak->values[i]);
	return highest;
}
