/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Takes down what a lab is made of, however far it got: each step takes what is missing for done,
 * so that a `lab down` that died can be repeated.
 */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/netlink.h"
#include "lib/netns.h"
#include "tools/lab.h"

#define FTW_FDS_MAX 16

/* ---- network ----------------------------------------------------------------------------------- */

int lab_net_check(const struct lab *lab, struct ff_error *err)
{
	for (size_t i = 0; i < lab->n_hosts; i++) {
		_cleanup_close_ int fd = netns_open(lab->hosts[i].netns);

		if (fd >= 0)
			return error_set(err, EEXIST, FF_CODE_EXISTS,
					 "see 'ip netns pids' and 'ip netns delete'",
					 "namespace %s exists, and no lab has made it",
					 lab->hosts[i].netns);
	}
	return 0;
}

/* Links first: a namespace in which somebody's program still runs would keep them. */
static void links_delete(const struct lab *lab, const struct lab_host *host)
{
	_cleanup_netlink_ struct nl_sock *nl = NULL;
	_cleanup_close_ int fd = netns_open(host->netns);

	if (fd < 0 || netlink_open_in(fd, &nl))
		return;
	for (size_t i = 0; i < lab->n_hosts; i++)
		netlink_link_delete(nl, lab->hosts[i].name);
}

static void net_down(const struct lab *lab)
{
	/* of every pair, one end is in one of these and has the name of the other end's host */
	for (size_t i = 0; i < lab->n_hosts; i++)
		if (lab->hosts[i].role == LAB_FABRIC || lab->hosts[i].role == LAB_CLIENT ||
		    lab->hosts[i].role == LAB_SERVER)
			links_delete(lab, &lab->hosts[i]);
	for (size_t i = 0; i < lab->n_hosts; i++)
		netns_delete(lab->hosts[i].netns);
}

/* ---- files ------------------------------------------------------------------------------------- */

static int entry_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	remove(path); /* what can't be removed stays, and so does its directory */
	return 0;
}

static void tree_remove(const char *path)
{
	nftw(path, entry_remove, FTW_FDS_MAX, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static int not_log_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *dot = strrchr(path, '.');

	return dot && !strcmp(dot, ".log") ? 0 : entry_remove(path, st, type, ftw);
}

static void files_remove(const struct lab *lab)
{
	char path[sizeof(LAB_RUN_DIR) + LAB_NAME_MAX];

	for (size_t i = 0; i < lab->n_hosts; i++) {
		if (!lab_host_has_agent(&lab->hosts[i]))
			continue;
		snprintf(path, sizeof(path), LAB_RUN_DIR "/%s", lab->hosts[i].name);
		tree_remove(path);
	}
	unlink(LAB_SOCKET);
	/* the state goes last of all: until then a `lab down` that dies can be repeated */
	tree_remove(LAB_PKI_DIR);
	if (lab->options.keep_logs)
		nftw(LAB_DIR, not_log_remove, FTW_FDS_MAX, FTW_DEPTH | FTW_PHYS);
	else
		tree_remove(LAB_DIR);
}

/* ---- bpffs ------------------------------------------------------------------------------------- */

/* Has nobody pinned anything? The kernel's own iterators (maps.debug, progs.debug) don't count. */
static bool bpffs_is_unused(void)
{
	const struct dirent *entry;
	DIR *dir = opendir(LAB_BPFFS);
	bool unused = dir;

	while (unused && (entry = readdir(dir))) {
		const char *dot = strrchr(entry->d_name, '.');

		unused = entry->d_name[0] == '.' || (dot && !strcmp(dot, ".debug"));
	}
	if (dir)
		closedir(dir);
	return unused;
}

static void bpffs_clean(const struct lab *lab)
{
	char path[sizeof(LAB_PIN_DIR) + LAB_NAME_MAX];

	if (!lab_bpffs_is_mounted())
		return;
	for (size_t i = 0; i < lab->n_hosts; i++) {
		snprintf(path, sizeof(path), LAB_PIN_DIR "/%s", lab->hosts[i].name);
		tree_remove(path);
	}
	rmdir(LAB_PIN_DIR); /* unless something else is pinned there */
	if (lab->mounted_bpffs && bpffs_is_unused())
		umount(LAB_BPFFS);
}

void lab_clean(struct lab *lab)
{
	lab_proc_stop(lab, NULL);
	bpffs_clean(lab);
	net_down(lab);
	files_remove(lab);
}
