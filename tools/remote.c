/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* remote.c - a verb's conversation with the orchestrator; see remote.h. */

#include "tools/remote.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "tools/output.h"

const char *remote_name(const struct call *call)
{
	return call->client ? http_client_base(call->client) : "the orchestrator";
}

/* Which of the ways to it was chosen, and is it whole? */
static int base_choose(const struct call *call, const char **ret_base, struct ff_error *err)
{
	const struct common_options *c = &call->common;
	const char *env = getenv(REMOTE_SOCKET_ENV);
	bool tls = c->ca || c->cert || c->key;

	if (tls && !c->url)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
				 "name the orchestrator with --url https://HOST:PORT",
				 "--ca, --cert and --key go with --url");
	if (c->url && strncmp(c->url, "https://", 8) != 0 && strncmp(c->url, "http://", 7) != 0)
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, "write https://HOST:PORT",
				 "--url can't be '%s'", c->url);
	if (c->url && strncmp(c->url, "https://", 8) == 0 && !(c->ca && c->cert && c->key))
		return error_set(
			err, EINVAL, FF_CODE_BAD_REQUEST, "make them with `flowferry pki issue`",
			"--url %s needs --ca, --cert and --key: both ends show a certificate",
			c->url);
	*ret_base = c->url ?: c->socket ?: env && *env ? env : REMOTE_SOCKET;
	if (!c->url && **ret_base != '/')
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
				 "give the socket's absolute path",
				 "the orchestrator's socket can't be '%s'", *ret_base);
	return 0;
}

int remote_open(struct call *call)
{
	struct tls_files tls = { call->common.ca, call->common.cert, call->common.key };
	struct ff_error err = {};
	const char *base = NULL;

	if (call->client)
		return 0;
	if (base_choose(call, &base, &err) < 0)
		return call_usage(call, &err);
	if (http_client_new(base, tls.ca ? &tls : NULL, &call->client, &err) < 0) {
		call_error(call, &err);
		return CLI_UNREACHABLE;
	}
	return 0;
}

/* "unreachable" of the orchestrator itself, in words that lead to the mend on this machine. */
static void unreachable_explain(const struct call *call, struct ff_error *err)
{
	if (call->common.url)
		return; /* the client's own words name host, cause and mend */
	if (err->err == -ENOENT || err->err == -ECONNREFUSED || !*err->mend)
		snprintf(err->mend, sizeof(err->mend),
			 "start it (flowferry-orchestrator, or flowferry lab up), "
			 "or name another with --socket or --url");
}

int remote_fail(struct call *call, unsigned int http_status, struct ff_error *err)
{
	_cleanup_json_ json_t *body = NULL;

	if (!http_status)
		unreachable_explain(call, err);
	call_error(call, err);
	body = call_json(call) ? json_from_error(err) : NULL;
	if (body)
		json_print(body);
	if (!http_status)
		return CLI_UNREACHABLE;
	return strcmp(err->code, FF_CODE_BAD_REQUEST) == 0 ? CLI_USAGE : CLI_FAILED;
}

int remote_try(struct call *call, const char *method, const char *path, unsigned int timeout_ms,
	       unsigned int *ret_status, json_t **ret_reply, struct ff_error *err)
{
	return http_call(call->client, method, path, NULL, NULL, timeout_ms, ret_status, ret_reply,
			 err);
}

int remote_unless(struct call *call, const char *method, const char *path, unsigned int timeout_ms,
		  const atomic_bool *cancel, unsigned int *ret_status, json_t **ret_reply,
		  struct ff_error *err)
{
	return http_call_unless(call->client, method, path, NULL, NULL, timeout_ms, cancel,
				ret_status, ret_reply, err);
}

int remote_call(struct call *call, const char *method, const char *path, const json_t *body,
		json_t **ret_reply)
{
	_cleanup_json_ json_t *reply = NULL;
	struct ff_error err = {};
	unsigned int status = 0;
	int r;

	r = remote_open(call);
	if (r)
		return r;
	r = http_call(call->client, method, path, (json_t *)body, NULL, REMOTE_TIMEOUT_MS, &status,
		      &reply, &err);
	if (r < 0)
		return remote_fail(call, status, &err);
	if (reply && !json_is_object(reply)) {
		error_set(&err, EPROTO, FF_CODE_INTERNAL,
			  "see that it is a flowferry orchestrator, of this version",
			  "%s answered %s %s with something that is no JSON object",
			  remote_name(call), method, path);
		return remote_fail(call, status, &err);
	}
	if (ret_reply)
		*ret_reply = reply ? TAKE_PTR(reply) : json_object();
	return 0;
}

int remote_get(struct call *call, const char *path, json_t **ret_reply)
{
	return remote_call(call, "GET", path, NULL, ret_reply);
}

/* ---- paths --------------------------------------------------------------------------------- */

static void escaped_write(FILE *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
		    strchr("-._~", c))
			fputc(c, out);
		else
			fprintf(out, "%%%02X", c);
	}
}

static FILE *text_open(char **text, size_t *size)
{
	FILE *out = open_memstream(text, size);

	if (!out) {
		fputs("flowferry: out of memory\n", stderr);
		exit(CLI_FAILED);
	}
	return out;
}

char *uri_build(const char *fmt, ...)
{
	char *text = NULL;
	size_t size;
	FILE *out = text_open(&text, &size);
	va_list ap;

	va_start(ap, fmt);
	for (; *fmt; fmt++) {
		if (fmt[0] == '%' && fmt[1] == 's') {
			escaped_write(out, va_arg(ap, const char *));
			fmt++;
		} else {
			fputc(*fmt, out);
		}
	}
	va_end(ap);
	fclose(out);
	return text;
}

void uri_query(char **uri, const char *name, const char *value)
{
	_cleanup_free_ char *old = *uri;
	size_t size;
	FILE *out;

	if (!value) {
		TAKE_PTR(old);
		return;
	}
	out = text_open(uri, &size);
	fprintf(out, "%s%c%s=", old, strchr(old, '?') ? '&' : '?', name);
	escaped_write(out, value);
	fclose(out);
}

void uri_query_number(char **uri, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	uri_query(uri, name, text);
}
