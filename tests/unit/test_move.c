/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_move.c - the coordinator's state machine in every situation that can arise: walks through
 * all states of a move and its hosts (move_world.h), with ever more faults.
 */
#include "tests/unit/move_world.h"

TestSuite(move, .timeout = 300);

#define APART                                                                                      \
	{                                                                                          \
		MOVE_TARGET, MOVE_SOURCE, MOVE_STEERING                                            \
	}
#define LOCAL                                                                                      \
	{                                                                                          \
		MOVE_SOURCE | MOVE_TARGET, MOVE_STEERING                                           \
	}
#define MIXED                                                                                      \
	{                                                                                          \
		MOVE_TARGET, MOVE_SOURCE | MOVE_STEERING                                           \
	}
#define TWO                                                                                        \
	{                                                                                          \
		MOVE_TARGET, MOVE_SOURCE, MOVE_STEERING, MOVE_STEERING                             \
	}

Test(move, without_faults_it_completes)
{
	walk(&(struct layout){ "calm", 3, APART, true, 0, 0, 0, 0 });
	cr_assert_eq(walk_ended[MOVE_ROLLED_BACK] + walk_ended[MOVE_FAILED], 0);
	walk(&(struct layout){ "calm, two gateways", 4, TWO, true, 0, 0, 0, 0 });
	walk(&(struct layout){ "calm, loss-free", 4, TWO, false, 0, 0, 0, 0 });
	cr_assert_eq(walk_ended[MOVE_ROLLED_BACK] + walk_ended[MOVE_FAILED], 0);
}

Test(move, faults)
{
	walk(&(struct layout){ "two faults", 3, APART, true, 2, 0, 0, 0 });
	walk(&(struct layout){ "two faults, local", 2, LOCAL, true, 2, 0, 0, 0 });
	walk(&(struct layout){ "two faults, loss-free", 3, APART, false, 2, 0, 0, 0 });
}

Test(move, faults_where_the_source_steers)
{
	walk(&(struct layout){ "mixed", 2, MIXED, true, 2, 0, 0, 0 });
	walk(&(struct layout){ "mixed, loss-free", 2, MIXED, false, 2, 0, 0, 0 });
}

Test(move, faults_with_two_gateways)
{
	walk(&(struct layout){ "two gateways", 4, TWO, true, 1, 0, 0, 0 });
	walk(&(struct layout){ "two gateways, loss-free", 4, TWO, false, 1, 0, 0, 0 });
}

Test(move, cancelled)
{
	walk(&(struct layout){ "cancel", 3, APART, true, 1, 0, 1, 0 });
	walk(&(struct layout){ "cancel, loss-free", 3, APART, false, 1, 0, 1, 0 });
}

Test(move, restarted_at_every_step)
{
	walk(&(struct layout){ "restart", 3, APART, true, 1, 1, 0, 0 });
	walk(&(struct layout){ "restart, loss-free", 3, APART, false, 1, 1, 0, 0 });
	walk(&(struct layout){ "two restarts", 2, LOCAL, true, 0, 2, 1, 0 });
}

Test(move, a_host_dies_for_good)
{
	walk(&(struct layout){ "death", 3, APART, true, 0, 0, 0, 1 });
	walk(&(struct layout){ "death and restart", 3, APART, true, 0, 1, 0, 1 });
	walk(&(struct layout){ "death, two gateways", 4, TWO, true, 0, 0, 0, 1 });
	walk(&(struct layout){ "death, mixed", 2, MIXED, true, 0, 0, 0, 1 });
	walk(&(struct layout){ "two deaths", 3, APART, true, 0, 0, 0, 2 });
	walk(&(struct layout){ "death, and a fault", 3, APART, true, 1, 0, 0, 1 });
}
