/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* btf_field.h - where a member of a C type lies, by name: NFs' types are unknown to the tests. */
#pragma once

#include <stdint.h>

struct btf;

struct btf_field {
	uint32_t offset; /* of element 0 */
	uint32_t size;	 /* of one element */
	uint32_t count;	 /* elements; 1: no array */
	uint32_t type;	 /* of one element */
};

/* Path such as "state.timeouts.none_s" in struct `type`. 0 or -ENOENT. */
int btf_field_find(const struct btf *btf, uint32_t type, const char *path,
		   struct btf_field *ret_field);
