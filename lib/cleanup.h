/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cleanup.h - what every C file of user space leans on: cleanup attributes and a few macros.
 *
 * A variable marked _cleanup_x_ releases what it holds when it goes out of scope, so an early
 * return leaks nothing. TAKE_PTR() and TAKE_FD() hand the content on and disarm the variable.
 */
#pragma once

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

/*
 * Makes free_x(T *) usable as a cleanup: DEFINE_CLEANUP(struct thing *, thing_free) -> thing_freep
 */
#define DEFINE_CLEANUP(type, fn)                                                                   \
	static inline __attribute__((unused)) void fn##p(type *held)                               \
	{                                                                                          \
		if (*held)                                                                         \
			fn(*held);                                                                 \
	}                                                                                          \
	struct cleanup_semicolon_eater

/* errno is kept: a cleanup must not replace the error that the function is about to return. */
static inline void cleanup_free(void *held)
{
	free(*(void **)held);
}

static inline void cleanup_close(const int *held)
{
	int saved = errno;

	if (*held >= 0)
		close(*held);
	errno = saved;
}

static inline void cleanup_fclose(FILE **held)
{
	int saved = errno;

	if (*held)
		fclose(*held);
	errno = saved;
}

#define _cleanup_free_	 _cleanup_(cleanup_free)
#define _cleanup_close_	 _cleanup_(cleanup_close) /* initialise to -1 */
#define _cleanup_fclose_ _cleanup_(cleanup_fclose)

#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) _taken = (p);                                                        \
		(p) = NULL;                                                                        \
		_taken;                                                                            \
	})

#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int _taken = (fd);                                                                 \
		(fd) = -1;                                                                         \
		_taken;                                                                            \
	})

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#endif

#ifndef container_of
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#endif

/* <sys/param.h> has its own, which evaluate twice */
#undef MIN
#undef MAX
#define MIN(x, y)                                                                                  \
	({                                                                                         \
		__typeof__(x) _x = (x);                                                            \
		__typeof__(y) _y = (y);                                                            \
		_x < _y ? _x : _y;                                                                 \
	})
#define MAX(x, y)                                                                                  \
	({                                                                                         \
		__typeof__(x) _x = (x);                                                            \
		__typeof__(y) _y = (y);                                                            \
		_x > _y ? _x : _y;                                                                 \
	})
