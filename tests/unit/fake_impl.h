/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fake_impl.h - what the files of fake_agent.h have in common. */
#pragma once

#include "tests/unit/fake_agent.h"

/* ---- fake_agent.c; the world's lock is held ---- */

void fake_log(struct fake_agent *agent, const char *call);
/* Which fault the script has for this call; -1: none. */
int fake_fault_take(struct fake_agent *agent, const char *call);
/* As long as the agent is to answer nothing. */
void fake_hang(struct fake_agent *agent);
int fake_epoch_check(struct fake_agent *agent, const struct http_request *req,
		     struct ff_error *err);

/* A configuration, or the end of a move, as the body says: older configurations are refused. */
void fake_known(struct fake_agent *agent, const json_t *body);

/* ---- fake_move.c: the phases of moves ---- */

/* The lock is held. NULL: the agent doesn't know it. */
struct fake_move *fake_move_find(struct fake_agent *agent, const char *id);
int fake_move_call(struct http_request *req, struct http_response *resp);
int fake_move_get(struct http_request *req, struct http_response *resp);

/* ---- fake_samples.c: the stream of samples ---- */

int fake_samples_get(struct http_request *req, struct http_response *resp);
