/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/proc.h"

#include <fcntl.h>
#include <string.h>

#include "lib/cleanup.h"

int proc_open(const char *path, struct proc_file **ret, struct ff_error *err)
{
	_cleanup_free_ struct proc_file *file = malloc(sizeof(*file));

	if (!file)
		return error_nomem(err);
	file->path = path;
	file->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (file->fd < 0)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "can't open %s: %s", path,
				 strerror(errno));
	*ret = TAKE_PTR(file);
	return 0;
}

void proc_close(struct proc_file *file)
{
	if (!file)
		return;
	close(file->fd);
	free(file);
}

int proc_read(struct proc_file *file, struct ff_error *err)
{
	size_t len = 0;
	ssize_t n;

	while ((n = pread(file->fd, file->text + len, sizeof(file->text) - 1 - len, (off_t)len)) >
	       0)
		len += (size_t)n;
	if (n < 0)
		return error_set(err, errno, FF_CODE_INTERNAL, NULL, "can't read %s: %s",
				 file->path, strerror(errno));
	if (len == sizeof(file->text) - 1)
		while (len && file->text[len - 1] != '\n')
			len--;
	file->text[len] = '\0';
	return 0;
}
