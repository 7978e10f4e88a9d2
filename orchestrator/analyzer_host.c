/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * analyzer_host.c - hosts: failure, flapping, reachability, maintenance, short of CPU, stale or absurd figures.
 *
 * A silent agent is no failed host: packets are forwarded without it. A host has failed when failover.c
 * has found it dead (HOST_FAILED: it hears of silent data paths at once, and not at our steps), or its
 * agent says that its fabric link is down. When no agent at all is heard, it is we who are cut off;
 * unless nobody was ever heard, as right after our own start: then nothing is known yet.
 *
 * Several services share a host, each with a policy: the strictest of each bound counts.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "orchestrator/analyzer_internal.h"

#define SOFTNET_DROPS_LEAST 1.0 /* a second; packets lost because the CPUs didn't come to them */
#define UNREACHABLE_UP_MS   500 /* a path that is lost for a moment isn't worth a word */
#define OVERLOAD_EASE	    0.9 /* of the bound: below it, a host's overload ends */

struct host_bounds {
	uint32_t host_percent, pressure_percent;
	uint32_t stale_ms;
	uint32_t smooth_ms, up_ms, down_ms;
};

static void bounds_take(struct host_bounds *bounds, const struct policy *policy)
{
	const struct policy_stability *stability = &policy->stability;

	bounds->host_percent = MIN(bounds->host_percent, policy->utilisation.host_percent);
	bounds->pressure_percent =
		MIN(bounds->pressure_percent, policy->utilisation.pressure_percent);
	bounds->stale_ms = MIN(bounds->stale_ms, stability->stale_ms);
	bounds->smooth_ms = MIN(bounds->smooth_ms, stability->smooth_ms);
	bounds->up_ms = MIN(bounds->up_ms, stability->up_ms);
	bounds->down_ms = MAX(bounds->down_ms, stability->down_ms);
}

static struct host_bounds bounds_of(const struct step *step, const struct host_load *host)
{
	struct host_bounds
		bounds = { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, 0 },
		empty = bounds;

	for (size_t i = 0; i < step->loads->services_n; i++) {
		const struct service_load *service = &step->loads->services[i];

		for (size_t j = 0; j < service->instances_n; j++)
			if (service->instances[j].host == host->id)
				bounds_take(&bounds, step_policy(step, service->id));
	}
	/* an empty host may be used by each of them */
	for (size_t i = 0; bounds.host_percent == UINT32_MAX && i < step->loads->services_n; i++)
		bounds_take(&empty, step_policy(step, step->loads->services[i].id));
	if (bounds.host_percent == UINT32_MAX)
		bounds = empty;
	if (bounds.host_percent == UINT32_MAX)
		bounds_take(&bounds, &step->analyzer->policy);
	return bounds;
}

/* ---- failure ------------------------------------------------------------------------------- */

/* For how long, but not counting the time in which we ourselves didn't listen. */
static uint64_t silence_ns(const struct step *step, uint64_t age_ns)
{
	return MIN(age_ns, step->now_ns - step->analyzer->resumed_ns);
}

static bool host_is_silent(const struct step *step, const struct host_load *host,
			   const struct host_bounds *bounds)
{
	return silence_ns(step, host->quality.age_ns) > bounds->stale_ms * NSEC_PER_MSEC;
}

static enum verdict failure_judge(const struct step *step, const struct host_load *host,
				  const struct host_bounds *bounds, char why[CONDITION_WHY_MAX])
{
	if (host->conditions & HOST_FAILED)
		snprintf(why, CONDITION_WHY_MAX, "%s: found dead", host->name);
	else if (host->conditions & HOST_LINK_DOWN)
		snprintf(why, CONDITION_WHY_MAX, "%s: its fabric link is down", host->name);
	else
		return step->deaf || host_is_silent(step, host, bounds) ? VERDICT_BETWEEN :
									  VERDICT_GOOD;
	return VERDICT_BAD;
}

static void flapping_step(struct step *step, struct host_track *track, const struct host_load *host)
{
	const struct alarm_subject subject = { .kind = CONDITION_FLAPPING,
					       .about = ABOUT_HOST,
					       .id = host->id,
					       .value = ANALYZER_FLAPS,
					       .bound = ANALYZER_FLAPS };
	uint64_t bound_ns = ANALYZER_FLAPS_MS * NSEC_PER_MSEC;
	uint64_t first = track->failed_ns[0], last = track->failed_ns[ANALYZER_FLAPS - 1];
	unsigned int doubled = MIN(MAX(track->flaps, 1u) - 1, ANALYZER_FLAPS_DOUBLED);
	uint64_t hold_ns = bound_ns << doubled;
	enum verdict verdict = VERDICT_BETWEEN;

	if (first && step->now_ns - first <= bound_ns)
		verdict = VERDICT_BAD;
	else if (!track->base.alarms[CONDITION_FAILURE].raised &&
		 (!last || step->now_ns - last > hold_ns))
		verdict = VERDICT_GOOD;
	if (!last || step->now_ns - last > 2 * hold_ns)
		track->flaps = 0;
	track->flaps += verdict == VERDICT_BAD && !track->base.alarms[CONDITION_FLAPPING].raised;
	if (!alarm_move(&track->base.alarms[CONDITION_FLAPPING], verdict, step->now_ns, 0, 0))
		return;
	if (track->base.alarms[CONDITION_FLAPPING].raised)
		alarm_say(step, &track->base.alarms[CONDITION_FLAPPING], &subject,
			  "%s: failed %d times within %.0f s", host->name, ANALYZER_FLAPS,
			  (double)(step->now_ns - first) / 1e9);
	else
		alarm_say(step, &track->base.alarms[CONDITION_FLAPPING], &subject,
			  "%s: well for %.0f s", host->name, (double)hold_ns / 1e9);
}

static void failure_step(struct step *step, struct host_track *track, struct host_load *host,
			 const struct host_bounds *bounds)
{
	const struct alarm_subject subject = { .kind = CONDITION_FAILURE,
					       .about = ABOUT_HOST,
					       .id = host->id };
	char why[CONDITION_WHY_MAX];
	enum verdict verdict = failure_judge(step, host, bounds, why);

	if (alarm_move(&track->base.alarms[CONDITION_FAILURE], verdict, step->now_ns, 0,
		       bounds->down_ms)) {
		if (track->base.alarms[CONDITION_FAILURE].raised) {
			alarm_say(step, &track->base.alarms[CONDITION_FAILURE], &subject, "%s",
				  why);
			memmove(track->failed_ns, track->failed_ns + 1,
				sizeof(track->failed_ns) - sizeof(track->failed_ns[0]));
			track->failed_ns[ANALYZER_FLAPS - 1] = step->now_ns;
		} else {
			alarm_say(step, &track->base.alarms[CONDITION_FAILURE], &subject,
				  "%s: well for %u ms", host->name, bounds->down_ms);
		}
	}
	flapping_step(step, track, host);
	if (track->base.alarms[CONDITION_FAILURE].raised)
		host->conditions |= HOST_FAILED;
	if (track->base.alarms[CONDITION_FLAPPING].raised)
		host->conditions |= HOST_SUSPECT;
}

/* Its agent is well, and so is its data path: what is lost is what that steering host sends there. */
static void unreachable_step(struct step *step, struct host_track *track, struct host_load *host,
			     const struct host_bounds *bounds)
{
	const struct alarm_subject subject = { .kind = CONDITION_UNREACHABLE,
					       .about = ABOUT_HOST,
					       .id = host->id };
	struct alarm *alarm = &track->base.alarms[CONDITION_UNREACHABLE];

	if (alarm_move(alarm, host->unheard_by[0] ? VERDICT_BAD : VERDICT_GOOD, step->now_ns,
		       UNREACHABLE_UP_MS, bounds->down_ms)) {
		if (alarm->raised)
			alarm_say(step, alarm, &subject,
				  "%s: unreachable from %s, though others hear it: packets that %s "
				  "sends there are lost",
				  host->name, host->unheard_by, host->unheard_by);
		else
			alarm_say(step, alarm, &subject, "%s: reachable for %u ms", host->name,
				  bounds->down_ms);
	}
	if (alarm->raised)
		host->conditions |= HOST_SUSPECT;
}

/* ---- figures ------------------------------------------------------------------------------- */

static void stale_step(struct step *step, struct host_track *track, struct host_load *host,
		       const struct host_bounds *bounds)
{
	const struct alarm_subject subject = { .kind = CONDITION_STALE,
					       .about = ABOUT_HOST,
					       .id = host->id,
					       .value = (double)host->quality.age_ns / 1e6,
					       .bound = bounds->stale_ms };
	bool never = host->quality.age_ns == UINT64_MAX;
	bool stale = quality_stale(&host->quality, bounds->stale_ms);
	enum verdict verdict = stale ? VERDICT_BAD : VERDICT_GOOD;

	if (stale && host->quality.validity == LOAD_VALID)
		host->quality.validity = LOAD_STALE;
	if (stale)
		host->conditions |= HOST_SUSPECT;
	if (track->base.alarms[CONDITION_FAILURE].raised) /* which says more */
		verdict = VERDICT_BETWEEN;
	if (!alarm_move(&track->base.alarms[CONDITION_STALE], verdict, step->now_ns,
			never ? bounds->stale_ms : 0, 2ull * bounds->stale_ms))
		return;
	if (!track->base.alarms[CONDITION_STALE].raised)
		alarm_say(step, &track->base.alarms[CONDITION_STALE], &subject,
			  "%s: data comes again", host->name);
	else if (never)
		alarm_say(step, &track->base.alarms[CONDITION_STALE], &subject, "%s: no data yet",
			  host->name);
	else
		alarm_say(step, &track->base.alarms[CONDITION_STALE], &subject,
			  "%s: newest data is %.0f ms old (bound %u ms)", host->name,
			  (double)host->quality.age_ns / 1e6, bounds->stale_ms);
}

/* True: the figures may be used. */
static bool absurd_step(struct step *step, struct host_track *track, struct host_load *host)
{
	const struct alarm_subject subject = { .kind = CONDITION_ABSURD,
					       .about = ABOUT_HOST,
					       .id = host->id };
	enum verdict verdict = VERDICT_BETWEEN;
	char why[CONDITION_WHY_MAX] = "absurd, says who gathered it";

	if (host->quality.validity == LOAD_VALID)
		verdict = host_check(host, why) ? VERDICT_BAD : VERDICT_GOOD;
	else if (host->quality.validity == LOAD_ABSURD)
		verdict = VERDICT_BAD;
	if (verdict == VERDICT_BAD)
		host->quality.validity = LOAD_ABSURD;
	if (alarm_move(&track->base.alarms[CONDITION_ABSURD], verdict, step->now_ns, 0,
		       ANALYZER_CLEAN_MS)) {
		if (track->base.alarms[CONDITION_ABSURD].raised)
			alarm_say(step, &track->base.alarms[CONDITION_ABSURD], &subject,
				  "%s; ignored", why);
		else
			alarm_say(step, &track->base.alarms[CONDITION_ABSURD], &subject,
				  "%s: plausible for %d s", host->name, ANALYZER_CLEAN_MS / 1000);
	}
	if (track->base.alarms[CONDITION_ABSURD].raised)
		host->conditions |= HOST_SUSPECT;
	return host->quality.validity == LOAD_VALID;
}

static void figure_smooth(struct average *average, uint64_t at_ns, bool fresh, uint32_t smooth_ms,
			  double *value)
{
	if (fresh)
		average_add(average, at_ns, *value, smooth_ms);
	*value = average->level;
}

static void host_smooth(const struct step *step, struct host_track *track, struct host_load *host,
			const struct host_bounds *bounds)
{
	uint64_t at_ns = quality_time(step, &host->quality);
	bool fresh = at_ns > track->sample_ns;
	float *cpu[] = { &host->cpu.softirq, &host->cpu.system, &host->cpu.user, &host->cpu.other };

	for (size_t i = 0; i < ARRAY_SIZE(cpu); i++) {
		double value = *cpu[i];

		figure_smooth(&track->cpu[i], at_ns, fresh, bounds->smooth_ms, &value);
		*cpu[i] = (float)value;
	}
	figure_smooth(&track->rx, at_ns, fresh, bounds->smooth_ms, &host->rx_bytes_per_s);
	figure_smooth(&track->tx, at_ns, fresh, bounds->smooth_ms, &host->tx_bytes_per_s);
	figure_smooth(&track->squeezes, at_ns, fresh, bounds->smooth_ms, &host->squeezes_per_s);
	figure_smooth(&track->drops, at_ns, fresh, bounds->smooth_ms, &host->softnet_drops_per_s);
	if (host->pressure_known)
		figure_smooth(&track->pressure, at_ns, fresh, bounds->smooth_ms, &host->pressure);
	track->sample_ns = MAX(track->sample_ns, at_ns);
}

static void overload_step(struct step *step, struct host_track *track, struct host_load *host,
			  const struct host_bounds *bounds)
{
	double used =
		(double)host->cpu.softirq + host->cpu.system + host->cpu.user + host->cpu.other;
	double cpu = host->cpus > 0 ? used / host->cpus : 0;
	double cpu_bound = bounds->host_percent / 100.0;
	double waits = host->pressure_known ? host->pressure : 0;
	double waits_bound = bounds->pressure_percent / 100.0;
	bool busy = bounds->host_percent < 100 && cpu > cpu_bound; /* ticks may add up to more */
	bool waiting = waits > waits_bound;
	bool dropping = host->softnet_drops_per_s > SOFTNET_DROPS_LEAST;
	bool easy = cpu < cpu_bound * OVERLOAD_EASE && waits < waits_bound * OVERLOAD_EASE &&
		    host->softnet_drops_per_s < SOFTNET_DROPS_LEAST / 2;
	const struct alarm_subject subject = { .kind = CONDITION_OVERLOAD,
					       .about = ABOUT_HOST,
					       .id = host->id,
					       .value = waiting && !busy ? waits : cpu,
					       .bound = waiting && !busy ? waits_bound :
									   cpu_bound };

	if (alarm_move(&track->base.alarms[CONDITION_OVERLOAD],
		       busy || waiting || dropping ? VERDICT_BAD :
		       easy			   ? VERDICT_GOOD :
						     VERDICT_BETWEEN,
		       step->now_ns, bounds->up_ms, bounds->down_ms))
		alarm_say(step, &track->base.alarms[CONDITION_OVERLOAD], &subject,
			  "%s: %.1f %% of %.0f CPUs in use (bound %u %%), waiting %.1f %% of the "
			  "time (bound %u %%), %.0f softnet drops/s",
			  host->name, cpu * 100, host->cpus, bounds->host_percent, waits * 100,
			  bounds->pressure_percent, host->softnet_drops_per_s);
	if (!track->base.alarms[CONDITION_OVERLOAD].raised)
		return;
	if (waiting)
		host->conditions |= HOST_PRESSURE;
	if (busy || dropping || !waiting)
		host->conditions |= HOST_OVERLOAD;
}

static void maintenance_step(struct step *step, struct host_track *track,
			     const struct host_load *host)
{
	const struct alarm_subject subject = { .kind = CONDITION_MAINTENANCE,
					       .about = ABOUT_HOST,
					       .id = host->id };
	bool wanted = host->conditions & HOST_MAINTENANCE;

	if (alarm_move(&track->base.alarms[CONDITION_MAINTENANCE],
		       wanted ? VERDICT_BAD : VERDICT_GOOD, step->now_ns, 0, 0))
		alarm_say(step, &track->base.alarms[CONDITION_MAINTENANCE], &subject, "%s: %s",
			  host->name, wanted ? "is to be emptied" : "may be used again");
}

static void host_step(struct step *step, struct host_track *track, struct host_load *host)
{
	struct host_bounds bounds = bounds_of(step, host);

	failure_step(step, track, host, &bounds);
	unreachable_step(step, track, host, &bounds);
	maintenance_step(step, track, host);
	stale_step(step, track, host, &bounds);
	if (!absurd_step(step, track, host)) {
		alarm_pause(&track->base.alarms[CONDITION_OVERLOAD]);
		if (track->base.alarms[CONDITION_OVERLOAD].raised)
			host->conditions |= HOST_OVERLOAD;
		return;
	}
	host_smooth(step, track, host, &bounds);
	overload_step(step, track, host, &bounds);
}

void hosts_step(struct step *step)
{
	struct loads *loads = step->loads;
	size_t silent = 0;

	for (size_t i = 0; i < loads->hosts_n; i++) {
		struct host_load *host = &loads->hosts[i];
		struct host_track *track;
		struct host_bounds bounds;

		if (host->id >= FF_HOSTS_MAX || !(track = host_see(step, host)))
			continue;
		bounds = bounds_of(step, host);
		silent += host_is_silent(step, host, &bounds);
		step->analyzer->heard |= host->quality.age_ns != UINT64_MAX;
	}
	step->deaf = loads->hosts_n > 1 && silent == loads->hosts_n && step->analyzer->heard;
	for (size_t i = 0; i < loads->hosts_n; i++) {
		struct host_load *host = &loads->hosts[i];

		if (host->id < FF_HOSTS_MAX && step->analyzer->hosts[host->id])
			host_step(step, step->analyzer->hosts[host->id], host);
	}
}
