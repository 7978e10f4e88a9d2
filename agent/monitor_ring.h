/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* monitor_ring.h - the newest lines, and those who follow them. Any thread. */
#pragma once

#include <stddef.h>

#include "lib/http_server.h"

struct monitor_ring;

int monitor_ring_new(struct monitor_ring **ret);
void monitor_ring_free(struct monitor_ring *ring); /* no follower is left; NULL is fine */

/* Appends a copy of the object, with a member "seq" more. @sample: where a new follower begins. -ENOMEM. */
int monitor_ring_put(struct monitor_ring *ring, const char *object, size_t len, bool sample);

/* A stream of lines, at most @limit (0: without end). */
int monitor_ring_answer(struct monitor_ring *ring, uint64_t limit, struct http_response *resp);
