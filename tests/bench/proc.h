/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* proc.h - other people's programs, in a network namespace of the suite's. */
#pragma once

#include <sys/types.h>

#include "lib/error.h"

/* Begins argv[0], looked for in PATH; what it prints goes to `output_fd`. */
int proc_start(int netns_fd, const char *const argv[], int output_fd, pid_t *ret_pid,
	       struct ff_error *err);
/*
 * The same to its end. *ret_output (may be NULL) is what it has printed, malloc'ed. Anything but
 * exit status 0 is -EPROTO and quotes it.
 */
int proc_run(int netns_fd, const char *const argv[], char **ret_output, struct ff_error *err);
