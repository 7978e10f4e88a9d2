/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * schema.h - the state that an NF declares, read from the BTF of its object or of its maps.
 *
 * A schema lists a state type's fields with place, kind and tags, nested structs and arrays of
 * structs flattened: `tcp.peer[1].seq`. Its text goes into the header of a state stream, so that
 * the receiver can convert values of another version of the NF, field by field, by name:
 *
 *	per-flow firewall_flows key 40 value 104 state 40
 *	packets 40 8 2 unsigned sum
 *	seen_ns 56 8 1 unsigned min clock
 *
 * Columns: name, offset in the value, size of an element, elements, kind, tags. The schema's hash
 * is FNV-1a 64 over that text: equal hashes mean equal layouts, and values are copied whole.
 * What the SDK puts in front of the NF's own struct (struct ff_head) is not in the list.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "lib/error.h"

struct btf;

#define SCHEMA_FIELDS_MAX 256 /* of one type; more is no flow state but a table */
#define SCHEMA_NAME_MAX	  64  /* `tcp.peer[1].seq`, with NUL */
#define SCHEMA_STATES_MAX 8   /* declared states of one NF */

enum schema_scope { SCHEMA_PER_FLOW, SCHEMA_MULTI_FLOW, SCHEMA_ALL_FLOWS };

enum schema_kind {
	SCHEMA_UNSIGNED,
	SCHEMA_SIGNED,
	SCHEMA_NETWORK, /* __be16, __be32, __be64 */
	SCHEMA_BYTES,	/* __u8 or char arrays, unions */
};

enum schema_merge {
	SCHEMA_MERGE_NONE,
	SCHEMA_MERGE_SUM,
	SCHEMA_MERGE_MAX,
	SCHEMA_MERGE_MIN,
	SCHEMA_MERGE_LAST,
	SCHEMA_MERGE_OR,
};

struct schema_field {
	char name[SCHEMA_NAME_MAX];
	uint32_t offset; /* in the value */
	uint32_t size;	 /* of an element */
	uint32_t count;	 /* of elements */
	uint8_t kind;	 /* enum schema_kind */
	uint8_t merge;	 /* enum schema_merge */
	bool clock;	 /* CLOCK_MONOTONIC ns of its host */
};

struct schema {
	char name[FF_NAME_MAX]; /* of the map */
	enum schema_scope scope;
	uint32_t key_size;
	uint32_t value_size;
	uint32_t state_offset; /* of the NF's struct in the value; 0 unless per-flow */
	uint32_t key_type;     /* BTF ids; 0 in a schema that was read from text */
	uint32_t value_type;
	uint32_t state_type;
	uint32_t fields_count;
	struct schema_field *fields;
	char *text;
	uint64_t hash;
};

/* All that one NF declares. */
struct schema_set {
	struct schema states[SCHEMA_STATES_MAX];
	unsigned int count;
	uint32_t config_type; /* BTF id of the struct behind FF_CONFIG; 0: none */
	uint32_t config_size;
};

/*
 * Reads every map variable tagged `scope:..` or `config`. @what names the object in errors.
 * -EINVAL: a declaration that can't be (unknown scope, wrong key, no `state` member, bitfields,
 * pointers, too many or too long fields). *ret_set is the caller's: schema_set_done().
 */
int schema_set_read(const struct btf *btf, const char *what, struct schema_set *ret_set,
		    struct ff_error *err);
void schema_set_done(struct schema_set *set);

/* The per-flow state, or NULL; there is at most one. */
const struct schema *schema_set_per_flow(const struct schema_set *set);

/* Reads a schema from its text, as it arrives in a stream. Hostile text is refused, -EINVAL. */
int schema_parse(const char *text, struct schema *ret_schema, struct ff_error *err);
void schema_done(struct schema *schema);

/* ---- conversion ---------------------------------------------------------------------------- */

struct schema_step {
	uint32_t from; /* offset in the source's value */
	uint32_t to;   /* offset in the target's */
	uint32_t from_size;
	uint32_t to_size;
	uint32_t count;
};

struct schema_plan {
	uint32_t from_size; /* of a value */
	uint32_t to_size;
	bool identical; /* one copy does it, but for the clocks */
	uint32_t steps_count;
	uint32_t clocks_count;
	struct schema_step *steps;
	uint32_t *clocks; /* offsets of __u64 times in the target's value */
};

/*
 * How values of @from become values of @to: fields meet by name; equal size and kind are copied,
 * a narrower unsigned is widened, a shorter array fills the front of a longer one. A field of
 * @to that @from lacks is zero. A field of @from that @to lacks or can't hold is an error that
 * names it (-EPROTOTYPE, code `refused`): state must not be lost silently. *ret_plan is the
 * caller's: schema_plan_done().
 */
int schema_plan_new(const struct schema *from, const struct schema *to,
		    struct schema_plan *ret_plan, struct ff_error *err);
void schema_plan_done(struct schema_plan *plan);

/*
 * Converts one value, head included; clock fields other than 0 move by @clock_delta_ns
 * (target's now - source's now), as does head.expires_ns unless it is FF_DEAD. No allocation.
 */
void schema_plan_apply(const struct schema_plan *plan, const void *from, int64_t clock_delta_ns,
		       void *ret_to);
