/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * park.h - packets held for flows that are between owners.
 *
 * The protocol between parking CPUs, the releasing CPU and the agent is told at struct ff_lane. A
 * packet takes as many cells as it needs, by one ticket for the first of them. A producer first
 * looks whether there's room and then takes its ticket; so up to FF_CPUS_MAX producers may overrun
 * the look, which is why so many packets' cells are kept in reserve.
 */
#pragma once

#include "bpf/tunnel.h"

/* The longest live frame that the kernel makes (3408 bytes measured), and so can be released. */
#define PARK_DATA 3400

/* Of a packet's cells the first has a head, the others just room for `ready`, which they don't use:
 * so no packet's data is ever taken for it. */
#define CELL_HEAD(i) ((i) ? sizeof(__u64) : sizeof(struct ff_cell))
#define CELLS_OF(len)                                                                              \
	(((len) + sizeof(struct ff_cell) - sizeof(__u64) - 1) / (FF_CELL_SIZE - sizeof(__u64)) + 1)
#define PARK_CELLS   CELLS_OF(PARK_DATA)
#define PARK_RESERVE (FF_CPUS_MAX * PARK_CELLS)
_Static_assert(PARK_RESERVE <= FF_PARK_SIZE_MIN / 2, "the smallest ring has room");

#define PARK_DONE 0 /* held (or dropped): the packet is no longer ours */
#define PARK_OPEN 1 /* nothing is parked any more: go on with the packet */
#define PARK_PAST 2 /* the bound is hit and the policy is reorder */

static __always_inline void *cell_of(void *ring, const struct ff_lane *lane, __u64 ticket)
{
	__u32 place = ticket & (lane->park_size - 1);

	return bpf_map_lookup_elem(ring, &place);
}

/* Copies the frame into its cells, or from them (`out`). 0 or -1. */
static __always_inline int cells_copy(struct xdp_md *ctx, void *ring, const struct ff_lane *lane,
				      __u64 ticket, __u32 len, int out)
{
	__u32 off = 0;

	for (__u32 i = 0; i < PARK_CELLS; i++) {
		__u32 room = FF_CELL_SIZE - CELL_HEAD(i), below;
		__u8 *cell = cell_of(ring, lane, ticket + i);

		if (!cell)
			return -1;
		below = ff_detach((len - off < room ? len - off : room) - 1);
		if (below >= room)
			return -1;
		if (out ? bpf_xdp_store_bytes(ctx, off, cell + CELL_HEAD(i), below + 1) :
			  bpf_xdp_load_bytes(ctx, off, cell + CELL_HEAD(i), below + 1))
			return -1;
		off += below + 1;
		if (off >= len)
			return 0;
	}
	return -1;
}

/*
 * Full, or past the move's bound: what the policy says. A packet that can't go past the parked ones,
 * because the source has given its flow up, is held like one of a move that is being rolled back:
 * as long as there are cells.
 */
static __always_inline int park_overflow(struct ff_lane *lane, __u64 cells, int may_pass)
{
	int room = cells < lane->park_size - PARK_RESERVE;

	if (lane->overflow == FF_OVERFLOW_REORDER && !may_pass && room)
		return PARK_OPEN; /* counted when it was sent to the source */
	__sync_fetch_and_add(&lane->overflowed, 1);
	if (lane->overflow == FF_OVERFLOW_REORDER && may_pass)
		return PARK_PAST;
	return lane->overflow == FF_OVERFLOW_ABORT && room ? PARK_OPEN : PARK_DONE;
}

static __always_inline int park_drop(struct ff_lane *lane, __u32 reason)
{
	__sync_fetch_and_add(&lane->dropped, 1);
	ff_count(reason);
	return PARK_DONE;
}

/* may_pass: it can be sent to the source, which may own its flow still */
static __always_inline int park_packet(struct xdp_md *ctx, struct ff_pkt *pkt, int may_pass)
{
	__u32 lane_no = pkt->lane, len = ff_frame_len(ctx);
	struct ff_lane *lane = bpf_map_lookup_elem(&lanes, &lane_no);
	void *ring = bpf_map_lookup_elem(&park_rings, &lane_no);
	__u64 tail, head, released, held, cells, ticket;
	struct ff_cell *cell;

	if (!lane || !lane->park_size || !ring) {
		ff_count(FF_REASON_DROP_INTERNAL);
		return PARK_DONE;
	}
	/* These first: what others park and release meanwhile must not take them past tail and parked. */
	head = *(volatile __u64 *)&lane->park_head;
	released = *(volatile __u64 *)&lane->released;
	tail = *(volatile __u64 *)&lane->park_tail;
	if (tail & FF_PARK_OPEN)
		return PARK_OPEN;
	held = *(volatile __u64 *)&lane->parked - released;
	cells = tail - head;
	if (held >= lane->park_limit || cells >= lane->park_size - PARK_RESERVE) {
		int way = park_overflow(lane, cells, may_pass);

		if (way == PARK_PAST)
			return PARK_PAST;
		if (way == PARK_DONE)
			return park_drop(lane, FF_REASON_DROP_PARK_FULL);
	}
	if (len > PARK_DATA)
		return park_drop(lane, FF_REASON_DROP_PARK_SIZE);
	ticket = __sync_fetch_and_add(&lane->park_tail, CELLS_OF(len));
	if (ticket & FF_PARK_OPEN)
		return PARK_OPEN;
	cell = cell_of(ring, lane, ticket);
	if (!cell)
		return park_drop(lane, FF_REASON_DROP_INTERNAL);
	__sync_fetch_and_add(&lane->parked, 1);
	lane->park_cpu = bpf_get_smp_processor_id();
	cell->slot = pkt->slot;
	cell->hops = pkt->hops;
	cell->proto = pkt->proto;
	cell->cells = CELLS_OF(len);
	cell->port[0] = pkt->port[0];
	cell->port[1] = pkt->port[1];
	cell->service = pkt->key.service;
	/* a copy that fails can't be: the release counts it as lost */
	cell->len = cells_copy(ctx, ring, lane, ticket, len, 0) ? 0 : len;
	__sync_lock_test_and_set(&cell->ready, ticket + 1); /* after all of the above: a barrier */
	ff_count(FF_REASON_PARKED);
	return PARK_DONE;
}

/*
 * Fills the frame with the next parked packet of the job's lane. 0, or -1 if there's none yet.
 * Only one CPU at a time releases a lane: park_head has one writer.
 */
static __always_inline int park_take(struct xdp_md *ctx, struct ff_pkt *pkt, struct ff_job *job)
{
	__u32 lane_no = job->lane, have = ff_frame_len(ctx), len;
	struct ff_lane *lane = bpf_map_lookup_elem(&lanes, &lane_no);
	void *ring = bpf_map_lookup_elem(&park_rings, &lane_no);
	struct ff_cell *cell;
	__u64 head, tail;

	if (!lane || !lane->park_size || !ring)
		return -1;
	head = lane->park_head;
	tail = *(volatile __u64 *)&lane->park_tail;
	if ((tail & FF_PARK_OPEN) || head == tail)
		return -1;
	cell = cell_of(ring, lane, head);
	if (!cell || *(volatile __u64 *)&cell->ready != head + 1)
		return -1; /* its CPU is still filling it */
	len = cell->len;
	pkt->slot = cell->slot;
	pkt->hops = cell->hops;
	pkt->proto = cell->proto;
	pkt->port[0] = cell->port[0];
	pkt->port[1] = cell->port[1];
	pkt->key.service = cell->service;
	if (!len || len > PARK_DATA || bpf_xdp_adjust_tail(ctx, (int)len - (int)have) ||
	    cells_copy(ctx, ring, lane, head, len, 1))
		ff_count(FF_REASON_DROP_LOST_CELL);
	*(volatile __u64 *)&lane->park_head = head + cell->cells;
	*(volatile __u64 *)&lane->released = lane->released + 1;
	return 0;
}
