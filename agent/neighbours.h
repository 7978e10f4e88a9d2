/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * neighbours.h - clients of the agents on other hosts, with their connections, kept for the next
 * move: a TLS handshake takes longer than the flows of a small move need to be copied.
 */
#pragma once

#include "agent/agent.h"

/* A reference to the one for @url; http_client_free() gives it up. Any thread. */
int neighbour_get(struct agent *agent, const char *url, struct http_client **ret,
		  struct ff_error *err);

/* Gives up all; those that are in use stay until their users do, too. */
void neighbours_done(struct agent *agent);
