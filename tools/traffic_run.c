/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * traffic_run.c - one run from beginning to verdict: opens the ends, starts the senders, waits for
 * the end of time or a signal, lets what is under way arrive, and judges.
 */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "tools/output.h"
#include "tools/traffic.h"

#define POLL_NS	      (50 * NSEC_PER_MSEC)
#define HALF_QUIET_NS (1000 * NSEC_PER_MSEC) /* the other end takes a while to fall silent */
#define QUIET_NS      (300 * NSEC_PER_MSEC) /* nothing for so long: nothing is under way any more */

/* Signals that end a run; taken with sigtimedwait(), so blocked in every thread. */
static void stop_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
}

/* Waits; true: a stop signal came. */
static bool signal_wait(uint64_t ns)
{
	struct timespec timeout = { .tv_sec = (time_t)(ns / NSEC_PER_SEC),
				    .tv_nsec = (long)(ns % NSEC_PER_SEC) };
	sigset_t set;

	stop_signals(&set);
	return sigtimedwait(&set, NULL, &timeout) > 0;
}

/* What the run has sent and received so far, in all. */
static void run_progress(const struct traffic_run *run, uint64_t *ret_sent, uint64_t *ret_received,
			 uint64_t *ret_last_ns)
{
	struct traffic_tally tally;

	*ret_sent = *ret_received = *ret_last_ns = 0;
	for (size_t i = 0; i < ARRAY_SIZE(run->ends); i++) {
		const struct traffic_end *end = &run->ends[i];

		if (end->sends)
			*ret_sent += end->sent_packets;
		if (!end->judges || traffic_end_tally(end, &tally) < 0)
			continue;
		*ret_received += tally.packets;
		*ret_last_ns = MAX(*ret_last_ns, tally.last_ns);
	}
}

static void progress_print(const struct traffic_run *run, uint64_t second, uint64_t *last_sent)
{
	char sent_text[UNIT_TEXT_MAX], rate_text[UNIT_TEXT_MAX], way_text[UNIT_TEXT_MAX];
	uint64_t sent, received, last_ns;

	run_progress(run, &sent, &received, &last_ns);
	fprintf(stderr, "\r%4" PRIu64 " s  sent %s  %s/s  %s %s\033[K", second,
		count_format(sent, sent_text), count_format(sent - *last_sent, rate_text),
		run->half ? "received" : "not arrived yet",
		count_format(run->half ? received : sent - MIN(sent, received), way_text));
	*last_sent = sent;
}

/* All of those that have a number of packets to send have sent it. */
static bool senders_done(const struct traffic_run *run)
{
	size_t senders = 0, done = 0;

	for (size_t i = 0; i < ARRAY_SIZE(run->ends); i++) {
		senders += run->ends[i].sends;
		done += run->ends[i].sends && run->settings.count &&
			run->ends[i].sent_packets >= run->settings.count;
	}
	return senders && done == senders;
}

static int senders_error(const struct traffic_run *run)
{
	for (size_t i = 0; i < ARRAY_SIZE(run->senders); i++)
		if (run->senders[i].error)
			return run->senders[i].error;
	return 0;
}

/* Something came once, and then nothing more for the idle time. */
static bool run_idle(const struct traffic_run *run, uint64_t *heard, uint64_t *heard_ns)
{
	uint64_t sent, received, last_ns;

	run_progress(run, &sent, &received, &last_ns);
	for (size_t i = 0; i < ARRAY_SIZE(run->tcp); i++)
		if (run->tcp[i])
			received += traffic_tcp_progress(run->tcp[i]);
	if (received != *heard) {
		*heard = received;
		*heard_ns = clock_ns();
	}
	return received && clock_ns() - *heard_ns > run->settings.idle_ns;
}

/* Until the time is over, all is sent, a sender fails, nothing comes any more, or a signal. */
static void run_wait(struct traffic_run *run)
{
	uint64_t begin_ns = clock_ns(), last_sent = 0, second = 0, elapsed, heard = 0, heard_ns = 0;
	const struct traffic_settings *s = &run->settings;
	bool live = isatty(STDERR_FILENO) && !run->quiet;

	do {
		if (signal_wait(POLL_NS)) {
			run->interrupted = true;
			break;
		}
		elapsed = clock_ns() - begin_ns;
		if (live && elapsed / NSEC_PER_SEC > second) {
			second = elapsed / NSEC_PER_SEC;
			progress_print(run, second, &last_sent);
		}
	} while ((!s->duration_ns || elapsed < s->duration_ns) && !senders_done(run) &&
		 !senders_error(run) && !(s->idle_ns && run_idle(run, &heard, &heard_ns)));
	if (live && second)
		fputc('\n', stderr);
}

/*
 * Lets what is under way arrive: until all of it has and nothing more comes, or at the latest when
 * the drain time is over; a second signal ends it at once. A half doesn't know how much is to come.
 */
static void run_drain(struct traffic_run *run)
{
	uint64_t begin_ns = clock_ns(), sent, received, last_ns, now_ns;
	uint64_t quiet_ns = run->half ? HALF_QUIET_NS : QUIET_NS;

	do {
		run_progress(run, &sent, &received, &last_ns);
		now_ns = clock_ns();
		if ((run->half || received >= sent) && now_ns - MAX(last_ns, begin_ns) >= quiet_ns)
			return;
	} while (now_ns - begin_ns < run->settings.drain_ns && !signal_wait(POLL_NS));
}

static int senders_start(struct traffic_run *run)
{
	int r = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(run->ends); i++) {
		struct traffic_sender *sender = &run->senders[i % run->settings.threads];

		if (!run->ends[i].sends)
			continue;
		if (run->ends[!i].bpf)
			sender->peers[sender->n_ends] = &run->ends[!i];
		sender->ends[sender->n_ends++] = &run->ends[i];
	}
	for (unsigned int i = 0; i < run->settings.threads && r == 0; i++) {
		struct traffic_sender *sender = &run->senders[i];

		if (!sender->n_ends)
			continue;
		sender->settings = &run->settings;
		sender->stop = &run->stop;
		sender->half = run->half;
		sender->cpu = run->settings.cpu + i;
		r = traffic_sender_start(sender);
	}
	return r;
}

static void senders_stop(struct traffic_run *run)
{
	atomic_store(&run->stop, true);
	for (size_t i = 0; i < ARRAY_SIZE(run->senders); i++)
		traffic_sender_join(&run->senders[i]);
}

static int ends_open(struct traffic_run *run, struct ff_error *err)
{
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(run->ends); i++) {
		if (!run->ends[i].sends && !run->ends[i].judges)
			continue;
		r = traffic_end_open(&run->ends[i], run->settings.sockets, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int traffic_direction_judge(struct traffic_run *run, unsigned int direction)
{
	struct traffic_end *from = &run->ends[direction], *to = &run->ends[!direction];
	struct traffic_evidence evidence = {
		.flows = to->config.flows,
		.size = to->config.size,
		.sent = from->sends ? from->sent : NULL,
		.judged = to->flows,
		.tally = &to->tally,
		.sending_ns = from->last_sent_ns - from->first_sent_ns,
		.behind = from->behind,
		.refused = from->refused,
		.overload = to->overload,
		.one_clock = from->sends && !memcmp(from->clock, to->clock, sizeof(from->clock)),
		.worst = run->settings.worst,
	};

	if (!to->judges)
		return 0;
	if (from->sends && from->config.flows != to->config.flows)
		return -EINVAL;
	traffic_result_make(&evidence, &run->results[direction]);
	run->judged[direction] = true;
	return 0;
}

static int tcp_start(struct traffic_run *run, struct ff_error *err)
{
	int r = 0;

	for (int i = 1; i >= 0 && r == 0; i--) /* the server first */
		if (run->settings.tcp && run->ends[i].name)
			r = traffic_tcp_start(&run->settings, &run->ends[i], i == 0, &run->tcp[i],
					      err);
	return r;
}

static void tcp_finish(struct traffic_run *run)
{
	for (size_t i = 0; i < ARRAY_SIZE(run->tcp); i++) {
		if (!run->tcp[i])
			continue;
		traffic_tcp_stop(run->tcp[i]);
		traffic_tcp_join(run->tcp[i], &run->tcp_results[i]);
		run->tcp_judged[i] = true;
	}
}

/* From the first packet to the last one under way. */
static int run_traffic(struct traffic_run *run, struct ff_error *err)
{
	uint64_t begin_ns = clock_ns();
	int r;

	r = tcp_start(run, err);
	if (r < 0)
		return r;
	r = senders_start(run);
	if (r == 0)
		run_wait(run);
	senders_stop(run);
	if (r == 0)
		r = senders_error(run);
	run->took_ns = clock_ns() - begin_ns;
	if (r < 0)
		return error_set(err, r, FF_CODE_INTERNAL, NULL, "sending failed: %s",
				 strerror(-r));
	tcp_finish(run);
	run_drain(run);
	return 0;
}

int traffic_run(struct traffic_run *run, struct ff_error *err)
{
	sigset_t set;
	int r;

	stop_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	r = ends_open(run, err);
	if (r == 0)
		r = run_traffic(run, err);
	for (size_t i = 0; i < ARRAY_SIZE(run->ends) && r == 0; i++)
		r = traffic_end_collect(&run->ends[i]);
	for (unsigned int d = 0; d < ARRAY_SIZE(run->judged) && r == 0; d++)
		r = traffic_direction_judge(run, d);
	if (r < 0 && !err->err)
		error_set(err, r, FF_CODE_INTERNAL, NULL, "can't read the judge: %s", strerror(-r));
	if (r == 0 && run->save)
		r = traffic_file_save(run, run->save, err);
	for (size_t i = 0; i < ARRAY_SIZE(run->ends); i++)
		traffic_end_detach(&run->ends[i]); /* before anybody reads a long report */
	return r;
}

void traffic_run_done(struct traffic_run *run)
{
	for (size_t i = 0; i < ARRAY_SIZE(run->ends); i++) {
		traffic_tcp_free(run->tcp[i]);
		traffic_end_done(&run->ends[i]);
	}
}
