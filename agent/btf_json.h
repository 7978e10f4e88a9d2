/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * btf_json.h - C values as JSON and back, by their BTF type.
 *
 *	integers	numbers; a __u64 beyond 2^63 - 1 as decimal text
 *	__be16 ..	numbers in host order; a __be32 named `addr`, `ip` or the like: IPv4 text
 *	__u8[6]		MAC address, text
 *	__u8[16], __be32[4], struct ff_addr	IPv6 or (mapped) IPv4 address, text
 *	__u8[4]		IPv4 address if its name has `addr` or `ip`, else numbers
 *	char[]		text
 *	enums		the enumerator without its enum's common prefix, lower case: FW_ALLOW -> "allow"
 *	struct ff_match	filter text (lib/match.h)
 *	struct ff_flow_key	flow text (lib/flow.h)
 *	arrays		arrays; only the first NAME_count elements where the struct has such a number
 *	bpf_spin_lock, members named pad*	left out
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "lib/error.h"

struct btf;

/* *ret_json is a new reference. -EINVAL: a type that has no JSON (pointer, bitfield); -ENOMEM. */
int btf_to_json(const struct btf *btf, uint32_t type, const void *data, json_t **ret_json);

/*
 * Fills @data (of the type's size, all zero beforehand: what JSON leaves out stays as it is) from
 * @json. Strict: an unknown field, a number out of range, an array longer than the type's, text that
 * is no address are -EINVAL, and *err names the field (`rules[3].match`) and the mend. An array may
 * be shorter; where the struct has an integer named like it with `_count`, that is set to the number
 * of entries.
 */
int btf_from_json(const struct btf *btf, uint32_t type, const json_t *json, void *data,
		  struct ff_error *err);
