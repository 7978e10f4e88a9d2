/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_heir.c - a standby that has taken over from its owner: it keeps the flows that
 * are its own now, and no others.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "agent/heir.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "tests/prog/replica_rig.h"

static struct ff_error err;

TestSuite(heir, .init = replica_rig_init, .timeout = 60);

/*
 * The standby owns all but slots 0 - 1000, which a move has taken from its owner before that died.
 */
static struct table_owner inherited[] = { { 0, 1000, OTHER },
					  { 1001, RIG_SLOT_COUNT - 1, STANDBY } };

/* The owner's table is that of the standby's host from here on. */
static void table_follow(void)
{
	places[STANDBY].host = 1;
	agents[1].table = agents[0].table;
	agents[1].cpus = agents[0].cpus;
}

static void take_over(void)
{
	packets(0, FLOWS);
	round_run();
	standby_tell(0, STANDBY);
	table_follow();
}

/* A configuration: its tables, and what follows them. */
static void configure(struct table_desired *desired)
{
	desired->service = RIG_SERVICE_NO;
	desired->owners = inherited;
	desired->owners_count = ARRAY_SIZE(inherited);
	cr_assert_eq(table_sync(agents[1].table, desired, &err), 0, "%s", err.message);
	heirs_trim(&agents[1]);
}

/* It has the flows that a packet would find with it, and counts no others. */
static void heir_expect(const char *when)
{
	static struct copy copy;
	uint32_t owned = 0;

	copy_of(agents[1].instances[STANDBY], &copy);
	for (uint32_t i = 0; i < FLOWS; i++) {
		bool due = entry_of(i).here == STANDBY;

		owned += due;
		cr_expect_eq(copy.packets[i] != 0, due, "%s: flow %u", when, i);
	}
	cr_expect(owned > 0 && owned < FLOWS);
	state_rig_agree(agents[1].instances[STANDBY], owned);
}

Test(heir, keeps_what_it_owns)
{
	take_over();
	configure(&(struct table_desired){});
	heir_expect("moved before the takeover");
}

/* The target had committed, and nobody knew: that comes out after the takeover. */
Test(heir, loses_what_a_move_had_taken)
{
	take_over();
	owner_all(STANDBY);
	heirs_trim(&agents[1]);
	state_rig_agree(agents[1].instances[STANDBY], FLOWS);
	configure(&(struct table_desired){});
	heir_expect("moved after the takeover");
}

Test(heir, keeps_pins_and_rules)
{
	struct ff_flow_key pins[2] = {};
	uint16_t pin_owners[2] = { STANDBY, OTHER };

	take_over();
	for (uint32_t i = 0; i < FLOWS; i++) {
		struct ff_flow_key key = state_rig_key(i);
		bool moved = state_slot(&agents[1].instances[STANDBY]->state, &key) <= 1000;

		pins[!moved] = key; /* against its slot */
	}
	configure(
		&(struct table_desired){ .pins = pins, .pin_owners = pin_owners, .pins_count = 2 });
	heir_expect("a pin from it, and one to it");
}

/* State that nobody owns would be found by flows that come there some day. */
Test(heir, of_nothing_forgets_all)
{
	packets(0, FLOWS);
	round_run();
	standby_tell(0, OWNER);
	table_follow();
	heirs_trim(&agents[1]);
	state_rig_agree(agents[1].instances[STANDBY], 0);
}

/* Which is told of an owner, and never knew a standby. */
Test(heir, is_one_for_the_next_agent)
{
	packets(0, FLOWS);
	round_run();
	instance_free(agents[1].instances[STANDBY]);
	agents[1].instances[STANDBY] = state_rig_adopt("standby");
	memset(agents[1].standbys.list, 0, sizeof(agents[1].standbys.list));
	standby_tell(0, STANDBY);
	table_follow();
	configure(&(struct table_desired){});
	heir_expect("adopted");
}

/* All that was under way when it took over has ended: what comes later is its own. */
Test(heir, is_an_owner_as_any_in_the_end)
{
	struct ff_nf_control *control = agents[1].instances[STANDBY]->state.control;

	cr_assert_neq(control->heir_until_ns, 0);
	take_over();
	owner_all(STANDBY);
	heirs_trim(&agents[1]);
	cr_expect_gt(control->heir_until_ns, clock_ns());
	control->heir_until_ns = clock_ns();
	configure(&(struct table_desired){});
	heir_expect("for the last time");
	cr_expect_eq(control->heir_until_ns, 0);
}

/* Whether its flows come back, or stay, isn't known before its end. */
Test(heir, waits_for_moves)
{
	struct subject some = slots_of("0-1000");
	struct table_desired none = {};

	take_over();
	move_list(&some);
	agents[1].moves[3] = &moving; /* as one of its steering hosts */
	configure(&none);
	state_rig_agree(agents[1].instances[STANDBY], FLOWS);
	agents[1].moves[3] = NULL;
	agents[1].waiting[0] = &moving; /* and once it couldn't be taken up */
	heirs_trim(&agents[1]);
	state_rig_agree(agents[1].instances[STANDBY], FLOWS);
	agents[1].waiting[0] = NULL;
	heirs_trim(&agents[1]);
	heir_expect("the move has ended");
}
