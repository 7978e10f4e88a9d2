/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * suite_loop.c - how fast the loop is: from load that is too much for an instance to all of them
 * under target, and back; and what a plan takes to make.
 *
 * Load is real and small: the policy says what an instance can do, so that a busy machine isn't
 * what is measured. Numbered UDP packets go on all the time, whose verdict is for all samples; the
 * ramp beside them is TCP connections, each sample's own.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "tests/bench/planner_world.h"
#include "tests/bench/rig.h"

#define POLL_NS	     (20 * NSEC_PER_MSEC)
#define CAPACITY     4000 /* packets/s of an instance, by the policy below */
#define TARGET	     (CAPACITY * 0.65)
#define STEADY_FLOWS 100
#define STEADY_RATE  1200
#define RAMP_FLOWS   30 /* connections, of which each asks so often in a second, and is answered */
#define RAMP_RATE    50
#define STAYS_NS     (500 * NSEC_PER_MSEC) /* under target for so long: it isn't passing through */
#define LIMIT_NS     (20 * NSEC_PER_SEC)   /* then it hasn't been done */
#define PERIOD_NS    (100 * NSEC_PER_MSEC) /* of samples: a rate is that of the time before */

/*
 * As it is by default, but for the capacity, and that what was added
 * goes as soon as it isn't needed.
 */
static const char *const policy =
	"{\"mode\": \"act\", \"capacity\": {\"packets_per_s\": 4000},"
	" \"utilisation\": {\"up_percent\": 80, \"target_percent\": 65, \"down_percent\": 40,"
	"  \"imbalance_percent\": 100, \"host_percent\": 100, \"pressure_percent\": 100},"
	" \"instances\": {\"min\": 1, \"max\": 3, \"per_host\": 1},"
	" \"scale_in\": {\"patience_ms\": 0},"
	" \"stability\": {\"down_ms\": 500, \"hold_ms\": 1000, \"lifetime_ms\": 1000}}";

/* ---- what the orchestrator knows ------------------------------------------------------------- */

struct view {
	double busiest;	     /* instance, in packets/s */
	uint64_t sampled_ns; /* when that was */
};

static int view_take(struct rig *rig, struct view *ret, struct ff_error *err)
{
	_cleanup_json_ json_t *reply = NULL;
	json_t *host, *instance;
	size_t i, k;
	int r = rig_call(rig, "GET", "/v1/hosts", NULL, &reply, err);

	*ret = (struct view){ .sampled_ns = clock_ns() };
	json_array_foreach(json_object_get(reply, "hosts"), i, host) {
		json_t *monitor = json_object_get(host, "monitor");
		double age_ms = json_number_value(json_object_get(monitor, "age_ms"));

		json_array_foreach(json_object_get(monitor, "instances"), k, instance) {
			double rate = json_number_value(json_object_get(instance, "packets_per_s"));

			if (rate <= ret->busiest)
				continue;
			ret->busiest = rate;
			ret->sampled_ns = clock_ns() - (uint64_t)(age_ms * NSEC_PER_MSEC);
		}
	}
	return r;
}

/* ---- reaction -------------------------------------------------------------------------------- */

static int too_long(const char *what, struct ff_error *err)
{
	return error_set(err, ETIMEDOUT, FF_CODE_INTERNAL, NULL, "after %d s still not %s",
			 (int)(LIMIT_NS / NSEC_PER_SEC), what);
}

/* *ret_ns: when the window began in which an instance first had more than its target. */
static int crossing_wait(struct rig *rig, uint64_t *ret_ns, struct ff_error *err)
{
	uint64_t deadline = clock_ns() + LIMIT_NS;

	for (;;) {
		struct view view;
		int r = view_take(rig, &view, err);

		if (r)
			return r;
		if (view.busiest > TARGET) {
			*ret_ns = view.sampled_ns - PERIOD_NS;
			return 0;
		}
		if (clock_ns() > deadline)
			return too_long("above the target", err);
		clock_sleep_ns(POLL_NS);
	}
}

/* *ret_ns: when it was first seen that all are under target, where they stay. */
static int relief_wait(struct rig *rig, uint64_t *ret_ns, struct ff_error *err)
{
	uint64_t deadline = clock_ns() + LIMIT_NS, since = 0;

	for (;;) {
		struct view view;
		int r = view_take(rig, &view, err);

		if (r)
			return r;
		if (view.busiest > TARGET)
			since = 0;
		else if (!since)
			since = clock_ns();
		if (since && clock_ns() - since >= STAYS_NS) {
			*ret_ns = since;
			return 0;
		}
		if (clock_ns() > deadline)
			return too_long("under target", err);
		clock_sleep_ns(POLL_NS);
	}
}

/* Until one instance is left. */
static int alone_wait(struct rig *rig, struct ff_error *err)
{
	uint64_t deadline = clock_ns() + LIMIT_NS;

	for (;;) {
		_cleanup_json_ json_t *reply = NULL;
		int r = rig_call(rig, "GET", "/v1/instances", NULL, &reply, err);

		if (r || json_array_size(json_object_get(reply, "instances")) == 1)
			return r;
		if (clock_ns() > deadline)
			return too_long("alone", err);
		clock_sleep_ns(POLL_NS);
	}
}

struct reaction {
	struct figure *out, *in;
};

/* The ramp, until what it has made necessary is there, and until that is gone again. */
static int reaction_sample(struct rig *rig, const struct reaction *figures, struct ff_error *err)
{
	const struct rig_traffic_spec spec = { .tcp_flows = RAMP_FLOWS, .tcp_rate = RAMP_RATE };
	_cleanup_json_ json_t *report = NULL;
	_cleanup_free_ char *wrong = NULL;
	uint64_t crossed = 0, relieved = 0, fell;
	struct rig_traffic ramp;
	int r, ended;

	r = rig_traffic_start(&ramp, &spec, err);
	if (r)
		return r;
	r = crossing_wait(rig, &crossed, err) ?: relief_wait(rig, &relieved, err);
	fell = clock_ns();
	ended = rig_traffic_end(&ramp, &report, &wrong, r ? NULL : err);
	if (!r && !ended)
		r = alone_wait(rig, err);
	if (r || ended)
		return r ?: ended;
	if (wrong) {
		figure_failed(figures->out, "%s", wrong);
		figure_failed(figures->in, "%s", wrong);
	}
	figure_sample(figures->out, (double)(relieved - crossed) / NSEC_PER_SEC);
	figure_sample(figures->in, (double)(clock_ns() - fell) / NSEC_PER_SEC);
	return 0;
}

static int reactions_sample(struct bench *bench, struct rig *rig, const struct reaction *figures,
			    struct ff_error *err)
{
	const struct rig_traffic_spec spec = { .flows = STEADY_FLOWS, .rate = STEADY_RATE };
	_cleanup_json_ json_t *report = NULL;
	_cleanup_free_ char *wrong = NULL;
	struct rig_traffic steady;
	int r, ended;

	r = rig_traffic_start(&steady, &spec, err);
	if (r)
		return r;
	r = rig_flows_wait(rig, STEADY_FLOWS, (unsigned int)(LIMIT_NS / NSEC_PER_MSEC), err);
	for (int run = 0; run < bench_runs(bench) && !r; run++) {
		bench_progress(bench, "reaction: %d of %d", run, bench_runs(bench));
		r = reaction_sample(rig, figures, err);
	}
	ended = rig_traffic_end(&steady, &report, &wrong, r ? NULL : err);
	if (!r && !ended && wrong) {
		figure_failed(figures->out, "%s", wrong);
		figure_failed(figures->in, "%s", wrong);
	}
	return r ?: ended;
}

static int reactions_run(struct bench *bench, const struct reaction *figures, struct ff_error *err)
{
	struct rig rig;
	int r;

	bench_progress(bench, "lab");
	r = rig_up(&rig, 3, true, err);
	if (!r)
		r = rig_gather(&rig, err) ?: rig_policy(&rig, policy, err);
	if (!r)
		r = reactions_sample(bench, &rig, figures, err);
	rig_down(&rig);
	return r;
}

/* ---- the planner ----------------------------------------------------------------------------- */

static double cpu_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void plans_sample(struct bench *bench, struct figure *figure, const struct world *world)
{
	for (int run = 0; run < bench_runs(bench); run++) {
		double begun = cpu_ms(), taken;
		struct plan plan = {};
		int r;

		bench_progress(bench, "planner: %d of %d", run, bench_runs(bench));
		r = planner_plan(&world->input, &plan);
		taken = cpu_ms() - begun;
		if (r)
			figure_failed(figure, "no plan: %s", strerror(-r));
		else if (!plan.steps_n || plan.orphans || plan.stuck)
			figure_failed(figure, "%zu steps, %u slots without an owner, %u stuck: %s",
				      plan.steps_n, plan.orphans, plan.stuck, plan.reason);
		else
			figure_sample(figure, taken);
		plan_done(&plan);
	}
}

/* A data centre on a bad day: instances over target, a host to be emptied, one that has failed. */
static void plans_large(struct bench *bench, struct figure *figure)
{
	struct random random = { 1 };
	struct world world;

	world_random(&world, &random, FF_HOSTS_MAX, 1000, 1000000, 0, 0.6);
	for (size_t i = 0; i < world.loads.hosts_n; i++)
		world.loads.hosts[i].cpus = 32;
	world.policy.instances.max = FF_INSTANCES_MAX;
	world.loads.hosts[3].conditions = HOST_MAINTENANCE;
	world.loads.hosts[5].conditions = HOST_FAILED;
	plans_sample(bench, figure, &world);
	world_done(&world);
}

/* A service as most are: some of its instances are over target. */
static void plans_small(struct bench *bench, struct figure *figure)
{
	struct random random = { 1 };
	struct world world;

	world_random(&world, &random, 4, 4, 4096, 64, 0.6);
	plans_sample(bench, figure, &world);
	world_done(&world);
}

/* ---- the suite ------------------------------------------------------------------------------- */

static int loop_run(struct bench *bench, struct ff_error *err)
{
	struct figure *large, *small;
	struct reaction reaction;

	reaction.out = bench_figure(bench, "loop.scale_out", "s",
				    "load crosses the target, until all are under it");
	reaction.in = bench_figure(bench, "loop.scale_in", "s",
				   "load falls, until what was added is gone");
	large = bench_figure(bench, "loop.plan.large", "ms",
			     "a plan for 1,000 instances with 1 M slots");
	small = bench_figure(bench, "loop.plan.small", "ms",
			     "a plan for 4 instances with 4096 slots, 64 heavy flows");
	figure_target(reaction.out, BOUND_AT_MOST, 3, NULL);
	figure_target(large, BOUND_AT_MOST, 1000, NULL);
	plans_large(bench, large);
	plans_small(bench, small);
	return reactions_run(bench, &reaction, err);
}

const struct bench_suite suite_loop = {
	.name = "loop",
	.about = "how fast load that is too much is seen, planned for and spread",
	.run = loop_run,
};
