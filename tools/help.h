/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* help.h - pages of help, made from the tables that verbs consist of. */
#pragma once

#include <stdio.h>

#include "tools/cmd.h"

/* All verbs, a line each. */
void help_overview(FILE *to);

/* The page of one verb, in the order of a manual page; `path` is its full name, "flows get". */
void help_show(const struct call *call, const struct command *command, const char *path);
