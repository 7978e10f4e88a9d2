/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/netns.h"

/* not /proc/self: that is the process's first thread, whatever namespace this one is in */
#define NETNS_CURRENT "/proc/thread-self/ns/net"

static int netns_path(const char *name, char path[PATH_MAX])
{
	/* iproute2's rule: one path component, so that no name leaves the directory */
	if (!*name || strlen(name) > NAME_MAX || strchr(name, '/') || !strcmp(name, ".") ||
	    !strcmp(name, ".."))
		return -EINVAL;
	snprintf(path, PATH_MAX, NETNS_DIR "/%s", name);
	return 0;
}

/*
 * The directory must be a shared mount: then an unmount reaches the copies in other processes'
 * mount namespaces too, which would keep a deleted namespace alive.
 */
static int netns_dir_prepare(void)
{
	if (mkdir(NETNS_DIR, 0755) < 0 && errno != EEXIST)
		return -errno;
	if (mount("", NETNS_DIR, "none", MS_SHARED | MS_REC, NULL) == 0)
		return 0;
	if (errno != EINVAL) /* EINVAL: not a mount point yet */
		return -errno;
	if (mount(NETNS_DIR, NETNS_DIR, "none", MS_BIND | MS_REC, NULL) < 0)
		return -errno;
	if (mount("", NETNS_DIR, "none", MS_SHARED | MS_REC, NULL) < 0)
		return -errno;
	return 0;
}

static int netns_bind_new(const char *path)
{
	_cleanup_close_ int back = netns_open_current();
	int err = 0;

	if (back < 0)
		return back;
	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	if (mount(NETNS_CURRENT, path, "none", MS_BIND, NULL) < 0)
		err = -errno;
	if (setns(back, CLONE_NEWNET) < 0)
		abort(); /* to go on in a wrong namespace would change somebody else's network */
	return err;
}

int netns_create(const char *name)
{
	char path[PATH_MAX];
	int err, fd;

	err = netns_path(name, path);
	if (err)
		return err;
	err = netns_dir_prepare();
	if (err)
		return err;
	fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	close(fd);
	err = netns_bind_new(path);
	if (err)
		unlink(path);
	return err;
}

int netns_delete(const char *name)
{
	char path[PATH_MAX];
	int err = netns_path(name, path);

	if (err)
		return err;
	/* EINVAL: a plain file, left by a netns_create() that died half-way */
	if (umount2(path, MNT_DETACH) < 0 && errno != EINVAL)
		return -errno;
	return unlink(path) < 0 ? -errno : 0;
}

int netns_open(const char *name)
{
	char path[PATH_MAX];
	int err, fd;

	err = netns_path(name, path);
	if (err)
		return err;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int netns_open_current(void)
{
	int fd = open(NETNS_CURRENT, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int netns_enter(int netns_fd)
{
	return setns(netns_fd, CLONE_NEWNET) < 0 ? -errno : 0;
}

int netns_call(int netns_fd, int (*fn)(void *arg), void *arg)
{
	_cleanup_close_ int back = netns_open_current();
	int err, result;

	if (back < 0)
		return back;
	err = netns_enter(netns_fd);
	if (err)
		return err;
	result = fn(arg);
	if (setns(back, CLONE_NEWNET) < 0)
		abort(); /* see netns_bind_new() */
	return result;
}

pid_t netns_fork(int netns_fd, int (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();
	int err;

	if (pid < 0)
		return -errno;
	if (pid > 0)
		return pid;
	err = netns_enter(netns_fd);
	_exit(err ? EXIT_FAILURE : fn(arg));
}
