/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cli_fixture.h - the built `flowferry` against an orchestrator that is made up: lib/http_server.h
 * on a unix socket, canned answers, and a note of what was asked.
 */
#pragma once

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>

#include "lib/http_server.h"

#define CLI_TEXT_MAX 65536

struct cli_fixture {
	char dir[64], socket[96], binary[4096];
	struct http_server *server;

	pthread_mutex_t lock; /* guards what follows */
	char method[8], path[256];
	json_t *body; /* of the last request that had one */
	unsigned int requests;
	unsigned int polls;	/* of operation m1 */
	unsigned int polls_end; /* at which it ends */
	bool polls_last;	/* but for the first they are answered when it is cancelled */
	bool cancelled;
	const char *end_state;
};

extern struct cli_fixture cli;

/* What one run of the program left behind. */
struct cli_run {
	int status;
	char out[CLI_TEXT_MAX], err[CLI_TEXT_MAX];
};

/* cli_fixture_loop.c: the part of the orchestrator that decides. */
#define CLI_LOOP_ROUTES 12
extern const struct http_route cli_loop_routes[CLI_LOOP_ROUTES];
int cli_plan(struct http_request *req, struct http_response *resp);
int cli_upgrade(struct http_request *req, struct http_response *resp);
/* Keeps method, path and body of a request in `cli`. */
void cli_note(struct http_request *req);

/* Criterion's .init and .fini */
void cli_setup(void);
void cli_teardown(void);

/* Runs `flowferry ARGS`, ARGS as a shell reads them, with $FLOWFERRY_SOCKET set. One at a time. */
const struct cli_run *cli_run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same on a terminal, both streams in `out`; `keys` are typed once `after` has been shown. */
const struct cli_run *cli_run_tty(const char *after, const char *keys, const char *args);
/* stdout as JSON, which must be one valid value; borrowed until the next call. */
const json_t *cli_json(const struct cli_run *run);

/* A verb with its arguments, the last request that it makes, and what it shows. */
struct cli_verb {
	const char *args, *method;
	const char *path; /* NULL: it may be another one */
	const char *shows;
};

/* cli_verbs.c: each of them succeeds, as a table and as JSON. */
void cli_verbs_show(const struct cli_verb *verbs, size_t n);
void cli_verbs_json(const struct cli_verb *verbs, size_t n);

/* One text within another, with both shown when it isn't there. */
#define assert_has(text, part)                                                                     \
	cr_assert(strstr(text, part) != NULL, "no \"%s\" in:\n%s", part, text)
#define assert_status(run, want)                                                                   \
	cr_assert_eq((run)->status, want, "exit %d, not %d; stdout:\n%s\nstderr:\n%s",             \
		     (run)->status, want, (run)->out, (run)->err)
