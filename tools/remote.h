/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * remote.h - a verb's conversation with the orchestrator.
 *
 * Each function returns 0, or the status to exit with: what went wrong has then been reported, on
 * stderr, and with -o json as the API's error object on stdout too.
 */
#pragma once

#include <jansson.h>
#include <stdatomic.h>

#include "lib/http_client.h"
#include "tools/cmd.h"

#define REMOTE_SOCKET	  "/run/flowferry/orchestrator.sock"
#define REMOTE_SOCKET_ENV "FLOWFERRY_SOCKET"

/* Lists and changes answer at once, but a list of flows may ask every host in turn. */
#define REMOTE_TIMEOUT_MS 30000

/* Makes call->client out of --socket, --url and so on; connects to nothing yet. */
int remote_open(struct call *call);
/* Where that is, for messages. */
const char *remote_name(const struct call *call);

/* One request; `body` is borrowed, ret may be NULL. *ret_reply is an object, {} for no content. */
int remote_call(struct call *call, const char *method, const char *path, const json_t *body,
		json_t **ret_reply);
int remote_get(struct call *call, const char *path, json_t **ret_reply);
/* The same, quietly: for callers that try again. *ret_status is 0 if nobody answered. */
int remote_try(struct call *call, const char *method, const char *path, unsigned int timeout_ms,
	       unsigned int *ret_status, json_t **ret_reply, struct ff_error *err);
/* Likewise, and given up soon after *cancel becomes true: -ECANCELED. */
int remote_unless(struct call *call, const char *method, const char *path, unsigned int timeout_ms,
		  const atomic_bool *cancel, unsigned int *ret_status, json_t **ret_reply,
		  struct ff_error *err);

/* Reports what a call ended with, and returns the status to exit with. */
int remote_fail(struct call *call, unsigned int http_status, struct ff_error *err);

/*
 * A path with each %s replaced by the next argument, escaped (RFC 3986), and a query added to it
 * where the value is not NULL. malloc'ed; the program ends when memory is out.
 */
char *uri_build(const char *fmt, ...);
void uri_query(char **uri, const char *name, const char *value);
void uri_query_number(char **uri, const char *name, uint64_t value);
