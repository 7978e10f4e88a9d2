/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_planner_exact.c - how good plans are: small random worlds against the exact optimum, found
 * by GLPK as two integer programs (the fewest instances; then the least cost with so many).
 *
 *	x[u][b]	 unit u is at bin b, exactly one b for each u
 *	y[b]	 bin b is there; sum over u of load[u] x[u][b] <= target y[b]
 *	z[f][b]	 heavy flow f, not pinned before, is pinned there: >= x[f][b] - x[its slot][b]
 *	x[f][home] <= x[its slot][home]: a flow can't stay where its slot has left
 *
 * What moves within a host is handed over, where no flow was pinned before; what is pinned is copied.
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
	double load, cost, handed; /* of copying it, of handing it over */
	int home, slot;		   /* slot: it rides with; -1 */
};

struct exact {
	struct exact_unit units[UNITS_MAX];
	int units_n, bins, there;
	uint16_t hosts[BINS_MAX]; /* of bins */
	bool shrink, hands_over;
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
		e->units[e->units_n++] =
			(struct exact_unit){ .load = w->service.slots[i].packets_per_s,
					     .cost = slot_cost(w, i),
					     .home = w->service.slots[i].owner - 1,
					     .slot = -1 };
	for (unsigned int i = 0; i < w->service.flows_n; i++) {
		const struct flow_load *f = &w->service.flows[i];
		struct exact_unit *unit = &e->units[e->units_n++];

		*unit = (struct exact_unit){ .load = f->packets_per_s,
					     .cost = flow_cost(w, i),
					     .home = f->owner - 1,
					     .slot = f->pinned ? -1 : (int)f->slot };
		if (f->pinned)
			continue;
		e->units[f->slot].load -= unit->load;
		e->units[f->slot].cost -= unit->cost;
	}
}

/* Hosts of new bins are those that the plan has chosen. */
static void exact_hosts(struct exact *e, const struct world *w, const struct plan *plan)
{
	e->there = (int)w->service.instances_n;
	e->bins = e->there + NEW_MAX;
	for (int b = 0; b < e->there; b++)
		e->hosts[b] = w->service.instances[b].host;
	for (size_t i = 0; i < plan->steps_n; i++)
		if (plan->steps[i].kind == PLAN_CREATE && plan->steps[i].to.created <= NEW_MAX)
			e->hosts[e->there + plan->steps[i].to.created - 1] = plan->steps[i].to.host;
}

static void exact_handed(struct exact *e, const struct world *w)
{
	double sums[BINS_MAX] = {};

	e->hands_over = true;
	for (size_t i = 0; i < w->service.flows_n; i++)
		e->hands_over &= !w->service.flows[i].pinned;
	for (int u = 0; u < e->units_n; u++)
		sums[e->units[u].home] += e->units[u].cost;
	for (int u = 0; u < e->units_n; u++)
		e->units[u].handed =
			cost_marginal_handover(&w->cost, e->units[u].load,
					       e->units[u].cost / sums[e->units[u].home]);
}

/* Of moving it without a pin. */
static double price(const struct exact *e, int unit, int to)
{
	const struct exact_unit *u = &e->units[unit];

	if (u->home == to)
		return 0;
	return e->hands_over && e->hosts[u->home] == e->hosts[to] ? u->handed : u->cost;
}

static int x_of(const struct exact *e, int unit, int bin)
{
	return 1 + unit * e->bins + bin;
}

static int y_of(const struct exact *e, int bin)
{
	return 1 + e->units_n * e->bins + bin;
}

static int z_of(const struct exact *e, int unit, int bin)
{
	return 1 + e->units_n * e->bins + e->bins + unit * e->bins + bin;
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
	glp_add_cols(e->lp, z_of(e, e->units_n - 1, e->bins - 1));
	for (int c = 1; c <= z_of(e, e->units_n - 1, e->bins - 1); c++)
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
			row(e, GLP_UP, 0, 3,
			    (int[]){ x_of(e, u, b), x_of(e, slot, b), z_of(e, u, b) },
			    (double[]){ 1, -1, -1 });
		if (slot >= 0)
			row(e, GLP_UP, 0, 2, (int[]){ x_of(e, u, home), x_of(e, slot, home) },
			    (double[]){ 1, -1 });
	}
}

static double exact_solve(struct exact *e)
{
	glp_iocp parameters;
	int r;

	glp_init_iocp(&parameters);
	parameters.presolve = GLP_ON;
	parameters.msg_lev = GLP_MSG_ERR;
	parameters.mip_gap = 0.001;
	parameters.cov_cuts = GLP_ON;
	r = glp_intopt(e->lp, &parameters);
	cr_assert(r == 0 || r == GLP_EMIPGAP, "%#x", (unsigned int)r);
	if (r == 0 && glp_mip_status(e->lp) != GLP_OPT)
		return -1;
	return glp_mip_obj_val(e->lp);
}

/* The fewest instances, and the least cost with so many; -1: not with NEW_MAX more. */
static int exact_optimum(struct exact *e, double *ret_cost)
{
	int columns[BINS_MAX], n;
	double factors[BINS_MAX];

	glp_term_out(GLP_OFF);
	e->lp = glp_create_prob();
	glp_set_obj_dir(e->lp, GLP_MIN);
	exact_columns(e);
	exact_rows(e);
	for (int b = 0; b < e->bins; b++) {
		glp_set_obj_coef(e->lp, y_of(e, b), 1);
		columns[b] = y_of(e, b);
		factors[b] = 1;
	}
	n = (int)lround(exact_solve(e));
	if (n > 0) {
		row(e, GLP_FX, n, e->bins, columns, factors);
		for (int b = 0; b < e->bins; b++) {
			glp_set_obj_coef(e->lp, y_of(e, b), 0);
			if (!e->hosts[b]) /* on which it would be, the plan doesn't say */
				glp_set_col_bnds(e->lp, y_of(e, b), GLP_FX, 0, 0);
		}
		for (int u = 0; u < e->units_n; u++)
			for (int b = 0; b < e->bins; b++) {
				double pinned = e->units[u].cost + PIN_US - price(e, u, b);

				glp_set_obj_coef(e->lp, x_of(e, u, b), price(e, u, b));
				glp_set_obj_coef(e->lp, z_of(e, u, b),
						 e->units[u].slot >= 0 ? pinned : 0);
			}
		*ret_cost = exact_solve(e);
	}
	glp_delete_prob(e->lp);
	return n;
}

static bool step_has_flow(const struct world *w, const struct plan_step *step, size_t flow)
{
	for (size_t k = 0; k < step->flows_n; k++)
		if (flow_cmp(&w->service.flows[flow].key, &step->flows[k]) == 0)
			return true;
	return false;
}

/* What the plan's moves cost by the same measure, from its steps alone. */
static double plan_cost(const struct exact *e, const struct world *w, const struct plan *plan)
{
	int to[UNITS_MAX], slots_n = (int)w->service.slots_n;
	double cost = 0;

	for (int u = 0; u < e->units_n; u++)
		to[u] = -1;
	for (size_t i = 0; i < plan->steps_n; i++) {
		const struct plan_step *step = &plan->steps[i];
		int bin = step->to.created ? e->there + step->to.created - 1 : step->to.id - 1;

		for (size_t k = 0; k < step->slots_n; k++)
			to[step->slots[k]] = bin;
		for (size_t f = 0; f < w->service.flows_n; f++)
			if (step_has_flow(w, step, f))
				to[slots_n + (int)f] = bin;
	}
	for (int u = 0; u < e->units_n; u++) {
		int slot = e->units[u].slot;

		if (to[u] < 0 && slot >= 0) /* where its slot is */
			cost += to[slot] < 0 ? 0 : price(e, u, to[slot]);
		else if (to[u] >= 0)
			cost += slot >= 0 ? e->units[u].cost + PIN_US : price(e, u, to[u]);
	}
	return cost;
}

/* @worst, @sum: of cost over the optimum's. */
static void compare(struct world *w, unsigned int seed, double *worst, unsigned int *compared)
{
	struct exact e = { .shrink = w->input.flags & PLANNER_SHRINK, .target = world_target(w) };
	struct plan plan = world_plan(w);
	double least = 0, cost;
	int n;

	exact_units(&e, w);
	exact_hosts(&e, w, &plan);
	exact_handed(&e, w);
	n = exact_optimum(&e, &least);
	if (n < 0) {
		plan_done(&plan);
		return;
	}
	cost = plan_cost(&e, w, &plan);
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

/* What the worlds have. */
struct kind {
	unsigned int hosts, flows;
	uint32_t flags;
	double load_min, load_max;
	double handover_us; /* 0: as it is by default, less than the least that a copy takes */
};

static void compare_many(const struct kind *kind)
{
	unsigned int compared = 0;
	double worst = 0;

	for (unsigned int seed = 1; seed <= 25; seed++) {
		struct random random = { seed };
		unsigned int instances = 2 + random_below(&random, 3);
		unsigned int slots = instances * (3 + random_below(&random, 3));
		double more = (kind->load_max - kind->load_min) * random_below(&random, 100) / 100;
		struct world w;

		world_random(&w, &random, kind->hosts, instances, slots, kind->flows,
			     kind->load_min + more);
		w.input.flags = kind->flags;
		if (kind->handover_us > 0)
			w.cost.coef[COST_HANDOVER][0] = kind->handover_us;
		compare(&w, seed, &worst, &compared);
		world_done(&w);
	}
	cr_assert_gt(compared, 15);
	printf("planner: %u worlds, at worst %.2f %% above the least cost\n", compared,
	       worst * 100);
}

Test(planner_exact, relieves_at_least_cost)
{
	compare_many(&(struct kind){ 3, 0, PLANNER_RELIEVE, 0.3, 0.7, 0 });
}

Test(planner_exact, splits_elephants_at_least_cost)
{
	compare_many(&(struct kind){ 3, 3, PLANNER_RELIEVE, 0.2, 0.5, 0 });
}

Test(planner_exact, scales_in_to_the_fewest)
{
	compare_many(&(struct kind){ 3, 2, PLANNER_RELIEVE | PLANNER_SHRINK, 0.05, 0.4, 0 });
}

Test(planner_exact, hands_over_at_least_cost)
{
	compare_many(&(struct kind){ 2, 0, PLANNER_RELIEVE, 0.3, 0.7, 0 });
	compare_many(&(struct kind){ 2, 1, PLANNER_RELIEVE, 0.2, 0.6, 0 });
	compare_many(&(struct kind){ 2, 0, PLANNER_RELIEVE | PLANNER_SHRINK, 0.05, 0.4, 0 });
}

/* An instance's whole state would take less to copy, or more. */
Test(planner_exact, hands_over_or_copies_at_least_cost)
{
	compare_many(&(struct kind){ 2, 0, PLANNER_RELIEVE, 0.3, 0.7, 90000 });
	compare_many(&(struct kind){ 2, 0, PLANNER_RELIEVE | PLANNER_SHRINK, 0.05, 0.4, 90000 });
}
