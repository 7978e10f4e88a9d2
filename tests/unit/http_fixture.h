/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A server with a few routes on a unix socket and on mutual TLS, for the tests of lib/http_*. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "lib/clock.h"
#include "lib/http_client.h"
#include "lib/http_server.h"

#define HTTP_FIXTURE_MS 30000
/* What happens at once, on a machine that is busy with something else. */
#define HTTP_FIXTURE_SOON_NS (20 * NSEC_PER_SEC)

struct http_fixture {
	char dir[64];
	char socket[96], url4[64], url6[64];
	uint16_t port4;
	/* of the site's CA, and of a stranger's, which claims the same names */
	struct tls_files files, stranger;
	struct http_server *server;
	struct http_client *local, *remote; /* by the unix socket, by TLS over IPv4 */
	atomic_uint events;		    /* what /v1/events has to say so far */
	atomic_uint streams, uploads;	    /* contexts that are alive */
	atomic_uint slow;		    /* handlers in /v1/slow, /v1/turn and /v1/last */
	atomic_uint turn;		    /* handlers in /v1/turn?n= up to this one go on */
};

extern struct http_fixture fixture;

/* Criterion's .init and .fini */
void http_fixture_setup(void);
void http_fixture_teardown(void);

/* The daemon ends and starts again: the same socket, the same TLS port over IPv4. */
void http_fixture_restart(void);
/* One more event for the followers. */
void http_fixture_event(void);
/* GET, within HTTP_FIXTURE_MS; see http_call(). */
int http_fixture_get(struct http_client *client, const char *path, unsigned int *ret_status,
		     json_t **ret_reply, struct ff_error *err);
/* The text of a field; "(none)" if it isn't there, or no text. */
const char *http_fixture_text(const json_t *obj, const char *key);
/* FNV-1a, continued from `hash`; begin with 0 */
uint64_t http_fixture_hash(uint64_t hash, const void *data, size_t len);
/* Sends bytes as they are to the unix socket; the whole answer, for free(). */
char *http_fixture_raw(const char *request);
/* Waits until *value is `want`; fails the test after HTTP_FIXTURE_SOON_NS. */
void http_fixture_wait(const atomic_uint *value, unsigned int want, const char *what);
