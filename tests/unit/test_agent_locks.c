/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_agent_locks.c - what the last round of a move needs while its packets are held must not wait
 * for the agent's lock, which is held while an NF is loaded; and nobody waits for a step of a move, or for a
 * sender of state, that hangs.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
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

/* The end of a move says so; what is older has a table that knows nothing of it. */
Test(agent_locks, an_end_outdates_configurations)
{
	cr_expect(inventory_outdate(&agent, 8, 5));
	cr_expect(!inventory_outdate(&agent, 7, 5), "an end that was long under way");
	cr_expect(!inventory_outdate(&agent, 9, 4));
	cr_expect(inventory_outdate(&agent, 8, 5), "said again");
	cr_expect_eq(info.config_version, 8);
	cr_expect(inventory_outdate(&agent, 2, 6), "another orchestrator counts anew");
	cr_expect_eq(info.config_version, 2);
	cr_expect_eq(info.config_epoch, 6);
}

static const struct http_route upload_routes[] = {
	{ "POST", "/v1/moves/:id/state", NULL, &target_state_upload, 0 },
	{ NULL, NULL, NULL, NULL, 0 },
};

static struct move hanging = { .agent = &agent,
			       .id = "m",
			       .refs = 1,
			       .is_target = true,
			       .target_phase = PHASE_PREPARED,
			       .ends = PTHREAD_MUTEX_INITIALIZER,
			       .lock = PTHREAD_MUTEX_INITIALIZER };
static char dir[] = "/tmp/ff-locks-XXXXXX", address[64];

/* The agent has the move, and takes its state. */
static void serve(void)
{
	struct ff_error err = { 0 };

	clock_cond_init(&hanging.changed);
	agent.moves[3] = &hanging;
	cr_assert(mkdtemp(dir));
	snprintf(address, sizeof(address), "%s/s", dir);
	cr_assert_eq(http_server_new(upload_routes, &agent, &agent.server, &err), 0);
	cr_assert_eq(http_server_listen_unix(agent.server, address, &err), 0, "%s", err.message);
}

static void serve_no_longer(void)
{
	http_server_free(agent.server);
	rmdir(dir);
}

/* Its prepare hangs, or died: who sends state early is told in time to go on without. */
Test(agent_locks, an_upload_waits_for_a_prepare_but_not_for_ever)
{
	struct http_upload upload = {
		.path = "/v1/moves/m/state", .data = "x", .len = 1, .timeout_ms = 30000
	};
	struct http_client *client;
	struct ff_error err = { 0 };

	serve();
	cr_assert_eq(http_client_new(address, NULL, &client, &err), 0);
	cr_expect_eq(http_upload(client, &upload, NULL, NULL, &err), -EPERM);
	cr_expect(strstr(err.message, "not ready yet"), "%s", err.message);
	cr_expect_eq(hanging.receiving, 0);
	http_client_free(client);
	serve_no_longer();
}

static unsigned int receiving(void)
{
	unsigned int count;

	pthread_mutex_lock(&hanging.lock);
	count = hanging.receiving;
	pthread_mutex_unlock(&hanging.lock);
	return count;
}

/* Its agent is stopped, its host is well: the connection stays. */
Test(agent_locks, a_sender_that_hangs_is_hung_up_on)
{
	static const char part[] = "POST /v1/moves/m/state HTTP/1.1\r\nHost: h\r\n"
				   "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n";
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct ff_error err = { 0 };
	char byte;

	hanging.prepared = true;
	serve();
	strcpy(to.sun_path, address);
	cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	cr_assert_eq(write(fd, part, strlen(part)), (ssize_t)strlen(part));
	while (!receiving())
		clock_sleep_ns(NSEC_PER_MSEC);
	cr_expect_eq(target_wait(&hanging, &err), 0, "%s", err.message);
	cr_expect_eq(receiving(), 0);
	cr_expect_null(hanging.stream);
	cr_expect_leq(read(fd, &byte, 1), 0, "not answered");
	close(fd);
	serve_no_longer();
}

/* What it has sent is on its way into the maps, where it hangs. */
Test(agent_locks, an_end_waits_for_what_is_written_but_not_for_ever)
{
	struct ff_error err = { 0 };

	clock_cond_init(&hanging.changed);
	hanging.receiving = 1;
	cr_expect_eq(target_wait(&hanging, &err), -EAGAIN);
	cr_expect(strstr(err.message, "still writes"), "%s", err.message);
}

/* What it had committed goes with it, when it is asked again: it takes back its phase before it waits. */
Test(agent_locks, an_end_that_is_forced_stays_so)
{
	struct ff_error err = { 0 };

	clock_cond_init(&hanging.changed);
	hanging.prepared = true;
	hanging.target_phase = PHASE_COMMITTED;
	hanging.instance_to = (struct instance *)&hanging; /* nobody looks */
	hanging.receiving = 1;
	cr_expect_eq(move_abort(&hanging, false, &err), -EBUSY);
	cr_expect_not(hanging.forced);
	cr_expect_eq(move_abort(&hanging, true, &err), -EAGAIN);
	cr_expect_eq(hanging.target_phase, PHASE_RETURNED);
	cr_expect(hanging.forced);
}

/* As on a disk that doesn't answer: nobody who comes after it hangs as well. */
Test(agent_locks, a_prepare_that_hangs)
{
	json_t *body = json_object(), *reply = NULL;
	struct ff_error err = { 0 };

	clock_cond_init(&hanging.changed);
	hanging.working = 1;
	agent.moves[3] = &hanging;
	cr_expect_eq(move_prepare(&agent, "m", body, &reply, &err), -EAGAIN);
	cr_expect(strstr(err.message, "still being prepared on host h"), "%s", err.message);
	cr_expect_null(reply);
	cr_expect_eq(move_step_begin(&hanging, &err), -EAGAIN);
	cr_expect_eq(move_abort(&hanging, false, &err), -EAGAIN);
	cr_expect(strstr(err.message, "the preparation of move m"), "%s", err.message);
	cr_expect_not(hanging.ending, "it may be asked again");
	cr_expect_eq(hanging.working, 1);
	json_decref(body);
}

/* Whoever has waited for that finds no lanes. */
Test(agent_locks, a_prepare_that_fails)
{
	json_t *body = json_object(), *reply = NULL;
	struct ff_error err = { 0 };

	clock_cond_init(&hanging.changed);
	hanging.failed = true;
	agent.moves[3] = &hanging;
	cr_expect_eq(move_prepare(&agent, "m", body, &reply, &err), -EAGAIN);
	cr_expect(strstr(err.message, "could not be prepared on host h"), "%s", err.message);
	cr_expect_null(reply);
	cr_expect_eq(move_step_begin(&hanging, &err), -EAGAIN);
	cr_expect_eq(hanging.working, 0);
	json_decref(body);
}
