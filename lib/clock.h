/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * clock.h - the two clocks: one for durations and deadlines, one for people.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define NSEC_PER_SEC  1000000000ull
#define NSEC_PER_MSEC 1000000ull
#define NSEC_PER_USEC 1000ull
#define USEC_PER_SEC  1000000ull
#define USEC_PER_MSEC 1000ull
#define MSEC_PER_SEC  1000ull

/* CLOCK_MONOTONIC in nanoseconds: the clock of bpf_ktime_get_ns(), local to one host. */
uint64_t clock_ns(void);

/* CLOCK_REALTIME in milliseconds since 1970: only for showing and for history. */
uint64_t clock_wall_ms(void);

/* Sleeps for the whole time, whatever signals arrive. */
void clock_sleep_ns(uint64_t duration_ns);

/* A condition whose waits end by clock_ns(), so that no setting of the wall clock lengthens one. */
void clock_cond_init(pthread_cond_t *ret);

/* For one of those: as pthread_cond_timedwait(). False: @until_ns has come. */
bool clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t until_ns);
