/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * log.h - one line a message on stderr.
 *
 * Under systemd (JOURNAL_STREAM names our stderr) a line starts with the journal's `<N>` level and
 * nothing else; else with time and program. Each line is one write(2), so that lines of several
 * threads and processes never mix. lib/ itself logs at debug only: the outermost caller knows more.
 */
#pragma once

#include <stdbool.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/* @program is kept, not copied. Without a call: level info, no program name. Thread-safe. */
void log_init(const char *program, enum log_level level);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* "error", "warn", "info", "debug" -> *ret_level; -EINVAL for anything else. */
int log_level_parse(const char *text, enum log_level *ret_level);

/* A message longer than 2 KiB is cut. errno is kept, so %m works and a later check still does. */
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
