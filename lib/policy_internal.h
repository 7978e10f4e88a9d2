/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * policy_internal.h - every number of a policy, once: section, name, default, least, most.
 *
 * The schema of the file, the defaults, the bounds and the JSON are all made from these lists. A
 * new number is a line here, a member in policy.h and a line in policies/example.yaml.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/policy.h"

#define POLICY_HOUR_MS 3600000u

#define POLICY_UTILISATION(X)                                                                      \
	X(utilisation, up_percent, 80, 2, 100)                                                     \
	X(utilisation, target_percent, 65, 1, 99)                                                  \
	X(utilisation, down_percent, 40, 0, 98) /* 0: never underloaded */                         \
	X(utilisation, imbalance_percent, 20, 1, 100)                                              \
	X(utilisation, host_percent, 90, 1, 100)                                                   \
	X(utilisation, pressure_percent, 40, 1, 100)

#define POLICY_SLA(X)                                                                              \
	X(sla, latency_us, 0, 0, 1000000)                                                          \
	X(sla, drop_ppm, 0, 0, 1000000)                                                            \
	X(sla, freeze_ms, 50, 0, 60000)

#define POLICY_INSTANCES(X)                                                                        \
	X(instances, min, 1, 1, FF_INSTANCES_MAX - 1)                                              \
	X(instances, max, 8, 1, FF_INSTANCES_MAX - 1)                                              \
	X(instances, per_host, 4, 1, FF_INSTANCES_MAX - 1)

#define POLICY_CAPACITY(X)                                                                         \
	X(capacity, packets_per_s, 0, 0, 1000000000)                                               \
	X(capacity, up_percent, 85, 2, 100)                                                        \
	X(capacity, target_percent, 70, 1, 99)

#define POLICY_MOVES(X)                                                                            \
	X(moves, freeze_ms_per_s, 100, 1, 1000)                                                    \
	X(moves, parked_packets, 4096, 1, 1u << 20)                                                \
	X(moves, fabric_mbit_per_s, 0, 0, 1000000)                                                 \
	X(moves, at_once, 4, 1, FF_LANES_MAX)                                                      \
	X(moves, gain_percent, 5, 0, 100)

#define POLICY_SCALE_IN(X)                                                                         \
	X(scale_in, patience_ms, 2000, 0, 24 * POLICY_HOUR_MS)                                     \
	X(scale_in, deadline_ms, 60000, 0, 24 * POLICY_HOUR_MS)

#define POLICY_STABILITY(X)                                                                        \
	X(stability, smooth_ms, 500, 0, 60000)                                                     \
	X(stability, up_ms, 300, 0, 600000)                                                        \
	X(stability, down_ms, 10000, 0, 24 * POLICY_HOUR_MS)                                       \
	X(stability, hold_ms, 10000, 0, 24 * POLICY_HOUR_MS)                                       \
	X(stability, lifetime_ms, 30000, 0, 24 * POLICY_HOUR_MS)                                   \
	X(stability, forecast_ms, 2000, 0, 60000)                                                  \
	X(stability, stale_ms, 1000, 100, 600000)                                                  \
	X(stability, failure_ms, 150, 50, 600000)

#define POLICY_PROTECT(X)   X(protect, lag_ms, 100, 1, 60000)

#define POLICY_PARTITION(X) X(partition, lease_ms, 1000, 100, POLICY_HOUR_MS)

#define POLICY_NUMBERS(X)                                                                          \
	POLICY_UTILISATION(X)                                                                      \
	POLICY_SLA(X)                                                                              \
	POLICY_INSTANCES(X)                                                                        \
	POLICY_CAPACITY(X)                                                                         \
	POLICY_MOVES(X)                                                                            \
	POLICY_SCALE_IN(X)                                                                         \
	POLICY_STABILITY(X)                                                                        \
	POLICY_PROTECT(X)                                                                          \
	POLICY_PARTITION(X)

struct policy_number {
	const char *section, *name;
	size_t offset; /* of the uint32_t in struct policy */
	uint32_t initial, least, most;
};

extern const struct policy_number policy_numbers[];
extern const size_t policy_numbers_n;

extern const char *const policy_day_names[7];

/* A text in which a policy was written; NULL text: it has no places that a person could look at. */
struct policy_source {
	const char *name;
	const char *text;
	size_t len;
};

/* What the bounds of single numbers can't say. -EINVAL; the message names both fields. */
int policy_check(const struct policy *policy, const struct policy_source *source,
		 struct ff_error *err);

/*
 * Refuses: @path ("utilisation.down_percent", "together[1]") or, where the text doesn't have it,
 * @other (NULL: none) tells the place.
 */
int policy_refuse(const struct policy_source *source, const char *path, const char *other,
		  struct ff_error *err, const char *mend, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));
