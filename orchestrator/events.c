/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * events.c - a ring of lines under one lock; followers copy from it in the server's threads.
 *
 * Who emits an event doesn't wait for the disk: a thread of ours stores what has gathered, in one
 * transaction. It alone numbers events and writes the ring, so numbers and ring have the order of
 * the queue. An event is seen by nobody before it is stored.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"
#include "orchestrator/events.h"

#define EVENTS_SHOWN_DEFAULT 100
#define EVENTS_SHOWN_MAX     10000
#define GATHER_NS	     (10 * NSEC_PER_MSEC) /* a move of few flows is over by then */
#define QUEUE_MAX	     16384 /* 8 MB, while the disk hangs; a busy minute has some thousands */

struct events {
	struct store *store;
	struct http_server *server;
	pthread_t writer;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	json_t *queue; /* emitted and not taken by the writer yet */
	uint64_t emitted, stored;
	uint64_t lost;	    /* the queue was full: told when it isn't any more */
	unsigned int hurry; /* who waits for them to be stored */
	bool stop;
	int64_t last_seq; /* in the ring; 0: none yet */
	struct {
		int64_t seq;
		char *line; /* ends with a newline */
	} ring[EVENTS_RING];
};

void events_set_server(struct events *events, struct http_server *server)
{
	pthread_mutex_lock(&events->lock);
	events->server = server;
	pthread_mutex_unlock(&events->lock);
}

static char *event_line(const json_t *event)
{
	_cleanup_free_ char *text = json_dumps(event, JSON_COMPACT);
	char *line;

	if (!text || asprintf(&line, "%s\n", text) < 0)
		return NULL;
	return line;
}

/* Under the lock. */
static void ring_put(struct events *events, const json_t *event)
{
	int64_t seq = json_integer_value(json_object_get(event, "seq"));
	size_t at = seq % EVENTS_RING;
	char *line = event_line(event);

	if (!seq || !line) {
		free(line);
		return;
	}
	free(events->ring[at].line);
	events->ring[at].seq = seq;
	events->ring[at].line = line;
	events->last_seq = seq;
}

/* ---- the writer ------------------------------------------------------------------------------ */

static void batch_write(struct events *events, json_t *batch)
{
	struct ff_error err = { 0 };
	json_t *event;
	size_t i;
	int r;

	r = store_events_put(events->store, batch, &err);
	if (r < 0)
		log_error("%zu events not stored: %s", json_array_size(batch), err.message);
	pthread_mutex_lock(&events->lock);
	json_array_foreach(batch, i, event)
		if (r == 0)
			ring_put(events, event);
	events->stored += json_array_size(batch);
	if (events->server)
		http_server_wake_streams(events->server);
	pthread_cond_broadcast(&events->changed);
	pthread_mutex_unlock(&events->lock);
}

/* What there is, once some has had the time to gather; NULL: there will be no more. */
static json_t *batch_take(struct events *events)
{
	json_t *batch = NULL;
	uint64_t until_ns;

	pthread_mutex_lock(&events->lock);
	while (!json_array_size(events->queue) && !events->stop)
		pthread_cond_wait(&events->changed, &events->lock);
	until_ns = clock_ns() + GATHER_NS;
	while (!events->hurry && !events->stop &&
	       clock_cond_wait(&events->changed, &events->lock, until_ns))
		;
	if (json_array_size(events->queue)) {
		batch = events->queue;
		events->queue = json_array(); /* NULL: event_append() tries again */
	}
	pthread_mutex_unlock(&events->lock);
	return batch;
}

static void *writer_main(void *arg)
{
	struct events *events = arg;
	json_t *batch;

	while ((batch = batch_take(events))) {
		batch_write(events, batch);
		json_decref(batch);
	}
	return NULL;
}

void events_settle(struct events *events)
{
	uint64_t upto;

	pthread_mutex_lock(&events->lock);
	upto = events->emitted;
	events->hurry++;
	pthread_cond_broadcast(&events->changed);
	while (events->stored < upto)
		pthread_cond_wait(&events->changed, &events->lock);
	events->hurry--;
	pthread_mutex_unlock(&events->lock);
}

int events_new(struct store *store, struct events **ret, struct ff_error *err)
{
	struct events *events = calloc(1, sizeof(*events));
	int r;

	if (!events)
		return error_nomem(err);
	events->store = store;
	events->queue = json_array();
	pthread_mutex_init(&events->lock, NULL);
	clock_cond_init(&events->changed);
	r = pthread_create(&events->writer, NULL, writer_main, events);
	if (r) {
		json_decref(events->queue);
		pthread_cond_destroy(&events->changed);
		pthread_mutex_destroy(&events->lock);
		free(events);
		return error_set(err, r, FF_CODE_INTERNAL, "raise the limit of threads",
				 "can't start a thread: %s", strerror(r));
	}
	*ret = events;
	return 0;
}

void events_free(struct events *events)
{
	if (!events)
		return;
	pthread_mutex_lock(&events->lock);
	events->stop = true;
	pthread_cond_broadcast(&events->changed);
	pthread_mutex_unlock(&events->lock);
	pthread_join(events->writer, NULL);
	for (size_t i = 0; i < EVENTS_RING; i++)
		free(events->ring[i].line);
	json_decref(events->queue);
	pthread_cond_destroy(&events->changed);
	pthread_mutex_destroy(&events->lock);
	free(events);
}

/* ---- emitting -------------------------------------------------------------------------------- */

static void event_append(struct events *events, json_t *event)
{
	pthread_mutex_lock(&events->lock);
	if (!events->queue)
		events->queue = json_array();
	if (json_array_size(events->queue) >= QUEUE_MAX) {
		if (!events->lost++)
			log_error("events are lost: the disk doesn't take them");
	} else if (json_array_append(events->queue, event)) {
		log_error("event lost: out of memory");
	} else {
		if (events->lost)
			log_error("%" PRIu64 " events were lost", events->lost);
		events->lost = 0;
		events->emitted++;
		/* one that gathers already needs no more telling */
		if (json_array_size(events->queue) == 1)
			pthread_cond_broadcast(&events->changed);
	}
	pthread_mutex_unlock(&events->lock);
}

void event_emit(struct events *events, const char *kind, struct event_about about, const char *fmt,
		...)
{
	_cleanup_json_ json_t *event = NULL;
	char message[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	log_info("%s: %s", kind, message);
	event = json_pack("{sI sI ss ss* ss* ss* ss* ss}", "seq", (json_int_t)0, "time",
			  (json_int_t)clock_wall_ms(), "kind", kind, "operation", about.operation,
			  "service", about.service, "host", about.host, "instance", about.instance,
			  "message", message);
	if (!event) {
		log_error("event lost: out of memory, or not UTF-8");
		return;
	}
	event_append(events, event);
}

/* ---- followers ------------------------------------------------------------------------------ */

struct follower {
	struct events *events;
	int64_t next_seq;
	bool follow;
	char *old; /* what the store had, to be sent first */
	size_t old_len;
	size_t old_sent;
};

static void follower_free(void *ctx)
{
	struct follower *follower = ctx;

	free(follower->old);
	free(follower);
}

static ssize_t ring_copy(struct follower *follower, char *buf, size_t len)
{
	struct events *events = follower->events;
	size_t used = 0;

	/* too slow: go on with the oldest that there is; the gap shows in the numbers */
	if (follower->next_seq + EVENTS_RING <= events->last_seq)
		follower->next_seq = events->last_seq - EVENTS_RING + 1;
	for (; follower->next_seq <= events->last_seq; follower->next_seq++) {
		size_t at = follower->next_seq % EVENTS_RING;
		size_t size;

		if (events->ring[at].seq != follower->next_seq)
			continue;
		size = strlen(events->ring[at].line);
		if (used + size > len)
			break;
		memcpy(buf + used, events->ring[at].line, size);
		used += size;
	}
	return used;
}

static ssize_t follower_next(void *ctx, char *buf, size_t len)
{
	struct follower *follower = ctx;
	ssize_t n;

	if (follower->old_sent < follower->old_len) {
		size_t part = MIN(len, follower->old_len - follower->old_sent);

		memcpy(buf, follower->old + follower->old_sent, part);
		follower->old_sent += part;
		return part;
	}
	if (!follower->follow)
		return HTTP_STREAM_END;
	pthread_mutex_lock(&follower->events->lock);
	n = ring_copy(follower, buf, len);
	pthread_mutex_unlock(&follower->events->lock);
	return n;
}

/* Fills follower->old; next_seq is then what comes after it. */
static int follower_load(struct follower *follower, int64_t since, unsigned int limit,
			 struct ff_error *err)
{
	_cleanup_json_ json_t *list = NULL;
	_cleanup_fclose_ FILE *file = NULL;
	json_t *event;
	size_t i;
	int r;

	r = store_event_list(follower->events->store, since, limit, &list, err);
	if (r < 0)
		return r;
	file = open_memstream(&follower->old, &follower->old_len);
	if (!file)
		return error_nomem(err);
	json_array_foreach(list, i, event) {
		_cleanup_free_ char *line = event_line(event);

		if (!line)
			return error_nomem(err);
		fputs(line, file);
		follower->next_seq = json_integer_value(json_object_get(event, "seq")) + 1;
	}
	return fflush(file) ? error_nomem(err) : 0;
}

int events_answer(struct events *events, struct http_request *req, struct http_response *resp)
{
	struct ff_error *err = resp_err(resp);
	struct follower *follower;
	int64_t since, limit;
	bool follow;
	int r;

	r = req_query_int(req, "since", 0, INT64_MAX, -1, &since, err);
	if (r == 0)
		r = req_query_int(req, "limit", 1, EVENTS_SHOWN_MAX,
				  since < 0 ? EVENTS_SHOWN_DEFAULT : EVENTS_SHOWN_MAX, &limit, err);
	if (r == 0)
		r = req_query_bool(req, "follow", false, &follow, err);
	if (r < 0)
		return r;

	follower = calloc(1, sizeof(*follower));
	if (!follower)
		return error_nomem(err);
	follower->events = events;
	follower->follow = follow;
	follower->next_seq = MAX(since, 0) + 1;
	events_settle(events); /* what has been emitted before it was asked */
	r = follower_load(follower, since, limit, err);
	if (r < 0) {
		follower_free(follower);
		return r;
	}
	return resp_stream(resp, 200, "application/x-ndjson", follower_next, follower_free,
			   follower);
}
