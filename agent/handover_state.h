/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * handover_state.h - flows of one instance become those of another one of this host, with the maps
 * that they are in: nothing is copied.
 *
 * Three steps. share: `to` has the maps of `from` in its places, too. take: what `from` has counted
 * is `to`'s, hints as well. part: `from` has empty maps in its places. Packets may run all the time,
 * but are with `from` until share has ended, and with `to` when take begins; what they are with in
 * between is the caller's business: they find the same entries either way. Until they have parted
 * none of the two sweeps these groups, and who looks for their flows reads the maps
 * (state_group_shared()).
 *
 * Each step may be repeated, by another agent, too. What is pinned tells how far it came: a group is
 * shared if both instances have the same map in its place; the counts have gone if `from` has none.
 */
#pragma once

#include "agent/instance.h"
#include "lib/slotset.h"

struct handing;

/*
 * Could @slots go so? Their groups hold none of another slot's flows, and none at all of `to`; their
 * state is of the same types and size, their maps are of the same size, and `to` has room for them.
 */
bool handing_fits(const struct instance *from, const struct instance *to,
		  const struct slotset *slots);

/*
 * Do both run the same program over the same locks, the data path's, pinned in @maps_dir? Then it
 * makes no difference which of the two has a flow's packet.
 */
bool handing_seamless(const struct instance *from, const struct instance *to, const char *maps_dir);

/* All slots of the groups that @slots are in. */
void handing_slots(const struct instance *instance, const struct slotset *slots,
		   struct slotset *ret);

/* The instances outlive it. *ret is the caller's: handing_free(). */
int handing_new(struct instance *from, struct instance *to, const struct slotset *slots,
		struct handing **ret, struct ff_error *err);
void handing_free(struct handing *handing); /* NULL is fine */
DEFINE_CLEANUP(struct handing *, handing_free);
#define _cleanup_handing_ _cleanup_(handing_freep)

/* From here on the flows are told to have been moved by @token. */
int handing_share(struct handing *handing, uint64_t token, struct ff_error *err);

/* *ret_flows: how many; what was taken before doesn't count. */
int handing_take(struct handing *handing, uint64_t *ret_flows, struct ff_error *err);

/* Groups that aren't shared are left as they are. */
int handing_part(struct handing *handing, struct ff_error *err);

/* As handing_share() left them, for an agent that takes up a move. */
void handing_adopt(struct instance *from, struct instance *to);
