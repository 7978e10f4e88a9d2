/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* progress.c - following an operation to its end; see progress.h. */

#include "tools/progress.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "tools/output.h"
#include "tools/plan_table.h"
#include "tools/remote.h"
#include "tools/tables.h"
#include "tools/upgrade_table.h"

#define LINE_MAX_COLUMNS 200
#define INTERRUPTS_MAX	 2 /* cancel; leave it alone; one more ends the program at once */

/* How often Ctrl-C was pressed, or SIGTERM sent. A handler can do no more than count ... */
static volatile sig_atomic_t interrupts;
/* ... and end the request that is under way: what was asked for would else come after its answer. */
static atomic_bool interrupted;

struct follower {
	struct call *call;
	const char *id;
	bool asked; /* to cancel */
	bool live;
	uint64_t begun_ns;
	uint64_t answered_ns;
};

static void interrupt_count(int signal)
{
	(void)signal;
	if (++interrupts > INTERRUPTS_MAX)
		_exit(CLI_FAILED);
	atomic_store(&interrupted, true);
}

void progress_interrupts_catch(void)
{
	struct sigaction handler = { .sa_handler = interrupt_count }, before;

	sigemptyset(&handler.sa_mask);
	sigaction(SIGTERM, &handler, NULL);
	/* A script's background job must not see the Ctrl-C that is meant for the one in front. */
	if (sigaction(SIGINT, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
		sigaction(SIGINT, &handler, NULL);
}

bool progress_interrupted(void)
{
	return interrupts > 0;
}

/* ---- the line ------------------------------------------------------------------------------ */

static void line_clear(const struct follower *f)
{
	if (f->live)
		fputs("\r\033[K", stderr);
}

static void line_show(const struct follower *f, const char *text)
{
	struct winsize size;
	int width = 80;

	if (!f->live)
		return;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
		width = size.ws_col;
	/* One column less: a full line would wrap, and could not be taken back. */
	fprintf(stderr, "\r\033[K%.*s", width - 1, text);
}

static void plan_line(const struct follower *f, const json_t *op)
{
	char text[LINE_MAX_COLUMNS + 1], since[UNIT_TEXT_MAX];
	size_t done, all;

	plan_steps_count(op, &done, &all);
	snprintf(text, sizeof(text), "%splan: %zu of %zu steps  %s", f->asked ? "cancelling: " : "",
		 done, all, duration_format((clock_ns() - f->begun_ns) / 1000, since));
	line_show(f, text);
}

static void upgrade_line(const struct follower *f, const json_t *op)
{
	char text[LINE_MAX_COLUMNS + 1], since[UNIT_TEXT_MAX];
	size_t done, all;

	upgrade_count(op, &done, &all);
	snprintf(text, sizeof(text), "%supgrade: %zu of %zu instances; %s  %s",
		 f->asked ? "cancelling: " : "", done, all, field_text(op, "phase"),
		 duration_format((clock_ns() - f->begun_ns) / 1000, since));
	line_show(f, text_clean(text));
}

static void line_update(const struct follower *f, const json_t *op)
{
	char flows[UNIT_TEXT_MAX], bytes[UNIT_TEXT_MAX], parked[UNIT_TEXT_MAX],
		since[UNIT_TEXT_MAX];
	const char *phase = field_text(op, "phase");
	char text[LINE_MAX_COLUMNS + 1];

	if (operation_is_plan(op)) {
		plan_line(f, op);
		return;
	}
	if (operation_is_upgrade(op)) {
		upgrade_line(f, op);
		return;
	}
	snprintf(text, sizeof(text), "%s%-8s  %s flows  %s  round %s  %s parked  %s",
		 f->asked ? "cancelling: " : "",
		 strcmp(phase, "-") == 0 ? field_text(op, "state") : phase,
		 count_format(field_count(op, "flows"), flows),
		 bytes_format(field_count(op, "bytes"), bytes), field_text(op, "rounds"),
		 count_format(field_count(op, "packets_parked"), parked),
		 duration_format((clock_ns() - f->begun_ns) / 1000, since));
	line_show(f, text_clean(text));
}

/* ---- following ----------------------------------------------------------------------------- */

static void pause_ms(unsigned int ms)
{
	struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL); /* Ctrl-C may cut it short: welcome */
}

static int lost(struct follower *f, unsigned int status, struct ff_error *err)
{
	line_clear(f);
	if (status != 404)
		error_prefix(err, "operation %s, which goes on by itself, can't be followed",
			     f->id);
	return remote_fail(f->call, status, err);
}

/* Asks once. A refusal (it has passed `final`) isn't an error here: it ends by itself, then. */
static void cancel_ask(struct follower *f)
{
	_cleanup_free_ char *path = uri_build("/v1/operations/%s", f->id);
	struct ff_error err = {};
	unsigned int status;
	int r;

	f->asked = true;
	line_clear(f);
	r = remote_unless(f->call, "DELETE", path, REMOTE_TIMEOUT_MS, &interrupted, &status, NULL,
			  &err);
	if (r == -ECANCELED) { /* by the next Ctrl-C; or by the first one still, just before */
		f->asked = interrupts > 1;
		return;
	}
	if (r == 0)
		fprintf(stderr, "cancelling %s; Ctrl-C again leaves it to itself\n", f->id);
	else
		fprintf(stderr, "%s can't be cancelled: %s\n", f->id, text_clean(err.message));
}

static int left_alone(struct follower *f)
{
	struct ff_error err = {};

	line_clear(f);
	error_set(&err, ECANCELED, FF_CODE_INTERNAL, NULL,
		  "no longer followed; `flowferry operations --follow %s` takes it up again",
		  f->id);
	call_error(f->call, &err);
	return CLI_FAILED;
}

/* One long poll. 0 and a state, 0 without one (not reachable now, or Ctrl-C), or the exit status. */
static int poll_once(struct follower *f, const char *path, json_t **ret_operation)
{
	unsigned int wait = f->live ? PROGRESS_LIVE_MS : PROGRESS_QUIET_MS, status = 0;
	struct ff_error err = {};
	int r;

	r = remote_unless(f->call, "GET", path, wait + REMOTE_TIMEOUT_MS, &interrupted, &status,
			  ret_operation, &err);
	if (r == 0)
		f->answered_ns = clock_ns();
	if (r == 0 || r == -ECANCELED)
		return 0;
	/* 503: it is on its way down, or not quite up */
	if ((status && status != 503) ||
	    clock_ns() - f->answered_ns > PROGRESS_AWAY_MS * NSEC_PER_MSEC)
		return lost(f, status, &err);
	line_show(f, "waiting for the orchestrator to come back");
	pause_ms(PROGRESS_PAUSE_MS);
	return 0;
}

static int follow(struct follower *f, json_t **ret_operation)
{
	_cleanup_free_ char *path = uri_build("/v1/operations/%s", f->id);
	int r;

	uri_query_number(&path, "wait_ms", f->live ? PROGRESS_LIVE_MS : PROGRESS_QUIET_MS);
	for (;;) {
		_cleanup_json_ json_t *op = NULL;

		atomic_store(&interrupted, false); /* before the count is read: none is missed */
		if (interrupts > 1)
			return left_alone(f);
		if (interrupts && !f->asked)
			cancel_ask(f);
		r = poll_once(f, path, &op);
		if (r)
			return r;
		if (!op)
			continue;
		if (operation_ended(op)) {
			line_clear(f);
			*ret_operation = TAKE_PTR(op);
			return 0;
		}
		line_update(f, op);
	}
}

int progress_follow(struct call *call, const char *id, json_t **ret_operation)
{
	struct follower f = {
		.call = call,
		.id = id,
		.live = isatty(STDERR_FILENO),
		.begun_ns = clock_ns(),
		.answered_ns = clock_ns(),
	};
	int r;

	r = remote_open(call);
	return r ? r : follow(&f, ret_operation);
}

int operation_end(struct call *call, const json_t *accepted, bool no_wait)
{
	_cleanup_json_ json_t *op = NULL;
	int r;

	if (no_wait) {
		if (call_json(call))
			json_print(accepted);
		else
			printf("%s\n", field_text(accepted, "id"));
		return CLI_DONE;
	}
	r = progress_follow(call, field_text(accepted, "id"), &op);
	if (r)
		return r;
	if (call_json(call))
		json_print(op);
	else
		operation_print(op);
	return operation_status(call, op);
}
