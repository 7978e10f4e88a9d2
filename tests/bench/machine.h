/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* machine.h - what figures were taken on; without it they say nothing. */
#pragma once

#include <jansson.h>

/*
 * {"cpu","virtual","cores","memory","kernel","clang","governor","load","flowferry"}; NULL: memory.
 */
json_t *machine_describe(void);
