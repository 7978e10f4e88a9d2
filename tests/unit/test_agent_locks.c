/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_agent_locks.c - what the last round of a move needs while its packets are held must not wait
 * for the agent's lock, which is held while an NF is loaded.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "agent/inventory.h"
#include "agent/move.h"

static struct agent_config config = { .host = "h", .state_dir = "/nonexistent" };
static struct ff_host_info info;
static struct datapath dp = { .host = &info };
static struct agent agent = { .config = &config,
			      .dp = &dp,
			      .lock = PTHREAD_MUTEX_INITIALIZER,
			      .moves_lock = PTHREAD_MUTEX_INITIALIZER,
			      .instances_lock = PTHREAD_RWLOCK_INITIALIZER };

static void busy(void)
{
	info.epoch = 5;
	pthread_mutex_lock(&agent.lock);
	pthread_rwlock_wrlock(&agent.instances_lock);
}

TestSuite(agent_locks, .init = busy, .timeout = 10);

Test(agent_locks, a_move_is_found)
{
	struct move move = { .agent = &agent, .id = "m", .refs = 1 };
	struct move *all[FF_LANES_MAX];
	struct ff_error err = { 0 };

	agent.moves[3] = &move;
	cr_assert_eq(move_get(&agent, "m", &err), &move);
	cr_expect_eq(move.refs, 2);
	cr_expect_null(move_get(&agent, "n", &err));
	cr_expect_eq(err.err, -ENOENT);
	move_all(&agent, all);
	cr_expect_eq(all[3], &move);
	cr_expect_null(all[0]);
}

Test(agent_locks, an_epoch_is_accepted_once_and_for_all)
{
	struct ff_error err = { 0 };

	cr_expect_eq(inventory_epoch(&agent, 5, &err), 0);
	cr_expect_eq(inventory_epoch(&agent, 4, &err), -ESTALE);
	cr_expect_str_eq(err.code, FF_CODE_STALE_EPOCH);
	cr_expect_eq(inventory_epoch(&agent, 7, &err), 0);
	cr_expect_eq(info.epoch, 7);
	cr_expect_eq(inventory_epoch(&agent, 5, &err), -ESTALE);
	cr_expect_eq(inventory_epoch(&agent, 1ull << 32, &err), -EINVAL);
	cr_expect_eq(info.epoch, 7);
}
