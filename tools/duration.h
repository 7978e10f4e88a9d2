/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* duration.h - times as people type them. */
#pragma once

#include <stdint.h>

/* "500ms", "90s" (or "90"), "10m", "2h" to milliseconds within [min, max]. -EINVAL. */
int duration_parse(const char *text, uint64_t min_ms, uint64_t max_ms, uint64_t *ret_ms);
