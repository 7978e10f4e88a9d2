/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/unit/cli_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/json.h"

#define RUN_MS_MAX    10000 /* a run that takes longer hangs */
#define POLL_LASTS_MS 20000 /* so does one that waits for the end of such a poll */

struct cli_fixture cli = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct cli_run run;
static json_t *parsed;

/* ---- the orchestrator ---------------------------------------------------------------------- */

void cli_note(struct http_request *req)
{
	pthread_mutex_lock(&cli.lock);
	snprintf(cli.method, sizeof(cli.method), "%s", req_method(req));
	snprintf(cli.path, sizeof(cli.path), "%s", req_path(req));
	cli.requests++;
	if (req_json(req)) {
		json_decref(cli.body);
		cli.body = json_deep_copy(req_json(req));
	}
	pthread_mutex_unlock(&cli.lock);
}

static int answer(struct http_request *req, struct http_response *resp, unsigned int status,
		  const char *text)
{
	json_error_t why;
	json_t *json = json_loads(text, 0, &why);

	cli_note(req);
	cr_assert(json != NULL, "bad test: %s in %s", why.text, text);
	return resp_json(resp, status, json);
}

static int get_status(struct http_request *req, struct http_response *resp)
{
	return answer(
		req, resp, 200,
		"{\"epoch\":7,\"version\":\"0.1.0\",\"hosts\":4,\"services\":1,\"instances\":2,"
		"\"operations\":{\"running\":0,\"completed\":3,\"failed\":1,\"rolled_back\":2},"
		"\"uptime_s\":3725}");
}

static int get_hosts(struct http_request *req, struct http_response *resp)
{
	return answer(
		req, resp, 200,
		"{\"hosts\":[{\"name\":\"gw\",\"id\":1,\"url\":\"https://198.18.8.1:4433\","
		"\"ipv4\":\"198.18.8.1\",\"ipv6\":\"2001:db8:8::1\",\"state\":\"up\","
		"\"steering\":true,\"cpus\":2,\"instances\":0,\"last_seen_ms\":120,"
		"\"reasons\":{\"pass-local\":12,\"drop-hops\":1234567,\"parked\":9}},"
		"{\"name\":\"nf1\",\"id\":2,\"url\":\"x\",\"ipv4\":\"198.18.8.11\","
		"\"ipv6\":\"2001:db8:8::11\",\"state\":\"down\",\"steering\":false,\"cpus\":2,"
		"\"instances\":1,\"last_seen_ms\":90000,\"reasons\":{}}]}");
}

#define SERVICE                                                                                    \
	"{\"name\":\"fw\",\"id\":1,\"nf\":\"firewall\",\"slots\":4096,\"class\":\"\","             \
	"\"instances\":[\"fw-1\",\"fw-2\"],\"pins\":1,\"rules\":[{\"index\":3,"                    \
	"\"match\":\"tcp and src net 198.18.1.0/24\",\"instance\":\"fw-2\","                       \
	"\"slots\":\"0-4095\",\"packets_per_s\":7.2,\"flows\":null}],\"table_version\":12,\"policy\":\"observe\"}"

static int get_services(struct http_request *req, struct http_response *resp)
{
	return answer(req, resp, 200, "{\"services\":[" SERVICE "]}");
}

static int get_service(struct http_request *req, struct http_response *resp)
{
	cli_note(req);
	if (strcmp(req_param(req, "name"), "fw") != 0)
		return error_set(resp_err(resp), ENOENT, FF_CODE_NOT_FOUND, "see /v1/services",
				 "there is no service '%s'", req_param(req, "name"));
	return answer(req, resp, 200, SERVICE);
}

static int get_table(struct http_request *req, struct http_response *resp)
{
	return answer(req, resp, 200,
		      "{\"slots\":4096,\"owners\":[[\"0-1023\",\"fw-1\"],[\"1024-4095\",\"fw-2\"]],"
		      "\"pins\":[{\"flow\":\"tcp 198.18.1.2:1 198.18.2.2:80\","
		      "\"instance\":\"fw-2\"}],\"rules\":[{\"index\":3,\"match\":\"udp\","
		      "\"instance\":\"fw-2\",\"slots\":\"0-9\"}]}");
}

static int get_instances(struct http_request *req, struct http_response *resp)
{
	static const char all[] =
		"{\"instances\":[{\"name\":\"fw-1\",\"id\":1,\"service\":\"fw\","
		"\"host\":\"nf1\",\"nf\":\"firewall\",\"state\":\"up\",\"slots\":1024,"
		"\"pins\":0,\"flows\":250000,\"capacity\":1000000,\"packets\":123456789,"
		"\"bytes\":9600000000,\"dropped\":5,\"flows_new\":300000,"
		"\"flows_refused\":2,\"xdp_prog_id\":9},{\"name\":\"mon-1\","
		"\"service\":\"mon\"},{\"name\":\"$(touch /tmp/x)\",\"service\":\"mon2\","
		"\"state\":\"\\u001b[31mup\"}]}";
	const char *of = req_query(req, "service", NULL);
	json_t *reply = json_loads(all, 0, NULL), *list = json_object_get(reply, "instances");

	cli_note(req);
	for (size_t i = json_array_size(list); of && i-- > 0;)
		if (strcmp(json_string_value(json_object_get(json_array_get(list, i), "service")),
			   of) != 0)
			json_array_remove(list, i);
	return resp_json(resp, 200, reply);
}

static int get_instance_state(struct http_request *req, struct http_response *resp)
{
	return answer(
		req, resp, 200,
		"{\"states\":[{\"name\":\"sources\",\"scope\":\"multi-flow\",\"schema\":\"ab\","
		"\"entries\":[{\"key\":\"198.18.1.2\",\"value\":{\"flows\":3}}]}]}");
}

#define FLOW                                                                                       \
	"{\"flow\":\"tcp 198.18.1.2:1234 198.18.2.2:80\",\"instance\":\"fw-1\","                   \
	"\"host\":\"gw\",\"slot\":77,\"how\":\"pin\",\"expires_ms\":431000,\"moves\":2,"           \
	"\"moved_by\":\"m1\",\"state\":{\"tcp_state\":\"established\",\"packets\":[3,4]}"

static int get_flows(struct http_request *req, struct http_response *resp)
{
	const char *limit = req_query(req, "limit", "");

	cr_assert(*limit != '\0');
	return answer(req, resp, 200, "{\"flows\":[" FLOW "}],\"scanned\":10,\"truncated\":true}");
}

static int get_flow(struct http_request *req, struct http_response *resp)
{
	if (strcmp(req_query(req, "flow", ""), "tcp 198.18.1.2:1234 198.18.2.2:80") != 0)
		return error_set(resp_err(resp), EINVAL, FF_CODE_BAD_REQUEST, NULL, "bad flow");
	return answer(req, resp, 200,
		      FLOW ",\"last_move\":{\"id\":\"m1\",\"from\":\"fw-2\","
			   "\"to\":\"fw-1\",\"state\":\"completed\",\"ended\":1700000000000}}");
}

/* Ends after cli.polls_end polls, or once it is cancelled. */
static json_t *operation_json(void)
{
	bool ended = cli.polls >= cli.polls_end || cli.cancelled;
	const char *state = !ended ? "running" : cli.cancelled ? "rolled-back" : cli.end_state;
	bool done = strcmp(state, "completed") == 0;

	return json_pack(
		"{ss ss ss ss ss ss ss ss ss ss sI sI sI sI sI sn sI sI s{sI sI} so sI sI}", "id",
		"m1", "kind", "move", "state", state, "phase", ended ? state : "precopy", "service",
		"fw", "from", "fw-1", "to", "fw-2", "guarantee", "order-preserving", "on_overflow",
		"abort", "note", "a filter of existing flows only", "flows", (json_int_t)100000,
		"bytes", (json_int_t)9600000, "rounds", (json_int_t)3, "packets_parked",
		(json_int_t)412, "packets_dropped", (json_int_t)0, "overflow", "freeze_us",
		(json_int_t)1830, "total_us", (json_int_t)412000, "phases_us", "prepare",
		(json_int_t)900, "precopy", (json_int_t)400000, "error",
		!ended || done ? json_null() :
				 json_pack("{ss ss ss}", "code", "unreachable", "message",
					   "nf2 went away", "mend", "see its log"),
		"created", (json_int_t)1700000000000, "ended", (json_int_t)1700000000412);
}

static void poll_last(void)
{
	for (int ms = 0; ms < POLL_LASTS_MS && !__atomic_load_n(&cli.cancelled, __ATOMIC_RELAXED);
	     ms++)
		usleep(1000);
}

static int get_operation(struct http_request *req, struct http_response *resp)
{
	json_t *op;

	if (strcmp(req_param(req, "id"), "p1") == 0)
		return cli_plan(req, resp);
	if (strcmp(req_param(req, "id"), "u1") == 0)
		return cli_upgrade(req, resp);
	cli_note(req);
	if (strcmp(req_param(req, "id"), "m1") != 0)
		return error_set(resp_err(resp), ENOENT, FF_CODE_NOT_FOUND, NULL,
				 "there is no operation '%s'", req_param(req, "id"));
	if (cli.polls_last && cli.polls)
		poll_last();
	else if (req_query(req, "wait_ms", NULL))
		usleep(50000); /* a long poll, cut short */
	pthread_mutex_lock(&cli.lock);
	cli.polls++;
	op = operation_json();
	pthread_mutex_unlock(&cli.lock);
	return resp_json(resp, 200, op);
}

static int get_operations(struct http_request *req, struct http_response *resp)
{
	cli_note(req);
	return resp_json(resp, 200, json_pack("{s[o]}", "operations", operation_json()));
}

static int delete_operation(struct http_request *req, struct http_response *resp)
{
	cli_note(req);
	if (cli.polls >= cli.polls_end)
		return error_set(resp_err(resp), EBUSY, FF_CODE_REFUSED, "wait for its end",
				 "m1 is past its final step");
	cli.cancelled = true;
	return resp_json(resp, 202, operation_json());
}

static int post_move(struct http_request *req, struct http_response *resp)
{
	const char *from = "";

	cli_note(req);
	json_get_str(req_json(req), "from", &from, NULL);
	if (strcmp(from, "busy") == 0)
		return error_set(resp_err(resp), EBUSY, FF_CODE_OVERLAP,
				 "wait for it, or cancel it", "slots 0-99 of fw are moved by m0");
	resp_header(resp, "Location", "/v1/operations/m1");
	return resp_json(resp, 202, operation_json());
}

static int post_created(struct http_request *req, struct http_response *resp)
{
	cli_note(req);
	return resp_json(resp, 201, json_incref(req_json(req)));
}

static int delete_any(struct http_request *req, struct http_response *resp)
{
	cli_note(req);
	return resp_empty(resp, 204);
}

static int get_events(struct http_request *req, struct http_response *resp)
{
	static const char lines[] =
		"{\"seq\":1,\"time\":1700000000000,\"kind\":\"host\",\"host\":\"nf1\","
		"\"message\":\"up\"}\n"
		"{\"seq\":2,\"time\":1700000001000,\"kind\":\"move\",\"operation\":\"m1\","
		"\"service\":\"fw\",\"instance\":\"fw-2\",\"host\":\"nf2\","
		"\"message\":\"fw-1 -> fw-2: completed on nf21\"}\n";
	bool all = strcmp(req_query(req, "since", "0"), "0") == 0;

	cli_note(req);
	return resp_data(resp, 200, "application/x-ndjson", all ? lines : "",
			 all ? strlen(lines) : 0);
}

static const struct http_route routes[] = {
	{ "GET", "/v1/status", get_status, NULL, 0 },
	{ "GET", "/v1/hosts", get_hosts, NULL, 0 },
	{ "GET", "/v1/services", get_services, NULL, 0 },
	{ "POST", "/v1/services", post_created, NULL, HTTP_BODY_REQUIRED },
	{ "GET", "/v1/services/:name", get_service, NULL, 0 },
	{ "DELETE", "/v1/services/:name", delete_any, NULL, 0 },
	{ "GET", "/v1/services/:name/table", get_table, NULL, 0 },
	{ "POST", "/v1/services/:name/instances", post_created, NULL, HTTP_BODY_REQUIRED },
	{ "GET", "/v1/instances", get_instances, NULL, 0 },
	{ "GET", "/v1/instances/:name", get_instances, NULL, 0 },
	{ "DELETE", "/v1/instances/:name", delete_any, NULL, 0 },
	{ "GET", "/v1/instances/:name/state", get_instance_state, NULL, 0 },
	{ "GET", "/v1/flows", get_flows, NULL, 0 },
	{ "GET", "/v1/flows/lookup", get_flow, NULL, 0 },
	{ "POST", "/v1/moves", post_move, NULL, HTTP_BODY_REQUIRED },
	{ "GET", "/v1/operations", get_operations, NULL, 0 },
	{ "GET", "/v1/operations/:id", get_operation, NULL, 0 },
	{ "DELETE", "/v1/operations/:id", delete_operation, NULL, 0 },
	{ "GET", "/v1/events", get_events, NULL, 0 },
	{ NULL, NULL, NULL, NULL, 0 },
};

/* ---- setting up ---------------------------------------------------------------------------- */

/* This test is BUILD/tests/unit; the program is BUILD/flowferry. */
static void binary_find(void)
{
	ssize_t n = readlink("/proc/self/exe", cli.binary, sizeof(cli.binary) - 16);
	char *slash;

	cr_assert_gt(n, 0);
	cli.binary[n] = '\0';
	for (int up = 0; up < 2; up++) {
		slash = strrchr(cli.binary, '/');
		cr_assert(slash != NULL);
		*slash = '\0';
	}
	strcat(cli.binary, "/flowferry");
	cr_assert_eq(access(cli.binary, X_OK), 0, "%s isn't built: run make", cli.binary);
}

void cli_setup(void)
{
	static struct http_route all[CLI_LOOP_ROUTES + ARRAY_SIZE(routes)];
	struct ff_error err = {};

	binary_find();
	unsetenv("NO_COLOR"); /* whatever the tester likes */
	snprintf(cli.dir, sizeof(cli.dir), "/tmp/ff-cli-XXXXXX");
	cr_assert(mkdtemp(cli.dir) != NULL);
	snprintf(cli.socket, sizeof(cli.socket), "%s/socket", cli.dir);
	cli.polls_end = 3;
	cli.end_state = "completed";
	memcpy(all, cli_loop_routes, sizeof(cli_loop_routes));
	memcpy(all + CLI_LOOP_ROUTES, routes, sizeof(routes));
	cr_assert_eq(http_server_new(all, NULL, &cli.server, &err), 0, "%s", err.message);
	cr_assert_eq(http_server_listen_unix(cli.server, cli.socket, &err), 0, "%s", err.message);
}

void cli_teardown(void)
{
	char command[128];

	http_server_free(cli.server);
	json_decref(cli.body);
	json_decref(parsed);
	snprintf(command, sizeof(command), "rm -rf %s", cli.dir);
	cr_assert_eq(system(command), 0);
}

/* ---- running ------------------------------------------------------------------------------- */

static void text_load(const char *name, char *text)
{
	char path[160];
	_cleanup_fclose_ FILE *file = NULL;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", cli.dir, name);
	file = fopen(path, "re");
	cr_assert(file != NULL, "%s: %s", path, strerror(errno));
	n = fread(text, 1, CLI_TEXT_MAX - 1, file);
	text[n] = '\0';
}

const struct cli_run *cli_run(const char *fmt, ...)
{
	_cleanup_free_ char *args = NULL, *command = NULL;
	va_list ap;
	int status;

	va_start(ap, fmt);
	cr_assert_geq(vasprintf(&args, fmt, ap), 0);
	va_end(ap);
	cr_assert_geq(asprintf(&command,
			       "FLOWFERRY_SOCKET=%s timeout 20 %s %s >%s/out 2>%s/err </dev/null",
			       cli.socket, cli.binary, args, cli.dir, cli.dir),
		      0);
	status = system(command);
	cr_assert(WIFEXITED(status), "%s was killed", command);
	run.status = WEXITSTATUS(status);
	text_load("out", run.out);
	text_load("err", run.err);
	return &run;
}

/* Reads what is shown until the program ends; types `keys` once. */
static void tty_converse(int fd, const char *after, const char *keys)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	size_t used = 0;
	ssize_t n;

	while (used < CLI_TEXT_MAX - 1) {
		cr_assert_eq(poll(&wait, 1, RUN_MS_MAX), 1, "it hangs after:\n%s", run.out);
		n = read(fd, run.out + used, CLI_TEXT_MAX - 1 - used);
		if (n <= 0)
			return; /* EIO: the other side has closed it */
		used += (size_t)n;
		run.out[used] = '\0';
		if (keys && strstr(run.out, after)) {
			cr_assert_eq(write(fd, keys, strlen(keys)), (ssize_t)strlen(keys));
			keys = NULL;
		}
	}
}

const struct cli_run *cli_run_tty(const char *after, const char *keys, const char *args)
{
	_cleanup_free_ char *command = NULL;
	struct winsize size = { .ws_row = 25, .ws_col = 100 };
	int fd, status;
	pid_t pid;

	memset(&run, 0, sizeof(run));
	cr_assert_geq(asprintf(&command, "FLOWFERRY_SOCKET=%s TERM=xterm exec %s %s", cli.socket,
			       cli.binary, args),
		      0);
	pid = forkpty(&fd, NULL, NULL, &size);
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	tty_converse(fd, after, keys);
	close(fd);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	run.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return &run;
}

const json_t *cli_json(const struct cli_run *result)
{
	json_error_t why;

	json_decref(parsed);
	parsed = json_loads(result->out, JSON_REJECT_DUPLICATES, &why);
	cr_assert(parsed != NULL, "no JSON: %s in:\n%s\nstderr:\n%s", why.text, result->out,
		  result->err);
	return parsed;
}
