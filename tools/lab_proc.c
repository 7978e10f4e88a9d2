/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The lab's daemons as processes. Each runs in a session of its own, so that a Ctrl-C meant for
 * `lab up` doesn't reach it, and is known by pid and start time, so that no other process that got
 * its pid later is taken for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/install.h"
#include "lib/netns.h"
#include "tools/lab.h"

#define STOP_TIMEOUT_MS 5000 /* a daemon asked to end has open requests to finish, no more */
#define KILL_TIMEOUT_MS 2000 /* a killed one is gone as soon as the kernel gets to it */

const char *lab_proc_name(const struct lab_host *host)
{
	return host->role == LAB_ORCHESTRATOR ? "flowferry-orchestrator" : "flowferry-agent";
}

void lab_proc_log_path(const struct lab_host *host, char *buf, size_t size)
{
	snprintf(buf, size, LAB_DIR "/%s.log", host->name);
}

void lab_proc_config_path(const struct lab_host *host, char *buf, size_t size)
{
	snprintf(buf, size, LAB_DIR "/%s.yaml", host->name);
}

void lab_proc_socket(const struct lab_host *host, char *buf, size_t size)
{
	if (host->role == LAB_ORCHESTRATOR)
		snprintf(buf, size, LAB_SOCKET);
	else
		snprintf(buf, size, LAB_RUN_DIR "/%s/agent.sock", host->name);
}

/* ---- identity ---------------------------------------------------------------------------------- */

/*
 * Field 22 of /proc/PID/stat, in clock ticks since boot. The second field, the program's name, may
 * hold spaces and parentheses: fields are counted from its last one. A zombie is no process any more.
 */
static int start_time_read(pid_t pid, uint64_t *ret_start_time)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[32], line[1024];
	unsigned long long start_time;
	const char *rest;
	char state;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file || !fgets(line, sizeof(line), file))
		return -ESRCH;
	rest = strrchr(line, ')');
	if (!rest || sscanf(rest,
			    ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d "
			    "%*d %*d %*d %*d %llu",
			    &state, &start_time) != 2)
		return -EPROTO;
	if (state == 'Z' || state == 'X')
		return -ESRCH;
	*ret_start_time = start_time;
	return 0;
}

bool lab_proc_alive(const struct lab_host *host)
{
	uint64_t start_time;

	return host->pid > 0 && start_time_read(host->pid, &start_time) == 0 &&
	       start_time == host->start_time;
}

/* ---- start ------------------------------------------------------------------------------------- */

struct launch {
	int gate[2]; /* a pipe: a byte comes once the parent has noted the pid */
	const char *program;
	const char *config;
	const char *log;
};

/* In the child, in the host's namespace. Returns only if the program can't be run. */
static int daemon_exec(void *arg)
{
	const struct launch *launch = arg;
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int log_fd = open(launch->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	sigset_t none;
	char go;

	/* end of file: the parent died before it noted this process, which then must not run */
	close(launch->gate[1]);
	if (null_fd < 0 || log_fd < 0 || read(launch->gate[0], &go, 1) != 1)
		return EXIT_FAILURE;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	if (setsid() < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(log_fd, STDOUT_FILENO) < 0 ||
	    dup2(log_fd, STDERR_FILENO) < 0)
		return EXIT_FAILURE;
	execl(launch->program, launch->program, "--config", launch->config, (char *)NULL);
	fprintf(stderr, "can't run %s: %m\n", launch->program);
	fflush(stderr);
	return 127;
}

static int daemon_launch(struct lab *lab, struct lab_host *host, struct launch *launch,
			 struct ff_error *err)
{
	_cleanup_close_ int netns_fd = netns_open(host->netns);
	_cleanup_close_ int gate_in = -1;
	pid_t pid;
	int r;

	if (netns_fd < 0)
		return error_set(err, netns_fd, FF_CODE_NOT_FOUND, "flowferry lab down",
				 "namespace %s is gone", host->netns);
	if (pipe2(launch->gate, O_CLOEXEC) < 0)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "no pipe: %m");
	gate_in = launch->gate[1];
	pid = netns_fork(netns_fd, daemon_exec, launch);
	close(launch->gate[0]);
	if (pid < 0)
		return error_set(err, pid, FF_CODE_INTERNAL, NULL, "can't start %s: %s",
				 launch->program, strerror(-pid));
	r = start_time_read(pid, &host->start_time);
	if (r)
		return error_set(err, r, FF_CODE_INTERNAL, NULL, "%s died at once",
				 launch->program);
	host->pid = pid;
	r = lab_save(lab, err);
	if (!r && write(gate_in, "", 1) != 1)
		r = error_set(err, errno, FF_CODE_INTERNAL, NULL, "can't start %s: %m",
			      launch->program);
	return r;
}

int lab_proc_start(struct lab *lab, struct lab_host *host, struct ff_error *err)
{
	char program[PATH_MAX], config[PATH_MAX], log[PATH_MAX];
	struct launch launch = { .program = program, .config = config, .log = log };
	int r;

	r = install_program(lab_proc_name(host), program);
	if (r)
		return error_set(err, r, FF_CODE_NOT_FOUND,
				 "build it, or install it beside flowferry", "can't run %s: %s",
				 program, strerror(-r));
	lab_proc_config_path(host, config, sizeof(config));
	lab_proc_log_path(host, log, sizeof(log));
	return daemon_launch(lab, host, &launch, err);
}

/* ---- stop -------------------------------------------------------------------------------------- */

/*
 * Sends a signal to the process if it is still the one that was started: once the descriptor is
 * open, the pid can't become another's between the check and the signal. -1: it is gone.
 */
static int proc_signal(const struct lab_host *host, int sig)
{
	_cleanup_close_ int fd = host->pid > 0 ? pidfd_open(host->pid, 0) : -1;

	if (fd < 0 || !lab_proc_alive(host) || pidfd_send_signal(fd, sig, NULL, 0) < 0)
		return -1;
	return TAKE_FD(fd);
}

static void procs_signal(struct lab_host *hosts, size_t count, int sig, uint64_t timeout_ms)
{
	uint64_t deadline = clock_ns() + timeout_ms * NSEC_PER_MSEC;
	int fds[LAB_HOSTS_MAX];

	for (size_t i = 0; i < count; i++)
		fds[i] = proc_signal(&hosts[i], sig);
	for (size_t i = 0; i < count; i++) {
		struct pollfd pollfd = { .fd = fds[i], .events = POLLIN };
		uint64_t now = clock_ns();

		if (fds[i] < 0)
			continue;
		while (now < deadline &&
		       poll(&pollfd, 1, (int)((deadline - now) / NSEC_PER_MSEC) + 1) < 0 &&
		       errno == EINTR)
			now = clock_ns();
		close(fds[i]);
	}
}

void lab_proc_stop(struct lab *lab, struct lab_host *host)
{
	struct lab_host *hosts = host ? host : lab->hosts;
	size_t count = host ? 1 : lab->n_hosts;

	/* the orchestrator among the first: it must not see agents vanish and act on it */
	for (size_t i = 0; i < count; i++)
		if (hosts[i].role == LAB_ORCHESTRATOR)
			procs_signal(&hosts[i], 1, SIGTERM, STOP_TIMEOUT_MS);
	procs_signal(hosts, count, SIGTERM, STOP_TIMEOUT_MS);
	procs_signal(hosts, count, SIGKILL, KILL_TIMEOUT_MS);
	for (size_t i = 0; i < count; i++) {
		if (hosts[i].pid > 0)
			waitpid(hosts[i].pid, NULL, WNOHANG); /* reaps those that are ours */
		hosts[i].pid = 0;
		hosts[i].start_time = 0;
	}
}
