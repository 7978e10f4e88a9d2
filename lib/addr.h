/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * addr.h - IP addresses in the one form that maps, tables and daemons share: 16 bytes in network
 * order, IPv4 mapped (::ffff:a.b.c.d, RFC 4291 section 2.5.5.2).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <linux/types.h>

#include "bpf/abi.h"

#define ADDR_TEXT_MAX 46 /* INET6_ADDRSTRLEN */

/* "198.18.8.1" or "2001:db8:8::1" -> *ret_addr; -EINVAL for anything else. */
int addr_parse(const char *text, struct ff_addr *ret_addr);

/* Writes the address's text, IPv4 unmapped, and returns @buf. */
const char *addr_format(const struct ff_addr *addr, char buf[ADDR_TEXT_MAX]);

bool addr_is_ipv4(const struct ff_addr *addr);
bool addr_is_zero(const struct ff_addr *addr);

/* From and to bytes in network order; @family AF_INET (4 bytes) or AF_INET6 (16 bytes). */
void addr_set(struct ff_addr *addr, int family, const void *bytes);
/* The 4 or 16 bytes of the address itself, inside *addr; *ret_family tells which. */
const void *addr_bytes(const struct ff_addr *addr, int *ret_family);
