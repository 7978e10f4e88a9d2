/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * events.h - what has happened: kept in the store, and the newest in a ring for those who follow.
 */
#pragma once

#include <stdint.h>

#include "lib/http_server.h"
#include "orchestrator/store.h"

#define EVENTS_RING 4096 /* a follower may lag so far behind before it has to skip */

struct events;

int events_new(struct store *store, struct events **ret, struct ff_error *err);
void events_free(struct events *events); /* stores what is left; NULL is fine */
/* Returns when all that was emitted before is stored, and on its way to those who follow. */
void events_settle(struct events *events);
/* Whose open streams an event wakes. */
void events_set_server(struct events *events, struct http_server *server);

/* Names that an event is about; NULL where it isn't about such a thing. */
struct event_about {
	const char *operation;
	const char *service;
	const char *host;
	const char *instance;
};

/*
 * Doesn't wait until it is stored: a few milliseconds later it is; events_answer() has it in any case.
 * Also logged at info. A failure to store is logged: nothing may fail because of an event.
 */
void event_emit(struct events *events, const char *kind, struct event_about about, const char *fmt,
		...) __attribute__((format(printf, 4, 5)));

/* Answers GET /v1/events. */
int events_answer(struct events *events, struct http_request *req, struct http_response *resp);
