/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cmd_bench.c - flowferry bench: a program of its own, which is not needed to run flowferry.
 * It is looked for beside this one, as the lab looks for the daemons.
 */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/install.h"
#include "tools/bench_options.h"
#include "tools/cmd.h"

const struct option_spec bench_specs[] = {
	{ .name = "runs",
	  .kind = OPTION_NUMBER,
	  .offset = offsetof(struct bench_options, runs),
	  .value = "N",
	  .help = "samples of each figure; 5 by default, which is the least",
	  .min = BENCH_RUNS_MIN,
	  .max = BENCH_RUNS_MAX },
	{ .name = "list",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct bench_options, list),
	  .help = "list the suites instead" },
	{},
};

/* Its own command line again, checked, with nothing in it that the program could misread. */
static int bench_run(struct call *call)
{
	const struct bench_options *o = call->options;
	_cleanup_free_ char **argv = reallocarray(NULL, (size_t)call->n_args + 8, sizeof(char *));
	char program[PATH_MAX], runs[32];
	struct ff_error err;
	int r = argv ? install_program(BENCH_PROGRAM, program) : -ENOMEM, n = 0;

	if (r) {
		error_set(&err, -r, error_code(r), "build it, or install it beside flowferry",
			  "can't run %s: %s", argv ? program : BENCH_PROGRAM, strerror(-r));
		call_error(call, &err);
		return CLI_FAILED;
	}
	argv[n++] = program;
	if (o->runs) {
		snprintf(runs, sizeof(runs), "--runs=%llu", (unsigned long long)o->runs);
		argv[n++] = runs;
	}
	if (o->list)
		argv[n++] = (char *)"--list";
	if (call_json(call))
		argv[n++] = (char *)"--output=json";
	argv[n++] = (char *)"--";
	memcpy(argv + n, call->args, ((size_t)call->n_args + 1) * sizeof(char *));
	execv(program, argv);
	error_set(&err, errno, error_code(errno), NULL, "can't run %s: %m", program);
	call_error(call, &err);
	return CLI_FAILED;
}

const struct command command_bench = {
	.name = "bench",
	.summary = "measure it on this machine",
	.description =
		"Takes the figures that BENCHMARKS.md explains, in networks of its own on this "
		"machine, and shows each with its target. Needs root. Without a SUITE it takes all, "
		"which lasts a quarter of an hour; nothing else should run meanwhile.\n\n"
		"It fails if a target was missed, or if a figure could not be taken: one whose "
		"traffic lost a packet, say, or did not reach its rate, is never shown as a number.",
	.run = bench_run,
	.options = bench_specs,
	.options_size = sizeof(struct bench_options),
	.arguments =
		(const struct argument[]){
			{ .name = "SUITE",
			  .complete = COMPLETE_SUITE,
			  .optional = true,
			  .many = true },
			{},
		},
	.examples =
		(const struct example[]){
			{ "bench", "Everything:" },
			{ "bench move --runs 20", "How long moved flows wait, of 20 moves:" },
			{ "bench -o json > figures.json", "For programs, every sample:" },
			{},
		},
};
