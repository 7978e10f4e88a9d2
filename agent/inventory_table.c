/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* inventory_table.c - a service's wanted table beside the moves that are under way. */
#include "agent/inventory_table.h"

#include "agent/move.h"

struct beside {
	struct move *const *moves;
	uint16_t service;
};

/* Entries under a move are its business. A move's subject never changes. */
static bool entry_busy(const void *ctx, const struct ff_flow_key *key, uint32_t slot, int rule)
{
	const struct beside *b = ctx;

	for (size_t i = 0; i < FF_LANES_MAX; i++) {
		const struct move *m = b->moves[i];

		if (!m || m->subject.service != b->service)
			continue;
		if (key ? subject_has_key(&m->subject, key) :
			  rule < 0 && (slotset_test(&m->subject.slots, slot) ||
				       (m->handover && slotset_test(&m->held, slot))))
			return true;
		for (size_t k = 0; rule >= 0 && k < m->subject.rules_count; k++)
			if (m->subject.rules[k].index == (uint32_t)rule)
				return true;
	}
	return false;
}

int inventory_table_apply(struct agent *agent, struct move *const moves[FF_LANES_MAX],
			  struct table_desired *table, struct ff_error *err)
{
	struct beside beside = { moves, table->service };

	table->busy = entry_busy;
	table->ctx = &beside;
	return table_sync(agent->table, table, err);
}
