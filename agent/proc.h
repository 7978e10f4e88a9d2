/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* proc.h - files of /proc that are read again and again, and what is in them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/json_text.h"

/* 64 KiB: /proc/stat of a host with some hundred CPUs, of which we want the beginning. */
#define PROC_TEXT_MAX 65536

struct proc_file {
	const char *path;
	int fd;
	char text[PROC_TEXT_MAX];
};

int proc_open(const char *path, struct proc_file **ret, struct ff_error *err);
void proc_close(struct proc_file *file); /* NULL is fine */

/* Reads it anew into file->text; what doesn't fit is cut off, at the end of a line. */
int proc_read(struct proc_file *file, struct ff_error *err);

/*
 * From text to the value of a part of a sample, as API.md has it. -EPROTO: that isn't what this kernel's
 * file looks like, with the line at which it was noticed; what has been written by then is of no use.
 */
int proc_cpu_parse(const char *text, uint64_t tick_ns, struct json_text *out, struct ff_error *err);
int proc_softnet_parse(const char *text, struct json_text *out, struct ff_error *err);
int proc_pressure_parse(const char *text, struct json_text *out, struct ff_error *err);
int proc_memory_parse(const char *text, struct json_text *out, struct ff_error *err);
