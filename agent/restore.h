/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * restore.h - one round of a move's state on its way from the decoder into an instance's maps.
 *
 * To write an entry takes as long as to receive, decrypt, sum, unpack and convert it. So from the
 * second block on these are two threads: the receiving one converts, another one writes. A round of
 * one block, as the last ones are, needs no thread.
 */
#pragma once

#include "agent/state.h"

struct restore;

/* @state and @origin must outlive it. */
struct restore *restore_new(struct state *state, const struct state_origin *origin);

/*
 * Takes a block, which may be used again on return. As state_restore(), but an error may be one of an
 * earlier block. One thread.
 */
int restore_add(struct restore *restore, const struct stream_record *records, size_t count,
		struct ff_error *err);

/* Waits until all is written. *ret_counts, also on failure: what was. No more blocks may come. */
int restore_end(struct restore *restore, struct state_counts *ret_counts, struct ff_error *err);

/* Waits for the thread; NULL is fine. */
void restore_free(struct restore *restore);
