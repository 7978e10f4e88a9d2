/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * netns.h - named network namespaces, in the layout of iproute2's `ip netns` (ip-netns(8)): a bind
 * mount of the namespace on /run/netns/NAME, so that either tool sees the other's.
 *
 * Entering changes the calling thread's network namespace and nothing else: `ip netns exec` also
 * mounts a new /sys, in which bpffs is missing.
 */
#pragma once

#include <sys/types.h>

#define NETNS_DIR "/run/netns"

/* A new namespace with its loopback down. -EEXIST if the name is taken. */
int netns_create(const char *name);
/* Removes the name; the namespace goes when its last process and descriptor do. -ENOENT. */
int netns_delete(const char *name);

/* A descriptor (close-on-exec) or a negative errno; -ENOENT: no such name. */
int netns_open(const char *name);
/* Of the calling thread. */
int netns_open_current(void);

int netns_enter(int netns_fd);

/*
 * Runs fn(arg) in the namespace, on the calling thread, and comes back. Returns what fn returned.
 */
int netns_call(int netns_fd, int (*fn)(void *arg), void *arg);

/*
 * Runs fn(arg) in a child process in the namespace; the child exits with its return value. Returns
 * the child's pid, or a negative errno.
 */
pid_t netns_fork(int netns_fd, int (*fn)(void *arg), void *arg);
