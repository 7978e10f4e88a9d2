/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * traffic_sender.c - the thread that paces the packets of one or two ends.
 *
 * Each tick it sends what is due by then, and no more than a burst at once. Both directions from
 * one thread on one CPU is the default: what it sends is processed on that CPU before it goes on,
 * so it can't overrun the rings of the devices on the way, as two CPUs can. Unless the machine has
 * much else to do: then the kernel leaves that work to a thread, which waits for its turn while
 * this one goes on, and 256 frames fill a veth's ring. So, where both ends are here, it lets the
 * machine catch up before it has more than a window on the way, but not for long: packets that are
 * parked or lost must not stop it.
 */

#include <errno.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "tools/traffic.h"

#define BURST	    64			  /* packets at once when behind */
#define TICK_BURST  32			  /* packets of one tick at a moderate rate */
#define TICK_MIN_NS (100 * NSEC_PER_USEC) /* a batch costs 18 us to begin with */
#define TICK_MAX_NS NSEC_PER_MSEC
#define WINDOW	    128 /* packets on the way in all directions, of a veth ring's 256 */
#define PATIENCE_NS (500 * NSEC_PER_USEC)
#define CATCH_UP_NS (50 * NSEC_PER_USEC)
#define OPENING_NS  (2 * NSEC_PER_SEC) /* beyond two rounds of all flows, for opening them */
#define ANSWER_NS   (500 * NSEC_PER_MSEC)
#define LOOK_NS	    (50 * NSEC_PER_MSEC)
#define SENDER_NICE (-10) /* before other work, but no kernel thread is starved */
/*
 * A rate is a promise, and leaves time to others; unless it is more than the machine can do, which shows
 * in debts. Lower than those threads of agents have that packets wait for.
 */
#define SENDER_PRIORITY 1
#define DEBTS_MAX	20 /* a second's: from then on it is just a little nicer to itself */

/* How far one end has come. */
struct stream {
	struct traffic_end *end;
	bool open;
	uint64_t start_ns; /* what is due counts from here, moved on when packets are given up */
	uint64_t base;	   /* sent by then */
	uint32_t debts;	   /* times that packets were given up */
	uint64_t first_heard_ns;
	uint64_t looked_ns; /* when the tally was last read */
	bool hears;	    /* something had come in the ANSWER_NS before */
};

static uint64_t tick_ns(uint64_t rate)
{
	uint64_t ns = rate ? TICK_BURST * NSEC_PER_SEC / rate : 0;

	return MIN(MAX(ns, TICK_MIN_NS), TICK_MAX_NS);
}

static bool stream_ended(const struct stream *s, const struct traffic_settings *settings)
{
	return settings->count && s->end->sent_packets >= settings->count;
}

/*
 * The answering direction begins when every flow has been opened from the other side: a stateful
 * firewall would refuse what comes before. If some never arrive, it begins a while later anyway.
 * With the other end elsewhere, nobody says when that stops: the answers stop when it falls silent.
 */
static bool stream_may_answer(struct stream *s, const struct traffic_sender *sender,
			      uint64_t now_ns)
{
	const struct traffic_settings *settings = sender->settings;
	uint64_t pass_ns = settings->rate ? s->end->config.flows * NSEC_PER_SEC / settings->rate :
					    0;
	struct traffic_tally tally;

	if (s->open && (!sender->half || now_ns - s->looked_ns < LOOK_NS))
		return s->open && (!sender->half || s->hears);
	s->looked_ns = now_ns;
	if (traffic_end_tally(s->end, &tally) < 0 || !tally.packets)
		return false;
	if (!s->first_heard_ns)
		s->first_heard_ns = now_ns;
	s->hears = now_ns - MIN(now_ns, tally.last_ns) < ANSWER_NS;
	return s->open || tally.packets >= s->end->config.flows ||
	       now_ns - s->first_heard_ns > OPENING_NS + 2 * pass_ns;
}

static bool stream_open(struct stream *s, const struct traffic_sender *sender, uint64_t now_ns)
{
	bool answers = s->end->config.direction == TRAFFIC_REVERSE && s->end->judges;

	if (answers && !stream_may_answer(s, sender, now_ns)) {
		s->start_ns = now_ns; /* what it doesn't send while it may not isn't due later */
		s->base = s->end->sent_packets;
		return false;
	}
	if (!s->open) {
		s->open = true;
		s->start_ns = s->end->first_sent_ns = now_ns;
	}
	return true;
}

static void priority_give_up(void)
{
	const struct sched_param param = {};

	sched_setscheduler(0, SCHED_OTHER, &param);
}

/* Sends what is due. Returns how many packets, 0: nothing for now, or a negative errno. */
static int stream_send(struct stream *s, const struct traffic_settings *settings, uint64_t now_ns)
{
	uint64_t sent = s->end->sent_packets - s->base, due = BURST, given_up;
	int r;

	if (settings->rate) {
		due = (uint64_t)((double)(now_ns - s->start_ns) * (double)settings->rate /
				 (double)NSEC_PER_SEC);
		due -= MIN(due, sent);
		given_up = settings->rate * settings->debt_ns / NSEC_PER_SEC;
		if (due > given_up + BURST) {
			s->end->behind += due;
			if (++s->debts == DEBTS_MAX)
				priority_give_up();
			s->start_ns = now_ns;
			s->base = s->end->sent_packets;
			due = 1;
		}
	}
	if (settings->count)
		due = MIN(due, settings->count - s->end->sent_packets);
	if (!due)
		return 0;
	r = traffic_end_send(s->end, (uint32_t)MIN(due, (uint64_t)BURST));
	s->end->last_sent_ns = clock_ns();
	return r;
}

static void tick_wait(uint64_t *next_ns, uint64_t tick)
{
	uint64_t now_ns = clock_ns();
	struct timespec at;

	*next_ns += tick;
	if (*next_ns <= now_ns) { /* late: don't make up for ticks, what is due counts by itself */
		*next_ns = now_ns;
		return;
	}
	at.tv_sec = (time_t)(*next_ns / NSEC_PER_SEC);
	at.tv_nsec = (long)(*next_ns % NSEC_PER_SEC);
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

/* Without the rights it sends as well, less evenly. */
static void thread_tune(uint32_t cpu, bool has_rate)
{
	const struct sched_param param = { .sched_priority = SENDER_PRIORITY };
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), SENDER_NICE);
	if (has_rate)
		sched_setscheduler(0, SCHED_FIFO, &param);
	prctl(PR_SET_TIMERSLACK, 1);
}

/* What has been sent and hasn't arrived; 0 where that can't be known. */
static uint64_t packets_on_the_way(const struct traffic_sender *sender)
{
	uint64_t sent = 0, judged = 0;

	for (size_t i = 0; i < sender->n_ends; i++) {
		if (!sender->peers[i])
			return 0;
		sent += sender->ends[i]->sent_packets;
		judged += traffic_end_judged(sender->peers[i]);
	}
	return sent - MIN(sent, judged);
}

/*
 * Waits until there is room in the window above *held, the packets that are taken to be held up or
 * lost because patience with them has run out before.
 */
static void window_wait(const struct traffic_sender *sender, uint64_t *held)
{
	uint64_t since_ns = clock_ns(), before = UINT64_MAX, on_the_way;

	for (;;) {
		on_the_way = packets_on_the_way(sender);
		*held = MIN(*held, on_the_way);
		if (on_the_way <= *held + WINDOW)
			return;
		if (clock_ns() - since_ns > PATIENCE_NS)
			break;
		if (on_the_way < before)
			traffic_end_help(sender->ends[0]);
		else
			clock_sleep_ns(CATCH_UP_NS); /* it isn't this CPU that has them */
		before = on_the_way;
	}
	*held = on_the_way;
}

static void *sender_main(void *arg)
{
	struct traffic_sender *sender = arg;
	const struct traffic_settings *settings = sender->settings;
	struct stream streams[ARRAY_SIZE(sender->ends)] = {};
	uint64_t next_ns = clock_ns(), held = 0;

	thread_tune(sender->cpu, settings->rate);
	for (size_t i = 0; i < sender->n_ends; i++)
		streams[i].end = sender->ends[i];
	while (!atomic_load_explicit(sender->stop, memory_order_relaxed)) {
		bool idle = true, ended = true;

		for (size_t i = 0; i < sender->n_ends; i++) {
			int r;

			if (stream_ended(&streams[i], settings))
				continue;
			ended = false;
			if (!stream_open(&streams[i], sender, clock_ns()))
				continue;
			window_wait(sender, &held);
			r = stream_send(&streams[i], settings, clock_ns());
			if (r < 0 && r != -EINTR) {
				sender->error = r;
				return NULL;
			}
			idle = idle && r < BURST;
		}
		if (ended)
			break;
		if (idle)
			tick_wait(&next_ns, tick_ns(settings->rate));
	}
	return NULL;
}

int traffic_sender_start(struct traffic_sender *sender)
{
	int r = pthread_create(&sender->thread, NULL, sender_main, sender);

	sender->running = r == 0;
	return -r;
}

void traffic_sender_join(struct traffic_sender *sender)
{
	if (sender->running)
		pthread_join(sender->thread, NULL);
	sender->running = false;
}
