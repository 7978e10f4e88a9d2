/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_failover_lease.c - leases of hosts that may be alive and are not heard, and what a crash of
 * ours in the middle of a recovery leaves: see failover_fixture.h.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "tests/unit/failover_fixture.h"

static struct fake_agent *const gw = &world.agents[0];
static struct fake_agent *const nf1 = &world.agents[1];

/* fw-2 stands by for fw-1, whose host has a lease, that is to run out before it is replaced. */
static void protect_by_lease(int lease_ms)
{
	policy_protect(true, "fence", lease_ms);
	wait_for(synced_by("fw-1"));
	wait_for(nf1->leases >= 1);
}

/* Its host isn't heard any more, and that was noticed. */
static void nf1_falls_silent(void)
{
	host_die(nf1);
	wait_for(!strcmp(recovery_state(), "running"));
}

/* ---- leases ---------------------------------------------------------------------------------- */

Test(failover, a_lease_is_awaited)
{
	uint64_t died_ns;
	bool is_own;

	protect_by_lease(700);
	wait_for(nf1->leases >= 2);
	died_ns = clock_ns();
	nf1_falls_silent();
	/* on a busy machine it may have run out since */
	is_own = number(instance_shown("fw-1"), "slots") == 64;
	cr_expect(is_own || !recovery_is_in("fence"));
	wait_for(!strcmp(recovery_state(), "completed"));
	/* a sample that was taken up to a period and a renewal before */
	cr_expect_geq(clock_ns() - died_ns, 400 * NSEC_PER_MSEC);
	cr_expect_gt(number(json_object_get(recovery_shown(), "recovery"), "fence_ms"), 0);
	assert_taken_over();
}

/* It is back before its lease has run out: it keeps what it has. */
Test(failover, back_in_time)
{
	protect_by_lease(5000);
	nf1_falls_silent();
	fake_path(nf1, false);
	fake_agent_start(nf1);
	wait_for(!strcmp(recovery_state(), "rolled-back"));
	cr_expect_eq(number(instance_shown("fw-1"), "slots"), 64);
	cr_expect_str_eq(text(instance_shown("fw-2"), "standby_of"), "fw-1");
}

/*
 * Its standby dies, too, before the lease has run out: what both have isn't given to a dead host.
 */
Test(failover, both_hosts_die)
{
	struct fake_agent *heir;

	protect_by_lease(3000);
	heir = !strcmp(text(instance_shown("fw-2"), "host"), "nf2") ? &nf1[1] : &nf1[2];
	nf1_falls_silent();
	host_die(heir);
	wait_for(!strcmp(recovery_state(), "rolled-back"));
	cr_expect_eq(number(instance_shown("fw-1"), "slots"), 64);
}

/*
 * Until it has been told that it needs a lease it won't stop by itself, however long it is silent.
 */
Test(failover, a_host_that_knows_of_no_lease)
{
	unsigned int others;

	protect_fw();
	fake_script(&world, "nf1", "config", FAKE_BLOCK, 1);
	policy_protect(true, "fence", 300);
	fake_host_die(nf1);
	wait_for(!strcmp(recovery_state(), "running"));
	others = nf1[1].leases;
	wait_for(nf1[1].leases >= others + 15); /* each is renewed several times while it lasts */
	cr_expect(recovery_is_in("fence"));
	cr_expect_eq(number(instance_shown("fw-1"), "slots"), 64);
	policy_protect(true, "keep-forwarding", 300);
	wait_for(!strcmp(recovery_state(), "completed"));
	assert_taken_over();
}

Test(failover, no_fence_with_a_host_that_cant_be_told)
{
	protect_fw();
	fake_agent_stop(nf1);
	wait_for(!host_is_up("nf1"));
	call(409, "PUT", "/v1/services/fw/policy",
	     json_pack("{s{ss}}", "partition", "mode", "fence"));
	fake_agent_start(nf1);
	wait_for(host_is_up("nf1"));
	policy_protect(true, "fence", 1000);
}

/*
 * A lease is the service's: a host that may have an old table, by which it owns what was taken from
 * it, doesn't get one before it has the new one.
 */
Test(failover, no_lease_for_an_old_table)
{
	unsigned int had, others;

	protect_by_lease(1000);
	orchestrator_down();
	fake_script(&world, "nf1", "config", FAKE_BLOCK, 1);
	had = nf1->leases;
	others = nf1[1].leases + nf1[2].leases;
	orchestrator_up();
	wait_for(nf1[1].leases + nf1[2].leases >= others + 3);
	cr_expect_eq(nf1->leases, had);
	fake_unblock(&world);
	wait_for(nf1->leases > had);
}

/* ---- crashes of ours ------------------------------------------------------------------------- */

/* Nothing was taken yet: it is found anew. */
Test(failover, a_crash_while_a_lease_is_awaited)
{
	protect_by_lease(3000);
	nf1_falls_silent();
	orchestrator_crash();
	cr_expect_str_eq(recovery_state(), "failed");
	cr_expect_eq(number(instance_shown("fw-1"), "slots"), 64);
	wait_for(!strcmp(recovery_state(), "completed"));
	assert_taken_over();
}

/* The owners have changed, and no host knows it: they are told. */
Test(failover, a_crash_after_the_switch)
{
	protect_fw();
	/* the monitors may have one under way, too */
	fake_script(&world, "nf2", "config", FAKE_BLOCK, 3);
	fake_script(&world, "nf3", "config", FAKE_BLOCK, 3);
	host_die(nf1);
	wait_until_taken();
	orchestrator_crash();
	wait_for(!strcmp(recovery_state(), "completed"));
	assert_taken_over();
	wait_for(owner_at(gw) == number(instance_shown("fw-2"), "id"));
}
