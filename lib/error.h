/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * error.h - an error that a person can act on: what failed, why, and the mend.
 *
 * A function returns the negative errno; where a person will read the reason, it also fills the
 * caller's struct ff_error. The outermost caller logs it, or answers with it, once.
 */
#pragma once

/* The codes of API.md. They tell a program what a message tells a person. */
#define FF_CODE_BAD_REQUEST "bad-request"
#define FF_CODE_NOT_FOUND   "not-found"
#define FF_CODE_EXISTS	    "exists"
#define FF_CODE_BUSY	    "busy"
#define FF_CODE_OVERLAP	    "overlap"
#define FF_CODE_STALE_EPOCH "stale-epoch"
#define FF_CODE_REFUSED	    "refused"
#define FF_CODE_UNREACHABLE "unreachable"
#define FF_CODE_INTERNAL    "internal"

struct ff_error {
	int err;	   /* negative errno; 0: no error */
	char code[24];	   /* FF_CODE_* */
	char message[400]; /* names the thing and the cause */
	char mend[200];	   /* what to do about it; may be empty */
};

/*
 * Fills *error and returns the negative errno of @err, which may be given as EINVAL or -EINVAL, so
 * that a function can end in `return error_set(...)`. @error may be NULL (nobody will read it);
 * @mend may be NULL. Texts that are too long are cut, never inside a UTF-8 character. Arguments
 * may point into *error: the old message can be quoted in the new one.
 */
int error_set(struct ff_error *error, int err, const char *code, const char *mend, const char *fmt,
	      ...) __attribute__((format(printf, 5, 6)));

/* Puts "text: " before the message of an error already set; for callers that know the context. */
void error_prefix(struct ff_error *error, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Out of memory, said the same way everywhere. Returns -ENOMEM. */
int error_nomem(struct ff_error *error);

/* The code that fits an errno when a callee gave none: ENOENT -> not-found, EBUSY -> busy ... */
const char *error_code(int err);
