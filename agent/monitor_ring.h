/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* monitor_ring.h - the newest lines, and those who follow them. Any thread. */
#pragma once

#include <jansson.h>

#include "lib/http_server.h"

struct monitor_ring;

int monitor_ring_new(struct monitor_ring **ret);
void monitor_ring_free(struct monitor_ring *ring); /* no follower is left; NULL is fine */

/*
 * Appends an object, to which it adds "seq", and the member @name, whose value is JSON as text, where
 * @text isn't NULL. @sample: where a new follower begins. Takes over the reference to the object.
 */
int monitor_ring_put(struct monitor_ring *ring, json_t *object, const char *name, const char *text,
		     bool sample);

/* A stream of lines, at most @limit (0: without end). */
int monitor_ring_answer(struct monitor_ring *ring, uint64_t limit, struct http_response *resp);
