/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * park.h - packets held for flows that are between owners.
 *
 * The protocol between parking CPUs, the releasing CPU and the agent is told at struct ff_lane.
 * A producer first looks whether there's room and then takes a ticket; so up to FF_CPUS_MAX
 * producers may overrun the look, which is why that many cells are kept in reserve.
 */
#pragma once

#include "bpf/tunnel.h"

/* The longest live frame that the kernel makes (3408 bytes measured), and so can be released. */
#define PARK_DATA 3400
_Static_assert(PARK_DATA + sizeof(struct ff_cell) <= FF_CELL_SIZE, "a frame fits into a cell");

#define PARK_DONE 0 /* held (or dropped): the packet is no longer ours */
#define PARK_OPEN 1 /* nothing is parked any more: go on with the packet */
#define PARK_PAST 2 /* the bound is hit and the policy is reorder */

static __always_inline void *cell_of(__u32 lane_no, const struct ff_lane *lane, __u64 ticket)
{
	void *ring = bpf_map_lookup_elem(&park_rings, &lane_no);
	__u32 place = ticket & (lane->park_size - 1);

	return ring ? bpf_map_lookup_elem(ring, &place) : NULL;
}

/*
 * Full, or past the move's bound: what the policy says. A packet that can't go past the parked ones,
 * because the source has given its flow up, is held like one of a move that is being rolled back:
 * as long as there are cells.
 */
static __always_inline int park_overflow(struct ff_lane *lane, __u64 held, int may_pass)
{
	int room = held < lane->park_size - FF_CPUS_MAX;

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
	__u32 lane_no = pkt->lane, len = ff_frame_len(ctx), below;
	struct ff_lane *lane = bpf_map_lookup_elem(&lanes, &lane_no);
	__u64 tail, held, ticket;
	struct ff_cell *cell;

	if (!lane || !lane->park_size) {
		ff_count(FF_REASON_DROP_INTERNAL);
		return PARK_DONE;
	}
	tail = *(volatile __u64 *)&lane->park_tail;
	if (tail & FF_PARK_OPEN)
		return PARK_OPEN;
	held = tail - *(volatile __u64 *)&lane->park_head;
	if (held >= lane->park_limit) {
		int way = park_overflow(lane, held, may_pass);

		if (way == PARK_PAST)
			return PARK_PAST;
		if (way == PARK_DONE)
			return park_drop(lane, FF_REASON_DROP_PARK_FULL);
	}
	if (len > PARK_DATA)
		return park_drop(lane, FF_REASON_DROP_PARK_SIZE);
	ticket = __sync_fetch_and_add(&lane->park_tail, 1);
	if (ticket & FF_PARK_OPEN)
		return PARK_OPEN;
	if (!ticket)
		lane->first_ns = pkt->now_ns;
	cell = cell_of(lane_no, lane, ticket);
	if (!cell)
		return park_drop(lane, FF_REASON_DROP_INTERNAL);
	lane->park_cpu = bpf_get_smp_processor_id();
	cell->slot = pkt->slot;
	cell->hops = pkt->hops;
	cell->port[0] = pkt->port[0];
	cell->port[1] = pkt->port[1];
	cell->service = pkt->key.service;
	below = ff_detach(len - 1);
	if (below >= PARK_DATA || bpf_xdp_load_bytes(ctx, 0, cell->data, below + 1))
		len = 0; /* can't be: the release counts it as lost */
	cell->len = len;
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
	__u32 lane_no = job->lane, have = ff_frame_len(ctx), len, below;
	struct ff_lane *lane = bpf_map_lookup_elem(&lanes, &lane_no);
	struct ff_cell *cell;
	__u64 head, tail;

	if (!lane || !lane->park_size)
		return -1;
	head = lane->park_head;
	tail = *(volatile __u64 *)&lane->park_tail;
	if ((tail & FF_PARK_OPEN) || head == tail)
		return -1;
	cell = cell_of(lane_no, lane, head);
	if (!cell || *(volatile __u64 *)&cell->ready != head + 1)
		return -1; /* its CPU is still filling it */
	len = cell->len;
	pkt->slot = cell->slot;
	pkt->hops = cell->hops;
	pkt->port[0] = cell->port[0];
	pkt->port[1] = cell->port[1];
	pkt->key.service = cell->service;
	below = ff_detach(len - 1);
	if (below >= PARK_DATA || bpf_xdp_adjust_tail(ctx, (int)len - (int)have) ||
	    bpf_xdp_store_bytes(ctx, 0, cell->data, below + 1))
		ff_count(FF_REASON_DROP_LOST_CELL);
	*(volatile __u64 *)&lane->park_head = head + 1;
	job->released++;
	return 0;
}
