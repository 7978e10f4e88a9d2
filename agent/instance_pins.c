/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <bpf/bpf.h>
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/instance.h"
#include "agent/instance_pins.h"

bool instance_name_ok(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_-";
	size_t len = strlen(name);

	return len > 0 && len < FF_NAME_MAX && strspn(name, allowed) == len;
}

char *pin_path(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

int pin_open(const char *dir, const char *name, int *ret_fd, struct ff_error *err)
{
	_cleanup_free_ char *path = pin_path(dir, name);
	int fd;

	if (!path)
		return error_nomem(err);
	fd = bpf_obj_get(path);
	if (fd == -ENOENT)
		return -ENOENT;
	if (fd < 0)
		return error_set(err, -fd, FF_CODE_INTERNAL, "run the agent as root",
				 "can't open %s: %s", path, strerror(-fd));
	*ret_fd = fd;
	return 0;
}

int map_info(int fd, struct bpf_map_info *ret_info)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);
	int r = bpf_obj_get_info_by_fd(fd, &info, &len);

	if (r == 0)
		*ret_info = info;
	return r;
}

static void cleanup_closedir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

int pins_remove(const char *path, struct ff_error *err)
{
	_cleanup_(cleanup_closedir) DIR *dir = opendir(path);
	struct dirent *entry;

	if (!dir && errno == ENOENT)
		return 0;
	if (!dir)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "can't open %s: %s", path,
				 strerror(errno));
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.') /* bpffs has no others than . and .. */
			continue;
		if (unlinkat(dirfd(dir), entry->d_name, 0) < 0 && errno != ENOENT)
			return error_set(err, errno, FF_CODE_INTERNAL, NULL,
					 "can't remove %s/%s: %s", path, entry->d_name,
					 strerror(errno));
	}
	if (rmdir(path) < 0 && errno != ENOENT)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "can't remove %s: %s", path,
				 strerror(errno));
	return 0;
}

int pins_create(const char *pin_dir, const char *name, char **ret_path, struct ff_error *err)
{
	_cleanup_free_ char *parent = pin_path(pin_dir, "instances");
	_cleanup_free_ char *path = parent ? pin_path(parent, name) : NULL;
	_cleanup_free_ char *whole = path ? pin_path(path, PIN_ABOUT) : NULL;
	int r;

	if (!whole)
		return error_nomem(err);
	if (access(whole, F_OK) == 0)
		return error_set(err, EEXIST, FF_CODE_EXISTS, "adopt it, or remove it first",
				 "instance %s is pinned in %s already", name, path);
	/* what an agent left behind that died while it was pinning */
	r = pins_remove(path, err);
	if (r < 0)
		return r;
	if ((mkdir(parent, 0700) < 0 && errno != EEXIST) || mkdir(path, 0700) < 0)
		return error_set(err, errno, FF_CODE_INTERNAL,
				 "mount bpffs: mount -t bpf bpf /sys/fs/bpf", "can't make %s: %s",
				 path, strerror(errno));
	*ret_path = TAKE_PTR(path);
	return 0;
}

int instance_purge(const char *pin_dir, const char *name, struct ff_error *err)
{
	_cleanup_free_ char *path = NULL;

	if (!instance_name_ok(name))
		return error_set(err, EINVAL, FF_CODE_BAD_REQUEST, NULL, "bad instance name %.40s",
				 name);
	if (asprintf(&path, "%s/instances/%s", pin_dir, name) < 0)
		return error_nomem(err);
	return pins_remove(path, err);
}

void instance_names_free(char **names)
{
	for (size_t i = 0; names && names[i]; i++)
		free(names[i]);
	free(names);
}

int instance_list(const char *pin_dir, char ***ret_names, struct ff_error *err)
{
	_cleanup_free_ char *path = pin_path(pin_dir, "instances");
	char **names = calloc(FF_INSTANCES_MAX + 1, sizeof(*names));
	_cleanup_(cleanup_closedir) DIR *dir = NULL;
	struct dirent *entry;
	size_t count = 0;

	if (!path || !names) {
		free(names);
		return error_nomem(err);
	}
	dir = opendir(path);
	while (dir && count < FF_INSTANCES_MAX && (entry = readdir(dir))) {
		if (!instance_name_ok(entry->d_name))
			continue;
		names[count] = strdup(entry->d_name);
		if (!names[count++]) {
			instance_names_free(names);
			return error_nomem(err);
		}
	}
	*ret_names = names;
	return 0;
}
