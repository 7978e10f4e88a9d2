/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cmd_drain.c - flowferry drain HOST [--deadline TIME] [--no-wait]; undrain HOST */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "tools/cmd.h"
#include "tools/duration.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/remote.h"

#define DEADLINE_DEFAULT "60s"
#define DEADLINE_MAX_MS	 (7 * 24 * 3600 * 1000ull) /* the API's own bound */
#define POLL_MS		 200			   /* as fast as a person reads */
#define AWAY_MS		 20000			   /* a restarting orchestrator is back by then */

struct drain_options {
	const char *deadline;
	bool no_wait;
};

static const struct option_spec drain_specs[] = {
	{ .name = "deadline",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct drain_options, deadline),
	  .value = "TIME",
	  .help = "it should be empty by then, for example 90s or 10m; 60s by default" },
	{ .name = "no-wait",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct drain_options, no_wait),
	  .help = "don't wait until it is empty" },
	{},
};

static bool is_live(void)
{
	return isatty(STDERR_FILENO);
}

static void progress_show(const json_t *host)
{
	const json_t *drain = json_object_get(host, "drain");
	uint64_t since_ms = field_count(drain, "since_ms"), now_ms = clock_wall_ms();
	char slots[UNIT_TEXT_MAX], pins[UNIT_TEXT_MAX], since[UNIT_TEXT_MAX];

	if (!is_live())
		return;
	fprintf(stderr,
		"\r\033[Kdraining %s: %s slots, %s pins, %s rules left, on %s instances  %s",
		field_text(host, "name"), count_format(field_count(drain, "slots"), slots),
		count_format(field_count(drain, "pins"), pins), field_text(drain, "rules"),
		field_text(drain, "instances"),
		duration_format(now_ms > since_ms ? (now_ms - since_ms) * USEC_PER_MSEC : 0,
				since));
}

/* One look at the host. *ret_host NULL: the orchestrator can't be reached just now. */
static int host_look(struct call *call, const char *path, uint64_t *answered_ns, json_t **ret_host)
{
	struct ff_error err = {};
	unsigned int status = 0;

	if (remote_try(call, "GET", path, REMOTE_TIMEOUT_MS, &status, ret_host, &err) == 0) {
		*answered_ns = clock_ns();
		return 0;
	}
	if ((status && status != 503) || clock_ns() - *answered_ns > AWAY_MS * NSEC_PER_MSEC)
		return remote_fail(call, status, &err);
	return 0;
}

/* Ctrl-C: unlike a move's, it cancels nothing, which somebody who presses it should know. */
static int left_alone(const struct call *call, const char *name)
{
	struct ff_error err = {};

	if (is_live())
		fputs("\r\033[K", stderr);
	error_set(&err, ECANCELED, FF_CODE_INTERNAL, NULL,
		  "the drain of %s goes on; `flowferry undrain %s` takes it back", name, name);
	call_error(call, &err);
	return CLI_FAILED;
}

/* Until the host is empty, late, or not to be emptied any more. */
static int drain_follow(struct call *call, const char *name, json_t **ret_host)
{
	_cleanup_free_ char *path = uri_build("/v1/hosts/%s", name);
	uint64_t answered_ns = clock_ns();

	for (;;) {
		_cleanup_json_ json_t *host = NULL;
		const json_t *drain;
		int r;

		if (progress_interrupted())
			return left_alone(call, name);
		r = host_look(call, path, &answered_ns, &host);
		if (r)
			return r;
		drain = json_object_get(host, "drain");
		if (host && (!drain || json_is_true(json_object_get(drain, "empty")) ||
			     json_is_true(json_object_get(drain, "late")))) {
			if (is_live())
				fputs("\r\033[K", stderr);
			*ret_host = TAKE_PTR(host);
			return 0;
		}
		if (host)
			progress_show(host);
		clock_sleep_ns(POLL_MS * NSEC_PER_MSEC);
	}
}

/* What has become of it; the exit status. */
static int drain_end(struct call *call, const json_t *host)
{
	const json_t *drain = json_object_get(host, "drain");
	const char *name = field_text(host, "name");
	char text[UNIT_TEXT_MAX];
	struct ff_error err;

	if (json_is_true(json_object_get(drain, "empty"))) {
		if (!call_json(call))
			printf("%s is empty, after %s\n", name,
			       duration_format((clock_wall_ms() - field_count(drain, "since_ms")) *
						       USEC_PER_MSEC,
					       text));
		return CLI_DONE;
	}
	if (!drain)
		error_set(&err, ECANCELED, FF_CODE_REFUSED, NULL,
			  "somebody has taken the drain of %s back", name);
	else
		error_set(
			&err, ETIMEDOUT, FF_CODE_BUSY,
			"it goes on; `flowferry conditions` and `flowferry events` say what is in "
			"the way; `flowferry undrain` takes it back",
			"%s isn't empty by its deadline: %" PRIu64 " slots, %" PRIu64
			" pins and %" PRIu64 " rules are left",
			name, field_count(drain, "slots"), field_count(drain, "pins"),
			field_count(drain, "rules"));
	call_error(call, &err);
	return CLI_FAILED;
}

static int drain_run(struct call *call)
{
	const struct drain_options *o = call->options;
	_cleanup_free_ char *path = uri_build("/v1/hosts/%s/drain", call->args[0]);
	_cleanup_json_ json_t *body = NULL, *host = NULL;
	struct ff_error err = {};
	uint64_t deadline_ms;
	int r;

	if (duration_parse(o->deadline ?: DEADLINE_DEFAULT, 1, DEADLINE_MAX_MS, &deadline_ms) < 0) {
		error_set(&err, EINVAL, FF_CODE_BAD_REQUEST, "write 500ms, 90s, 10m or 2h",
			  "--deadline can't be '%s'", o->deadline);
		return call_usage(call, &err);
	}
	body = json_pack("{sI}", "deadline_ms", (json_int_t)deadline_ms);
	r = remote_call(call, "POST", path, body, &host);
	if (r == 0 && !o->no_wait) {
		json_decref(host);
		host = NULL;
		progress_interrupts_catch();
		r = drain_follow(call, call->args[0], &host);
	}
	if (r)
		return r;
	if (call_json(call))
		json_print(host);
	else if (o->no_wait)
		printf("%s is being emptied; `flowferry hosts %s` shows how far it is\n",
		       call->args[0], call->args[0]);
	return o->no_wait ? CLI_DONE : drain_end(call, host);
}

static const struct argument host_arguments[] = {
	{ .name = "HOST", .complete = COMPLETE_HOST },
	{},
};

static const struct example drain_examples[] = {
	{ "drain nf2", "Empty a host before it is taken down, and wait until it is:" },
	{ "drain nf2 --deadline 10m --no-wait", "The same, without waiting:" },
	{ "hosts nf2 -o json | jq .drain", "How far it is:" },
	{ "undrain nf2", "Let it be used again:" },
	{},
};

const struct command command_drain = {
	.name = "drain",
	.summary = "empty a host: all that its instances own is moved elsewhere",
	.description =
		"Has everything that the host's instances own moved to other hosts, and gives it "
		"nothing new, until `flowferry undrain`. Within each service's policy where there "
		"is one: placement, capacity, freeze and bandwidth bounds hold, and instances are "
		"created elsewhere if there is need. The host's instances stay, empty; so does its "
		"part as a steering host.\n\n"
		"Waits until the host is empty (exit 0) or the deadline has passed (exit 1; the "
		"drain goes on). Ctrl-C stops waiting, not the drain.",
	.run = drain_run,
	.options = drain_specs,
	.options_size = sizeof(struct drain_options),
	.arguments = host_arguments,
	.examples = drain_examples,
	.remote = true,
};

static int undrain_run(struct call *call)
{
	_cleanup_free_ char *path = uri_build("/v1/hosts/%s/undrain", call->args[0]);
	_cleanup_json_ json_t *host = NULL;
	int r;

	r = remote_call(call, "POST", path, NULL, &host);
	if (r)
		return r;
	if (call_json(call))
		json_print(host);
	else
		printf("%s may be used again\n", call->args[0]);
	return CLI_DONE;
}

const struct command command_undrain = {
	.name = "undrain",
	.summary = "let a drained host be used again",
	.description =
		"Takes a drain back, also one under way. Nothing returns at once: the host's "
		"instances get flows again when a plan gives them some, or somebody moves them.",
	.run = undrain_run,
	.arguments = host_arguments,
	.examples = drain_examples,
	.remote = true,
};
