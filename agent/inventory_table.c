/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* inventory_table.c - a service's wanted table beside the moves that are under way. */
#include "agent/inventory_table.h"

#include "agent/move.h"

struct beside {
	struct move *const *moves; /* FF_LANES_MAX each */
	struct move *const *waiting;
	uint16_t service;
};

static bool holds(const struct move *m, const struct ff_flow_key *key, uint32_t slot, int rule)
{
	if (key)
		return subject_has_key(&m->subject, key);
	if (rule < 0)
		return slotset_test(&m->subject.slots, slot) ||
		       (m->handover && slotset_test(&m->held, slot));
	for (size_t i = 0; i < m->subject.rules_count; i++)
		if (m->subject.rules[i].index == (uint32_t)rule)
			return true;
	return false;
}

/* Entries under a move are its business, also while it can't be taken up. A move's subject never changes. */
static bool entry_busy(const void *ctx, const struct ff_flow_key *key, uint32_t slot, int rule)
{
	const struct beside *b = ctx;

	for (size_t i = 0; i < 2 * FF_LANES_MAX; i++) {
		const struct move *m = i < FF_LANES_MAX ? b->moves[i] :
							  b->waiting[i - FF_LANES_MAX];

		if (m && m->subject.service == b->service && holds(m, key, slot, rule))
			return true;
	}
	return false;
}

int inventory_table_apply(struct agent *agent, struct move *const moves[FF_LANES_MAX],
			  struct table_desired *table, struct ff_error *err)
{
	struct beside beside = { moves, agent->waiting, table->service };

	table->busy = entry_busy;
	table->ctx = &beside;
	return table_sync(agent->table, table, err);
}
