/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps.h - the maps of the data path itself; those that NF objects share are in pkt.h.
 *
 * All are pinned by the agent, so forwarding outlives it. Who writes which is told atop abi.h.
 */
#pragma once

#include "bpf/pkt.h"

#define FF_ARRAY(NAME, VALUE, MAX)                                                                 \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(map_flags, BPF_F_MMAPABLE);                                                 \
		__uint(max_entries, MAX);                                                          \
		__type(key, __u32);                                                                \
		__type(value, VALUE);                                                              \
	} NAME SEC(".maps")

FF_ARRAY(table, struct ff_slot, FF_SERVICES_MAX * 2 * FF_SLOTS_MAX);
FF_ARRAY(rules, struct ff_rule, FF_SERVICES_MAX * 2 * FF_RULES_MAX);
FF_ARRAY(fences, struct ff_fences, FF_LANES_MAX);
FF_ARRAY(jobs, struct ff_job, FF_CPUS_MAX);
FF_ARRAY(peer_heard, struct ff_heard, FF_HOSTS_MAX);

/*
 * What each packet needs lies in sections of data, which are maps, too: they are pinned and mapped into
 * memory like the others. But where they are is in the program's instructions, so nothing is looked up.
 */
struct ff_host_info host_info SEC(".data.host_info") = { .abi = FF_ABI_VERSION };
struct ff_service services[FF_SERVICES_MAX] SEC(".data.services");
struct ff_instance instances[FF_INSTANCES_MAX] SEC(".data.instances");
struct ff_peer peers[2 * FF_HOSTS_MAX] SEC(".data.peers");
struct ff_sent peer_sent[FF_CPUS_MAX] SEC(".data.peer_sent");

/* The index's bound is for the verifier; detached, or the compiler leaves it out where it knows it. */
static __always_inline struct ff_service *service_at(__u32 number)
{
	return &services[ff_detach(number) & (FF_SERVICES_MAX - 1)];
}

static __always_inline struct ff_instance *instance_at(__u32 number)
{
	return &instances[ff_detach(number) & (FF_INSTANCES_MAX - 1)];
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144); /* pinned flows of all services of this host */
	__type(key, struct ff_flow_key);
	__type(value, struct ff_pin);
} pins SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * FF_HOSTS_MAX);
	__type(key, struct ff_addr);
	__type(value, __u32);
} peer_addrs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256); /* addresses of this host */
	__type(key, struct ff_addr);
	__type(value, __u32);
} local_addrs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64); /* interfaces of this host */
	__type(key, __u32);
	__type(value, struct ff_iface);
} ifaces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 64);
	__type(key, __u32); /* ifindex */
	__type(value, __u32);
} tx_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384); /* datagrams being fragmented at once */
	__type(key, struct ff_frag_key);
	__type(value, struct ff_frag);
} fragments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, FF_INSTANCES_MAX);
	__type(key, __u32); /* instance */
	__type(value, __u32);
} nfs SEC(".maps");

struct ff_park_ring {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8[FF_CELL_SIZE]);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, FF_LANES_MAX);
	__type(key, __u32);
	__array(values, struct ff_park_ring);
} park_rings SEC(".maps");

static __always_inline struct ff_iface *iface_of(struct xdp_md *ctx)
{
	__u32 ifindex = ctx->ingress_ifindex;

	return bpf_map_lookup_elem(&ifaces, &ifindex);
}
