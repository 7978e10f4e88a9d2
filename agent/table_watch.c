/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * table_watch.c - instances whose flows are followed, wherever they come from and go to.
 *
 * Moves, configurations and roll-backs all write entries in their own ways, and none knows of the
 * others. So it is here, below them all, that an entry of a watched instance gets the log flag, unless a
 * move holds it, and that the slots of entries that have come or gone are noted.
 */
#include <bpf/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "agent/table_internal.h"

static struct watch *watch_of(const struct table *t, uint16_t instance)
{
	return instance < FF_INSTANCES_MAX ? t->watches[instance] : NULL;
}

static bool steer_same(const struct ff_steer *x, const struct ff_steer *y)
{
	return x->owner == y->owner && x->here == y->here && x->flags == y->flags &&
	       x->lane == y->lane;
}

struct ff_steer table_watched(const struct table *t, struct ff_steer steer)
{
	const struct watch *watch = watch_of(t, steer.here);

	if (watch && !(steer.flags & (FF_STEER_PARK | FF_STEER_LOG | FF_STEER_ABSENT))) {
		steer.flags |= FF_STEER_LOG;
		steer.lane = watch->lane;
	}
	return steer;
}

static void mark(struct table *t, uint16_t instance, uint32_t slot)
{
	struct watch *watch = watch_of(t, instance);

	if (watch)
		slotset_set(&watch->changed, slot);
}

/* One that a move takes hold of is the move's business; what comes of it will be an edit, too. */
void table_slot_changes(struct table *t, uint32_t slot, const struct ff_steer *from,
			const struct ff_steer *to)
{
	const struct watch *watch = watch_of(t, to->here);

	if (steer_same(from, to))
		return;
	if (from->here != to->here)
		mark(t, from->here, slot);
	if (watch && (to->flags & FF_STEER_LOG) && to->lane == watch->lane)
		slotset_set(&t->watches[to->here]->changed, slot);
}

void table_exception_changes(struct table *t, uint32_t slot, const struct ff_steer *from,
			     const struct ff_steer *to, const struct ff_steer *below)
{
	if (steer_same(from, to))
		return;
	mark(t, from->here, slot);
	mark(t, to->here, slot);
	mark(t, below->here, slot);
}

/* ---- rewriting all entries of a service -------------------------------------------------------- */

/* What an entry becomes; the same: it's left alone. */
typedef struct ff_steer (*rewrite_fn)(const struct table *t, struct ff_steer steer, uint8_t lane);

static struct ff_steer entry_watch(const struct table *t, struct ff_steer steer, uint8_t lane)
{
	(void)lane;
	return table_watched(t, steer);
}

static struct ff_steer entry_unlog(const struct table *t, struct ff_steer steer, uint8_t lane)
{
	(void)t;
	if ((steer.flags & (FF_STEER_LOG | FF_STEER_ABSENT)) == FF_STEER_LOG &&
	    steer.lane == lane) {
		steer.flags &= (uint8_t)~FF_STEER_LOG;
		steer.lane = 0;
	}
	return steer;
}

static int pins_rewrite(struct table *t, uint16_t service, uint32_t spare, rewrite_fn rewrite,
			uint8_t lane)
{
	struct ff_flow_key key, next, *prev = NULL;
	int r = 0;

	if (!t->dp->services[service].pins[spare])
		return 0;
	while (!r && !bpf_map_get_next_key(t->dp->pins_fd, prev, &next)) {
		struct ff_steer steer;
		struct ff_pin pin;

		key = next;
		prev = &key;
		if (key.service != service || bpf_map_lookup_elem(t->dp->pins_fd, &key, &pin))
			continue;
		steer = rewrite(t, pin.steer[spare], lane);
		if (!steer_same(&steer, &pin.steer[spare]))
			r = table_pin_write(t, &key, spare, &steer);
	}
	return r;
}

static int entries_rewrite(struct table *t, uint16_t service, rewrite_fn rewrite, uint8_t lane,
			   struct ff_error *err)
{
	uint32_t spare = table_edit_begin(t, service);
	struct ff_slot *slots = &t->dp->table[FF_TABLE_INDEX(service, spare, 0)];
	struct ff_rule *rules = &t->dp->rules[FF_RULES_INDEX(service, spare, 0)];
	int r = pins_rewrite(t, service, spare, rewrite, lane);

	if (r)
		return table_edit_fail(t, service, r, err);
	for (uint32_t i = 0; i <= t->dp->services[service].slot_mask; i++)
		slots[i].steer = rewrite(t, slots[i].steer, lane);
	for (uint32_t i = 0; i < FF_RULES_MAX; i++)
		if (rules[i].match.flags & FF_MATCH_USED)
			rules[i].steer = rewrite(t, rules[i].steer, lane);
	table_edit_commit(t, service, spare);
	return 0;
}

/* ---- from outside ------------------------------------------------------------------------------ */

int table_watch(struct table *t, uint16_t service, uint16_t instance, uint8_t lane,
		struct ff_error *err)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	int r;

	if (!watch)
		return error_nomem(err);
	watch->service = service;
	watch->lane = lane;
	pthread_mutex_lock(&t->lock);
	t->watches[instance] = watch;
	r = entries_rewrite(t, service, entry_watch, lane, err);
	if (r)
		free(TAKE_PTR(t->watches[instance]));
	pthread_mutex_unlock(&t->lock);
	return r;
}

int table_unwatch(struct table *t, uint16_t instance, struct ff_error *err)
{
	struct watch *watch;
	int r = 0;

	pthread_mutex_lock(&t->lock);
	watch = TAKE_PTR(t->watches[instance]);
	if (watch)
		r = entries_rewrite(t, watch->service, entry_unlog, watch->lane, err);
	if (r) /* its entries log: again, then */
		t->watches[instance] = TAKE_PTR(watch);
	pthread_mutex_unlock(&t->lock);
	free(watch);
	return r;
}

int table_unlog(struct table *t, uint8_t lane, struct ff_error *err)
{
	int r = 0;

	pthread_mutex_lock(&t->lock);
	for (uint16_t service = 1; service < FF_SERVICES_MAX && !r; service++)
		if (t->dp->services[service].used)
			r = entries_rewrite(t, service, entry_unlog, lane, err);
	pthread_mutex_unlock(&t->lock);
	return r;
}

void table_watch_take(struct table *t, uint16_t instance, struct slotset *ret_changed)
{
	struct watch *watch;

	pthread_mutex_lock(&t->lock);
	watch = watch_of(t, instance);
	slotset_clear(ret_changed);
	if (watch) {
		*ret_changed = watch->changed;
		slotset_clear(&watch->changed);
	}
	pthread_mutex_unlock(&t->lock);
}

bool table_slots_of(struct table *t, uint16_t number, uint16_t instance, struct slotset *ret_slots)
{
	struct ff_service *service = &t->dp->services[number];
	const struct ff_slot *slots;
	uint32_t bank;
	bool whole;

	slotset_clear(ret_slots);
	pthread_mutex_lock(&t->lock);
	bank = __atomic_load_n(&service->active, __ATOMIC_ACQUIRE) & 1;
	slots = &t->dp->table[FF_TABLE_INDEX(number, bank, 0)];
	for (uint32_t slot = 0; slot <= service->slot_mask; slot++)
		if (slots[slot].steer.here == instance)
			slotset_set(ret_slots, slot);
	whole = !service->pins[bank] && !service->rules[bank];
	pthread_mutex_unlock(&t->lock);
	return whole;
}
