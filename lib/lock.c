/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "lib/lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include "lib/cleanup.h"
#include "lib/clock.h"

/* A killed predecessor gives its memory back before its locks: an agent's takes some 100 ms. */
#define LOCK_WAIT_NS NSEC_PER_SEC
#define LOCK_TRY_NS  (10 * NSEC_PER_MSEC)

int lock_take(const char *path, int flags, const char *what, int *ret_fd, struct ff_error *err)
{
	_cleanup_close_ int fd = open(path, flags | O_CLOEXEC, 0644);
	uint64_t until = clock_ns() + LOCK_WAIT_NS;

	if (fd < 0)
		return error_set(err, errno, FF_CODE_REFUSED,
				 "make its directory, or correct the path", "can't open %s: %m",
				 path);
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return error_set(err, errno, FF_CODE_REFUSED, NULL, "can't lock %s: %m",
					 path);
		if (clock_ns() > until)
			return error_set(err, EBUSY, FF_CODE_BUSY,
					 "stop that one first: two would undo each other's work",
					 "%s %s is in use by another process", what, path);
		clock_sleep_ns(LOCK_TRY_NS);
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}
