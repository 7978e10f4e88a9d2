/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cpus.h - a thread pinned to each CPU that runs the data path.
 *
 * Two things need them. Live frames (fences, released packets) have to leave from a given CPU,
 * behind what that CPU sent before. And that a pinned thread gets to run at all proves something:
 * XDP programs run with softirqs off and are never preempted by a thread, so when each of these
 * threads has run once, every program that was under way when we asked has ended. cpus_quiesce()
 * waits for just that: a grace period for stores into mapped maps, in about 0.1 ms instead of
 * RCU's several.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/cleanup.h"
#include "lib/error.h"

struct cpus;

/* Runs in the thread of CPU `cpu`. */
typedef void (*cpus_fn)(int cpu, void *arg);

int cpus_new(int count, struct cpus **ret, struct ff_error *err);
void cpus_free(struct cpus *cpus); /* NULL is fine */
DEFINE_CLEANUP(struct cpus *, cpus_free);

int cpus_count(const struct cpus *cpus);

/* Runs fn once on each CPU, all at a time, and waits for all. Any thread may call; one at a time
 * is served. */
void cpus_run(struct cpus *cpus, cpus_fn fn, void *arg);

/* Runs fn on one CPU and waits. */
void cpus_run_on(struct cpus *cpus, int cpu, cpus_fn fn, void *arg);

/*
 * How the calling thread competes for CPUs. Bulk work stands back behind packets: under load they
 * are ksoftirqd's, which is an ordinary thread, and a queue of some hundred frames is full within a
 * millisecond. What packets wait for, and takes no longer than that, goes before everything: an
 * ordinary thread would wait for milliseconds of its turn. Threads that it starts inherit it.
 */
enum cpus_pace { PACE_BULK, PACE_NORMAL, PACE_URGENT };
void cpus_pace(enum cpus_pace pace);

/* Returns when no packet program that began before the call is still running. */
void cpus_quiesce(struct cpus *cpus);

/*
 * Grace periods shared, as with the kernel's get_state_synchronize_rcu(): each that begins after the
 * mark was taken will do, whoever has asked for it. So what was stored before the mark is seen by
 * every packet program once cpus_quiesce_since() returns, which often needs no waiting at all.
 */
uint64_t cpus_mark(struct cpus *cpus);
void cpus_quiesce_since(struct cpus *cpus, uint64_t mark);
