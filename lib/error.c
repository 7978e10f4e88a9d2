/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "lib/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Cuts text that was written with a full length of @len into @size bytes at a character's start. */
static void text_cut(char *buf, size_t size, size_t len)
{
	size_t end = size - 1;

	if (len < size)
		return;
	while (end > 0 && ((unsigned char)buf[end - 1] & 0xc0) == 0x80)
		end--;
	/* buf[end - 1] now starts the last character; drop it: it may be incomplete */
	if (end > 0 && ((unsigned char)buf[end - 1] & 0x80))
		buf[end - 1] = '\0';
}

static void text_copy(char *buf, size_t size, const char *text)
{
	int len = snprintf(buf, size, "%s", text);

	text_cut(buf, size, len < 0 ? 0 : (size_t)len);
}

int error_set(struct ff_error *error, int err, const char *code, const char *mend, const char *fmt,
	      ...)
{
	struct ff_error fresh = { .err = -abs(err) };
	va_list args;
	int len;

	if (!error)
		return -abs(err);
	text_copy(fresh.code, sizeof(fresh.code), code ? code : error_code(err));
	text_copy(fresh.mend, sizeof(fresh.mend), mend ? mend : "");
	va_start(args, fmt);
	len = vsnprintf(fresh.message, sizeof(fresh.message), fmt, args);
	va_end(args);
	text_cut(fresh.message, sizeof(fresh.message), len < 0 ? 0 : (size_t)len);
	*error = fresh;
	return fresh.err;
}

void error_prefix(struct ff_error *error, const char *fmt, ...)
{
	char prefix[sizeof(error->message)], joined[2 * sizeof(error->message) + 2];
	va_list args;

	if (!error || !error->err)
		return;
	va_start(args, fmt);
	vsnprintf(prefix, sizeof(prefix), fmt, args);
	va_end(args);
	snprintf(joined, sizeof(joined), "%s: %s", prefix, error->message);
	text_copy(error->message, sizeof(error->message), joined);
}

int error_nomem(struct ff_error *error)
{
	return error_set(error, ENOMEM, FF_CODE_INTERNAL, "free some memory and try again",
			 "out of memory");
}

const char *error_code(int err)
{
	switch (abs(err)) {
	case EINVAL:
	case ERANGE:
	case E2BIG:
	case EBADMSG:
	case EPROTO:
		return FF_CODE_BAD_REQUEST;
	case ENOENT:
	case ESRCH:
	case ENODEV:
		return FF_CODE_NOT_FOUND;
	case EEXIST:
		return FF_CODE_EXISTS;
	case EBUSY:
	case EAGAIN:
		return FF_CODE_BUSY;
	case ESTALE:
		return FF_CODE_STALE_EPOCH;
	case EPERM:
	case EACCES:
	case EOPNOTSUPP:
		return FF_CODE_REFUSED;
	case ECONNREFUSED:
	case ECONNRESET:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ETIMEDOUT:
	case EPIPE:
		return FF_CODE_UNREACHABLE;
	default:
		return FF_CODE_INTERNAL;
	}
}
