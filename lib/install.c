/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "lib/install.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"

#define NF_DIR_BUILT	 "nf"		    /* beside the programs */
#define NF_DIR_INSTALLED "lib/flowferry/nf" /* beside the directory that they are in */

/* The directory of this program, without a slash at its end. */
static int program_dir(char ret_path[PATH_MAX])
{
	ssize_t len = readlink("/proc/self/exe", ret_path, PATH_MAX - 1);

	if (len < 0)
		return -errno;
	ret_path[len] = '\0';
	*strrchr(ret_path, '/') = '\0';
	return 0;
}

static int path_append(char path[PATH_MAX], const char *part)
{
	size_t len = strlen(path);

	if (len + strlen(part) + 2 > PATH_MAX)
		return -ENAMETOOLONG;
	path[len] = '/';
	strcpy(path + len + 1, part);
	return 0;
}

int install_program(const char *name, char ret_path[PATH_MAX])
{
	int r = program_dir(ret_path);

	if (r) /* no /proc */
		snprintf(ret_path, PATH_MAX, "%s", name);
	else
		r = path_append(ret_path, name);
	return r ? r : access(ret_path, X_OK) < 0 ? -errno : 0;
}

int install_nf_dir(char ret_path[PATH_MAX])
{
	int r = program_dir(ret_path);
	struct stat st;

	if (!r)
		r = path_append(ret_path, NF_DIR_BUILT);
	if (r || (stat(ret_path, &st) == 0 && S_ISDIR(st.st_mode)))
		return r;
	for (int up = 0; up < 2 && *ret_path; up++) /* "nf", "bin" */
		*strrchr(ret_path, '/') = '\0';
	return path_append(ret_path, NF_DIR_INSTALLED);
}
