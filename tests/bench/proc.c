/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/bench/proc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/cleanup.h"
#include "lib/netns.h"

#define QUOTE_MAX 200 /* of what a program has printed, in an error */

struct start {
	const char *const *argv;
	int output_fd;
};

static int start_child(void *arg)
{
	const struct start *start = arg;

	if (dup2(start->output_fd, STDOUT_FILENO) < 0 || dup2(start->output_fd, STDERR_FILENO) < 0)
		return EXIT_FAILURE;
	execvp(start->argv[0], (char *const *)start->argv);
	fprintf(stderr, "can't run %s: %m\n", start->argv[0]);
	fflush(stderr);
	return 127;
}

int proc_start(int netns_fd, const char *const argv[], int output_fd, pid_t *ret_pid,
	       struct ff_error *err)
{
	struct start start = { argv, output_fd };
	pid_t pid;

	fflush(NULL);
	pid = netns_fork(netns_fd, start_child, &start);
	if (pid < 0)
		return error_set(err, pid, FF_CODE_INTERNAL, NULL, "can't run %s: %s", argv[0],
				 strerror(-pid));
	*ret_pid = pid;
	return 0;
}

static char *output_read(int fd)
{
	struct stat stat;
	char *text;

	if (fstat(fd, &stat) < 0)
		return NULL;
	text = malloc((size_t)stat.st_size + 1);
	if (!text || pread(fd, text, (size_t)stat.st_size, 0) != stat.st_size) {
		free(text);
		return NULL;
	}
	text[stat.st_size] = '\0';
	return text;
}

int proc_run(int netns_fd, const char *const argv[], char **ret_output, struct ff_error *err)
{
	_cleanup_close_ int fd = memfd_create("output", MFD_CLOEXEC);
	_cleanup_free_ char *output = NULL;
	int status = 0, r;
	pid_t pid;

	if (fd < 0)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "memfd_create: %m");
	r = proc_start(netns_fd, argv, fd, &pid, err);
	if (r)
		return r;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	output = output_read(fd);
	if (!output)
		return error_nomem(err);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return error_set(err, EPROTO, FF_CODE_INTERNAL, NULL, "%s failed: %.*s", argv[0],
				 QUOTE_MAX, output);
	if (ret_output)
		*ret_output = TAKE_PTR(output);
	return 0;
}
