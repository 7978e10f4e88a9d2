/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * slotset.h - a set of slots, and its text: `0-99,200`.
 *
 * A plain 2 KiB bitmap: it can be a local variable, a struct member, copied by assignment. All
 * zero is the empty set. Operations on two sets change the first.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <linux/types.h>

#include "bpf/abi.h"
#include "lib/error.h"

struct slotset {
	uint64_t bits[FF_SLOTS_MAX / 64];
};

/*
 * Reads single slots and ranges `first-last`, separated by commas, spaces allowed around them, in
 * any order, overlapping ones too. Empty text is the empty set: a caller to whom that means a
 * mistake checks slotset_is_empty(). @slots is how many slots the service has: a slot of that
 * number or beyond is an error. -EINVAL or -ERANGE, *ret_set untouched, *err (may be NULL) says
 * which part of the text is wrong.
 */
int slotset_parse(const char *text, unsigned int slots, struct slotset *ret_set,
		  struct ff_error *err);

/*
 * The shortest text, ascending; "" for the empty set. *ret_text is the caller's to free. -ENOMEM.
 * (Up to 48 KiB when every second slot is set, so never a fixed buffer.)
 */
int slotset_format(const struct slotset *set, char **ret_text);

/* @slot and ranges must be within FF_SLOTS_MAX (asserted); last is inclusive. */
void slotset_set(struct slotset *set, unsigned int slot);
void slotset_set_range(struct slotset *set, unsigned int first, unsigned int last);
void slotset_unset(struct slotset *set, unsigned int slot);
void slotset_clear(struct slotset *set);

/* False for a slot out of bounds, too. */
bool slotset_test(const struct slotset *set, unsigned int slot);
unsigned int slotset_count(const struct slotset *set);
bool slotset_is_empty(const struct slotset *set);
bool slotset_equal(const struct slotset *x, const struct slotset *y);
bool slotset_intersects(const struct slotset *x, const struct slotset *y);
/* Whether each slot of @inner is in @outer. */
bool slotset_contains(const struct slotset *outer, const struct slotset *inner);

void slotset_union(struct slotset *set, const struct slotset *other);
void slotset_intersect(struct slotset *set, const struct slotset *other);
void slotset_subtract(struct slotset *set, const struct slotset *other);

/* The smallest slot >= @from, or FF_SLOTS_MAX when there is none. */
unsigned int slotset_next(const struct slotset *set, unsigned int from);

/* for each slot of *set, ascending: unsigned int slot; slotset_foreach(slot, &set) ... */
#define slotset_foreach(slot, set)                                                                 \
	for ((slot) = slotset_next((set), 0); (slot) < FF_SLOTS_MAX;                               \
	     (slot) = slotset_next((set), (slot) + 1))
