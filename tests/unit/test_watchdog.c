/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_watchdog.c - who waits for the agent's lock tells systemd of the work for which it is held, and of
 * nothing else: a lock that nobody gets on with is a deadlock.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/watchdog.h"

#define SOON_MS	 5000
#define NEVER_MS (3 * WATCHDOG_LOOK_NS / NSEC_PER_MSEC)

static struct agent agent = { .lock = PTHREAD_MUTEX_INITIALIZER };
static int systemd = -1;

static void listen_as_systemd(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/ff-watchdog-XXXXXX";

	cr_assert(mkdtemp(dir));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", dir);
	systemd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(systemd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
}

static void leave(void)
{
	char *path = strdup(getenv("NOTIFY_SOCKET"));

	unlink(path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
	free(path);
	close(systemd);
}

TestSuite(watchdog, .init = listen_as_systemd, .fini = leave, .timeout = 30);

static bool is_fed(uint64_t within_ms)
{
	struct timeval within = { .tv_sec = (time_t)(within_ms / 1000),
				  .tv_usec = (suseconds_t)(within_ms % 1000 * 1000) };
	char text[64] = "";

	setsockopt(systemd, SOL_SOCKET, SO_RCVTIMEO, &within, sizeof(within));
	if (recv(systemd, text, sizeof(text) - 1, 0) < 0)
		return false;
	cr_assert_str_eq(text, "WATCHDOG=1");
	return true;
}

static void *housekeep(void *arg)
{
	watchdog_lock(arg);
	pthread_mutex_unlock(&agent.lock);
	return NULL;
}

Test(watchdog, is_fed_while_the_lock_is_worked_under_and_no_longer)
{
	pthread_t keeper;

	pthread_mutex_lock(&agent.lock);
	cr_assert_eq(pthread_create(&keeper, NULL, housekeep, &agent), 0);
	for (int i = 0; i < 4; i++) {
		watchdog_step(&agent);
		cr_expect(is_fed(SOON_MS), "after step %d", i);
	}
	cr_expect_not(is_fed(NEVER_MS), "of a deadlock");
	pthread_mutex_unlock(&agent.lock);
	cr_assert_eq(pthread_join(keeper, NULL), 0);
}
