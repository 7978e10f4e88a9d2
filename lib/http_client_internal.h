/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * http_exchange.c makes one request out of a libcurl easy handle and judges its end; on it stand
 * http_client.c (one call at a time, on a pooled handle) and http_multi.c (many).
 */
#pragma once

#include <curl/curl.h>
#include <pthread.h>

#include "lib/http_client.h"
#include "lib/tls_store.h"

/* More idle connections than threads that usually call one host at a time serve nobody. */
#define HTTP_POOL_MAX 8

/* A handle and what keeps its connection, which was made with one identity. */
struct http_conn {
	CURL *easy;
	CURLM *multi;
	uint64_t identity; /* its number; 0: without TLS */
};

struct http_client {
	atomic_uint refs;
	char *base;	       /* as given */
	char *url;	       /* what paths are appended to */
	char *socket_path;     /* or NULL */
	struct tls_store *tls; /* NULL: not needed */
	pthread_mutex_t lock;  /* of the pool */
	struct http_conn idle[HTTP_POOL_MAX];
	unsigned int idle_n;
};

/* What one is made from; everything is borrowed until http_exchange_done(). */
struct http_exchange_spec {
	struct http_client *client;
	CURL *easy;		  /* stays the caller's; its earlier options are reset */
	struct tls_identity *tls; /* a reference, handed over; NULL without TLS */
	bool alone;		  /* on a connection of its own, that nobody is to use after it */
	const char *method, *path;
	json_t *body;
	const char *const *headers;
	unsigned int timeout_ms;
	const struct http_upload *upload; /* instead of body */
	http_line_fn line;		  /* the answer goes here instead of into a reply */
	void *line_ctx;
	const atomic_bool *cancel;
};

struct http_exchange {
	struct http_exchange_spec spec;
	struct curl_slist *header_list;
	char *url;
	char *body;
	char *reply; /* the answer, or the line that has begun */
	size_t reply_len, reply_size;
	size_t reply_max;
	int line_result;
	int stop; /* negative errno: a callback of ours ended it, for this reason */
	char curl_text[CURL_ERROR_SIZE];
};

/* What to call @client with now: see struct http_exchange_spec. 0 is no identity's number. */
struct tls_identity *http_client_identity(struct http_client *client);
static inline uint64_t http_identity_number(const struct tls_identity *identity)
{
	return identity ? identity->number : 0;
}

/* Leaves *ex to http_exchange_done() in any case. */
int http_exchange_init(struct http_exchange *ex, const struct http_exchange_spec *spec,
		       struct ff_error *err);
/* What became of it: see http_call(). */
int http_exchange_judge(struct http_exchange *ex, CURLcode code, unsigned int *ret_status,
			json_t **ret_reply, struct ff_error *err);
void http_exchange_done(struct http_exchange *ex);
