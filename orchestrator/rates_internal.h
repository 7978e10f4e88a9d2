/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* rates_internal.h - what rates.c keeps and rates_loads.c reads. */
#pragma once

#include <stdbool.h>

#include "orchestrator/rates.h"

#define POINTS	   16 /* of a counter: longer than each window at the default period */
#define COLUMNS	   10
#define FLOWS_KEPT 64 /* of an instance: what an agent finds at most */

/* Up to COLUMNS counters, at the same times. */
struct counters {
	unsigned int n, next;
	struct point {
		uint64_t time_ns; /* the host's clock */
		uint64_t values[COLUMNS];
	} points[POINTS];
};

/* Per second, over the newest points within the window. False: there aren't two of them. */
bool counters_rates(const struct counters *counters, unsigned int window_ms,
		    double ret_rates[COLUMNS]);

enum instance_column {
	INSTANCE_PACKETS,
	INSTANCE_BYTES,
	INSTANCE_DROPPED,
	INSTANCE_DENIED,
	INSTANCE_NEW,
	INSTANCE_REFUSED,
	INSTANCE_EXPIRED,
	INSTANCE_TIMED,
	INSTANCE_NF_NS,
	INSTANCE_PATH_NS,
};

enum host_counters {
	COUNTERS_CPU,	   /* softirq, system, user, other: ns */
	COUNTERS_SOFTNET,  /* processed, dropped, squeezed */
	COUNTERS_PRESSURE, /* CPU, memory: us */
	COUNTERS_LINK,	   /* received, sent: bytes */
	COUNTERS_MAX,
};

struct rates_instance {
	struct sample_instance now;
	struct counters counters;
	struct rates_slots {
		uint64_t time_ns;
		struct sample_slots *figures; /* NULL: none yet */
	} slots[2];			      /* before, newest */
	uint64_t lives_ns;		      /* 0: never told */
	struct sample_lives told;	      /* what the next one is compared with */
	struct life_table lives;
	uint64_t flows_ns;
	size_t flows_n;
	struct sample_flow flows[FLOWS_KEPT];
};

struct rates {
	uint64_t agent_ns;
	uint64_t time_ns;  /* of the newest sample, the host's clock; 0: none */
	int64_t offset_ns; /* our clock less the host's, by the quickest sample */
	uint64_t resets;
	uint32_t missing;
	uint64_t part_ns[SAMPLE_PARTS]; /* of the newest sample that has it */
	struct counters counters[COUNTERS_MAX];
	unsigned int cpus;
	uint64_t memory_available;
	uint64_t lanes_used;
	struct sample_link link; /* the fabric's */
	struct rates_instance *instances[FF_INSTANCES_MAX];
};

struct load_quality quality_of(const struct rates *rates, uint64_t time_ns, uint64_t now_ns,
			       unsigned int stale_ms, bool known);
