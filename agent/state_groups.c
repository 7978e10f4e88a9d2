/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The groups' maps of a per-flow state.
 *
 * A hash map's size decides its bucket array, 16 bytes an entry, so 512 maps of the instance's whole
 * capacity would cost gigabytes, and half a minute. Each gets its share times GROUP_SLACK: slots are
 * a keyed hash, and a share is exceeded fourfold only by chance beyond belief, or where an instance
 * with few slots has most of the flows, which its capacity should then say.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <pthread.h>
#include <string.h>

#include "agent/state.h"
#include "lib/cleanup.h"

#define GROUP_SLACK	  4
#define GROUP_ENTRIES_MIN 1024	     /* 16 KiB of buckets */
#define GROUP_ENTRIES_MAX (1u << 26) /* the kernel's bound on buckets is near */
#define PLACING_THREADS	  32	     /* 16 grace periods for 512 groups, at worst */

struct state_geometry state_geometry_of(uint32_t slots, uint64_t capacity)
{
	struct state_geometry geometry = { 0 };
	uint64_t entries;

	while (slots >> geometry.group_shift > FF_GROUPS_MAX)
		geometry.group_shift++;
	geometry.groups = slots >> geometry.group_shift;
	entries = capacity / geometry.groups * GROUP_SLACK;
	entries = MAX(entries, (uint64_t)GROUP_ENTRIES_MIN);
	geometry.group_entries = (uint32_t)MIN(entries, (uint64_t)GROUP_ENTRIES_MAX);
	return geometry;
}

static int groups_make(const struct state_inner *inner, int btf_fd,
		       const struct state_geometry *geometry, const char *name, int *fds,
		       struct ff_error *err)
{
	LIBBPF_OPTS(bpf_map_create_opts, create, .map_flags = inner->flags,
		    .btf_fd = (uint32_t)btf_fd, .btf_key_type_id = inner->key_type,
		    .btf_value_type_id = inner->value_type);

	for (uint32_t i = 0; i < geometry->groups; i++) {
		fds[i] = bpf_map_create(BPF_MAP_TYPE_HASH, name, inner->key_size, inner->value_size,
					geometry->group_entries, &create);
		if (fds[i] < 0)
			return error_set(err, -fds[i], FF_CODE_INTERNAL,
					 fds[i] == -EMFILE ? "raise the limit of open files" :
							     "lower the instance's capacity",
					 "can't create map %u of %u for state %s: %s", i,
					 geometry->groups, name, strerror(-fds[i]));
	}
	return 0;
}

/* A part of the groups, put into the outer map by one thread. */
struct placing {
	pthread_t thread;
	int outer_fd;
	uint32_t count;
	const uint32_t *groups;
	const int *fds;
	int result;
};

static void *placing_run(void *ctx)
{
	struct placing *placing = ctx;
	LIBBPF_OPTS(bpf_map_batch_opts, batch);
	uint32_t count = placing->count;

	placing->result = bpf_map_update_batch(placing->outer_fd, placing->groups, placing->fds,
					       &count, &batch);
	return NULL;
}

/*
 * Kernels before 6.7 wait for an RCU grace period after each element of the batch, 8 to 30 ms, and
 * not once: 512 of them are ten seconds. Threads wait for the same grace periods side by side.
 */
int state_groups_place(int outer_fd, const uint32_t *groups, const int *fds, uint32_t count)
{
	struct placing parts[PLACING_THREADS];
	uint32_t share = (count + PLACING_THREADS - 1) / PLACING_THREADS, started = 0, first = 0;
	int r = 0;

	for (; first < count && r == 0; first += share, started++) {
		parts[started] = (struct placing){
			.outer_fd = outer_fd,
			.count = MIN(share, count - first),
			.groups = groups + first,
			.fds = fds + first,
		};
		r = -pthread_create(&parts[started].thread, NULL, placing_run, &parts[started]);
		if (r < 0)
			break;
	}
	for (uint32_t i = 0; i < started; i++) {
		pthread_join(parts[i].thread, NULL);
		r = r ? r : parts[i].result;
	}
	return r;
}

int state_groups_create(int outer_fd, const struct state_inner *inner, int btf_fd,
			const struct state_geometry *geometry, const char *name,
			struct ff_error *err)
{
	_cleanup_free_ int *fds = malloc(FF_GROUPS_MAX * sizeof(*fds));
	uint32_t groups[FF_GROUPS_MAX];
	char short_name[BPF_OBJ_NAME_LEN];
	int r;

	if (!fds)
		return error_nomem(err);
	for (uint32_t i = 0; i < FF_GROUPS_MAX; i++) {
		groups[i] = i;
		fds[i] = -1;
	}
	snprintf(short_name, sizeof(short_name), "%s", name);
	r = groups_make(inner, btf_fd, geometry, short_name, fds, err);
	if (r == 0) {
		r = state_groups_place(outer_fd, groups, fds, geometry->groups);
		if (r < 0)
			error_set(err, -r, FF_CODE_INTERNAL, NULL,
				  "can't put the maps of state %s into place: %s", name,
				  strerror(-r));
	}
	/* the outer map holds them from now on */
	for (uint32_t i = 0; i < geometry->groups && fds[i] >= 0; i++)
		close(fds[i]);
	return r;
}

int state_groups_read(struct state *state, int outer_fd, struct ff_error *err)
{
	for (uint32_t i = 0; i < state->groups; i++) {
		uint32_t id;
		int r = bpf_map_lookup_elem(outer_fd, &i, &id);

		__atomic_store_n(&state->group_ids[i], r < 0 ? 0 : id, __ATOMIC_RELAXED);
		if (r < 0)
			return error_set(err, -r, FF_CODE_INTERNAL,
					 "remove the instance and load it again",
					 "instance %s lacks the map of group %u: %s",
					 state->instance, i, strerror(-r));
	}
	return 0;
}
