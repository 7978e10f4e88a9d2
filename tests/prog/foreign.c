/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/prog/foreign.h"

static int types_load(const char *name, const struct bpf_map_info *info,
		      struct bpf_map_create_opts *opts)
{
	struct btf *btf = btf__new_empty();
	int byte = btf__add_int(btf, "unsigned char", 1, 0);
	int number = btf__add_int(btf, "unsigned int", 4, 0);
	int array = btf__add_array(btf, number, byte, info->value_size);
	int type = btf__add_struct(btf, name, info->value_size);
	int fd;

	cr_assert_eq(btf__add_field(btf, "of_another_version", array, 0, 0), 0);
	cr_assert_eq(btf__load_into_kernel(btf), 0);
	fd = dup(btf__fd(btf));
	opts->btf_key_type_id = (__u32)number;
	opts->btf_value_type_id = (__u32)type;
	btf__free(btf);
	return fd;
}

void foreign_pin(const char *path, const char *name)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info), zero = 0;
	int old = bpf_obj_get(path), fd;
	void *value;

	cr_assert(old >= 0, "%s", path);
	cr_assert_eq(bpf_obj_get_info_by_fd(old, &info, &len), 0);
	cr_assert_eq(info.key_size, sizeof(zero), "an array");
	opts.map_flags = info.map_flags;
	opts.btf_fd = (__u32)types_load(name, &info, &opts);
	fd = bpf_map_create(info.type, info.name, info.key_size, info.value_size, info.max_entries,
			    &opts);
	cr_assert(fd >= 0, "%s: %s", path, strerror(errno));
	value = calloc(256, info.value_size); /* of as many CPUs */
	cr_assert_eq(bpf_map_lookup_elem(old, &zero, value), 0);
	cr_assert_eq(bpf_map_update_elem(fd, &zero, value, BPF_ANY), 0);
	free(value);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(bpf_obj_pin(fd, path), 0);
	close((int)opts.btf_fd);
	close(old);
	close(fd);
}
