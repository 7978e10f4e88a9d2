/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_agent_locks.c - what the last round of a move needs while its packets are held must not wait
 * for the agent's lock, which is held while an NF is loaded.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/inventory.h"
#include "agent/move.h"
#include "agent/target.h"
#include "lib/clock.h"

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

TestSuite(agent_locks, .init = busy, .timeout = 60);

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

static const struct http_route upload_routes[] = {
	{ "POST", "/v1/moves/:id/state", NULL, &target_state_upload, 0 },
	{ NULL, NULL, NULL, NULL, 0 },
};

/* Its prepare hangs, or died: who sends state early is told in time to go on without. */
Test(agent_locks, an_upload_waits_for_a_prepare_but_not_for_ever)
{
	struct move move = { .agent = &agent,
			     .id = "m",
			     .refs = 1,
			     .is_target = true,
			     .target_phase = PHASE_PREPARED,
			     .lock = PTHREAD_MUTEX_INITIALIZER };
	struct http_upload upload = {
		.path = "/v1/moves/m/state", .data = "x", .len = 1, .timeout_ms = 30000
	};
	char dir[] = "/tmp/ff-locks-XXXXXX", socket[64];
	struct http_client *client;
	struct ff_error err = { 0 };

	clock_cond_init(&move.changed);
	agent.moves[3] = &move;
	cr_assert(mkdtemp(dir));
	snprintf(socket, sizeof(socket), "%s/s", dir);
	cr_assert_eq(http_server_new(upload_routes, &agent, &agent.server, &err), 0);
	cr_assert_eq(http_server_listen_unix(agent.server, socket, &err), 0, "%s", err.message);
	cr_assert_eq(http_client_new(socket, NULL, &client, &err), 0);
	cr_expect_eq(http_upload(client, &upload, NULL, NULL, &err), -EPERM);
	cr_expect(strstr(err.message, "not ready yet"), "%s", err.message);
	cr_expect_eq(move.receiving, 0);
	http_client_free(client);
	http_server_free(agent.server);
	rmdir(dir);
}
