/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/clock.h"
#include "tools/lab.h"

#define PAUSE_MS 20

static atomic_bool interrupted;

static void interrupt(int sig)
{
	(void)sig;
	atomic_store(&interrupted, true);
}

void lab_signals_catch(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = interrupt };

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &action, NULL);
}

const atomic_bool *lab_interrupt_flag(void)
{
	return &interrupted;
}

int lab_check_interrupted(struct ff_error *err)
{
	if (!atomic_load(&interrupted))
		return 0;
	return error_set(err, EINTR, FF_CODE_REFUSED, NULL, "interrupted");
}

void lab_pause(void)
{
	usleep(PAUSE_MS * USEC_PER_MSEC); /* a signal may cut it short, and should */
}

/* Progress, for somebody who waits a few seconds; not an answer, hence stderr. */
static void progress(const char *step)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[Klab: %s", step);
}

static void progress_done(void)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

static int daemons_start(struct lab *lab, struct ff_error *err)
{
	int r = lab_config_write(lab, err);

	for (size_t i = 0; !r && i < lab->n_hosts; i++)
		if (lab_host_has_agent(&lab->hosts[i]))
			r = lab_proc_start(lab, &lab->hosts[i], err) ?: lab_check_interrupted(err);
	for (size_t i = 0; !r && i < lab->n_hosts; i++)
		if (lab_host_has_agent(&lab->hosts[i]))
			r = lab_wait_ready(&lab->hosts[i], err);
	/* then the orchestrator, which so finds every host up at its first look */
	for (size_t i = 0; !r && i < lab->n_hosts; i++)
		if (lab->hosts[i].role == LAB_ORCHESTRATOR)
			r = lab_proc_start(lab, &lab->hosts[i], err) ?:
				    lab_wait_ready(&lab->hosts[i], err);
	return r;
}

static int lab_make(struct lab *lab, struct ff_error *err)
{
	int r;

	progress("bpffs and network");
	r = lab_bpffs_mount(&lab->mounted_bpffs, err);
	if (!r)
		r = lab_save(lab, err);
	if (!r)
		r = lab_net_up(lab, err);
	if (r)
		return r;
	if (!lab->options.no_daemons) {
		progress("daemons");
		r = daemons_start(lab, err);
		progress("service");
		if (!r)
			r = lab_service_create(lab, err);
	}
	progress("traffic");
	if (!r && !lab->options.no_wait)
		r = lab_wait_traffic(lab, err);
	if (r)
		return r;
	lab->complete = true;
	return lab_save(lab, err);
}

int lab_up(const struct lab_options *options, struct ff_error *err)
{
	struct lab lab;
	int r;

	lab_plan(&lab, options);
	lab_signals_catch();
	r = lab_lock(&lab, true, err);
	if (r)
		return r;
	if (access(LAB_STATE, F_OK) == 0)
		r = error_set(err, EEXIST, FF_CODE_EXISTS,
			      "use it, or take it down first: flowferry lab down", "a lab is up");
	if (!r)
		r = lab_net_check(&lab, err);
	if (!r)
		r = lab_save(&lab, err);
	if (!r) {
		r = lab_make(&lab, err);
		progress_done();
		if (r) {
			lab_clean(&lab);
			lab_check_interrupted(
				err); /* else it's told of whatever that has cut short */
		}
	}
	lab_unlock(&lab);
	return r;
}
