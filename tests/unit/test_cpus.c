/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_cpus.c - threads of CPUs stay on them; a grace period that is over isn't waited for. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/cpus.h"
#include "agent/online.h"
#include "bpf/abi.h"

static struct cpus *cpus;

static void setup(void)
{
	struct ff_error err = {};
	int count = online_count(&err);

	cr_assert_gt(count, 0, "%s", err.message);
	cr_assert_eq(cpus_new(count, &cpus, &err), 0, "%s", err.message);
}

static void teardown(void)
{
	cpus_free(cpus);
}

TestSuite(cpus, .init = setup, .fini = teardown, .timeout = 60);

/* As when CPUs have been offline: no thread is where it was any more. */
static void threads_scatter(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;

	cr_assert_not_null(dir);
	while ((entry = readdir(dir))) {
		pid_t tid = atoi(entry->d_name);
		cpu_set_t set;
		int cpu = 0;

		if (tid <= 0 || tid == gettid() || sched_getaffinity(tid, sizeof(set), &set))
			continue;
		while (!CPU_ISSET(cpu, &set))
			cpu++;
		CPU_ZERO(&set);
		CPU_SET((cpu + 1) % cpus_count(cpus), &set);
		cr_assert_eq(sched_setaffinity(tid, sizeof(set), &set), 0);
	}
	closedir(dir);
}

static void where(int cpu, void *arg)
{
	int *at = arg;

	at[cpu] = sched_getcpu();
}

Test(cpus, a_thread_returns_to_its_cpu)
{
	int at[FF_CPUS_MAX] = { 0 };

	threads_scatter();
	cpus_run(cpus, where, at);
	for (int cpu = 0; cpu < cpus_count(cpus); cpu++)
		cr_expect_eq(at[cpu], cpu, "CPU %d was asked on CPU %d", cpu, at[cpu]);
}

struct hold {
	sem_t begun, end;
};

static void hold_on_cpu(int cpu, void *arg)
{
	struct hold *hold = arg;

	(void)cpu;
	sem_post(&hold->begun);
	sem_wait(&hold->end);
}

static void *hold_main(void *arg)
{
	cpus_run_on(cpus, 0, hold_on_cpu, arg);
	return NULL;
}

Test(cpus, what_is_over_waits_for_no_run)
{
	uint64_t mark = cpus_mark(cpus);
	struct hold hold;
	pthread_t thread;

	cpus_quiesce(cpus);
	sem_init(&hold.begun, 0, 0);
	sem_init(&hold.end, 0, 0);
	pthread_create(&thread, NULL, hold_main, &hold);
	sem_wait(&hold.begun);
	cpus_quiesce_since(cpus, mark); /* returns, or the test never ends */
	sem_post(&hold.end);
	pthread_join(thread, NULL);
	cr_expect_gt(cpus_mark(cpus), mark);
}
