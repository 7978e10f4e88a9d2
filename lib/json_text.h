/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * json_text.h - JSON written as text at once, for what is written many times a second: no tree is
 * made and freed again, and no number goes through printf().
 *
 *	json_text_open(&out, NULL, '{');
 *	json_text_uint(&out, "id", 5);
 *	json_text_open(&out, "drops", '{');
 *	json_text_close(&out, '}');
 *	json_text_close(&out, '}');		-> {"id":5,"drops":{}}
 *
 * Commas come by themselves. @name is the member's name in an object, as it is (no escapes in it),
 * and NULL in an array and at the top. What fails for want of memory is noted in `failed`, which is
 * to be looked at once at the end; the text is of no use then.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cleanup.h"

struct json_text {
	char *text; /* not NUL-terminated */
	size_t len, size;
	bool failed;
};

void json_text_done(struct json_text *out);
#define _cleanup_json_text_ _cleanup_(json_text_done)

void json_text_reset(struct json_text *out);	       /* empty; keeps its memory */
void json_text_cut(struct json_text *out, size_t len); /* back to what it was at that length */

/*
 * Room for @n bytes more at text + len, for who writes by himself and adds
 * to `len`; NULL: there is none.
 */
char *json_text_room(struct json_text *out, size_t n);

void json_text_name(struct json_text *out,
		    const char *name); /* the value follows, without a name */
void json_text_open(struct json_text *out, const char *name, char bracket);   /* '{' or '[' */
void json_text_close(struct json_text *out, char bracket);		      /* '}' or ']' */
void json_text_uint(struct json_text *out, const char *name, uint64_t value); /* cut to INT64_MAX */
void json_text_bool(struct json_text *out, const char *name, bool value);
void json_text_str(struct json_text *out, const char *name,
		   const char *value); /* not UTF-8: null */
/* What has been written elsewhere, as one value. */
void json_text_add(struct json_text *out, const char *name, const struct json_text *value);
/* Takes over the reference; NULL: failed. */
void json_text_value(struct json_text *out, const char *name, json_t *value);

/* As digits, without a NUL; returns how many, 20 at most. snprintf() takes ten times as long. */
size_t json_text_digits(char *at, uint64_t value);
