/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_replica_moves.c - rounds between an instance and its standby while moves take flows, bring
 * them, or are aborted.
 */
#include <criterion/criterion.h>

#include "tests/prog/replica_rig.h"

TestSuite(replica_moves, .init = replica_rig_init, .timeout = 60);

/* Flows come and go by moves: before, meanwhile and after, and back again when one is aborted. */
Test(replica_moves, follows_moves)
{
	struct subject some = slots_of("0-1000");

	packets(0, FLOWS);
	round_run();
	/* a move takes hold: its own lane logs, and the standby keeps what it has */
	edit(&some, OWNER, FF_STEER_LOG);
	packets(0, FLOWS);
	round_run();
	edit(&some, OWNER, 0);
	round_run();
	equal_expect("a move was aborted");
	packets(0, FLOWS);
	round_run();
	equal_expect("changes after it");

	edit(&some, OWNER, FF_STEER_LOG);
	edit(&some, 0, 0);
	round_run();
	equal_expect("they are gone");

	edit(&some, OWNER, 0);
	packets(0, FLOWS);
	edit(&some, 0, 0);
	round_run();
	equal_expect("they are gone right after they have changed");

	edit(&some, OWNER, FF_STEER_PARK);
	round_run();
	edit(&some, OWNER, 0);
	packets(0, FLOWS);
	round_run();
	equal_expect("they have come back");
	packets(0, FLOWS);
	round_run();
	equal_expect("and go on");
}

/*
 * What a move holds isn't copied, and the copy isn't told to be newer than that; it is all that is
 * left should the source die, so it stays until the target is the owner.
 */
Test(replica_moves, what_a_move_holds_stays_as_old_as_it_is)
{
	struct subject some = slots_of("0-1000");
	static struct copy copy;
	uint64_t synced_ns;

	packets(0, FLOWS);
	round_run();
	synced_ns = replica.synced_ns;
	move_list(&some);
	edit(&some, OWNER, FF_STEER_LOG);
	packets(0, FLOWS);
	round_run();
	round_run();
	cr_expect_eq(replica.synced_ns, synced_ns);
	edit(&some, 0, 0);
	round_run();
	cr_expect_eq(replica.synced_ns, synced_ns);
	copy_of(agents[1].instances[STANDBY], &copy);
	cr_expect_eq(copy.count, FLOWS, "handed over, but nobody knows whether it has arrived");

	agents[0].moves[3] = NULL;
	round_run();
	cr_expect_gt(replica.synced_ns, synced_ns);
	equal_expect("it has");
}

/* All slots are held, and given up: that isn't what `all` means. */
Test(replica_moves, a_move_of_everything)
{
	struct subject everything = slots_of("0-4095");
	static struct copy copy;
	uint64_t synced_ns;

	packets(0, FLOWS);
	round_run();
	synced_ns = replica.synced_ns;
	move_list(&everything);
	edit(&everything, OWNER, FF_STEER_LOG);
	edit(&everything, 0, 0);
	round_run();
	cr_expect_eq(replica.synced_ns, synced_ns);
	copy_of(agents[1].instances[STANDBY], &copy);
	cr_expect_eq(copy.count, FLOWS);
	edit(&everything, OWNER, 0); /* and taken back */
	packets(0, FLOWS);
	agents[0].moves[3] = NULL;
	round_run();
	cr_expect_gt(replica.synced_ns, synced_ns);
	equal_expect("back");
}

/* Once everything is sent, what a move holds is as new as the rest. */
Test(replica_moves, everything_is_sent_under_a_move)
{
	struct subject some = slots_of("0-1000");
	uint64_t synced_ns;

	packets(0, FLOWS);
	round_run();
	move_list(&some);
	edit(&some, OWNER, FF_STEER_LOG);
	packets(0, FLOWS);
	synced_ns = replica.synced_ns;
	replica.all = true;
	round_run();
	cr_expect_gt(replica.synced_ns, synced_ns);
	equal_expect("all");
	agents[0].moves[3] = NULL;
}
