/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * orch_fixture.h - the whole orchestrator with its API, against three fake agents: gw steers, nf1 and nf2
 * have an instance each of a service `fw` of 64 slots.
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

void fixture_setup(void);
void fixture_teardown(void);

/* Another one on the same database, or none. */
void orchestrator_up(void);
void orchestrator_down(void);

/* The reply, borrowed until the next call; of an error: code, message, mend. Takes the body. */
json_t *call(unsigned int want, const char *method, const char *path, json_t *body);

const char *text(const json_t *object, const char *key); /* "": none */
bool is_true(const json_t *object, const char *key);

json_t *service_body(void);

/* Whether there is an event of that kind; waits for one. */
bool told(const char *kind);
void wait_until_told(const char *kind);
