/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* main.c - flowferry-bench: runs the suites one after the other and reports. */

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "tests/bench/figure.h"
#include "tests/bench/isolate.h"
#include "tests/bench/machine.h"
#include "tests/bench/report.h"
#include "tests/bench/suites.h"
#include "tools/bench_options.h"
#include "tools/cmd.h"
#include "tools/output.h"

#define SUITE_TIMEOUT_MS 300000 /* twice as long as the longest: all must end in 15 minutes */
#define SUITES_MAX	 64
#define EXIT_INTERRUPTED 130 /* the shell's, for SIGINT */

struct run {
	struct bench_options options;
	struct common_options common;
	const struct bench_suite *suites[SUITES_MAX];
	size_t count;
	bool json;
};

/* ---- a suite, in a process of its own -------------------------------------------------------- */

struct job {
	const struct bench_suite *suite;
	int runs;
	int fd; /* where its figures go */
};

static int job_main(void *arg)
{
	const struct job *job = arg;
	_cleanup_json_ json_t *result = json_object();
	struct ff_error err = {};
	struct bench bench;
	int r;

	bench_init(&bench, job->suite, job->runs, isatty(STDERR_FILENO));
	r = job->suite->run(&bench, &err);
	if (r && !err.err)
		error_set(&err, r, error_code(r), NULL, "%s", strerror(-r));
	bench_progress_end(&bench);
	if (r)
		json_object_update_new(result, json_from_error(&err));
	else
		json_put(result, "error", json_null());
	json_put(result, "figures", bench_to_json(&bench));
	bench_done(&bench);
	return json_dumpfd(result, job->fd, JSON_COMPACT) ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* What the process has left in the file; NULL: nothing whole. */
static json_t *result_read(int fd)
{
	_cleanup_free_ char *text = NULL;
	json_t *result = NULL;
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return NULL;
	text = malloc((size_t)stat.st_size + 1);
	if (text && pread(fd, text, (size_t)stat.st_size, 0) == stat.st_size)
		json_parse(text, (size_t)stat.st_size, &result, NULL);
	return result;
}

static json_t *failed_result(const char *message)
{
	return json_pack("{s:{s:s}, s:[]}", "error", "message", message, "figures");
}

static int job_run(struct job *job, json_t **ret_result, struct ff_error *err)
{
	int status = 0, r;
	pid_t pid;

	r = isolate_start(job_main, job, &pid, err);
	if (r)
		return r;
	r = isolate_wait(pid, SUITE_TIMEOUT_MS, &status);
	if (r == -EINTR)
		return r;
	if (r == -ETIMEDOUT)
		*ret_result = failed_result("it did not end in time");
	else if (r || !WIFEXITED(status) || WEXITSTATUS(status))
		*ret_result = failed_result("its process died");
	else
		*ret_result = result_read(job->fd) ?: failed_result("its figures can't be read");
	return 0;
}

/* *ret_suite: as report_suite() wants it. -EINTR: SIGINT or SIGTERM came. */
static int suite_run(const struct bench_suite *suite, int runs, json_t **ret_suite,
		     struct ff_error *err)
{
	_cleanup_close_ int fd = memfd_create("figures", MFD_CLOEXEC);
	struct job job = { .suite = suite, .runs = runs, .fd = fd };
	uint64_t begun = clock_ns();
	json_t *result = NULL, *json;
	int r;

	if (fd < 0)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "memfd_create: %m");
	r = job_run(&job, &result, err);
	if (r)
		return r;
	json = json_pack("{ss ss}", "name", suite->name, "about", suite->about);
	json_put_real(json, "took_s", (double)(clock_ns() - begun) / (double)NSEC_PER_SEC);
	json_object_update(json, result);
	json_decref(result);
	*ret_suite = json;
	return 0;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static int suites_run(const struct run *run, json_t *results, struct ff_error *err)
{
	int runs = (int)run->options.runs ?: BENCH_RUNS_MIN;
	sigset_t set;
	int r;

	/* they are waited for, and kept from the suites' processes until these have set theirs */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (size_t i = 0; i < run->count; i++) {
		json_t *suite = NULL;

		r = suite_run(run->suites[i], runs, &suite, err);
		if (r)
			return r;
		json_array_append_new(results, suite);
		if (!run->json)
			report_suite(suite, stdout);
	}
	return 0;
}

static int fail(const struct ff_error *err, int status)
{
	fprintf(stderr, "flowferry bench: %s\n", err->message);
	if (*err->mend)
		fprintf(stderr, "    %s\n", err->mend);
	return status;
}

static int bench_main(const struct run *run)
{
	_cleanup_json_ json_t *report = json_object(), *machine = machine_describe();
	json_t *suites_json = json_array(), *summary;
	struct ff_error err = {};
	uint64_t begun = clock_ns();
	int r;

	json_object_set(report, "machine", machine);
	json_put(report, "suites", suites_json);
	if (!run->json)
		report_machine(machine, stdout);
	fflush(stdout);
	r = suites_run(run, suites_json, &err);
	if (r == -EINTR) {
		fputs("\nflowferry bench: interrupted\n", stderr);
		return EXIT_INTERRUPTED;
	}
	if (r)
		return fail(&err, CLI_FAILED);
	json_put_int(report, "took_s", (int64_t)((clock_ns() - begun) / NSEC_PER_SEC));
	summary = report_summary(suites_json);
	json_put(report, "summary", summary);
	if (run->json)
		report_json(report, stdout);
	else
		report_summary_print(summary, stdout);
	return field_count(summary, "failed") || field_count(summary, "missed") ? CLI_FAILED :
										  CLI_DONE;
}

static int list_print(const struct run *run)
{
	_cleanup_json_ json_t *list = json_pack("{s:[]}", "suites");
	struct table table;

	table_init(&table, NULL);
	for (size_t i = 0; i < run->count; i++) {
		const struct bench_suite *suite = run->suites[i];

		json_array_append_new(json_object_get(list, "suites"),
				      json_pack("{ss ss}", "name", suite->name, "about",
						suite->about));
		table_pair(&table, suite->name, "%s", suite->about);
	}
	if (run->json)
		json_print(list);
	else
		table_print(&table, stdout);
	table_done(&table);
	return CLI_DONE;
}

/* Those that the command line names, all if it names none. */
static int suites_choose(struct run *run, char **names, int count, struct ff_error *err)
{
	for (const struct bench_suite *const *suite = suites; *suite && !count; suite++)
		run->suites[run->count++] = *suite;
	for (int i = 0; i < count; i++) {
		const struct bench_suite *suite = suite_find(names[i]);

		if (!suite)
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST,
					 "see flowferry bench --list", "there is no suite '%s'",
					 names[i]);
		if (run->count == SUITES_MAX)
			return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL,
					 "more than %d suites", SUITES_MAX);
		run->suites[run->count++] = suite;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct run run = { .common.output = "table" };
	const struct option_table tables[] = {
		{ bench_specs, &run.options },
		{ common_specs, &run.common },
	};
	struct ff_error err = {};
	bool help = false;
	int first, status;

	if (options_parse(tables, ARRAY_SIZE(tables), argc, argv, &help, &first, &err))
		return fail(&err, CLI_USAGE);
	if (help) {
		puts("usage: flowferry-bench [--runs N] [--list] [-o json] [SUITE...]\n"
		     "`flowferry help bench` says more.");
		return CLI_DONE;
	}
	if (suites_choose(&run, argv + first, argc - first, &err))
		return fail(&err, CLI_USAGE);
	run.json = strcmp(run.common.output, "json") == 0;
	if (run.options.list)
		return list_print(&run);
	if (geteuid() != 0) {
		error_set(&err, EPERM, FF_CODE_REFUSED, "run it as root", "benchmarks need root");
		return fail(&err, CLI_FAILED);
	}
	status = bench_main(&run);
	return fflush(stdout) || ferror(stdout) ? CLI_FAILED : status;
}
