/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sketch of heavy flows: what it promises, on traffic whose truth is known.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "agent/sketch.h"
#include "lib/cleanup.h"
#include "tests/unit/random.h"

TestSuite(sketch);

static struct ff_sample sample_of(uint32_t flow, uint16_t len)
{
	struct ff_sample sample = { .slot = (uint16_t)(flow % 4096), .len = len };

	memcpy(sample.key.addr[0], &flow, sizeof(flow));
	return sample;
}

static uint32_t flow_of(const struct sketch_rate *rate)
{
	uint32_t flow;

	memcpy(&flow, rate->key.addr[0], sizeof(flow));
	return flow;
}

Test(sketch, few_flows_are_exact)
{
	static struct sketch sketch;
	struct sketch_rate top[4];

	for (int step = 0; step < 100; step++) {
		sketch_fade(&sketch, 0.1);
		for (uint32_t flow = 1; flow <= 3; flow++) {
			struct ff_sample sample = sample_of(flow, 100);

			sketch_add(&sketch, &sample, flow * 10);
		}
	}
	cr_assert_eq(sketch_top(&sketch, 0.01, 4, top), 3);
	for (uint32_t i = 0; i < 3; i++) {
		cr_expect_eq(flow_of(&top[i]), 3 - i);
		cr_expect_eq(top[i].slot, 3 - i);
		cr_expect(fabs(top[i].packets_per_s - (3 - i) * 100.0) < 1, "%f",
			  top[i].packets_per_s);
		cr_expect(fabs(top[i].bytes_per_s - (3 - i) * 10000.0) < 100);
		cr_expect_eq(top[i].error_per_s, 0);
	}
}

/* From the first moment: what is known of half a second is told as a rate, not as half of it. */
Test(sketch, young_rates_are_right)
{
	static struct sketch sketch;
	struct ff_sample sample = sample_of(1, 100);
	struct sketch_rate top;

	for (int step = 0; step < 5; step++) {
		sketch_fade(&sketch, 0.1);
		sketch_add(&sketch, &sample, 10);
	}
	cr_assert_eq(sketch_top(&sketch, 0, 1, &top), 1);
	cr_expect(fabs(top.packets_per_s - 100) < 1, "%f", top.packets_per_s);
}

/*
 * Two elephants with 20 % and 5 % among a hundred thousand mice, who
 * fill the sketch again and again.
 */
Test(sketch, finds_elephants_among_mice)
{
	static struct sketch sketch;
	struct random random = { .state = 3 };
	struct sketch_rate top[16];
	size_t n;

	for (int step = 0; step < 50; step++) {
		sketch_fade(&sketch, 0.1);
		for (int i = 0; i < 1000; i++) {
			uint32_t dice = random_below(&random, 100);
			uint32_t flow = dice < 20 ? 1 :
					dice < 25 ? 2 :
						    1000 + random_below(&random, 100000);
			struct ff_sample sample = sample_of(flow, 500);

			sketch_add(&sketch, &sample, 61);
		}
	}
	n = sketch_top(&sketch, 0.01, 16, top);
	cr_assert_eq(n, 2, "%zu heavy flows", n);
	cr_expect_eq(flow_of(&top[0]), 1);
	cr_expect_eq(flow_of(&top[1]), 2);
	/* never too low, and at most the error too high */
	cr_expect(top[0].packets_per_s > 0.9 * 122000 &&
			  top[0].packets_per_s - top[0].error_per_s < 1.1 * 122000,
		  "%f, error %f", top[0].packets_per_s, top[0].error_per_s);
	cr_expect(top[1].packets_per_s > 0.85 * 30500 &&
			  top[1].packets_per_s - top[1].error_per_s < 1.15 * 30500,
		  "%f, error %f", top[1].packets_per_s, top[1].error_per_s);
}

/* A few samples: whoever is among them twice may still be a mouse. */
Test(sketch, chance_makes_no_elephant)
{
	static struct sketch sketch;
	struct random random = { .state = 3 };
	struct sketch_rate top[16];

	for (int step = 0; step < 300; step++) {
		sketch_fade(&sketch, 0.1);
		for (int i = 0; i < 4; i++) { /* 40 a second, as of 2400 packets/s */
			uint32_t flow = random_below(&random, 100) < 40 ?
						1 :
						1000 + random_below(&random, 600);
			struct ff_sample sample = sample_of(flow, 500);

			sketch_add(&sketch, &sample, 61);
		}
		for (size_t i = sketch_top(&sketch, 0.01, 16, top); i-- > 0;)
			cr_assert_eq(flow_of(&top[i]), 1, "step %d: flow %u", step,
				     flow_of(&top[i]));
	}
	cr_expect_eq(sketch_top(&sketch, 0.01, 16, top), 1, "the elephant is there");
}

Test(sketch, forgets_what_has_ended)
{
	static struct sketch sketch;
	struct ff_sample old = sample_of(1, 100), fresh = sample_of(2, 100);
	struct sketch_rate top[2];

	for (int step = 0; step < 50; step++) {
		sketch_fade(&sketch, 0.1);
		sketch_add(&sketch, &old, 1000);
	}
	for (int step = 0; step < 80; step++) {
		sketch_fade(&sketch, 0.1);
		sketch_add(&sketch, &fresh, 10);
	}
	cr_assert_geq(sketch_top(&sketch, 0.2, 2, top), 1);
	cr_expect_eq(flow_of(&top[0]), 2);
	sketch_fade(&sketch, 3600);
	cr_assert_geq(sketch_top(&sketch, 0, 2, top), 1);
	cr_expect(top[0].packets_per_s < 1);
}

Test(sketch, nothing_is_nothing)
{
	static struct sketch sketch;
	struct sketch_rate top[1];

	cr_expect_eq(sketch_top(&sketch, 0, 1, top), 0);
	sketch_fade(&sketch, 0);
	cr_expect_eq(sketch_top(&sketch, 0, 1, top), 0);
}
