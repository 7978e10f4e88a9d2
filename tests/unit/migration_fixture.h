/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * migration_fixture.h - moves from fw-1 to fw-2 by the API of orch_fixture.h, and what they leave.
 */
#pragma once

#include "tests/unit/orch_fixture.h"

/* All flows, order-preserving. */
json_t *move_request(void);
/* Takes the body. Its id; or the operation, when it has ended. */
void move_begin(json_t *body, char id[32]);
json_t *move_await(const char *id);
json_t *move_run(json_t *body);

json_t *table_shown(void);
const char *owners_shown(void); /* "0-31=fw-1 32-63=fw-2" */

/* The agents know nothing of it any more. */
void assert_forgotten(const char *id);
void assert_rolled_back(const json_t *operation);
