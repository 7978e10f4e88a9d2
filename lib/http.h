/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the server (http_server.h) and the client (http_client.h) agree on: the limits and how an
 * error code of API.md travels as an HTTP status and comes back as an errno.
 */
#pragma once

#include <stddef.h>

#include "lib/tls.h"

/* The orchestrator's epoch, on every request that changes something (API.md). */
#define HTTP_HEADER_EPOCH "X-Flowferry-Epoch"

/* A table of a million pins is about 60 MB of JSON; nothing legitimate is larger. */
#define HTTP_JSON_BODY_MAX ((size_t)64 << 20)

/*
 * A refused body is read and thrown away up to here, so that its sender gets to read why it was
 * refused instead of a connection reset; what is longer still is cut off.
 */
#define HTTP_DISCARD_MAX ((size_t)256 << 20)

/* `code` of struct ff_error <-> HTTP status and errno. Unknown codes are `internal`. */
unsigned int http_status_of_code(const char *code);
int http_errno_of_code(const char *code); /* positive */
/* The code for an answer that has no error body (a proxy's, say): 404 -> "not-found" ... */
const char *http_code_of_status(unsigned int status);
