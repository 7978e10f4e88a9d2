/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * analyzer_internal.h - what the analyzer remembers of each service, instance and host, and the
 * parts that it is made of.
 *
 * A step goes once over the hosts, then over each service: its slots (smoothing, and which
 * instances gave or got some), its instances, the service as a whole. Each figure first has to be
 * plausible (analyzer_check.c), then enters its series, whose average is held against the policy's
 * bounds by an alarm (analyzer_alarm.c).
 */
#pragma once

#include <stdarg.h>

#include "orchestrator/analyzer.h"
#include "orchestrator/analyzer_series.h"

#define ANALYZER_GAP_MS		5000 /* without a step: we were stopped; nothing can be told from it */
#define ANALYZER_CLEAN_MS	10000  /* good data for so long, and absurd data is forgiven */
#define ANALYZER_MISMATCH_LEAST 1000.0 /* packets/s; below, windows differ by more than they hold */
#define ANALYZER_MISMATCH_TIMES 2.0    /* between an instance's count and that of what it owns */
#define ANALYZER_MISMATCH_MS	1000 /* two counts of one thing may differ so long: other windows */
#define ANALYZER_FLAPS		3    /* failures within .. */
#define ANALYZER_FLAPS_MS	60000 /* .. this make a host suspect, until it was well for as long, */
#define ANALYZER_FLAPS_DOUBLED	5u    /* twice as long each time that it begins anew, so often */
#define ANALYZER_REGRET_MAX	32    /* times hold_ms: a scale-in every 5 minutes by default */
#define ANALYZER_GROWTH_MAX	4.0 /* a forecast never multiplies the load by more */
#define ANALYZER_RECENT		4u /* part of smooth_ms: one burst among samples still counts little */

/*
 * One condition of one subject. Where a condition has two causes with bounds of their own (an SLA
 * besides a utilisation), the caller joins them before: it is one state of one thing.
 */
struct alarm {
	bool raised;
	uint64_t pending_ns; /* since when the other state has been seen; 0: it isn't */
	struct condition condition;
};

/* What a sample says about an alarm. Neither: between the bounds, all stays as it is. */
enum verdict { VERDICT_BETWEEN, VERDICT_BAD, VERDICT_GOOD };

/* What is remembered of anything that conditions are about. */
struct track {
	uint64_t first_ns; /* when it was named first */
	uint64_t seen;	   /* the last step that named it */
	char name[FF_NAME_MAX];
	struct alarm alarms[CONDITION_KINDS];
};

struct instance_track {
	struct track base;
	uint64_t owned, owned_before; /* a sum over what it owns: changes when that does */
	double owned_packets;	      /* a second, by the counts of what it owns */
	bool owned_known;	      /* all of them valid, and none moves */
	uint64_t settle_ns;	      /* figures up to here are of what it owned before */
	uint64_t mismatch_ns;	      /* since when its count differs from that of what it owns */
	uint64_t sample_ns;	      /* of its newest sample */
	double sample_gap_ms;	      /* between its samples, mean */
	bool settled;		      /* its utilisation is of what it owns now */
	bool usable;		      /* its figures of this step are valid */
	double current;		      /* its last utilisation that was taken, not smoothed */
	struct series utilisation, fill;
	struct peak peak; /* of the smoothed utilisation */
	struct average packets, bytes, new_flows, expired, drops, ns;
};

struct host_track {
	struct track base;
	uint64_t sample_ns;
	uint64_t failed_ns[ANALYZER_FLAPS]; /* its last failures, the oldest first */
	unsigned int flaps;		    /* how often it was found flapping of late */
	struct average cpu[4], rx, tx, squeezes, drops, pressure;
};

struct slot_track {
	float packets, bytes, dirty; /* smoothed; NAN: none yet */
};

struct service_track {
	struct track base;
	uint64_t slots_ns; /* of the newest sample of its slots */
	struct slot_track *slots;
	size_t slots_n;
	size_t members;		    /* instances that run or start, when last counted */
	uint64_t changed_ns;	    /* when that number last changed */
	uint64_t shrunk_ns;	    /* when it last went down because of underload; 0: never */
	unsigned int regret;	    /* hold_ms counts so many times */
	struct peak peak;	    /* of the smoothed demand */
	struct series demand, fill; /* demand in instances: 2.5 is what 2.5 full ones do */
	struct average recent;	    /* demand, hardly smoothed */
};

struct analyzer {
	uint64_t now_ns; /* of the last step; 0: none yet */
	uint64_t steps;
	uint64_t resumed_ns; /* since when steps come one after the other */
	bool heard;	     /* a host, or of its data path, at any time since our start */
	struct track site;
	struct instance_track *instances[FF_INSTANCES_MAX];
	struct host_track *hosts[FF_HOSTS_MAX];
	struct service_track *services[FF_SERVICES_MAX];
	struct policy policy; /* of services without one, and of hosts without services */
	uint32_t service_kinds[FF_SERVICES_MAX];
	struct condition *conditions;
	size_t conditions_n, conditions_size;
	struct condition_change *changes;
	size_t changes_n, changes_size;
	bool no_memory; /* in this step */
};

/* One step's view, handed down. */
struct step {
	struct analyzer *analyzer;
	struct loads *loads;
	const struct policy *const *policies;
	uint64_t now_ns;
	bool deaf; /* nobody is heard: we are the ones who are cut off */
};

const struct policy *step_policy(const struct step *step, uint16_t service);
struct host_load *step_host(const struct step *step, uint16_t id);
/* What is remembered of it, made when it is seen for the first time. NULL: no memory. */
struct host_track *host_see(struct step *step, const struct host_load *host);

/* ---- analyzer_alarm.c ---------------------------------------------------------------------- */

/*
 * Moves the alarm: bad for @up_ms raises it, good for @down_ms ends it. True: it changed; the caller
 * then says why, by alarm_say().
 */
bool alarm_move(struct alarm *alarm, enum verdict verdict, uint64_t now_ns, uint64_t up_ms,
		uint64_t down_ms);
/* What was pending has not lasted: there is no data to tell. */
void alarm_pause(struct alarm *alarm);

/* Between the bounds of a figure that is bad when high. */
enum verdict verdict_high(double value, double bad, double good);

struct alarm_subject {
	enum condition_kind kind;
	enum condition_about about;
	uint16_t id, service;
	double value, bound;
	bool forecast;
	const char *name; /* of what is gone; NULL: the loads have it */
};

/* Notes the change of an alarm that has just moved. */
void alarm_say(struct step *step, struct alarm *alarm, const struct alarm_subject *subject,
	       const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* ---- analyzer_check.c: what can't be true ------------------------------------------------- */

/* 0, or -ERANGE with the reason. @host: NULL if not known. */
int instance_check(const struct instance_load *instance, const struct host_load *host,
		   char why[CONDITION_WHY_MAX]);
int host_check(const struct host_load *host, char why[CONDITION_WHY_MAX]);
bool slot_check(const struct slot_load *slot);

/* ---- the rest ----------------------------------------------------------------------------- */

void hosts_step(struct step *step);
/* Smooths slots, and finds what each instance owns. */
void slots_step(struct step *step, struct service_track *track, struct service_load *service);
void instance_step(struct step *step, const struct service_load *service,
		   struct instance_load *instance);
void service_step(struct step *step, struct service_track *track, struct service_load *service);

/* Samples this old are stale, by the bound or by the gatherer's word. */
bool quality_stale(const struct load_quality *quality, uint32_t stale_ms);
/* When the newest sample was taken, on our clock. */
uint64_t quality_time(const struct step *step, const struct load_quality *quality);
/* How long the trend looks back. */
uint32_t trend_window(const struct policy *policy);
