/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_cost.c - the cost model: what it learns, what it refuses, what it never predicts. */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "lib/json.h"
#include "orchestrator/cost.h"
#include "tests/unit/random.h"

TestSuite(cost);

/* A site whose moves follow the model's lines exactly. */
static struct cost_sample site_move(struct random *random)
{
	double flows = 10 + random_below(random, 200000), packets = random_below(random, 300000);
	/* not all flows are alike: else nobody could tell flows and bytes apart */
	double bytes = flows * (60 + random_below(random, 200));
	struct cost_sample s = {
		.flows = flows, .bytes = bytes, .rounds = 3, .packets_per_s = packets
	};

	s.precopy_us = 8000 + 2.5 * flows + 0.02 * bytes;
	s.freeze_us = 2000 + 0.02 * flows + 0.01 * packets;
	s.total_us = s.precopy_us + s.freeze_us + 30000 + 1.2 * flows;
	s.parked = 0.8 * packets * s.freeze_us / 1e6;
	return s;
}

static void expect_site(const struct cost_model *model, double tolerance)
{
	static const double truth[COST_LINES][COST_TERMS] = {
		[COST_TRANSFER] = { 8000, 2.5, 0.02 },
		[COST_FREEZE] = { 2000, 0.02, 0.01 },
		[COST_REST] = { 30000, 1.2 },
		[COST_PARKED] = { 0.8 },
	};

	for (int line = 0; line < COST_HANDOVER; line++)
		for (int i = 0; i < COST_TERMS; i++)
			cr_expect_float_eq(model->coef[line][i], truth[line][i],
					   tolerance * truth[line][i] + 1e-9, "line %d, %d: %g",
					   line, i, model->coef[line][i]);
}

Test(cost, learns_the_site)
{
	struct random random = { 1 };
	struct cost_model model;

	cost_init(&model);
	for (int i = 0; i < 60; i++) {
		struct cost_sample s = site_move(&random);

		cr_assert_eq(cost_learn(&model, &s), 0);
	}
	expect_site(&model, 0.15);
}

Test(cost, outliers_hardly_count)
{
	struct random random = { 2 };
	struct cost_model model;

	cost_init(&model);
	for (int i = 0; i < 60; i++) {
		struct cost_sample s = site_move(&random);

		if (i % 8 == 3) { /* a stalled host */
			s.freeze_us *= 200;
			s.precopy_us *= 50;
			s.total_us = s.precopy_us + s.freeze_us + 5e6;
		}
		if (i % 16 == 7) /* a clock that stood still */
			s.freeze_us = s.precopy_us = 1;
		cr_assert_eq(cost_learn(&model, &s), 0);
	}
	expect_site(&model, 0.35);
}

Test(cost, follows_a_site_that_changes)
{
	struct random random = { 3 };
	struct cost_model model;
	struct cost_sample s;

	cost_init(&model);
	for (int i = 0; i < 100; i++) {
		s = site_move(&random);
		s.precopy_us *= 5;
		s.total_us += 4 * s.precopy_us / 5;
		cr_assert_eq(cost_learn(&model, &s), 0);
	}
	for (int i = 0; i < COST_WINDOW; i++) {
		s = site_move(&random);
		cr_assert_eq(cost_learn(&model, &s), 0);
	}
	expect_site(&model, 0.25); /* it was 5 times as dear */
}

/* Between two instances of one host nothing is copied: neither kind says anything of the other. */
Test(cost, handovers_are_learned_apart)
{
	struct random random = { 5 };
	struct cost_model model;
	struct cost_prediction p;

	cost_init(&model);
	p = cost_predict_handover(&model, 100000);
	cr_expect_float_eq(p.total_us, 50000, 1, "before any was measured");
	for (int i = 0; i < 2 * COST_WINDOW; i++) {
		const struct cost_sample handed = { .flows = 1 + random_below(&random, 1000000),
						    .packets_per_s = 100000,
						    .total_us = i % 8 == 3 ? 3e6 : 20000,
						    .precopy_us = 15000 };
		struct cost_sample s = site_move(&random);

		cr_assert_eq(cost_learn(&model, &s), 0);
		cr_assert_eq(cost_learn(&model, &handed), 0);
	}
	expect_site(&model, 0.15);
	cr_expect_eq(model.learned, 2 * COST_WINDOW);
	cr_expect_eq(model.handed, 2 * COST_WINDOW);
	cr_expect_eq(model.refused, 0);
	p = cost_predict_handover(&model, 100000);
	cr_expect_float_eq(p.total_us, 20000, 4000, "%f", p.total_us);
	cr_expect_lt(p.freeze_us, 1);
	cr_expect_lt(p.parked, 0.1);
	cr_expect_eq(p.bytes, 0);
	cr_expect_eq(p.rounds, 0);
}

/* With another program at the target they are parked for a grace period. */
Test(cost, a_handover_that_parks)
{
	const struct cost_sample handed = {
		.flows = 1000, .packets_per_s = 50000, .freeze_us = 1000, .total_us = 40000
	};
	struct cost_model model;
	struct cost_prediction p;

	cost_init(&model);
	for (int i = 0; i < COST_WINDOW; i++)
		cr_assert_eq(cost_learn(&model, &handed), 0);
	p = cost_predict_handover(&model, 50000);
	cr_expect_float_eq(p.freeze_us, 1000, 100, "%f", p.freeze_us);
	cr_expect_float_eq(p.parked, 50, 5, "%f", p.parked);
	p = cost_predict_handover(&model, NAN);
	cr_expect_eq(p.parked, 0);
}

Test(cost, coefficients_are_never_negative)
{
	struct random random = { 4 };
	struct cost_model model;

	cost_init(&model);
	for (int i = 0; i < 60; i++) {
		struct cost_sample s = site_move(&random);

		s.freeze_us = 5000 - fmin(4900, s.flows / 50); /* more flows, shorter: by chance */
		s.total_us = s.precopy_us + s.freeze_us + 1;
		cr_assert_eq(cost_learn(&model, &s), 0);
		for (int line = 0; line < COST_LINES; line++)
			for (int term = 0; term < COST_TERMS; term++)
				cr_assert_geq(model.coef[line][term], 0);
	}
}

Test(cost, refuses_what_cannot_be)
{
	const struct cost_sample good = { .flows = 100,
					  .bytes = 9600,
					  .rounds = 2,
					  .packets_per_s = 1000,
					  .freeze_us = 900,
					  .total_us = 90000,
					  .precopy_us = 30000,
					  .parked = 1 };
	const double bad[] = { NAN, INFINITY, -1 };
	struct cost_model model, before;

	cost_init(&model);
	before = model;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct cost_sample all[] = { good, good, good, good, good };

		all[0].flows = bad[i];
		all[1].bytes = bad[i];
		all[2].freeze_us = bad[i];
		all[3].parked = bad[i];
		all[4].precopy_us = bad[i];
		for (size_t k = 0; k < ARRAY_SIZE(all); k++)
			cr_expect_eq(cost_learn(&model, &all[k]), -EINVAL);
	}
	struct cost_sample longer = good;

	longer.freeze_us = 2 * longer.total_us; /* a part longer than the whole */
	cr_expect_eq(cost_learn(&model, &longer), -EINVAL);
	cr_expect_arr_eq(model.coef, before.coef, sizeof(model.coef));
	cr_expect_eq(model.refused, 16);
	cr_expect_eq(model.learned, 0);
}

Test(cost, predictions_grow_with_what_moves)
{
	const struct cost_subject less = { 1000, 96000, 500, 10000 };
	const struct cost_subject mores[] = { { 2000, 96000, 500, 10000 },
					      { 1000, 192000, 500, 10000 },
					      { 1000, 96000, 500, 20000 } };
	struct cost_model model;
	struct cost_prediction a, b;

	cost_init(&model);
	a = cost_predict(&model, &less);
	for (size_t i = 0; i < ARRAY_SIZE(mores); i++) {
		b = cost_predict(&model, &mores[i]);
		cr_expect_gt(b.total_us, a.total_us);
		cr_expect_geq(b.freeze_us, a.freeze_us);
		cr_expect_gt(cost_marginal(&model, &mores[i]), cost_marginal(&model, &less));
	}
	/* what changes all the time is sent again and again, but not for ever */
	b = cost_predict(&model, &(struct cost_subject){ 100000, 9600000, 1e6, 1e6 });
	cr_expect_gt(b.bytes, 9600000 * 1.3);
	cr_expect_leq(b.rounds, COST_ROUNDS_MAX);
}

Test(cost, absurd_subjects_count_as_nothing)
{
	struct cost_model model;
	struct cost_prediction p;

	cost_init(&model);
	p = cost_predict(&model, &(struct cost_subject){ NAN, -1, INFINITY, -INFINITY });
	cr_expect(isfinite(p.total_us) && p.total_us > 0);
	cr_expect(isfinite(p.bytes) && p.bytes >= 0);
	cr_expect_gt(cost_marginal(&model, &(struct cost_subject){ NAN, -1, INFINITY, NAN }), 0);
}

Test(cost, is_shown)
{
	struct cost_model model;
	char text[1024];
	json_t *json;

	cost_init(&model);
	cr_expect_lt(cost_format(&model, text, sizeof(text)), (int)sizeof(text));
	cr_expect(strstr(text, "freeze   = 1 ms"), "%s", text);
	cr_expect(strstr(text, "handover = 50 ms"), "%s", text);
	json = cost_to_json(&model);
	cr_expect_float_eq(json_real_value(json_object_get(json_object_get(json, "freeze"), "us")),
			   1000, 1e-9);
	cr_expect_float_eq(json_real_value(
				   json_object_get(json_object_get(json, "handover"), "us")),
			   50000, 1e-9);
	json_decref(json);
}

/* Of a handover nothing is transferred; what it takes more than the least of a copy is shared by what goes. */
Test(cost, a_handover_costs_what_it_was_measured_to)
{
	struct cost_sample sample = { .flows = 1e6, .total_us = 2e5, .freeze_us = 2000 };
	struct cost_model model;
	double whole, half;

	cost_init(&model);
	cr_expect_lt(cost_marginal_handover(&model, 1000, 1),
		     cost_marginal(&model, &(struct cost_subject){ 100, 9600, 50, 1000 }));
	cr_expect_eq(cost_marginal_handover(&model, 0, 1), COST_LEAST, "no more than any copy");
	cr_expect_gt(cost_marginal_handover(&model, 1000, 0), COST_LEAST, "what is parked");
	for (unsigned int i = 0; i < COST_WINDOW; i++)
		cr_assert_eq(cost_learn(&model, &sample), 0);
	cr_expect_float_eq(cost_handover_freeze_us(&model), 2000, 100);
	whole = cost_marginal_handover(&model, 0, 1);
	half = cost_marginal_handover(&model, 0, 0.5);
	cr_expect_gt(whole, 1e5);
	cr_expect_lt(whole, 2e5);
	cr_expect_float_eq(2 * half, whole, 1);
}
