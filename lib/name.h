/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* name.h - names of services, instances, hosts: parts of paths, keys and commands. */
#pragma once

#include "lib/error.h"

/* Letters, digits, '-', '_', '.', not first; below FF_NAME_MAX. -EINVAL; @what: "service" ... */
int name_check(const char *what, const char *name, struct ff_error *err);
