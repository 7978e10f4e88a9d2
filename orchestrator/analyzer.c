/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* analyzer.c - one step over all hosts and services, and what holds after it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "orchestrator/analyzer_internal.h"

#define CONDITIONS_FIRST 64
#define TREND_LEAST_MS	 1000u /* a line through less is drawn by noise */

const char *condition_kind_name(enum condition_kind kind)
{
	static const char *const names[CONDITION_KINDS] = {
		[CONDITION_OVERLOAD] = "overload",	 [CONDITION_UNDERLOAD] = "underload",
		[CONDITION_IMBALANCE] = "imbalance",	 [CONDITION_CAPACITY] = "capacity",
		[CONDITION_FAILURE] = "failure",	 [CONDITION_MAINTENANCE] = "maintenance",
		[CONDITION_UNPROTECTED] = "unprotected", [CONDITION_STALE] = "stale",
		[CONDITION_ABSURD] = "absurd",		 [CONDITION_FLAPPING] = "flapping",
		[CONDITION_UNREACHABLE] = "unreachable", [CONDITION_CLOCK] = "clock",
		[CONDITION_DATABASE] = "database",
	};

	return kind < CONDITION_KINDS ? names[kind] : "?";
}

const char *condition_about_name(enum condition_about about)
{
	static const char *const names[] = {
		[ABOUT_SERVICE] = "service",
		[ABOUT_INSTANCE] = "instance",
		[ABOUT_HOST] = "host",
		[ABOUT_SITE] = "site",
	};

	return about <= ABOUT_SITE ? names[about] : "?";
}

struct analyzer *analyzer_new(void)
{
	struct analyzer *analyzer = calloc(1, sizeof(*analyzer));

	if (analyzer)
		policy_init(&analyzer->policy);
	return analyzer;
}

static void service_track_free(struct service_track *track)
{
	if (track)
		free(track->slots);
	free(track);
}

void analyzer_free(struct analyzer *analyzer)
{
	if (!analyzer)
		return;
	for (size_t i = 0; i < FF_INSTANCES_MAX; i++)
		free(analyzer->instances[i]);
	for (size_t i = 0; i < FF_HOSTS_MAX; i++)
		free(analyzer->hosts[i]);
	for (size_t i = 0; i < FF_SERVICES_MAX; i++)
		service_track_free(analyzer->services[i]);
	free(analyzer->conditions);
	free(analyzer->changes);
	free(analyzer);
}

/* ---- what the parts share ------------------------------------------------------------------ */

const struct policy *step_policy(const struct step *step, uint16_t service)
{
	if (service < FF_SERVICES_MAX && step->policies[service])
		return step->policies[service];
	return &step->analyzer->policy;
}

struct host_load *step_host(const struct step *step, uint16_t id)
{
	for (size_t i = 0; i < step->loads->hosts_n; i++)
		if (step->loads->hosts[i].id == id)
			return &step->loads->hosts[i];
	return NULL;
}

bool quality_stale(const struct load_quality *quality, uint32_t stale_ms)
{
	return quality->validity == LOAD_MISSING || quality->validity == LOAD_STALE ||
	       quality->age_ns > stale_ms * NSEC_PER_MSEC;
}

uint64_t quality_time(const struct step *step, const struct load_quality *quality)
{
	return step->now_ns - MIN(quality->age_ns, step->now_ns);
}

uint32_t trend_window(const struct policy *policy)
{
	return policy->stability.forecast_ms ? MAX(policy->stability.forecast_ms, TREND_LEAST_MS) :
					       0;
}

/* ---- memory of what there is --------------------------------------------------------------- */

/* @track: a pointer to what begins with a struct track. */
static void *track_see(struct step *step, void *track, size_t size, const char *name)
{
	struct track *base = track;

	if (!base) {
		base = calloc(1, size);
		if (!base) {
			step->analyzer->no_memory = true;
			return NULL;
		}
		base->first_ns = step->now_ns;
	}
	base->seen = step->analyzer->steps;
	snprintf(base->name, sizeof(base->name), "%s", name);
	return base;
}

struct host_track *host_see(struct step *step, const struct host_load *host)
{
	struct host_track **track = &step->analyzer->hosts[host->id];

	*track = track_see(step, *track, sizeof(**track), host->name);
	return *track;
}

/* Alarms about something that is gone end with it. */
static void track_end(struct step *step, struct track *track)
{
	for (size_t i = 0; i < CONDITION_KINDS; i++) {
		struct alarm *alarm = &track->alarms[i];
		struct alarm_subject subject = { .kind = alarm->condition.kind,
						 .about = alarm->condition.about,
						 .id = alarm->condition.id,
						 .service = alarm->condition.service,
						 .name = track->name };

		if (!alarm->raised)
			continue;
		alarm->raised = false;
		alarm_say(step, alarm, &subject, "%s is no more", track->name);
	}
}

static bool track_gone(const struct step *step, const struct track *track)
{
	return track && track->seen != step->analyzer->steps;
}

/* What the loads don't name any more is forgotten: its number may be given to another. */
static void gone_forget(struct step *step)
{
	struct analyzer *analyzer = step->analyzer;

	for (size_t i = 0; i < FF_INSTANCES_MAX; i++) {
		if (!track_gone(step, (struct track *)analyzer->instances[i]))
			continue;
		track_end(step, &analyzer->instances[i]->base);
		free(analyzer->instances[i]);
		analyzer->instances[i] = NULL;
	}
	for (size_t i = 0; i < FF_HOSTS_MAX; i++) {
		if (!track_gone(step, (struct track *)analyzer->hosts[i]))
			continue;
		track_end(step, &analyzer->hosts[i]->base);
		free(analyzer->hosts[i]);
		analyzer->hosts[i] = NULL;
	}
	for (size_t i = 0; i < FF_SERVICES_MAX; i++) {
		if (!track_gone(step, (struct track *)analyzer->services[i]))
			continue;
		track_end(step, &analyzer->services[i]->base);
		service_track_free(analyzer->services[i]);
		analyzer->services[i] = NULL;
	}
}

/* ---- the clock ----------------------------------------------------------------------------- */

/* Nothing that was pending has lasted, and no average is of now. Conditions that hold, hold on. */
static void track_restart(const struct step *step, struct track *track)
{
	for (size_t i = 0; i < CONDITION_KINDS; i++) {
		alarm_pause(&track->alarms[i]);
		if (track->alarms[i].condition.since_ns > step->now_ns)
			track->alarms[i].condition.since_ns = step->now_ns;
	}
	track->first_ns = MIN(track->first_ns, step->now_ns);
}

static void all_restart(struct step *step)
{
	struct analyzer *analyzer = step->analyzer;

	for (size_t i = 0; i < FF_INSTANCES_MAX; i++) {
		struct instance_track *old = analyzer->instances[i];

		if (!old)
			continue;
		track_restart(step, &old->base);
		*old = (struct instance_track){ .base = old->base,
						.owned_before = old->owned_before };
	}
	for (size_t i = 0; i < FF_HOSTS_MAX; i++) {
		struct host_track *old = analyzer->hosts[i];

		if (!old)
			continue;
		track_restart(step, &old->base);
		*old = (struct host_track){ .base = old->base };
	}
	for (size_t i = 0; i < FF_SERVICES_MAX; i++) {
		struct service_track *old = analyzer->services[i];

		if (!old)
			continue;
		track_restart(step, &old->base);
		*old = (struct service_track){ .base = old->base,
					       .slots = old->slots,
					       .slots_n = old->slots_n,
					       .members = old->members,
					       .regret = old->regret,
					       .changed_ns = step->now_ns };
	}
	track_restart(step, &analyzer->site);
	analyzer->resumed_ns = step->now_ns;
}

/* Steps that come late, or from the past, say nothing about how long things have lasted. */
static bool clock_jumped(struct step *step, double *ret_off_ms)
{
	uint64_t before_ns = step->analyzer->now_ns;

	*ret_off_ms = ((double)step->now_ns - (double)before_ns) / 1e6;
	return before_ns && (*ret_off_ms < 0 || *ret_off_ms > ANALYZER_GAP_MS);
}

static void clock_step(struct step *step, bool jumped, double off_ms)
{
	const struct alarm_subject subject = { .kind = CONDITION_CLOCK,
					       .about = ABOUT_SITE,
					       .value = off_ms,
					       .bound = ANALYZER_GAP_MS };
	struct alarm *alarm = &step->analyzer->site.alarms[CONDITION_CLOCK];

	if (!alarm_move(alarm, jumped || step->deaf ? VERDICT_BAD : VERDICT_GOOD, step->now_ns, 0,
			ANALYZER_GAP_MS))
		return;
	if (!alarm->raised)
		alarm_say(step, alarm, &subject, "the clock is steady and hosts are heard");
	else if (jumped)
		alarm_say(step, alarm, &subject,
			  "the clock went %.1f s between two samples; durations begin anew",
			  off_ms / 1e3);
	else
		alarm_say(
			step, alarm, &subject,
			"no host is heard: the orchestrator is cut off, so none counts as failed");
}

/* Each event tries it anew, this one too; so it is known soon when it works again. */
static void database_step(struct step *step)
{
	const struct alarm_subject subject = { .kind = CONDITION_DATABASE, .about = ABOUT_SITE };
	struct alarm *alarm = &step->analyzer->site.alarms[CONDITION_DATABASE];
	const char *why = step->loads->database;

	if (!alarm_move(alarm, *why ? VERDICT_BAD : VERDICT_GOOD, step->now_ns, 0, ANALYZER_GAP_MS))
		return;
	if (alarm->raised)
		alarm_say(step, alarm, &subject, "the orchestrator's database can't be written: %s",
			  why);
	else
		alarm_say(step, alarm, &subject, "the database can be written again");
}

/* ---- a step -------------------------------------------------------------------------------- */

static void service_go(struct step *step, struct service_load *service)
{
	struct analyzer *analyzer = step->analyzer;
	struct service_track **track = &analyzer->services[service->id];
	size_t n = 0;

	*track = track_see(step, *track, sizeof(**track), service->name);
	for (size_t i = 0; i < service->instances_n; i++) {
		uint16_t id = service->instances[i].id;
		struct instance_track **instance = &analyzer->instances[id];

		*instance =
			track_see(step, *instance, sizeof(**instance), service->instances[i].name);
		n += *instance != NULL;
	}
	if (!*track || n != service->instances_n)
		return;
	slots_step(step, *track, service);
	for (size_t i = 0; i < service->instances_n; i++)
		instance_step(step, service, &service->instances[i]);
	service_step(step, *track, service);
}

static uint32_t track_kinds(const struct track *track)
{
	uint32_t kinds = 0;

	for (unsigned int i = 0; i < CONDITION_KINDS; i++)
		if (track->alarms[i].raised)
			kinds |= 1u << i;
	return kinds;
}

static void track_collect(struct step *step, const struct track *track)
{
	struct analyzer *analyzer = step->analyzer;

	for (size_t i = 0; i < CONDITION_KINDS; i++) {
		if (!track->alarms[i].raised)
			continue;
		if (analyzer->conditions_n == analyzer->conditions_size) {
			size_t size = MAX(2 * analyzer->conditions_size, (size_t)CONDITIONS_FIRST);
			void *grown = reallocarray(analyzer->conditions, size,
						   sizeof(*analyzer->conditions));

			if (!grown) {
				analyzer->no_memory = true;
				return;
			}
			analyzer->conditions = grown;
			analyzer->conditions_size = size;
		}
		analyzer->conditions[analyzer->conditions_n++] = track->alarms[i].condition;
	}
}

static void service_collect(struct step *step, const struct service_load *service)
{
	struct analyzer *analyzer = step->analyzer;
	struct track *track = &analyzer->services[service->id]->base;
	uint32_t kinds = track_kinds(track);

	track_collect(step, track);
	for (size_t i = 0; i < service->instances_n; i++) {
		uint16_t id = service->instances[i].id, host = service->instances[i].host;

		track = &analyzer->instances[id]->base;
		track_collect(step, track);
		kinds |= track_kinds(track);
		if (host < FF_HOSTS_MAX && analyzer->hosts[host])
			kinds |= track_kinds(&analyzer->hosts[host]->base);
	}
	analyzer->service_kinds[service->id] = kinds & ~(1u << CONDITION_UNPROTECTED);
}

static void conditions_collect(struct step *step)
{
	struct analyzer *analyzer = step->analyzer;

	analyzer->conditions_n = 0;
	memset(analyzer->service_kinds, 0, sizeof(analyzer->service_kinds));
	track_collect(step, &analyzer->site);
	for (size_t i = 0; i < step->loads->hosts_n; i++)
		track_collect(step, &analyzer->hosts[step->loads->hosts[i].id]->base);
	for (size_t i = 0; i < step->loads->services_n; i++)
		service_collect(step, &step->loads->services[i]);
}

/* Numbers index arrays here. */
static int numbers_check(const struct loads *loads)
{
	for (size_t i = 0; i < loads->hosts_n; i++)
		if (loads->hosts[i].id >= FF_HOSTS_MAX)
			return -EINVAL;
	for (size_t i = 0; i < loads->services_n; i++) {
		const struct service_load *service = &loads->services[i];

		if (service->id >= FF_SERVICES_MAX)
			return -EINVAL;
		for (size_t j = 0; j < service->instances_n; j++)
			if (service->instances[j].id >= FF_INSTANCES_MAX)
				return -EINVAL;
	}
	return 0;
}

int analyzer_step(struct analyzer *analyzer, struct loads *loads,
		  const struct policy *const policies[FF_SERVICES_MAX], struct analysis *ret)
{
	struct step step = {
		.analyzer = analyzer,
		.loads = loads,
		.policies = policies,
		.now_ns = loads->now_ns,
	};
	double off_ms;
	bool jumped;
	int r;

	r = numbers_check(loads);
	if (r < 0)
		return r;
	analyzer->changes_n = 0;
	analyzer->no_memory = false;
	analyzer->steps++;
	jumped = clock_jumped(&step, &off_ms);
	if (jumped || !analyzer->now_ns)
		all_restart(&step);
	analyzer->now_ns = step.now_ns;
	hosts_step(&step);
	clock_step(&step, jumped, off_ms);
	database_step(&step);
	for (size_t i = 0; i < loads->services_n; i++)
		service_go(&step, &loads->services[i]);
	gone_forget(&step);
	if (analyzer->no_memory)
		return -ENOMEM;
	conditions_collect(&step);
	*ret = (struct analysis){
		.conditions = analyzer->conditions,
		.conditions_n = analyzer->conditions_n,
		.changes = analyzer->changes,
		.changes_n = analyzer->changes_n,
	};
	return analyzer->no_memory ? -ENOMEM : 0;
}

uint32_t analyzer_service_conditions(const struct analyzer *analyzer, uint16_t service)
{
	return service < FF_SERVICES_MAX ? analyzer->service_kinds[service] : 0;
}
