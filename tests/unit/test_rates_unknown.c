/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From an agent's samples to rates: missing, stale or begun anew, but never zero, where it can't be
 * told.
 */
#include <criterion/criterion.h>

#include "lib/json.h"
#include "tests/unit/rates_fixture.h"

TestSuite(rates_unknown, .init = rates_setup, .fini = rates_teardown);

/* ---- what isn't known ------------------------------------------------------------------------ */

Test(rates_unknown, nothing_is_missing_not_zero)
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

Test(rates_unknown, an_instance_that_is_not_told_is_missing)
{
	struct told told = told_first();
	struct instance_load load = { .id = 6 };

	take(&told);
	tell_on(&told);
	take(&told);
	rates_instance(rates, arrival(&told), &load);
	cr_expect_eq(load.quality.validity, LOAD_MISSING);
}

Test(rates_unknown, what_the_agent_cannot_tell_is_missing)
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

Test(rates_unknown, old_figures_are_stale)
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
Test(rates_unknown, delay_counts_as_age)
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
Test(rates_unknown, clocks_of_different_pace)
{
	struct told told = told_first();

	for (uint64_t s = 0; s < 3600; s++) {
		cr_assert_eq(take_at(&told, arrival(&told) + s * MS / 10), 0, "%s",
			     rates_err.message);
		cr_assert_lt(rates_age_ns(rates, arrival(&told) + s * MS / 10), MS, "after %zu s",
			     (size_t)s);
		tell_on(&told);
		told.time_ms += 900;
	}
}

/* ---- beginning anew -------------------------------------------------------------------------- */

Test(rates_unknown, a_counter_that_goes_back_begins_anew)
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

Test(rates_unknown, another_life_of_an_instance_is_another_one)
{
	struct told told = told_first();

	take(&told);
	tell_on(&told);
	told.prog_id++;
	told.packets += 1000000; /* more than before, by chance */
	take(&told);
	cr_expect_eq(instance_now(arrival(&told)).quality.validity, LOAD_MISSING);
}

Test(rates_unknown, a_restarted_agent_begins_anew)
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

Test(rates_unknown, a_sample_from_before_is_refused)
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
Test(rates_unknown, the_hosts_clock_jumps_ahead)
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

Test(rates_unknown, the_hosts_clock_jumps_back)
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
Test(rates_unknown, our_clock_jumps)
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
