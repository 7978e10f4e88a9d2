/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flow.h - flows as keys and as text.
 *
 *	tcp 198.18.1.2:1234 198.18.2.2:80		tcp, udp, sctp
 *	udp [2001:db8:1::2]:53 [2001:db8:2::2]:9
 *	icmp 198.18.1.2 198.18.2.2 id 77		icmp (IPv4), icmpv6: echo
 *
 * A key has no direction: endpoint 0 is the one whose address and then port is smaller as bytes in
 * network order (memcmp), in user space and in the data path alike. IPv4 addresses are mapped
 * (::ffff:a.b.c.d). Text names no service: flow_parse() leaves `service` 0, and the caller sets it.
 */
#pragma once

#include <stdbool.h>
#include <linux/types.h>

#include "bpf/abi.h"
#include "lib/error.h"
#include "lib/slotset.h"

/* "icmpv6", two 45-character addresses in brackets with ports, " id 65535", NUL: rounded up */
#define FLOW_TEXT_MAX 128

/*
 * Reads a flow in either order of its endpoints; spaces may repeat. *ret_key is canonical, with
 * service 0 and no garbage in its padding, so it can be a map key at once.
 * -EINVAL if the text isn't a flow, *ret_key untouched. flow_parse() is for callers that print
 * their own message; flow_read() tells in *err (may be NULL) what is wrong and how to write it.
 */
int flow_parse(const char *text, struct ff_flow_key *ret_key);
int flow_read(const char *text, struct ff_flow_key *ret_key, struct ff_error *err);

/*
 * Writes the key's text, endpoint 0 first, and returns @buf, for use inside a printf call. A
 * protocol that flows don't have is written `proto-47`, which flow_parse() refuses.
 */
const char *flow_format(const struct ff_flow_key *key, char buf[FLOW_TEXT_MAX]);

/* Puts the endpoints in canonical order. Returns true if it exchanged them. */
bool flow_canonicalize(struct ff_flow_key *key);

/* A total order over all fields (for qsort and search): <0, 0, >0. */
int flow_cmp(const struct ff_flow_key *x, const struct ff_flow_key *y);

/* Whether a key's endpoints are IPv4 (mapped) addresses. */
bool flow_is_ipv4(const struct ff_flow_key *key);

/* Whether the protocol has ports: TCP, UDP, SCTP. ICMP echo's identifier is not a port. */
bool flow_proto_has_ports(unsigned int proto);

/* "tcp", "udp", "sctp", "icmp", "icmpv6"; NULL for others, which have no flows. */
const char *flow_proto_name(unsigned int proto);
