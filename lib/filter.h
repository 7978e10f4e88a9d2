/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * filter.h - flow filters in the language of pcap-filter(7): `tcp and src net 198.18.1.0/24`.
 *
 * libpcap compiles the text for raw IP; it runs over a packet made up from the flow's key. A filter
 * takes a flow if it takes a packet of either direction. What a key doesn't hold (payload, flags,
 * TTL, length, fragments, link layer) is refused when the filter is made, instead of being compared
 * with invented bytes.
 */
#pragma once

#include <stdbool.h>
#include <linux/types.h>

#include "bpf/abi.h"
#include "lib/cleanup.h"
#include "lib/error.h"

#define FILTER_TEXT_MAX 4096 /* bounds what libpcap's recursive parser is fed */

struct filter;

/*
 * Compiles @expr; NULL or empty takes everything. *ret_filter is the caller's: filter_free().
 * -EINVAL (with the compiler's words in *err, which may be NULL), -E2BIG, -ENOMEM.
 * Thread-safe; a filter may be used by many threads at once.
 */
int filter_new(const char *expr, struct filter **ret_filter, struct ff_error *err);
void filter_free(struct filter *filter);
DEFINE_CLEANUP(struct filter *, filter_free);
#define _cleanup_filter_ _cleanup_(filter_freep)

/* Whether the filter takes the flow. About 0.1 us; allocates nothing. */
bool filter_matches(const struct filter *filter, const struct ff_flow_key *key);

/* The text it was made from. */
const char *filter_text(const struct filter *filter);
