/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_planner_exact.c - how good plans are: small random worlds against the exact optimum, found
 * by GLPK as two integer programs (the fewest instances; then the least cost with so many).
 *
 *	x[u][b]	 unit u is at bin b, exactly one b for each u
 *	y[b]	 bin b is there; sum over u of load[u] x[u][b] <= target y[b]
 *	z[f]	 heavy flow f, not pinned before, is pinned: >= x[f][b] - x[its slot][b] for each b
 *	x[f][home] <= x[its slot][home]: a flow can't stay where its slot has left
 */
#include <criterion/criterion.h>
#include <glpk.h>
#include <math.h>
#include <stdlib.h>

#include "lib/cleanup.h"
#include "tests/unit/planner_fixture.h"

#define GAP	  1.02
#define PIN_US	  50.0 /* planner_internal.h's: part of the objective */
#define NEW_MAX	  3
#define UNITS_MAX 32
#define BINS_MAX  10

TestSuite(planner_exact);

struct exact_unit {
	double load, cost;
	int home, slot; /* slot: it rides with; -1 */
};

struct exact {
	struct exact_unit units[UNITS_MAX];
	int units_n, bins, there;
	bool shrink;
	double target;
	glp_prob *lp;
};

static double slot_cost(const struct world *w, unsigned int i)
{
	const struct slot_load *s = &w->service.slots[i];

	return cost_marginal(&w->cost, &(struct cost_subject){ s->flows, s->state_bytes,
							       s->dirty_per_s, s->packets_per_s });
}

static double flow_cost(const struct world *w, unsigned int i)
{
	const struct flow_load *f = &w->service.flows[i];

	return cost_marginal(&w->cost, &(struct cost_subject){ 1, f->state_bytes, f->packets_per_s,
							       f->packets_per_s });
}

static void exact_units(struct exact *e, const struct world *w)
{
	for (unsigned int i = 0; i < w->service.slots_n; i++)
		e->units[e->units_n++] = (struct exact_unit){ w->service.slots[i].packets_per_s,
							      slot_cost(w, i),
							      w->service.slots[i].owner - 1, -1 };
	for (unsigned int i = 0; i < w->service.flows_n; i++) {
		const struct flow_load *f = &w->service.flows[i];
		struct exact_unit *unit = &e->units[e->units_n++];

		*unit = (struct exact_unit){ f->packets_per_s, flow_cost(w, i), f->owner - 1, -1 };
		if (f->pinned)
			continue;
		unit->slot = (int)f->slot;
		e->units[f->slot].load -= unit->load;
		e->units[f->slot].cost -= unit->cost;
	}
}

static int x_of(const struct exact *e, int unit, int bin)
{
	return 1 + unit * e->bins + bin;
}

static int y_of(const struct exact *e, int bin)
{
	return 1 + e->units_n * e->bins + bin;
}

static int z_of(const struct exact *e, int unit)
{
	return 1 + e->units_n * e->bins + e->bins + unit;
}

static void row(struct exact *e, int type, double bound, int n, const int *columns,
		const double *factors)
{
	int r = glp_add_rows(e->lp, 1), from_1[UNITS_MAX + 2]; /* GLPK counts from 1 */
	double factors_from_1[UNITS_MAX + 2];

	for (int i = 0; i < n; i++) {
		from_1[i + 1] = columns[i];
		factors_from_1[i + 1] = factors[i];
	}
	glp_set_row_bnds(e->lp, r, type, bound, bound);
	glp_set_mat_row(e->lp, r, n, from_1, factors_from_1);
}

static void exact_columns(struct exact *e)
{
	glp_add_cols(e->lp, z_of(e, e->units_n - 1));
	for (int c = 1; c <= z_of(e, e->units_n - 1); c++)
		glp_set_col_kind(e->lp, c, GLP_BV);
	for (int b = 0; b < e->there && !e->shrink; b++)
		glp_set_col_bnds(e->lp, y_of(e, b), GLP_FX, 1, 1);
}

static void exact_rows(struct exact *e)
{
	int columns[UNITS_MAX + 1];
	double factors[UNITS_MAX + 1];

	for (int u = 0; u < e->units_n; u++) {
		for (int b = 0; b < e->bins; b++) {
			columns[b] = x_of(e, u, b);
			factors[b] = 1;
		}
		row(e, GLP_FX, 1, e->bins, columns, factors);
	}
	for (int b = 0; b < e->bins; b++) {
		for (int u = 0; u < e->units_n; u++) {
			columns[u] = x_of(e, u, b);
			factors[u] = e->units[u].load;
		}
		columns[e->units_n] = y_of(e, b);
		factors[e->units_n] = -e->target;
		row(e, GLP_UP, 0, e->units_n + 1, columns, factors);
	}
	for (int u = 0; u < e->units_n; u++) {
		int slot = e->units[u].slot, home = e->units[u].home;

		for (int b = 0; slot >= 0 && b < e->bins; b++)
			row(e, GLP_UP, 0, 3, (int[]){ x_of(e, u, b), x_of(e, slot, b), z_of(e, u) },
			    (double[]){ 1, -1, -1 });
		if (slot >= 0)
			row(e, GLP_UP, 0, 2, (int[]){ x_of(e, u, home), x_of(e, slot, home) },
			    (double[]){ 1, -1 });
	}
}

static double exact_solve(struct exact *e)
{
	glp_iocp parameters;

	glp_init_iocp(&parameters);
	parameters.presolve = GLP_ON;
	parameters.msg_lev = GLP_MSG_ERR;
	parameters.mip_gap = 0.001;
	parameters.cov_cuts = GLP_ON;
	cr_assert_eq(glp_intopt(e->lp, &parameters), 0);
	if (glp_mip_status(e->lp) != GLP_OPT)
		return -1;
	return glp_mip_obj_val(e->lp);
}

/* The fewest instances, and the least cost with so many; -1: not with NEW_MAX more. */
static int exact_optimum(const struct world *w, double *ret_cost)
{
	struct exact e = { .there = (int)w->service.instances_n };
	int columns[BINS_MAX], n;
	double factors[BINS_MAX];

	e.bins = e.there + NEW_MAX;
	e.shrink = w->input.flags & PLANNER_SHRINK;
	e.target = WORLD_CAPACITY * w->policy.utilisation.target_percent / 100;
	exact_units(&e, w);
	glp_term_out(GLP_OFF);
	e.lp = glp_create_prob();
	glp_set_obj_dir(e.lp, GLP_MIN);
	exact_columns(&e);
	exact_rows(&e);
	for (int b = 0; b < e.bins; b++) {
		glp_set_obj_coef(e.lp, y_of(&e, b), 1);
		columns[b] = y_of(&e, b);
		factors[b] = 1;
	}
	n = (int)lround(exact_solve(&e));
	if (n > 0) {
		row(&e, GLP_FX, n, e.bins, columns, factors);
		for (int b = 0; b < e.bins; b++)
			glp_set_obj_coef(e.lp, y_of(&e, b), 0);
		for (int u = 0; u < e.units_n; u++) {
			for (int b = 0; b < e.bins; b++)
				if (b != e.units[u].home)
					glp_set_obj_coef(e.lp, x_of(&e, u, b), e.units[u].cost);
			glp_set_obj_coef(e.lp, z_of(&e, u), e.units[u].slot >= 0 ? PIN_US : 0);
		}
		*ret_cost = exact_solve(&e);
	}
	glp_delete_prob(e.lp);
	return n;
}

/* What the plan's moves cost by the same measure, from its steps alone. */
static double plan_cost(const struct world *w, const struct plan *plan)
{
	double cost = 0;

	for (size_t i = 0; i < plan->steps_n; i++) {
		const struct plan_step *step = &plan->steps[i];

		for (size_t k = 0; k < step->slots_n; k++)
			cost += slot_cost(w, step->slots[k]);
		for (size_t k = 0; k < step->flows_n; k++) {
			for (unsigned int f = 0; f < w->service.flows_n; f++) {
				const struct flow_load *flow = &w->service.flows[f];

				if (flow_cmp(&flow->key, &step->flows[k]) != 0)
					continue;
				cost += flow_cost(w, f) + (flow->pinned ? 0 : PIN_US);
				/* its slot moves without it */
				for (size_t j = 0; !flow->pinned && j < plan->steps_n; j++)
					for (size_t s = 0; s < plan->steps[j].slots_n; s++)
						if (plan->steps[j].slots[s] == flow->slot)
							cost -= flow_cost(w, f);
			}
		}
	}
	return cost;
}

/* @worst, @sum: of cost over the optimum's. */
static void compare(struct world *w, unsigned int seed, double *worst, unsigned int *compared)
{
	double least = 0, cost;
	int n = exact_optimum(w, &least);
	struct plan plan;

	if (n < 0)
		return;
	plan = world_plan(w);
	cost = plan_cost(w, &plan);
	cr_expect_eq((int)plan.instances_after, n, "seed %u: %u instances, %d would do", seed,
		     plan.instances_after, n);
	cr_expect_leq(cost, least * GAP + 0.5, "seed %u: cost %.1f, the least is %.1f (%s)", seed,
		      cost, least, plan.reason);
	cr_expect_float_eq(cost, plan.cost_us, 0.01 * cost + 0.5, "seed %u: says %.1f, is %.1f",
			   seed, plan.cost_us, cost);
	if (least > 0)
		*worst = fmax(*worst, cost / least - 1);
	(*compared)++;
	plan_done(&plan);
}

static void compare_many(unsigned int flows, uint32_t flags, double load_min, double load_max)
{
	unsigned int compared = 0;
	double worst = 0;

	for (unsigned int seed = 1; seed <= 25; seed++) {
		struct random random = { seed };
		unsigned int instances = 2 + random_below(&random, 3);
		unsigned int slots = instances * (3 + random_below(&random, 3));
		double load = load_min + (load_max - load_min) * random_below(&random, 100) / 100;
		struct world w;

		world_random(&w, &random, 3, instances, slots, flows, load);
		w.input.flags = flags;
		compare(&w, seed, &worst, &compared);
		world_done(&w);
	}
	cr_assert_gt(compared, 15);
	printf("planner: %u worlds, at worst %.2f %% above the least cost\n", compared,
	       worst * 100);
}

Test(planner_exact, relieves_at_least_cost)
{
	compare_many(0, PLANNER_RELIEVE, 0.3, 0.7);
}

Test(planner_exact, splits_elephants_at_least_cost)
{
	compare_many(3, PLANNER_RELIEVE, 0.2, 0.5);
}

Test(planner_exact, scales_in_to_the_fewest)
{
	compare_many(2, PLANNER_RELIEVE | PLANNER_SHRINK, 0.05, 0.4);
}
