/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* main.c - flowferry-orchestrator: options, signals, the service manager. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/version.h"
#include "orchestrator/config.h"
#include "orchestrator/orchestrator.h"

#define CONFIG_DEFAULT "/etc/flowferry/orchestrator.yaml"
#define EXIT_USAGE     2

struct options {
	const char *config;
	uint32_t epoch;
};

static void usage(FILE *file)
{
	fputs("usage: flowferry-orchestrator [--config FILE] [--epoch N] [--log-level LEVEL]\n"
	      "\n"
	      "Watches the hosts, keeps their steering tables, and moves live flows between them.\n"
	      "\n"
	      "  --config FILE      " CONFIG_DEFAULT " by default;\n"
	      "                     orchestrator.yaml among what is installed in share/flowferry\n"
	      "                     has every field\n"
	      "  --epoch N          begin with an epoch of at least N: to take over hosts that have\n"
	      "                     accepted a higher one from another database\n"
	      "  --log-level LEVEL  error, warn, info (default) or debug\n"
	      "  --version, --help\n",
	      file);
}

/* 0: go on; else the exit status, minus 1. */
static int options_parse(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "epoch", required_argument, NULL, 'e' },
		{ "log-level", required_argument, NULL, 'l' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	enum log_level level = LOG_LEVEL_INFO;
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "c:h", known, NULL)) != -1) {
		switch (c) {
		case 'c':
			options->config = optarg;
			break;
		case 'e':
			errno = 0;
			options->epoch = strtoul(optarg, &end, 10);
			if (errno || *end || end == optarg) {
				fprintf(stderr, "--epoch %s: not a number\n", optarg);
				return EXIT_USAGE + 1;
			}
			break;
		case 'l':
			if (log_level_parse(optarg, &level) < 0) {
				fprintf(stderr,
					"--log-level %s: not one of error, warn, info, debug\n",
					optarg);
				return EXIT_USAGE + 1;
			}
			break;
		case 'V':
			puts("flowferry-orchestrator " FF_VERSION);
			return EXIT_SUCCESS + 1;
		case 'h':
			usage(stdout);
			return EXIT_SUCCESS + 1;
		default:
			usage(stderr);
			return EXIT_USAGE + 1;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "%s: no such argument\n", argv[optind]);
		usage(stderr);
		return EXIT_USAGE + 1;
	}
	log_init("flowferry-orchestrator", level);
	return 0;
}

/*
 * Until SIGTERM or SIGINT. The watchdog is fed only while the model's lock can be had: a daemon that
 * answers nobody any more is restarted, and recovers.
 */
static void run(struct orchestrator *orch, const sigset_t *signals)
{
	struct timespec wait = { .tv_sec = 1 };
	uint64_t watchdog_us = 0;
	int signal;

	if (sd_watchdog_enabled(0, &watchdog_us) > 0 && watchdog_us / 2 < USEC_PER_SEC)
		wait = (struct timespec){ .tv_nsec = (long)(watchdog_us / 2 * NSEC_PER_USEC) };
	for (;;) {
		signal = sigtimedwait(signals, NULL, &wait);
		if (signal > 0)
			break;
		model_lock(&orch->model);
		model_unlock(&orch->model);
		if (watchdog_us)
			sd_notify(0, "WATCHDOG=1");
	}
	log_info("stopping: %s", strsignal(signal));
	sd_notify(0, "STOPPING=1");
}

int main(int argc, char **argv)
{
	_cleanup_(orch_config_freep) struct orch_config *config = NULL;
	_cleanup_(orchestrator_freep) struct orchestrator *orch = NULL;
	struct options options = { .config = CONFIG_DEFAULT };
	struct ff_error err = { 0 };
	sigset_t signals;
	int r;

	r = options_parse(argc, argv, &options);
	if (r)
		return r - 1;
	/* blocked before any thread is made, so that only run() gets them */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);

	r = orch_config_load(options.config, &config, &err);
	if (r == 0)
		r = orchestrator_new(config, options.epoch, &orch, &err);
	if (r == 0)
		r = orchestrator_start(orch, &err);
	if (r < 0) {
		log_error("%s%s%s", err.message, err.mend[0] ? "; mend: " : "", err.mend);
		return EXIT_FAILURE;
	}
	sd_notifyf(0, "READY=1\nSTATUS=epoch %u", store_epoch(orch->store));
	run(orch, &signals);
	return EXIT_SUCCESS;
}
