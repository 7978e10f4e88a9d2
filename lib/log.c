/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "lib/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"

#define LINE_MAX_BYTES 2048 /* below PIPE_BUF: one write(2) to a pipe stays in one piece */

static const struct {
	const char *name;
	int journal; /* syslog priority, as sd-daemon(3) wants it in front of a line */
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", 3 },
	[LOG_LEVEL_WARN] = { "warn", 4 },
	[LOG_LEVEL_INFO] = { "info", 6 },
	[LOG_LEVEL_DEBUG] = { "debug", 7 },
};

static _Atomic(const char *) log_program;
static atomic_int log_max = LOG_LEVEL_INFO;
static atomic_bool log_journal;

/*
 * The variable is inherited by every child, also by one whose stderr was redirected: so it must
 * name the very file that stderr is (systemd.exec(5)).
 */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	if (!stream || sscanf(stream, "%llu:%llu", &dev, &ino) != 2)
		return false;
	return !fstat(STDERR_FILENO, &st) && st.st_dev == dev && st.st_ino == ino;
}

void log_init(const char *program, enum log_level level)
{
	log_program = program;
	log_journal = stderr_is_journal();
	log_set_level(level);
}

void log_set_level(enum log_level level)
{
	log_max = level;
}

enum log_level log_get_level(void)
{
	return (enum log_level)log_max;
}

int log_level_parse(const char *text, enum log_level *ret_level)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		if (!strcmp(text, levels[i].name)) {
			*ret_level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

static size_t head_write(char *line, size_t size, enum log_level level)
{
	const char *program = log_program;
	struct timespec now;
	struct tm tm;
	size_t len;

	if (log_journal)
		return (size_t)snprintf(line, size, "<%d>", levels[level].journal);
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	len = strftime(line, size, "%H:%M:%S", &tm);
	len += (size_t)snprintf(line + len, size - len, ".%03ld ", now.tv_nsec / 1000000);
	if (program)
		len += (size_t)snprintf(line + len, size - len, "%.64s: ", program);
	if (level != LOG_LEVEL_INFO)
		len += (size_t)snprintf(line + len, size - len, "%s: ", levels[level].name);
	return len;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	int saved = errno;
	va_list args;
	ssize_t done;
	size_t len;
	int body;

	if ((int)level > log_max)
		return;
	len = head_write(line, sizeof(line) - 1, level);
	errno = saved; /* for %m */
	va_start(args, fmt);
	body = vsnprintf(line + len, sizeof(line) - 1 - len, fmt, args);
	va_end(args);
	if (body > 0)
		len += MIN((size_t)body, sizeof(line) - 2 - len);
	/* one message, one line: a line break from outside must not pass for a message of ours */
	for (size_t i = 0; i < len; i++)
		if (line[i] == '\n' || line[i] == '\r')
			line[i] = ' ';
	line[len++] = '\n';
	do
		done = write(STDERR_FILENO, line, len);
	while (done < 0 && errno == EINTR);
	errno = saved;
}
