/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_standby.c - which standbys should exist, and where. */
#include <criterion/criterion.h>

#include "lib/cleanup.h"
#include "orchestrator/standby.h"

/* Hosts 1 to 4; 1 steers, and so takes none. */
static struct standby_host hosts[4];
static struct standby_member members[8];
static size_t members_n;
static bool protect, first;
static struct standby_step steps[16];
static size_t steps_n;

static void setup(void)
{
	for (uint16_t i = 0; i < 4; i++)
		hosts[i] = (struct standby_host){
			.id = i + 1, .takes = i > 0, .stays = i > 0, .used = 0.2
		};
	members_n = 0;
	protect = first = true;
}

TestSuite(standby, .init = setup);

static struct standby_member *owner(uint16_t id, uint16_t host)
{
	members[members_n] = (struct standby_member){ .id = id, .host = host, .owns = true };
	return &members[members_n++];
}

static struct standby_member *standby(uint16_t id, uint16_t host, uint16_t of)
{
	members[members_n] = (struct standby_member){ .id = id, .host = host, .standby_of = of };
	return &members[members_n++];
}

static void plan(size_t n)
{
	const struct standby_input input = { protect, first, hosts, 4, members, members_n };

	cr_assert_eq(standby_plan(&input, steps, ARRAY_SIZE(steps), &steps_n), 0);
	cr_assert_eq(steps_n, n, "%zu steps, not %zu", steps_n, n);
}

static void is_add(size_t step, uint16_t of, uint16_t host, uint16_t replaced)
{
	cr_expect_eq(steps[step].kind, STANDBY_ADD);
	cr_expect_eq(steps[step].owner, of);
	cr_expect_eq(steps[step].host, host, "on host %u, not %u", steps[step].host, host);
	cr_expect_eq(steps[step].standby, replaced);
	cr_expect_not_null(steps[step].why);
}

static void is_remove(size_t step, uint16_t id)
{
	cr_expect_eq(steps[step].kind, STANDBY_REMOVE);
	cr_expect_eq(steps[step].standby, id);
	cr_expect_not_null(steps[step].why);
}

Test(standby, each_owner_gets_one_elsewhere)
{
	owner(1, 2);
	owner(2, 3);
	plan(2);
	is_add(0, 1, 4, 0);
	is_add(1, 2, 2, 0); /* 2 and 4 are as burdened now: the lower number */
}

Test(standby, the_less_busy_host_is_chosen)
{
	owner(1, 2);
	hosts[2].used = 0.9;
	plan(1);
	is_add(0, 1, 4, 0);
}

Test(standby, spread_goes_before_an_idle_host)
{
	owner(1, 2);
	owner(2, 4);
	standby(3, 3, 2);
	standby(4, 2, 99); /* of nobody */
	hosts[3].used = 0;
	plan(2);
	is_remove(0, 4);
	is_add(1, 1, 4, 0);
}

Test(standby, what_is_well_placed_stays)
{
	owner(1, 2);
	standby(2, 3, 1);
	hosts[3].used = 0; /* better by now, and not worth a copy */
	plan(0);
	hosts[2].takes = false; /* busy or suspect: nothing new */
	plan(0);
}

Test(standby, none_where_none_may_be)
{
	owner(1, 2);
	hosts[2].takes = hosts[3].takes = false;
	plan(0);
	hosts[1].takes = true; /* only its own */
	plan(0);
	hosts[0].takes = true; /* a steering host that placement names */
	plan(1);
	is_add(0, 1, 1, 0);
}

Test(standby, of_an_owner_that_owns_nothing_goes)
{
	owner(1, 2)->owns = false;
	standby(2, 3, 1);
	plan(1);
	is_remove(0, 2);
}

/* Whose service only observes. */
Test(standby, what_is_there_is_kept_but_none_is_the_first)
{
	owner(1, 2);
	owner(2, 3);
	standby(3, 3, 1);
	first = false;
	plan(0);
	hosts[2].stays = false;
	plan(1);
	is_add(0, 1, 4, 3);
}

Test(standby, without_protection_all_go)
{
	owner(1, 2);
	standby(2, 3, 1);
	protect = false;
	plan(1);
	is_remove(0, 2);
}

Test(standby, a_second_one_goes)
{
	owner(1, 2);
	standby(2, 3, 1);
	standby(3, 4, 1);
	plan(1);
	is_remove(0, 3);
}

Test(standby, from_a_host_to_be_emptied_it_is_rebuilt_elsewhere)
{
	owner(1, 2);
	standby(2, 3, 1);
	hosts[2].stays = hosts[2].takes = false;
	plan(1);
	is_add(0, 1, 4, 2);
	hosts[3].takes = false; /* no other place: better than none */
	plan(0);
}

Test(standby, one_that_failed_is_rebuilt_or_removed)
{
	owner(1, 2);
	standby(2, 3, 1)->failed = true;
	plan(1);
	is_add(0, 1, 4, 2);
	hosts[3].takes = hosts[2].takes = false;
	plan(1);
	is_remove(0, 2);
}

/*
 * An owner may come to its standby's host only by the configuration's
 * change: still they are parted.
 */
Test(standby, one_beside_its_owner_is_moved)
{
	owner(1, 2);
	standby(2, 2, 1);
	plan(1);
	is_add(0, 1, 3, 2);
}

/* It is what recovery takes over with: neither removed nor made anew. */
Test(standby, of_a_dead_owner_is_left_alone)
{
	owner(1, 2)->failed = true;
	standby(2, 3, 1);
	hosts[1].takes = hosts[1].stays = false;
	plan(0);
	members_n = 1;
	plan(0);
}

/* A standby that has taken over is an owner as any. */
Test(standby, protection_is_rebuilt_after_a_takeover)
{
	owner(2, 3);
	hosts[1].takes = hosts[1].stays = false;
	plan(1);
	is_add(0, 2, 4, 0);
}

/* The same input, the same plan, and after it nothing is left to do. */
Test(standby, a_plan_carried_out_is_an_end)
{
	for (uint16_t i = 0; i < 3; i++)
		owner(i + 1, i % 3 + 2);
	plan(3);
	for (size_t i = 0; i < 3; i++)
		standby((uint16_t)(10 + i), steps[i].host, steps[i].owner);
	plan(0);
}
