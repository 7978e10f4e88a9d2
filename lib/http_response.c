/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Answers: JSON, errors, bytes, and streams that stay open. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/http_server_internal.h"
#include "lib/json.h"

#define CONTENT_JSON "application/json"
/* What next() gets to fill: some hundred events at once when a follower catches up. */
#define STREAM_BLOCK ((size_t)64 << 10)

/* ----------------------------------------------------------------------------- plain answers */

struct ff_error *resp_err(struct http_response *resp)
{
	return &resp->err;
}

/* The last answer counts. Takes over `mhd`. */
static int answer(struct http_response *resp, unsigned int status, struct MHD_Response *mhd)
{
	if (!mhd)
		return -ENOMEM;
	if (resp->mhd)
		MHD_destroy_response(resp->mhd);
	resp->mhd = mhd;
	resp->status = status;
	return 0;
}

static int content_type(struct http_response *resp, const char *type)
{
	if (MHD_add_response_header(resp->mhd, MHD_HTTP_HEADER_CONTENT_TYPE, type) != MHD_YES)
		return -ENOMEM;
	return 0;
}

int resp_data(struct http_response *resp, unsigned int status, const char *type, const void *data,
	      size_t len)
{
	int r = answer(resp, status,
		       MHD_create_response_from_buffer(len, (void *)data, MHD_RESPMEM_MUST_COPY));

	return r < 0 ? r : content_type(resp, type);
}

int resp_empty(struct http_response *resp, unsigned int status)
{
	return answer(resp, status,
		      MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
}

int resp_json(struct http_response *resp, unsigned int status, json_t *json)
{
	_cleanup_json_ json_t *held = json;
	char *text = held ? json_dumps(held, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	struct MHD_Response *mhd;
	size_t len;
	int r;

	if (!text)
		return error_nomem(&resp->err);
	len = strlen(text);
	text[len] = '\n'; /* instead of the NUL: a line for whoever reads it in a terminal */
	mhd = MHD_create_response_from_buffer(len + 1, text, MHD_RESPMEM_MUST_FREE);
	if (!mhd)
		free(text);
	r = answer(resp, status, mhd);
	return r < 0 ? r : content_type(resp, CONTENT_JSON);
}

int resp_error(struct http_response *resp, unsigned int status, const struct ff_error *err)
{
	const char *code = err->code[0] ? err->code : error_code(err->err);

	return resp_json(resp, status ? status : http_status_of_code(code), json_from_error(err));
}

int resp_header(struct http_response *resp, const char *name, const char *value)
{
	char *name_copy, *value_copy;

	if (strpbrk(value, "\r\n") || resp->headers_n == HTTP_HEADERS_MAX)
		return -EINVAL;
	name_copy = strdup(name);
	value_copy = strdup(value);
	if (!name_copy || !value_copy) {
		free(name_copy);
		free(value_copy);
		return -ENOMEM;
	}
	resp->header_names[resp->headers_n] = name_copy;
	resp->header_values[resp->headers_n++] = value_copy;
	return 0;
}

/* A handler that failed without an answer, or returned without one. */
static void answer_for(struct http_response *resp, int handler_result)
{
	struct ff_error *err = &resp->err;
	int e = handler_result < 0 ? -handler_result : EIO;

	if (!err->code[0])
		error_set(err, e, error_code(e), "see the daemon's log", "%s %s: %s",
			  resp->req->method, resp->req->path,
			  handler_result < 0 ? strerror(e) : "its handler gave no answer");
	resp_error(resp, 0, err);
}

enum MHD_Result http_response_queue(struct http_response *resp, int handler_result)
{
	if (!resp->mhd)
		answer_for(resp, handler_result);
	if (!resp->mhd)
		return MHD_NO; /* out of memory even for that: hang up */
	for (unsigned int i = 0; i < resp->headers_n; i++)
		if (MHD_add_response_header(resp->mhd, resp->header_names[i],
					    resp->header_values[i]) != MHD_YES)
			return MHD_NO;
	if (resp->close || http_server_stopping(resp->req->server))
		MHD_add_response_header(resp->mhd, MHD_HTTP_HEADER_CONNECTION, "close");
	return MHD_queue_response(resp->req->mhd, resp->status, resp->mhd);
}

void http_response_done(struct http_response *resp)
{
	if (resp->mhd)
		MHD_destroy_response(resp->mhd);
	for (unsigned int i = 0; i < resp->headers_n; i++) {
		free(resp->header_names[i]);
		free(resp->header_values[i]);
	}
}

/* ------------------------------------------------------------------------------------ streams */

struct http_stream {
	struct http_server *server;
	struct http_stream *prev, *next_stream;
	int client_fd; /* the connection's, borrowed: it outlives its response */
	int wake_fd;
	http_stream_fn next;
	void (*free_ctx)(void *ctx);
	void *ctx;
};

static void stream_link(struct http_stream *stream)
{
	struct http_server *server = stream->server;

	pthread_mutex_lock(&server->lock);
	stream->next_stream = server->streams;
	if (server->streams)
		server->streams->prev = stream;
	server->streams = stream;
	pthread_mutex_unlock(&server->lock);
}

static void stream_unlink(struct http_stream *stream)
{
	struct http_server *server = stream->server;

	pthread_mutex_lock(&server->lock);
	if (stream->prev)
		stream->prev->next_stream = stream->next_stream;
	else
		server->streams = stream->next_stream;
	if (stream->next_stream)
		stream->next_stream->prev = stream->prev;
	pthread_mutex_unlock(&server->lock);
}

static void stream_free(void *cls)
{
	struct http_stream *stream = cls;

	stream_unlink(stream);
	if (stream->free_ctx)
		stream->free_ctx(stream->ctx);
	close(stream->wake_fd);
	free(stream);
}

/* Sleeps until there may be more. False when the client has gone. */
static bool stream_wait(struct http_stream *stream)
{
	struct pollfd fds[] = { { .fd = stream->wake_fd, .events = POLLIN },
				{ .fd = stream->client_fd, .events = POLLRDHUP } };
	eventfd_t ignored;

	if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
		return errno == EINTR;
	if (fds[0].revents)
		eventfd_read(stream->wake_fd, &ignored);
	return fds[1].revents == 0;
}

static ssize_t stream_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct http_stream *stream = cls;

	(void)pos;
	for (;;) {
		/* looked at first: what was appended before the stop is still delivered */
		bool stopping = http_server_stopping(stream->server);
		ssize_t n = stream->next(stream->ctx, buf, max);

		if (n > 0)
			return n;
		if (n == HTTP_STREAM_END || (n == 0 && stopping))
			return MHD_CONTENT_READER_END_OF_STREAM;
		if (n < 0 || !stream_wait(stream))
			return MHD_CONTENT_READER_END_WITH_ERROR;
	}
}

int resp_stream(struct http_response *resp, unsigned int status, const char *type,
		http_stream_fn next, void (*free_ctx)(void *ctx), void *ctx)
{
	struct http_stream *stream = malloc(sizeof(*stream));
	int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct MHD_Response *mhd = NULL;
	int r;

	if (!stream || wake_fd < 0) {
		free(stream);
		if (wake_fd >= 0)
			close(wake_fd);
		if (free_ctx)
			free_ctx(ctx);
		return error_nomem(&resp->err);
	}
	*stream = (struct http_stream){ .server = resp->req->server,
					.client_fd = resp->req->conn->fd,
					.wake_fd = wake_fd,
					.next = next,
					.free_ctx = free_ctx,
					.ctx = ctx };
	stream_link(stream);
	mhd = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, stream_read, stream,
						stream_free);
	if (!mhd)
		stream_free(stream);
	r = answer(resp, status, mhd);
	return r < 0 ? error_nomem(&resp->err) : content_type(resp, type);
}

void http_server_wake_streams(struct http_server *server)
{
	pthread_mutex_lock(&server->lock);
	for (struct http_stream *s = server->streams; s; s = s->next_stream)
		eventfd_write(s->wake_fd, 1);
	pthread_mutex_unlock(&server->lock);
}
