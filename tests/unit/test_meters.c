/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the data path counts, as the monitor reads it: sums over CPUs, wrapping, rings of samples.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "agent/meters.h"
#include "agent/slot_text.h"

#define SLOTS 16
#define CPUS  3

static struct ff_meter cpus[CPUS];
static struct ff_slot_load loads[CPUS * SLOTS];

/* sizes as of mappings: whole pages */
static const struct meters meters = {
	.cpus = cpus,
	.loads = loads,
	.cpus_size = (sizeof(cpus) + 4095) / 4096 * 4096,
	.loads_size = (sizeof(loads) + 4095) / 4096 * 4096,
	.slots = SLOTS,
};

TestSuite(meters);

Test(meters, sums_over_cpus)
{
	cr_assert_eq(meters_cpus(&meters), CPUS);
	for (uint64_t cpu = 0; cpu < CPUS; cpu++) {
		cpus[cpu].stats.packets = 1 + cpu;
		cpus[cpu].timed = 10 * cpu;
		cpus[cpu].drops[FF_REASON_NF_DENIED] = cpu;
		loads[cpu * SLOTS + 5].packets = 0xffffffff; /* in sum, modulo 2^32: -3 */
		loads[cpu * SLOTS + 5].bytes = 0xffffffff;
	}
	/* begun on CPU 0, and swept by a program that counts in row 0 or on another CPU */
	loads[5].flows = (uint32_t)-2;
	loads[SLOTS + 5].flows = 7;
	cr_expect_eq(meters_stats(&meters).packets, 6);
	cr_expect_eq(meters_sampled(&meters).timed, 30);
	cr_expect_eq(meters_sampled(&meters).drops[FF_REASON_NF_DENIED], 3);
	cr_expect_eq(meters_slot(&meters, 5).packets, (uint32_t)-3);
	cr_expect_eq(meters_slot(&meters, 5).bytes, 3ull * 0xffffffff);
	cr_expect_eq(meters_slot(&meters, 5).flows, 5);
	cr_expect_eq(meters_slot(&meters, 4).flows, 0);
}

Test(meters, samples_are_the_newest)
{
	struct ff_sample samples[FF_SAMPLES];
	uint64_t seen = 0;

	for (cpus[0].samples = 0; cpus[0].samples < 3; cpus[0].samples++)
		cpus[0].ring[cpus[0].samples].slot = (uint16_t)cpus[0].samples;
	cr_assert_eq(meters_samples(&meters, 0, seen, samples, &seen), 3);
	cr_expect_eq(seen, 3);
	cr_expect_eq(samples[0].slot, 2);
	cr_expect_eq(samples[2].slot, 0);
	cr_expect_eq(meters_samples(&meters, 0, seen, samples, &seen), 0);
	/* more than a ring's came meanwhile */
	for (; cpus[0].samples < 1000; cpus[0].samples++)
		cpus[0].ring[cpus[0].samples % FF_SAMPLES].slot = (uint16_t)cpus[0].samples;
	cr_assert_eq(meters_samples(&meters, 0, seen, samples, &seen), FF_SAMPLES);
	cr_expect_eq(seen, 1000);
	cr_expect_eq(samples[0].slot, 999);
	cr_expect_eq(samples[FF_SAMPLES - 1].slot, 1000 - FF_SAMPLES);
}

Test(meters, slots_as_text)
{
	static const char longest[] = ";16383 18446744073709551615/18446744073709551615/4294967295";
	char text[8 * SLOT_TEXT_EACH] = "";
	struct slot_text out = { .text = text };

	slot_text_put(&out, 0, 12, 640, 3);
	slot_text_put(&out, 1, 0, 0, 1);
	slot_text_put(&out, 2048, 7, 420, 0);
	cr_expect_eq(out.len, strlen(text));
	cr_expect_str_eq(text, "0 12/640/3 0/0/1;2048 7/420/0");
	slot_text_put(&out, 16383, UINT64_MAX, UINT64_MAX, UINT32_MAX);
	cr_expect_str_eq(strrchr(text, ';'), longest);
	cr_expect_lt(strlen(longest), SLOT_TEXT_EACH);
}
