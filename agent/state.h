/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * state.h - one instance's per-flow state: read, write, delete, expire.
 *
 * The state is an array of hash maps, one for each group of slots (group = slot >> group_shift), so
 * that moving some slots touches some maps; those of few flows are found without their maps, too
 * (state_hints.h). Bulk reads are a program's, too, over an area of their own; of a group that
 * doesn't fit in, batch lookups from user space. All the
 * rest (exact keys, restoring, deleting, expiry) is done by BPF programs of bpf/state.bpf.c, run by
 * the agent over a memory-mapped staging area: seven times faster than a system call per entry, new
 * entries are counted exactly, and control->flows is right even if the agent dies half way.
 *
 * Threads: any. Reads of whole groups take state->dump_lock, what goes through the staging area
 * state->lock, each for one run. Packets run all the time: each function says what that means for it.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/types.h>

#include "agent/meters.h"
#include "agent/schema.h"
#include "bpf/abi.h"
#include "lib/error.h"
#include "lib/slotset.h"
#include "lib/stream.h"

struct btf;

/* Filled by agent/instance.c; others read it. */
struct state {
	char instance[FF_NAME_MAX];
	uint32_t service;
	struct ff_slot_keys slot_keys;
	uint32_t slot_mask;
	uint32_t groups;
	uint32_t group_shift;
	uint32_t group_ids[FF_GROUPS_MAX]; /* ids of the inner maps; atomic: handover_state.c */
	_Atomic uint64_t shared[FF_GROUPS_MAX / 64]; /* bits: groups that a handover is about */
	const struct schema *schema;		     /* of the per-flow state */
	const struct btf *btf;			     /* that schema's types are in */
	struct ff_nf_control *control;		     /* mapped */
	const struct meters *meters;
	struct ff_slot_hint *hints; /* mapped: [slot]; written by packets, and handover_state.c */
	size_t hints_size;

	pthread_mutex_t dump_lock; /* of the dump area; never held together with the other one */
	int dump_fd;
	void *dumped; /* mapped */
	size_t dumped_size;

	pthread_mutex_t lock;
	atomic_uint
		frees; /* odd while a program runs that may free entries, which holds the lock */
	int get_fd, put_fd, sweep_fd, forget_fd; /* programs */
	void *staging;				 /* mapped */
	size_t staging_size;
	size_t record_size;
	uint64_t *forget_slots; /* mapped: what forget deletes */
	uint32_t sweep_next;	/* group at which the next part begins */
	uint32_t sweep_haste;	/* the more, the larger the parts; 0 .. SWEEP_HASTE_MAX */
	uint32_t sweep_vain;	/* groups since a part was worth it */
	uint32_t sweep_walked;	/* since its pace was judged */
	uint64_t sweep_found;
};

/* The slot of a flow of this service. */
uint32_t state_slot(const struct state *state, const struct ff_flow_key *key);

/* How long ago a flow whose `born` is known began. */
static inline uint64_t state_age_ms(const struct ff_head *head, uint64_t now_ns)
{
	return ((uint64_t)ff_age(head->born, now_ns) << FF_BORN_SHIFT) / 1000000;
}

/* Entries, expired but unswept ones included. */
uint64_t state_flows(const struct state *state);

/*
 * Two instances have the group's map, see handover_state.h: what this one has counted needn't be all
 * that is in it, and none of them deletes.
 */
static inline bool state_group_shared(const struct state *state, uint32_t group)
{
	return atomic_load(&state->shared[group / 64]) & 1ull << (group % 64);
}

/* Which entries: all conditions hold. NULL members are no condition. */
struct state_select {
	const struct slotset *slots;
	bool (*wants)(const void *ctx, const struct ff_flow_key *key);
	const void *ctx;
};

/*
 * Takes an entry: key and value (schema->value_size bytes, a struct ff_head first), both valid
 * during the call. value is NULL where state_get() found none. Not 0: the walk stops and returns it;
 * what *err then says is the visitor's business.
 */
typedef int (*state_visit_fn)(void *ctx, const struct ff_flow_key *key, const void *value);

/*
 * Walks the selected live entries, group by group. Not a snapshot: each entry that lives throughout
 * is visited (once or, hardly ever, twice); one that comes or goes meanwhile may be or not, and
 * it has come when its first packet has been processed. Costs in proportion to the selected flows,
 * but for 0.1 us a selected slot. A packet may change a value while it is copied: a move is told by its log, and reads it again.
 * *ret_scanned (may be NULL): entries looked at.
 */
int state_dump(struct state *state, const struct state_select *select, state_visit_fn visit,
	       void *ctx, uint64_t *ret_scanned, struct ff_error *err);

/*
 * Visits the entries of @keys, in order; an expired one counts as absent. What was said of values
 * that change holds here, too. The visitor may block: no lock is held.
 */
int state_get(struct state *state, const struct ff_flow_key *keys, size_t count,
	      state_visit_fn visit, void *ctx, struct ff_error *err);

/* One entry: *ret_value is value_size bytes. -ENOENT: none, or expired. */
int state_lookup(const struct state *state, const struct ff_flow_key *key, void *ret_value);

/* ---- writing ------------------------------------------------------------------------------- */

struct state_counts {
	uint64_t added;
	uint64_t replaced;
	uint64_t deleted;
};

/* Where records come from: made by the receiver from the stream's header. */
struct state_origin {
	uint64_t token;		/* of the move, for head.moved_by */
	int64_t clock_delta_ns; /* own CLOCK_MONOTONIC - the source's; set 0 on one host */
	uint32_t from_size;	/* of a value in the stream */
	struct schema_plan plan;
};

/*
 * Judges a stream by its header: right service, key, a schema that converts to this instance's.
 * @now_ns is CLOCK_MONOTONIC. *ret_origin is the caller's: state_origin_done(). -EPROTO, -EINVAL,
 * -EPROTOTYPE (schema), each saying why.
 */
int state_origin_new(const struct state *state, const struct stream_header *header, uint64_t now_ns,
		     struct state_origin *ret_origin, struct ff_error *err);
void state_origin_done(struct state_origin *origin);

/* The header of a stream from this instance: sizes, schema, clock; the caller adds the move's part. */
void state_header_fill(const struct state *state, uint64_t now_ns,
		       struct stream_header *ret_header);

/*
 * Applies a block: upserts are converted, their times rebased, head.round 0, head.moves + 1,
 * head.moved_by the token, head.slot as it is here; deletes of absent keys are fine. Call it only
 * while no packet can see the entries (parked or not owned here). *ret_counts is added to, also on
 * failure. -ENOSPC: the instance is at its capacity, or a group's map is full; -EPROTO: a record of
 * another service, or with a malformed key. What precedes the failure stays: undo it with
 * state_forget_*().
 */
int state_restore(struct state *state, const struct state_origin *origin,
		  const struct stream_record *records, size_t count,
		  struct state_counts *ret_counts, struct ff_error *err);

/*
 * The same in two steps, for two threads: state_stage() judges and converts, into state_stage_size()
 * bytes of memory, 8-aligned; state_put_staged() writes what has been staged. Together with the same
 * errors; nothing of a block with a bad record is written.
 */
size_t state_stage_size(const struct state *state, size_t count);
int state_stage(const struct state *state, const struct state_origin *origin,
		const struct stream_record *records, size_t count, void *ret_staged,
		struct ff_error *err);
int state_put_staged(struct state *state, const void *staged, size_t count,
		     struct state_counts *ret_counts, struct ff_error *err);

/*
 * Deletes entries by slot or by key, dead or alive. Call it only while no packet can see them. Costs
 * as state_dump() does.
 */
int state_forget_slots(struct state *state, const struct slotset *slots, uint64_t *ret_deleted,
		       struct ff_error *err);
int state_forget_keys(struct state *state, const struct ff_flow_key *keys, size_t count,
		      uint64_t *ret_deleted, struct ff_error *err);

/*
 * Deletes what has been expired for FF_STATE_GRACE_NS, in all groups but those of a slot in @skip (may
 * be NULL). Safe against packets: see FF_DEAD in bpf/abi.h. @now_ns is CLOCK_MONOTONIC.
 */
int state_sweep(struct state *state, uint64_t now_ns, const struct slotset *skip,
		uint64_t *ret_swept, struct ff_error *err);

/*
 * The same for some of the groups, in turn: for a caller that comes round every second. It comes round in
 * 128 calls, at first and when little expires, and in 16 when much does: flows at rest cost next to
 * nothing. All of them at once when the instance is nearly full and the last look was worth it.
 */
int state_sweep_part(struct state *state, uint64_t now_ns, const struct slotset *skip,
		     uint64_t *ret_swept, struct ff_error *err);

/* ---- for agent/instance.c ------------------------------------------------------------------ */

struct bpf_map;

/* How many groups, and entries in each, an instance's state is made of. */
struct state_geometry {
	uint32_t groups;
	uint32_t group_shift;
	uint32_t group_entries; /* of one inner map */
};
struct state_geometry state_geometry_of(uint32_t slots, uint64_t capacity);

/* What of the inner map's definition libbpf forgets when the object is loaded. */
struct state_inner {
	uint32_t key_size, value_size, flags, key_type, value_type;
};

/* Creates the inner maps and puts them all into the outer one. */
int state_groups_create(int outer_fd, const struct state_inner *inner, int btf_fd,
			const struct state_geometry *geometry, const char *name,
			struct ff_error *err);

/* Puts map fds[i] into the place of group groups[i]; no program sees the old ones any more. */
int state_groups_place(int outer_fd, const uint32_t *groups, const int *fds, uint32_t count);

/* Fills state->group_ids from the outer map. */
int state_groups_read(struct state *state, int outer_fd, struct ff_error *err);
