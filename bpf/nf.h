/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nf.h - the NF SDK: all that the author of a network function includes.
 *
 * An NF is one file that declares its state and one function:
 *
 *	struct my_flow {
 *		__u64 packets[2] ff_sum;
 *		__u64 first_ns ff_min ff_clock;
 *	};
 *	FF_FLOW_STATE(my_flows, struct my_flow);
 *
 *	static __always_inline int my_nf(struct xdp_md *ctx, struct ff_pkt *pkt)
 *	{
 *		struct my_flows_entry *e = my_flows_get(pkt);
 *
 *		if (!e)
 *			e = my_flows_new(pkt, 30 * FF_SEC);
 *		if (!e)
 *			return ff_refuse(pkt);
 *		__sync_fetch_and_add(&e->state.packets[pkt->dir], 1);
 *		ff_keep(&e->head, pkt, 30 * FF_SEC);
 *		return FF_PASS;
 *	}
 *	FF_NF(my_nf);
 *
 * Return FF_PASS, or the reason of a drop (FF_REASON_NF_*). An NF neither forwards nor rewrites
 * Ethernet: the data path does. Packets of one flow may be on two CPUs at once, one a direction:
 * change state by atomic adds, or between lock = ff_lock(pkt) and ff_unlock(lock). In between, take no
 * other lock, call neither get nor new, and return nowhere: the verifier doesn't see what is forgotten.
 * An NF never deletes state: it lets it expire (ff_keep with 0), and the agent sweeps it.
 *
 * Tags, read by the agent through BTF (clang's btf_decl_tag):
 *	ff_sum ff_max ff_min ff_last ff_or	how two copies of the field merge
 *	ff_clock				CLOCK_MONOTONIC ns, rebased on another host
 * State moves between versions of an NF field by field, by name.
 */
#pragma once

#include "bpf/instance.h"
#include "bpf/pkt.h"

#define FF_TAG(text) __attribute__((btf_decl_tag(text)))
#define ff_sum	     FF_TAG("merge:sum")
#define ff_max	     FF_TAG("merge:max")
#define ff_min	     FF_TAG("merge:min")
#define ff_last	     FF_TAG("merge:last")
#define ff_or	     FF_TAG("merge:or")
#define ff_clock     FF_TAG("clock")

#define FF_MSEC	     1000000ull
#define FF_SEC	     1000000000ull

#define FF_PASS	     0

#define FF_EEXIST    17 /* <errno.h> is user space's */

/*
 * An entry being revived carries a time so long ago: expired for every packet, yet too young for the
 * sweep (FF_STATE_GRACE_NS), which leaves it to the packet that has claimed it.
 */
#define FF_CLAIM (FF_SEC / 2)

static __always_inline struct ff_nf_control *ff_control(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
}

/* What the agent's monitor reads; sized by the agent for the host's CPUs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FF_CPUS_MAX);
	__type(key, __u32);
	__type(value, struct ff_meter);
} meter SEC(".maps");

static __always_inline struct ff_meter *ff_meter(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&meter, &cpu);
}

/* This CPU's count of the packet's slot. NULL: the agent has given no room for it. */
static __always_inline struct ff_slot_load *ff_slot_load(const struct ff_pkt *pkt,
							 const struct ff_meter *meter)
{
	__u32 index = meter->row + pkt->slot;

	return bpf_map_lookup_elem(&slot_loads, &index);
}

/*
 * One flow more, or less. It is counted before it is there, so that a slot's count is never too low: who
 * finds as many flows by hints as are counted has found all.
 */
static __noinline __attribute__((unused)) int ff_flow_count(struct ff_pkt *pkt, int change)
{
	struct ff_nf_control *control = ff_control();
	struct ff_meter *meter = ff_meter();
	struct ff_slot_load *load;

	if (!pkt || !control || !meter)
		return -1;
	__sync_fetch_and_add(&control->flows, (__s64)change);
	load = ff_slot_load(pkt, meter);
	if (load)
		__sync_fetch_and_add(&load->flows, change);
	return 0;
}

/* Of the packet's slot, for a new entry's head. */
static __always_inline __u16 ff_slot_handed(const struct ff_pkt *pkt)
{
	__u32 slot = pkt->slot;
	const struct ff_slot_hint *hint = bpf_map_lookup_elem(&slot_hints, &slot);

	return hint ? hint->handed : 0;
}

#define FF_LIFE_NONE	(FF_LIVES + 1) /* ff_flow_began(): there was none before */
#define FF_LIFE_UNKNOWN FF_LIVES

/* The bin of a life that has ended. */
static __always_inline __u32 ff_life_of(__u32 born, __u64 ended_ns)
{
	return born ? ff_life_bin(ff_age(born, ended_ns)) : FF_LIFE_UNKNOWN;
}

/* One more flow, or one whose entry has begun a new life: the former one's length was of that bin. */
static __noinline __attribute__((unused)) int ff_flow_began(struct ff_pkt *pkt, __u32 bin)
{
	struct ff_nf_control *control = ff_control();
	struct ff_meter *meter = ff_meter();
	struct ff_slot_hint *hint;
	__u32 slot;

	if (!pkt || !control || !meter)
		return 0;
	meter->stats.flows_new++;
	if (bin != FF_LIFE_NONE) {
		__sync_fetch_and_add(&control->expired, 1);
		if (bin < FF_LIVES)
			__sync_fetch_and_add(&control->ended[bin], 1);
		return 0;
	}
	slot = pkt->slot;
	hint = bpf_map_lookup_elem(&slot_hints, &slot);
	if (hint)
		ff_slot_hint_add(hint, &pkt->key);
	return 0;
}

/* The packet is a sample: whose it is, and how long it took since the NF `began`. */
static __noinline __attribute__((unused)) int ff_sample_take(struct ff_pkt *pkt, __u64 began_ns)
{
	__u64 now_ns = bpf_ktime_get_ns();
	struct ff_meter *meter = ff_meter();
	struct ff_sample *sample;

	if (!pkt || !meter)
		return 0;
	sample = &meter->ring[meter->samples & (FF_SAMPLES - 1)];
	sample->key = pkt->key;
	sample->slot = pkt->slot;
	sample->len = pkt->l3_len;
	meter->samples++;
	if (now_ns - pkt->sampled_ns > FF_TIMED_MAX_NS)
		return 0;
	meter->timed++;
	meter->nf_ns += now_ns - began_ns;
	meter->path_ns += now_ns - pkt->sampled_ns;
	return 0;
}

/* Counts a packet that the NF has judged. */
static __always_inline void ff_packet_count(const struct ff_pkt *pkt, struct ff_meter *meter,
					    struct ff_slot_load *load, __u32 reason)
{
	meter->stats.packets++;
	meter->stats.bytes += pkt->l3_len;
	if (load) {
		load->packets++;
		load->bytes += pkt->l3_len;
	}
	if (reason != FF_PASS) {
		meter->stats.dropped++;
		meter->drops[reason & (FF_DROPS_MAX - 1)]++;
	}
}

/* Notes in the move's log that this flow's state is about to change; once a round and flow. */
static __always_inline void ff_log_change(struct ff_pkt *pkt, struct ff_head *head)
{
	__u32 lane_no = pkt->lane, ring_no, place;
	struct ff_lane *lane = bpf_map_lookup_elem(&lanes, &lane_no);
	struct ff_flow_key *record;
	__u32 round;
	__u64 ticket;
	void *ring;

	if (!lane)
		return;
	round = *(volatile __u32 *)&lane->round;
	if (head->round == round)
		return;
	head->round = round;
	ticket = __sync_fetch_and_add(&lane->log_tail[round & 1], 1);
	ring_no = lane_no * 2 + (round & 1);
	ring = bpf_map_lookup_elem(&log_rings, &ring_no);
	if (!ring || ticket >= lane->log_size)
		return ff_count(FF_REASON_LOG_FULL);
	place = (__u32)ticket;
	record = bpf_map_lookup_elem(ring, &place);
	if (record)
		*record = pkt->key;
}

/* All of an entry, see ff_touch(). `size` is a constant. */
static __always_inline void ff_entry_touch(const void *entry, __u32 size)
{
	__u32 at;

#pragma unroll
	for (at = 0; at < size; at += 64)
		ff_touch(entry + at);
	ff_touch(entry + size - 1);
}

/* The entry lives for another `lifetime` ns; 0: it's over, and a new packet starts afresh. */
static __always_inline void ff_keep(struct ff_head *head, const struct ff_pkt *pkt, __u64 lifetime)
{
	*(volatile __u64 *)&head->expires_ns = pkt->now_ns + lifetime;
}

/* A CPU waits so many times at most, 40 ms, for one that was stopped with the lock in its hands. */
#define FF_LOCK_TRIES (1 << 22)

static __always_inline int ff_lock_take(struct ff_lock *lock)
{
	return !__sync_val_compare_and_swap(&lock->held, 0, 1);
}

/* Not in the last round, after which bpf_loop() says the same whether it was told to end or not. */
static long ff_lock_try(__u32 i, struct ff_lock **lock)
{
	return i < FF_LOCK_TRIES && !*(volatile __u32 *)&(*lock)->held && ff_lock_take(*lock);
}

/* The lock of the packet's flow, taken. NULL: it can't be had, and the packet must be dropped. */
static __always_inline struct ff_lock *ff_lock(const struct ff_pkt *pkt)
{
	__u32 index = (pkt->slot + pkt->key.port[0] * 31 + pkt->key.port[1]) & (FF_LOCKS - 1);
	struct ff_lock *lock = bpf_map_lookup_elem(&locks, &index);

	if (!lock || ff_lock_take(lock))
		return lock;
	return bpf_loop(FF_LOCK_TRIES + 1, ff_lock_try, &lock, 0) <= FF_LOCK_TRIES ? lock : NULL;
}

static __always_inline void ff_unlock(struct ff_lock *lock)
{
	__sync_lock_test_and_set(&lock->held, 0); /* after all of the above: a barrier */
}

/* For an NF that got no new entry: the reason to return. */
static __always_inline int ff_refuse(struct ff_pkt *pkt)
{
	struct ff_meter *meter;

	if (pkt->flags & FF_PKT_RACED)
		return FF_REASON_DROP_STATE_RACE;
	meter = ff_meter();
	if (meter)
		meter->stats.flows_refused++;
	return FF_REASON_NF_TABLE_FULL;
}

/*
 * Declares the per-flow state: one to an NF. Defines
 *	struct NAME_entry { struct ff_head head; TYPE state; }
 *	struct NAME_entry *NAME_get(pkt)	   the live entry, or NULL
 *	struct NAME_entry *NAME_new(pkt, lifetime) a fresh one, or the one another CPU just made;
 *						   NULL: no room, or a race: ff_refuse() tells
 * An expired entry counts as absent; `new` revives it. (NAME_types makes clang write the types out in
 * BTF, which it doesn't where they are named in an inner map only.)
 *
 * Between the look at an expired entry and the lock, the agent's sweep may delete it, and another
 * flow be given its memory at once. So an entry is first claimed, by exchanging the time that it
 * expired at, which no fresh one has, and zeroed before it is alive, so that nobody counts into the
 * old state; and who didn't claim it doesn't trust the pointer, however alive what is there looks,
 * but looks the key up again. If the entry is dead then, but still there, nobody can insert the key:
 * the packet is dropped, and the flow's next one begins afresh.
 */
#define FF_FLOW_STATE(NAME, TYPE)                                                                  \
	struct NAME##_entry {                                                                      \
		struct ff_head head;                                                               \
		TYPE state;                                                                        \
	};                                                                                         \
	struct NAME##_group {                                                                      \
		__uint(type, BPF_MAP_TYPE_HASH);                                                   \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                              \
		__uint(max_entries, 1024);                                                         \
		__type(key, struct ff_flow_key);                                                   \
		__type(value, struct NAME##_entry);                                                \
	};                                                                                         \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);                                          \
		__uint(max_entries, FF_GROUPS_MAX);                                                \
		__type(key, __u32);                                                                \
		__array(values, struct NAME##_group);                                              \
	} NAME SEC(".maps")                                                                        \
	FF_TAG("scope:per-flow");                                                                  \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);                                           \
		__uint(max_entries, 1);                                                            \
		__type(key, __u32);                                                                \
		__type(value, __u8[sizeof(struct NAME##_entry)]);                                  \
	} NAME##_fresh SEC(".maps");                                                               \
                                                                                                   \
	static __always_inline                                                                     \
		__attribute__((unused)) struct NAME##_entry *NAME##_get(struct ff_pkt *pkt)        \
	{                                                                                          \
		__u32 group = pkt->group;                                                          \
		void *map = bpf_map_lookup_elem(&NAME, &group);                                    \
		struct NAME##_entry *e = map ? bpf_map_lookup_elem(map, &pkt->key) : NULL;         \
                                                                                                   \
		if (!e)                                                                            \
			return NULL;                                                               \
		ff_entry_touch(e, sizeof(*e));                                                     \
		if (e->head.expires_ns <= pkt->now_ns)                                             \
			return NULL;                                                               \
		if (pkt->steer_flags & FF_STEER_LOG)                                               \
			ff_log_change(pkt, &e->head);                                              \
		return e;                                                                          \
	}                                                                                          \
                                                                                                   \
	struct NAME##_types {                                                                      \
		struct ff_flow_key key[0];                                                         \
		struct NAME##_entry entry[0];                                                      \
	};                                                                                         \
	static __noinline int NAME##_insert(struct ff_pkt *pkt, __u64 lifetime,                    \
					    const struct NAME##_types *types)                      \
	{                                                                                          \
		__u32 zero = 0, group;                                                             \
		struct ff_nf_control *control = ff_control();                                      \
		struct ff_head *head;                                                              \
		void *map, *fresh;                                                                 \
		long r;                                                                            \
                                                                                                   \
		(void)types;                                                                       \
		if (!pkt)                                                                          \
			return -1;                                                                 \
		group = pkt->group;                                                                \
		map = bpf_map_lookup_elem(&NAME, &group);                                          \
		head = fresh = bpf_map_lookup_elem(&NAME##_fresh, &zero);                          \
		if (!map || !head || !control || control->flows >= control->capacity)              \
			return -1;                                                                 \
		head->expires_ns = pkt->now_ns + lifetime;                                         \
		head->slot = pkt->slot;                                                            \
		head->born = ff_born(pkt->now_ns);                                                 \
		head->handed = ff_slot_handed(pkt);                                                \
		if (ff_flow_count(pkt, 1))                                                         \
			return -1;                                                                 \
		r = bpf_map_update_elem(map, &pkt->key, fresh, BPF_NOEXIST);                       \
		if (r) {                                                                           \
			ff_flow_count(pkt, -1);                                                    \
			return r == -FF_EEXIST ? 0 : -1;                                           \
		}                                                                                  \
		return ff_flow_began(pkt, FF_LIFE_NONE);                                           \
	}                                                                                          \
                                                                                                   \
	/* Revives an expired entry; else what has become of it, NULL if it is deleted. */         \
	static __always_inline struct NAME##_entry *NAME##_revive(struct ff_pkt *pkt, void *map,   \
								  struct NAME##_entry *e,          \
								  __u64 lifetime)                  \
	{                                                                                          \
		struct ff_lock *lock = ff_lock(pkt);                                               \
		__u32 born;                                                                        \
		__u64 old;                                                                         \
		int mine = 0;                                                                      \
                                                                                                   \
		if (!lock)                                                                         \
			return NULL;                                                               \
		old = *(volatile __u64 *)&e->head.expires_ns;                                      \
		born = *(volatile __u32 *)&e->head.born;                                           \
		if (old != FF_DEAD && old <= pkt->now_ns &&                                        \
		    __sync_val_compare_and_swap(&e->head.expires_ns, old,                          \
						pkt->now_ns - FF_CLAIM) == old) {                  \
			__builtin_memset(&e->state, 0, sizeof(e->state));                          \
			e->head.born = ff_born(pkt->now_ns);                                       \
			*(volatile __u64 *)&e->head.expires_ns = pkt->now_ns + lifetime;           \
			mine = 1;                                                                  \
		}                                                                                  \
		ff_unlock(lock);                                                                   \
		if (mine)                                                                          \
			ff_flow_began(pkt, ff_life_of(born, old));                                 \
		return mine ? e : bpf_map_lookup_elem(map, &pkt->key);                             \
	}                                                                                          \
                                                                                                   \
	static __always_inline struct NAME##_entry *NAME##_new(struct ff_pkt *pkt, __u64 lifetime) \
	{                                                                                          \
		__u32 group = pkt->group;                                                          \
		void *map = bpf_map_lookup_elem(&NAME, &group);                                    \
		struct NAME##_entry *e;                                                            \
                                                                                                   \
		if (!map)                                                                          \
			return NULL;                                                               \
		e = bpf_map_lookup_elem(map, &pkt->key);                                           \
		if (e && e->head.expires_ns <= pkt->now_ns)                                        \
			e = NAME##_revive(pkt, map, e, lifetime);                                  \
		if (!e) {                                                                          \
			if (NAME##_insert(pkt, lifetime, NULL))                                    \
				return NULL;                                                       \
			e = bpf_map_lookup_elem(map, &pkt->key);                                   \
		}                                                                                  \
		if (!e || e->head.expires_ns <= pkt->now_ns) {                                     \
			pkt->flags |= FF_PKT_RACED;                                                \
			return NULL;                                                               \
		}                                                                                  \
		if (pkt->steer_flags & FF_STEER_LOG)                                               \
			ff_log_change(pkt, &e->head);                                              \
		return e;                                                                          \
	}

/* State of several flows, say of a source host: a plain hash from KEY to TYPE, at most MAX. */
#define FF_SHARED_STATE(NAME, KEY, TYPE, MAX)                                                      \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_HASH);                                                   \
		__uint(max_entries, MAX);                                                          \
		__type(key, KEY);                                                                  \
		__type(value, TYPE);                                                               \
	} NAME SEC(".maps")                                                                        \
	FF_TAG("scope:multi-flow")

/* State of all flows of the instance: one TYPE, by NAME_all(). Change it by atomic adds. */
#define FF_GLOBAL_STATE(NAME, TYPE)                                                                \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(max_entries, 1);                                                            \
		__type(key, __u32);                                                                \
		__type(value, TYPE);                                                               \
	} NAME SEC(".maps")                                                                        \
	FF_TAG("scope:all-flows");                                                                 \
	static __always_inline TYPE *NAME##_all(void)                                              \
	{                                                                                          \
		__u32 zero = 0;                                                                    \
		return bpf_map_lookup_elem(&NAME, &zero);                                          \
	}

/* The NF's configuration: one TYPE, set by the agent from JSON by field name; zero by default. */
#define FF_CONFIG(TYPE)                                                                            \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(max_entries, 1);                                                            \
		__type(key, __u32);                                                                \
		__type(value, TYPE);                                                               \
	} config SEC(".maps")                                                                      \
	FF_TAG("config");                                                                          \
	static __always_inline TYPE *ff_config(void)                                               \
	{                                                                                          \
		__u32 zero = 0;                                                                    \
		return bpf_map_lookup_elem(&config, &zero);                                        \
	}

/* Defines the entry program `nf`, which the data path tail-calls. */
#define FF_NF(FUNCTION)                                                                            \
	SEC("xdp")                                                                                 \
	int nf(struct xdp_md *ctx)                                                                 \
	{                                                                                          \
		struct ff_pkt *pkt = ff_scratch();                                                 \
		struct ff_meter *meter = ff_meter();                                               \
		struct ff_slot_load *load;                                                         \
		__u64 began_ns = 0;                                                                \
		int reason;                                                                        \
                                                                                                   \
		if (!pkt || !meter)                                                                \
			return ff_verdict(XDP_DROP, FF_REASON_DROP_INTERNAL);                      \
		load = ff_slot_load(pkt, meter);                                                   \
		if (load)                                                                          \
			ff_touch(load);                                                            \
		if (pkt->sampled_ns)                                                               \
			began_ns = bpf_ktime_get_ns();                                             \
		reason = FUNCTION(ctx, pkt);                                                       \
		if (began_ns)                                                                      \
			ff_sample_take(pkt, began_ns);                                             \
		ff_packet_count(pkt, meter, load, reason);                                         \
		if (reason != FF_PASS)                                                             \
			return ff_verdict(XDP_DROP, reason);                                       \
		bpf_tail_call(ctx, &progs, FF_PROG_FORWARD);                                       \
		return ff_verdict(XDP_DROP, FF_REASON_DROP_INTERNAL);                              \
	}                                                                                          \
	char _license[] SEC("license")                                                             \
	= "Dual BSD/GPL"
