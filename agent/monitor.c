/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/monitor.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>

#include "agent/agent.h"
#include "agent/monitor_ring.h"
#include "agent/probe.h"
#include "lib/clock.h"
#include "lib/json_text.h"
#include "lib/log.h"
#include "lib/netlink_watch.h"

struct monitor {
	struct agent *agent;
	struct monitor_ring *ring;
	struct nl_sock *watch;
	int timer_fd;
	int stop_fd;
	unsigned int period_ms;
	struct json_text sample, missing; /* of the sample under way; their memory is kept */
	uint64_t skipped; /* samples that fell into the time that another one took */
	bool running;
	pthread_t thread;
	struct source {
		void *state;
		bool open;
		uint64_t read_ns; /* CLOCK_MONOTONIC; 0: never */
	} sources[PROBES];
};

/* ---- samples --------------------------------------------------------------------------------- */

static int source_read(struct monitor *monitor, size_t i, uint64_t now_ns, struct ff_error *err)
{
	struct source *source = &monitor->sources[i];
	const struct probe *probe = probes[i];
	int r = 0;

	if (!source->open && probe->open)
		r = probe->open(monitor->agent, &source->state, err);
	source->open = !r;
	if (!r)
		r = probe->read(monitor->agent, source->state, now_ns, &monitor->sample, err);
	if (r && source->open && probe->close) {
		probe->close(source->state);
		source->open = false;
	}
	return r;
}

/* The probe's part of the sample, or the reason why there is none. */
static void source_put(struct monitor *monitor, size_t i, uint64_t now_ns)
{
	struct source *source = &monitor->sources[i];
	struct json_text *sample = &monitor->sample;
	size_t before = sample->len, named;
	struct ff_error err = {};
	int r;

	/* a timer is never quite on time: a sample that is a little early is the right one */
	if (source->read_ns && now_ns - source->read_ns + monitor->period_ms * NSEC_PER_MSEC / 2 <
				       probes[i]->period_ms * NSEC_PER_MSEC)
		return;
	source->read_ns = now_ns;
	json_text_name(sample, probes[i]->name);
	named = sample->len;
	r = source_read(monitor, i, now_ns, &err);
	if (r)
		json_text_str(&monitor->missing, probes[i]->name, err.message);
	if (r || sample->len == named)
		json_text_cut(sample, before);
}

static uint64_t thread_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

static void line_begin(const struct monitor *monitor, struct json_text *line, const char *kind,
		       uint64_t now_ns)
{
	json_text_open(line, NULL, '{');
	json_text_str(line, "kind", kind);
	json_text_uint(line, "agent_ns", monitor->agent->started_ns);
	json_text_uint(line, "time_ns", now_ns);
	json_text_uint(line, "wall_ms", clock_wall_ms());
}

static void line_end(struct monitor *monitor, struct json_text *line, bool sample)
{
	json_text_close(line, '}');
	if (line->failed || monitor_ring_put(monitor->ring, line->text, line->len, sample))
		log_warn("monitor: out of memory, a line is lost");
	else
		http_server_wake_streams(monitor->agent->server);
}

static void sample_take(struct monitor *monitor)
{
	struct json_text *sample = &monitor->sample, *missing = &monitor->missing;
	uint64_t now_ns = clock_ns();

	json_text_reset(sample);
	json_text_reset(missing);
	line_begin(monitor, sample, "sample", now_ns);
	health_look(monitor->agent);
	json_text_uint(sample, "period_ms", monitor->period_ms);
	json_text_uint(sample, "skipped", monitor->skipped);
	json_text_uint(sample, "cost_ns", thread_cpu_ns()); /* of all samples so far */
	json_text_open(missing, NULL, '{');
	for (size_t i = 0; i < PROBES; i++)
		source_put(monitor, i, now_ns);
	json_text_close(missing, '}');
	json_text_add(sample, "missing", missing);
	line_end(monitor, sample, true);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void event_put(void *ctx, const struct netlink_event *event)
{
	static const char *const names[] = {
		[NETLINK_LINK] = "link", [NETLINK_ADDRESS] = "address", [NETLINK_LOST] = "lost"
	};
	struct monitor *monitor = ctx;
	_cleanup_json_text_ struct json_text line = { 0 };
	char addr[ADDR_TEXT_MAX], prefix[ADDR_TEXT_MAX + sizeof("/128")];

	line_begin(monitor, &line, "event", clock_ns());
	json_text_str(&line, "event", names[event->kind]);
	if (event->kind != NETLINK_LOST) {
		json_text_str(&line, "interface", event->name);
		json_text_uint(&line, "ifindex", event->ifindex);
		json_text_bool(&line, "gone", event->gone);
	}
	if (event->kind == NETLINK_LINK) {
		json_text_bool(&line, "up", event->up);
		json_text_bool(&line, "carrier", event->carrier);
		json_text_uint(&line, "mtu", event->mtu);
	} else if (event->kind == NETLINK_ADDRESS) {
		snprintf(prefix, sizeof(prefix), "%s/%u", addr_format(&event->addr, addr),
			 event->prefix_len);
		json_text_str(&line, "address", prefix);
	}
	line_end(monitor, &line, false);
}

void monitor_event(struct monitor *monitor, const char *event, json_t *fields)
{
	_cleanup_json_text_ struct json_text line = { 0 };
	const char *name;
	json_t *value;

	line_begin(monitor, &line, "event", clock_ns());
	json_text_str(&line, "event", event);
	json_object_foreach(fields, name, value)
		json_text_value(&line, name, json_incref(value));
	line_end(monitor, &line, false);
	json_decref(fields);
}

/* Without it, links are still seen in each sample: so a failure is no end, only a warning. */
static void watch_read(struct monitor *monitor)
{
	int r = netlink_watch_read(monitor->watch, event_put, monitor);

	if (!r)
		return;
	log_warn("monitor: no more news of links and addresses: %s", strerror(-r));
	netlink_close(monitor->watch);
	monitor->watch = NULL;
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void *monitor_run(void *arg)
{
	struct monitor *monitor = arg;

	for (;;) {
		struct pollfd fds[] = {
			{ .fd = monitor->stop_fd, .events = POLLIN },
			{ .fd = monitor->timer_fd, .events = POLLIN },
			{ .fd = monitor->watch ? netlink_watch_fd(monitor->watch) : -1,
			  .events = POLLIN },
		};
		uint64_t expired;

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			continue;
		if (fds[0].revents)
			break;
		if (fds[2].revents)
			watch_read(monitor);
		if (fds[1].revents && read(monitor->timer_fd, &expired, sizeof(expired)) > 0) {
			monitor->skipped += expired - 1;
			sample_take(monitor);
		}
	}
	for (size_t i = 0; i < PROBES; i++)
		if (monitor->sources[i].open && probes[i]->close)
			probes[i]->close(monitor->sources[i].state);
	return NULL;
}

static int timer_open(struct monitor *monitor, struct ff_error *err)
{
	struct timespec period = {
		.tv_sec = monitor->period_ms / 1000,
		.tv_nsec = (long)(monitor->period_ms % 1000 * NSEC_PER_MSEC),
	};
	struct itimerspec timer = { period, period };

	monitor->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	monitor->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (monitor->timer_fd < 0 || monitor->stop_fd < 0 ||
	    timerfd_settime(monitor->timer_fd, 0, &timer, NULL) < 0)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL,
				 "can't make the monitor's timer: %s", strerror(errno));
	return 0;
}

int monitor_new(struct agent *agent, struct monitor **ret, struct ff_error *err)
{
	struct monitor *monitor = calloc(1, sizeof(*monitor));
	int r;

	if (!monitor)
		return error_nomem(err);
	monitor->agent = agent;
	monitor->period_ms = agent->config->monitor->period_ms;
	monitor->timer_fd = monitor->stop_fd = -1;
	r = monitor_ring_new(&monitor->ring);
	if (r)
		r = error_nomem(err);
	if (!r)
		r = timer_open(monitor, err);
	if (!r && netlink_watch_open(&monitor->watch))
		log_warn("monitor: no news of links and addresses");
	if (r) {
		monitor_free(monitor);
		return r;
	}
	*ret = monitor;
	return 0;
}

int monitor_start(struct monitor *monitor, struct ff_error *err)
{
	int r = pthread_create(&monitor->thread, NULL, monitor_run, monitor);

	if (r)
		return error_set(err, r, FF_CODE_INTERNAL, "raise the limit of threads",
				 "can't start the monitor: %s", strerror(r));
	monitor->running = true;
	return 0;
}

void monitor_stop(struct monitor *monitor)
{
	if (!monitor || !monitor->running)
		return;
	eventfd_write(monitor->stop_fd, 1);
	pthread_join(monitor->thread, NULL);
	monitor->running = false;
}

void monitor_free(struct monitor *monitor)
{
	if (!monitor)
		return;
	netlink_close(monitor->watch);
	if (monitor->timer_fd >= 0)
		close(monitor->timer_fd);
	if (monitor->stop_fd >= 0)
		close(monitor->stop_fd);
	monitor_ring_free(monitor->ring);
	json_text_done(&monitor->sample);
	json_text_done(&monitor->missing);
	free(monitor);
}

int monitor_answer(struct monitor *monitor, struct http_request *req, struct http_response *resp)
{
	int64_t limit;
	int r = req_query_int(req, "limit", 1, INT64_MAX, 0, &limit, resp_err(resp));

	return r ? r : monitor_ring_answer(monitor->ring, (uint64_t)limit, resp);
}
