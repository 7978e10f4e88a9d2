/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_datapath.c - a data path that is taken up, and one that another version of the agent has pinned. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "agent/datapath.h"
#include "tests/prog/foreign.h"

#define MOUNT_POINT "/sys/fs/bpf" /* another one in the test's own mount namespace */
#define PIN_DIR	    MOUNT_POINT "/flowferry/h"

static struct ff_error err;

static void init(void)
{
	cr_assert_eq(unshare(CLONE_NEWNS), 0, "these tests need root: %s", strerror(errno));
	cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	cr_assert_eq(mount("bpf", MOUNT_POINT, "bpf", 0, NULL), 0, "bpffs: %s", strerror(errno));
}

TestSuite(datapath, .init = init);

static struct datapath *opened(void)
{
	struct datapath *dp = NULL;

	cr_assert_eq(datapath_open(PIN_DIR, &dp, &err), 0, "%s", err.message);
	return dp;
}

static void foreign_expect(const char *says)
{
	struct datapath *dp = NULL;

	cr_assert_eq(datapath_open(PIN_DIR, &dp, &err), -EPROTO, "%s", err.message);
	cr_expect(strstr(err.message, says), "%s", err.message);
	cr_expect(strstr(err.mend, "the agent of before"), "%s", err.mend);
}

Test(datapath, what_is_pinned_is_taken_up)
{
	struct datapath *dp = opened();

	cr_expect_eq(dp->host->abi, FF_ABI_VERSION);
	dp->host->epoch = 7;
	datapath_close(dp);
	dp = opened();
	cr_expect_eq(dp->host->epoch, 7);
	datapath_close(dp);
}

/* Of the same size: only its types tell. */
Test(datapath, another_layout_is_left_alone)
{
	datapath_close(opened());
	foreign_pin(PIN_DIR "/maps/jobs", "ff_job");
	foreign_expect("maps/jobs was pinned by another version of the agent, with another struct "
		       "ff_job");
}

Test(datapath, another_meaning_is_left_alone)
{
	struct datapath *dp = opened();

	dp->host->abi--;
	datapath_close(dp);
	foreign_expect("another version of the agent");
}
