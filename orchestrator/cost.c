/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cost.c - the fit of the cost model, and predictions from it; see cost.h. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "orchestrator/cost.h"

#define PULL	      0.02 /* of the prior, in samples */
#define CAUCHY	      0.25 /* a residual of a quarter gets half the weight */
#define PASSES	      20   /* of reweighting; it settles within ten */
#define SWEEPS	      50   /* of coordinate descent over three unknowns, from the last pass on */
#define FLOOR_US      50.0 /* clocks and schedulers make shorter times alike */
#define FLOOR_PACKETS 2.0
#define ROUND_SHRINKS 0.9  /* a round that is not shorter than that ends the pre-copy */
#define ROUND_SMALL   64.0 /* flows: the rest is sent while frozen */

/* Names are those of the JSON; a prior of 0 ends the line's terms. */
static const struct {
	const char *name;
	const char *terms[COST_TERMS];
	double prior[COST_TERMS]; /* measured in the lab, two cores */
	double floor;
} lines[COST_LINES] = {
	[COST_TRANSFER] = { "transfer",
			    { "us", "us_per_flow", "us_per_byte" },
			    { 20000, 1.5, 0.005 },
			    FLOOR_US },
	[COST_FREEZE] = { "freeze",
			  { "us", "us_per_flow", "us_per_packet_per_s" },
			  { 1000, 0.01, 0.005 },
			  FLOOR_US },
	[COST_REST] = { "rest", { "us", "us_per_flow" }, { 50000, 0.5 }, FLOOR_US },
	[COST_PARKED] = { "parked", { "share" }, { 1 }, FLOOR_PACKETS },
	[COST_HANDOVER] = { "handover", { "us" }, { 50000 }, FLOOR_US },
	[COST_HANDOVER_FREEZE] = { "handover_freeze", { "us" }, { 200 }, FLOOR_US },
};

/* One equation of a line: x . coef = y. */
struct equation {
	double x[COST_TERMS];
	double y;
};

static double sane(double value)
{
	return isfinite(value) && value > 0 ? value : 0;
}

/* False: the sample says nothing about this line. */
static bool sample_equation(const struct cost_sample *s, enum cost_line line,
			    struct equation *ret_eq)
{
	struct equation eq = { .x = { 1, s->flows, 0 } };

	switch (line) {
	case COST_HANDOVER:
	case COST_HANDOVER_FREEZE:
		*ret_eq = (struct equation){ { 1 },
					     line == COST_HANDOVER ? s->total_us : s->freeze_us };
		return true;
	case COST_TRANSFER:
		eq.x[2] = s->bytes;
		eq.y = s->precopy_us;
		break;
	case COST_FREEZE:
		eq.x[2] = s->packets_per_s;
		eq.y = s->freeze_us;
		break;
	case COST_REST:
		eq.y = s->total_us - s->precopy_us - s->freeze_us;
		break;
	default:
		eq.x[0] = s->packets_per_s * s->freeze_us / 1e6;
		eq.x[1] = 0;
		eq.y = s->parked;
		if (eq.x[0] <= 0)
			return false;
	}
	if (line != COST_FREEZE && line != COST_PARKED && (s->precopy_us <= 0 || eq.y < 0))
		return false;
	*ret_eq = eq;
	return true;
}

static double dot(const double *x, const double *y)
{
	return x[0] * y[0] + x[1] * y[1] + x[2] * y[2];
}

/* The residual, -1 .. 1, and what it was divided by. */
static double residual(const struct equation *eq, const double *coef, double floor,
		       double *ret_scale)
{
	double guess = dot(eq->x, coef);

	*ret_scale = fmax(fmax(guess, eq->y), floor);
	return (guess - eq->y) / *ret_scale;
}

/*
 * Non-negative least squares by coordinate descent, in units of the prior (all unknowns about 1),
 * where the pull towards it is the same for each.
 */
static void solve(double a[COST_TERMS][COST_TERMS], const double *b, const double *prior,
		  double *coef)
{
	double g[COST_TERMS];

	for (int i = 0; i < COST_TERMS; i++)
		g[i] = prior[i] > 0 ? coef[i] / prior[i] : 0;
	for (int sweep = 0; sweep < SWEEPS; sweep++) {
		for (int i = 0; i < COST_TERMS; i++) {
			double rest = b[i] * prior[i] + PULL;

			if (prior[i] <= 0)
				continue;
			for (int j = 0; j < COST_TERMS; j++)
				if (j != i)
					rest -= a[i][j] * prior[i] * prior[j] * g[j];
			g[i] = fmax(0, rest / (a[i][i] * prior[i] * prior[i] + PULL));
		}
	}
	for (int i = 0; i < COST_TERMS; i++)
		coef[i] = g[i] * prior[i];
}

static int cmp_double(const void *x, const void *y)
{
	double a = *(const double *)x, b = *(const double *)y;

	return (a > b) - (a < b);
}

static void fit_line(struct cost_model *model, enum cost_line line)
{
	struct equation eqs[COST_WINDOW];
	double off[COST_WINDOW], *coef = model->coef[line], scale;
	const struct cost_window *window = line >= COST_HANDOVER ? &model->handovers :
								   &model->copies;
	size_t n = 0;

	for (size_t i = 0; i < window->n; i++)
		n += sample_equation(&window->samples[i], line, &eqs[n]);
	/* from the prior each time: the same window gives the same coefficients */
	memcpy(coef, lines[line].prior, sizeof(lines[line].prior));
	for (int pass = 0; pass < PASSES && n > 0; pass++) {
		double a[COST_TERMS][COST_TERMS] = {}, b[COST_TERMS] = {};

		for (size_t k = 0; k < n; k++) {
			double r = residual(&eqs[k], coef, lines[line].floor, &scale);
			double w = 1 / (1 + (r / CAUCHY) * (r / CAUCHY)) / (scale * scale);

			for (int i = 0; i < COST_TERMS; i++) {
				for (int j = 0; j < COST_TERMS; j++)
					a[i][j] += w * eqs[k].x[i] * eqs[k].x[j];
				b[i] += w * eqs[k].x[i] * eqs[k].y;
			}
		}
		solve(a, b, lines[line].prior, coef);
	}
	for (size_t k = 0; k < n; k++)
		off[k] = fabs(residual(&eqs[k], coef, lines[line].floor, &scale));
	qsort(off, n, sizeof(off[0]), cmp_double);
	model->spread[line] = n ? off[n / 2] : 0;
}

void cost_init(struct cost_model *model)
{
	*model = (struct cost_model){};
	for (int line = 0; line < COST_LINES; line++)
		memcpy(model->coef[line], lines[line].prior, sizeof(lines[line].prior));
}

static bool sample_is_sane(const struct cost_sample *s)
{
	const double figures[] = { s->flows,	 s->bytes,    s->rounds,     s->packets_per_s,
				   s->freeze_us, s->total_us, s->precopy_us, s->parked };

	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		if (!isfinite(figures[i]) || figures[i] < 0 || figures[i] > 1e15)
			return false;
	return s->flows > 0 && s->total_us > 0 && s->total_us <= COST_LONGEST_US &&
	       s->freeze_us <= s->total_us && s->precopy_us <= s->total_us;
}

static void window_add(struct cost_window *window, const struct cost_sample *sample)
{
	window->samples[window->next] = *sample;
	window->next = (window->next + 1) % COST_WINDOW;
	window->n = MIN(window->n + 1, (size_t)COST_WINDOW);
}

int cost_learn(struct cost_model *model, const struct cost_sample *sample)
{
	bool handed = sample->rounds == 0;
	int first = handed ? COST_HANDOVER : 0, end = handed ? COST_LINES : COST_HANDOVER;

	if (!sample_is_sane(sample)) {
		model->refused++;
		return -EINVAL;
	}
	window_add(handed ? &model->handovers : &model->copies, sample);
	if (handed)
		model->handed++;
	else
		model->learned++;
	for (int line = first; line < end; line++)
		fit_line(model, (enum cost_line)line);
	return 0;
}

/* How many of @flows change at least once in @time_us: changes hit flows at random. */
static double dirtied(const struct cost_subject *s, double time_us)
{
	return s->flows * -expm1(-s->dirty_per_s * time_us / 1e6 / s->flows);
}

struct cost_prediction cost_predict(const struct cost_model *model,
				    const struct cost_subject *subject)
{
	const struct cost_subject s = {
		.flows = fmax(1, sane(subject->flows)),
		.state_bytes = sane(subject->state_bytes),
		.dirty_per_s = fmin(sane(subject->dirty_per_s), sane(subject->packets_per_s)),
		.packets_per_s = sane(subject->packets_per_s),
	};
	const double *t = model->coef[COST_TRANSFER];
	double each = s.state_bytes / s.flows, flows = s.flows, changed, freeze, transfer;
	struct cost_prediction ret = { .bytes = s.state_bytes, .rounds = 1 };

	/* round n sends what changed in round n - 1, until little is left or it gains nothing */
	for (; ret.rounds < COST_ROUNDS_MAX; flows = changed) {
		changed = dirtied(&s, flows * (t[1] + t[2] * each));
		ret.bytes += changed * each;
		ret.rounds++;
		if (changed <= ROUND_SMALL || changed > flows * ROUND_SHRINKS)
			break;
	}
	transfer = dot(t, (double[]){ 1, s.flows, ret.bytes });
	freeze = cost_freeze_us(model, s.flows, s.packets_per_s);
	ret.freeze_us = freeze;
	ret.total_us = transfer + freeze + dot(model->coef[COST_REST], (double[]){ 1, s.flows, 0 });
	ret.parked = model->coef[COST_PARKED][0] * s.packets_per_s * freeze / 1e6;
	return ret;
}

double cost_handover_freeze_us(const struct cost_model *model)
{
	return model->coef[COST_HANDOVER_FREEZE][0];
}

struct cost_prediction cost_predict_handover(const struct cost_model *model, double packets_per_s)
{
	double freeze = cost_handover_freeze_us(model);

	return (struct cost_prediction){
		.freeze_us = freeze,
		.total_us = fmax(freeze, model->coef[COST_HANDOVER][0]),
		.parked = model->coef[COST_PARKED][0] * sane(packets_per_s) * freeze / 1e6,
	};
}

double cost_freeze_us(const struct cost_model *model, double flows, double packets_per_s)
{
	return dot(model->coef[COST_FREEZE], (double[]){ 1, sane(flows), sane(packets_per_s) });
}

double cost_marginal(const struct cost_model *model, const struct cost_subject *subject)
{
	const double *t = model->coef[COST_TRANSFER], *f = model->coef[COST_FREEZE];
	double flows = sane(subject->flows), packets = sane(subject->packets_per_s);
	double bytes = sane(subject->state_bytes), dirty = sane(subject->dirty_per_s);
	/* what changes during a typical pre-copy is sent twice */
	double again = flows > 0 ? fmin(1, fmin(dirty, packets) * t[0] / 1e6 / flows) : 0;
	double parked = model->coef[COST_PARKED][0] * packets * f[0] / 1e6;

	return COST_LEAST + flows * (t[1] + f[1] + model->coef[COST_REST][1]) +
	       t[2] * bytes * (1 + again) + f[2] * packets + COST_PARKED_US * parked;
}

double cost_marginal_handover(const struct cost_model *model, double packets_per_s, double share)
{
	double copy = model->coef[COST_TRANSFER][0] + model->coef[COST_FREEZE][0] +
		      model->coef[COST_REST][0];
	double parked = cost_predict_handover(model, packets_per_s).parked;

	return COST_LEAST + fmax(0, model->coef[COST_HANDOVER][0] - copy) * fmin(1, sane(share)) +
	       COST_PARKED_US * parked;
}

int cost_format(const struct cost_model *m, char *buf, size_t size)
{
	const double *t = m->coef[COST_TRANSFER], *f = m->coef[COST_FREEZE];
	const double *r = m->coef[COST_REST], *s = m->spread;

	return snprintf(
		buf, size,
		"transfer = %.3g ms + %.3g us/flow + %.3g ns/byte  (median error %.0f %%)\n"
		"freeze   = %.3g ms + %.3g us/flow + %.3g us per packet/s  (%.0f %%)\n"
		"rest     = %.3g ms + %.3g us/flow  (%.0f %%)\n"
		"parked   = %.3g x packets/s x freeze  (%.0f %%)\n"
		"handover = %.3g ms  (%.0f %%), freeze %.3g ms  (%.0f %%)\n"
		"fitted to the last %zu of %llu copies, %zu of %llu handovers; %llu refused as "
		"absurd\n",
		t[0] / 1e3, t[1], t[2] * 1e3, s[COST_TRANSFER] * 100, f[0] / 1e3, f[1], f[2],
		s[COST_FREEZE] * 100, r[0] / 1e3, r[1], s[COST_REST] * 100, m->coef[COST_PARKED][0],
		s[COST_PARKED] * 100, m->coef[COST_HANDOVER][0] / 1e3, s[COST_HANDOVER] * 100,
		m->coef[COST_HANDOVER_FREEZE][0] / 1e3, s[COST_HANDOVER_FREEZE] * 100, m->copies.n,
		(unsigned long long)m->learned, m->handovers.n, (unsigned long long)m->handed,
		(unsigned long long)m->refused);
}

json_t *cost_to_json(const struct cost_model *model)
{
	_cleanup_json_ json_t *obj = json_object();
	int err = json_put_uint(obj, "moves", model->learned);

	err = err ?: json_put_uint(obj, "handovers", model->handed);
	err = err ?: json_put_uint(obj, "window", model->copies.n);
	err = err ?: json_put_uint(obj, "refused", model->refused);
	for (int line = 0; line < COST_LINES; line++) {
		json_t *terms = json_object();

		for (int i = 0; i < COST_TERMS && lines[line].terms[i]; i++)
			err = err   ?:
				      json_put_real(terms, lines[line].terms[i],
						    model->coef[line][i]);
		err = err ?: json_put_real(terms, "spread", model->spread[line]);
		err = json_put(obj, lines[line].name, terms) ?: err;
	}
	return err ? NULL : TAKE_PTR(obj);
}
