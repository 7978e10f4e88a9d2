/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lock.h - one process at a time: flock(2) on what two of a kind would spoil for each other. It
 * ends with its holder, however that ends, so nothing is ever left to be cleared away.
 */
#pragma once

#include "lib/error.h"

/*
 * Locks the file or directory `path`, opened with `flags` of open(2); *ret_fd holds the lock until
 * it is closed. -EBUSY: another has it, and still after a moment; `what` names it, for the message.
 */
int lock_take(const char *path, int flags, const char *what, int *ret_fd, struct ff_error *err);
