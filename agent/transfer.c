/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/transfer.h"

#include <pthread.h>
#include <string.h>

#include "lib/clock.h"

#define BLOCKS 8 /* read ahead of the sender: 2 MiB */

/* The target acknowledges a round when it has restored it: a million flows take about a second. */
#define TRANSFER_TIMEOUT_MS 60000

struct block {
	uint8_t *data;
	size_t len;
};

struct transfer {
	struct http_client *target;
	char path[160];
	unsigned int timeout_ms;
	char frozen[64];
	uint64_t frozen_ns, begun_ns;
	const atomic_bool *cancel;
	struct stream_encoder encoder;
	uint8_t *buf; /* header and first block, or the block under way */
	size_t head;  /* bytes of the header in front of the first block */
	uint64_t bytes;

	/* the queue to the sending thread, which exists once `streaming` */
	bool streaming;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct block queue[BLOCKS];
	unsigned int first, count;
	size_t taken; /* of the first block */
	bool closed, failed;
	int result;
	json_t *reply;
	struct ff_error error;
};

int transfer_begin(const struct transfer_spec *spec, struct transfer **ret, struct ff_error *err)
{
	const struct stream_header *of = &spec->header;
	struct stream_header header;
	struct transfer *t = calloc(1, sizeof(*t));
	int r;

	if (!t || !(t->buf = malloc(STREAM_HEADER_MAX + STREAM_BUFFER_MIN))) {
		free(t);
		return error_nomem(err);
	}
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->changed, NULL);
	t->target = spec->target;
	t->cancel = spec->cancel;
	t->frozen_ns = spec->frozen_ns;
	t->begun_ns = clock_ns();
	t->timeout_ms = spec->timeout_ms ?: TRANSFER_TIMEOUT_MS;
	if (spec->path)
		snprintf(t->path, sizeof(t->path), "%s", spec->path);
	else
		snprintf(t->path, sizeof(t->path), "/v1/moves/%s/state?round=%u&final=%d&pace=%d",
			 of->op, of->round, of->final, spec->pace);
	state_header_fill(spec->state, t->begun_ns, &header);
	strcpy(header.op, of->op);
	header.epoch = of->epoch;
	header.token = of->token;
	header.round = of->round;
	header.final = of->final;
	r = stream_encoder_begin(&t->encoder, &header, t->buf,
				 STREAM_HEADER_MAX + STREAM_BUFFER_MIN, err);
	if (r) {
		transfer_cancel(t);
		return r;
	}
	/* The blocks are written behind the header, so that a small round is one piece. */
	t->head = t->encoder.len;
	t->encoder.buf = t->buf + t->head;
	t->encoder.size = STREAM_BUFFER_MIN;
	t->encoder.len = 0;
	*ret = t;
	return 0;
}

/* ---- the sending thread ------------------------------------------------------------------------ */

static ssize_t queue_read(void *ctx, void *buf, size_t len)
{
	struct transfer *t = ctx;
	struct block *block;
	size_t n;

	pthread_mutex_lock(&t->lock);
	while (!t->count && !t->closed)
		pthread_cond_wait(&t->changed, &t->lock);
	if (t->failed || !t->count) {
		n = 0;
		pthread_mutex_unlock(&t->lock);
		return t->failed ? -ECANCELED : 0;
	}
	block = &t->queue[t->first];
	pthread_mutex_unlock(&t->lock);
	n = MIN(len, block->len - t->taken);
	memcpy(buf, block->data + t->taken, n);
	t->taken += n;
	if (t->taken == block->len) {
		pthread_mutex_lock(&t->lock);
		free(block->data);
		t->first = (t->first + 1) % BLOCKS;
		t->count--;
		t->taken = 0;
		pthread_cond_broadcast(&t->changed);
		pthread_mutex_unlock(&t->lock);
	}
	return (ssize_t)n;
}

static void *send_main(void *arg)
{
	struct transfer *t = arg;
	const char *headers[] = { "Content-Type: " STREAM_CONTENT_TYPE, t->frozen, NULL };
	struct http_upload upload = { .path = t->path,
				      .headers = headers,
				      .read = queue_read,
				      .ctx = t,
				      .timeout_ms = t->timeout_ms,
				      .cancel = t->cancel };
	int r = http_upload(t->target, &upload, NULL, &t->reply, &t->error);

	pthread_mutex_lock(&t->lock);
	t->result = r;
	t->failed = true; /* takes no more blocks */
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

/* Hands bytes to the sending thread, which is started by the first ones. */
static int enqueue(struct transfer *t, const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len);
	int r = 0;

	if (!copy)
		return -ENOMEM;
	memcpy(copy, data, len);
	pthread_mutex_lock(&t->lock);
	while (t->count == BLOCKS && !t->failed)
		pthread_cond_wait(&t->changed, &t->lock);
	if (t->failed) {
		r = t->result ?: -EPIPE;
		free(copy);
	} else {
		t->queue[(t->first + t->count++) % BLOCKS] = (struct block){ copy, len };
		t->bytes += len;
		pthread_cond_broadcast(&t->changed);
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

static void frozen_header(struct transfer *t)
{
	snprintf(t->frozen, sizeof(t->frozen), "X-Flowferry-Frozen-Ns: %llu",
		 t->frozen_ns ? (unsigned long long)(t->frozen_ns + clock_ns() - t->begun_ns) : 0);
}

/* Sends the block under way, and before the first one the header. */
static int flush(struct transfer *t)
{
	size_t len = stream_encoder_flush(&t->encoder), head = t->head;
	int r;

	if (!t->streaming) {
		frozen_header(t);
		if (pthread_create(&t->thread, NULL, send_main, t))
			return -EAGAIN;
		t->streaming = true;
	}
	t->head = 0;
	/* the header, if it hasn't gone, stands right in front of the block */
	r = enqueue(t, t->encoder.buf - head, head + len);
	return r;
}

int transfer_add(void *transfer, const struct ff_flow_key *key, const void *value)
{
	struct transfer *t = transfer;
	enum stream_kind kind = value ? STREAM_UPSERT : STREAM_DELETE;
	int r = stream_encoder_add(&t->encoder, kind, key, value);

	if (r != -ENOSPC)
		return r;
	r = flush(t);
	return r ? r : stream_encoder_add(&t->encoder, kind, key, value);
}

static void transfer_free(struct transfer *t)
{
	for (; t->count; t->count--, t->first = (t->first + 1) % BLOCKS)
		free(t->queue[t->first].data);
	pthread_mutex_destroy(&t->lock);
	pthread_cond_destroy(&t->changed);
	json_decref(t->reply);
	free(t->buf);
	free(t);
}

/* Small rounds: header, block and end in one request. */
static int send_whole(struct transfer *t, size_t len)
{
	const char *headers[] = { "Content-Type: " STREAM_CONTENT_TYPE, t->frozen, NULL };
	struct http_upload upload = { .path = t->path,
				      .headers = headers,
				      .data = t->buf,
				      .len = t->head + len,
				      .timeout_ms = t->timeout_ms,
				      .cancel = t->cancel };

	frozen_header(t);
	t->bytes = upload.len;
	return http_upload(t->target, &upload, NULL, &t->reply, &t->error);
}

int transfer_end(struct transfer *t, uint64_t *ret_bytes, json_t **ret_reply, struct ff_error *err)
{
	size_t len = stream_encoder_end(&t->encoder);
	int r;

	if (t->streaming) {
		r = enqueue(t, t->encoder.buf, len);
		pthread_mutex_lock(&t->lock);
		t->closed = true;
		pthread_cond_broadcast(&t->changed);
		pthread_mutex_unlock(&t->lock);
		pthread_join(t->thread, NULL);
		r = t->result ?: r;
	} else {
		r = send_whole(t, len);
	}
	if (r && err)
		*err = t->error;
	if (r && err && !err->err)
		error_set(err, -r, FF_CODE_INTERNAL, NULL, "can't send state: %s", strerror(-r));
	*ret_bytes += t->bytes;
	if (!r && ret_reply)
		*ret_reply = TAKE_PTR(t->reply);
	transfer_free(t);
	return r;
}

void transfer_cancel(struct transfer *t)
{
	if (t->streaming) {
		pthread_mutex_lock(&t->lock);
		t->failed = t->closed = true;
		pthread_cond_broadcast(&t->changed);
		pthread_mutex_unlock(&t->lock);
		pthread_join(t->thread, NULL);
	}
	transfer_free(t);
}
