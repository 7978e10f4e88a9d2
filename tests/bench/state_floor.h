/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * state_floor.h - what it takes at least to bring flow state from one hash map into another, one
 * thread, no network: batch lookup of all into a buffer, then batch update from it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cleanup.h"
#include "lib/error.h"

struct state_floor;

/* What the entries are in: one map, or several of which each holds its share. */
struct state_floor_maps {
	uint32_t count;
	uint32_t entries; /* that each may hold */
	bool no_prealloc;
};

/*
 * So many entries of 40 + value_size bytes, in maps that are full and
 * others for them. *ret: free it.
 */
int state_floor_new(uint32_t entries, uint32_t value_size, const struct state_floor_maps *maps,
		    struct state_floor **ret, struct ff_error *err);
void state_floor_free(struct state_floor *floor); /* NULL is fine */

/* Once across, into the emptied second map; -EIO if not all of it has come. */
int state_floor_run(struct state_floor *floor, uint64_t *ret_ns, struct ff_error *err);
