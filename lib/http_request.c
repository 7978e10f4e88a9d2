/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A request's way to its handler. libmicrohttpd calls http_request_handle() once for the headers,
 * once for each piece of the body, and once more at its end, when the answer is due. A request that
 * is refused on the way is read to its end all the same: libmicrohttpd takes an answer in the
 * middle of a body from nobody, and the sender would not read it.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/http_server_internal.h"
#include "lib/json.h"

#define BODY_SIZE_FIRST ((size_t)16 << 10)

static void request_free(struct http_request *req)
{
	if (req->upload_begun && req->route->upload->free)
		req->route->upload->free(req->upload_ctx);
	http_response_done(&req->resp);
	json_decref(req->json);
	free(req->body);
	free(req->segments);
	free(req->path);
	free(req->method);
	free(req);
}
DEFINE_CLEANUP(struct http_request *, request_free);

static struct http_request *request_new(struct http_listener *listener, struct MHD_Connection *mhd,
					const char *url, const char *method)
{
	_cleanup_(request_freep) struct http_request *req = calloc(1, sizeof(*req));
	const union MHD_ConnectionInfo *info;

	if (!req)
		return NULL;
	info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	req->server = listener->server;
	req->conn = info ? info->socket_context : NULL;
	req->mhd = mhd;
	req->resp.req = req;
	req->method = strdup(method);
	req->path = strdup(url);
	if (!req->conn || !req->method || !req->path)
		return NULL;
	return TAKE_PTR(req);
}

/* From here the server's end waits for this request, unless it has begun already. */
static int request_count(struct http_request *req)
{
	pthread_mutex_lock(&req->server->lock);
	req->server->in_flight++;
	pthread_mutex_unlock(&req->server->lock);
	if (!http_server_stopping(req->server))
		return 0;
	req->resp.close = true;
	error_set(&req->resp.err, ESHUTDOWN, FF_CODE_BUSY, "try again when it is up again",
		  "the daemon is stopping");
	resp_error(&req->resp, MHD_HTTP_SERVICE_UNAVAILABLE, &req->resp.err);
	return -ESHUTDOWN;
}

static int too_large(struct http_request *req)
{
	error_set(&req->resp.err, EMSGSIZE, FF_CODE_BAD_REQUEST, "split the request",
		  "the body of %s %s is larger than %zu MiB", req->method, req->path,
		  HTTP_JSON_BODY_MAX >> 20);
	resp_error(&req->resp, MHD_HTTP_CONTENT_TOO_LARGE, &req->resp.err);
	free(TAKE_PTR(req->body));
	req->body_len = req->body_size = 0;
	return -EMSGSIZE;
}

/* The headers are here: who asks for what? */
static int request_open(struct http_request *req)
{
	const char *length;
	int r;

	r = request_count(req);
	if (r < 0)
		return r;
	r = http_conn_admit(req->conn, req->mhd, &req->resp.err);
	if (r < 0) {
		resp_error(&req->resp, MHD_HTTP_FORBIDDEN, &req->resp.err);
		return r;
	}
	r = http_route_find(req);
	if (r < 0)
		return r;
	if (!req->route->upload) {
		length = req_header(req, MHD_HTTP_HEADER_CONTENT_LENGTH);
		return length && strtoumax(length, NULL, 10) > HTTP_JSON_BODY_MAX ? too_large(req) :
										    0;
	}
	r = req->route->upload->begin(req, &req->resp, &req->upload_ctx);
	if (r >= 0)
		req->upload_begun = true;
	return r;
}

static int body_append(struct http_request *req, const char *data, size_t len)
{
	size_t size = req->body_size ? req->body_size : BODY_SIZE_FIRST;
	char *body;

	if (len > HTTP_JSON_BODY_MAX - req->body_len)
		return too_large(req);
	while (size < req->body_len + len)
		size *= 2;
	if (size != req->body_size) {
		body = realloc(req->body, size);
		if (!body)
			return error_nomem(&req->resp.err);
		req->body = body;
		req->body_size = size;
	}
	memcpy(req->body + req->body_len, data, len);
	req->body_len += len;
	return 0;
}

static enum MHD_Result request_data(struct http_request *req, const char *data, size_t len)
{
	if (req->result < 0) {
		req->discarded += len;
		return req->discarded > HTTP_DISCARD_MAX ? MHD_NO : MHD_YES;
	}
	if (!req->route->upload)
		req->result = body_append(req, data, len);
	else if (req->route->upload->data)
		req->result = req->route->upload->data(req->upload_ctx, data, len, &req->resp.err);
	return MHD_YES;
}

static int body_parse(struct http_request *req)
{
	struct ff_error *err = &req->resp.err;
	int r;

	if (req->body_len == 0) {
		if (req->route->flags & HTTP_BODY_REQUIRED)
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "see API.md",
					 "%s %s wants a JSON object as its body", req->method,
					 req->path);
		return 0;
	}
	r = json_parse(req->body, req->body_len, &req->json, err);
	if (r < 0) {
		error_prefix(err, "the body of %s %s", req->method, req->path);
		return r;
	}
	free(TAKE_PTR(req->body)); /* the handler may run for minutes */
	if (!json_is_object(req->json))
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "see API.md",
				 "the body of %s %s is no JSON object", req->method, req->path);
	return 0;
}

static enum MHD_Result request_finish(struct http_request *req)
{
	int r = req->result;

	if (r >= 0 && req->route->upload) {
		r = req->route->upload->end(req->upload_ctx, req, &req->resp);
	} else if (r >= 0) {
		r = body_parse(req);
		if (r >= 0)
			r = req->route->handler(req, &req->resp);
	}
	return http_response_queue(&req->resp, r);
}

enum MHD_Result http_request_handle(void *cls, struct MHD_Connection *mhd, const char *url,
				    const char *method, const char *version,
				    const char *upload_data, size_t *upload_data_size,
				    void **con_cls)
{
	struct http_request *req = *con_cls;
	enum MHD_Result result;

	(void)version;
	if (!req) {
		req = request_new(cls, mhd, url, method);
		if (!req)
			return MHD_NO; /* out of memory: hang up */
		*con_cls = req;
		/* a handler, or a peer that makes us wait, may take its time; keep-alive finds the dead */
		MHD_set_connection_option(mhd, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
		req->result = request_open(req);
		return req->result == -EKEYREJECTED ? MHD_NO : MHD_YES; /* see http_conn_admit() */
	}
	if (*upload_data_size > 0) {
		result = request_data(req, upload_data, *upload_data_size);
		*upload_data_size = 0;
		return result;
	}
	return request_finish(req);
}

void http_request_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
			    enum MHD_RequestTerminationCode code)
{
	struct http_request *req = TAKE_PTR(*con_cls);
	struct http_server *server;

	(void)cls;
	(void)code;
	if (!req)
		return;
	server = req->server;
	request_free(req);
	MHD_set_connection_option(mhd, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned int)HTTP_IDLE_S);
	pthread_mutex_lock(&server->lock);
	if (--server->in_flight == 0)
		pthread_cond_broadcast(&server->idle);
	pthread_mutex_unlock(&server->lock);
}

/* ------------------------------------------------------------------------------------ getters */

void *req_userdata(const struct http_request *req)
{
	return req->server->userdata;
}

struct http_server *req_server(const struct http_request *req)
{
	return req->server;
}

const char *req_method(const struct http_request *req)
{
	return req->method;
}

const char *req_path(const struct http_request *req)
{
	return req->path;
}

const char *req_peer(const struct http_request *req)
{
	return req->conn->peer;
}

json_t *req_json(const struct http_request *req)
{
	return req->json;
}

const char *req_header(const struct http_request *req, const char *name)
{
	return MHD_lookup_connection_value(req->mhd, MHD_HEADER_KIND, name);
}

const char *req_param(const struct http_request *req, const char *name)
{
	for (unsigned int i = 0; i < req->params_n; i++)
		if (strlen(name) == req->params[i].name_len &&
		    memcmp(name, req->params[i].name, req->params[i].name_len) == 0)
			return req->params[i].value;
	assert(!"the route's pattern has no such parameter");
	return NULL;
}

bool req_client_gone(const struct http_request *req)
{
	struct pollfd pfd = { .fd = req->conn->fd, .events = POLLRDHUP };

	return poll(&pfd, 1, 0) > 0 && (pfd.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

void req_hang_up(const struct http_request *req)
{
	shutdown(req->conn->fd, SHUT_RDWR);
}

const char *req_query(const struct http_request *req, const char *name, const char *fallback)
{
	const char *value = NULL;

	/* the _n variant alone tells "?name" (found, NULL) from an absent name */
	if (MHD_lookup_connection_value_n(req->mhd, MHD_GET_ARGUMENT_KIND, name, strlen(name),
					  &value, NULL) != MHD_YES)
		return fallback;
	return value ? value : "";
}

int req_query_int(const struct http_request *req, const char *name, int64_t min, int64_t max,
		  int64_t fallback, int64_t *ret, struct ff_error *err)
{
	const char *text = req_query(req, name, NULL);
	intmax_t value;
	char *end;

	if (!text) {
		*ret = fallback;
		return 0;
	}
	errno = 0;
	value = strtoimax(text, &end, 10);
	if (end == text || *end || errno || value < min || value > max)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "correct the query",
				 "?%s=%.40s must be a number from %" PRId64 " to %" PRId64, name,
				 text, min, max);
	*ret = value;
	return 0;
}

int req_query_bool(const struct http_request *req, const char *name, bool fallback, bool *ret,
		   struct ff_error *err)
{
	static const struct {
		const char *text;
		bool value;
	} words[] = { { "1", true },  { "true", true },	  { "yes", true }, { "", true },
		      { "0", false }, { "false", false }, { "no", false } };
	const char *text = req_query(req, name, NULL);

	if (!text) {
		*ret = fallback;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(text, words[i].text) == 0) {
			*ret = words[i].value;
			return 0;
		}
	}
	return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "correct the query",
			 "?%s=%.40s must be 0 or 1", name, text);
}

int req_header_u64(const struct http_request *req, const char *name, uint64_t fallback,
		   uint64_t *ret, struct ff_error *err)
{
	const char *text = req_header(req, name);
	uintmax_t value;
	char *end;

	if (!text) {
		*ret = fallback;
		return 0;
	}
	errno = 0;
	value = strtoumax(text, &end, 10);
	/* strtoumax() takes "-1" and " 1", we don't */
	if (*text < '0' || *text > '9' || *end || errno)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "correct the header",
				 "%s: %.40s must be a number", name, text);
	*ret = value;
	return 0;
}
