/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* protect_rig.h - a lab in which fw-1 is protected, and what the suite `protect` asks it. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "lib/clock.h"
#include "tests/bench/rig.h"

#define LAG_NS	 (100 * NSEC_PER_MSEC) /* between two looks: a sample's period */
#define LIMIT_NS (20 * NSEC_PER_SEC)
#define LIMIT_MS 20000

/* Nothing but protection makes the loop act. */
#define POLICY(protect)                                                                            \
	"{\"utilisation\": {\"up_percent\": 99, \"target_percent\": 98, "                          \
	"\"down_percent\": 0, \"imbalance_percent\": 100, \"host_percent\": 100, "                 \
	"\"pressure_percent\": 100}, \"capacity\": {\"packets_per_s\": 1000000}, "                 \
	"\"protect\": {\"enabled\": " protect ", \"lag_ms\": 100}}"

static inline uint64_t field(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

/* -ETIMEDOUT, in words. */
int too_long(const char *what, struct ff_error *err);

/* Until fw-1's standby has a whole copy. */
int protect_up(struct rig *rig, struct ff_error *err);
/* What fw-1's agent last said of it; *ret_instance holds it. */
int standby_get(struct rig *rig, json_t **ret_instance, const json_t **ret_standby,
		struct ff_error *err);

/* ---- protect_recovery.c ---- */

/* From the death of a host on. */
struct recovery {
	struct figure *detect, *on, *lost;
};

/* A lab of its own for each sample. */
int recoveries_run(struct bench *bench, const struct recovery *figures, struct ff_error *err);
