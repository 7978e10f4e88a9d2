/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * orch_fixture.h - the whole orchestrator with its API, but for its main(), against fake agents:
 * gw, which steers, and nf1, nf2 ...
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "lib/clock.h"
#include "orchestrator/orchestrator.h"
#include "tests/unit/fake_agent.h"

#define WAIT_MS 20000

extern struct fake_world world;
extern struct orchestrator *orch; /* the one that is up */

/*
 * So many hosts, and an orchestrator without a service. @samples: they
 * send them, and so can be dead.
 */
void fixture_begin(size_t hosts, bool samples);
/* Three hosts without samples; nf1 and nf2 have an instance each of a service `fw` of 64 slots. */
void fixture_setup(void);
void fixture_teardown(void);

/* Another one on the same database, or none. */
void orchestrator_up(void);
void orchestrator_down(void);
/* As after kill -9: another one, which goes on from what was in the journal at this moment. */
void orchestrator_crash(void);

/* The reply; of an error: code, message, mend. Takes the body. */
json_t *ask(const char *method, const char *path, json_t *body, unsigned int *ret_status);
/* The same, with that status; borrowed until the next call. */
json_t *call(unsigned int want, const char *method, const char *path, json_t *body);

const char *text(const json_t *object, const char *key); /* "": none */
json_int_t number(const json_t *object, const char *key);
bool is_true(const json_t *object, const char *key);

json_t *service_body(void);

#define wait_for(condition)                                                                        \
	do {                                                                                       \
		uint64_t until_ns = clock_ns() + WAIT_MS * NSEC_PER_MSEC;                          \
		while (!(condition)) {                                                             \
			cr_assert(clock_ns() < until_ns, "still not: %s", #condition);             \
			clock_sleep_ns(5 * NSEC_PER_MSEC);                                         \
		}                                                                                  \
	} while (0)

/* Until an agent was asked that: "nf1 precopy". */
void wait_for_call(const char *line);

/* Whether there is an event of that kind; waits for one. */
bool told(const char *kind);
void wait_until_told(const char *kind);
