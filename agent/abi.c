/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/abi.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "agent/btf_walk.h"
#include "lib/cleanup.h"

struct pair {
	const struct btf *a, *b;
};

static bool types_same(const struct pair *p, uint32_t a, uint32_t b, int depth);

static bool members_same(const struct pair *p, const struct btf_type *a, const struct btf_type *b,
			 int depth)
{
	if (a->size != b->size || btf_vlen(a) != btf_vlen(b))
		return false;
	for (uint32_t i = 0; i < btf_vlen(a); i++) {
		const struct btf_member *x = &btf_members(a)[i], *y = &btf_members(b)[i];

		if (strcmp(btf_member_name(p->a, x), btf_member_name(p->b, y)) != 0 ||
		    btf_member_bit_offset(a, i) != btf_member_bit_offset(b, i) ||
		    !types_same(p, x->type, y->type, depth))
			return false;
	}
	return true;
}

/* What a pointer points to isn't in the map. */
static bool types_same(const struct pair *p, uint32_t a, uint32_t b, int depth)
{
	const struct btf_type *x = btf_resolved(p->a, a), *y = btf_resolved(p->b, b);

	if (!x || !y || depth == BTF_DEPTH_MAX)
		return !x && !y;
	if (btf_kind(x) != btf_kind(y) || btf_is_network(p->a, a) != btf_is_network(p->b, b))
		return false;
	if (btf_is_ptr(x))
		return true;
	if (btf_is_array(x))
		return btf_array(x)->nelems == btf_array(y)->nelems &&
		       types_same(p, btf_array(x)->type, btf_array(y)->type, depth + 1);
	if (btf_is_composite(x))
		return members_same(p, x, y, depth + 1);
	return x->size == y->size && (!btf_is_int(x) || btf_int_encoding(x) == btf_int_encoding(y));
}

const char *abi_difference(const struct btf *ours, const struct btf *theirs)
{
	struct pair pair = { ours, theirs };
	uint32_t count = btf__type_cnt(ours);

	for (uint32_t id = 1; id < count; id++) {
		const struct btf_type *type = btf__type_by_id(ours, id);
		const char *name = btf_name(ours, type);
		int other;

		if (!btf_is_struct(type) || strncmp(name, "ff_", 3) != 0)
			continue;
		other = btf__find_by_name_kind(theirs, name, BTF_KIND_STRUCT);
		if (other > 0 && !types_same(&pair, id, (uint32_t)other, 0))
			return name;
	}
	return NULL;
}

/* ---- maps ---------------------------------------------------------------------------------- */

static int btf_id_of(int map_fd, uint32_t *ret)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(map_fd, &info, &len) < 0)
		return -errno;
	*ret = info.btf_id;
	return 0;
}

int abi_map_btf(int map_fd, struct btf **ret)
{
	uint32_t id = 0;
	int r = btf_id_of(map_fd, &id);

	*ret = NULL;
	if (r < 0 || !id)
		return r;
	*ret = btf__load_from_kernel_by_id(id);
	return *ret ? 0 : -errno;
}

/* @known: of the map before, which was alike: most are of one object. */
static int map_check(const char *path, const struct btf *ours, uint32_t *known,
		     struct ff_error *err)
{
	_cleanup_close_ int fd = bpf_obj_get(path);
	struct btf *theirs = NULL;
	const char *name = NULL;
	uint32_t id = 0;
	int r = fd < 0 ? fd : btf_id_of(fd, &id);

	if (r == 0 && id == *known)
		return 0;
	if (r == 0)
		r = abi_map_btf(fd, &theirs);
	if (r < 0)
		return error_set(err, r, FF_CODE_INTERNAL, NULL, "can't read the types of %s: %s",
				 path, strerror(-r));
	if (theirs)
		name = abi_difference(ours, theirs);
	if (name)
		r = error_set(err, EPROTO, FF_CODE_REFUSED, NULL,
			      "%s was pinned by another version of the agent, with another struct "
			      "%s",
			      path, name);
	btf__free(theirs);
	*known = id;
	return r;
}

int abi_check_dir(const char *dir, const struct btf *ours, struct ff_error *err)
{
	DIR *list = opendir(dir);
	struct dirent *entry;
	uint32_t known = 0;
	int r = 0;

	while (r == 0 && list && (entry = readdir(list))) {
		_cleanup_free_ char *path = NULL;

		if (entry->d_name[0] == '.')
			continue;
		if (asprintf(&path, "%s/%s", dir, entry->d_name) < 0)
			r = error_nomem(err);
		else
			r = map_check(path, ours, &known, err);
	}
	if (list)
		closedir(list);
	return r;
}
