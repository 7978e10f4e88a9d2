/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Errors and log lines: signs, cutting, quoting oneself; levels, the journal's form, one line each.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/error.h"
#include "lib/log.h"

TestSuite(error);
TestSuite(log);
TestSuite(clock);

Test(error, is_set_and_returned)
{
	struct ff_error err = {};

	cr_expect_eq(error_set(&err, EBUSY, FF_CODE_OVERLAP, "wait", "moved by %s", "m1"), -EBUSY);
	cr_expect_eq(err.err, -EBUSY);
	cr_expect_str_eq(err.code, "overlap");
	cr_expect_str_eq(err.message, "moved by m1");
	cr_expect_str_eq(err.mend, "wait");
	cr_expect_eq(error_set(&err, -ENOENT, NULL, NULL, "gone"), -ENOENT);
	cr_expect_str_eq(err.code, "not-found");
	cr_expect_str_eq(err.mend, "");
	cr_expect_eq(error_set(NULL, EIO, NULL, NULL, "unread"), -EIO);
	cr_expect_eq(error_nomem(&err), -ENOMEM);
}

Test(error, quotes_itself_and_is_prefixed)
{
	struct ff_error err = {};

	error_prefix(&err, "nothing set");
	cr_expect_str_eq(err.message, "");
	error_set(&err, EINVAL, NULL, "mend it", "bad port");
	error_prefix(&err, "instance %s", "fw-1");
	cr_expect_str_eq(err.message, "instance fw-1: bad port");
	error_set(&err, err.err, err.code, err.mend, "service fw: %s", err.message);
	cr_expect_str_eq(err.message, "service fw: instance fw-1: bad port");
	cr_expect_str_eq(err.mend, "mend it");
	error_prefix(NULL, "nobody");
}

Test(error, cuts_between_characters)
{
	char text[1000];
	struct ff_error err = {};

	for (size_t lead = 0; lead < 4; lead++) { /* each way for 3-byte characters to fall */
		memset(text, 'a', lead);
		for (size_t i = lead; i + 3 < sizeof(text); i += 3)
			memcpy(text + i, "\xe2\x82\xac", 4);
		error_set(&err, EINVAL, text, text, "%s", text);
		cr_expect_geq(strlen(err.message), sizeof(err.message) - 6);
		cr_expect_lt(strlen(err.message), sizeof(err.message));
		cr_expect_eq((strlen(err.message) - lead) % 3, 0);
		cr_expect_eq((strlen(err.mend) - lead) % 3, 0);
		cr_expect_eq((strlen(err.code) - lead) % 3, 0);
	}
	memset(text, 0x80, sizeof(text) - 1); /* no character begins anywhere */
	text[sizeof(text) - 1] = '\0';
	error_set(&err, EINVAL, NULL, NULL, "%s", text);
	cr_expect_lt(strlen(err.message), sizeof(err.message));
}

/* Runs log_write() with stderr in a file, and gives what came there. */
static char *logged(bool journal, enum log_level level, const char *text)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600), kept = dup(STDERR_FILENO);
	char *line = calloc(1, 8192), stream[64];
	struct stat st;

	cr_assert(fd >= 0 && kept >= 0);
	fstat(fd, &st);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino + !journal);
	setenv("JOURNAL_STREAM", stream, 1);
	dup2(fd, STDERR_FILENO);
	log_init("prog", LOG_LEVEL_INFO);
	errno = ENOENT;
	log_write(level, "%s %m", text);
	cr_expect_eq(errno, ENOENT);
	dup2(kept, STDERR_FILENO);
	cr_assert_geq(pread(fd, line, 8191, 0), 0);
	close(fd);
	close(kept);
	return line;
}

Test(log, writes_one_line)
{
	_cleanup_free_ char *plain = logged(false, LOG_LEVEL_WARN, "a\nb\r<0>c");
	_cleanup_free_ char *journal = logged(true, LOG_LEVEL_ERROR, "x");
	_cleanup_free_ char *quiet = logged(true, LOG_LEVEL_DEBUG, "x");

	cr_expect(strstr(plain, " prog: warn: a b <0>c No such file or directory\n"), "%s", plain);
	cr_expect_eq(strchr(plain, '\n'), plain + strlen(plain) - 1);
	cr_expect_str_eq(journal, "<3>x No such file or directory\n");
	cr_expect_str_empty(quiet);
}

Test(log, cuts_long_lines)
{
	_cleanup_free_ char *text = calloc(1, 5001), *line = NULL;

	memset(text, 'x', 5000);
	line = logged(true, LOG_LEVEL_INFO, text);
	cr_expect_eq(strlen(line), 2047);
	cr_expect_str_eq(line + 2045, "x\n");
}

Test(log, reads_levels)
{
	enum log_level level = LOG_LEVEL_INFO;

	cr_expect_eq(log_level_parse("debug", &level), 0);
	cr_expect_eq(level, LOG_LEVEL_DEBUG);
	cr_expect_eq(log_level_parse("loud", &level), -EINVAL);
	cr_expect_eq(level, LOG_LEVEL_DEBUG);
}

Test(clock, goes_forward)
{
	uint64_t start = clock_ns();

	clock_sleep_ns(2 * NSEC_PER_MSEC);
	cr_expect_geq(clock_ns() - start, 2 * NSEC_PER_MSEC);
	cr_expect_gt(clock_wall_ms(), 1700000000000ull);
}
