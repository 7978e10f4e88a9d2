/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * meters.h - what the data path has counted of one instance, in memory that it shares with us.
 *
 * Packets write it all the time, each CPU its own part. Each number is read whole, but two of them
 * needn't be of one moment. Counters only rise, as long as the instance lives; what wraps says so.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <linux/types.h>

#include "bpf/abi.h"

struct meters {
	const struct ff_meter *cpus;	  /* mapped */
	const struct ff_slot_load *loads; /* mapped: [CPU][slot] */
	size_t cpus_size, loads_size;	  /* of the mappings, in bytes: whole pages */
	uint32_t slots;
};

/* Takes NULL mappings. */
void meters_unmap(struct meters *meters);

unsigned int meters_cpus(const struct meters *meters);

/* Sums over all CPUs. */
struct ff_instance_stats meters_stats(const struct meters *meters);

struct meters_sampled {
	uint64_t samples;
	uint64_t timed;	  /* of those: with a time */
	uint64_t nf_ns;	  /* of the timed ones */
	uint64_t path_ns; /* likewise */
	uint64_t drops[FF_DROPS_MAX];
};
struct meters_sampled meters_sampled(const struct meters *meters);

/*
 * Entries in a slot, expired ones included: 0 only if there was a moment without one that is
 * counted. A packet counts its new flow at its end: who must not miss it waits for packets before.
 */
uint32_t meters_slot_flows(const struct meters *meters, uint32_t slot);
struct ff_slot_load meters_slot(const struct meters *meters, uint32_t slot);

/*
 * Copies the samples of one CPU that came after the first @seen ones, at most FF_SAMPLES, the newest
 * first. Returns how many; *ret_seen is then for the next call. One that a packet overwrites while
 * it is copied may be a mixture of two: its slot isn't that of its key.
 */
size_t meters_samples(const struct meters *meters, unsigned int cpu, uint64_t seen,
		      struct ff_sample ret[FF_SAMPLES], uint64_t *ret_seen);
