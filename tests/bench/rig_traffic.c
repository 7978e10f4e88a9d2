/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* rig_traffic.c - `flowferry traffic run` beside a suite; see rig.h. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/install.h"
#include "lib/json.h"
#include "tests/bench/rig.h"

/* Of the rate that a figure names: the sender counts in ticks, and its last one may be short. */
#define RATE_REACHED  0.99
#define BEGUN	      0.99 /* of the flows that a figure needs idle */
#define BEGIN_MAX_S   60   /* a packet for each flow: some seconds for a million */

#define ARGUMENTS_MAX 16
#define ARGUMENT_MAX  32

struct command_line {
	char program[PATH_MAX];
	char text[ARGUMENTS_MAX][ARGUMENT_MAX];
	char *argv[ARGUMENTS_MAX + 1];
	size_t count;
};

static void argument_add(struct command_line *line, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void argument_add(struct command_line *line, const char *format, ...)
{
	char *text = line->text[line->count];
	va_list args;

	va_start(args, format);
	vsnprintf(text, ARGUMENT_MAX, format, args);
	va_end(args);
	line->argv[line->count++] = text;
}

static void udp_add(struct command_line *line, const struct rig_traffic_spec *spec)
{
	argument_add(line, spec->ipv6 ? "--ipv6" : "--ipv4");
	argument_add(line, "--flows=%" PRIu64, spec->flows);
	if (spec->rate)
		argument_add(line, "--rate=%" PRIu64, spec->rate);
	else
		argument_add(line, "--flat-out");
	if (spec->debt_ms)
		argument_add(line, "--debt=%u", spec->debt_ms);
	if (spec->port)
		argument_add(line, "--port=%u", spec->port);
	if (spec->count)
		argument_add(line, "--count=%" PRIu64, spec->count);
}

static void tcp_add(struct command_line *line, const struct rig_traffic_spec *spec)
{
	argument_add(line, "--proto=tcp");
	argument_add(line, "--tcp-echo");
	argument_add(line, "--tcp-flows=%u", spec->tcp_flows);
	argument_add(line, "--tcp-rate=%u", spec->tcp_rate);
}

static void command_line_make(struct command_line *line, const struct rig_traffic_spec *spec)
{
	line->count = 0;
	line->argv[line->count++] = line->program;
	argument_add(line, "traffic");
	argument_add(line, "run");
	argument_add(line, "--quiet");
	argument_add(line, "--output=json");
	if (spec->seconds)
		argument_add(line, "--duration=%u", spec->seconds);
	else
		argument_add(line, "--forever");
	if (spec->tcp_flows)
		tcp_add(line, spec);
	else
		udp_add(line, spec);
	line->argv[line->count] = NULL;
}

int rig_traffic_start(struct rig_traffic *traffic, const struct rig_traffic_spec *spec,
		      struct ff_error *err)
{
	posix_spawn_file_actions_t actions;
	struct command_line line;
	int r;

	*traffic = (struct rig_traffic){
		.fd = -1,
		.rate = spec->rate,
		.tcp = spec->tcp_flows != 0,
		.endless = !spec->seconds,
	};
	command_line_make(&line, spec);
	r = install_program("flowferry", line.program);
	if (r)
		return error_set(err, r, error_code(r), "build it first", "can't run %s: %s",
				 line.program, strerror(-r));
	traffic->fd = memfd_create("traffic", MFD_CLOEXEC);
	if (traffic->fd < 0)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "memfd_create: %m");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, traffic->fd, STDOUT_FILENO);
	r = posix_spawn(&traffic->pid, line.program, &actions, NULL, line.argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (!r)
		return 0;
	traffic->pid = 0;
	close(TAKE_FD(traffic->fd));
	return error_set(err, r, FF_CODE_INTERNAL, NULL, "can't run %s: %s", line.program,
			 strerror(r));
}

bool rig_traffic_running(const struct rig_traffic *traffic)
{
	siginfo_t info = {};

	/* left for rig_traffic_end() to wait for */
	return traffic->pid &&
	       waitid(P_PID, (id_t)traffic->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       !info.si_pid;
}

static int report_read(int fd, json_t **ret_report, struct ff_error *err)
{
	_cleanup_free_ char *text = NULL;
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "fstat: %m");
	text = malloc((size_t)stat.st_size + 1);
	if (!text)
		return error_nomem(err);
	if (pread(fd, text, (size_t)stat.st_size, 0) != stat.st_size || !stat.st_size)
		return error_set(err, EPROTO, FF_CODE_INTERNAL, NULL,
				 "flowferry traffic run has reported nothing");
	return json_parse(text, (size_t)stat.st_size, ret_report, err);
}

static double number(const json_t *report, const char *key)
{
	return json_number_value(json_object_get(report, key));
}

/* NULL: nothing is wrong. */
static char *verdict(const json_t *report, const struct rig_traffic *traffic)
{
	const json_t *forward = json_object_get(json_object_get(report, "udp"), "forward");
	char *text = NULL;
	int r = 0;

	if (number(report, "lost") || number(report, "duplicated") || number(report, "reordered") ||
	    number(report, "corrupted"))
		r = asprintf(&text,
			     "of %.0f packets %.0f were lost, %.0f duplicated, %.0f reordered, "
			     "%.0f corrupted",
			     number(report, "sent"), number(report, "lost"),
			     number(report, "duplicated"), number(report, "reordered"),
			     number(report, "corrupted"));
	else if (!json_is_true(json_object_get(report, "ok")) ||
		 (!traffic->tcp && number(forward, "received") < 1))
		r = asprintf(&text, "the traffic's judge isn't content");
	else if (number(forward, "rate") < RATE_REACHED * (double)traffic->rate)
		r = asprintf(&text, "the traffic reached %.0f of %" PRIu64 " packets/s",
			     number(forward, "rate"), traffic->rate);
	return r < 0 ? NULL : text;
}

int rig_traffic_end(struct rig_traffic *traffic, json_t **ret_report, char **ret_verdict,
		    struct ff_error *err)
{
	_cleanup_close_ int fd = TAKE_FD(traffic->fd);
	_cleanup_json_ json_t *report = NULL;
	int status, r;

	if (!traffic->pid)
		return error_set(err, ESRCH, FF_CODE_INTERNAL, NULL, "there is no traffic");
	if (traffic->endless)
		kill(traffic->pid, SIGTERM);
	while (waitpid(traffic->pid, &status, 0) < 0 && errno == EINTR)
		;
	traffic->pid = 0;
	r = report_read(fd, &report, err);
	if (r)
		return r;
	*ret_verdict = verdict(report, traffic);
	*ret_report = TAKE_PTR(report);
	return 0;
}

int rig_traffic_run(const struct rig_traffic_spec *spec, json_t **ret_report, struct ff_error *err)
{
	_cleanup_json_ json_t *report = NULL;
	_cleanup_free_ char *wrong = NULL;
	struct rig_traffic traffic;
	int r;

	r = rig_traffic_start(&traffic, spec, err);
	if (!r)
		r = rig_traffic_end(&traffic, &report, &wrong, err);
	if (!r && wrong)
		r = error_set(err, EPROTO, FF_CODE_INTERNAL, NULL, "%s", wrong);
	if (!r)
		*ret_report = TAKE_PTR(report);
	return r;
}

/* No measurement: a packet lost is a flow that hasn't begun, of which a few do no harm. */
int rig_flows_begin(uint64_t flows, uint16_t port, bool ipv6, struct ff_error *err)
{
	const struct rig_traffic_spec spec = {
		.flows = flows,
		.count = flows,
		.ipv6 = ipv6,
		.port = port,
		.seconds = BEGIN_MAX_S,
	};
	_cleanup_json_ json_t *report = NULL;
	_cleanup_free_ char *wrong = NULL;
	struct rig_traffic traffic;
	int r;

	r = rig_traffic_start(&traffic, &spec, err);
	if (!r)
		r = rig_traffic_end(&traffic, &report, &wrong, err);
	if (!r && number(report, "received") < BEGUN * (double)flows)
		r = error_set(err, EPROTO, FF_CODE_INTERNAL, NULL, "%s", wrong);
	return r;
}
