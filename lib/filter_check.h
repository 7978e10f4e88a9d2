/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * filter_check.h - what makes a packet filter a flow filter; filter.c's own helpers.
 */
#pragma once

#include <stdbool.h>

#include "lib/error.h"

struct bpf_program;

/* Refuses words that libpcap would look up as names of hosts. 0 or -EINVAL with *err. */
int filter_check_words(const char *expr, struct ff_error *err);

/* Whether a program compiled for raw IP reads nothing but what a flow's key determines. */
bool filter_check_loads(const struct bpf_program *program);
