/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The agent's hands in an instance's per-flow state: get, put, sweep, forget.
 *
 * Loaded once for each instance, next to its NF, whose `flows` (under the name that the NF gave
 * it) and maps of instance.h are put in the place of those declared here. The size of a value is
 * known only then: the verifier sees it in the map and in `value_words`. Each program is run by the
 * agent with BPF_PROG_RUN, one at a time for an instance; packets run on other CPUs meanwhile.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bpf/instance.h"
#include "bpf/state_abi.h"

#define EEXIST 17
#define ENOSPC 28
#define ENOENT 2

/* Set before loading. */
const volatile __u32 value_words = sizeof(struct ff_head) / 8;

/* So that the types of what is read here are in the BTF: agent/abi.h compares them. */
const struct ff_record *const volatile record_type;
const struct ff_meter *const volatile meter_type;

struct group {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct ff_flow_key));
	__uint(value_size, sizeof(struct ff_head));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, FF_GROUPS_MAX);
	__uint(key_size, sizeof(__u32));
	__array(values, struct group);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FF_STAGING_RECORDS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct ff_record) + sizeof(struct ff_head));
} staging SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FF_DUMP_RECORDS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct ff_record) + sizeof(struct ff_head));
} dumped SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FF_SLOTS_MAX / 64);
	__type(key, __u32);
	__type(value, __u64);
} forget_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ff_about);
} about SEC(".maps");

static __always_inline void slot_count(__u32 slot, __s32 change)
{
	struct ff_slot_load *load = bpf_map_lookup_elem(&slot_loads, &slot);

	if (load)
		__sync_fetch_and_add(&load->flows, change);
}

static __always_inline void slot_hint(__u32 slot, const struct ff_flow_key *key)
{
	struct ff_slot_hint *hint = bpf_map_lookup_elem(&slot_hints, &slot);

	if (hint)
		ff_slot_hint_add(hint, key);
}

static __always_inline void flows_count(__s64 change)
{
	__u32 zero = 0;
	struct ff_nf_control *nf = bpf_map_lookup_elem(&control, &zero);

	if (nf)
		__sync_fetch_and_add(&nf->flows, change);
}

/* One flow more, or less. */
static __always_inline void flow_count(__u32 slot, __s32 change)
{
	flows_count(change);
	slot_count(slot, change);
}

static __always_inline void expired_count(__u64 count)
{
	__u32 zero = 0;
	struct ff_nf_control *nf = bpf_map_lookup_elem(&control, &zero);

	if (nf)
		__sync_fetch_and_add(&nf->expired, count);
}

/* A flow's life has ended at @ended_ns. */
static __always_inline void life_count(__u32 born, __u64 ended_ns)
{
	__u32 zero = 0, bin = ff_life_bin(ff_age(born, ended_ns));
	struct ff_nf_control *nf = bpf_map_lookup_elem(&control, &zero);

	if (born && nf && bin < FF_LIVES)
		__sync_fetch_and_add(&nf->ended[bin], 1);
}

static __always_inline int flows_full(void)
{
	__u32 zero = 0;
	struct ff_nf_control *nf = bpf_map_lookup_elem(&control, &zero);

	return !nf || nf->flows >= nf->capacity;
}

/* ---- get: exact keys, as the records of the staging area name them -------------------------- */

static long get_one(__u32 i, struct ff_state_io *io)
{
	struct ff_record *record = bpf_map_lookup_elem(&staging, &i);
	const __u64 *from;
	__u64 *to;
	void *group;

	if (!record)
		return 1;
	io->done++;
	record->found = 0;
	group = bpf_map_lookup_elem(&flows, &record->group);
	if (!group)
		return 0;
	from = bpf_map_lookup_elem(group, &record->key);
	if (!from)
		return 0;
	to = (__u64 *)(record + 1);
	for (__u32 word = 0; word < value_words; word++)
		to[word] = from[word];
	record->found = 1;
	return 0;
}

SEC("syscall")
int get(struct ff_state_io *ctx)
{
	struct ff_state_io io = { .count = ctx->count };

	bpf_loop(io.count, get_one, &io, 0);
	ctx->done = io.done;
	return 0;
}

/* ---- dump: all entries of a group ----------------------------------------------------------- */

static long dump_one(void *group, struct ff_flow_key *key, const __u64 *value,
		     struct ff_state_dump *dump)
{
	__u32 i = dump->count;
	struct ff_record *record = bpf_map_lookup_elem(&dumped, &i);
	__u64 *to;

	(void)group;
	if (!record) {
		dump->full = 1;
		return 1;
	}
	record->key = *key;
	record->found = 1;
	to = (__u64 *)(record + 1);
	for (__u32 word = 0; word < value_words; word++)
		to[word] = value[word];
	dump->count++;
	return 0;
}

SEC("syscall")
int dump(struct ff_state_dump *ctx)
{
	struct ff_state_dump copy = { .group = ctx->group };
	void *group = bpf_map_lookup_elem(&flows, &copy.group);

	if (group)
		bpf_for_each_map_elem(group, dump_one, &copy, 0);
	*ctx = copy;
	return 0;
}

/* ---- put: upserts and deletes, counted ------------------------------------------------------ */

static __always_inline int record_delete(struct ff_record *record, void *group,
					 struct ff_state_io *io)
{
	const struct ff_head *head = bpf_map_lookup_elem(group, &record->key);
	__u32 slot = head ? head->slot : 0;
	int r = bpf_map_delete_elem(group, &record->key);

	if (!r) {
		flow_count(slot, -1);
		io->deleted++;
	}
	return r == -ENOENT ? 0 : r;
}

/*
 * At capacity nothing new comes in, but what is here may still change: a returned move needs it. As in
 * nf.h, a flow is counted before it is there.
 */
static __always_inline int record_upsert(struct ff_record *record, void *group,
					 struct ff_state_io *io)
{
	__u32 slot = ((struct ff_head *)(record + 1))->slot;
	int full = flows_full();
	int r = -EEXIST;

	if (!full) {
		flow_count(slot, 1);
		r = bpf_map_update_elem(group, &record->key, record + 1, BPF_NOEXIST);
		if (r)
			flow_count(slot, -1);
	}
	if (!r) {
		slot_hint(slot, &record->key);
		io->added++;
		return 0;
	}
	if (r != -EEXIST)
		return r;
	r = bpf_map_update_elem(group, &record->key, record + 1, BPF_EXIST);
	if (!r)
		io->replaced++;
	return full && r == -ENOENT ? -ENOSPC : r;
}

static long put_one(__u32 i, struct ff_state_io *io)
{
	struct ff_record *record = bpf_map_lookup_elem(&staging, &i);
	void *group;

	if (!record)
		return 1;
	group = bpf_map_lookup_elem(&flows, &record->group);
	if (!group)
		io->error = -ENOENT;
	else if (record->kind == FF_RECORD_DELETE)
		io->error = record_delete(record, group, io);
	else
		io->error = record_upsert(record, group, io);
	if (io->error)
		return 1;
	io->done++;
	return 0;
}

SEC("syscall")
int put(struct ff_state_io *ctx)
{
	struct ff_state_io io = { .count = ctx->count };

	bpf_loop(io.count, put_one, &io, 0);
	*ctx = io;
	return 0;
}

/* ---- sweep: what has expired ---------------------------------------------------------------- */

static long sweep_one(void *group, struct ff_flow_key *key, struct ff_head *head,
		      struct ff_sweep *sweep)
{
	__u64 old = *(volatile __u64 *)&head->expires_ns;
	__u32 slot = head->slot, born = *(volatile __u32 *)&head->born;

	if (old + FF_STATE_GRACE_NS > sweep->now_ns)
		return 0;
	/* lost: a packet has just revived it */
	if (old != FF_DEAD && __sync_val_compare_and_swap(&head->expires_ns, old, FF_DEAD) != old)
		return 0;
	/* no packet inserts this key while it is there, none revives it any more */
	if (!bpf_map_delete_elem(group, key)) {
		slot_count(slot, -1);
		if (old != FF_DEAD)
			life_count(born, old);
		sweep->swept++;
	}
	return 0;
}

static long sweep_group(__u32 i, struct ff_sweep *sweep)
{
	__u32 no = sweep->first + i;
	void *group;

	if (no >= FF_GROUPS_MAX)
		return 1;
	if (sweep->skip[(no / 64) & (FF_GROUPS_MAX / 64 - 1)] & (1ull << (no % 64)))
		return 0;
	group = bpf_map_lookup_elem(&flows, &no);
	if (group)
		bpf_for_each_map_elem(group, sweep_one, sweep, 0);
	return 0;
}

SEC("syscall")
int sweep(struct ff_sweep *ctx)
{
	struct ff_sweep copy = *ctx;

	copy.swept = 0;
	bpf_loop(copy.count, sweep_group, &copy, 0);
	flows_count(-copy.swept);
	expired_count(copy.swept);
	ctx->swept = copy.swept;
	return 0;
}

/* ---- forget: all entries of some slots ------------------------------------------------------ */

static long forget_one(void *group, struct ff_flow_key *key, struct ff_head *head,
		       struct ff_state_forget *forget)
{
	__u32 slot = head->slot, word = slot / 64;
	__u64 *slots = bpf_map_lookup_elem(&forget_slots, &word);

	if (slots && *slots & (1ull << (slot % 64)) && !bpf_map_delete_elem(group, key)) {
		slot_count(slot, -1);
		forget->deleted++;
	}
	return 0;
}

static long forget_group(__u32 i, struct ff_state_forget *forget)
{
	__u32 no = forget->first + i;
	void *group = bpf_map_lookup_elem(&flows, &no);

	if (!group)
		return 1;
	bpf_for_each_map_elem(group, forget_one, forget, 0);
	return 0;
}

SEC("syscall")
int forget(struct ff_state_forget *ctx)
{
	struct ff_state_forget copy = *ctx;

	copy.deleted = 0;
	bpf_loop(copy.count, forget_group, &copy, 0);
	flows_count(-copy.deleted);
	ctx->deleted = copy.deleted;
	return 0;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
