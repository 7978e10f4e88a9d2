/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * install.h - where the parts of flowferry lie: beside the running program in a build directory,
 * and under the same prefix, whichever it is, once they are installed.
 */
#pragma once

#include <limits.h>

/*
 * The program `name` beside this one. -errno: it can't be run, and
 * ret_path says where it should be.
 */
int install_program(const char *name, char ret_path[PATH_MAX]);
/* The directory of NF objects; where it should be, if there is none. */
int install_nf_dir(char ret_path[PATH_MAX]);
