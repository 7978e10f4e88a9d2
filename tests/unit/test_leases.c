/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_leases.c - until when a host may own, as we reckon. */
#include <criterion/criterion.h>

#include "lib/clock.h"
#include "orchestrator/lease.h"

#define HOST  3
#define LEASE 1000
#define MS(n) ((uint64_t)(n)*NSEC_PER_MSEC)
#define SURE  (MS(LEASE) + MS(LEASE) / LEASE_DRIFT + MS(LEASE_MARGIN_MS))

static struct leases leases;

static void setup(void)
{
	leases_init(&leases, MS(10000));
}

TestSuite(leases, .init = setup);

Test(leases, renewed_by_each_new_sample_but_not_more_often_than_needed)
{
	cr_expect(!lease_is_due(&leases, HOST, 0, LEASE, MS(20000)), "nothing was heard of it");
	cr_expect(lease_is_due(&leases, HOST, MS(19990), LEASE, MS(20000)));
	lease_note(&leases, HOST, MS(19990), MS(20000));
	cr_expect(!lease_is_due(&leases, HOST, MS(20090), LEASE, MS(20100)));
	cr_expect(lease_is_due(&leases, HOST, MS(20240), LEASE, MS(20250)));
	cr_expect(!lease_is_due(&leases, HOST, MS(19990), LEASE, MS(30000)), "by an old one never");
}

/* It runs from the sample, not from when the renewal was sent, or may have got there. */
Test(leases, ends_by_the_sample_that_vouched_for_it)
{
	lease_note(&leases, HOST, MS(19990), MS(20400));
	cr_expect_eq(lease_end_ns(&leases, HOST, 1, LEASE, 0), MS(19990) + SURE);
	lease_note(&leases, HOST, MS(21000), MS(21010));
	cr_expect_eq(lease_end_ns(&leases, HOST, 1, LEASE, MS(25000)), MS(21000) + SURE);
}

/* An earlier run of ours may have renewed it just before it ended. */
Test(leases, of_an_earlier_run)
{
	cr_expect_eq(lease_end_ns(&leases, HOST, 1, LEASE, 0), MS(10000) + SURE);
}

/* Never vouched for: it may have begun with a configuration that was on its way. */
Test(leases, that_had_just_begun)
{
	cr_expect_eq(lease_end_ns(&leases, HOST, 1, LEASE, MS(15000)), MS(15000) + SURE);
}

Test(leases, hosts_are_apart)
{
	lease_note(&leases, HOST, MS(19990), MS(20000));
	cr_expect(lease_is_due(&leases, HOST + 1, MS(19990), LEASE, MS(20000)));
}

/* The policy asks for a shorter one, but the host that is cut off knows nothing of it. */
Test(leases, last_as_long_as_they_were_granted)
{
	lease_note(&leases, HOST, MS(20000), MS(20000));
	lease_grant(&leases, HOST, 1, MS(20000), LEASE);
	lease_grant(&leases, HOST, 2, MS(20000), LEASE / 10);
	cr_expect_eq(lease_end_ns(&leases, HOST, 1, LEASE / 10, 0), MS(20000) + SURE);
	cr_expect_lt(lease_end_ns(&leases, HOST, 2, LEASE / 10, 0), MS(20000) + SURE,
		     "each service has its own");
}
