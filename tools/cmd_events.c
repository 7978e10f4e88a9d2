/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cmd_events.c - flowferry events [--follow]: what has happened, and what happens. */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "tools/cmd.h"
#include "tools/output.h"
#include "tools/remote.h"

#define EVENT_TEXT_MAX	 1024	    /* a message has at most 400, names 32 */
#define EVENTS_LIMIT	 20	    /* a screenful */
#define EVENTS_LIMIT_MAX 1000000    /* kept in memory until they are shown */
#define EVENTS_PAGE_MAX	 10000	    /* what the orchestrator gives at once */
#define EVENTS_AWAY_MS	 20000ull   /* a restarting orchestrator is back within seconds */
#define EVENTS_PAUSE_NS	 250000000l /* between attempts to reach it */

struct events_options {
	bool follow;
	uint64_t limit;
	const char *since;
};

static const struct option_spec events_specs[] = {
	{ .name = "follow",
	  .letter = 'f',
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct events_options, follow),
	  .help = "stay, and show events as they happen" },
	{ .name = "limit",
	  .kind = OPTION_NUMBER,
	  .offset = offsetof(struct events_options, limit),
	  .value = "N",
	  .min = 1,
	  .max = EVENTS_LIMIT_MAX,
	  .help = "of those that there are, only the last N; 20 by default, all with --since" },
	{ .name = "since",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct events_options, since),
	  .value = "SEQ",
	  .help = "only events after the one of this number" },
	{},
};

/* Events come as lines; the last `limit` are kept in a ring until the list has ended. */
struct events {
	const struct call *call;
	char **ring; /* NULL: show each at once */
	size_t limit, count;
	uint64_t seq; /* the highest seen */
};

/* "fw-1" names neither "fw" nor "fw-12". */
static bool names(const char *message, const char *name)
{
	static const char in_names[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				       "0123456789-_";
	size_t len = strlen(name);

	for (const char *at = message; *at && (at = strstr(at, name)); at++)
		if ((at == message || !strchr(in_names, at[-1])) &&
		    (!at[len] || !strchr(in_names, at[len])))
			return true;
	return false;
}

/* What it is about, as far as its message doesn't name it. */
static void event_show(const struct events *events, const json_t *event, const char *line)
{
	static const char *const things[] = { "service", "instance", "host", "operation" };
	const char *message = field_text(event, "message");
	char text[EVENT_TEXT_MAX], time[UNIT_TEXT_MAX];
	int n;

	if (call_json(events->call)) {
		puts(line);
		return;
	}
	n = snprintf(text, sizeof(text), "%-20s", field_text(event, "kind"));
	for (size_t i = 0; i < ARRAY_SIZE(things) && n < EVENT_TEXT_MAX; i++) {
		const char *value = field_text(event, things[i]);

		if (strcmp(value, "-") != 0 && !names(message, value))
			n += snprintf(text + n, sizeof(text) - (size_t)n, "  %s %s", things[i],
				      value);
	}
	if (n < EVENT_TEXT_MAX)
		snprintf(text + n, sizeof(text) - (size_t)n, "  %s", message);
	printf("%s%-19s%s  %s\n", colour_code(stdout, COLOUR_DIM), field_time(event, "time", time),
	       colour_code(stdout, COLOUR_NONE), text_clean(text));
}

static void line_show(struct events *events, const char *line)
{
	_cleanup_json_ json_t *event = json_loads(line, 0, NULL);

	if (json_is_object(event))
		event_show(events, event, line);
}

static int line_take(void *ctx, const char *line, size_t len)
{
	struct events *events = ctx;
	_cleanup_json_ json_t *event = json_loadb(line, len, 0, NULL);
	uint64_t seq = field_count(event, "seq");
	size_t place;

	if (!json_is_object(event))
		return 0; /* not for us: a kind of line that a later version may know */
	events->seq = seq > events->seq ? seq : events->seq;
	if (!events->ring) {
		event_show(events, event, line);
		fflush(stdout);
		return ferror(stdout) ? -EPIPE : 0;
	}
	place = events->count++ % events->limit;
	free(events->ring[place]);
	events->ring[place] = strdup(line);
	return events->ring[place] ? 0 : -ENOMEM;
}

/* One request: what there is after events->seq, or, with `last`, only the last `limit`. */
static int events_get(struct call *call, struct events *events, bool follow, bool last,
		      struct ff_error *err)
{
	_cleanup_free_ char *path = uri_build("/v1/events");

	if (last)
		uri_query_number(&path, "limit", MIN(events->limit, (size_t)EVENTS_PAGE_MAX));
	else
		uri_query_number(&path, "since", events->seq);
	if (follow)
		uri_query(&path, "follow", "1");
	return http_follow(call->client, path, NULL, line_take, events, NULL, err);
}

/* Page after page: one answer needn't hold all. */
static int events_get_since(struct call *call, struct events *events, struct ff_error *err)
{
	uint64_t before;
	int r;

	do {
		before = events->seq;
		r = events_get(call, events, false, false, err);
	} while (r == 0 && events->seq > before);
	return r;
}

static int stream_fail(struct call *call, struct ff_error *err)
{
	bool away = strcmp(err->code, FF_CODE_UNREACHABLE) == 0;

	return remote_fail(call, away ? 0 : http_status_of_code(err->code), err);
}

static void ring_free(struct events *events)
{
	for (size_t i = 0; events->ring && i < events->limit; i++)
		free(events->ring[i]);
	free(events->ring);
	events->ring = NULL;
}

/* Those that there are, the last `limit` of them. */
static int past_show(struct call *call, struct events *events, bool since)
{
	struct ff_error err = {};
	size_t first;
	int r;

	events->ring = calloc(events->limit, sizeof(*events->ring));
	if (!events->ring) {
		error_nomem(&err);
		return stream_fail(call, &err);
	}
	r = since ? events_get_since(call, events, &err) :
		    events_get(call, events, false, true, &err);
	first = events->count > events->limit ? events->count - events->limit : 0;
	for (size_t i = first; r == 0 && i < events->count; i++)
		line_show(events, events->ring[i % events->limit]);
	ring_free(events);
	return r < 0 ? stream_fail(call, &err) : 0;
}

/* `| head -1` has what it wanted: a write would tell, but the next event may be days away. */
static void *reader_watch(void *none)
{
	struct pollfd out = { .fd = STDOUT_FILENO }; /* its end is told unasked */

	while (poll(&out, 1, -1) < 0 && errno == EINTR)
		;
	raise(SIGPIPE);
	_exit(CLI_FAILED); /* where that is ignored */
	return none;
}

/* Goes on where it was when the orchestrator restarts; gives up when it stays away. */
static int future_show(struct call *call, struct events *events)
{
	const struct timespec pause = { 0, EVENTS_PAUSE_NS };
	uint64_t away_ns = 0;
	struct ff_error err;
	pthread_t watch;
	uint64_t seq;
	int r;

	fflush(stdout);
	if (pthread_create(&watch, NULL, reader_watch, NULL) == 0)
		pthread_detach(watch);
	for (;;) {
		memset(&err, 0, sizeof(err));
		seq = events->seq;
		r = events_get(call, events, true, false, &err);
		if (ferror(stdout))
			return CLI_FAILED; /* main() says why */
		if (r == 0 || events->seq != seq)
			away_ns = 0; /* it was there */
		else if (strcmp(err.code, FF_CODE_UNREACHABLE) != 0)
			return stream_fail(call, &err);
		if (!away_ns)
			away_ns = clock_ns();
		else if (clock_ns() - away_ns > EVENTS_AWAY_MS * NSEC_PER_MSEC)
			return stream_fail(call, &err);
		nanosleep(&pause, NULL);
	}
}

static int events_run(struct call *call)
{
	const struct events_options *o = call->options;
	struct events events = { .call = call };
	struct ff_error err = {};
	int r;

	if (o->since && number_parse(o->since, 0, INT64_MAX, &events.seq) < 0) {
		error_set(&err, EINVAL, FF_CODE_BAD_REQUEST,
			  "give an event's number, `seq` in JSON", "--since can't be '%s'",
			  o->since);
		return call_usage(call, &err);
	}
	events.limit = o->limit ?: o->since ? EVENTS_LIMIT_MAX : EVENTS_LIMIT;
	r = remote_open(call);
	if (!r)
		r = past_show(call, &events, o->since);
	if (!r && o->follow)
		r = future_show(call, &events);
	return r;
}

static const struct example events_examples[] = {
	{ "events", "The last events:" },
	{ "events --follow", "And what happens from now on, until Ctrl-C:" },
	{ "events --follow -o json | jq -c 'select(.kind==\"move\")'",
	  "Moves only, for a program:" },
	{},
};

const struct command command_events = {
	.name = "events",
	.summary = "what has happened, and with --follow what happens",
	.description = "Shows events: hosts that come and go, services and instances that change, "
		       "operations that begin and end. With -o json, one JSON object a line.",
	.run = events_run,
	.options = events_specs,
	.options_size = sizeof(struct events_options),
	.examples = events_examples,
	.remote = true,
};
