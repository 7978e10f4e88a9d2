/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * btf_walk.h - what the readers of BTF share: types resolved, members, how a value is to be shown.
 */
#pragma once

#include <bpf/btf.h>
#include <stdbool.h>
#include <stdint.h>

#define BTF_DEPTH_MAX 8 /* of nested types: bounds the recursion over a hostile object's types */

/* How a value is written in JSON; see btf_json.h. */
enum btf_shape {
	BTF_SHAPE_NONE, /* can't be written */
	BTF_SHAPE_UNSIGNED,
	BTF_SHAPE_SIGNED,
	BTF_SHAPE_NETWORK,
	BTF_SHAPE_BOOL,
	BTF_SHAPE_ENUM,
	BTF_SHAPE_IPV4,	   /* 4 bytes */
	BTF_SHAPE_MAC,	   /* 6 bytes */
	BTF_SHAPE_ADDRESS, /* 16 bytes */
	BTF_SHAPE_TEXT,
	BTF_SHAPE_HEX,
	BTF_SHAPE_MATCH,
	BTF_SHAPE_FLOW,
	BTF_SHAPE_ARRAY,
	BTF_SHAPE_STRUCT,
	BTF_SHAPE_SKIP, /* no content: a lock */
};

/* "" where there's none, never NULL. */
const char *btf_name(const struct btf *btf, const struct btf_type *type);
const char *btf_member_name(const struct btf *btf, const struct btf_member *member);

/*
 * Through const, volatile, typedef ... to the type itself; 0 if there is none. A mere declaration
 * (clang emits one where it saw no use) stands for the definition of that name.
 */
uint32_t btf_resolve(const struct btf *btf, uint32_t id);

/* btf__type_by_id() of the resolved type, or NULL. */
const struct btf_type *btf_resolved(const struct btf *btf, uint32_t id);

/* __be16, __be32, __be64: typedefs on the way to an integer. */
bool btf_is_network(const struct btf *btf, uint32_t id);

/* The member of that name in struct @id, or NULL. */
const struct btf_member *btf_member_find(const struct btf *btf, uint32_t id, const char *name);

/* @name is the member's, for types that say too little (an address as __be32). */
enum btf_shape btf_shape_of(const struct btf *btf, uint32_t id, const char *name);

/* House padding: members that are no content. */
bool btf_name_is_padding(const char *name);

/* Characters of the prefix that an enum's enumerators have in common, up to an underscore. */
unsigned int btf_enum_prefix(const struct btf *btf, const struct btf_type *type);
