/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From an agent's samples to rates: right where it can be told, and missing, stale or refused, but
 * never zero, where it can't.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "orchestrator/rates.h"
#include "tests/unit/random.h"

#define MS     NSEC_PER_MSEC
#define DELAY  (3 * MS)			/* of the network */
#define OFFSET (5000ull * NSEC_PER_SEC) /* our clock less the host's */

static struct rates *rates;
static struct ff_error err;

static void setup(void)
{
	cr_assert_eq(rates_new(&rates), 0);
}

static void teardown(void)
{
	rates_free(rates);
}

TestSuite(rates, .init = setup, .fini = teardown);

/* What a host of two CPUs tells. */
struct told {
	uint64_t seq, agent_ns, time_ms;
	uint64_t packets, bytes, dropped, denied, flows, expired, timed, path_ns;
	uint64_t softirq_ns, squeezed, pressure_us, rx_bytes;
	uint32_t prog_id;
	const char *loads;	   /* NULL: no slots in this sample */
	const char *heavy;	   /* likewise */
	const char *lives;	   /* likewise */
	unsigned int heavy_age_ms; /* 0: not told */
	bool no_pressure;
};

static struct told told_first(void)
{
	return (struct told){ .seq = 1,
			      .agent_ns = 77,
			      .time_ms = 100000,
			      .packets = 1000000,
			      .bytes = 64000000,
			      .flows = 50,
			      .timed = 10,
			      .path_ns = 5000,
			      .prog_id = 9 };
}

static json_t *sample_json(const struct told *told)
{
	json_t *json =
		json_pack("{ss sI sI sI si s{s[ii] s[II] s[ii] s[ii] s[ii] s[ii] s[ii] s[ii] s[ii]}"
			  " s{s[ii] s[ii] s[Ii]} s[{ss ss sb sb sI sI sI}]"
			  " s[{si si sI sI si si sI sI sI sI si sI sI sI sI s{sI}}] s{}}",
			  "kind", "sample", "seq", (json_int_t)told->seq, "agent_ns",
			  (json_int_t)told->agent_ns, "time_ns", (json_int_t)(told->time_ms * MS),
			  "period_ms", 100, "cpu", "cpu", 0, 1, "softirq",
			  (json_int_t)told->softirq_ns, (json_int_t)0, "user", 0, 0, "nice", 0, 0,
			  "system", 0, 0, "idle", 0, 0, "iowait", 0, 0, "irq", 0, 0, "steal", 0, 0,
			  "softnet", "processed", 0, 0, "dropped", 0, 0, "squeezed",
			  (json_int_t)told->squeezed, 0, "links", "interface", "f0", "role",
			  "fabric", "up", 1, "carrier", 1, "rx_bytes", (json_int_t)told->rx_bytes,
			  "tx_bytes", (json_int_t)0, "bits_per_s", (json_int_t)10000000000,
			  "instances", "id", 5, "service", 1, "prog_id", (json_int_t)told->prog_id,
			  "flows", (json_int_t)told->flows, "capacity", 1000, "state_bytes", 100,
			  "packets", (json_int_t)told->packets, "bytes", (json_int_t)told->bytes,
			  "dropped", (json_int_t)told->dropped, "flows_new",
			  (json_int_t)told->expired, "flows_refused", 0, "flows_expired",
			  (json_int_t)told->expired, "timed", (json_int_t)told->timed, "nf_ns",
			  (json_int_t)0, "path_ns", (json_int_t)told->path_ns, "drops", "nf-denied",
			  (json_int_t)told->denied, "missing");

	cr_assert(json);
	if (told->no_pressure)
		json_put_str(json_object_get(json, "missing"), "pressure", "no such thing");
	else
		json_put(json, "pressure",
			 json_pack("{s{sI} s{si}}", "cpu", "some_us", (json_int_t)told->pressure_us,
				   "memory", "some_us", 0));
	if (told->loads)
		json_put(json, "slots",
			 json_pack("[{si si ss}]", "instance", 5, "slots", 4, "loads",
				   told->loads));
	if (told->heavy)
		json_put(json, "flows",
			 json_pack("[{si s[{ss si sf sf si}]}]", "instance", 5, "flows", "flow",
				   told->heavy, "slot", 2, "packets_per_s", 100.5, "bytes_per_s",
				   6000.0, "error_per_s", 1));
	if (told->heavy && told->heavy_age_ms)
		json_put_uint(json_array_get(
				      json_object_get(json_array_get(json_object_get(json, "flows"),
								     0),
						      "flows"),
				      0),
			      "age_ms", told->heavy_age_ms);
	if (told->lives)
		json_put(json, "lives", json_loads(told->lives, 0, NULL));
	return json;
}

static int take_at(const struct told *told, uint64_t arrived_ns)
{
	_cleanup_json_ json_t *json = sample_json(told);
	_cleanup_sample_ struct sample *sample = NULL;
	int r;

	err = (struct ff_error){};
	r = sample_parse(json, &sample, &err);
	return r ? r : rates_take(rates, sample, arrived_ns, &err);
}

/* When a sample that is taken at that moment of the host comes. */
static uint64_t arrival(const struct told *told)
{
	return told->time_ms * MS + OFFSET + DELAY;
}

static void take(const struct told *told)
{
	cr_assert_eq(take_at(told, arrival(told)), 0, "%s", err.message);
}

static struct instance_load instance_now(uint64_t now_ns)
{
	struct instance_load load = { .id = 5 };

	rates_instance(rates, now_ns, &load);
	return load;
}

/* 100 ms later, with 10000 packets of 64 bytes more, 20 of them timed at 250 ns. */
static void tell_on(struct told *told)
{
	told->seq++;
	told->time_ms += 100;
	told->packets += 10000;
	told->bytes += 640000;
	told->timed += 20;
	told->path_ns += 5000;
}

static bool near(double value, double wanted)
{
	return fabs(value - wanted) <= 0.001 * fabs(wanted);
}

/* ---- what is so ------------------------------------------------------------------------------ */

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

Test(rates, absurd_lives_are_refused)
{
	static const char *const rows[] = {
		"{}",
		"[{\"instance\":5,\"ended\":[]}]",
		"[{\"instance\":5,\"began\":1}]",
		"[{\"instance\":5,\"began\":1,\"ended\":[-1]}]",
		"[{\"instance\":5,\"began\":1,\"ended\":[0.5]}]",
		"[{\"instance\":0,\"began\":1,\"ended\":[1]}]",
		"[{\"instance\":5,\"began\":1,\"ended\":[1]},"
		"{\"instance\":5,\"began\":1,\"ended\":[1]}]",
		"[{\"instance\":5,\"began\":1,\"ended\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
		"1,1,1,1,1,1,1,1,1,1]}]",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct told told = told_first();

		told.lives = rows[i];
		cr_expect_eq(take_at(&told, arrival(&told)), -EINVAL, "row %zu", i);
		cr_expect(strstr(err.message, "lives"), "row %zu: %s", i, err.message);
	}
}

/* ---- what isn't known ------------------------------------------------------------------------ */

Test(rates, nothing_is_missing_not_zero)
{
	struct told told = told_first();
	struct host_load host = { .cpus = 0 };

	rates_host(rates, OFFSET, &host);
	cr_expect_eq(host.quality.validity, LOAD_MISSING);
	cr_expect_eq(host.quality.age_ns, UINT64_MAX);
	cr_expect_eq(rates_age_ns(rates, OFFSET), UINT64_MAX);
	cr_expect_eq(instance_now(OFFSET).quality.validity, LOAD_MISSING);
	take(&told); /* one sample tells levels, but no rates */
	cr_expect_eq(instance_now(arrival(&told)).quality.validity, LOAD_MISSING);
	rates_host(rates, arrival(&told), &host);
	cr_expect_eq(host.quality.validity, LOAD_MISSING);
}

Test(rates, an_instance_that_is_not_told_is_missing)
{
	struct told told = told_first();
	struct instance_load load = { .id = 6 };

	take(&told);
	tell_on(&told);
	take(&told);
	rates_instance(rates, arrival(&told), &load);
	cr_expect_eq(load.quality.validity, LOAD_MISSING);
}

Test(rates, what_the_agent_cannot_tell_is_missing)
{
	struct told told = told_first();
	struct host_load host = { .cpus = 0 };
	_cleanup_json_ json_t *json = NULL;

	told.no_pressure = true;
	take(&told);
	tell_on(&told);
	take(&told);
	rates_host(rates, arrival(&told), &host);
	cr_expect_eq(host.quality.validity, LOAD_VALID);
	cr_expect_not(host.pressure_known);
	cr_expect_eq(rates_missing(rates), 1u << SAMPLE_PRESSURE);
	json = rates_json(rates, arrival(&told));
	cr_expect_null(json_object_get(json, "pressure"));
	cr_expect_str_eq(json_string_value(json_array_get(json_object_get(json, "missing"), 0)),
			 "pressure");
	/* and back again */
	told.no_pressure = false;
	tell_on(&told);
	take(&told);
	cr_expect_eq(rates_missing(rates), 0);
}

Test(rates, old_figures_are_stale)
{
	struct told told = told_first();
	struct slot_load slots[4] = { { .owner = 5 } };
	uint64_t now_ns;

	told.loads = "0 1/1/1";
	take(&told);
	tell_on(&told);
	take(&told);
	now_ns = arrival(&told);
	cr_expect_eq(instance_now(now_ns + 900 * MS).quality.validity, LOAD_VALID);
	cr_expect_eq(instance_now(now_ns + 1100 * MS).quality.validity, LOAD_STALE);
	cr_expect_eq(instance_now(now_ns + 1100 * MS).quality.age_ns, 1100 * MS);
	cr_expect_eq(rates_slots(rates, now_ns + 3100 * MS, 5, slots, 4).validity, LOAD_STALE);
	cr_expect_not(slots[0].valid);
}

/* What was long on its way is old, though it has just come. */
Test(rates, delay_counts_as_age)
{
	struct told told = told_first();

	take(&told);
	tell_on(&told);
	take(&told);
	tell_on(&told);
	cr_assert_eq(take_at(&told, arrival(&told) + 2000 * MS), 0);
	cr_expect_leq(rates_age_ns(rates, arrival(&told) + 2000 * MS), 2000 * MS);
	cr_expect_gt(rates_age_ns(rates, arrival(&told) + 2000 * MS), 1990 * MS);
	cr_expect_eq(instance_now(arrival(&told) + 2000 * MS).quality.validity, LOAD_STALE);
	cr_expect(near(instance_now(0).packets_per_s, 100000),
		  "but its rates are by its own clock");
}

/* Its clock is slower than ours by 100 ppm, as crystals are, and nobody sets it right. */
Test(rates, clocks_of_different_pace)
{
	struct told told = told_first();

	for (uint64_t s = 0; s < 3600; s++) {
		cr_assert_eq(take_at(&told, arrival(&told) + s * MS / 10), 0, "%s", err.message);
		cr_assert_lt(rates_age_ns(rates, arrival(&told) + s * MS / 10), MS, "after %zu s",
			     (size_t)s);
		tell_on(&told);
		told.time_ms += 900;
	}
}

/* ---- beginning anew -------------------------------------------------------------------------- */

Test(rates, a_counter_that_goes_back_begins_anew)
{
	struct told told = told_first();

	take(&told);
	tell_on(&told);
	take(&told);
	tell_on(&told);
	told.packets = 5;
	take(&told);
	cr_expect_eq(instance_now(arrival(&told)).quality.validity, LOAD_MISSING);
	cr_expect_eq(rates_resets(rates), 1);
	tell_on(&told);
	take(&told);
	cr_expect(near(instance_now(arrival(&told)).packets_per_s, 100000));
}

Test(rates, another_life_of_an_instance_is_another_one)
{
	struct told told = told_first();

	take(&told);
	tell_on(&told);
	told.prog_id++;
	told.packets += 1000000; /* more than before, by chance */
	take(&told);
	cr_expect_eq(instance_now(arrival(&told)).quality.validity, LOAD_MISSING);
}

Test(rates, a_restarted_agent_begins_anew)
{
	struct told told = told_first();

	take(&told);
	tell_on(&told);
	take(&told);
	tell_on(&told);
	told.agent_ns++;
	told.seq = 1;
	take(&told);
	cr_expect_eq(instance_now(arrival(&told)).quality.validity, LOAD_MISSING);
	cr_expect_eq(rates_resets(rates), 1);
}

/* ---- clocks ---------------------------------------------------------------------------------- */

Test(rates, a_sample_from_before_is_refused)
{
	struct told told = told_first(), before;

	take(&told);
	before = told;
	tell_on(&told);
	take(&told);
	cr_expect_eq(take_at(&before, arrival(&told)), -EINVAL);
	cr_expect_eq(take_at(&told, arrival(&told)), -EINVAL, "nor twice");
	cr_expect(near(instance_now(arrival(&told)).packets_per_s, 100000), "nothing has changed");
}

/* The host's clock leaps an hour ahead: what it says of the time between is worth nothing. */
Test(rates, the_hosts_clock_jumps_ahead)
{
	struct told told = told_first();
	uint64_t now_ns;

	take(&told);
	tell_on(&told);
	take(&told);
	now_ns = arrival(&told) + 100 * MS;
	tell_on(&told);
	told.time_ms += 3600000;
	cr_assert_eq(take_at(&told, now_ns), 0);
	cr_expect_eq(instance_now(now_ns).quality.validity, LOAD_MISSING);
	tell_on(&told);
	cr_assert_eq(take_at(&told, now_ns + 100 * MS), 0);
	cr_expect_eq(instance_now(now_ns + 100 * MS).quality.validity, LOAD_VALID);
	cr_expect(near(instance_now(now_ns + 100 * MS).packets_per_s, 100000));
}

Test(rates, the_hosts_clock_jumps_back)
{
	struct told told = told_first();
	uint64_t now_ns;

	take(&told);
	tell_on(&told);
	take(&told);
	now_ns = arrival(&told) + 100 * MS;
	tell_on(&told);
	told.time_ms -= 60000;
	cr_assert_eq(take_at(&told, now_ns), 0);
	tell_on(&told);
	cr_assert_eq(take_at(&told, now_ns + 100 * MS), 0);
	cr_expect(near(instance_now(now_ns + 100 * MS).packets_per_s, 100000));
	cr_expect_lt(rates_age_ns(rates, now_ns + 100 * MS), 10 * MS);
}

/* Or our own: the machine slept. */
Test(rates, our_clock_jumps)
{
	struct told told = told_first();

	take(&told);
	tell_on(&told);
	take(&told);
	tell_on(&told);
	cr_assert_eq(take_at(&told, arrival(&told) + 3600 * NSEC_PER_SEC), 0);
	cr_expect_eq(instance_now(arrival(&told) + 3600 * NSEC_PER_SEC).quality.validity,
		     LOAD_MISSING);
	cr_expect_eq(rates_resets(rates), 1);
}

/* ---- samples that make no sense -------------------------------------------------------------- */

static int refused(const char *path, json_t *value)
{
	struct told told = told_first();
	_cleanup_json_ json_t *json = NULL;
	struct sample *sample = NULL;
	json_t *at;
	char part[64];
	int r;

	told.loads = "0 1/1/1";
	told.heavy = "udp 198.18.1.2:1000 198.18.2.2:80";
	json = sample_json(&told);
	for (at = json; strchr(path, '.'); path = strchr(path, '.') + 1) {
		snprintf(part, sizeof(part), "%.*s", (int)strcspn(path, "."), path);
		at = json_is_array(at) ? json_array_get(at, (size_t)atoi(part)) :
					 json_object_get(at, part);
		cr_assert(at, "no %s", part);
	}
	if (json_is_array(at))
		json_array_set_new(at, (size_t)atoi(path), value);
	else
		json_object_set_new(at, path, value);
	err = (struct ff_error){};
	r = sample_parse(json, &sample, &err);
	cr_expect_eq(r == 0, sample != NULL);
	cr_expect(r == 0 || *err.message);
	sample_free(sample);
	return r;
}

Test(rates, absurd_samples_are_refused)
{
	static const char *const wrong[] = { "seq",
					     "agent_ns",
					     "time_ns",
					     "period_ms",
					     "cpu.user.0",
					     "cpu.softirq.1",
					     "softnet.squeezed.0",
					     "pressure.cpu.some_us",
					     "links.0.rx_bytes",
					     "instances.0.id",
					     "instances.0.packets",
					     "instances.0.timed",
					     "instances.0.prog_id",
					     "instances.0.drops.nf-denied",
					     "slots.0.instance",
					     "slots.0.slots",
					     "flows.0.instance",
					     "flows.0.flows.0.slot",
					     "flows.0.flows.0.packets_per_s" };

	cr_assert_eq(refused("wall_ms", json_integer(5)), 0, "%s", err.message);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		cr_expect_eq(refused(wrong[i], json_string("many")), -EINVAL, "%s", wrong[i]);
		cr_expect_eq(refused(wrong[i], json_integer(-1)), -EINVAL, "%s", wrong[i]);
		cr_expect_eq(refused(wrong[i], json_integer(INT64_MAX)), -EINVAL, "%s", wrong[i]);
		cr_expect_eq(refused(wrong[i], json_object()), -EINVAL, "%s", wrong[i]);
	}
	cr_expect_eq(refused("cpu.user", json_array()), -EINVAL);
	cr_expect_eq(refused("cpu.user", json_pack("[i]", 5)), -EINVAL, "of another length");
	cr_expect_eq(refused("instances", json_object()), -EINVAL);
	cr_expect_eq(refused("instances.0.service", json_integer(FF_SERVICES_MAX)), -EINVAL);
	cr_expect_eq(refused("instances.0.nf_ns", json_integer(1 << 20)), -EINVAL,
		     "longer than the path that it is part of");
	cr_expect_eq(refused("instances.0.timed", json_integer(0)), -EINVAL, "time of no packets");
	cr_expect_eq(refused("flows.0.flows.0.flow", json_string("from here to there")), -EINVAL);
	cr_expect_eq(refused("flows.0.flows.0.packets_per_s", json_real(1e300)), -EINVAL);
	cr_expect_eq(refused("links.0.interface",
			     json_string("a name that is too long for an interface")),
		     -EINVAL);
}

Test(rates, absurd_slots_are_refused)
{
	static const char *const wrong[] = {
		"0",
		"0 ",
		"0 1/1",
		"0 1/1/",
		"0 1/1/1 ",
		"0 1/1/1;",
		"0 1/1/1;0 1/1/1",
		"x",
		" 1/1/1",
		"0 1/1/1x",
		"0 -1/1/1",
		"4 1/1/1",
		"3 1/1/1 1/1/1",
		"0 1/1/4294967296",
		"0 99999999999999999999/1/1",
		"0  1/1/1",
		"99999999999999999999 1/1/1",
	};

	cr_expect_eq(refused("slots.0.loads", json_string("")), 0);
	cr_expect_eq(refused("slots.0.loads", json_string("1 1/1/1;3 1/1/4294967295")), 0);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		cr_expect_eq(refused("slots.0.loads", json_string(wrong[i])), -EINVAL, "%s",
			     wrong[i]);
}

/* A sample with some part of it replaced is refused, or taken, and the next good one is taken. */
Test(rates, garbage_does_no_harm)
{
	static const char *const texts[] = {
		"null", "-1", "[]", "{}", "1e300", "\"\"", "9223372036854775807", "true"
	};
	struct random random = { .state = 11 };
	struct told told = told_first();

	for (int i = 0; i < 3000; i++) {
		_cleanup_json_ json_t *json = NULL, *bad = NULL;
		_cleanup_sample_ struct sample *sample = NULL;
		_cleanup_free_ char *text = NULL;
		size_t len;

		tell_on(&told);
		told.loads = "0 1/1/1 2/2/2";
		told.heavy = "tcp [2001:db8::1]:1 [2001:db8::2]:2";
		json = sample_json(&told);
		text = json_dumps(json, JSON_COMPACT);
		len = strlen(text);
		if (random_below(&random, 2)) {
			text[random_below(&random, (unsigned int)len)] =
				(char)(32 + random_below(&random, 95));
		} else {
			const char *with = texts[random_below(&random, ARRAY_SIZE(texts))];
			char *colon = strchr(text + random_below(&random, (unsigned int)len), ':');
			_cleanup_free_ char *mixed = NULL;

			cr_assert(asprintf(&mixed, "%.*s:%s%s",
					   colon ? (int)(colon - text) : (int)len, text, with,
					   colon ? colon + 1 + strcspn(colon + 1, ",}]") : "") > 0);
			free(text);
			text = TAKE_PTR(mixed);
		}
		if (json_parse(text, strlen(text), &bad, NULL) == 0 &&
		    sample_parse(bad, &sample, NULL) == 0)
			rates_take(rates, sample, arrival(&told), NULL);
		tell_on(&told);
		take_at(&told, arrival(&told));
	}
	rates_free(rates);
	setup();
	tell_on(&told);
	take(&told);
	tell_on(&told);
	take(&told);
	cr_expect(near(instance_now(arrival(&told)).packets_per_s, 100000));
}
