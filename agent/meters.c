/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/meters.h"

#include <sys/mman.h>

#include "lib/cleanup.h"

#define READ(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

void meters_unmap(struct meters *meters)
{
	if (meters->cpus)
		munmap((void *)meters->cpus, meters->cpus_size);
	if (meters->loads)
		munmap((void *)meters->loads, meters->loads_size);
	*meters = (struct meters){ 0 };
}

/* A page that is filled up is smaller than one element, so it doesn't look like one more. */
_Static_assert(sizeof(struct ff_meter) > 4096, "ff_meter is more than a page");

unsigned int meters_cpus(const struct meters *meters)
{
	return (unsigned int)(meters->cpus_size / sizeof(*meters->cpus));
}

struct ff_instance_stats meters_stats(const struct meters *meters)
{
	struct ff_instance_stats sum = { 0 };

	for (unsigned int cpu = 0; cpu < meters_cpus(meters); cpu++) {
		const struct ff_instance_stats *stats = &meters->cpus[cpu].stats;

		sum.packets += READ(stats->packets);
		sum.bytes += READ(stats->bytes);
		sum.dropped += READ(stats->dropped);
		sum.flows_new += READ(stats->flows_new);
		sum.flows_refused += READ(stats->flows_refused);
	}
	return sum;
}

struct meters_sampled meters_sampled(const struct meters *meters)
{
	struct meters_sampled sum = { 0 };

	for (unsigned int cpu = 0; cpu < meters_cpus(meters); cpu++) {
		const struct ff_meter *meter = &meters->cpus[cpu];

		sum.samples += READ(meter->samples);
		sum.timed += READ(meter->timed);
		sum.nf_ns += READ(meter->nf_ns);
		sum.path_ns += READ(meter->path_ns);
		for (unsigned int i = 0; i < FF_DROPS_MAX; i++)
			sum.drops[i] += READ(meter->drops[i]);
	}
	return sum;
}

/*
 * What goes is counted in row 0 alone. It is read first, so that of each flow that has gone, its
 * coming is seen in the rows that are read after it; the other way round the sum would be too small.
 */
uint32_t meters_slot_flows(const struct meters *meters, uint32_t slot)
{
	uint32_t flows = 0;

	for (unsigned int cpu = 0; cpu < meters_cpus(meters); cpu++)
		flows += __atomic_load_n(&meters->loads[cpu * meters->slots + slot].flows,
					 __ATOMIC_ACQUIRE);
	return flows;
}

struct ff_slot_load meters_slot(const struct meters *meters, uint32_t slot)
{
	struct ff_slot_load sum = { 0 };

	for (unsigned int cpu = 0; cpu < meters_cpus(meters); cpu++) {
		const struct ff_slot_load *load = &meters->loads[cpu * meters->slots + slot];

		sum.bytes += READ(load->bytes);
		sum.packets += READ(load->packets);
		sum.flows += READ(load->flows);
	}
	return sum;
}

size_t meters_samples(const struct meters *meters, unsigned int cpu, uint64_t seen,
		      struct ff_sample ret[FF_SAMPLES], uint64_t *ret_seen)
{
	const struct ff_meter *meter = &meters->cpus[cpu];
	uint64_t newest = __atomic_load_n(&meter->samples, __ATOMIC_ACQUIRE);
	size_t count = (size_t)MIN(newest - seen, (uint64_t)FF_SAMPLES);

	for (size_t i = 0; i < count; i++)
		ret[i] = meter->ring[(newest - 1 - i) & (FF_SAMPLES - 1)];
	*ret_seen = newest;
	return count;
}
