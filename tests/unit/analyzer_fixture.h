/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * analyzer_fixture.h - a small site in memory: one service on three hosts, whose agents report
 * every 100 ms what the test says is true.
 */
#pragma once

#include "orchestrator/analyzer.h"

#define SITE_HOSTS	   3
#define SITE_INSTANCES_MAX 12
#define SITE_SLOTS	   64
#define SITE_PPS	   100000.0 /* of an instance at utilisation 1 */
#define SITE_SERVICE	   1	    /* its number; instances and hosts count from 1, too */
#define SITE_SAMPLE_MS	   100

struct site {
	struct policy policy;
	struct analyzer *analyzer;
	uint64_t now_ms;

	/* the truth; utilisation of an instance follows from the slots that it owns */
	double demand;		     /* of the service, in instances */
	double weights[SITE_SLOTS];  /* of the slots; all 1 at first */
	uint16_t owners[SITE_SLOTS]; /* instance */
	size_t instances_n;
	enum instance_state states[SITE_INSTANCES_MAX];
	uint64_t born_ms[SITE_INSTANCES_MAX];
	double fill; /* of the state tables */

	/* what agents report: made of the truth before each step, then for the test to spoil */
	struct loads loads;
	struct host_load hosts[SITE_HOSTS];
	struct service_load service;
	struct instance_load instances[SITE_INSTANCES_MAX];
	struct slot_load slots[SITE_SLOTS];

	struct analysis analysis;
	unsigned int raised[CONDITION_KINDS], ended[CONDITION_KINDS]; /* since the beginning */
};

/* @instances run since a minute ago, and own all slots evenly. The policy is the default one. */
void site_init(struct site *site, size_t instances);
void site_done(struct site *site);

/* Gives the slots evenly to those that run. */
void site_spread(struct site *site);

/* Makes the report; site_judge() hands it to the analyzer, after the test had its way with it. */
void site_report(struct site *site);
void site_judge(struct site *site);

/* Both, SITE_SAMPLE_MS later, until @ms have passed. */
void site_run(struct site *site, uint64_t ms);

/* The same, with each report spoilt by @spoil. */
void site_run_spoilt(struct site *site, uint64_t ms, void (*spoil)(void));

/* The condition that holds now; NULL: it doesn't. */
const struct condition *site_holds(const struct site *site, enum condition_kind kind,
				   enum condition_about about, uint16_t id);

/* The last change of that kind within the last step; NULL: none. */
const struct condition_change *site_changed(const struct site *site, enum condition_kind kind,
					    enum condition_about about, uint16_t id);
