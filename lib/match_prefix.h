/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * match_prefix.h - prefix lengths and masks over 128-bit addresses; an IPv4 /24 is a /120 there.
 */
#pragma once

#include <linux/types.h>

/* @len is 0 to 128. */
void prefix_mask(unsigned int len, __be32 ret_mask[4]);

/* The length of the prefix that @mask is, or -EINVAL if its ones aren't all in front. */
int prefix_length(const __be32 mask[4]);
