/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* name.c - see name.h. */
#include "lib/name.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <linux/types.h>

#include "bpf/abi.h"

int name_check(const char *what, const char *name, struct ff_error *err)
{
	size_t len = strlen(name);
	bool good = len && len < FF_NAME_MAX && isalnum((unsigned char)name[0]);

	for (size_t i = 0; good && i < len; i++)
		good = isalnum((unsigned char)name[i]) || strchr("-_.", name[i]);
	if (good)
		return 0;
	return error_set(
		err, EINVAL, FF_CODE_BAD_REQUEST,
		"up to 31 letters, digits, '-', '_', '.', beginning with a letter or digit",
		"\"%s\" can't name %s %s", name, strchr("aeiou", what[0]) ? "an" : "a", what);
}
