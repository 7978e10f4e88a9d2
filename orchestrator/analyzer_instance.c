/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * analyzer_instance.c - one instance: are its figures fresh and plausible, then what they say about
 * it.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "orchestrator/analyzer_internal.h"

#define OUTLIER_MOST 1.5 /* utilisation: a single sample above is a wrong one, not a burst */
#define SLA_EASE     0.8 /* of an SLA's bound: below it, its breach has ended */
#define PPM	     1e6

/* What all steps about one instance need. */
struct view {
	struct step *step;
	struct instance_track *track;
	struct instance_load *load;
	const struct service_load *service;
	const struct policy *policy;
	struct host_load *host; /* NULL: not known */
};

static struct alarm_subject subject_of(const struct view *view, enum condition_kind kind)
{
	return (struct alarm_subject){ .kind = kind,
				       .about = ABOUT_INSTANCE,
				       .id = view->load->id,
				       .service = view->service->id };
}

/* ---- is there data? ------------------------------------------------------------------------ */

static void failure_step(struct view *view)
{
	struct alarm_subject subject = subject_of(view, CONDITION_FAILURE);
	bool host_failed = view->host && view->host->conditions & HOST_FAILED;
	bool failed = view->load->state == INSTANCE_FAILED || host_failed;

	if (host_failed)
		view->load->state = INSTANCE_FAILED;
	if (!alarm_move(&view->track->base.alarms[CONDITION_FAILURE],
			failed ? VERDICT_BAD : VERDICT_GOOD, view->step->now_ns, 0, 0))
		return;
	if (!failed)
		alarm_say(view->step, &view->track->base.alarms[CONDITION_FAILURE], &subject,
			  "%s: runs again", view->load->name);
	else if (host_failed)
		alarm_say(view->step, &view->track->base.alarms[CONDITION_FAILURE], &subject,
			  "%s: its host %s has failed", view->load->name, view->host->name);
	else
		alarm_say(view->step, &view->track->base.alarms[CONDITION_FAILURE], &subject,
			  "%s: its program or namespace is gone", view->load->name);
}

static void maintenance_step(struct view *view)
{
	struct alarm_subject subject = subject_of(view, CONDITION_MAINTENANCE);
	bool wanted = view->load->state == INSTANCE_DRAINING;

	if (alarm_move(&view->track->base.alarms[CONDITION_MAINTENANCE],
		       wanted ? VERDICT_BAD : VERDICT_GOOD, view->step->now_ns, 0, 0))
		alarm_say(view->step, &view->track->base.alarms[CONDITION_MAINTENANCE], &subject,
			  "%s: %s", view->load->name,
			  wanted ? "is to be emptied" : "may be used again");
}

/* Instances that must have figures, on hosts that have. */
static bool figures_expected(const struct view *view)
{
	return (view->load->state == INSTANCE_RUNNING || view->load->state == INSTANCE_RETIRING ||
		view->load->state == INSTANCE_DRAINING) &&
	       (!view->host || view->host->quality.validity == LOAD_VALID);
}

static void stale_step(struct view *view)
{
	struct alarm_subject subject = subject_of(view, CONDITION_STALE);
	struct load_quality *quality = &view->load->quality;
	uint32_t stale_ms = view->policy->stability.stale_ms;
	bool stale = quality_stale(quality, stale_ms), never = quality->age_ns == UINT64_MAX;
	struct alarm *alarm = &view->track->base.alarms[CONDITION_STALE];

	if (stale && quality->validity == LOAD_VALID)
		quality->validity = LOAD_STALE;
	subject.value = (double)quality->age_ns / 1e6;
	subject.bound = stale_ms;
	if (!alarm_move(alarm, stale && figures_expected(view) ? VERDICT_BAD : VERDICT_GOOD,
			view->step->now_ns, never ? stale_ms : 0, 2ull * stale_ms))
		return;
	if (!alarm->raised)
		alarm_say(view->step, alarm, &subject, "%s: data comes again", view->load->name);
	else if (never)
		alarm_say(view->step, alarm, &subject, "%s: no data yet", view->load->name);
	else
		alarm_say(view->step, alarm, &subject,
			  "%s: newest data is %.0f ms old (bound %u ms)", view->load->name,
			  subject.value, stale_ms);
}

/* ---- may it be true? ----------------------------------------------------------------------- */

static void absurd_say(struct view *view, enum verdict verdict, const char *why)
{
	struct alarm_subject subject = subject_of(view, CONDITION_ABSURD);
	struct alarm *alarm = &view->track->base.alarms[CONDITION_ABSURD];

	if (!alarm_move(alarm, verdict, view->step->now_ns, 0, ANALYZER_CLEAN_MS))
		return;
	if (alarm->raised)
		alarm_say(view->step, alarm, &subject, "%s; ignored", why);
	else
		alarm_say(view->step, alarm, &subject, "%s: plausible for %d s", view->load->name,
			  ANALYZER_CLEAN_MS / 1000);
}

/*
 * An instance's own count against that of what it owns. Only when all of that is known and nothing
 * moves; it must differ for longer than two windows can.
 */
static bool counts_differ(struct view *view, char why[CONDITION_WHY_MAX])
{
	struct instance_track *track = view->track;
	double says = view->load->packets_per_s, owned = track->owned_packets;
	double high = fmax(says, owned), low = fmin(says, owned);

	if (!track->owned_known || view->step->now_ns <= track->settle_ns ||
	    high < ANALYZER_MISMATCH_LEAST || high < low * ANALYZER_MISMATCH_TIMES) {
		track->mismatch_ns = 0;
		return false;
	}
	if (!track->mismatch_ns)
		track->mismatch_ns = view->step->now_ns;
	if (view->step->now_ns - track->mismatch_ns < ANALYZER_MISMATCH_MS * NSEC_PER_MSEC)
		return false;
	snprintf(why, CONDITION_WHY_MAX, "%s: says %.0f packets/s, but what it owns makes %.0f",
		 view->load->name, says, owned);
	return true;
}

/* True: its figures may be used. */
static bool absurd_step(struct view *view)
{
	struct load_quality *quality = &view->load->quality;
	char why[CONDITION_WHY_MAX] = "";

	if (quality->validity == LOAD_ABSURD)
		snprintf(why, sizeof(why), "%s: figures that can't be true", view->load->name);
	else if (quality->validity != LOAD_VALID)
		absurd_say(view, VERDICT_BETWEEN, why);
	else if (instance_check(view->load, view->host, why) || counts_differ(view, why))
		quality->validity = LOAD_ABSURD;
	if (quality->validity == LOAD_ABSURD)
		absurd_say(view, VERDICT_BAD, why);
	return quality->validity == LOAD_VALID;
}

/* ---- smoothing ----------------------------------------------------------------------------- */

static void figure_smooth(struct average *average, uint64_t at_ns, uint32_t smooth_ms,
			  double *value)
{
	if (at_ns > average->at_ns)
		average_add(average, at_ns, *value, smooth_ms);
	*value = average->level;
}

static double fill_of(const struct instance_load *load)
{
	return load->capacity_flows ? load->flows / (double)load->capacity_flows : 0;
}

static void utilisation_smooth(struct view *view, uint64_t at_ns)
{
	struct instance_track *track = view->track;
	enum series_fate fate;
	double dropped;
	char why[CONDITION_WHY_MAX];

	track->settled = at_ns > track->settle_ns;
	if (!track->settled) { /* the figure as it is: the best there is */
		track->current = view->load->utilisation;
		return;
	}
	fate = series_add(&track->utilisation, at_ns, view->load->utilisation,
			  view->policy->stability.smooth_ms, trend_window(view->policy), &dropped);
	if (fate == SERIES_OUTLIER && dropped > OUTLIER_MOST) {
		snprintf(why, sizeof(why),
			 "%s: utilisation %.1f %% for one sample, between %.1f %%",
			 view->load->name, dropped * 100, view->load->utilisation * 100);
		absurd_say(view, VERDICT_BAD, why);
	} else if (fate != SERIES_OLD) {
		absurd_say(view, VERDICT_GOOD, "");
	}
	if (fate == SERIES_TAKEN || fate == SERIES_OUTLIER)
		track->current = view->load->utilisation;
	view->load->utilisation = track->utilisation.average.level;
}

static void figures_smooth(struct view *view)
{
	uint64_t at_ns = quality_time(view->step, &view->load->quality);
	uint32_t smooth_ms = view->policy->stability.smooth_ms;
	struct instance_track *track = view->track;
	struct instance_load *load = view->load;
	double dropped;

	if (at_ns > track->sample_ns) {
		double gap_ms = (double)(at_ns - track->sample_ns) / 1e6;

		if (track->sample_ns && gap_ms < view->policy->stability.stale_ms)
			track->sample_gap_ms += (gap_ms - track->sample_gap_ms) /
						(track->sample_gap_ms > 0 ? 8 : 1);
		track->sample_ns = at_ns;
	}
	utilisation_smooth(view, at_ns);
	series_add(&track->fill, at_ns, fill_of(load), smooth_ms, trend_window(view->policy),
		   &dropped);
	figure_smooth(&track->packets, at_ns, smooth_ms, &load->packets_per_s);
	figure_smooth(&track->bytes, at_ns, smooth_ms, &load->bytes_per_s);
	figure_smooth(&track->new_flows, at_ns, smooth_ms, &load->new_flows_per_s);
	figure_smooth(&track->expired, at_ns, smooth_ms, &load->expired_flows_per_s);
	figure_smooth(&track->drops, at_ns, smooth_ms, &load->drops_per_s);
	figure_smooth(&track->ns, at_ns, smooth_ms, &load->ns_per_packet);
}

/* ---- conditions ---------------------------------------------------------------------------- */

/* The SLA's bound that is broken, in words; "" for none. *ret_easy: all are kept with a margin. */
static void sla_judge(const struct view *view, char text[CONDITION_WHY_MAX], bool *ret_easy)
{
	const struct instance_load *load = view->load;
	double latency_us = load->ns_per_packet / 1e3, drop_ppm = 0;
	uint32_t latency_bound = view->policy->sla.latency_us;
	uint32_t drop_bound = view->policy->sla.drop_ppm;

	if (load->packets_per_s + load->drops_per_s > 0)
		drop_ppm = load->drops_per_s / (load->packets_per_s + load->drops_per_s) * PPM;
	text[0] = '\0';
	*ret_easy = (!latency_bound || latency_us < latency_bound * SLA_EASE) &&
		    (!drop_bound || drop_ppm < drop_bound * SLA_EASE);
	if (latency_bound && latency_us > latency_bound)
		snprintf(text, CONDITION_WHY_MAX, "%.1f us a packet (SLA %u us)", latency_us,
			 latency_bound);
	else if (drop_bound && drop_ppm > drop_bound)
		snprintf(text, CONDITION_WHY_MAX, "%.0f of a million packets dropped (SLA %u)",
			 drop_ppm, drop_bound);
}

static void overload_step(struct view *view)
{
	const struct policy_utilisation *bounds = &view->policy->utilisation;
	const struct policy_stability *stability = &view->policy->stability;
	double up = bounds->up_percent / 100.0, target = bounds->target_percent / 100.0;
	double now = view->load->utilisation, ahead = now, slope = 0;
	struct alarm_subject subject = subject_of(view, CONDITION_OVERLOAD);
	struct alarm *alarm = &view->track->base.alarms[CONDITION_OVERLOAD];
	char sla[CONDITION_WHY_MAX];
	enum verdict verdict;
	bool easy;

	series_forecast(&view->track->utilisation, trend_window(view->policy),
			stability->forecast_ms, &ahead, &slope);
	sla_judge(view, sla, &easy);
	verdict = verdict_high(fmax(now, ahead), up, target);
	if (sla[0])
		verdict = VERDICT_BAD;
	else if (verdict == VERDICT_GOOD && !easy)
		verdict = VERDICT_BETWEEN;
	subject.forecast = now <= up && !sla[0];
	subject.value = subject.forecast ? ahead : now;
	subject.bound = up;
	if (!alarm_move(alarm, verdict, view->step->now_ns, stability->up_ms, stability->down_ms))
		return;
	if (!alarm->raised)
		alarm_say(view->step, alarm, &subject,
			  "%s: utilisation %.1f %%, below the target %u %%", view->load->name,
			  now * 100, bounds->target_percent);
	else if (sla[0])
		alarm_say(view->step, alarm, &subject, "%s: %s, at utilisation %.1f %%",
			  view->load->name, sla, now * 100);
	else if (subject.forecast)
		alarm_say(view->step, alarm, &subject,
			  "%s: utilisation %.1f %% and rising by %.1f points/s: %.1f %% in %.1f s, "
			  "above %u %%",
			  view->load->name, now * 100, slope * 100, ahead * 100,
			  stability->forecast_ms / 1e3, bounds->up_percent);
	else
		alarm_say(view->step, alarm, &subject, "%s: utilisation %.1f %% above %u %%",
			  view->load->name, now * 100, bounds->up_percent);
}

static void underload_step(struct view *view)
{
	const struct policy *policy = view->policy;
	double down = policy->utilisation.down_percent / 100.0;
	double target = policy->utilisation.target_percent / 100.0;
	double now = view->load->utilisation, high;
	struct alarm_subject subject = subject_of(view, CONDITION_UNDERLOAD);
	struct alarm *alarm = &view->track->base.alarms[CONDITION_UNDERLOAD];
	bool spare = view->load->state == INSTANCE_RUNNING &&
		     view->service->instances_n > policy->instances.min;

	peak_add(&view->track->peak, view->track->sample_ns, now, policy->stability.lifetime_ms);
	high = peak_value(&view->track->peak);
	subject.value = now;
	subject.bound = down;
	if (alarm_move(alarm,
		       spare ? verdict_high(-high, -down, -(down + target) / 2) : VERDICT_GOOD,
		       view->step->now_ns, policy->stability.down_ms, policy->stability.up_ms))
		alarm_say(view->step, alarm, &subject, "%s: utilisation %.1f %%, bound %u %%",
			  view->load->name, now * 100, policy->utilisation.down_percent);
}

static void capacity_step(struct view *view)
{
	const struct policy_capacity *bounds = &view->policy->capacity;
	const struct policy_stability *stability = &view->policy->stability;
	double up = bounds->up_percent / 100.0, target = bounds->target_percent / 100.0;
	double now = view->track->fill.average.level, ahead = now, slope = 0;
	struct alarm_subject subject = subject_of(view, CONDITION_CAPACITY);
	struct alarm *alarm = &view->track->base.alarms[CONDITION_CAPACITY];

	series_forecast(&view->track->fill, trend_window(view->policy), stability->forecast_ms,
			&ahead, &slope);
	subject.forecast = now <= up;
	subject.value = fmax(now, ahead);
	subject.bound = up;
	if (!alarm_move(alarm, verdict_high(subject.value, up, target), view->step->now_ns,
			stability->up_ms, stability->down_ms))
		return;
	if (!alarm->raised)
		alarm_say(view->step, alarm, &subject,
			  "%s: state table %.1f %% full, below the target %u %%", view->load->name,
			  now * 100, bounds->target_percent);
	else if (subject.forecast)
		alarm_say(view->step, alarm, &subject,
			  "%s: state table %.1f %% full, %.1f %% in %.1f s, above %u %%",
			  view->load->name, now * 100, ahead * 100, stability->forecast_ms / 1e3,
			  bounds->up_percent);
	else
		alarm_say(view->step, alarm, &subject,
			  "%s: state table %.1f %% full (%.0f of %llu flows), above %u %%",
			  view->load->name, now * 100, view->load->flows,
			  (unsigned long long)view->load->capacity_flows, bounds->up_percent);
}

void instance_step(struct step *step, const struct service_load *service,
		   struct instance_load *instance)
{
	struct view view = {
		.step = step,
		.track = step->analyzer->instances[instance->id],
		.load = instance,
		.service = service,
		.policy = step_policy(step, service->id),
		.host = step_host(step, instance->host),
	};
	struct instance_track *track = view.track;

	failure_step(&view);
	maintenance_step(&view);
	stale_step(&view);
	track->usable = absurd_step(&view) && instance->state != INSTANCE_FAILED;
	if (track->usable)
		figures_smooth(&view);
	if (track->usable && track->settled) {
		overload_step(&view);
		underload_step(&view);
	} else {
		alarm_pause(&track->base.alarms[CONDITION_OVERLOAD]);
		alarm_pause(&track->base.alarms[CONDITION_UNDERLOAD]);
	}
	if (track->usable)
		capacity_step(&view);
	else
		alarm_pause(&track->base.alarms[CONDITION_CAPACITY]);
}
