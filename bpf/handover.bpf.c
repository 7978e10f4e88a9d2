/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What goes with the maps of flows that an instance of this host hands to another one: counts and
 * hints, slot by slot.
 *
 * Loaded for one handover, with the two instances' own maps in the place of those declared here. A
 * program runs to its end even if the agent is killed meanwhile: so all counts have gone, or none.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bpf/state_abi.h"

#define FLAT(NAME, VALUE)                                                                          \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(map_flags, BPF_F_MMAPABLE);                                                 \
		__uint(max_entries, 1);                                                            \
		__type(key, __u32);                                                                \
		__type(value, VALUE);                                                              \
	} NAME SEC(".maps")

FLAT(from_control, struct ff_nf_control);
FLAT(from_loads, struct ff_slot_load);
FLAT(from_hints, struct ff_slot_hint);
FLAT(to_control, struct ff_nf_control);
FLAT(to_loads, struct ff_slot_load);
FLAT(to_hints, struct ff_slot_hint);

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FF_SLOTS_MAX / 64);
	__type(key, __u32);
	__type(value, __u64);
} moved_slots SEC(".maps");

static __always_inline int is_moved(__u32 slot)
{
	__u32 word = slot / 64;
	const __u64 *slots = bpf_map_lookup_elem(&moved_slots, &word);

	return slots && *slots & (1ull << (slot % 64));
}

struct taking {
	__u32 slot, slots;
	__u32 flows; /* of the slot, modulo 2^32 as its summands are */
	__u32 pad;
};

static long row_add(__u32 cpu, struct taking *taking)
{
	__u32 index = cpu * taking->slots + taking->slot;
	const struct ff_slot_load *load = bpf_map_lookup_elem(&from_loads, &index);

	if (load)
		taking->flows += load->flows;
	return 0;
}

static __always_inline void hints_take(__u32 slot)
{
	struct ff_slot_hint *from = bpf_map_lookup_elem(&from_hints, &slot);
	struct ff_slot_hint *to = bpf_map_lookup_elem(&to_hints, &slot);
	__u32 born;

	if (!from || !to)
		return;
	born = from->born;
#pragma unroll
	for (__u32 i = 0; i < FF_HINTS; i++)
		if (i < born)
			ff_slot_hint_add(to, &from->keys[i]);
	from->born = 0;
}

/* Row 0 is where all is counted that no packet does. */
static __always_inline void slot_take(__u32 slot, struct taking *taking)
{
	struct ff_slot_load *from = bpf_map_lookup_elem(&from_loads, &slot);
	struct ff_slot_load *to = bpf_map_lookup_elem(&to_loads, &slot);

	if (!from || !to || !taking->flows)
		return;
	__sync_fetch_and_add(&to->flows, taking->flows);
	__sync_fetch_and_add(&from->flows, -taking->flows);
	hints_take(slot);
}

static long slot_look(__u32 slot, struct ff_state_take *take)
{
	struct taking taking = { .slot = slot, .slots = take->slots };

	if (!is_moved(slot))
		return 0;
	bpf_loop(take->cpus, row_add, &taking, 0);
	slot_take(slot, &taking);
	take->taken += (__s32)taking.flows;
	return 0;
}

SEC("syscall")
int take(struct ff_state_take *ctx)
{
	struct ff_state_take copy = *ctx;
	struct ff_nf_control *from, *to;
	__u32 zero = 0;

	copy.taken = 0;
	from = bpf_map_lookup_elem(&from_control, &zero);
	to = bpf_map_lookup_elem(&to_control, &zero);
	if (!from || !to)
		return 1;
	bpf_loop(copy.slots, slot_look, &copy, 0);
	__sync_fetch_and_add(&to->flows, copy.taken);
	__sync_fetch_and_add(&from->flows, -copy.taken);
	ctx->taken = copy.taken;
	return 0;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
