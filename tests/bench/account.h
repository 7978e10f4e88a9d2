/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * account.h - what a process has taken, by the kernel's word. CPU time is the scheduler's own
 * account (/proc/PID/task/TID/schedstat), to the nanosecond: ticks, in which stat(5) counts,
 * miss what sleeps between them.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* Of all threads, packets that they received for others included; 0 if the process is gone. */
uint64_t account_cpu_ns(pid_t pid);
/* A line "NAME: N kB" of a file under /proc, in bytes; 0: there is none. */
uint64_t account_bytes(const char *path, const char *name);
