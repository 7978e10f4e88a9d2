/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/bench/isolate.h"

#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/cleanup.h"

#define EXIT_NOT_ISOLATED 125

static int loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		return -errno;
	request.ifr_flags |= IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

/* Private mounts over those that labs use. */
static int mounts_make(void)
{
	static const struct {
		const char *type, *where;
		unsigned long flags;
	} mounts[] = {
		{ "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC },
		{ "tmpfs", "/run", MS_NOSUID | MS_NODEV },
		{ "bpf", "/sys/fs/bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC },
	};

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++)
		if (mount("none", mounts[i].where, mounts[i].type, mounts[i].flags, NULL) < 0)
			return -errno;
	return 0;
}

static int signals_reset(void)
{
	sigset_t none;

	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * As the first process of its namespaces: runs `fn` in a child and reaps whoever becomes its own.
 */
static int init_main(int (*fn)(void *arg), void *arg)
{
	int status, r;
	pid_t pid, gone;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	r = mounts_make() ?: loopback_up();
	if (r) {
		fprintf(stderr, "flowferry-bench: can't make a suite's namespaces: %s\n",
			strerror(-r));
		return EXIT_NOT_ISOLATED;
	}
	pid = fork();
	if (pid == 0) {
		signals_reset();
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(fn(arg));
	}
	while ((gone = wait(&status)) != pid)
		if (gone < 0 && errno != EINTR)
			return EXIT_NOT_ISOLATED;
	if (WIFSIGNALED(status))
		fprintf(stderr, "flowferry-bench: a suite died: %s\n", strsignal(WTERMSIG(status)));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int isolate_start(int (*fn)(void *arg), void *arg, pid_t *ret_pid, struct ff_error *err)
{
	pid_t pid;

	fflush(NULL); /* or both would write what is buffered */
	pid = (pid_t)syscall(SYS_clone, CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | SIGCHLD, NULL,
			     NULL, NULL, 0);
	if (pid < 0)
		return error_set(err, errno, FF_CODE_INTERNAL,
				 errno == EPERM ? "run it as root" : NULL,
				 "can't make namespaces: %m");
	if (pid == 0)
		_exit(init_main(fn, arg));
	*ret_pid = pid;
	return 0;
}

static int ended_wait(pid_t pid, unsigned int timeout_ms)
{
	_cleanup_close_ int signals = -1, child = pidfd_open(pid, 0);
	struct pollfd fds[2];
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (signals < 0 || child < 0)
		return -errno;
	fds[0] = (struct pollfd){ .fd = child, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = signals, .events = POLLIN };
	do
		r = poll(fds, ARRAY_SIZE(fds), (int)timeout_ms);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	if (r == 0)
		return -ETIMEDOUT;
	return fds[1].revents ? -EINTR : 0;
}

int isolate_wait(pid_t pid, unsigned int timeout_ms, int *ret_status)
{
	int r = ended_wait(pid, timeout_ms);

	if (r)
		kill(pid, SIGKILL);
	while (waitpid(pid, ret_status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return r;
}
