/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A ring of lines under one lock; a line lives as long as somebody still copies from it. */
#include "agent/monitor_ring.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "agent/monitor.h"
#include "lib/cleanup.h"

struct line {
	unsigned int users; /* the ring's, and each follower that is in the middle of it */
	size_t len;
	char *text; /* ends with a newline */
};

struct monitor_ring {
	pthread_mutex_t
		turn; /* one appends at a time, in the order of the numbers; before `lock` */
	pthread_mutex_t lock;
	uint64_t next;	 /* number of the next line; the first one is 1 */
	uint64_t sample; /* of the newest sample; 0: none yet */
	struct line *lines[MONITOR_RING];
};

/* Under the ring's lock. */
static void line_put(struct line *line)
{
	if (!line || --line->users)
		return;
	free(line->text);
	free(line);
}

int monitor_ring_new(struct monitor_ring **ret)
{
	struct monitor_ring *ring = calloc(1, sizeof(*ring));

	if (!ring)
		return -ENOMEM;
	pthread_mutex_init(&ring->turn, NULL);
	pthread_mutex_init(&ring->lock, NULL);
	ring->next = 1;
	*ret = ring;
	return 0;
}

void monitor_ring_free(struct monitor_ring *ring)
{
	if (!ring)
		return;
	for (size_t i = 0; i < MONITOR_RING; i++)
		line_put(ring->lines[i]);
	pthread_mutex_destroy(&ring->turn);
	pthread_mutex_destroy(&ring->lock);
	free(ring);
}

#define SEQ_TEXT 32 /* ,"seq":18446744073709551615} and a newline */

/* {"a":1} becomes {"a":1,"seq":7} and a newline. */
static struct line *line_new(const char *object, size_t len, uint64_t seq)
{
	struct line *line = calloc(1, sizeof(*line));

	assert(len > strlen("{}"));
	if (!line)
		return NULL;
	line->users = 1;
	line->text = malloc(len + SEQ_TEXT);
	if (!line->text) {
		free(line);
		return NULL;
	}
	line->len = len - 1;
	memcpy(line->text, object, line->len);
	line->len +=
		(size_t)snprintf(line->text + line->len, SEQ_TEXT, ",\"seq\":%" PRIu64 "}\n", seq);
	return line;
}

/* Under `turn`: only then the number can be written before the lock is taken. */
static int line_append(struct monitor_ring *ring, const char *object, size_t len, bool sample)
{
	struct line *line = line_new(object, len, ring->next);

	if (!line)
		return -ENOMEM;
	pthread_mutex_lock(&ring->lock);
	line_put(ring->lines[ring->next % MONITOR_RING]);
	ring->lines[ring->next % MONITOR_RING] = line;
	if (sample)
		ring->sample = ring->next;
	ring->next++;
	pthread_mutex_unlock(&ring->lock);
	return 0;
}

int monitor_ring_put(struct monitor_ring *ring, const char *object, size_t len, bool sample)
{
	int r;

	pthread_mutex_lock(&ring->turn);
	r = line_append(ring, object, len, sample);
	pthread_mutex_unlock(&ring->turn);
	return r;
}

/* ---- followers ------------------------------------------------------------------------------- */

struct follower {
	struct monitor_ring *ring;
	uint64_t next;	   /* line */
	uint64_t left;	   /* lines to go */
	struct line *line; /* in the middle of it */
	size_t sent;
};

static void follower_free(void *ctx)
{
	struct follower *follower = ctx;

	pthread_mutex_lock(&follower->ring->lock);
	line_put(follower->line);
	pthread_mutex_unlock(&follower->ring->lock);
	free(follower);
}

/* Under the lock. Too slow: goes on with the newest sample. */
static bool line_take(struct follower *follower)
{
	struct monitor_ring *ring = follower->ring;

	if (follower->next + MONITOR_RING < ring->next)
		follower->next = ring->sample;
	if (follower->next >= ring->next)
		return false;
	follower->line = ring->lines[follower->next % MONITOR_RING];
	follower->line->users++;
	follower->sent = 0;
	return true;
}

static ssize_t follower_next(void *ctx, char *buf, size_t len)
{
	struct follower *follower = ctx;
	struct monitor_ring *ring = follower->ring;
	size_t part;

	if (!follower->left)
		return HTTP_STREAM_END;
	pthread_mutex_lock(&ring->lock);
	if (!follower->line && !line_take(follower)) {
		pthread_mutex_unlock(&ring->lock);
		return 0;
	}
	pthread_mutex_unlock(&ring->lock);

	part = MIN(len, follower->line->len - follower->sent);
	memcpy(buf, follower->line->text + follower->sent, part);
	follower->sent += part;
	if (follower->sent < follower->line->len)
		return (ssize_t)part;
	follower->next++;
	follower->left--;
	pthread_mutex_lock(&ring->lock);
	line_put(TAKE_PTR(follower->line));
	pthread_mutex_unlock(&ring->lock);
	return (ssize_t)part;
}

int monitor_ring_answer(struct monitor_ring *ring, uint64_t limit, struct http_response *resp)
{
	struct follower *follower = calloc(1, sizeof(*follower));

	if (!follower)
		return error_nomem(resp_err(resp));
	follower->ring = ring;
	follower->left = limit ? limit : UINT64_MAX;
	pthread_mutex_lock(&ring->lock);
	follower->next = ring->sample ? ring->sample : ring->next;
	pthread_mutex_unlock(&ring->lock);
	return resp_stream(resp, 200, "application/x-ndjson", follower_next, follower_free,
			   follower);
}
