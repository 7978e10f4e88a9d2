/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From an agent's samples to rates: right where it can be told. */
#include <criterion/criterion.h>

#include "tests/unit/rates_fixture.h"

TestSuite(rates, .init = rates_setup, .fini = rates_teardown);

Test(rates, two_samples_make_rates)
{
	struct told told = told_first();
	struct instance_load load;

	take(&told);
	tell_on(&told);
	told.expired = 30;
	told.dropped = 12;
	told.denied = 10;
	take(&told);
	load = instance_now(arrival(&told));
	cr_expect_eq(load.quality.validity, LOAD_VALID);
	cr_expect(near(load.packets_per_s, 100000), "%f", load.packets_per_s);
	cr_expect(near(load.bytes_per_s, 6400000));
	cr_expect(near(load.expired_flows_per_s, 300));
	cr_expect(near(load.drops_per_s, 20), "what the policy denies is no loss");
	cr_expect(near(load.ns_per_packet, 250));
	cr_expect(near(load.capacity_pps, 8e6), "two CPUs");
	cr_expect(near(load.utilisation, 0.0125));
	cr_expect_eq(load.flows, 50);
	cr_expect_eq(load.capacity_flows, 1000);
}

Test(rates, of_the_host)
{
	struct told told = told_first();
	struct host_load load = { .cpus = 0 };

	for (int i = 0; i < 11; i++) {
		take(&told);
		tell_on(&told);
		told.softirq_ns += 25 * MS; /* a quarter of a CPU */
		told.squeezed += 2;
		told.pressure_us += 50000;
		told.rx_bytes += 1000;
	}
	rates_host(rates, arrival(&told), &load);
	cr_expect_eq(load.quality.validity, LOAD_VALID);
	cr_expect_eq(load.cpus, 2);
	cr_expect(near(load.cpu.softirq, 0.25), "%f", load.cpu.softirq);
	cr_expect(near(load.squeezes_per_s, 20));
	cr_expect(load.pressure_known && near(load.pressure, 0.5));
	cr_expect(near(load.rx_bytes_per_s, 10000));
	cr_expect(near(load.link_bytes_per_s, 1.25e9));
	cr_expect_not(load.conditions & HOST_LINK_DOWN);
}

Test(rates, of_slots)
{
	struct slot_load slots[4] = {
		{ .owner = 5 }, { .owner = 5 }, { .owner = 6 }, { .owner = 5 }
	};
	struct told told = told_first();
	struct load_quality quality;

	told.loads = "0 100/6400/10 5/300/1 7/7/7";
	take(&told);
	quality = rates_slots(rates, arrival(&told), 5, slots, 4);
	cr_expect_eq(quality.validity, LOAD_MISSING, "one sample tells no rate");
	cr_expect_not(slots[0].valid);
	tell_on(&told); /* slots come every now and then only */
	told.loads = NULL;
	take(&told);
	tell_on(&told);
	told.loads = "0 120/7400/11 5/300/1 8/8/8 4/4/4";
	take(&told);
	quality = rates_slots(rates, arrival(&told), 5, slots, 4);
	cr_expect_eq(quality.validity, LOAD_VALID);
	cr_expect(slots[0].valid && near(slots[0].packets_per_s, 100), "%f",
		  slots[0].packets_per_s);
	cr_expect(near(slots[0].bytes_per_s, 5000));
	cr_expect_eq(slots[0].flows, 11);
	cr_expect_eq(slots[0].state_bytes, 1100);
	cr_expect(near(slots[0].dirty_per_s, 11.0 * 100 / 111));
	cr_expect(slots[1].valid && slots[1].packets_per_s == 0 && slots[1].flows == 1,
		  "a slot without packets is one that is known");
	cr_expect_not(slots[2].valid, "another instance owns it");
	cr_expect_not(slots[3].valid, "new here: its rate isn't known yet");
}

Test(rates, of_heavy_flows)
{
	struct life_table none = { 0 };
	struct told told = told_first();
	struct flow_load flows[4];

	told.heavy = "udp 198.18.1.2:1000 198.18.2.2:80";
	take(&told);
	cr_assert_eq(rates_flows(rates, arrival(&told), 5, &none, flows, 4), 1);
	cr_expect(near(flows[0].packets_per_s, 100.5));
	cr_expect_eq(flows[0].slot, 2);
	cr_expect_eq(rates_flows(rates, arrival(&told), 6, &none, flows, 4), 0);
	cr_expect_eq(rates_flows(rates, arrival(&told) + 10 * NSEC_PER_SEC, 5, &none, flows, 4), 0,
		     "what is long ago is no heavy flow");
}

/* What an instance processes in slots of others: the flows of its rules. */
Test(rates, of_slots_that_are_anothers)
{
	struct told told = told_first();
	struct rule_load load = { 0 };
	struct slotset slots = { 0 };

	slotset_set(&slots, 1);
	slotset_set(&slots, 2);
	slotset_set(&slots, 3);
	told.loads = "0 100/6400/3 200/12800/4 0/0/1";
	take(&told);
	rates_strangers(rates, arrival(&told), 5, 4, &slots, &load);
	cr_expect_not(load.valid, "of one sample there are no rates");
	tell_on(&told);
	told.loads = "0 150/9600/3 220/14080/4 10/640/2 5/320/1";
	take(&told);
	rates_strangers(rates, arrival(&told), 5, 4, &slots, &load);
	cr_expect(load.valid);
	cr_expect(near(load.packets_per_s, 300) && near(load.bytes_per_s, 19200));
	cr_expect_eq(load.flows, 7, "slot 3 has a flow, whose rate isn't known yet");
	cr_expect_eq(load.state_bytes, 700);
	load = (struct rule_load){ 0 };
	rates_strangers(rates, arrival(&told) + 10 * NSEC_PER_SEC, 5, 4, &slots, &load);
	cr_expect(!load.valid && load.packets_per_s == 0);
}

Test(rates, of_lives)
{
	struct told told = told_first();
	struct life_table lives = { 0 };
	struct flow_load flow;

	told.lives = "[{\"instance\":5,\"began\":1000,\"ended\":[0,0,900]}]";
	take(&told);
	rates_lives(rates, 5, &lives);
	cr_expect_eq(lives.began, 0, "of what was before nobody knows the time");
	tell_on(&told);
	told.lives = "[{\"instance\":5,\"began\":1050,\"ended\":[0,0,910,20]}]";
	take(&told);
	rates_lives(rates, 5, &lives);
	cr_expect(near(lives.seconds, 0.1) && near(lives.began, 50));
	cr_expect(near(lives.ended[2], 10) && near(lives.ended[3], 20));
	rates_lives(rates, 6, &lives);
	cr_expect(near(lives.began, 50), "another instance");
	/* counters that went back began anew; what was learned stays */
	tell_on(&told);
	told.lives = "[{\"instance\":5,\"began\":2000,\"ended\":[0,0,1]}]";
	take(&told);
	lives = (struct life_table){ 0 };
	rates_lives(rates, 5, &lives);
	cr_expect(near(lives.began, 50));
	/* a heavy flow whose age is told, and one whose isn't */
	told.heavy = "udp 198.18.1.2:1000 198.18.2.2:80";
	tell_on(&told);
	told.lives = NULL;
	take(&told);
	lives = (struct life_table){ .seconds = 1, .began = 100, .ended[12] = 100 };
	cr_assert_eq(rates_flows(rates, arrival(&told), 5, &lives, &flow, 1), 1);
	cr_expect_eq(flow.left_s, 0);
	tell_on(&told);
	told.heavy_age_ms = 500;
	take(&told);
	cr_assert_eq(rates_flows(rates, arrival(&told), 5, &lives, &flow, 1), 1);
	cr_expect(flow.left_s > 1 && flow.left_s < 4);
}
