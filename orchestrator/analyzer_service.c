/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * analyzer_service.c - a service as a whole: its demand against what its instances can do.
 *
 * Demand is counted in instances: 1.3 is what 1.3 fully used ones process. It doesn't change when
 * flows move or instances come and go, so its series and its trend go on over any plan; the mean
 * utilisation is demand through members, and falls the moment that another instance is started.
 * While a figure of an instance in use is missing, the demand is not known, and nothing is judged.
 *
 * Loads that swing: an instance isn't retired that the highest demand of the last `lifetime_ms`
 * would need. And a scale-in that was regretted, because a scale-out followed soon, doubles the
 * time that the next one has to wait after any change (`hold_ms`); one that wasn't halves it. So a
 * swing of whatever period is followed a few times, then ever more rarely.
 */
#include <math.h>
#include <stdio.h>

#include "lib/clock.h"
#include "orchestrator/analyzer_internal.h"

/* What a service's instances add up to, in this step. */
struct sum {
	bool known;	/* figures of all that are in use */
	bool settled;	/* and of what they own now */
	size_t members; /* run or start */
	size_t running;
	size_t leaving;	    /* are being emptied */
	double demand;	    /* not smoothed */
	double known_as;    /* the same by packets/s as they are told on, which are smoothed */
	double flows, room; /* state tables; smoothed */
	uint64_t sample_ns; /* of the newest sample */
	uint64_t oldest_ms; /* age of the oldest that runs */
	const struct instance_load *busiest, *idlest;
	double mean; /* utilisation of those that run */
};

struct view {
	struct step *step;
	struct service_track *track;
	const struct service_load *load;
	const struct policy *policy;
	struct sum sum;
};

static struct alarm_subject subject_of(const struct view *view, enum condition_kind kind)
{
	return (struct alarm_subject){ .kind = kind,
				       .about = ABOUT_SERVICE,
				       .id = view->load->id,
				       .service = view->load->id };
}

/* ---- adding up ----------------------------------------------------------------------------- */

static double weight_of(const struct instance_load *instance)
{
	if (instance->capacity_pps > 0)
		return instance->capacity_pps;
	return instance->ns_per_packet > 0 ? 1e9 / instance->ns_per_packet : 0;
}

/* What one instance of mean capacity processes; 0: not known of all, then all count the same. */
static double weight_mean(const struct view *view)
{
	double sum = 0;
	size_t n = 0;

	for (size_t i = 0; i < view->load->instances_n; i++) {
		const struct instance_load *instance = &view->load->instances[i];

		if (instance->state != INSTANCE_RUNNING)
			continue;
		if (weight_of(instance) <= 0)
			return 0;
		sum += weight_of(instance);
		n++;
	}
	return n ? sum / (double)n : 0;
}

static uint64_t age_ms(const struct view *view, const struct instance_load *instance,
		       const struct instance_track *track)
{
	if (instance->age_ms != UINT64_MAX)
		return instance->age_ms;
	return (view->step->now_ns - track->base.first_ns) / NSEC_PER_MSEC;
}

static void running_add(struct view *view, const struct instance_load *instance,
			const struct instance_track *track)
{
	struct sum *sum = &view->sum;

	sum->running++;
	sum->settled &= track->settled;
	sum->oldest_ms = MAX(sum->oldest_ms, age_ms(view, instance, track));
	sum->mean += (instance->utilisation - sum->mean) / (double)sum->running;
	if (!sum->busiest || instance->utilisation > sum->busiest->utilisation)
		sum->busiest = instance;
	if (!sum->idlest || instance->utilisation < sum->idlest->utilisation)
		sum->idlest = instance;
}

static void sum_make(struct view *view)
{
	double mean = weight_mean(view);
	struct sum *sum = &view->sum;

	*sum = (struct sum){ .known = true, .settled = true };
	for (size_t i = 0; i < view->load->instances_n; i++) {
		const struct instance_load *instance = &view->load->instances[i];
		const struct instance_track *track = view->step->analyzer->instances[instance->id];
		enum instance_state state = instance->state;
		double weight;

		sum->members += state == INSTANCE_RUNNING || state == INSTANCE_STARTING;
		sum->leaving += state == INSTANCE_RETIRING || state == INSTANCE_DRAINING;
		if (!track->usable) {
			sum->known &= state == INSTANCE_STARTING; /* which owns nothing yet */
			continue;
		}
		sum->sample_ns = MAX(sum->sample_ns, track->sample_ns);
		weight = mean > 0 ? weight_of(instance) / mean : 1;
		sum->demand += track->current * weight;
		sum->known_as += mean > 0 ? instance->packets_per_s / mean : instance->utilisation;
		if (state == INSTANCE_RUNNING || state == INSTANCE_STARTING)
			sum->room += (double)instance->capacity_flows;
		sum->flows += track->fill.average.level * (double)instance->capacity_flows;
		if (state == INSTANCE_RUNNING)
			running_add(view, instance, track);
	}
}

/* ---- conditions ---------------------------------------------------------------------------- */

static void overload_step(struct view *view, double now, double ahead, double slope)
{
	const struct policy_utilisation *bounds = &view->policy->utilisation;
	const struct policy_stability *stability = &view->policy->stability;
	double up = bounds->up_percent / 100.0, target = bounds->target_percent / 100.0;
	struct alarm_subject subject = subject_of(view, CONDITION_OVERLOAD);
	struct alarm *alarm = &view->track->base.alarms[CONDITION_OVERLOAD];

	subject.forecast = now <= up;
	subject.value = fmax(now, ahead);
	subject.bound = up;
	if (!alarm_move(alarm, verdict_high(subject.value, up, target), view->step->now_ns,
			stability->up_ms, stability->down_ms))
		return;
	if (!alarm->raised)
		alarm_say(view->step, alarm, &subject,
			  "%s: %zu instance%s at %.1f %%, below the target %u %%", view->load->name,
			  view->sum.members, view->sum.members > 1 ? "s" : "", now * 100,
			  bounds->target_percent);
	else if (subject.forecast)
		alarm_say(view->step, alarm, &subject,
			  "%s: %zu instance%s at %.1f %% and rising by %.1f points/s: %.1f %% in "
			  "%.1f s, above %u %%",
			  view->load->name, view->sum.members, view->sum.members > 1 ? "s" : "",
			  now * 100, slope * 100, ahead * 100, stability->forecast_ms / 1e3,
			  bounds->up_percent);
	else
		alarm_say(view->step, alarm, &subject, "%s: %zu instance%s at %.1f %%, above %u %%",
			  view->load->name, view->sum.members, view->sum.members > 1 ? "s" : "",
			  now * 100, bounds->up_percent);
}

/* Notes that instances came or went, and whether the last scale-in was right. */
static void members_count(struct view *view)
{
	const struct policy_stability *stability = &view->policy->stability;
	uint32_t kinds = view->step->analyzer->service_kinds[view->load->id]; /* before */
	struct service_track *track = view->track;
	size_t before = track->members, now = view->sum.members;
	uint64_t soon_ns;

	if (now == before)
		return;
	track->members = now;
	track->changed_ns = view->step->now_ns;
	if (now < before && track->base.alarms[CONDITION_UNDERLOAD].raised) {
		track->shrunk_ns = view->step->now_ns;
	} else if (now > before && track->shrunk_ns && kinds & 1u << CONDITION_OVERLOAD) {
		soon_ns = 2 *
			  (stability->hold_ms * (uint64_t)track->regret + stability->lifetime_ms) *
			  NSEC_PER_MSEC;
		if (view->step->now_ns - track->shrunk_ns < soon_ns)
			track->regret = MIN(2 * track->regret, (unsigned int)ANALYZER_REGRET_MAX);
		else
			track->regret = MAX(track->regret / 2, 1u);
		track->shrunk_ns = 0;
	}
}

/* Whether the number of instances may go down by the clock. */
static bool shrink_allowed(const struct view *view)
{
	const struct policy_stability *stability = &view->policy->stability;
	const struct service_track *track = view->track;
	uint64_t known_ns = MAX(track->base.first_ns, view->step->analyzer->resumed_ns);
	uint64_t lifetime_ns = stability->lifetime_ms * NSEC_PER_MSEC;
	uint64_t hold_ns = stability->hold_ms * (uint64_t)track->regret * NSEC_PER_MSEC;

	return view->step->now_ns - track->changed_ns >= hold_ns &&
	       view->step->now_ns - known_ns >= lifetime_ns && !view->sum.leaving &&
	       view->sum.running == view->sum.members &&
	       view->sum.oldest_ms >= stability->lifetime_ms;
}

static void underload_step(struct view *view, double demand, double ahead)
{
	const struct policy *policy = view->policy;
	double down = policy->utilisation.down_percent / 100.0;
	double target = policy->utilisation.target_percent / 100.0;
	size_t members = view->sum.members;
	struct alarm_subject subject = subject_of(view, CONDITION_UNDERLOAD);
	struct alarm *alarm = &view->track->base.alarms[CONDITION_UNDERLOAD];
	double mean = demand / (double)members, rest = INFINITY, most = INFINITY;
	bool allowed = shrink_allowed(view), ended;

	if (members > policy->instances.min) { /* what one instance less would have to do */
		rest = fmax(demand, ahead) / (double)(members - 1);
		most = fmax(rest, peak_value(&view->track->peak) / (double)(members - 1));
	}
	subject.value = mean;
	subject.bound = down;
	if (alarm->raised) {
		ended = rest >= target || mean > (down + target) / 2 || !allowed;
		/* a plan has answered it, or there is nothing left to take away: at once */
		if (alarm_move(alarm, ended ? VERDICT_GOOD : VERDICT_BETWEEN, view->step->now_ns, 0,
			       0))
			alarm_say(view->step, alarm, &subject, "%s: %zu instance%s at %.1f %%",
				  view->load->name, members, members > 1 ? "s" : "", mean * 100);
		return;
	}
	if (alarm_move(alarm, mean < down ? VERDICT_BAD : VERDICT_GOOD, view->step->now_ns,
		       allowed && most < target ? policy->stability.down_ms : UINT32_MAX, 0))
		alarm_say(view->step, alarm, &subject,
			  "%s: %zu instances at %.1f %%, below %u %%; %zu would be at %.1f %% at "
			  "most, below the target %u %%",
			  view->load->name, members, mean * 100, policy->utilisation.down_percent,
			  members - 1, most * 100, policy->utilisation.target_percent);
}

/*
 * Below which it ends: also where no plan would do anything any more, as balancing comes to a quarter of
 * the bound above the mean, and has to better the busiest by so much.
 */
static double imbalance_end(const struct policy *policy)
{
	double bound = policy->utilisation.imbalance_percent / 100.0;

	return fmin(bound, fmax(bound / 2, bound / 4 + policy->moves.gain_percent / 100.0));
}

static void imbalance_step(struct view *view)
{
	const struct policy_utilisation *bounds = &view->policy->utilisation;
	const struct policy_stability *stability = &view->policy->stability;
	struct alarm_subject subject = subject_of(view, CONDITION_IMBALANCE);
	struct alarm *alarm = &view->track->base.alarms[CONDITION_IMBALANCE];
	const struct sum *sum = &view->sum;
	double bound = bounds->imbalance_percent / 100.0, above = 0;

	/* what is far from its bounds may be as uneven as it likes */
	if (sum->running > 1 && sum->busiest->utilisation * 100 > bounds->down_percent)
		above = sum->busiest->utilisation - sum->mean;
	subject.value = above;
	subject.bound = bound;
	if (!alarm_move(alarm, verdict_high(above, bound, imbalance_end(view->policy)),
			view->step->now_ns, stability->up_ms, stability->down_ms))
		return;
	if (alarm->raised)
		alarm_say(view->step, alarm, &subject,
			  "%s: %s at %.1f %%, %.1f points above the mean of %zu (bound %u); %s at "
			  "%.1f %%",
			  view->load->name, sum->busiest->name, sum->busiest->utilisation * 100,
			  above * 100, sum->running, bounds->imbalance_percent, sum->idlest->name,
			  sum->idlest->utilisation * 100);
	else
		alarm_say(view->step, alarm, &subject,
			  "%s: the busiest is %.1f points above the mean", view->load->name,
			  above * 100);
}

static void capacity_step(struct view *view)
{
	const struct policy_capacity *bounds = &view->policy->capacity;
	const struct policy_stability *stability = &view->policy->stability;
	double up = bounds->up_percent / 100.0, target = bounds->target_percent / 100.0;
	struct alarm_subject subject = subject_of(view, CONDITION_CAPACITY);
	struct alarm *alarm = &view->track->base.alarms[CONDITION_CAPACITY];
	double now = view->sum.flows / view->sum.room, ahead = now, slope = 0, dropped;

	series_add(&view->track->fill, view->sum.sample_ns, now, 0, trend_window(view->policy),
		   &dropped);
	series_forecast(&view->track->fill, trend_window(view->policy), stability->forecast_ms,
			&ahead, &slope);
	subject.forecast = now <= up;
	subject.value = fmax(now, ahead);
	subject.bound = up;
	if (alarm_move(alarm, verdict_high(subject.value, up, target), view->step->now_ns,
		       stability->up_ms, stability->down_ms))
		alarm_say(view->step, alarm, &subject,
			  "%s: state tables %.1f %% full (%.0f of %.0f flows), %.1f %% in %.1f s; "
			  "bound %u %%, target %u %%",
			  view->load->name, now * 100, view->sum.flows, view->sum.room, ahead * 100,
			  stability->forecast_ms / 1e3, bounds->up_percent, bounds->target_percent);
}

static void unprotected_step(struct view *view)
{
	const struct policy_stability *stability = &view->policy->stability;
	struct alarm_subject subject = subject_of(view, CONDITION_UNPROTECTED);
	struct alarm *alarm = &view->track->base.alarms[CONDITION_UNPROTECTED];

	subject.value = view->load->unprotected;
	if (!alarm_move(alarm, view->load->unprotected ? VERDICT_BAD : VERDICT_GOOD,
			view->step->now_ns, stability->up_ms, 0))
		return;
	if (alarm->raised)
		alarm_say(view->step, alarm, &subject,
			  "%s: %u of %u owners have no standby whose copy is whole: their state "
			  "would be lost with their host",
			  view->load->name, view->load->unprotected, view->load->owners);
	else
		alarm_say(view->step, alarm, &subject, "%s: all have a standby", view->load->name);
}

/* Below it falls at once, so that of a load that swings it is the lower part, and a burst is none. */
static void recent_add(struct service_track *track, uint64_t at_ns, double demand,
		       uint32_t smooth_ms)
{
	if (at_ns <= track->recent.at_ns)
		return;
	average_add(&track->recent, at_ns, demand, smooth_ms / ANALYZER_RECENT);
	track->recent.level = fmin(track->recent.level, demand);
}

/*
 * For whom plans: the forecast, and before instances go the demand that has been shortly before. What has
 * risen faster than the figures follow, which are smoothed, is planned for as it is by now, or another
 * plan would have to follow; but for no burst while all are below their bounds.
 */
static void growth_set(const struct view *view, struct service_load *service, double demand,
		       double ahead)
{
	const struct sum *sum = &view->sum;
	double up = view->policy->utilisation.up_percent / 100.0;

	if (demand <= 0)
		return;
	if (sum->busiest && sum->busiest->utilisation > up && sum->known_as > 0)
		service->risen = fmax(1, fmin(view->track->recent.level / sum->known_as,
					      ANALYZER_GROWTH_MAX));
	service->growth = fmax(service->risen, fmin(ahead / demand, ANALYZER_GROWTH_MAX));
	if (view->track->base.alarms[CONDITION_UNDERLOAD].raised)
		service->growth = fmax(service->growth, peak_value(&view->track->peak) / demand);
}

void service_step(struct step *step, struct service_track *track, struct service_load *service)
{
	struct view view = { .step = step,
			     .track = track,
			     .load = service,
			     .policy = step_policy(step, service->id) };
	const struct policy_stability *stability = &view.policy->stability;
	double demand, ahead, slope = 0, dropped, members;

	unprotected_step(&view);
	sum_make(&view);
	track->regret = MAX(track->regret, 1u);
	members_count(&view);
	service->growth = service->risen = 0;
	if (!view.sum.known || !view.sum.members || !view.sum.sample_ns) {
		alarm_pause(&track->base.alarms[CONDITION_OVERLOAD]);
		alarm_pause(&track->base.alarms[CONDITION_UNDERLOAD]);
		alarm_pause(&track->base.alarms[CONDITION_IMBALANCE]);
		alarm_pause(&track->base.alarms[CONDITION_CAPACITY]);
		return;
	}
	series_add(&track->demand, view.sum.sample_ns, view.sum.demand, stability->smooth_ms,
		   trend_window(view.policy), &dropped);
	recent_add(track, view.sum.sample_ns, view.sum.demand, stability->smooth_ms);
	demand = ahead = track->demand.average.level;
	series_forecast(&track->demand, trend_window(view.policy), stability->forecast_ms, &ahead,
			&slope);
	peak_add(&track->peak, view.sum.sample_ns, demand, stability->lifetime_ms);
	members = (double)view.sum.members;
	overload_step(&view, demand / members, ahead / members, slope / members);
	underload_step(&view, demand, ahead);
	service->growth = service->risen = 1;
	growth_set(&view, service, demand, ahead);
	if (view.sum.settled)
		imbalance_step(&view);
	else
		alarm_pause(&track->base.alarms[CONDITION_IMBALANCE]);
	if (view.sum.room > 0)
		capacity_step(&view);
}
