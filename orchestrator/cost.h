/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cost.h - what a move will cost, fitted online to the moves that were measured.
 *
 *	transfer = t0 + t1 flows + t2 bytes sent		pre-copy, all rounds
 *	freeze   = f0 + f1 flows + f2 packets/s			switch to release
 *	rest     = r0 + r1 flows				prepare and clean
 *	parked   = p  packets/s x freeze
 *	total    = transfer + freeze + rest
 *
 * and of a handover, between two instances of one host, where maps change hands and nothing is copied:
 *
 *	total    = h0				however many flows there are
 *	freeze   = k0				0, where both run one program
 *
 * Each line is a least-squares fit of its own over the last COST_WINDOW moves of its kind, solved anew
 * with each move (less than a millisecond), with
 *  - coefficients that can't be negative: a move of more never is predicted to cost less;
 *  - residuals relative to the larger of prediction and measurement, so none exceeds 1, and
 *    Cauchy weights on them: a move that met a stalled host hardly counts, whichever side it erred;
 *  - a weak pull towards priors, which decide what the moves seen so far can't tell apart (flows
 *    and bytes, where all flows are alike) and are all that there is before the first move.
 *
 * Pure: no clock, no I/O. One model for each class of NF, since state and release differ with it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#define COST_WINDOW	64 /* moves: an hour's worth of a busy loop; older ones are another load */
#define COST_TERMS	3  /* coefficients of one line */
#define COST_ROUNDS_MAX 10 /* as the agent's source */
#define COST_PARKED_US	10.0  /* what one parked packet weighs against time of transfer */
#define COST_LEAST	0.1   /* of what moves: nothing does for nothing */
#define COST_LONGEST_US 3.6e9 /* an hour: a longer move is a broken clock */

enum cost_line {
	COST_TRANSFER,
	COST_FREEZE,
	COST_REST,
	COST_PARKED,
	COST_HANDOVER, /* from here on: of handovers */
	COST_HANDOVER_FREEZE,
	COST_LINES,
};

/* What is to move. */
struct cost_subject {
	double flows;
	double state_bytes; /* of one full copy */
	double dirty_per_s; /* distinct flows that change in a second */
	double packets_per_s;
};

struct cost_prediction {
	double bytes;  /* sent, all rounds */
	double rounds; /* 0: a handover */
	double freeze_us;
	double total_us;
	double parked; /* packets */
};

/* A completed move, as its operation tells. */
struct cost_sample {
	double flows;
	double bytes;	      /* sent, all rounds */
	double rounds;	      /* 0: a handover */
	double packets_per_s; /* of what moved, before the move */
	double freeze_us;
	double total_us;
	double precopy_us; /* of phases_us; 0: not measured, then nothing is learned about it */
	double parked;
};

struct cost_window {
	struct cost_sample samples[COST_WINDOW];
	size_t n;
	size_t next; /* place of the next sample */
};

struct cost_model {
	struct cost_window copies, handovers;
	double coef[COST_LINES][COST_TERMS];
	double spread[COST_LINES]; /* median relative residual; 0: nothing measured */
	uint64_t learned;	   /* copies, ever */
	uint64_t handed;	   /* handovers, ever */
	uint64_t refused;
};

/* Priors only. */
void cost_init(struct cost_model *model);

/*
 * -EINVAL: not finite, negative, without flows, longer than COST_LONGEST_US; counted, not used.
 */
int cost_learn(struct cost_model *model, const struct cost_sample *sample);

/* Never negative, never NaN; what isn't finite or negative in *subject counts as 0. */
struct cost_prediction cost_predict(const struct cost_model *model,
				    const struct cost_subject *subject);

/* The same of a handover; a rate that isn't finite counts as 0. */
struct cost_prediction cost_predict_handover(const struct cost_model *model, double packets_per_s);

/* The predicted freeze alone, for which no rounds have to be followed: for many subjects. */
double cost_freeze_us(const struct cost_model *model, double flows, double packets_per_s);
double cost_handover_freeze_us(const struct cost_model *model);

/*
 * What it adds to a move to take this along: microseconds of transfer, with COST_PARKED_US for each
 * packet that will be parked. Above 0. The planner's measure; additive by intention.
 */
double cost_marginal(const struct cost_model *model, const struct cost_subject *subject);

/*
 * The same of what a handover takes along: no transfer. What a move costs however little it takes isn't in
 * cost_marginal(); only what a handover costs more than a copy in that, @share of it: of its instance.
 */
double cost_marginal_handover(const struct cost_model *model, double packets_per_s, double share);

/* The coefficients for a person, a line each; returns what snprintf() would. */
int cost_format(const struct cost_model *model, char *buf, size_t size);

/* {"moves","handovers","refused","transfer":{"us","us_per_flow","us_per_byte","spread"}, ...}; NULL: no memory. */
json_t *cost_to_json(const struct cost_model *model);
