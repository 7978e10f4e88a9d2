/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * analyzer.h - turns measured loads into conditions (the paper's data analyzer).
 *
 * Pure: loads and policies in, conditions out; time is loads.now_ns. No clock, no I/O, no globals.
 * It remembers earlier loads, so it is stepped with each new sample, or more often.
 *
 * Which conditions there are:
 *
 *			service	instance host	raised when
 *	overload	x	x	x	utilisation above `up`, or forecast to be; SLA broken; host
 *						short of CPU, or waiting (pressure)
 *	underload	x	x		below `down`, and one instance less stays below `target`
 *	imbalance	x			the busiest is far above the mean
 *	capacity	x	x		state tables fill up, or are forecast to
 *	failure			x	x	gone, or found dead
 *	maintenance		x	x	an operator wants it empty
 *	unprotected	x			owners without a standby whose copy is whole
 *	stale			x	x	no data, or old data
 *	absurd		x	x	x	data that can't be true; ignored
 *	flapping			x	failed and came back again and again
 *	clock					our clock jumped, or nobody is heard: nothing is judged
 *
 * Against flapping: rates are smoothed (a moving average in time, so that irregular samples count
 * by the time between them); a single wild sample counts for nothing; each condition begins above
 * one bound and ends below another; it must last before it counts and must be over before it ends
 * (policy: stability). Underload moreover waits for `hold_ms` after the number of instances changed,
 * for an instance older than `lifetime_ms`, and is not raised when what remains would have been above
 * target at any moment of the last `lifetime_ms`; and when a scale-in was regretted all the same,
 * the next one waits twice as long. What is not known is never zero: as long as the figures of a
 * running instance are missing, its service is not underloaded.
 *
 * The forecast is a straight line fitted to the last `forecast_ms`, followed as far into the future,
 * if what happened looks like a line at all, and not like a step. It raises conditions early, never
 * ends one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cleanup.h"
#include "lib/policy.h"
#include "orchestrator/loads.h"

#define CONDITION_WHY_MAX 224

enum condition_kind {
	CONDITION_OVERLOAD,
	CONDITION_UNDERLOAD,
	CONDITION_IMBALANCE,
	CONDITION_CAPACITY,
	CONDITION_FAILURE,
	CONDITION_MAINTENANCE,
	CONDITION_UNPROTECTED, /* no plan mends it: protection.h does, if there is a place */
	CONDITION_STALE,
	CONDITION_ABSURD,
	CONDITION_FLAPPING,
	CONDITION_UNREACHABLE, /* from a steering host: no plan mends it, but none sends more there */
	CONDITION_CLOCK,
	CONDITION_DATABASE, /* what is asked for is refused, and decisions aren't written down */
	CONDITION_KINDS,
};

enum condition_about { ABOUT_SERVICE, ABOUT_INSTANCE, ABOUT_HOST, ABOUT_SITE };

struct condition {
	enum condition_kind kind;
	enum condition_about about;
	uint16_t id;	   /* of the service, instance or host; 0 for the site */
	uint16_t service;  /* of the service or instance; 0: none */
	uint64_t since_ns; /* when it was raised */
	bool forecast;	   /* it is only expected so far */
	double value;	   /* what broke the bound; 0..1 for shares */
	double bound;
	char why[CONDITION_WHY_MAX]; /* for a person: names, figures, bounds; of the raising */
	char name[FF_NAME_MAX];	     /* of what the loads don't name any more; else empty */
};

struct condition_change {
	bool raised; /* else it has ended; then `why` says how */
	struct condition condition;
};

/* Valid until the next call with the same analyzer. */
struct analysis {
	const struct condition *conditions; /* that hold now */
	size_t conditions_n;
	const struct condition_change *changes; /* since the last step: an event each */
	size_t changes_n;
};

struct analyzer;

struct analyzer *analyzer_new(void); /* NULL: no memory */
void analyzer_free(struct analyzer *analyzer);
DEFINE_CLEANUP(struct analyzer *, analyzer_free);

/*
 * Judges @loads and refines it in place, as loads.h says. @policies: by the number of the service;
 * NULL entries have the default policy. HOST_* bits that the gatherer sets (failed, suspect,
 * link down, maintenance) are an input, the others an output: it sets them anew before each step.
 * -EINVAL: a number out of bounds. -ENOMEM: changes may be missing, what holds is not told.
 */
int analyzer_step(struct analyzer *analyzer, struct loads *loads,
		  const struct policy *const policies[FF_SERVICES_MAX], struct analysis *ret);

/*
 * What holds for a service, its instances and the hosts that they are on: bits 1u << kind. With
 * overload or capacity a plan should relieve, with underload it may shrink, with imbalance balance.
 */
uint32_t analyzer_service_conditions(const struct analyzer *analyzer, uint16_t service);

const char *condition_kind_name(enum condition_kind kind);
const char *condition_about_name(enum condition_about about);
