/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/cpus.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

#define URGENT_PRIORITY 2 /* 1 is left for those that make the load: test tools */
#define CPU_PRIORITY	3 /* of the threads that the urgent ones wait for */

/*
 * One lock and two conditions for all: a call sets fn, arg and the CPUs that are to run it, wakes
 * the threads and waits until `pending` is empty. `serial` keeps callers apart, so one who waits for
 * it while others run often finds that a grace period of theirs has done for it, too.
 */
struct cpus {
	pthread_mutex_t serial;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t work, done;
	cpus_fn fn;
	void *arg;
	uint64_t pending;      /* a bit for each CPU; FF_CPUS_MAX is 64 */
	uint64_t begun, ended; /* runs on all CPUs, which are grace periods; numbered from 1 */
	bool stop;
	int count;
	int started;
	struct cpu_thread {
		struct cpus *cpus;
		pthread_t thread;
		int cpu;
	} threads[];
};

static void cpu_set_only(cpu_set_t *set, int cpu)
{
	CPU_ZERO(set);
	CPU_SET(cpu, set);
}

/*
 * The threads of a CPU that goes offline are moved to others, and may stay there when it is back: ours
 * would then say of another CPU what it is asked of this one. One that is offline runs nothing.
 */
static void cpu_return(const struct cpu_thread *self)
{
	cpu_set_t set;

	if (sched_getcpu() == self->cpu)
		return;
	cpu_set_only(&set, self->cpu);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *cpu_main(void *arg)
{
	struct cpu_thread *self = arg;
	struct cpus *cpus = self->cpus;
	uint64_t bit = 1ull << self->cpu;

	pthread_mutex_lock(&cpus->lock);
	for (;;) {
		cpus_fn fn;
		void *fn_arg;

		while (!(cpus->pending & bit) && !cpus->stop)
			pthread_cond_wait(&cpus->work, &cpus->lock);
		if (cpus->stop)
			break;
		fn = cpus->fn;
		fn_arg = cpus->arg;
		pthread_mutex_unlock(&cpus->lock);
		cpu_return(self);
		if (fn)
			fn(self->cpu, fn_arg);
		pthread_mutex_lock(&cpus->lock);
		cpus->pending &= ~bit;
		if (!cpus->pending)
			pthread_cond_signal(&cpus->done);
	}
	pthread_mutex_unlock(&cpus->lock);
	return NULL;
}

static int cpu_start(struct cpus *cpus, int cpu)
{
	struct cpu_thread *self = &cpus->threads[cpu];
	struct sched_param param = { .sched_priority = CPU_PRIORITY };
	pthread_attr_t attr;
	cpu_set_t set;
	int r;

	self->cpus = cpus;
	self->cpu = cpu;
	cpu_set_only(&set, cpu);
	pthread_attr_init(&attr);
	r = pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	if (!r)
		r = pthread_create(&self->thread, &attr, cpu_main, self);
	pthread_attr_destroy(&attr);
	if (r)
		return -r;
	cpus->started++;
	/* Ahead of ksoftirqd, which may be busy for long under load; without the right, just slower. */
	pthread_setschedparam(self->thread, SCHED_FIFO, &param);
	return 0;
}

/* With PREEMPT_RT threads preempt packet programs, and running on a CPU proves nothing. */
static bool kernel_is_rt(void)
{
	_cleanup_fclose_ FILE *file = fopen("/sys/kernel/realtime", "re");

	return file && fgetc(file) == '1';
}

int cpus_new(int count, struct cpus **ret, struct ff_error *err)
{
	struct cpus *cpus;

	if (kernel_is_rt())
		return error_set(err, ENOTSUP, FF_CODE_REFUSED, "boot a kernel without PREEMPT_RT",
				 "this kernel is PREEMPT_RT");
	cpus = calloc(1, sizeof(*cpus) + (size_t)count * sizeof(cpus->threads[0]));

	if (!cpus)
		return error_nomem(err);
	pthread_mutex_init(&cpus->serial, NULL);
	pthread_mutex_init(&cpus->lock, NULL);
	pthread_cond_init(&cpus->work, NULL);
	pthread_cond_init(&cpus->done, NULL);
	cpus->count = count;
	for (int cpu = 0; cpu < count; cpu++) {
		int r = cpu_start(cpus, cpu);

		if (r) {
			cpus_free(cpus);
			return error_set(err, -r, FF_CODE_INTERNAL,
					 "the agent needs every CPU that handles packets: give it "
					 "no CPU affinity or cpuset",
					 "can't run a thread on CPU %d: %s", cpu, strerror(-r));
		}
	}
	*ret = cpus;
	return 0;
}

void cpus_free(struct cpus *cpus)
{
	if (!cpus)
		return;
	pthread_mutex_lock(&cpus->lock);
	cpus->stop = true;
	pthread_cond_broadcast(&cpus->work);
	pthread_mutex_unlock(&cpus->lock);
	for (int cpu = 0; cpu < cpus->started; cpu++)
		pthread_join(cpus->threads[cpu].thread, NULL);
	pthread_cond_destroy(&cpus->work);
	pthread_cond_destroy(&cpus->done);
	pthread_mutex_destroy(&cpus->lock);
	pthread_mutex_destroy(&cpus->serial);
	free(cpus);
}

int cpus_count(const struct cpus *cpus)
{
	return cpus->count;
}

static uint64_t mask_all(const struct cpus *cpus)
{
	return cpus->count == 64 ? ~0ull : (1ull << cpus->count) - 1;
}

/* Under `serial` and `lock`. */
static void run_locked(struct cpus *cpus, uint64_t mask, cpus_fn fn, void *arg)
{
	cpus->fn = fn;
	cpus->arg = arg;
	cpus->pending = mask;
	if (mask)
		pthread_cond_broadcast(&cpus->work);
	while (cpus->pending)
		pthread_cond_wait(&cpus->done, &cpus->lock);
}

/* The CPU that we are on runs this thread, and so no packet program: it needn't be asked. */
static void grace_locked(struct cpus *cpus)
{
	uint64_t mask = mask_all(cpus);
	int here;

	cpus->begun++;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	here = sched_getcpu();
	if (here >= 0 && here < cpus->count)
		mask &= ~(1ull << here);
	run_locked(cpus, mask, NULL, NULL);
	cpus->ended = cpus->begun;
}

/* A grace period that began after the mark is over. */
static bool grace_has_ended(struct cpus *cpus, uint64_t mark)
{
	bool ended;

	pthread_mutex_lock(&cpus->lock);
	ended = cpus->ended > mark;
	pthread_mutex_unlock(&cpus->lock);
	return ended;
}

void cpus_run(struct cpus *cpus, cpus_fn fn, void *arg)
{
	pthread_mutex_lock(&cpus->serial);
	pthread_mutex_lock(&cpus->lock);
	cpus->begun++;
	run_locked(cpus, mask_all(cpus), fn, arg);
	cpus->ended = cpus->begun;
	pthread_mutex_unlock(&cpus->lock);
	pthread_mutex_unlock(&cpus->serial);
}

void cpus_run_on(struct cpus *cpus, int cpu, cpus_fn fn, void *arg)
{
	pthread_mutex_lock(&cpus->serial);
	pthread_mutex_lock(&cpus->lock);
	run_locked(cpus, 1ull << cpu, fn, arg);
	pthread_mutex_unlock(&cpus->lock);
	pthread_mutex_unlock(&cpus->serial);
}

uint64_t cpus_mark(struct cpus *cpus)
{
	uint64_t mark;

	pthread_mutex_lock(&cpus->lock);
	mark = cpus->begun;
	pthread_mutex_unlock(&cpus->lock);
	return mark;
}

void cpus_quiesce_since(struct cpus *cpus, uint64_t mark)
{
	if (grace_has_ended(cpus, mark)) /* nor does it wait for a release of many packets */
		return;
	pthread_mutex_lock(&cpus->serial);
	pthread_mutex_lock(&cpus->lock);
	if (cpus->ended <= mark)
		grace_locked(cpus);
	pthread_mutex_unlock(&cpus->lock);
	pthread_mutex_unlock(&cpus->serial);
}

void cpus_quiesce(struct cpus *cpus)
{
	cpus_quiesce_since(cpus, cpus_mark(cpus));
}

#define BULK_NICE 15

/* Without the right to it, just slower. */
void cpus_pace(enum cpus_pace pace)
{
	struct sched_param param = { .sched_priority = pace == PACE_URGENT ? URGENT_PRIORITY : 0 };

	sched_setscheduler(0, pace == PACE_URGENT ? SCHED_FIFO : SCHED_OTHER, &param);
	setpriority(PRIO_PROCESS, (id_t)gettid(), pace == PACE_BULK ? BULK_NICE : 0);
}
