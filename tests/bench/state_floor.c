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
	uint32_t maps;
	int *from, *to; /* [map] */
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

/* Of the map's share, which begins at entry @at. */
static int entries_write(const struct state_floor *floor, int fd, uint32_t at, uint32_t end,
			 struct ff_error *err)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);

	while (at < end) {
		uint32_t count = MIN(BATCH, end - at);
		int r = bpf_map_update_batch(fd, floor->keys + at,
					     floor->values + (size_t)at * floor->value_size, &count,
					     &opts);

		if (r < 0)
			return failed(err, r, "batch update");
		at += count;
	}
	return 0;
}

/* To entry *at and behind, never more than there is room for. */
static int entries_read(const struct state_floor *floor, int fd, uint32_t *at, struct ff_error *err)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	uint32_t place = 0;
	bool begun = false;

	for (;;) {
		uint32_t count = MIN(BATCH, floor->entries - *at);
		int r = bpf_map_lookup_batch(fd, begun ? &place : NULL, &place, floor->keys + *at,
					     floor->values + (size_t)*at * floor->value_size,
					     &count, &opts);

		if (r < 0 && r != -ENOENT)
			return failed(err, r, "batch lookup");
		begun = true;
		*at += count;
		if (r == -ENOENT || *at == floor->entries)
			return 0;
	}
}

/* The first entry of map @no: all have as many, but for one. */
static uint32_t share(const struct state_floor *floor, uint32_t no)
{
	return (uint32_t)((uint64_t)floor->entries * no / floor->maps);
}

static int maps_empty(const struct state_floor *floor)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);

	for (uint32_t no = 0; no < floor->maps; no++) {
		uint32_t count = share(floor, no + 1) - share(floor, no);
		int r = bpf_map_delete_batch(floor->to[no], floor->keys + share(floor, no), &count,
					     &opts);

		if (r && r != -ENOENT) /* it was empty */
			return r;
	}
	return 0;
}

static int maps_make(struct state_floor *floor, const struct state_floor_maps *maps, int *fds,
		     struct ff_error *err)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts,
		    .map_flags = maps->no_prealloc ? BPF_F_NO_PREALLOC : 0);

	for (uint32_t no = 0; no < floor->maps; no++) {
		fds[no] = bpf_map_create(BPF_MAP_TYPE_HASH, "ff_floor", sizeof(struct ff_flow_key),
					 floor->value_size, maps->entries, &opts);
		if (fds[no] < 0)
			return failed(err, fds[no], "creating them");
	}
	return 0;
}

int state_floor_new(uint32_t entries, uint32_t value_size, const struct state_floor_maps *maps,
		    struct state_floor **ret, struct ff_error *err)
{
	_cleanup_(state_floor_freep) struct state_floor *floor = calloc(1, sizeof(*floor));
	int r;

	if (!floor)
		return error_nomem(err);
	floor->maps = maps->count;
	floor->entries = entries;
	floor->value_size = value_size;
	floor->keys = calloc(entries, sizeof(*floor->keys));
	floor->values = calloc(entries, value_size);
	floor->from = malloc(maps->count * sizeof(*floor->from));
	floor->to = malloc(maps->count * sizeof(*floor->to));
	if (!floor->keys || !floor->values || !floor->from || !floor->to)
		return error_nomem(err);
	memset(floor->from, 0xff, maps->count * sizeof(*floor->from));
	memset(floor->to, 0xff, maps->count * sizeof(*floor->to));
	for (uint32_t i = 0; i < entries; i++)
		memcpy(&floor->keys[i], &i, sizeof(i));
	r = maps_make(floor, maps, floor->from, err);
	if (!r)
		r = maps_make(floor, maps, floor->to, err);
	for (uint32_t no = 0; no < maps->count && !r; no++)
		r = entries_write(floor, floor->from[no], share(floor, no), share(floor, no + 1),
				  err);
	if (r)
		return r;
	*ret = TAKE_PTR(floor);
	return 0;
}

static void maps_close(int *fds, uint32_t count)
{
	for (uint32_t no = 0; fds && no < count; no++)
		if (fds[no] >= 0)
			close(fds[no]);
	free(fds);
}

void state_floor_free(struct state_floor *floor)
{
	if (!floor)
		return;
	maps_close(floor->from, floor->maps);
	maps_close(floor->to, floor->maps);
	free(floor->keys);
	free(floor->values);
	free(floor);
}

int state_floor_run(struct state_floor *floor, uint64_t *ret_ns, struct ff_error *err)
{
	uint64_t begun;
	uint32_t at = 0;
	int r = maps_empty(floor);

	if (r)
		return failed(err, r, "batch delete");
	begun = clock_ns();
	for (uint32_t no = 0; no < floor->maps && !r; no++)
		r = entries_read(floor, floor->from[no], &at, err);
	if (!r && at != floor->entries)
		r = error_set(err, EIO, FF_CODE_INTERNAL, NULL,
			      "the floor has read %u of %u entries", at, floor->entries);
	for (uint32_t no = 0; no < floor->maps && !r; no++)
		r = entries_write(floor, floor->to[no], share(floor, no), share(floor, no + 1),
				  err);
	*ret_ns = clock_ns() - begun;
	return r;
}
