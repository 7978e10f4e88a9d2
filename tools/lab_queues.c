/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lab_queues.c - each CPU sends by a queue of its own (XPS), as with a card.
 *
 * A redirected frame takes the queue of the CPU that redirects it. What a local stack sends takes one
 * by its hash, unless told otherwise: then one CPU's packet wakes another's queue, which is emptied
 * on the first CPU for as long as packets come; and overflows when that one is busy.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/netns.h"
#include "tools/lab.h"

DEFINE_CLEANUP(DIR *, closedir);

#define SYS_NET "/sys/class/net"

/* A mask of CPUs as sysfs takes it: words of 32 bits, the highest first. */
static void mask_format(unsigned int cpu, char *buf, size_t size)
{
	int len = snprintf(buf, size, "%x", 1u << cpu % 32);

	for (unsigned int word = 0; word < cpu / 32 && (size_t)len < size; word++)
		len += snprintf(buf + len, size - (size_t)len, ",00000000");
}

static int queue_pin(const char *link, unsigned int queue)
{
	char path[NAME_MAX + 64], mask[64];
	_cleanup_close_ int fd = -1;

	snprintf(path, sizeof(path), SYS_NET "/%s/queues/tx-%u/xps_cpus", link, queue);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno; /* -ENOENT: no such queue, or a kernel without XPS */
	mask_format(queue, mask, sizeof(mask));
	return write(fd, mask, strlen(mask)) < 0 ? -errno : 0;
}

/* In a child of its own: the sysfs of a network namespace is seen where it's mounted in there. */
static int queues_pin(void *arg)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	const struct dirent *entry;
	int r = 0;

	(void)arg;
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("sysfs", "/sys", "sysfs", 0, NULL))
		return errno;
	dir = opendir(SYS_NET);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || !strcmp(entry->d_name, "lo"))
			continue;
		for (unsigned int queue = 0; !r; queue++)
			r = queue_pin(entry->d_name, queue);
		r = r == -ENOENT || r == -EINVAL ? 0 : r; /* a single queue is everybody's */
		if (r)
			return -r; /* as an exit status */
	}
	return dir ? 0 : errno;
}

int lab_queues_pin(int netns_fd)
{
	pid_t pid = netns_fork(netns_fd, queues_pin, NULL);
	int status;

	if (pid < 0)
		return pid;
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}
