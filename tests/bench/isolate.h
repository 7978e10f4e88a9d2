/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * isolate.h - a suite in namespaces of its own: network, pids, mounts. Their first process reaps
 * what the suite's daemons leave behind; when it is killed, the kernel ends all others, and with
 * the last of them go networks, pins and files in /run. So an interrupted run leaves nothing.
 */
#pragma once

#include <sys/types.h>

#include "lib/error.h"

/* Runs fn(arg) there; *ret_pid is the first process, which exits with what fn returns. */
int isolate_start(int (*fn)(void *arg), void *arg, pid_t *ret_pid, struct ff_error *err);
/*
 * Waits up to timeout_ms, or until SIGINT or SIGTERM, which the caller has blocked; then kills it.
 * 0 and *ret_status (of waitpid()), -ETIMEDOUT, or -EINTR.
 */
int isolate_wait(pid_t pid, unsigned int timeout_ms, int *ret_status);
