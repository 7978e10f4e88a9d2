/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One request by libcurl: what is asked, what comes back, and what a failure means in our words. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/http_client_internal.h"
#include "lib/json.h"

#define KEEPALIVE_IDLE_S     5L
#define KEEPALIVE_INTERVAL_S 2L
/* libcurl's largest; what is written at once when a state stream is uploaded */
#define UPLOAD_BUFFER  (2L << 20)
#define RECEIVE_BUFFER (256L << 10)
#define REPLY_FIRST    ((size_t)4 << 10)

/* ---------------------------------------------------------------------------------- callbacks */

static int reply_append(struct http_exchange *ex, const char *data, size_t len)
{
	size_t size = ex->reply_size ? ex->reply_size : REPLY_FIRST;
	char *reply;

	if (len > ex->reply_max - ex->reply_len)
		return -EMSGSIZE;
	while (size < ex->reply_len + len + 1)
		size *= 2;
	if (size != ex->reply_size) {
		reply = realloc(ex->reply, size);
		if (!reply)
			return -ENOMEM;
		ex->reply = reply;
		ex->reply_size = size;
	}
	memcpy(ex->reply + ex->reply_len, data, len);
	ex->reply_len += len;
	ex->reply[ex->reply_len] = '\0';
	return 0;
}

static size_t on_reply(char *data, size_t size, size_t n, void *cls)
{
	struct http_exchange *ex = cls;

	ex->stop = reply_append(ex, data, size * n);
	return ex->stop < 0 ? 0 : size * n;
}

static int line_emit(struct http_exchange *ex)
{
	size_t len = ex->reply_len;

	ex->reply_len = 0;
	if (len == 0)
		return 0;
	if (ex->reply[len - 1] == '\r')
		ex->reply[--len] = '\0';
	return len ? ex->spec.line(ex->spec.line_ctx, ex->reply, len) : 0;
}

static size_t on_lines(char *data, size_t size, size_t n, void *cls)
{
	struct http_exchange *ex = cls;
	size_t left = size * n;
	long status = 0;

	curl_easy_getinfo(ex->spec.easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 400)
		return on_reply(data, size, n, cls); /* an error body, not what was asked for */
	while (left > 0) {
		const char *newline = memchr(data, '\n', left);
		size_t len = newline ? (size_t)(newline - data) : left;

		ex->stop = reply_append(ex, data, len);
		if (ex->stop < 0)
			return 0;
		data += len + !!newline;
		left -= len + !!newline;
		if (!newline)
			break;
		ex->line_result = line_emit(ex);
		if (ex->line_result) {
			ex->stop = -ECANCELED;
			return 0;
		}
	}
	return size * n;
}

static size_t on_read(char *buf, size_t size, size_t n, void *cls)
{
	struct http_exchange *ex = cls;
	ssize_t len = ex->spec.upload->read(ex->spec.upload->ctx, buf, size * n);

	if (len >= 0)
		return (size_t)len;
	ex->stop = (int)len;
	return CURL_READFUNC_ABORT;
}

static int on_progress(void *cls, curl_off_t dl_total, curl_off_t dl_now, curl_off_t ul_total,
		       curl_off_t ul_now)
{
	struct http_exchange *ex = cls;

	(void)dl_total, (void)dl_now, (void)ul_total, (void)ul_now;
	if (!atomic_load(ex->spec.cancel))
		return 0;
	ex->stop = -ECANCELED;
	return 1;
}

/* Without this, a peer that loses power in the middle of an answer is waited for forever. */
static int on_socket(void *cls, curl_socket_t fd, curlsocktype purpose)
{
	unsigned int unacked_ms = HTTP_CLIENT_DEAD_MS;

	(void)cls, (void)purpose;
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked_ms, sizeof(unacked_ms));
	return CURL_SOCKOPT_OK; /* a unix socket has no such option, and no such peer */
}

/* ------------------------------------------------------------------------------------ options */

/* libcurl's setters take `long` or pointers; they fail for lack of memory alone. */
#define SET(ex, option, value) curl_easy_setopt((ex)->spec.easy, CURLOPT_##option, value)

static bool headers_set(struct http_exchange *ex)
{
	const char *const *headers = ex->spec.headers;
	const struct http_upload *upload = ex->spec.upload;
	const char *own[] = {
		"Expect:", /* no round trip before the body */
		upload	 ? "Content-Type: application/octet-stream" :
		ex->body ? "Content-Type: application/json" :
			   NULL,
		upload && upload->read ? "Transfer-Encoding: chunked" : NULL,
	};

	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		struct curl_slist *list = own[i] ? curl_slist_append(ex->header_list, own[i]) :
						   ex->header_list;

		if (own[i] && !list)
			return false;
		ex->header_list = list;
	}
	for (; headers && *headers; headers++) {
		struct curl_slist *list = curl_slist_append(ex->header_list, *headers);

		if (!list)
			return false;
		ex->header_list = list;
	}
	return SET(ex, HTTPHEADER, ex->header_list) == CURLE_OK;
}

static void body_set(struct http_exchange *ex)
{
	const struct http_upload *upload = ex->spec.upload;

	if (upload)
		SET(ex, UPLOAD_BUFFERSIZE, UPLOAD_BUFFER);
	if (upload && upload->read) {
		SET(ex, POST, 1L);
		SET(ex, READFUNCTION, on_read);
		SET(ex, READDATA, ex);
	} else if (upload) {
		SET(ex, POSTFIELDSIZE_LARGE, (curl_off_t)upload->len);
		SET(ex, POSTFIELDS, upload->data ? upload->data : "");
	} else if (ex->body) {
		SET(ex, POSTFIELDSIZE_LARGE, (curl_off_t)strlen(ex->body));
		SET(ex, POSTFIELDS, ex->body);
	} else if (strcmp(ex->spec.method, "POST") == 0 || strcmp(ex->spec.method, "PUT") == 0) {
		SET(ex, POSTFIELDSIZE_LARGE, (curl_off_t)0);
		SET(ex, POSTFIELDS, "");
	}
	if (strcmp(ex->spec.method, "HEAD") == 0)
		SET(ex, NOBODY, 1L);
	else
		SET(ex, CUSTOMREQUEST, ex->spec.method);
}

static void transport_set(struct http_exchange *ex)
{
	const struct http_client *client = ex->spec.client;
	const struct tls_identity *tls = ex->spec.tls;

	SET(ex, NOSIGNAL, 1L); /* threads */
	SET(ex, PROXY, ""); /* nor by the environment: this is between hosts that know each other */
	SET(ex, HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(ex, CONNECTTIMEOUT_MS, (long)HTTP_CLIENT_CONNECT_MS);
	SET(ex, TIMEOUT_MS, (long)ex->spec.timeout_ms);
	SET(ex, TCP_NODELAY, 1L);
	SET(ex, TCP_KEEPALIVE, 1L);
	SET(ex, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	SET(ex, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
	SET(ex, SOCKOPTFUNCTION, on_socket);
	SET(ex, UNIX_SOCKET_PATH, client->socket_path);
	SET(ex, SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (tls) {
		SET(ex, CAINFO, tls->ca);
		SET(ex, CAPATH, NULL); /* this site's CA and no other */
		SET(ex, SSLCERT, tls->cert);
		SET(ex, SSLKEY, tls->key);
	}
	SET(ex, FRESH_CONNECT, (long)ex->spec.alone);
	SET(ex, FORBID_REUSE, (long)ex->spec.alone);
}

int http_exchange_init(struct http_exchange *ex, const struct http_exchange_spec *spec,
		       struct ff_error *err)
{
	*ex = (struct http_exchange){ .spec = *spec,
				      .reply_max = spec->line ? HTTP_LINE_MAX :
								HTTP_JSON_BODY_MAX };
	curl_easy_reset(spec->easy); /* keeps its connection */
	if (asprintf(&ex->url, "%s%s", spec->client->url, spec->path) < 0) {
		ex->url = NULL;
		return error_nomem(err);
	}
	if (spec->body && !(ex->body = json_dumps(spec->body, JSON_COMPACT)))
		return error_nomem(err);
	transport_set(ex);
	body_set(ex);
	SET(ex, ERRORBUFFER, ex->curl_text);
	SET(ex, PRIVATE, ex);
	SET(ex, BUFFERSIZE, RECEIVE_BUFFER);
	SET(ex, WRITEFUNCTION, spec->line ? on_lines : on_reply);
	SET(ex, WRITEDATA, ex);
	if (spec->cancel) {
		SET(ex, NOPROGRESS, 0L);
		SET(ex, XFERINFOFUNCTION, on_progress);
		SET(ex, XFERINFODATA, ex);
	}
	if (!headers_set(ex) || SET(ex, URL, ex->url) != CURLE_OK)
		return error_nomem(err);
	return 0;
}

void http_exchange_done(struct http_exchange *ex)
{
	/* the handle goes on without us */
	curl_easy_setopt(ex->spec.easy, CURLOPT_ERRORBUFFER, NULL);
	curl_easy_setopt(ex->spec.easy, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(TAKE_PTR(ex->header_list));
	free(TAKE_PTR(ex->url));
	free(TAKE_PTR(ex->body));
	free(TAKE_PTR(ex->reply));
	tls_identity_put(TAKE_PTR(ex->spec.tls));
}

/* ----------------------------------------------------------------------------------- judgment */

static const struct {
	CURLcode code;
	int err;
	const char *mend;
} causes[] = {
	{ CURLE_OPERATION_TIMEDOUT, ETIMEDOUT, "check that the host is up and not overloaded" },
	{ CURLE_COULDNT_CONNECT, ECONNREFUSED, "start the daemon there, or correct the address" },
	{ CURLE_COULDNT_RESOLVE_HOST, EHOSTUNREACH,
	  "correct the host's name, or give its address" },
	{ CURLE_URL_MALFORMAT, EINVAL, "correct the address" },
	{ CURLE_PEER_FAILED_VERIFICATION, EACCES,
	  "both hosts' certificates must be of one CA, and name their hosts: see `flowferry pki`" },
	{ CURLE_SSL_CONNECT_ERROR, EACCES,
	  "both hosts' certificates must be of one CA: see `flowferry pki`" },
	{ CURLE_SSL_CERTPROBLEM, EACCES, "check this host's certificate and key" },
	{ CURLE_SSL_CACERT_BADFILE, EACCES, "check this host's CA file" },
	{ CURLE_GOT_NOTHING, ECONNRESET, "see the log of the daemon there" },
	{ CURLE_RECV_ERROR, ECONNRESET, "see the log of the daemon there, and the certificates" },
	{ CURLE_SEND_ERROR, ECONNRESET, "see the log of the daemon there, and the certificates" },
	{ CURLE_OUT_OF_MEMORY, ENOMEM, "free some memory" },
};

static int judge_transport(struct http_exchange *ex, CURLcode code, struct ff_error *err)
{
	const char *text = ex->curl_text[0] ? ex->curl_text : curl_easy_strerror(code);
	const char *mend = "check the daemon there";
	long os_errno = 0;
	int e = EPROTO;

	for (size_t i = 0; i < ARRAY_SIZE(causes); i++) {
		if (causes[i].code == code) {
			e = causes[i].err;
			mend = causes[i].mend;
		}
	}
	curl_easy_getinfo(ex->spec.easy, CURLINFO_OS_ERRNO, &os_errno);
	if (code == CURLE_COULDNT_CONNECT && os_errno > 0) {
		e = (int)os_errno;
		text = strerror(e);
	}
	if (e == EACCES && ex->spec.client->socket_path)
		mend = "run it as root, or as the user that runs the daemon";
	return error_set(err, e, FF_CODE_UNREACHABLE, mend, "can't reach %s: %s",
			 ex->spec.client->base, text);
}

/* Our own callback ended it. */
static int judge_stop(struct http_exchange *ex, struct ff_error *err)
{
	const char *base = ex->spec.client->base;

	if (ex->line_result)
		return ex->line_result > 0 ? 0 : ex->line_result;
	if (ex->stop == -EMSGSIZE)
		return error_set(err, EMSGSIZE, FF_CODE_UNREACHABLE, "ask for less",
				 "%s answered more than %zu bytes to %s %s", base, ex->reply_max,
				 ex->spec.method, ex->spec.path);
	return error_set(err, ex->stop, FF_CODE_UNREACHABLE, NULL, "%s %s to %s was given up: %s",
			 ex->spec.method, ex->spec.path, base, strerror(-ex->stop));
}

static int judge_status(struct http_exchange *ex, unsigned int status, json_t *reply,
			struct ff_error *err)
{
	const char *code = http_code_of_status(status);
	struct ff_error told;

	if (!json_to_error(reply, http_errno_of_code(code), &told))
		return error_set(err, http_errno_of_code(code), code, NULL,
				 "%s answered %u to %s %s", ex->spec.client->base, status,
				 ex->spec.method, ex->spec.path);
	told.err = -http_errno_of_code(told.code);
	if (err)
		*err = told;
	return told.err;
}

int http_exchange_judge(struct http_exchange *ex, CURLcode code, unsigned int *ret_status,
			json_t **ret_reply, struct ff_error *err)
{
	_cleanup_json_ json_t *reply = NULL;
	long status = 0;
	int r = 0;

	if (ex->stop < 0)
		return judge_stop(ex, err);
	if (code != CURLE_OK)
		return judge_transport(ex, code, err);
	curl_easy_getinfo(ex->spec.easy, CURLINFO_RESPONSE_CODE, &status);
	if (ret_status)
		*ret_status = (unsigned int)status;
	if (ex->spec.line && status < 400) {
		r = line_emit(ex); /* the last line may lack its newline */
		return r > 0 ? 0 : r;
	}
	if (ex->reply_len > 0)
		r = json_parse(ex->reply, ex->reply_len, &reply, status < 400 ? err : NULL);
	if (status >= 400)
		return judge_status(ex, (unsigned int)status, reply, err);
	if (r < 0)
		return error_set(err, EPROTO, FF_CODE_UNREACHABLE,
				 "check that a flowferry daemon listens there",
				 "%s answered no JSON to %s %s", ex->spec.client->base,
				 ex->spec.method, ex->spec.path);
	if (ret_reply)
		*ret_reply = TAKE_PTR(reply);
	return 0;
}
