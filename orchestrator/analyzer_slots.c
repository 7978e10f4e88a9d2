/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * analyzer_slots.c - what each instance owns: smooths its slots, notices when it gives or gets
 * some, and counts what they add up to.
 *
 * After a move, an average of an instance's load still holds what it owned before. So a sum over
 * its slots, rules and pins tells that they changed, and its figures begin anew; until the windows
 * of the samples lie behind the move it is "unsettled" and raises nothing. A slot's own average goes
 * on: its load doesn't depend on who owns it.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "orchestrator/analyzer_internal.h"

#define SETTLE_GAPS 2.0 /* samples: one is half of before the move, one has been under way */
#define OWNED_RULE  ((uint64_t)1 << 32) /* so that rule 7 isn't slot 7 */
#define OWNED_PIN   ((uint64_t)1 << 33)

static struct instance_track *owner_track(const struct step *step, uint16_t owner)
{
	return owner < FF_INSTANCES_MAX ? step->analyzer->instances[owner] : NULL;
}

/* splitmix64's finalizer: sums of its values over different sets differ */
static uint64_t number_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* An owner's set and its sum. */
static void owned_add(const struct step *step, uint16_t owner, uint64_t what, double packets,
		      bool known)
{
	struct instance_track *track = owner_track(step, owner);

	if (!track)
		return;
	track->owned += number_mix(what);
	track->owned_packets += packets;
	track->owned_known &= known;
}

static uint64_t key_number(const struct ff_flow_key *key)
{
	const unsigned char *bytes = (const unsigned char *)key;
	uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

	for (size_t i = 0; i < sizeof(*key); i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3u;
	return hash | OWNED_PIN;
}

static int slots_resize(struct service_track *track, size_t n)
{
	struct slot_track *slots;

	if (track->slots_n == n)
		return 0;
	slots = reallocarray(track->slots, n, sizeof(*slots));
	if (!slots && n)
		return -ENOMEM;
	track->slots = slots;
	for (size_t i = track->slots_n; i < n; i++)
		track->slots[i] = (struct slot_track){ NAN, NAN, NAN };
	track->slots_n = n;
	return 0;
}

static float figure_smooth(float *level, float value, float weight, bool fresh)
{
	if (fresh)
		*level = isnan(*level) ? value : *level + weight * (value - *level);
	return isnan(*level) ? value : *level;
}

/* Marks what can't be true, and returns how many. */
static size_t slots_check(struct service_load *service)
{
	size_t absurd = 0;

	for (size_t i = 0; i < service->slots_n; i++) {
		struct slot_load *slot = &service->slots[i];

		if (!slot->valid || slot_check(slot))
			continue;
		slot->valid = false;
		absurd++;
	}
	return absurd;
}

static void slots_smooth(const struct step *step, struct service_track *track,
			 struct service_load *service)
{
	uint32_t smooth_ms = step_policy(step, service->id)->stability.smooth_ms;
	uint64_t at_ns = quality_time(step, &service->slots_quality);
	bool fresh = at_ns > track->slots_ns;
	float weight = 1;

	if (track->slots_ns && fresh && smooth_ms)
		weight = (float)-expm1(-(double)(at_ns - track->slots_ns) / (smooth_ms * 1e6));
	for (size_t i = 0; i < service->slots_n; i++) {
		struct slot_load *slot = &service->slots[i];
		struct slot_track *past = &track->slots[i];

		if (!slot->valid)
			continue;
		slot->packets_per_s =
			figure_smooth(&past->packets, slot->packets_per_s, weight, fresh);
		slot->bytes_per_s = figure_smooth(&past->bytes, slot->bytes_per_s, weight, fresh);
		slot->dirty_per_s = figure_smooth(&past->dirty, slot->dirty_per_s, weight, fresh);
	}
	track->slots_ns = MAX(track->slots_ns, at_ns);
}

static void owned_find(const struct step *step, const struct service_load *service)
{
	for (size_t i = 0; i < service->instances_n; i++) {
		struct instance_track *track = owner_track(step, service->instances[i].id);

		if (!track)
			continue;
		track->owned = 0;
		track->owned_packets = 0;
		track->owned_known = service->slots_quality.validity == LOAD_VALID;
	}
	for (size_t i = 0; i < service->slots_n; i++) {
		const struct slot_load *slot = &service->slots[i];

		owned_add(step, slot->owner, i, (double)slot->packets_per_s,
			  slot->valid && !slot->moving);
	}
	for (size_t i = 0; i < service->rules_n; i++) {
		const struct rule_load *rule = &service->rules[i];

		owned_add(step, rule->owner, rule->index | OWNED_RULE, (double)rule->packets_per_s,
			  rule->valid && !rule->moving);
	}
	for (size_t i = 0; i < service->flows_n; i++) {
		const struct flow_load *flow = &service->flows[i];

		if (flow->pinned)
			owned_add(step, flow->owner, key_number(&flow->key),
				  (double)flow->packets_per_s, flow->valid && !flow->moving);
	}
}

static void instance_settle(const struct step *step, const struct instance_load *instance)
{
	struct instance_track *track = owner_track(step, instance->id);
	double gap_ms;

	if (!track || track->owned == track->owned_before)
		return;
	if (track->sample_ns) { /* not when it is seen for the first time */
		gap_ms = SETTLE_GAPS * track->sample_gap_ms;
		track->settle_ns = step->now_ns + (uint64_t)(gap_ms * 1e6);
		series_reset(&track->utilisation);
	}
	track->owned_before = track->owned;
}

static void absurd_step(struct step *step, struct service_track *track,
			const struct service_load *service, size_t absurd)
{
	const struct alarm_subject subject = { .kind = CONDITION_ABSURD,
					       .about = ABOUT_SERVICE,
					       .id = service->id,
					       .service = service->id,
					       .value = (double)absurd };

	if (!alarm_move(&track->base.alarms[CONDITION_ABSURD], absurd ? VERDICT_BAD : VERDICT_GOOD,
			step->now_ns, 0, ANALYZER_CLEAN_MS))
		return;
	if (track->base.alarms[CONDITION_ABSURD].raised)
		alarm_say(step, &track->base.alarms[CONDITION_ABSURD], &subject,
			  "%s: figures of %zu slots can't be true; ignored", service->name, absurd);
	else
		alarm_say(step, &track->base.alarms[CONDITION_ABSURD], &subject,
			  "%s: slots plausible for %d s", service->name, ANALYZER_CLEAN_MS / 1000);
}

void slots_step(struct step *step, struct service_track *track, struct service_load *service)
{
	const struct policy *policy = step_policy(step, service->id);
	struct load_quality *quality = &service->slots_quality;

	if (slots_resize(track, service->slots_n)) {
		step->analyzer->no_memory = true;
		return;
	}
	if (quality->validity == LOAD_VALID && quality_stale(quality, policy->stability.stale_ms))
		quality->validity = LOAD_STALE;
	if (quality->validity == LOAD_VALID)
		absurd_step(step, track, service, slots_check(service));
	owned_find(step, service); /* by counts of one window, like the instances' own */
	if (quality->validity == LOAD_VALID)
		slots_smooth(step, track, service);
	for (size_t i = 0; i < service->instances_n; i++)
		instance_settle(step, &service->instances[i]);
}
