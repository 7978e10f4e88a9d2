/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cmd_lab.h - the parts of the verb `lab`. */
#pragma once

#include "tools/cmd.h"

extern const struct command command_lab_up, command_lab_down;

/* Reports, with -o json as the API's error object too; returns CLI_FAILED. */
int lab_fail(const struct call *call, const struct ff_error *err);
/* 0, or the status to exit with: reported. */
int lab_root_check(const struct call *call);
/* What `lab status` shows; returns its exit status. */
int lab_status_show(const struct call *call);
