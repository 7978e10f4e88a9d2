/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One base, its pool of connections, and calls one at a time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/http_client_internal.h"

#define CANCEL_MS 20   /* of an upload: flows may wait for its end, when its target has died */
#define FOLLOW_MS 1000 /* of all else */

#define MEND_BASE "give /path/to.sock, https://host:port or http://host:port"

static void curl_start(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int base_parse(struct http_client *client, const char *base, const struct tls_files *tls,
		      struct ff_error *err)
{
	size_t len = strlen(base);

	client->base = strdup(base);
	if (base[0] == '/') {
		client->socket_path = strdup(base);
		client->url = strdup("http://localhost");
		return client->base && client->socket_path && client->url ? 0 : error_nomem(err);
	}
	if (strncmp(base, "http://", 7) != 0 && strncmp(base, "https://", 8) != 0)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, MEND_BASE,
				 "can't make a connection out of '%s'", base);
	while (base[len - 1] == '/')
		len--; /* paths begin with their own */
	client->url = strndup(base, len);
	if (!client->base || !client->url)
		return error_nomem(err);
	if (strncmp(base, "https://", 8) != 0)
		return 0;
	if (!tls)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "configure ca, cert and key",
				 "%s needs a certificate of ours", base);
	return tls_store_open(tls, &client->tls, err);
}

int http_client_new(const char *base, const struct tls_files *tls, struct http_client **ret,
		    struct ff_error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct http_client *client;
	int r;

	pthread_once(&once, curl_start);
	client = calloc(1, sizeof(*client));
	if (!client)
		return error_nomem(err);
	atomic_init(&client->refs, 1);
	pthread_mutex_init(&client->lock, NULL);
	r = base_parse(client, base, tls, err);
	if (r < 0) {
		http_client_free(client);
		return r;
	}
	*ret = client;
	return 0;
}

struct http_client *http_client_ref(struct http_client *client)
{
	atomic_fetch_add(&client->refs, 1);
	return client;
}

static void conn_done(struct http_conn *conn)
{
	curl_easy_cleanup(conn->easy);
	curl_multi_cleanup(conn->multi);
}

void http_client_free(struct http_client *client)
{
	if (!client || atomic_fetch_sub(&client->refs, 1) > 1)
		return;
	while (client->idle_n > 0)
		conn_done(&client->idle[--client->idle_n]);
	pthread_mutex_destroy(&client->lock);
	free(client->base);
	free(client->url);
	free(client->socket_path);
	tls_store_close(client->tls);
	free(client);
}

const char *http_client_base(const struct http_client *client)
{
	return client->base;
}

/* ----------------------------------------------------------------------------------- the pool */

struct tls_identity *http_client_identity(struct http_client *client)
{
	return client->tls ? tls_store_get(client->tls) : NULL;
}

static bool pool_pop(struct http_client *client, struct http_conn *ret)
{
	bool idle;

	pthread_mutex_lock(&client->lock);
	idle = client->idle_n > 0;
	if (idle)
		*ret = client->idle[--client->idle_n];
	pthread_mutex_unlock(&client->lock);
	return idle;
}

/*
 * The one put back last comes first: its connection is the likeliest to be alive. What was made with
 * certificates that aren't those of now is closed: who we are and whom we trust has changed.
 */
static int pool_take(struct http_client *client, uint64_t identity, struct http_conn *ret)
{
	while (pool_pop(client, ret)) {
		if (ret->identity == identity)
			return 0;
		conn_done(ret);
	}
	*ret = (struct http_conn){ .easy = curl_easy_init(),
				   .multi = curl_multi_init(),
				   .identity = identity };
	if (ret->easy && ret->multi)
		return 0;
	conn_done(ret);
	return -ENOMEM;
}

static void pool_put(struct http_client *client, struct http_conn *conn)
{
	bool kept;

	pthread_mutex_lock(&client->lock);
	kept = client->idle_n < HTTP_POOL_MAX;
	if (kept)
		client->idle[client->idle_n++] = *conn;
	pthread_mutex_unlock(&client->lock);
	if (!kept)
		conn_done(conn);
}

/* As curl_easy_perform(), which looks whether to give up once a second, when nothing happens. */
static CURLcode conn_perform(struct http_conn *conn, int look_ms)
{
	CURLMcode r = curl_multi_add_handle(conn->multi, conn->easy);
	CURLcode result = CURLE_OUT_OF_MEMORY;
	int running = 1, left;
	CURLMsg *msg;

	while (r == CURLM_OK && running) {
		r = curl_multi_perform(conn->multi, &running);
		if (r == CURLM_OK && running)
			r = curl_multi_poll(conn->multi, NULL, 0, look_ms, NULL);
	}
	while ((msg = curl_multi_info_read(conn->multi, &left)))
		if (msg->msg == CURLMSG_DONE)
			result = msg->data.result;
	curl_multi_remove_handle(conn->multi, conn->easy);
	return result;
}

static int exchange_run(struct http_exchange_spec *spec, unsigned int *ret_status,
			json_t **ret_reply, struct ff_error *err)
{
	/* who follows an answer is told to end when nobody waits for it */
	int look_ms = spec->cancel && !spec->line ? CANCEL_MS : FOLLOW_MS;
	struct http_exchange ex;
	struct http_conn conn;
	int r;

	if (ret_status)
		*ret_status = 0;
	spec->tls = http_client_identity(spec->client);
	if (pool_take(spec->client, http_identity_number(spec->tls), &conn) < 0) {
		tls_identity_put(spec->tls);
		return error_nomem(err);
	}
	spec->easy = conn.easy;
	r = http_exchange_init(&ex, spec, err);
	if (r >= 0)
		r = http_exchange_judge(&ex, conn_perform(&conn, look_ms), ret_status, ret_reply,
					err);
	http_exchange_done(&ex);
	pool_put(spec->client, &conn);
	return r;
}

/* ---------------------------------------------------------------------------------- the calls */

int http_call(struct http_client *client, const char *method, const char *path, json_t *body,
	      const char *const *headers, unsigned int timeout_ms, unsigned int *ret_status,
	      json_t **ret_reply, struct ff_error *err)
{
	struct http_exchange_spec spec = { .client = client,
					   .method = method,
					   .path = path,
					   .body = body,
					   .headers = headers,
					   .timeout_ms = timeout_ms };

	return exchange_run(&spec, ret_status, ret_reply, err);
}

int http_call_unless(struct http_client *client, const char *method, const char *path, json_t *body,
		     const char *const *headers, unsigned int timeout_ms, const atomic_bool *cancel,
		     unsigned int *ret_status, json_t **ret_reply, struct ff_error *err)
{
	struct http_exchange_spec spec = { .client = client,
					   .method = method,
					   .path = path,
					   .body = body,
					   .headers = headers,
					   .timeout_ms = timeout_ms,
					   .cancel = cancel };

	return exchange_run(&spec, ret_status, ret_reply, err);
}

int http_upload(struct http_client *client, const struct http_upload *upload,
		unsigned int *ret_status, json_t **ret_reply, struct ff_error *err)
{
	struct http_exchange_spec spec = { .client = client,
					   .method = "POST",
					   .path = upload->path,
					   .headers = upload->headers,
					   .timeout_ms = upload->timeout_ms,
					   .upload = upload,
					   .cancel = upload->cancel };

	return exchange_run(&spec, ret_status, ret_reply, err);
}

int http_follow(struct http_client *client, const char *path, const char *const *headers,
		http_line_fn line, void *ctx, const atomic_bool *cancel, struct ff_error *err)
{
	struct http_exchange_spec spec = { .client = client,
					   .method = "GET",
					   .path = path,
					   .headers = headers,
					   .line = line,
					   .line_ctx = ctx,
					   .cancel = cancel };

	return exchange_run(&spec, NULL, NULL, err);
}
