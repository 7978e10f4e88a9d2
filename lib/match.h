/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * match.h - struct ff_match: filters simple enough for the data path, which tests packets of flows
 * that don't exist yet.
 *
 * A match is a conjunction: protocol, family, and for each of two endpoints a prefix and a port
 * range. Its meaning, in user space and in the data path alike:
 *   - FF_MATCH_USED unset: matches nothing.
 *   - proto 0 is any protocol, family 0 is any family.
 *   - a port range other than 0-65535 matches only protocols that have ports (TCP, UDP, SCTP):
 *     an ICMP echo identifier, which the key keeps in the same place, is not a port.
 *   - FF_MATCH_EITHER: also with a and b exchanged.
 */
#pragma once

#include <stdbool.h>
#include <linux/types.h>

#include "bpf/abi.h"
#include "lib/error.h"

/* "ip6 and sctp and " + 2 * "src net <43> and src portrange 00000-00000 and ", rounded up */
#define MATCH_TEXT_MAX 256

/*
 * Reads filter text (pcap-filter(7)) into a match. *ret_exact tells whether the match gives the
 * same answer as the filter for every flow; then it has FF_MATCH_USED and FF_MATCH_EITHER, as a
 * filter takes a flow by a packet of either direction. Else (a valid filter that is richer than a
 * match) *ret_match is all zero, and the caller works with filter_new().
 *
 * Exact are conjunctions (`and`, `&&`, parentheses) of `ip`, `ip6`, `tcp`, `udp`, `sctp`, `icmp`,
 * `icmp6`, `[src|dst] host A`, `[src|dst] net P/LEN`, `[src|dst] port N`,
 * `[src|dst] portrange M-N`, also `tcp port N` and the like. Without src or dst a condition is
 * about either endpoint: one such is exact when it is the only one, and two disjoint ones of one
 * kind (`host A and host B`) are; `host A and port 80` is not (it holds also when the port is at
 * the other endpoint). Empty text matches everything.
 *
 * -EINVAL: not a filter at all; outputs untouched, *err (may be NULL) says why.
 */
int match_from_text(const char *expr, struct ff_match *ret_match, bool *ret_exact,
		    struct ff_error *err);

/*
 * The filter text of a match that has FF_MATCH_EITHER; match_from_text() reads it back to a match
 * with the same answers. "" for a match of everything. -EINVAL for one that no text expresses (a
 * mask that is no prefix, a protocol without flows, not in use, one direction only).
 */
int match_format(const struct ff_match *match, char ret_text[MATCH_TEXT_MAX]);

/* Whether the match takes the flow: a packet of either direction. */
bool match_test(const struct ff_match *match, const struct ff_flow_key *key);

/* Whether it takes a packet of that flow sent by endpoint @source (0 or 1) to the other one. */
bool match_test_packet(const struct ff_match *match, const struct ff_flow_key *key,
		       unsigned int source);
