/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sketch.h - the heaviest of very many flows, in bounded memory.
 *
 * Space-Saving (Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k Elements in
 * Data Streams, ICDT 2005) over sampled packets: a flow that isn't among the counted ones takes the
 * place of the lightest, inherits its count, and notes it as its error. So a count is never too low, and
 * at most `error` too high; a flow with more than 1/SKETCH_FLOWS of all weight is certainly there. All
 * weights fade with time, so that a rate is that of the last second or so. Pure: no I/O, no clock.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <linux/types.h>

#include "bpf/abi.h"

#define SKETCH_FLOWS  64
#define SKETCH_FADE_S 1.0 /* time constant: in steps that are short against it, to 1/e */

struct sketch {
	size_t count;
	double span_s;	/* of what is in it, faded likewise: a weight / span_s is a rate */
	double packets; /* of all flows */
	uint32_t hash[SKETCH_FLOWS];
	struct sketch_flow {
		struct ff_flow_key key;
		uint16_t slot;
		double packets; /* weights */
		double bytes;
		double error;	/* of packets */
		double squares; /* of the weights that were added: the variance of packets */
	} flows[SKETCH_FLOWS];
};

/* Time passes; before what came in it is added. */
void sketch_fade(struct sketch *sketch, double elapsed_s);

/* A sampled packet that stands for @weight packets of its length. */
void sketch_add(struct sketch *sketch, const struct ff_sample *sample, double weight);

#define SKETCH_SIGMAS 2.0 /* what a few samples say may be chance: so many standard errors of it */

/* A flow's rates; packets_per_s is, but for the chance of sampling, at most error_per_s too high. */
struct sketch_rate {
	struct ff_flow_key key;
	uint16_t slot;
	double packets_per_s;
	double bytes_per_s;
	double error_per_s;
};

/*
 * The heaviest flows, the heaviest first: those with at least @share of all packets even if they have
 * too much by all of the error and by SKETCH_SIGMAS. So a mouse that was sampled once or twice, of a few samples
 * in all, is no elephant. Returns how many.
 */
size_t sketch_top(const struct sketch *sketch, double share, size_t max, struct sketch_rate *ret);
