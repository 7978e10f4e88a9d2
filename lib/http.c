/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one place that says which HTTP status and which errno an error code of API.md is. */
#include "lib/http.h"

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/error.h"

static const struct {
	const char *code;
	unsigned int status;
	int err;
} codes[] = {
	/* for a status that several codes share, the first is the one that it means by itself */
	{ FF_CODE_BAD_REQUEST, 400, EINVAL }, { FF_CODE_NOT_FOUND, 404, ENOENT },
	{ FF_CODE_REFUSED, 409, EPERM },      { FF_CODE_EXISTS, 409, EEXIST },
	{ FF_CODE_BUSY, 409, EBUSY },	      { FF_CODE_OVERLAP, 409, EALREADY },
	{ FF_CODE_STALE_EPOCH, 409, ESTALE }, { FF_CODE_UNREACHABLE, 502, EHOSTUNREACH },
	{ FF_CODE_INTERNAL, 500, EIO },
};

unsigned int http_status_of_code(const char *code)
{
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (strcmp(code, codes[i].code) == 0)
			return codes[i].status;
	return 500;
}

int http_errno_of_code(const char *code)
{
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (strcmp(code, codes[i].code) == 0)
			return codes[i].err;
	return EIO;
}

const char *http_code_of_status(unsigned int status)
{
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (status == codes[i].status)
			return codes[i].code;
	if (status == 401 || status == 403)
		return FF_CODE_REFUSED;
	if (status == 503)
		return FF_CODE_BUSY;
	return status >= 500 ? FF_CODE_INTERNAL : FF_CODE_BAD_REQUEST;
}
