/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent/lane.h"

#include <string.h>
#include <sys/mman.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/datapath.skel.h"
#include "lib/clock.h"

#define CELLS_PACKET 4u /* of an Ethernet MTU */

/*
 * However low the bound: a roll-back of 50 ms loses nothing at 300,000 small packets/s, nor do those
 * that have gone past the parked ones in vain. 8 MiB.
 */
#define ROLL_BACK_CELLS 16384u

/*
 * Putting a ring into its place, or taking it away, waits for a grace period of RCU (8 ms and more
 * here). So rings stay in free lanes for a while: a move soon after another one finds them there.
 */
#define RINGS_KEPT_NS (60 * NSEC_PER_SEC)

#define RING_WASTE    4u /* times what a move needs: a ring that is larger isn't used for it */

/* ---- opening and closing ----------------------------------------------------------------------- */

static uint32_t power_of_two(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

static int ring_create(const char *name, uint32_t value_size, uint32_t flags, uint32_t entries)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags | BPF_F_INNER_MAP);

	return bpf_map_create(BPF_MAP_TYPE_ARRAY, name, 4, value_size, entries, &opts);
}

static uint32_t cells_for(uint16_t overflow, uint32_t limit)
{
	/* what arrives while a full move is rolled back still finds a cell */
	uint32_t more = overflow != FF_OVERFLOW_DROP ? ROLL_BACK_CELLS : FF_PARK_SIZE_MIN / 2;

	return MAX(power_of_two(CELLS_PACKET * limit + more), (uint32_t)FF_PARK_SIZE_MIN);
}

static int park_ring_open(struct lane *lane, uint32_t cells)
{
	_cleanup_close_ int fd = ring_create("ff_park", FF_CELL_SIZE, 0, cells);

	if (fd < 0)
		return fd;
	if (bpf_map_update_elem(lane->dp->park_rings_fd, &lane->number, &fd, 0))
		return -errno;
	lane->map->park_size = cells;
	return 0;
}

/* A ring of an earlier move is used again if it's large enough, and no waste. */
static int park_ring_have(struct lane *lane, uint32_t limit)
{
	uint32_t cells = cells_for(lane->map->overflow, limit);
	int r = 0;

	if (lane->map->park_size < cells || lane->map->park_size > RING_WASTE * cells)
		r = park_ring_open(lane, cells);
	if (!r)
		lane->map->park_limit = limit;
	return r;
}

static size_t log_bytes(uint64_t records)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (records * sizeof(struct ff_flow_key) + page - 1) / page * page;
}

/* It stays mapped as long as the ring is there: the kernel maps all of its pages, in 0.5 ms. */
static int log_map(struct lane *lane, int parity, int fd, uint64_t records)
{
	void *mem = mmap(NULL, log_bytes(records), PROT_READ, MAP_SHARED, fd, 0);

	if (mem == MAP_FAILED)
		return -errno;
	lane->dp->lane_logs[lane->number][parity] = mem;
	return 0;
}

static void logs_unmap(struct datapath *dp, uint32_t number)
{
	for (int i = 0; i < 2; i++) {
		void *mem = TAKE_PTR(dp->lane_logs[number][i]);

		if (mem)
			munmap(mem, log_bytes(dp->lanes[number].log_size));
	}
}

/* Maps the logs that are in the lane's places. */
static int log_rings_map(struct lane *lane)
{
	for (int i = 0; i < 2; i++) {
		uint32_t key = lane->number * 2 + (uint32_t)i, id;
		_cleanup_close_ int fd = -1;
		int r;

		if (lane->dp->lane_logs[lane->number][i])
			continue;
		if (bpf_map_lookup_elem(lane->dp->log_rings_fd, &key, &id))
			return -errno;
		fd = bpf_map_get_fd_by_id(id);
		r = fd < 0 ? fd : log_map(lane, i, fd, lane->map->log_size);
		if (r)
			return r;
	}
	return 0;
}

static int log_rings_open(struct lane *lane)
{
	int fds[2] = { -1, -1 }, r = 0;
	uint32_t keys[2] = { lane->number * 2, lane->number * 2 + 1 }, count = 2;

	lane->map->log_size = LANE_LOG_RECORDS;
	for (int i = 0; i < 2 && !r; i++) {
		fds[i] = ring_create("ff_log", sizeof(struct ff_flow_key), BPF_F_MMAPABLE,
				     LANE_LOG_RECORDS);
		r = fds[i] < 0 ? fds[i] : log_map(lane, i, fds[i], LANE_LOG_RECORDS);
	}
	/* both by one call: one grace period */
	if (!r && bpf_map_update_batch(lane->dp->log_rings_fd, keys, fds, &count, NULL))
		r = -errno;
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return r;
}

/* A number that no entry carries, of the other parity than the lane's last one. */
static uint32_t round_number(struct lane *lane)
{
	struct ff_host_info *host = lane->dp->host;
	uint32_t round;

	do {
		round = __atomic_fetch_add(&host->next_round, 1, __ATOMIC_RELAXED);
	} while (!round || (round & 1) == (lane->map->round & 1));
	return round;
}

/* How much of what the move needs a free lane has, from earlier moves. */
static int lane_fitness(const struct ff_lane *lane, const struct lane_spec *spec)
{
	bool parks = lane->park_size >= cells_for(spec->overflow, spec->park_limit);

	return 2 * ((lane->log_size != 0) == spec->log) + (spec->park ? parks : !lane->park_size);
}

static uint32_t lane_choose(const struct datapath *dp, const struct lane_spec *spec)
{
	uint32_t best = FF_LANES_MAX;

	for (uint32_t i = 0; i < FF_LANES_MAX; i++)
		if (!dp->lanes[i].token &&
		    (best == FF_LANES_MAX ||
		     lane_fitness(&dp->lanes[i], spec) > lane_fitness(&dp->lanes[best], spec)))
			best = i;
	return best;
}

/*
 * As new, but for the rings, and the tickets, which go on: what the cells of an earlier move say of
 * theirs is then never taken for a packet of this one.
 */
static void lane_reset(struct ff_lane *map)
{
	struct ff_lane old = *map;

	memset(map, 0, sizeof(*map));
	map->park_size = old.park_size;
	map->log_size = old.log_size;
	map->park_head = old.park_tail & FF_PARK_OPEN ? old.park_head : old.park_tail;
	map->park_tail = map->park_head;
	map->round = old.round;
}

int lane_open(struct datapath *dp, struct cpus *cpus, const struct lane_spec *spec,
	      struct lane *ret, struct ff_error *err)
{
	struct lane lane = { .dp = dp, .cpus = cpus, .number = lane_choose(dp, spec) };
	int r = 0;

	if (lane.number == FF_LANES_MAX)
		return error_set(err, EBUSY, FF_CODE_BUSY, "wait for one to end",
				 "this host takes part in %d moves already", FF_LANES_MAX);
	lane.map = &dp->lanes[lane.number];
	lane_reset(lane.map);
	lane.map->service = spec->service;
	lane.map->from = spec->from;
	lane.map->to = spec->to;
	lane.map->overflow = spec->overflow;
	strncpy((char *)lane.map->op, spec->op, sizeof(lane.map->op) - 1);
	lane_fences_clear(&lane);
	if (spec->park)
		r = park_ring_have(&lane, spec->park_limit);
	if (!r && spec->log)
		r = lane.map->log_size ? log_rings_map(&lane) : log_rings_open(&lane);
	if (r) {
		lane_sweep(dp, lane.number);
		return error_set(err, -r, FF_CODE_INTERNAL, "free some memory",
				 "can't make the move's rings: %s", strerror(-r));
	}
	lane.map->round = round_number(&lane);
	__atomic_store_n(&lane.map->token, spec->token, __ATOMIC_SEQ_CST);
	*ret = lane;
	return 0;
}

int lane_adopt(struct datapath *dp, struct cpus *cpus, uint64_t token, struct lane *ret,
	       struct ff_error *err)
{
	struct lane lane = { .dp = dp, .cpus = cpus };
	int r;

	for (; lane.number < FF_LANES_MAX; lane.number++)
		if (dp->lanes[lane.number].token == token)
			break;
	if (lane.number == FF_LANES_MAX)
		return error_set(err, ENOENT, FF_CODE_NOT_FOUND, NULL, "no such move here");
	lane.map = &dp->lanes[lane.number];
	r = lane.map->log_size ? log_rings_map(&lane) : 0;
	if (r)
		return error_set(err, -r, FF_CODE_INTERNAL, NULL, "change log: %s", strerror(-r));
	*ret = lane;
	return 0;
}

int lane_park_open(struct lane *lane, uint32_t limit, struct ff_error *err)
{
	int r = park_ring_have(lane, limit);

	return r ? error_set(err, -r, FF_CODE_INTERNAL, "free some memory",
			     "can't make the parking ring: %s", strerror(-r)) :
		   0;
}

/* An empty place isn't deleted: the kernel waits for a grace period for that, too. */
static void ring_delete(int rings_fd, uint32_t key)
{
	uint32_t id;

	if (!bpf_map_lookup_elem(rings_fd, &key, &id))
		bpf_map_delete_elem(rings_fd, &key);
}

void lane_sweep(struct datapath *dp, uint32_t number)
{
	struct ff_lane *map = &dp->lanes[number];

	/* first: a lane with a token has all its rings */
	__atomic_store_n(&map->token, 0, __ATOMIC_SEQ_CST);
	logs_unmap(dp, number);
	map->park_size = map->log_size = 0;
	ring_delete(dp->park_rings_fd, number);
	ring_delete(dp->log_rings_fd, number * 2);
	ring_delete(dp->log_rings_fd, number * 2 + 1);
}

void lane_close(struct lane *lane)
{
	if (!lane->map)
		return;
	lane->dp->lanes_freed_ns[lane->number] = clock_ns();
	__atomic_store_n(&lane->map->token, 0, __ATOMIC_SEQ_CST);
	memset(lane, 0, sizeof(*lane));
}

void lanes_unmap(struct datapath *dp)
{
	for (uint32_t i = 0; i < FF_LANES_MAX; i++)
		logs_unmap(dp, i);
}

void lanes_trim(struct datapath *dp)
{
	uint64_t now = clock_ns();

	for (uint32_t i = 0; i < FF_LANES_MAX; i++)
		if (!dp->lanes[i].token && (dp->lanes[i].park_size || dp->lanes[i].log_size) &&
		    now - dp->lanes_freed_ns[i] > RINGS_KEPT_NS)
			lane_sweep(dp, i);
}

/* ---- rounds ------------------------------------------------------------------------------------ */

void lane_round(struct lane *lane, const struct ff_flow_key **ret_keys, size_t *ret_count,
		bool *ret_full)
{
	uint32_t old = lane->map->round, next = round_number(lane);
	uint64_t tail;

	lane->map->log_tail[next & 1] = 0;
	__atomic_store_n(&lane->map->round, next, __ATOMIC_SEQ_CST);
	/* Packets that read the old number have ended when this returns; so the log is whole. */
	cpus_quiesce(lane->cpus);
	tail = __atomic_load_n(&lane->map->log_tail[old & 1], __ATOMIC_ACQUIRE);
	*ret_full = tail > lane->map->log_size;
	*ret_count = MIN(tail, (uint64_t)lane->map->log_size);
	*ret_keys = lane->dp->lane_logs[lane->number][old & 1];
}

size_t lane_logged(const struct lane *lane)
{
	return __atomic_load_n(&lane->map->log_tail[lane->map->round & 1], __ATOMIC_RELAXED);
}
