/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* rates_fixture.h - samples of a host, as an agent tells them, and the rates that come of them. */
#pragma once

#include <jansson.h>
#include <math.h>

#include "lib/clock.h"
#include "orchestrator/rates.h"

#define MS     NSEC_PER_MSEC
#define DELAY  (3 * MS)			/* of the network */
#define OFFSET (5000ull * NSEC_PER_SEC) /* our clock less the host's */

extern struct rates *rates;
extern struct ff_error rates_err; /* why the last sample was refused */

/* Criterion's .init and .fini */
void rates_setup(void);
void rates_teardown(void);

/* What a host of two CPUs tells. */
struct told {
	uint64_t seq, agent_ns, time_ms;
	uint64_t packets, bytes, dropped, denied, flows, expired, timed, path_ns;
	uint64_t softirq_ns, squeezed, pressure_us, rx_bytes;
	uint32_t prog_id;
	const char *loads;	   /* NULL: no slots in this sample */
	const char *heavy;	   /* likewise */
	const char *lives;	   /* likewise */
	unsigned int heavy_age_ms; /* 0: not told */
	bool no_pressure;
};

struct told told_first(void);
/* 100 ms later, with 10000 packets of 64 bytes more, 20 of them timed at 250 ns. */
void tell_on(struct told *told);
json_t *sample_json(const struct told *told);
/* When a sample that is taken at that moment of the host comes. */
uint64_t arrival(const struct told *told);
int take_at(const struct told *told, uint64_t arrived_ns);
/* Comes at its time, and must be taken. */
void take(const struct told *told);
/* Of instance 5. */
struct instance_load instance_now(uint64_t now_ns);

static inline bool near(double value, double wanted)
{
	return fabs(value - wanted) <= 0.001 * fabs(wanted);
}
