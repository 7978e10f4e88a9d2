/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Many calls in flight, over libcurl's multi interface. One thread owns it; another may wake it,
 * for which alone there is a lock. Connections that were made with older certificates than those of
 * now go as soon as nothing is in flight, which libcurl can't do for some of them; until then calls
 * get connections of their own.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/http_client_internal.h"

/* Warm connections that a multi keeps: some for each host of a large site. */
#define CONNECTIONS_KEPT 256L

struct call {
	struct http_exchange ex;
	CURL *easy;
	char *method, *path; /* the exchange outlives its starter's strings */
	void *user;
	struct call *next;
};

struct http_multi {
	pthread_mutex_t lock; /* while `curl` is exchanged, and who wakes uses it */
	CURLM *curl;
	uint64_t identity; /* the number of the newest that any kept connection has */
	struct call *calls;
	unsigned int calls_n;
	atomic_bool woken;
};

static void call_free(struct call *call)
{
	if (call->easy) {
		http_exchange_done(&call->ex);
		curl_easy_cleanup(call->easy);
	}
	free(call->method);
	free(call->path);
	free(call);
}
DEFINE_CLEANUP(struct call *, call_free);

static CURLM *connections_new(void)
{
	CURLM *curl = curl_multi_init();

	if (curl)
		curl_multi_setopt(curl, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT);
	return curl;
}

int http_multi_new(struct http_multi **ret, struct ff_error *err)
{
	struct http_multi *multi = calloc(1, sizeof(*multi));

	if (!multi)
		return error_nomem(err);
	multi->curl = connections_new();
	if (!multi->curl) {
		free(multi);
		return error_nomem(err);
	}
	pthread_mutex_init(&multi->lock, NULL);
	*ret = multi;
	return 0;
}

/*
 * Whether connections may be kept that are made with this identity: they
 * would be mixed with older ones.
 */
static bool connections_renew(struct http_multi *multi, uint64_t identity)
{
	CURLM *fresh, *old;

	if (identity <= multi->identity)
		return true;
	fresh = multi->calls_n == 0 ? connections_new() : NULL;
	if (!fresh)
		return false;
	pthread_mutex_lock(&multi->lock);
	old = multi->curl;
	multi->curl = fresh;
	pthread_mutex_unlock(&multi->lock);
	curl_multi_cleanup(old);
	multi->identity = identity;
	return true;
}

/* Takes the call off the list and off libcurl. */
static void call_remove(struct http_multi *multi, struct call *call)
{
	struct call **link = &multi->calls;

	while (*link != call)
		link = &(*link)->next;
	*link = call->next;
	multi->calls_n--;
	curl_multi_remove_handle(multi->curl, call->easy);
}

void http_multi_free(struct http_multi *multi)
{
	if (!multi)
		return;
	while (multi->calls) {
		struct call *call = multi->calls;

		call_remove(multi, call);
		call_free(call);
	}
	curl_multi_cleanup(multi->curl);
	pthread_mutex_destroy(&multi->lock);
	free(multi);
}

static struct call *call_new(const char *method, const char *path, void *user)
{
	_cleanup_(call_freep) struct call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->user = user;
	call->method = strdup(method);
	call->path = strdup(path);
	if (!call->method || !call->path)
		return NULL;
	call->easy = curl_easy_init();
	if (!call->easy)
		return NULL;
	call->ex.spec.easy = call->easy; /* so that call_free() may be called from here on */
	return TAKE_PTR(call);
}

int http_multi_start(struct http_multi *multi, struct http_client *client, const char *method,
		     const char *path, json_t *body, const char *const *headers,
		     unsigned int timeout_ms, void *user, struct ff_error *err)
{
	_cleanup_(call_freep) struct call *call = call_new(method, path, user);
	struct tls_identity *tls;
	int running, r;

	if (!call)
		return error_nomem(err);
	tls = http_client_identity(client);
	r = http_exchange_init(&call->ex,
			       &(struct http_exchange_spec){
				       .client = client,
				       .easy = call->easy,
				       .tls = tls,
				       .alone =
					       !connections_renew(multi, http_identity_number(tls)),
				       .method = call->method,
				       .path = call->path,
				       .body = body,
				       .headers = headers,
				       .timeout_ms = timeout_ms },
			       err);
	if (r < 0)
		return r;
	call->ex.spec.body = NULL; /* they were copied; the caller's are gone by the time it ends */
	call->ex.spec.headers = NULL;
	if (curl_multi_add_handle(multi->curl, call->easy) != CURLM_OK)
		return error_nomem(err);
	call->next = multi->calls;
	multi->calls = TAKE_PTR(call);
	multi->calls_n++;
	/* sends what can be sent now: the others don't wait until somebody waits */
	curl_multi_perform(multi->curl, &running);
	return 0;
}

static bool completion_take(struct http_multi *multi, struct http_completion *ret)
{
	struct call *call;
	CURLMsg *msg;
	int left;

	do {
		msg = curl_multi_info_read(multi->curl, &left);
	} while (msg && msg->msg != CURLMSG_DONE);
	if (!msg)
		return false;
	for (call = multi->calls; call->easy != msg->easy_handle; call = call->next)
		;
	*ret = (struct http_completion){ .user = call->user, .client = call->ex.spec.client };
	ret->result = http_exchange_judge(&call->ex, msg->data.result, &ret->status, &ret->reply,
					  &ret->error);
	call_remove(multi, call);
	call_free(call);
	return true;
}

int http_multi_wait(struct http_multi *multi, int timeout_ms, struct http_completion *ret)
{
	uint64_t end = timeout_ms < 0 ? UINT64_MAX :
					clock_ns() + (uint64_t)timeout_ms * NSEC_PER_MSEC;
	int running;

	for (;;) {
		uint64_t now, left_ms;

		curl_multi_perform(multi->curl, &running);
		if (completion_take(multi, ret))
			return 1;
		if (atomic_exchange(&multi->woken, false))
			return -EINTR;
		if (multi->calls_n == 0)
			return -ENOENT;
		now = clock_ns();
		if (now >= end)
			return 0;
		/* rounded up: no busy last millisecond; libcurl has timers of its own below it */
		left_ms = (end - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;
		if (curl_multi_poll(multi->curl, NULL, 0, (int)MIN(left_ms, (uint64_t)INT_MAX),
				    NULL) != CURLM_OK)
			return -EIO;
	}
}

unsigned int http_multi_in_flight(const struct http_multi *multi)
{
	return multi->calls_n;
}

unsigned int http_multi_cancel(struct http_multi *multi, const void *user)
{
	struct call *call = multi->calls, *next;
	unsigned int n = 0;

	for (; call; call = next) {
		next = call->next;
		if (call->user != user)
			continue;
		call_remove(multi, call);
		call_free(call);
		n++;
	}
	return n;
}

void http_multi_wakeup(struct http_multi *multi)
{
	atomic_store(&multi->woken, true);
	pthread_mutex_lock(&multi->lock);
	curl_multi_wakeup(multi->curl);
	pthread_mutex_unlock(&multi->lock);
}
