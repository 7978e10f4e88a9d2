/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One base, its pool of connections, and calls one at a time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/http_client_internal.h"

#define MEND_BASE "give /path/to.sock, https://host:port or http://host:port"

static void curl_start(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int base_parse(struct http_client *client, const char *base, const struct tls_files *tls,
		      struct ff_error *err)
{
	struct tls_pems pems;
	size_t len = strlen(base);
	int r;

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
	/* libcurl reads the files at each connection; what is wrong with them we can say better */
	r = tls_pems_load(tls, &pems, err);
	if (r < 0)
		return r;
	tls_pems_done(&pems);
	client->ca = strdup(tls->ca);
	client->cert = strdup(tls->cert);
	client->key = strdup(tls->key);
	return client->ca && client->cert && client->key ? 0 : error_nomem(err);
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

void http_client_free(struct http_client *client)
{
	if (!client || atomic_fetch_sub(&client->refs, 1) > 1)
		return;
	while (client->idle_n > 0)
		curl_easy_cleanup(client->idle[--client->idle_n]);
	pthread_mutex_destroy(&client->lock);
	free(client->base);
	free(client->url);
	free(client->socket_path);
	free(client->ca);
	free(client->cert);
	free(client->key);
	free(client);
}

const char *http_client_base(const struct http_client *client)
{
	return client->base;
}

/* ----------------------------------------------------------------------------------- the pool */

/* The one put back last comes first: its connection is the likeliest to be alive. */
static CURL *pool_take(struct http_client *client)
{
	CURL *easy = NULL;

	pthread_mutex_lock(&client->lock);
	if (client->idle_n > 0)
		easy = client->idle[--client->idle_n];
	pthread_mutex_unlock(&client->lock);
	return easy ? easy : curl_easy_init();
}

static void pool_put(struct http_client *client, CURL *easy)
{
	pthread_mutex_lock(&client->lock);
	if (client->idle_n < HTTP_POOL_MAX)
		client->idle[client->idle_n++] = TAKE_PTR(easy);
	pthread_mutex_unlock(&client->lock);
	if (easy)
		curl_easy_cleanup(easy);
}

static int exchange_run(struct http_exchange_spec *spec, unsigned int *ret_status,
			json_t **ret_reply, struct ff_error *err)
{
	struct http_exchange ex;
	int r;

	if (ret_status)
		*ret_status = 0;
	spec->easy = pool_take(spec->client);
	if (!spec->easy)
		return error_nomem(err);
	r = http_exchange_init(&ex, spec, err);
	if (r >= 0)
		r = http_exchange_judge(&ex, curl_easy_perform(spec->easy), ret_status, ret_reply,
					err);
	http_exchange_done(&ex);
	pool_put(spec->client, spec->easy);
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
