/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/bench/state_floor.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/abi.h"
#include "lib/clock.h"

#define BATCH 65536u /* entries of one call: larger ones gain nothing */

struct state_floor {
	int from, to;
	uint32_t entries, value_size;
	struct ff_flow_key *keys;
	uint8_t *values;
};
DEFINE_CLEANUP(struct state_floor *, state_floor_free);

static int failed(struct ff_error *err, int r, const char *what)
{
	return error_set(err, r, FF_CODE_INTERNAL, NULL, "the floor's maps: %s: %s", what,
			 strerror(-r));
}

static int entries_write(const struct state_floor *floor, int fd, struct ff_error *err)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);

	for (uint32_t at = 0; at < floor->entries;) {
		uint32_t count = MIN(BATCH, floor->entries - at);
		int r = bpf_map_update_batch(fd, floor->keys + at,
					     floor->values + (size_t)at * floor->value_size, &count,
					     &opts);

		if (r < 0)
			return failed(err, r, "batch update");
		at += count;
	}
	return 0;
}

/* *ret_count: how many; never more than there is room for. */
static int entries_read(const struct state_floor *floor, int fd, uint32_t *ret_count,
			struct ff_error *err)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	uint32_t at = 0, place = 0;
	bool begun = false;

	for (;;) {
		uint32_t count = MIN(BATCH, floor->entries - at);
		int r = bpf_map_lookup_batch(fd, begun ? &place : NULL, &place, floor->keys + at,
					     floor->values + (size_t)at * floor->value_size, &count,
					     &opts);

		if (r < 0 && r != -ENOENT)
			return failed(err, r, "batch lookup");
		begun = true;
		at += count;
		if (r == -ENOENT || at == floor->entries)
			break;
	}
	*ret_count = at;
	return 0;
}

static int map_empty(const struct state_floor *floor, int fd)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	uint32_t count = floor->entries;
	int r = bpf_map_delete_batch(fd, floor->keys, &count, &opts);

	return r == -ENOENT ? 0 : r; /* it was empty */
}

int state_floor_new(uint32_t entries, uint32_t value_size, struct state_floor **ret,
		    struct ff_error *err)
{
	_cleanup_(state_floor_freep) struct state_floor *floor = calloc(1, sizeof(*floor));
	int *const fds[] = { &floor->from, &floor->to };
	int r;

	if (!floor)
		return error_nomem(err);
	floor->from = floor->to = -1;
	floor->entries = entries;
	floor->value_size = value_size;
	floor->keys = calloc(entries, sizeof(*floor->keys));
	floor->values = calloc(entries, value_size);
	if (!floor->keys || !floor->values)
		return error_nomem(err);
	for (uint32_t i = 0; i < entries; i++)
		memcpy(&floor->keys[i], &i, sizeof(i));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		*fds[i] = bpf_map_create(BPF_MAP_TYPE_HASH, "ff_floor", sizeof(struct ff_flow_key),
					 value_size, entries, NULL);
		if (*fds[i] < 0)
			return failed(err, *fds[i], "creating them");
	}
	r = entries_write(floor, floor->from, err);
	if (r)
		return r;
	*ret = TAKE_PTR(floor);
	return 0;
}

void state_floor_free(struct state_floor *floor)
{
	if (!floor)
		return;
	if (floor->from >= 0)
		close(floor->from);
	if (floor->to >= 0)
		close(floor->to);
	free(floor->keys);
	free(floor->values);
	free(floor);
}

int state_floor_run(struct state_floor *floor, uint64_t *ret_ns, struct ff_error *err)
{
	uint64_t begun;
	uint32_t count = 0;
	int r = map_empty(floor, floor->to);

	if (r)
		return failed(err, r, "batch delete");
	begun = clock_ns();
	r = entries_read(floor, floor->from, &count, err);
	if (!r && count != floor->entries)
		r = error_set(err, EIO, FF_CODE_INTERNAL, NULL,
			      "the floor has read %u of %u entries", count, floor->entries);
	if (!r)
		r = entries_write(floor, floor->to, err);
	*ret_ns = clock_ns() - begun;
	return r;
}
